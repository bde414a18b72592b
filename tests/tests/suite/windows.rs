//! Updates are taken in the update windows of their group only; queries and what was begun before always.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Outcome, Request};
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
const MINUTES_OF_A_DAY: u64 = 24 * 60;

/// Minutes since midnight, UTC.
fn minute_of_day() -> anyhow::Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 60 % MINUTES_OF_A_DAY)
}

/// A window of every day that lasts from so many minutes after now until so many.
fn window(from: u64, until: u64) -> anyhow::Result<Value> {
    let now = minute_of_day()?;
    let time = |minutes: u64| {
        let minute = (now + minutes) % MINUTES_OF_A_DAY;
        format!("{:02}:{:02}", minute / 60, minute % 60)
    };
    Ok(json!({ "from": time(from), "until": time(until) }))
}

fn windows(window: &Value, outside: &str) -> Value {
    json!({ "update_windows": { "windows": [window], "outside": outside } })
}

async fn send(client: &Client, verb: &str, body: &Value) -> anyhow::Result<Value> {
    client.answer(subject::transaction(GROUP, verb), body, PATIENCE).await
}

/// Sends updates until one is refused because of the hour.
async fn until_refused(client: &Client) -> anyhow::Result<holdfast_tests::client::Refusal> {
    until("updates to be refused", PATIENCE, async || match client.update(&Request::new("RETURN 1")).await {
        Outcome::Refused(refusal) if refusal.code == "outside_update_window" => Ok(refusal),
        other => Err(other.to_string()),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn are_kept_and_can_be_changed() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
        let early = Request::new("CREATE item:0 SET chance = rand::ulid()");
        let first = client.update(&early).await.done()?;
        let token = send(&client, "begin", &json!({ "idle_ms": 60_000 })).await?["transaction"].clone();

        // 1. The next window opens two hours from now and closes an hour later: it stays shut for as long as this takes.
        let reply = system.define_group(&windows(&window(120, 180)?, "refuse")).await?;
        anyhow::ensure!(reply["changed"] == true, "{reply}");
        let refusal = until_refused(&client).await?;
        let wait_ms = refusal.reply["error"]["retry_after_ms"].as_u64().unwrap_or_default();
        anyhow::ensure!((100 * 60_000..=120 * 60_000).contains(&wait_ms), "{refusal:?}");
        let opens = window(120, 180)?["from"].as_str().unwrap_or_default().to_owned();
        let near = window(119, 180)?["from"].as_str().unwrap_or_default().to_owned();
        let names_it = [opens, near].iter().any(|time| refusal.message.contains(&format!("T{time}:00Z")));
        anyhow::ensure!(names_it && refusal.retryable, "{refusal:?}");

        // 2. The outcome of what was done before is told, also to who never heard of it; what was not done is refused under every id.
        let again = client.update(&early).await.done()?;
        anyhow::ensure!(again.replayed && again.results == first.results, "first {first:?}, then {again:?}");
        let late = Request::new("CREATE item:9");
        for _ in 0..2 {
            let refusal = client.update(&late).await.refused()?;
            anyhow::ensure!(refusal.code == "outside_update_window" && !refusal.settled, "{refusal:?}");
        }

        // 3. No transaction is begun either. One that was goes on, and queries are answered.
        let begun = send(&client, "begin", &json!({})).await?;
        anyhow::ensure!(begun["error"]["code"] == "outside_update_window", "{begun}");
        let executed = send(&client, "execute", &json!({ "transaction": token, "sql": "CREATE item:1" })).await?;
        anyhow::ensure!(executed["results"].is_array(), "{executed}");
        let committed = send(&client, "commit", &json!({ "transaction": token })).await?;
        anyhow::ensure!(committed["position"].is_u64(), "{committed}");
        let read = Request::new("SELECT VALUE id FROM item").strong();
        let seen = client.read(&read, PATIENCE).await.done()?;
        anyhow::ensure!(seen.results[0] == json!(["item:0", "item:1"]), "{seen:?}");

        // 4. With a window that is open now, updates pass again.
        system.define_group(&windows(&window(MINUTES_OF_A_DAY - 60, 120)?, "refuse")).await?;
        client.commit(Request::new("CREATE item:2"), PATIENCE).await?;

        // 5. A queue takes only what can pass in time. Without windows everything does.
        system.define_group(&windows(&window(120, 180)?, "queue")).await?;
        until_refused(&client).await?;
        system.define_group(&json!({})).await?;
        client.commit(Request::new("CREATE item:3"), PATIENCE).await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// The window is opened by a clock that is stepped over its beginning, since nobody waits for a whole minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn let_those_pass_who_waited_for_them() -> anyhow::Result<()> {
    System::run(Options { own_clocks: true, ..Options::primary() }, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;

        // 1. The window opens in two or three minutes; a step of the clock brings that to less than a minute.
        system.define_group(&windows(&window(3, 60)?, "queue")).await?;
        let refusal = until_refused(&client).await?;
        let wait_ms = refusal.reply["error"]["retry_after_ms"].as_u64().unwrap_or_default();
        system.step_clock("execution-1", i64::try_from(wait_ms)? - 30_000)?;

        // 2. An update that may wait for so long does, and passes when the clock says that the window is open.
        let request = Request::new("CREATE item:1").deadline(Duration::from_secs(59));
        let waiting = client.update(&request);
        let opened = async {
            let short = Request::new("RETURN 1").deadline(Duration::from_secs(1));
            let still_shut = client.update(&short).await.refused()?;
            system.step_clock("execution-1", i64::try_from(wait_ms)? + 1_000)?;
            anyhow::Ok(still_shut)
        };
        let (outcome, still_shut) = tokio::join!(waiting, opened);
        anyhow::ensure!(still_shut?.code == "outside_update_window");
        outcome.done()?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}
