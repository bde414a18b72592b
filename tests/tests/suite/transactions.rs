//! A transaction over several messages: seen by nobody before its commit, carried out once, and aborted with its CSP.

use std::time::Duration;

use holdfast_schemas::{header, subject};
use holdfast_tests::client::{Client, Outcome, Request};
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// Sends one message of a transaction, and gives the answer, error or not.
async fn send(client: &Client, verb: &str, body: &Value) -> anyhow::Result<Value> {
    client.answer(subject::transaction(GROUP, verb), body, PATIENCE).await
}

/// Opens a transaction and gives its token.
async fn begin(client: &Client, body: Value) -> anyhow::Result<String> {
    let reply = send(client, "begin", &body).await?;
    reply["transaction"].as_str().map(str::to_owned).ok_or_else(|| anyhow::anyhow!("no transaction: {reply}"))
}

async fn execute(client: &Client, token: &str, sql: &str) -> anyhow::Result<Value> {
    send(client, "execute", &json!({ "transaction": token, "sql": sql })).await
}

async fn end(client: &Client, verb: &str, token: &str) -> anyhow::Result<Value> {
    send(client, verb, &json!({ "transaction": token })).await
}

async fn count(client: &Client) -> anyhow::Result<u64> {
    let read = Request::new("RETURN count((SELECT id FROM item))").strong();
    let reply = client.read(&read, PATIENCE).await.done()?;
    reply.results[0].as_u64().ok_or_else(|| anyhow::anyhow!("no count: {reply:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takes_effect_at_its_commit_and_once() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;

        // 1. What its messages did is seen by itself, and by nobody else before the commit.
        let token = begin(&client, json!({ "id": "order-1" })).await?;
        execute(&client, &token, "CREATE item:1").await?;
        let seen = execute(&client, &token, "RETURN count((SELECT id FROM item))").await?;
        anyhow::ensure!(seen["results"][0] == 1, "{seen}");
        anyhow::ensure!(count(&client).await? == 0, "seen before the commit");
        let open = end(&client, "status", &token).await?;
        anyhow::ensure!(open["state"] == "open", "{open}");

        // 2. It takes effect at its commit; asked again, the first outcome is told.
        let committed = end(&client, "commit", &token).await?;
        anyhow::ensure!(committed["position"].is_u64(), "{committed}");
        anyhow::ensure!(count(&client).await? == 1, "not there after the commit");
        let again = end(&client, "commit", &token).await?;
        anyhow::ensure!(again["replayed"] == true && again["position"] == committed["position"], "{again}");
        let status = end(&client, "status", &token).await?;
        anyhow::ensure!(status["state"] == "committed" && status["position"] == committed["position"], "{status}");

        // 3. An aborted one leaves nothing, and neither does one that failed or was forgotten.
        let token = begin(&client, json!({})).await?;
        execute(&client, &token, "CREATE item:2").await?;
        let aborted = end(&client, "abort", &token).await?;
        anyhow::ensure!(aborted["state"] == "aborted", "{aborted}");
        let late = end(&client, "commit", &token).await?;
        anyhow::ensure!(late["error"]["code"] == "transaction_aborted", "{late}");
        let token = begin(&client, json!({})).await?;
        let failed = execute(&client, &token, "CREATE item:3; THROW 'no'").await?;
        anyhow::ensure!(failed["error"]["code"] == "statement_failed", "{failed}");
        let token = begin(&client, json!({ "idle_ms": 200 })).await?;
        execute(&client, &token, "CREATE item:4").await?;
        until("the forgotten transaction to be aborted", PATIENCE, async || {
            let status = end(&client, "status", &token).await.map_err(|error| error.to_string())?;
            if status["state"] == "aborted" { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;
        anyhow::ensure!(count(&client).await? == 1, "something was left behind");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn loses_against_what_others_wrote_meanwhile() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("CREATE item:1 SET n = 1"), PATIENCE).await?;
        let token = begin(&client, json!({})).await?;
        execute(&client, &token, "UPDATE item:1 SET n += 1").await?;
        client.commit(Request::new("UPDATE item:1 SET n = 10"), PATIENCE).await?;
        let lost = end(&client, "commit", &token).await?;
        anyhow::ensure!(lost["error"]["code"] == "conflict" && lost["error"]["retryable"] == false, "{lost}");
        let read = client.read(&Request::new("SELECT VALUE n FROM item").strong(), PATIENCE).await.done()?;
        anyhow::ensure!(read.results[0] == json!([10]), "{read:?}");
        system.all_alive()
    })
    .await
}

/// Demands that a transaction whose CSP was killed is told to be aborted, for good, and that nothing of it is anywhere.
async fn nothing_of_it_happened(system: &System, token: &str) -> anyhow::Result<()> {
    let client = system.client();
    let commit = end(&client, "commit", token).await?;
    anyhow::ensure!(commit["error"]["code"] == "transaction_aborted", "{commit}");
    let status = end(&client, "status", token).await?;
    anyhow::ensure!(status["state"] == "aborted", "{status}");
    anyhow::ensure!(count(&client).await? == 0, "something was left behind");
    system.heal().await?;
    system.equal_digests(&system.csps()).await?;
    system.all_alive()
}

/// The CSP that holds the transaction is killed: whoever is asked next says that nothing of it happened, and that is final.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dies_with_its_csp() -> anyhow::Result<()> {
    for options in [Options::primary(), Options::peer()] {
        System::run(options, async |system| {
            let client = system.client();
            client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
            let token = begin(&client, json!({})).await?;
            execute(&client, &token, "CREATE item:1").await?;
            let holder = token.split(':').next().unwrap_or_default().to_owned();
            system.kill9(&holder);
            nothing_of_it_happened(&system, &token).await
        })
        .await?;
    }
    Ok(())
}

/// A CSP is killed when it has answered a `begin`, before execution hears of that: the `begin` is sent again, and another CSP opens
/// a second transaction under the id, whose token nobody has. The outcome of the first one is told for good all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_begin_was_sent_again_behind_its_answer_has_an_outcome() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
        let token = begin(&client, json!({ "id": "order" })).await?;
        execute(&client, &token, "CREATE item:1").await?;
        let holder = token.split(':').next().unwrap_or_default();
        let others: Vec<_> = system.csps().into_iter().filter(|csp| csp != holder).collect();
        for csp in &others {
            let second = begin_again_at(&client, csp, "order").await?;
            anyhow::ensure!(second.starts_with(csp), "{second}");
        }
        system.kill9(holder);
        nothing_of_it_happened(&system, &token).await
    })
    .await
}

/// Sends a `begin` to this CSP as execution does that lost the CSP before, and gives the token.
async fn begin_again_at(client: &Client, csp: &str, id: &str) -> anyhow::Result<String> {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert(header::DISPOSITION, header::DISPOSITION_RECOVERY);
    let subject = subject::csp_transaction(GROUP, csp, "begin");
    let body = json!({ "id": id }).to_string().into();
    let asked = client.nats().request_with_headers(subject, headers, body);
    let reply: Value = serde_json::from_slice(&tokio::time::timeout(PATIENCE, asked).await??.payload)?;
    reply["transaction"].as_str().map(str::to_owned).ok_or_else(|| anyhow::anyhow!("no transaction: {reply}"))
}

/// Whoever knows an id and makes up the rest of a token does not end the transaction that the primary holds under that id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_nobody_gave_ends_no_transaction_of_its_primary() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
        let token = begin(&client, json!({ "id": "order" })).await?;
        let (csp, rest) = token.split_once(':').ok_or_else(|| anyhow::anyhow!("{token}"))?;
        let other = system.csps().into_iter().find(|name| name != csp).unwrap_or_default();
        let (_, rest_of_another) = rest.split_once(':').ok_or_else(|| anyhow::anyhow!("{token}"))?;
        execute(&client, &token, "CREATE item:1").await?;
        for verb in ["status", "abort", "commit"] {
            for made_up in [format!("{other}:{rest}"), format!("{csp}:1:{rest_of_another}")] {
                let reply = end(&client, verb, &made_up).await?;
                anyhow::ensure!(reply["error"]["code"] == "outcome_unknown", "{verb} {made_up}: {reply}");
            }
            let reply = end(&client, verb, &format!("csp-9:{rest}")).await?;
            anyhow::ensure!(reply["error"]["code"] == "not_found", "{verb}: {reply}");
        }
        let status = end(&client, "status", &token).await?;
        anyhow::ensure!(status["state"] == "open", "{status}");
        let committed = end(&client, "commit", &token).await?;
        anyhow::ensure!(committed["error"].is_null(), "{committed}");
        anyhow::ensure!(count(&client).await? == 1);
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_messages_are_refused() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        let odd = [
            ("begin", json!({ "idle_ms": 1 })),
            ("begin", json!({ "unknown": 1 })),
            ("execute", json!({ "sql": "RETURN 1" })),
            ("execute", json!({ "transaction": "no token", "sql": "RETURN 1" })),
            ("commit", json!({ "transaction": "csp-1" })),
            ("abort", json!([])),
        ];
        client.refused_as_invalid(|verb| subject::transaction(GROUP, verb), &odd, PATIENCE).await?;
        let never = end(&client, "commit", "csp-1:1:1:never-begun").await?;
        anyhow::ensure!(never["error"]["code"] == "transaction_aborted", "{never}");
        let update = Request::new("RETURN 1").with("id", "never-begun");
        anyhow::ensure!(!matches!(client.update(&update).await, Outcome::Unknown(_)), "the id is settled");
        system.all_alive()
    })
    .await
}
