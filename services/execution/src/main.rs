//! The process `holdfast-execution`.

use holdfast_execution::service::Execution;
use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_foundation::run::<Execution>()
}
