//! Results that do not fit into one message are never silence: a query is told to ask for less, and an update took effect and
//! says so.

use std::time::Duration;

use holdfast_schemas::limits::MAX_RESULTS_BYTES;
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{GROUP, Options, System};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
const RECORDS: u64 = 400;

async fn filled(client: &Client) -> anyhow::Result<()> {
    let create = format!(
        "FOR $i IN 0..{RECORDS} {{ CREATE type::record('big', $i) SET t = string::repeat('x', 9000) RETURN NONE }}"
    );
    client.commit(Request::new(create).deadline(PATIENCE), PATIENCE).await?;
    Ok(())
}

async fn ask(client: &Client, subject: String, body: Value) -> anyhow::Result<Value> {
    client.answer(subject, &body, PATIENCE).await
}

/// Says that results were left out, and why.
fn is_dropped(reply: &Value) -> bool {
    reply["results"] == json!([])
        && reply["results_dropped"]["bytes"].as_u64().is_some_and(|bytes| bytes > MAX_RESULTS_BYTES as u64)
        && reply["results_dropped"]["limit"] == MAX_RESULTS_BYTES
        && reply["results_dropped"]["message"].is_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_query_are_refused_with_what_to_do() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        filled(&client).await?;
        let all = ask(
            &client,
            subject::query(GROUP),
            json!({ "sql": "SELECT * FROM big", "consistency": "strong", "deadline_ms": 20_000 }),
        )
        .await?;
        anyhow::ensure!(all["error"]["code"] == "answer_too_large" && all["error"]["retryable"] == false, "{all}");
        anyhow::ensure!(all["error"]["details"]["limit"] == MAX_RESULTS_BYTES, "{all}");
        anyhow::ensure!(all["error"]["details"]["bytes"].as_u64() > Some(RECORDS * 9_000), "{all}");
        anyhow::ensure!(all["error"]["message"].as_str().is_some_and(|text| text.contains("LIMIT")), "{all}");
        // As it says.
        let mut found = 0;
        for start in (0..RECORDS).step_by(100) {
            let sql = format!("SELECT * FROM big LIMIT 100 START {start}");
            let page = client.read(&Request::new(sql).strong(), PATIENCE).await.done()?;
            found += page.results[0].as_array().map_or(0, Vec::len);
        }
        anyhow::ensure!(found as u64 == RECORDS, "{found}");
        // What is nearly too large gets through, whatever it consists of.
        let text = MAX_RESULTS_BYTES - 100;
        let near = format!("RETURN string::repeat('x', {text})");
        let whole = client.read(&Request::new(near), PATIENCE).await.done()?;
        anyhow::ensure!(whole.results[0].as_str().map(str::len) == Some(text));
        // An error that quotes a whole value is cut.
        let long = json!({ "sql": "THROW string::repeat('x', 1000000)" });
        let thrown = ask(&client, subject::update(GROUP), long).await?;
        anyhow::ensure!(thrown["error"]["code"] == "statement_failed", "{thrown}");
        anyhow::ensure!(thrown["error"]["message"].as_str().is_some_and(|text| text.len() < 20_000));
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_update_are_left_out_and_it_took_effect() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        filled(&client).await?;
        let update = json!({ "id": "u1", "sql": "UPDATE big SET u += 1", "deadline_ms": 20_000 });
        let first = ask(&client, subject::update(GROUP), update.clone()).await?;
        anyhow::ensure!(is_dropped(&first) && first["position"].is_u64() && first["error"].is_null(), "{first}");
        // Told again under its id: by the same CSP, and by another one that only read the log.
        let again = ask(&client, subject::update(GROUP), update.clone()).await?;
        anyhow::ensure!(is_dropped(&again) && again["replayed"] == true, "{again}");
        anyhow::ensure!(again["position"] == first["position"], "{again}");
        let primary = system.primary().await?;
        system.kill9(&primary);
        system.primary_other_than(&primary).await?;
        let elsewhere =
            client.settle(&Request::new("UPDATE big SET u += 1").with("id", "u1"), PATIENCE).await.done()?;
        anyhow::ensure!(elsewhere.replayed && Some(elsewhere.position) == first["position"].as_u64(), "{elsewhere:?}");
        let once = Request::new("RETURN count((SELECT id FROM big WHERE u = 1))").strong();
        let once = client.read(&once, PATIENCE).await.done()?;
        anyhow::ensure!(once.results[0] == RECORDS, "{once:?}");
        // A transaction over several messages goes on, and takes effect.
        let verb = |verb| subject::transaction(GROUP, verb);
        let begun = ask(&client, verb("begin"), json!({})).await?;
        let token = begun["transaction"].clone();
        let execute = json!({ "transaction": token, "sql": "UPDATE big SET u += 1", "deadline_ms": 20_000 });
        let executed = ask(&client, verb("execute"), execute).await?;
        anyhow::ensure!(is_dropped(&executed), "{executed}");
        let committed = ask(&client, verb("commit"), json!({ "transaction": token })).await?;
        anyhow::ensure!(committed["position"].is_u64(), "{committed}");
        let twice = Request::new("RETURN count((SELECT id FROM big WHERE u = 2))").strong();
        let twice = client.read(&twice, PATIENCE).await.done()?;
        anyhow::ensure!(twice.results[0] == RECORDS, "{twice:?}");
        system.restart(&primary)?;
        system.until_whole().await?;
        system.equal_digests(&system.csps()).await?;
        Ok(())
    })
    .await
}
