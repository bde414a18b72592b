//! The table of promises names tests and sabotages that exist.

use std::path::{Path, PathBuf};

use anyhow::Context;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file below these folders.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// Whether a file is meant by the part of a name before `::`: `a/b` is `.../a/b.rs` or `.../a/b/mod.rs`.
fn is_meant(path: &Path, module: &str) -> bool {
    let path = path.to_string_lossy();
    let path = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or(&path);
    path == module || path.ends_with(&format!("/{module}"))
}

fn is_test(sources: &[PathBuf], name: &str) -> anyhow::Result<bool> {
    let (module, function) = name.split_once("::").with_context(|| format!("`{name}` is not `file::function`"))?;
    for path in sources.iter().filter(|path| is_meant(path, module)) {
        let text = std::fs::read_to_string(path)?;
        let declared = format!("fn {function}(");
        let mut before = text.split(&declared).take(text.matches(&declared).count());
        if before.any(|before| before.trim_end().ends_with(']') || before.trim_end().ends_with("async")) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What stands in backticks.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn name_tests_and_sabotages_that_exist() -> anyhow::Result<()> {
    let root = root();
    let mut found = Vec::new();
    for folder in ["tests", "services", "schemas"] {
        sources(&root.join(folder), &mut found)?;
    }
    let faults = std::fs::read_to_string(root.join("services/replication/src/fault.rs"))?;
    let table = std::fs::read_to_string(root.join("docs/promises.md"))?;
    let (mut promises, mut missing) = (0, Vec::new());
    for line in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise |")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [promise, tests, sabotages] = cells[..] else { anyhow::bail!("not three cells: {line}") };
        promises += 1;
        anyhow::ensure!(names(tests).next().is_some(), "no test: {promise}");
        anyhow::ensure!(sabotages == "none" || names(sabotages).next().is_some(), "no sabotage: {promise}");
        for name in names(tests) {
            missing.extend((!is_test(&found, name)?).then_some(name));
        }
        for name in names(sabotages) {
            let is_fault = faults.contains(&format!("(\"{name}\", Self::"));
            missing.extend((!is_fault && !is_test(&found, name)?).then_some(name));
        }
    }
    anyhow::ensure!(promises > 40, "only {promises} promises were found");
    anyhow::ensure!(missing.is_empty(), "docs/promises.md names what does not exist: {missing:#?}");
    Ok(())
}
