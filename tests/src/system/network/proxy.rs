//! A TCP proxy between one service and one NATS server.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::carry::carry;
use super::condition::{Condition, Direction};

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a port of its own and passes everything on to `target`, as the condition allows.
    pub async fn start(target: u16, condition: Arc<watch::Sender<Condition>>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { port, task: tokio::spawn(accept(listener, target, condition)) })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: u16, condition: Arc<watch::Sender<Condition>>) {
    while let Ok((service, _)) = listener.accept().await {
        if condition.borrow().open {
            tokio::spawn(pass(service, target, condition.subscribe()));
        }
    }
}

/// Carries one connection until both ends have closed it, the network disconnects, or the harness drops the network.
async fn pass(service: TcpStream, target: u16, mut condition: watch::Receiver<Condition>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let _ = (service.set_nodelay(true), server.set_nodelay(true));
    let (from_service, to_service) = service.into_split();
    let (from_server, to_server) = server.into_split();
    let up = carry(from_service, to_server, Direction::ToNats, condition.clone());
    let down = carry(from_server, to_service, Direction::FromNats, condition.clone());
    tokio::select! {
        _ = async { tokio::join!(up, down) } => {}
        _ = condition.wait_for(|condition| !condition.open) => {}
    }
}
