//! What must hold, shown on real processes over a real nats-server. Each test has a system of its own.

mod bad_input;
mod bank;
mod catch_up;
mod consistency;
mod content;
mod counters;
mod deposed;
mod disconnect;
mod failover;
mod faults;
mod features;
mod gray;
mod growth;
mod identity;
mod idle;
mod kills;
mod large;
mod locks;
mod pools;
mod returning;
mod sabotage;
mod tasks;
mod transactions;
mod up;
mod windows;
mod write_skew;
