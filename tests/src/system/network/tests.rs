//! The harness's network does what it says: it really is cut, silently or not, and what was held back arrives.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::{Cut, Network};

const BOUND: Duration = Duration::from_secs(20);
/// Long enough for a byte to pass a proxy many times over.
const SILENCE: Duration = Duration::from_millis(100);

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

async fn connect(network: &Network) -> anyhow::Result<TcpStream> {
    Ok(TcpStream::connect(("127.0.0.1", network.proxies[0].port())).await?)
}

async fn exchange(stream: &mut TcpStream) -> std::io::Result<u8> {
    stream.write_all(b"x").await?;
    stream.read_u8().await
}

#[tokio::test]
async fn a_disconnected_network_closes_connections_and_a_healed_one_carries_again() -> anyhow::Result<()> {
    let network = Network::start(&[echo().await?]).await?;
    let mut stream = connect(&network).await?;
    assert_eq!(exchange(&mut stream).await?, b'x');
    network.disconnect();
    assert!(timeout(BOUND, stream.read_u8()).await?.is_err(), "the connection outlived it");
    let mut refused = connect(&network).await?;
    assert!(exchange(&mut refused).await.is_err(), "a new connection came through");
    network.heal();
    let mut stream = connect(&network).await?;
    assert_eq!(exchange(&mut stream).await?, b'x');
    Ok(())
}

#[tokio::test]
async fn a_cut_is_silent_and_what_was_held_back_arrives_when_it_is_healed() -> anyhow::Result<()> {
    let network = Network::start(&[echo().await?]).await?;
    for cut in [Cut::Both, Cut::ToNats, Cut::FromNats] {
        let mut stream = connect(&network).await?;
        assert_eq!(exchange(&mut stream).await?, b'x');
        network.cut(cut);
        assert!(timeout(SILENCE, exchange(&mut stream)).await.is_err(), "{cut}: a byte came back, or an end was told");
        network.heal();
        assert_eq!(timeout(BOUND, stream.read_u8()).await??, b'x', "{cut}");
    }
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_connection_does_not_pass_a_cut_either() -> anyhow::Result<()> {
    let network = Network::start(&[echo().await?]).await?;
    let mut stream = connect(&network).await?;
    assert_eq!(exchange(&mut stream).await?, b'x');
    network.cut(Cut::Both);
    stream.shutdown().await?;
    assert!(timeout(SILENCE, stream.read_u8()).await.is_err(), "the echo's end came through the cut");
    network.heal();
    assert!(timeout(BOUND, stream.read_u8()).await?.is_err());
    Ok(())
}

#[tokio::test]
async fn a_delay_lets_everything_arrive_later_and_in_order() -> anyhow::Result<()> {
    const DELAY: Duration = Duration::from_millis(60);
    let network = Network::start(&[echo().await?]).await?;
    let mut stream = connect(&network).await?;
    network.delay(DELAY);
    let sent = Instant::now();
    stream.write_all(b"abc").await?;
    let mut answer = [0; 3];
    timeout(BOUND, stream.read_exact(&mut answer)).await??;
    assert_eq!(&answer, b"abc");
    assert!(sent.elapsed() >= 2 * DELAY, "there and back took only {:?}", sent.elapsed());
    Ok(())
}
