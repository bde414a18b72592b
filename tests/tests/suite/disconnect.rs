//! NATS goes away and comes back, for one service or for all: errors are clear, and nothing is lost.

use std::time::Duration;

use holdfast_tests::client::{Outcome, Request};
use holdfast_tests::history::Recorder;
use holdfast_tests::scenario::create_many;
use holdfast_tests::system::{Cut, Options, System};
use holdfast_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_nats_itself_loses_nothing() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let recorder = Recorder::begin(system.client(), 8).await?;
        for _ in 0..3 {
            let clients = recorder.clients(recorder.acknowledged(), 4);
            let before = recorder.acknowledged();
            wait_for(&recorder, before + 40).await?;
            system.kill9("nats-1");
            let request = Request::new("RETURN 1").deadline(Duration::from_millis(300));
            let outcome = system.client().update(&request).await;
            anyhow::ensure!(!matches!(outcome, Outcome::Done(_)), "answered without NATS: {outcome}");
            system.start_process("nats-1")?;
            wait_for(&recorder, recorder.acknowledged() + 40).await?;
            recorder.end();
            for client in clients {
                client.await??;
            }
            recorder.go_on();
        }
        system.heal().await?;
        eprintln!("{:?}", recorder.finish().await?);
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// The first question to the log is lost, and the connection with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_csp_that_starts_does_not_end_it() -> anyhow::Result<()> {
    let options = Options { stop_at: Some("before-subscribe"), proxied: true, ..Options::peer() };
    System::run(options, async |system| {
        let reply = system.client().commit(Request::new("CREATE part:one"), PATIENCE).await?;
        system.kill9("csp-3");
        let (stopped, started) = tokio::join!(system.stop_at_step("csp-3"), async { system.start_process("csp-3") });
        started?;
        stopped?;
        system.network("csp-3")?.cut(Cut::Both);
        system.resume("csp-3")?;
        until("csp-3 to ask again", PATIENCE, async || {
            let log = system.log_tail("csp-3");
            if log.contains("trying again to subscribe") { Ok(()) } else { Err(log) }
        })
        .await?;
        system.network("csp-3")?.disconnect();
        system.network("csp-3")?.heal();
        system.until_available(&system.csps()).await?;
        system.equal_answers(&system.csps(), "SELECT VALUE id FROM part", reply.position).await?;
        system.all_alive()
    })
    .await
}

async fn wait_for(recorder: &Recorder, wanted: u64) -> anyhow::Result<()> {
    until("updates to be acknowledged", PATIENCE, async || {
        let acknowledged = recorder.acknowledged();
        if acknowledged >= wanted { Ok(()) } else { Err(format!("{acknowledged} of {wanted}")) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_csp_leaves_the_others_serving() -> anyhow::Result<()> {
    System::run(Options { proxied: true, ..Options::peer() }, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE part"), PATIENCE).await?;
        system.network("csp-2")?.disconnect();
        let position = create_many(&client, "part", 500).await?;
        system.network("csp-2")?.heal();
        let what = format!("csp-2 to come back with everything up to {position}");
        system.until(&what, |status| status.available("csp-2") && status.applied("csp-2") >= position).await?;
        system.equal_answers(&system.csps(), "SELECT * FROM part", position).await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_every_csp_is_a_clear_error_until_they_are_back() -> anyhow::Result<()> {
    System::run(Options { proxied: true, ..Options::peer() }, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE part"), PATIENCE).await?;
        for csp in system.csps() {
            system.network(&csp)?.disconnect();
        }
        let request = Request::new("CREATE part:one").deadline(Duration::from_secs(1));
        match client.update(&request).await {
            Outcome::Refused(refusal) => anyhow::ensure!(refusal.retryable, "{refusal:?}"),
            Outcome::Unknown(_) => {}
            done => anyhow::bail!("no CSP could be reached, and yet: {done}"),
        }
        for csp in system.csps() {
            system.network(&csp)?.heal();
        }
        let reply = client.commit(request, PATIENCE).await?;
        system.until_available(&system.csps()).await?;
        let answer = system.equal_answers(&system.csps(), "SELECT VALUE id FROM part", reply.position).await?;
        anyhow::ensure!(answer[0].as_array().is_some_and(|rows| rows.len() == 1), "{answer:?}");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}
