//! The network between one service and NATS: proxies that tests can cut, slow down, and heal.
//!
//! There is one proxy for each NATS server, and one condition for all of them, as the cable of a machine is one. A cut is
//! silent, as real ones are: connections stay open, nobody is told, and what was sent meanwhile arrives once the network is
//! healed, because TCP sends it again. `disconnect` is the other kind, where both ends learn of it at once.

mod carry;
mod condition;
mod proxy;
mod routes;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use condition::Cut;
use condition::{Condition, PERFECT};
use proxy::Proxy;
pub use routes::Routes;

/// A service's network. It works until it is dropped.
#[derive(Debug)]
pub struct Network {
    condition: Arc<watch::Sender<Condition>>,
    proxies: Vec<Proxy>,
}

impl Network {
    /// A network to the NATS servers on these ports.
    pub async fn start(servers: &[u16]) -> anyhow::Result<Self> {
        let condition = Arc::new(watch::Sender::new(PERFECT));
        let mut proxies = Vec::new();
        for &server in servers {
            proxies.push(Proxy::start(server, Arc::clone(&condition)).await?);
        }
        Ok(Self { condition, proxies })
    }

    /// Where the service finds NATS: all servers, through this network.
    pub fn url(&self) -> String {
        let urls: Vec<String> = self.proxies.iter().map(|proxy| format!("nats://127.0.0.1:{}", proxy.port())).collect();
        urls.join(",")
    }

    /// Where one of the servers is found through this network.
    pub(super) fn port(&self, server: usize) -> Option<u16> {
        self.proxies.get(server).map(Proxy::port)
    }

    /// Closes every connection and refuses new ones: both ends learn of it at once.
    pub fn disconnect(&self) {
        self.condition.send_modify(|condition| condition.open = false);
    }

    /// Carries nothing more in these directions, silently.
    pub fn cut(&self, cut: Cut) {
        self.condition.send_modify(|condition| condition.cut = Some(cut));
    }

    /// Lets everything arrive this much later, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.condition.send_modify(|condition| condition.delay = delay);
    }

    /// Makes it perfect again; what was held back arrives now.
    pub fn heal(&self) {
        self.condition.send_replace(PERFECT);
    }
}
