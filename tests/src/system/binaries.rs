//! Finds the programs under test: those built together with the running test, unless the environment says otherwise.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The path of a Holdfast program.
pub fn service(name: &str) -> anyhow::Result<PathBuf> {
    match std::env::var_os("HOLDFAST_BIN_DIR") {
        Some(folder) => service_of(Path::new(&folder), name),
        None => service_of(&target_folder()?, name),
    }
}

/// The path of a Holdfast program of the build in this folder.
pub fn service_of(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    anyhow::ensure!(
        path.is_file(),
        "{} is missing: build it first (cargo build --release --workspace), or name the folder in HOLDFAST_BIN_DIR",
        path.display()
    );
    Ok(path)
}

/// The path of nats-server: HOLDFAST_NATS_SERVER, the checkout's own, or the one on the PATH.
pub fn nats_server() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("HOLDFAST_NATS_SERVER") {
        return Ok(PathBuf::from(path));
    }
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/bin");
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::iter::once(checkout)
        .chain(std::env::split_paths(&folders))
        .map(|folder| folder.join("nats-server"))
        .find(|path| path.is_file())
        .context("nats-server is missing: run `make tools`, or name it in HOLDFAST_NATS_SERVER")
}

/// `target/<profile>`, whether the running program is a binary in it or a test in its `deps`.
fn target_folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("the path of the running test is not known")?;
    let folder = program.parent().context("the running test has no folder")?;
    let above = folder.parent().filter(|_| folder.ends_with("deps"));
    Ok(above.unwrap_or(folder).to_path_buf())
}
