//! The `holdfast` command. Everything that it does is in the library beside it, where tests can reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    holdfast_cli::main()
}
