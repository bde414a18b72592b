//! The harness itself: children do not outlive it, and its network really is cut.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::nats_server::servers;
use super::process::Process;
use super::{Proxy, cpu_time};
use crate::client::Client;
use crate::wait::until;

const BOUND: Duration = Duration::from_secs(20);

async fn echo() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    Ok(port)
}

async fn exchange(stream: &mut TcpStream) -> std::io::Result<u8> {
    stream.write_all(b"x").await?;
    stream.read_u8().await
}

#[tokio::test]
async fn a_cut_closes_connections_and_a_mended_network_carries_again() -> anyhow::Result<()> {
    let proxy = Proxy::start(echo().await?).await?;
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert_eq!(exchange(&mut stream).await?, b'x');
    proxy.cut();
    assert!(tokio::time::timeout(BOUND, stream.read_u8()).await?.is_err(), "the connection outlived the cut");
    let mut refused = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert!(exchange(&mut refused).await.is_err(), "a new connection came through the cut");
    proxy.mend();
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port())).await?;
    assert_eq!(exchange(&mut stream).await?, b'x');
    Ok(())
}

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
