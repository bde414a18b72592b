//! A statement of an open transaction counts once, whatever happens between its sending and its answer; and a commit that took
//! effect is never told as refused.

use std::time::Duration;

use futures::future::try_join_all;
use holdfast_tests::client::{Client, Request, Transaction};
use holdfast_tests::system::{Options, System};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
/// Before a message is sent again: while JetStream elects it is refused at once.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Between two faults of the NATS servers.
const FAULT_EVERY: Duration = Duration::from_secs(6);
const STATEMENTS: u64 = 30;

/// Supervision that takes long for a verdict, so that a CSP can stand still and keep its transactions.
fn patient() -> Value {
    json!({ "supervision": { "flapping_verdicts": 1_000, "status_timeout_ms": 10_000 } })
}

async fn value_of(client: &Client, record: &str) -> anyhow::Result<Option<u64>> {
    let read = Request::new(format!("SELECT VALUE v FROM {record}")).strong();
    Ok(client.read(&read, PATIENCE).await.done()?.results[0][0].as_u64())
}

/// Waits until supervision has missed so many heartbeats that execution has, too.
async fn until_missed(system: &System, csp: &str) -> anyhow::Result<()> {
    system.until_judged(csp, "no longer available", |state| state != "available").await
}

async fn while_the_copy_stands_still(options: Options, numbered: bool) -> anyhow::Result<()> {
    System::run(options, async |system| {
        system.define_group(&patient()).await?;
        let client = system.client();
        client.commit(Request::new("CREATE n:1 SET v = 0"), PATIENCE).await?;
        let mut transaction = Transaction::begin(&client, &json!({}), numbered, PATIENCE).await?;

        // 1. The statement is sent while the CSP does not answer, and is answered when it does again.
        let csp = transaction.holder().to_owned();
        system.pause(&csp)?;
        transaction.next();
        let sent = transaction.clone();
        let sent = tokio::spawn(async move { sent.execute("UPDATE n:1 SET v += 1 RETURN VALUE v").await });
        until_missed(&system, &csp).await?;
        system.resume(&csp)?;
        let reply = sent.await?;
        anyhow::ensure!(reply.as_ref().is_some_and(|reply| reply["results"][0] == json!([1])), "{reply:?}");

        // 2. So does the commit.
        system.pause(&csp)?;
        transaction.next();
        let sent = transaction.clone();
        let sent = tokio::spawn(async move { sent.end("commit").await });
        until_missed(&system, &csp).await?;
        system.resume(&csp)?;
        let reply = sent.await?;
        let position = reply.as_ref().and_then(|reply| reply["position"].as_u64());
        anyhow::ensure!(position.is_some(), "{reply:?}");
        let again = transaction.end("commit").await;
        anyhow::ensure!(again.as_ref().and_then(|reply| reply["position"].as_u64()) == position, "{again:?}");
        anyhow::ensure!(value_of(&client, "n:1").await? == Some(1), "the statement did not count once");
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_counts_once_while_a_primary_stands_still() -> anyhow::Result<()> {
    while_the_copy_stands_still(Options::primary(), false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_counts_once_while_a_peer_stands_still() -> anyhow::Result<()> {
    while_the_copy_stands_still(Options::peer(), true).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_numbered_message_that_is_sent_again_gets_the_first_answer() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("CREATE n:1 SET v = 0"), PATIENCE).await?;
        let id = json!({ "id": "order-1", "idle_ms": 60_000 });
        let mut transaction = Transaction::begin(&client, &id, true, PATIENCE).await?;
        let again = Transaction::begin(&client, &id, true, PATIENCE).await?;
        anyhow::ensure!(again.token() == transaction.token(), "{} and {}", again.token(), transaction.token());
        let code = |reply: &Option<Value>| reply.as_ref().map(|reply| reply["error"]["code"].clone());

        // 1. Sent again, a statement is answered as before, and does nothing.
        let increment = "UPDATE n:1 SET v += 1 RETURN VALUE v";
        transaction.next();
        let first = transaction.execute(increment).await;
        anyhow::ensure!(first.as_ref().is_some_and(|reply| reply["results"][0] == json!([1])), "{first:?}");
        anyhow::ensure!(transaction.execute(increment).await == first, "another answer to the same message");

        // 2. The same number on something else is refused, and so is a gap; neither harms the transaction.
        let other = transaction.execute("RETURN 2").await;
        anyhow::ensure!(code(&other) == Some(json!("id_reused")), "{other:?}");
        let mut ahead = transaction.clone();
        ahead.next();
        ahead.next();
        let gap = ahead.execute(increment).await;
        anyhow::ensure!(code(&gap) == Some(json!("invalid_request")), "{gap:?}");
        let old = transaction.clone();
        transaction.next();
        let second = transaction.execute(increment).await;
        anyhow::ensure!(second.as_ref().is_some_and(|reply| reply["results"][0] == json!([2])), "{second:?}");
        let passed = old.execute(increment).await;
        anyhow::ensure!(code(&passed) == Some(json!("answer_not_kept")), "{passed:?}");

        // 3. The commit, too, is told the same again; what is sent behind it is not carried out.
        transaction.next();
        let committed = transaction.end("commit").await;
        let again = transaction.end("commit").await;
        let position = |reply: &Option<Value>| reply.as_ref().and_then(|reply| reply["position"].as_u64());
        anyhow::ensure!(position(&committed).is_some() && position(&again) == position(&committed), "{again:?}");
        let late = old.execute(increment).await;
        anyhow::ensure!(code(&late) == Some(json!("answer_not_kept")), "{late:?}");
        anyhow::ensure!(value_of(&client, "n:1").await? == Some(2), "a statement did not count once");
        system.all_alive()
    })
    .await
}

/// What a client knows of the number that its transaction left behind.
struct Expected {
    record: String,
    /// The numbers that may be there; none is "no record".
    may_be: Vec<Option<u64>>,
    told: String,
}

/// One transaction of [`STATEMENTS`] statements, through whatever comes.
async fn transact(client: &Client, record: String, numbered: bool) -> anyhow::Result<Expected> {
    let mut transaction = Transaction::begin(client, &json!({ "idle_ms": 30_000 }), numbered, PATIENCE).await?;
    let statement = format!("UPSERT {record} SET v += 1 RETURN NONE");
    let end = Instant::now() + PATIENCE;
    let (mut answered, mut open) = (0, 0);
    while answered + open < STATEMENTS {
        transaction.next();
        loop {
            match transaction.execute(&statement).await {
                Some(reply) if reply.get("error").is_none() => {
                    answered += 1;
                    break;
                }
                // It was aborted: nothing of it happened, and nothing will.
                Some(reply) if reply["error"]["retryable"] != true => {
                    let told = reply.to_string();
                    let aborted =
                        ["transaction_aborted", "deadline_exceeded"].map(|code| reply["error"]["code"] == code);
                    anyhow::ensure!(aborted.contains(&true), "{record}: {told}");
                    return Ok(Expected { record, may_be: vec![None], told });
                }
                // Without a number it must not be sent again: it may have counted.
                _ if !numbered => {
                    open += 1;
                    break;
                }
                _ => {}
            }
            anyhow::ensure!(Instant::now() < end, "{record}: no answer");
            tokio::time::sleep(RETRY_PAUSE).await;
        }
        if open > 0 {
            break;
        }
    }
    transaction.next();
    loop {
        match transaction.end("commit").await {
            Some(reply) if reply.get("error").is_none() => {
                let may_be = (answered..=answered + open).map(|v| Some(v).filter(|v| *v > 0)).collect();
                return Ok(Expected { record, may_be, told: reply.to_string() });
            }
            Some(reply) if reply["error"]["retryable"] != true => {
                let told = reply.to_string();
                let code = reply["error"]["code"].as_str().unwrap_or_default();
                // The two that say that nothing of it happened; each record is one client's own, so nothing conflicts.
                anyhow::ensure!(code == "transaction_aborted", "{record}: {told}");
                return Ok(Expected { record, may_be: vec![None], told });
            }
            _ => anyhow::ensure!(Instant::now() < end + PATIENCE, "{record}: the commit is not answered"),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn transact_until(client: Client, name: usize, over: watch::Receiver<bool>) -> anyhow::Result<Vec<Expected>> {
    let mut expected = Vec::new();
    while !*over.borrow() {
        let record = format!("m:c{name}n{}", expected.len());
        expected.push(transact(&client, record, name.is_multiple_of(2)).await?);
    }
    Ok(expected)
}

/// Three NATS servers, of which one after the other is killed and started again, under clients with transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_counts_once_while_nats_servers_are_killed_in_turn() -> anyhow::Result<()> {
    System::run(Options { nats_servers: 3, ..Options::peer() }, async |system| {
        system.client().commit(Request::new("DEFINE TABLE m"), PATIENCE).await?;
        let (over, watched) = watch::channel(false);
        let mut clients = Vec::new();
        for name in 0..6 {
            let client = system.new_client().await?;
            clients.push(tokio::spawn(transact_until(client, name, watched.clone())));
        }
        for server in ["nats-1", "nats-2", "nats-3", "nats-1"] {
            tokio::time::sleep(FAULT_EVERY).await;
            system.restart(server)?;
        }
        tokio::time::sleep(FAULT_EVERY).await;
        over.send_replace(true);
        let mut expected = Vec::new();
        for told in try_join_all(clients).await? {
            expected.extend(told?);
        }
        system.heal().await?;
        let wrong = wrong(&system.client(), &expected).await?;
        let committed = expected.iter().filter(|expected| expected.may_be != [None]).count();
        eprintln!("{} transactions, {committed} committed", expected.len());
        anyhow::ensure!(wrong.is_empty(), "{} of {}: {}", wrong.len(), expected.len(), wrong.join("\n"));
        anyhow::ensure!(committed > 0, "nothing was committed, so nothing was shown");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// Those whose record is not as their clients were told.
async fn wrong(client: &Client, expected: &[Expected]) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    for one in expected {
        let found = value_of(client, &one.record).await?;
        if !one.may_be.contains(&found) {
            wrong.push(format!("{}: {found:?} and not {:?}, told {}", one.record, one.may_be, one.told));
        }
    }
    Ok(wrong)
}
