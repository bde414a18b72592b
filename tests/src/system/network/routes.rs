//! The routes between the NATS servers of a cluster: each server finds each other one through a proxy, so that one of them can be
//! cut off from the rest while all clients reach all servers.

use std::collections::BTreeMap;

use super::{Cut, Network};

/// One network for each pair of servers.
#[derive(Debug)]
pub struct Routes(BTreeMap<(usize, usize), Network>);

impl Routes {
    /// Routes between servers that listen for each other on these ports.
    pub async fn start(ports: &[u16]) -> anyhow::Result<Self> {
        let mut pairs = BTreeMap::new();
        for second in 0..ports.len() {
            for first in 0..second {
                pairs.insert((first, second), Network::start(&[ports[first], ports[second]]).await?);
            }
        }
        Ok(Self(pairs))
    }

    /// Where one server finds another.
    pub fn port(&self, from: usize, to: usize) -> Option<u16> {
        let pair = self.0.get(&(from.min(to), from.max(to)))?;
        pair.port(usize::from(to > from))
    }

    /// Cuts one server off from all others, silently.
    pub fn isolate(&self, server: usize) {
        let of_server = self.0.iter().filter(|((first, second), _)| *first == server || *second == server);
        of_server.for_each(|(_, network)| network.cut(Cut::Both));
    }

    /// Makes all routes whole again.
    pub fn heal(&self) {
        self.0.values().for_each(Network::heal);
    }
}
