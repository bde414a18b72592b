//! A statement that keeps a thread for minutes without giving way is that request's matter alone: its CSP is heard, answers others,
//! and is not called dead, however many of them there are. Nor does one end it that uses up its stack.

use std::time::Duration;

use holdfast_tests::client::Request;
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;
use serde_json::json;
use tokio::time::Instant;

/// Minutes of work in one call of a function.
const ENDLESS: &str = "RETURN string::html::sanitize(string::repeat('<div>', 200000))";
const LASTS: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(60);
/// Others wait for a thread, and never for the statement.
const ANSWERED_WITHIN: Duration = Duration::from_secs(2);

/// A process that is deaf misses more heartbeats than that in the time of a test; one that the machine held up for a moment does not.
const MISSED: u64 = 25;

/// More than a process has threads for requests, so that it needs others.
const MANY: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_gives_no_way_leaves_its_csp_alive() -> anyhow::Result<()> {
    lives_on(1).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn and_many_of_them_leave_it_alive_too() -> anyhow::Result<()> {
    lives_on(MANY).await
}

async fn lives_on(statements: usize) -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        system.define_group(&json!({ "supervision": { "heartbeats_missed": MISSED } })).await?;
        let mut endless = Vec::new();
        for _ in 0..statements {
            let client = system.new_client().await?;
            let request = Request::new(ENDLESS).deadline(Duration::from_secs(1));
            endless.push(tokio::spawn(async move { client.query_at("csp-2", &request).await }));
        }
        // What came before it was noticed that all threads are kept is lost with them: it is asked again, as any client does.
        until("csp-2 to answer", PATIENCE, async || {
            client.query_at("csp-2", &Request::new("RETURN 1").deadline(ANSWERED_WITHIN)).await.done()
        })
        .await?;
        let over = Instant::now() + LASTS;
        while Instant::now() < over {
            let asked = Instant::now();
            let answer = client.query_at("csp-2", &Request::new("RETURN 1").deadline(ANSWERED_WITHIN)).await.done()?;
            anyhow::ensure!(answer.results[0] == 1, "{answer:?}");
            anyhow::ensure!(asked.elapsed() < ANSWERED_WITHIN, "answered after {:?}", asked.elapsed());
            let judged = system.judged_states().await?;
            anyhow::ensure!(judged["csp-2"] == "available", "{judged:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        endless.iter().for_each(tokio::task::JoinHandle::abort);
        // Those threads are busy for minutes yet.
        system.may_end("csp-2");
        system.kill9("csp-2");
        Ok(())
    })
    .await
}

/// SurrealDB carries out asynchronous events by itself, behind the update that caused them and again after a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_asynchronous_events_keeps_nobody_waiting() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        system.define_group(&json!({ "supervision": { "heartbeats_missed": MISSED } })).await?;
        let event = format!("DEFINE EVENT endless ON cause ASYNC WHEN true THEN {{ {ENDLESS} }}");
        client.commit(Request::new(event), PATIENCE).await?;
        let causes = (0..MANY).map(|number| format!("CREATE cause:{number};")).collect::<String>();
        client.commit(Request::new(causes), PATIENCE).await?;
        until("an event to be under way", PATIENCE, async || {
            let used = system.usage().by_process;
            let is_busy = system.csps().iter().any(|csp| used.get(csp).is_some_and(|used| *used > LASTS));
            if is_busy { Ok(()) } else { Err(format!("{used:?}")) }
        })
        .await?;
        let over = Instant::now() + LASTS;
        while Instant::now() < over {
            let update = Request::new("UPSERT one:1 SET number += 1").deadline(ANSWERED_WITHIN);
            client.update(&update).await.done()?;
            for csp in system.csps() {
                client.query_at(&csp, &Request::new("RETURN 1").deadline(ANSWERED_WITHIN)).await.done()?;
            }
            let judged = system.judged_states().await?;
            anyhow::ensure!(judged.values().all(|state| state == "available"), "{judged:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for csp in system.csps() {
            // Those threads are busy for minutes yet.
            system.may_end(&csp);
            system.kill9(&csp);
        }
        Ok(())
    })
    .await
}

/// SurrealDB follows a path by recursion, and a stack that is used up ends the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_of_thousands_of_steps_ends_nobody() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("CREATE person:ada; DEFINE TABLE x"), PATIENCE).await?;
        for (step, parts) in [("->x", 1), ("<-x", 1), ("<~x", 1), (".?.x", 2)] {
            let path = |steps: usize| format!("RETURN person:ada{}", step.repeat(steps));
            if parts == 1 {
                client.read(&Request::new(path(4_990)).deadline(Duration::from_secs(20)), PATIENCE).await.done()?;
            }
            for steps in [5_000 / parts + 1, 20_000, 100_000] {
                let refused = client.query(&Request::new(path(steps))).await.refused()?;
                anyhow::ensure!(refused.code == "unsupported", "{steps} of {step}: {refused:?}");
            }
            let defined = Request::new(format!("DEFINE FUNCTION fn::far() {{ {} }}", path(20_000)));
            let refused = client.update(&defined).await.refused()?;
            anyhow::ensure!(refused.code == "unsupported", "{step}: {refused:?}");
        }
        system.all_alive()
    })
    .await
}
