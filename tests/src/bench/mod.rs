//! The benches. What requests cost: one run, one table, plain embedded SurrealDB and three copies at engine level (measured
//! by the replication service's own bench, which links the engine), and the whole system from end to end, alone or beside
//! the programs of another build. How long clients
//! wait when something is lost. What a query costs with more copies.

mod beside;
mod end_to_end;
mod engine;
mod failover;
mod measure;
mod publish;
mod row;
mod scale;
mod table;

pub use beside::{Beside, print_beside};
pub use end_to_end::EndToEnd;
pub use engine::engine_rows;
pub use failover::{Case, FailoverRow, Limits, failover_row, print_failover};
pub use publish::publish_row;
pub use row::Row;
pub use scale::{ScaleRow, print_scale, scale_row};
pub use table::print_table;
