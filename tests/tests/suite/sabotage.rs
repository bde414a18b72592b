//! The checker has to be worth something: with a certifier that was broken on purpose it finds the damage.

use std::time::Duration;

use holdfast_tests::history::{Recorder, Violation};
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;

const UPDATES: u64 = 600;

async fn work(options: Options) -> anyhow::Result<()> {
    System::run(options, async |system| {
        let recorder = Recorder::begin(system.client(), 3).await?;
        let clients = recorder.clients(5, 8);
        let enough = until("enough updates", Duration::from_secs(60), async || {
            let acknowledged = recorder.acknowledged();
            if acknowledged >= UPDATES { Ok(()) } else { Err(format!("{acknowledged} of {UPDATES}")) }
        })
        .await;
        recorder.end();
        for client in clients {
            client.await??;
        }
        enough?;
        eprintln!("{:?}", recorder.finish().await?);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sound_certifier_passes_on_few_hot_keys() -> anyhow::Result<()> {
    work(Options::peer()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certifier_that_ignores_conflicts_is_found_out() -> anyhow::Result<()> {
    let outcome = work(Options { sabotage: Some("ignore-conflicts"), ..Options::peer() }).await;
    let error = outcome.err().ok_or_else(|| anyhow::anyhow!("nothing was found"))?;
    let violation = error.downcast_ref::<Violation>();
    eprintln!("found: {error}");
    anyhow::ensure!(matches!(violation, Some(Violation::Result { .. })), "not what was to be found: {error:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_is_refused_where_faults_are_not_asked_for() -> anyhow::Result<()> {
    System::run(Options { csps: 2, csps_later: 1, ..Options::peer() }, async |system| {
        system.set_environment("csp-3", "HOLDFAST_FAULT", "ignore-conflicts");
        let started = system.start_ready("csp-3").await;
        let refused = started.as_ref().is_err_and(|error| error.to_string().contains("ended instead"));
        anyhow::ensure!(refused, "csp-3 was to refuse to start: {started:?}");
        Ok(())
    })
    .await
}
