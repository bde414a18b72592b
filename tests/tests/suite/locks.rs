//! Explicit locks: who holds one works without conflicts, who lost one changes nothing, and no failure loses one.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(90);
/// As long as a request may wait.
const DEADLINE_MS: u64 = 60_000;
const CLIENTS: u64 = 16;
const TURNS: u64 = 10;
const RELEASE_BOUND: Duration = Duration::from_secs(1);

/// Sends one message about locks, and gives the answer, error or not.
async fn send(client: &Client, verb: &str, body: Value) -> anyhow::Result<Value> {
    client.answer(subject::lock(GROUP, verb), &body, PATIENCE).await
}

/// The token of an answer that must be an acquisition.
fn token(reply: &Value) -> anyhow::Result<u64> {
    reply["token"].as_u64().ok_or_else(|| anyhow::anyhow!("not acquired: {reply}"))
}

/// Waits for a lock, and gives its token.
async fn acquire(client: &Client, name: &str) -> anyhow::Result<u64> {
    token(&send(client, "acquire", json!({ "name": name, "deadline_ms": DEADLINE_MS })).await?)
}

async fn release(client: &Client, name: &str, token: u64) -> anyhow::Result<Value> {
    client.release(name, token, PATIENCE).await
}

/// An update that takes effect only under that lock.
fn under(name: &str, token: u64, sql: &str) -> Request {
    Request::new(sql).with("locks", json!([{ "name": name, "token": token }]))
}

async fn count(client: &Client, table: &str) -> anyhow::Result<u64> {
    let read = Request::new(format!("RETURN count((SELECT id FROM {table}))")).strong();
    let reply = client.read(&read, PATIENCE).await.done()?;
    reply.results[0].as_u64().ok_or_else(|| anyhow::anyhow!("no count: {reply:?}"))
}

/// One client: takes its turns, and gives the token under which it wrote each number.
async fn take_turns(client: Client) -> anyhow::Result<BTreeMap<u64, u64>> {
    let mut written = BTreeMap::new();
    for _ in 0..TURNS {
        let token = acquire(&client, "counter").await?;
        let increment = under("counter", token, "UPDATE counter:one SET number += 1 RETURN VALUE number");
        let reply = client.update(&increment.deadline(Duration::from_secs(20))).await.done()?;
        let number = reply.results[0][0].as_u64();
        written.insert(number.ok_or_else(|| anyhow::anyhow!("an increment returned {:?}", reply.results))?, token);
        let released = release(&client, "counter", token).await?;
        anyhow::ensure!(released["released"] == true, "{released}");
    }
    Ok(written)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_turns_meets_no_conflict() -> anyhow::Result<()> {
    for options in [Options::primary(), Options::peer()] {
        System::run(options, async |system| {
            let client = system.client();
            client.commit(Request::new("UPSERT counter:one SET number = 0"), PATIENCE).await?;
            let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(take_turns(client.clone()))).collect();
            let mut written = BTreeMap::new();
            for client in clients {
                // The first error is told: a conflict, or a number that was handed out twice.
                for (number, token) in client.await?? {
                    anyhow::ensure!(written.insert(number, token).is_none(), "{number} was handed out twice");
                }
            }
            let numbers: Vec<_> = written.keys().copied().collect();
            anyhow::ensure!(numbers == (1..=CLIENTS * TURNS).collect::<Vec<_>>(), "{numbers:?}");
            let tokens: Vec<_> = written.values().copied().collect();
            anyhow::ensure!(tokens.is_sorted_by(|earlier, later| earlier < later), "tokens do not grow: {tokens:?}");
            system.equal_digests(&system.csps()).await?;
            system.all_alive()
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lost_a_lock_changes_nothing() -> anyhow::Result<()> {
    for options in [Options::primary(), Options::peer()] {
        System::run(options, async |system| {
            let client = system.client();
            client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;

            // 1. A holder begins its work, and is then away for longer than its lease. Somebody else waits for that.
            let lost = token(&send(&client, "acquire", json!({ "name": "shelf", "lease_ms": 1_000 })).await?)?;
            let locks = json!([{ "name": "shelf", "token": lost }]);
            let begin = subject::transaction(GROUP, "begin");
            let begun = client.ask(begin, &json!({ "locks": locks, "idle_ms": DEADLINE_MS }), PATIENCE).await?;
            let transaction = json!({ "transaction": begun["transaction"], "sql": "CREATE item:1" });
            client.ask(subject::transaction(GROUP, "execute"), &transaction, PATIENCE).await?;
            let taken = acquire(&client, "shelf").await?;
            anyhow::ensure!(taken > lost, "{taken} is not beyond {lost}");

            // 2. Nothing that it does under its old token takes effect, and it cannot get the lock back by renewing it.
            let late = client.update(&under("shelf", lost, "CREATE item:2")).await.refused()?;
            anyhow::ensure!(late.code == "lock_lost" && !late.retryable, "{late:?}");
            let commit = json!({ "transaction": begun["transaction"] }).to_string().into_bytes();
            let commit = client.send(subject::transaction(GROUP, "commit"), commit, PATIENCE).await.refused()?;
            anyhow::ensure!(commit.code == "lock_lost", "{commit:?}");
            let renewal = send(&client, "acquire", json!({ "name": "shelf", "token": lost })).await?;
            anyhow::ensure!(renewal["error"]["code"] == "lock_lost", "{renewal}");
            let late = release(&client, "shelf", lost).await?;
            anyhow::ensure!(late["released"] == false, "{late}");
            anyhow::ensure!(count(&client, "item").await? == 0, "something was written under a lost lock");

            // 3. The new holder is not disturbed, and renews under its token.
            client.update(&under("shelf", taken, "CREATE item:3")).await.done()?;
            let renewed = send(&client, "acquire", json!({ "name": "shelf", "token": taken })).await?;
            anyhow::ensure!(token(&renewed)? == taken, "{renewed}");
            anyhow::ensure!(count(&client, "item").await? == 1, "the holder's update is missing");
            system.equal_digests(&system.csps()).await?;
            system.all_alive()
        })
        .await?;
    }
    Ok(())
}

/// The CSP that gave the lock is killed: everybody else knows of it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_outlives_the_csp_that_gave_it() -> anyhow::Result<()> {
    for options in [Options::primary(), Options::peer()] {
        System::run(options, async |system| {
            let client = system.client();
            client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
            let body = json!({ "id": "turn-1", "name": "shelf", "lease_ms": 600_000, "deadline_ms": DEADLINE_MS });
            let acquired = send(&client, "acquire", body.clone()).await?;
            let held = token(&acquired)?;
            let giver = acquired["csp"].as_str().unwrap_or_default().to_owned();
            system.kill9(&giver);

            // 1. The token holds: its update is carried out, once.
            let update = under("shelf", held, "CREATE item:1").deadline(Duration::from_millis(DEADLINE_MS));
            client.settle(&update, PATIENCE).await.done()?;
            anyhow::ensure!(count(&client, "item").await? == 1, "the holder's update is missing");

            // 2. Asked for again under the same id, it is the same acquisition; under another one, it is held.
            let again = send(&client, "acquire", body).await?;
            anyhow::ensure!(token(&again)? == held && again["csp"] != giver.as_str(), "{again}");
            let other = send(&client, "acquire", json!({ "name": "shelf", "wait": false })).await?;
            anyhow::ensure!(other["error"]["code"] == "lock_held", "{other}");

            // 3. The one that was killed learns of it from the log.
            system.heal().await?;
            let released = release(&client, "shelf", held).await?;
            anyhow::ensure!(released["released"] == true, "{released}");
            anyhow::ensure!(acquire(&client, "shelf").await? > held, "a token that does not grow");
            system.equal_digests(&system.csps()).await?;
            system.all_alive()
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_wait_is_told_and_who_waits_gets_in() -> anyhow::Result<()> {
    for options in [Options::primary(), Options::peer()] {
        System::run(options, async |system| {
            let client = system.client();
            let body = json!({ "name": "shelf", "lease_ms": 60_000, "holder": "till 3" });
            let held = token(&send(&client, "acquire", body).await?)?;

            // 1. Held is held: for whoever does not wait at once, for whoever waits at its deadline.
            for body in [json!({ "name": "shelf", "wait": false }), json!({ "name": "shelf", "deadline_ms": 300 })] {
                let refused = send(&client, "acquire", body).await?;
                anyhow::ensure!(refused["error"]["code"] == "lock_held", "{refused}");
                let retry_after_ms = refused["error"]["retry_after_ms"].as_u64().unwrap_or_default();
                anyhow::ensure!((30_000..=60_000).contains(&retry_after_ms), "{refused}");
            }

            // 2. Everybody can see who holds it.
            until("the lock in a listing", PATIENCE, async || {
                let listed = send(&client, "list", json!({})).await.map_err(|error| error.to_string())?;
                let lock = &listed["locks"][0];
                let is_ours = lock["name"] == "shelf" && lock["token"] == held && lock["holder"] == "till 3";
                if is_ours && lock["remaining_ms"].as_u64() > Some(30_000) { Ok(()) } else { Err(listed.to_string()) }
            })
            .await?;

            // 3. A release lets in who waits.
            let waiter = tokio::spawn({
                let client = client.clone();
                async move { acquire(&client, "shelf").await.map(|token| (token, Instant::now())) }
            });
            let meanwhile = send(&client, "acquire", json!({ "name": "other" })).await?;
            token(&meanwhile)?;
            let released = Instant::now();
            release(&client, "shelf", held).await?;
            let (next, at) = waiter.await??;
            anyhow::ensure!(next > held, "{next} is not beyond {held}");
            anyhow::ensure!(at - released < RELEASE_BOUND, "it took {:?}", at - released);
            system.all_alive()
        })
        .await?;
    }
    Ok(())
}

/// Waits for a lock in the background under an id of its own, and gives it back at once. When this returns, that stands in line:
/// somebody who came later was refused at its deadline.
async fn line_up(client: &Client, name: &'static str) -> anyhow::Result<JoinHandle<anyhow::Result<u64>>> {
    let waiter = tokio::spawn({
        let client = client.clone();
        async move {
            let body = json!({ "id": "waiter", "name": name, "deadline_ms": DEADLINE_MS });
            let acquired = token(&send(&client, "acquire", body).await?)?;
            release(&client, name, acquired).await?;
            Ok(acquired)
        }
    });
    let later = send(client, "acquire", json!({ "name": name, "deadline_ms": 500 })).await?;
    anyhow::ensure!(later["error"]["retryable"] == true, "{later}");
    Ok(waiter)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repetition_gets_what_its_id_holds_while_others_wait() -> anyhow::Result<()> {
    for options in [Options::primary(), Options::peer()] {
        System::run(options, async |system| {
            let client = system.client();
            let body = json!({ "id": "holder", "name": "shelf", "lease_ms": 600_000, "deadline_ms": 20_000 });
            let held = token(&send(&client, "acquire", body.clone()).await?)?;
            let waiter = line_up(&client, "shelf").await?;

            // One after the other, so that most come behind whoever waits, whichever way each takes.
            for _ in 0..10 {
                let again = send(&client, "acquire", body.clone()).await?;
                anyhow::ensure!(token(&again)? == held, "{again}");
            }
            let other = json!({ "id": "holder", "name": "shelf", "lease_ms": 1_000, "deadline_ms": 20_000 });
            let other = send(&client, "acquire", other).await?;
            anyhow::ensure!(other["error"]["code"] == "id_reused", "{other}");

            release(&client, "shelf", held).await?;
            let next = waiter.await??;
            anyhow::ensure!(next > held, "{next} is not beyond {held}");
            system.all_alive()
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_gave_up_finds_the_lock_that_came_to_its_id_meanwhile() -> anyhow::Result<()> {
    for options in [Options::primary(), Options::peer()] {
        System::run(options, async |system| {
            let client = system.client();
            let held = token(&send(&client, "acquire", json!({ "name": "shelf", "lease_ms": 600_000 })).await?)?;

            // 1. Somebody waits, and then for the answer no longer. Its request stands there all the same, others behind it.
            let asking = |deadline_ms: u64| {
                json!({ "id": "gave-up", "name": "shelf", "lease_ms": 600_000, "deadline_ms": deadline_ms })
            };
            let acquire = subject::lock(GROUP, "acquire");
            let answer = client.answer(acquire, &asking(DEADLINE_MS), Duration::from_secs(1)).await;
            anyhow::ensure!(answer.is_err(), "{answer:?}");
            let waiter = line_up(&client, "shelf").await?;

            // 2. The lock comes to its id. Asked for again it is told, and does not wait for itself behind the others.
            release(&client, "shelf", held).await?;
            let found = token(&send(&client, "acquire", asking(20_000)).await?)?;
            anyhow::ensure!(found > held, "{found} is not beyond {held}");
            anyhow::ensure!(token(&send(&client, "acquire", asking(20_000)).await?)? == found, "a second acquisition");

            // 3. Given back, it lets in who waits.
            release(&client, "shelf", found).await?;
            let next = waiter.await??;
            anyhow::ensure!(next > held && next != found, "{next}, {found}, {held}");
            system.all_alive()
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_messages_are_refused() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        let odd = [
            ("acquire", json!({})),
            ("acquire", json!({ "name": "a b" })),
            ("acquire", json!({ "name": "a", "lease_ms": 1 })),
            ("acquire", json!({ "name": "a", "unknown": 1 })),
            ("release", json!({ "name": "a" })),
            ("list", json!([])),
        ];
        client.refused_as_invalid(|verb| subject::lock(GROUP, verb), &odd, PATIENCE).await?;
        let never = client.update(&under("never", 1, "RETURN 1")).await.refused()?;
        anyhow::ensure!(never.code == "lock_lost", "{never:?}");
        let twice = json!([{ "name": "a", "token": 1 }, { "name": "a", "token": 2 }]);
        let twice = client.update(&Request::new("RETURN 1").with("locks", twice)).await.refused()?;
        anyhow::ensure!(twice.code == "invalid_request", "{twice:?}");
        system.all_alive()
    })
    .await
}
