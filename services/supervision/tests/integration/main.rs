//! Supervision as processes, beside a real nats-server and CSPs that only say that they live.

#[path = "../../../execution/tests/integration/nats.rs"]
mod nats;

mod agreement;
mod events;
mod life;
mod scene;
