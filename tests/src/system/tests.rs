//! The harness itself: children do not outlive it, and what it restarts keeps its data.

use std::time::Duration;

use super::cpu_time;
use super::nats_server::servers;
use super::process::Process;
use crate::client::Client;
use crate::wait::until;

const BOUND: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_killed_nats_server_comes_back_on_its_port_with_its_data() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("log"))?;
    let servers = servers(1, Some("always"), folder.path())?;
    let mut process = Process::new(servers.specifications[0].clone());
    process.start()?;
    let urls = [format!("nats://127.0.0.1:{}", servers.client_ports[0])];
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

/// What happens when the harness is killed: the watchdog's input closes, and it takes the server with it.
#[tokio::test]
async fn a_server_does_not_outlive_the_harness() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("log"))?;
    let mut process = Process::new(servers(1, None, folder.path())?.specifications[0].clone());
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
