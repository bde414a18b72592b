//! A transaction is open at the primary while another CSP becomes primary: it goes on, and commits through the next one.

use std::time::Duration;

use anyhow::Context;
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request, Transaction};
use holdfast_tests::system::{GROUP, Options, System};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than a CSP that drains waits for open transactions.
const DRAIN_PATIENCE: Duration = Duration::from_secs(90);

/// Answered, and well.
fn done(reply: Option<Value>) -> anyhow::Result<Value> {
    match reply {
        Some(reply) if reply.get("error").is_none() => Ok(reply),
        other => Err(anyhow::anyhow!("not answered well: {other:?}")),
    }
}

async fn execute(transaction: &mut Transaction, sql: &str) -> anyhow::Result<Value> {
    transaction.next();
    done(transaction.execute(sql).await).with_context(|| sql.to_owned())
}

async fn ids(client: &Client) -> anyhow::Result<Value> {
    let read = Request::new("SELECT VALUE id FROM item").strong();
    Ok(client.read(&read, PATIENCE).await.done()?.results[0].clone())
}

/// Begins a transaction that has written something; it names the CSP that is primary.
async fn begun(client: &Client, name: &str) -> anyhow::Result<Transaction> {
    let fields = json!({ "idle_ms": 60_000 });
    let mut transaction = Transaction::begin(client, &fields, true, PATIENCE).await?;
    execute(&mut transaction, &format!("CREATE item:{name}")).await?;
    Ok(transaction)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_commits_through_the_next_primary() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
        let begin = subject::transaction(GROUP, "begin");
        let reply = client.ask(begin, &json!({ "idle_ms": 100 }), PATIENCE).await?;
        anyhow::ensure!(reply["life_ms"].as_u64() == Some(60_000), "{reply}");

        // 1. The primary is moved while three are open: one that wrote, one that wrote nothing, one that will have lost.
        let mut wrote = begun(&client, "moved").await?;
        let mut lost = begun(&client, "lost").await?;
        let mut read = Transaction::begin(&client, &json!({ "idle_ms": 60_000 }), true, PATIENCE).await?;
        execute(&mut read, "RETURN 1").await?;
        let before = wrote.holder().to_owned();
        let next = system.csps().into_iter().find(|csp| *csp != before).unwrap_or_default();
        system.move_primary(&next).await?;
        client.commit(Request::new("CREATE item:lost"), PATIENCE).await?;
        execute(&mut wrote, "CREATE item:behind").await?;
        wrote.next();
        let committed = done(wrote.end("commit").await)?;
        anyhow::ensure!(committed["position"].is_u64(), "{committed}");
        let again = done(wrote.end("commit").await)?;
        anyhow::ensure!(again["position"] == committed["position"] && again["replayed"] == true, "{again}");
        lost.next();
        let refused = lost.end("commit").await.unwrap_or_default();
        anyhow::ensure!(refused["error"]["code"] == "conflict", "{refused}");
        read.next();
        done(read.end("commit").await)?;
        let status = done(read.end("status").await)?;
        anyhow::ensure!(status["state"] == "committed", "{status}");
        anyhow::ensure!(ids(&client).await? == json!(["item:behind", "item:lost", "item:moved"]), "not what was told");

        // 2. The next primary is drained: it waits for the transaction, which goes on meanwhile.
        let mut open = begun(&client, "drained").await?;
        let holder = open.holder().to_owned();
        system.drain(&holder).await?;
        system.primary_other_than(&holder).await?;
        execute(&mut open, "CREATE item:late").await?;
        open.next();
        let committed = done(open.end("commit").await)?;
        anyhow::ensure!(committed["position"].is_u64(), "{committed}");
        system.until("it to be in maintenance", |status| status.is_in(&holder, "maintenance")).await?;
        let found = ids(&client).await?;
        let wanted = json!(["item:behind", "item:drained", "item:late", "item:lost", "item:moved"]);
        anyhow::ensure!(found == wanted, "{found}");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// One on which nothing comes holds a drain up for a while only, and its next message is told why it ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_left_alone_does_not_hold_a_drain_up_for_ever() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
        let mut left = begun(&client, "left").await?;
        let holder = left.holder().to_owned();
        system.drain(&holder).await?;
        system
            .until_within("it to be in maintenance", DRAIN_PATIENCE, |status| status.is_in(&holder, "maintenance"))
            .await?;
        for verb in ["execute", "commit"] {
            left.next();
            let told = if verb == "execute" { left.execute("CREATE item:more").await } else { left.end(verb).await };
            let told = told.unwrap_or_default();
            let message = told["error"]["message"].as_str().unwrap_or_default();
            let is_told = told["error"]["code"] == "transaction_aborted" && message.contains("was drained");
            anyhow::ensure!(is_told, "{verb}: {told}");
        }
        anyhow::ensure!(ids(&client).await? == json!([]), "something was left behind");
        system.all_alive()
    })
    .await
}
