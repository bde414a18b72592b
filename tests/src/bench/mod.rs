//! The bench: one run, one table. Plain embedded SurrealDB and three copies at engine level (measured by the
//! replication service's own bench, which links the engine), and the whole system from end to end.

mod end_to_end;
mod engine;
mod measure;
mod publish;
mod row;
mod table;

pub use end_to_end::EndToEnd;
pub use engine::engine_rows;
pub use publish::publish_row;
pub use row::Row;
pub use table::print_table;
