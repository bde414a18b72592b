//! One direction of one connection: bytes go in, and come out when the network's condition lets them.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::condition::{Condition, Direction};

const CHUNK_BYTES: usize = 64 * 1024;
/// What is on its way in one direction at most; whoever sends more has to wait, as with a full TCP window.
const CHUNKS_UNDER_WAY: usize = 64;

/// Carries until the sender has closed and all of it has arrived, or one end is gone.
pub async fn carry(
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    direction: Direction,
    condition: watch::Receiver<Condition>,
) {
    let (sent, under_way) = mpsc::channel(CHUNKS_UNDER_WAY);
    tokio::join!(take(from, sent, condition.clone()), deliver(under_way, to, direction, condition));
}

/// Takes what is sent, and notes when it may arrive.
async fn take(mut from: OwnedReadHalf, sent: mpsc::Sender<(Instant, Bytes)>, condition: watch::Receiver<Condition>) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(length @ 1..) = from.read(&mut chunk).await {
        let due = Instant::now() + condition.borrow().delay;
        if sent.send((due, Bytes::copy_from_slice(&chunk[..length]))).await.is_err() {
            return;
        }
    }
}

/// Delivers in order: nothing before its time, nothing while this direction is cut, not even that the sender is gone.
async fn deliver(
    mut under_way: mpsc::Receiver<(Instant, Bytes)>,
    mut to: OwnedWriteHalf,
    direction: Direction,
    mut condition: watch::Receiver<Condition>,
) {
    loop {
        let next = under_way.recv().await;
        if let Some((due, _)) = &next
            && *due > Instant::now()
        {
            sleep_until(*due).await;
        }
        if condition.wait_for(|condition| condition.carries(direction)).await.is_err() {
            return;
        }
        let Some((_, chunk)) = next else { break };
        if to.write_all(&chunk).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
