//! The process `holdfast-supervision`.

use holdfast_supervision::service::Supervision;
use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_foundation::run::<Supervision>()
}
