//! Locks that nobody gives back: once their leases are over they cost nothing and count nowhere.

use std::time::Duration;

use holdfast_schemas::{limits, subject};
use holdfast_tests::client::{Client, Outcome, Request};
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;
use serde_json::{Value, json};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(120);
/// As many as may be held at once.
const LOCKS: usize = limits::MAX_LOCKS;
/// Clients at once.
const CLIENTS: usize = 32;
/// Acquisitions whose cost is measured.
const MEASURED: usize = 1_500;

/// Acquires `name:from` and so on, `count` of them, none of which is given back.
async fn acquire(client: &Client, name: &'static str, count: usize, lease_ms: u64) -> anyhow::Result<Vec<Value>> {
    let tasks: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for lock in (number..count).step_by(CLIENTS) {
                    let body = json!({ "name": format!("{name}:{lock}"), "lease_ms": lease_ms });
                    answers.push(client.answer(subject::lock(GROUP, "acquire"), &body, PATIENCE).await?);
                }
                anyhow::Ok(answers)
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await??);
    }
    Ok(answers)
}

/// The same, all of which must succeed. Gives the CPU time that the primary took for each: unlike the clock it says the same
/// on a machine with other work.
async fn cost(system: &System, client: &Client, name: &'static str, count: usize) -> anyhow::Result<Duration> {
    let (began, before) = (Instant::now(), system.usage());
    all_acquired(&acquire(client, name, count, limits::MIN_LOCK_LEASE_MS).await?)?;
    let cost = system.usage().since(&before).by_process["csp-1"] / u32::try_from(count)?;
    println!("{count} acquisitions of {name} took {:?}, and {cost:?} of the primary for each", began.elapsed());
    Ok(cost)
}

async fn until_none_is_held(client: &Client) -> anyhow::Result<()> {
    until("no lock is held", PATIENCE, async || {
        let list = client.answer(subject::lock(GROUP, "list"), &json!({}), PATIENCE).await;
        let list = list.map_err(|error| error.to_string())?;
        if list["locks"] == json!([]) && list["more"] != true { Ok(()) } else { Err(list.to_string()) }
    })
    .await
}

fn all_acquired(answers: &[Value]) -> anyhow::Result<()> {
    match answers.iter().find(|answer| !answer["token"].is_u64()) {
        Some(refused) => anyhow::bail!("not acquired: {refused}"),
        None => Ok(()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_whose_leases_are_over_cost_nothing_and_count_nowhere() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        cost(&system, &client, "warm", MEASURED).await?;
        let at_first = cost(&system, &client, "first", MEASURED).await?;

        // 1. As many as may be are left behind, as by clients that crash. On a quick machine all of them are held at once.
        until_none_is_held(&client).await?;
        let dead = json!({ "name": "dead", "lease_ms": limits::MIN_LOCK_LEASE_MS });
        let first = client.answer(subject::lock(GROUP, "acquire"), &dead, PATIENCE).await?;
        cost(&system, &client, "order", LOCKS - 1).await?;

        // 2. When their leases are over, none is listed.
        until_none_is_held(&client).await?;

        // 3. New names and old ones are to be had, for about what they cost at the start: the removal of the dead ones is in it.
        let behind = cost(&system, &client, "behind", MEASURED).await?;
        anyhow::ensure!(behind < at_first * 3, "{behind:?} for each behind {LOCKS} locks, and {at_first:?} at first");
        let again = acquire(&client, "order", MEASURED, 1_000).await?;
        all_acquired(&again)?;

        // 4. They are not kept: a token of then names nothing any more. A new one of the name is beyond it all the same.
        until("dead locks are removed", PATIENCE, async || {
            acquire(&client, "more", 1, 1_000).await.map_err(|error| error.to_string())?;
            let locks = json!([{ "name": "dead", "token": first["token"] }]);
            match client.update(&Request::new("RETURN 1").with("locks", locks)).await {
                Outcome::Refused(refusal) if refusal.code == "lock_lost" => Ok(()),
                other => Err(other.to_string()),
            }
        })
        .await?;
        let anew = client.answer(subject::lock(GROUP, "acquire"), &json!({ "name": "dead" }), PATIENCE).await?;
        anyhow::ensure!(anew["token"].as_u64() > first["token"].as_u64(), "{anew} behind {first}");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_that_are_held_are_bounded_also_after_a_restart() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        all_acquired(&acquire(&client, "held", LOCKS, limits::MAX_LOCK_LEASE_MS).await?)?;
        for _ in 0..2 {
            let refused =
                client.answer(subject::lock(GROUP, "acquire"), &json!({ "name": "beyond" }), PATIENCE).await?;
            anyhow::ensure!(refused["error"]["code"] == "overloaded", "{refused}");
            // Whoever is primary next has counted them from the log, and whoever comes back from its copy.
            for csp in system.csps() {
                system.kill9(&csp);
            }
            system.heal().await?;
        }
        let release = client.answer(subject::lock(GROUP, "list"), &json!({}), PATIENCE).await?;
        let (name, token) = (release["locks"][0]["name"].as_str(), release["locks"][0]["token"].as_u64());
        client.release(name.unwrap_or_default(), token.unwrap_or_default(), PATIENCE).await?;
        all_acquired(&acquire(&client, "beyond", 1, limits::MIN_LOCK_LEASE_MS).await?)?;
        system.all_alive()
    })
    .await
}
