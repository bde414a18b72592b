//! The process `holdfast-administration`.

use holdfast_administration::service::Administration;
use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_foundation::run::<Administration>()
}
