//! Proof that Holdfast keeps its promises: a harness that runs the real services over a real nats-server, a checker
//! for what clients were told, scenarios that break things, and the bench.

pub mod bench;
pub mod broken_promise;
pub mod client;
pub mod folder;
pub mod history;
pub mod scenario;
pub mod system;
pub mod up;
pub mod wait;
