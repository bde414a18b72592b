//! Writes the JSON Schemas of all messages below `json/`, or with `--check` says which of them are out of date.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use holdfast_schemas::contract::{self, Contract};

fn main() -> ExitCode {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(_) => return tell("usage: holdfast-schemas-generate [--check]", ExitCode::from(2)),
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("json");
    let stale: Vec<Contract> = contract::all().into_iter().filter(|contract| !is_current(&folder, contract)).collect();
    if check {
        return report(&stale);
    }
    for contract in &stale {
        let path = folder.join(contract.schema_path());
        if let Err(error) = write(&path, &contract::schema_text(contract)) {
            return tell(&format!("{} cannot be written: {error}", path.display()), ExitCode::FAILURE);
        }
    }
    tell(&format!("{} schemas written", stale.len()), ExitCode::SUCCESS)
}

fn is_current(folder: &Path, contract: &Contract) -> bool {
    std::fs::read_to_string(folder.join(contract.schema_path()))
        .is_ok_and(|text| text == contract::schema_text(contract))
}

fn report(stale: &[Contract]) -> ExitCode {
    if stale.is_empty() {
        return tell("all schemas are current", ExitCode::SUCCESS);
    }
    let names: Vec<_> = stale.iter().map(|contract| contract.type_name).collect();
    tell(&format!("out of date, run holdfast-schemas-generate: {}", names.join(", ")), ExitCode::FAILURE)
}

fn write(path: &PathBuf, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}

fn tell(text: &str, code: ExitCode) -> ExitCode {
    // If standard error is closed there is nobody left to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
    code
}
