//! Free ports below the range from which the kernel hands out ports by itself, so that a server which is killed finds
//! its port still free when it starts again.

use std::net::TcpListener;

use anyhow::Context;
use rand::RngExt;

const RANGE: std::ops::Range<u16> = 12_000..32_000;

/// `count` ports of 127.0.0.1 on which nobody listens.
pub fn free(count: usize) -> anyhow::Result<Vec<u16>> {
    let mut held = Vec::new();
    for _ in 0..1_000 {
        if held.len() == count {
            break;
        }
        let port = rand::rng().random_range(RANGE);
        held.extend(TcpListener::bind(("127.0.0.1", port)).map(|listener| (port, listener)));
    }
    (held.len() == count).then(|| held.iter().map(|(port, _)| *port).collect()).context("no free ports on 127.0.0.1")
}

/// The first of `count` ports of 127.0.0.1 that follow one another, on none of which anybody listens.
pub fn free_in_a_row(count: u16) -> anyhow::Result<u16> {
    let is_free = |first: u16| {
        let listeners: Result<Vec<_>, _> =
            (first..first + count).map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        listeners.is_ok()
    };
    let mut firsts = (0..1_000).map(|_| rand::rng().random_range(RANGE.start..RANGE.end - count));
    firsts.find(|first| is_free(*first)).context("no free ports in a row on 127.0.0.1")
}
