//! The harness itself: children do not outlive it, and what it restarts keeps its data.

use std::time::Duration;

use super::nats_server::{Ports, servers};
use super::process::Process;
use super::{Routes, cpu_time};
use crate::client::Client;
use crate::wait::until;

const BOUND: Duration = Duration::from_secs(20);
/// A leader that was cut off takes its time to notice, and so do the others to elect one.
const ELECTION_BOUND: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_killed_nats_server_comes_back_on_its_port_with_its_data() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("log"))?;
    let ports = Ports::free(1)?;
    let mut process = Process::new(servers(&ports, Some("always"), folder.path(), None)?[0].clone());
    process.start()?;
    let urls = [format!("nats://127.0.0.1:{}", ports.client[0])];
    let client = until("nats-server", BOUND, async || Client::connect(&urls, "g").await).await?;
    let mut context = async_nats::jetstream::new(client.nats().clone());
    // A request that was written to the connection of the killed server is never answered.
    context.set_timeout(Duration::from_secs(1));
    let config =
        async_nats::jetstream::stream::Config { name: "S".into(), subjects: vec!["s".into()], ..Default::default() };
    until("JetStream", BOUND, async || context.create_stream(config.clone()).await).await?;
    context.publish("s", "kept".into()).await?.await?;
    assert!(process.id().is_some_and(|id| cpu_time(id).is_some()));
    process.kill();
    assert!(process.id().is_none());
    process.start()?;
    let kept = until("the stream", BOUND, async || context.get_stream("S").await).await?;
    assert_eq!(kept.cached_info().state.messages, 1);
    Ok(())
}

/// One server of three is cut off, twice, because servers learn of other ways to each other when they meet again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_server_has_no_way_around_the_proxies() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("log"))?;
    let ports = Ports::free(3)?;
    let routes = Routes::start(&ports.route).await?;
    let mut processes: Vec<Process> =
        servers(&ports, None, folder.path(), Some(&routes))?.into_iter().map(Process::new).collect();
    processes.iter_mut().try_for_each(Process::start)?;
    let mut contexts = Vec::new();
    for port in &ports.client {
        let urls = [format!("nats://127.0.0.1:{port}")];
        let client = until("nats-server", BOUND, async || Client::connect(&urls, "g").await).await?;
        let mut context = async_nats::jetstream::new(client.nats().clone());
        context.set_timeout(Duration::from_millis(500));
        contexts.push(context);
    }
    let reached = async |servers: &[usize]| {
        for server in servers {
            contexts[*server].query_account().await.map_err(|error| format!("{server}: {error}"))?;
        }
        Ok::<_, String>(())
    };
    until("JetStream on all", ELECTION_BOUND, async || reached(&[0, 1, 2]).await).await?;
    for _ in 0..2 {
        routes.isolate(2);
        until("JetStream to be out of reach for the third", ELECTION_BOUND, async || match reached(&[2]).await {
            Ok(()) => Err("it answers"),
            Err(_) => Ok(()),
        })
        .await?;
        until("JetStream on the others", ELECTION_BOUND, async || reached(&[0, 1]).await).await?;
        anyhow::ensure!(reached(&[2]).await.is_err(), "it found another way");
        routes.heal();
        until("JetStream on all again", ELECTION_BOUND, async || reached(&[0, 1, 2]).await).await?;
    }
    Ok(())
}

/// What happens when the harness is killed: the watchdog's input closes, and it takes the server with it.
#[tokio::test]
async fn a_server_does_not_outlive_the_harness() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("log"))?;
    let mut process = Process::new(servers(&Ports::free(1)?, None, folder.path(), None)?[0].clone());
    process.start()?;
    assert_eq!(process.exit_status(), None);
    process.close_inputs();
    until("nats-server to be killed", BOUND, async || process.exit_status().ok_or("running")).await?;
    Ok(())
}

#[tokio::test]
async fn a_wait_that_ends_in_vain_tells_the_last_state() {
    let mut asked = 0;
    let outcome = until("the impossible", Duration::from_millis(100), async || {
        asked += 1;
        Err::<(), _>(format!("asked {asked} times"))
    })
    .await;
    let message = outcome.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(message.contains("the impossible") && message.contains(&format!("asked {asked} times")), "{message}");
}
