//! The table of promises names tests and sabotages that exist, each promise once, and every test on real processes.

use std::collections::BTreeSet;
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
        if before.any(ends_with_test_attribute) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether what stands before a function makes it a test: its last attribute does.
fn ends_with_test_attribute(before: &str) -> bool {
    let before = before.trim_end();
    let before = before.strip_suffix("async").unwrap_or(before).trim_end();
    let attribute = before.rsplit_once("#[").map(|(_, attribute)| attribute).filter(|_| before.ends_with(']'));
    attribute.is_some_and(|attribute| attribute.starts_with("test]") || attribute.starts_with("tokio::test"))
}

/// Every test on real processes, by the name that the table gives it.
fn suite_tests(suite: &Path) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(suite)? {
        let path = entry?.path();
        let (module, text) = (path.file_stem().unwrap_or_default().to_string_lossy(), std::fs::read_to_string(&path)?);
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if line.trim_start().starts_with("#[tokio::test") {
                let declared = lines.find_map(|line| line.split_once("fn ")?.1.split_once('('));
                let (function, _) = declared.with_context(|| format!("no function behind a test of {module}"))?;
                found.push(format!("{module}::{function}"));
            }
        }
    }
    Ok(found)
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
    let (mut promises, mut missing) = (BTreeSet::new(), Vec::new());
    for line in table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise |")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [promise, tests, sabotages] = cells[..] else { anyhow::bail!("not three cells: {line}") };
        anyhow::ensure!(promises.insert(promise), "twice: {promise}");
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
    anyhow::ensure!(promises.len() > 40, "only {} promises were found", promises.len());
    anyhow::ensure!(missing.is_empty(), "docs/promises.md names what does not exist: {missing:#?}");
    Ok(())
}

#[test]
fn name_every_test_on_real_processes() -> anyhow::Result<()> {
    let root = root();
    let table = std::fs::read_to_string(root.join("docs/promises.md"))?;
    let named: BTreeSet<&str> = names(&table).collect();
    let mut tests = suite_tests(&root.join("tests/tests/suite"))?;
    anyhow::ensure!(tests.len() > 40, "only {} tests were found", tests.len());
    tests.retain(|test| !named.contains(test.as_str()));
    anyhow::ensure!(tests.is_empty(), "docs/promises.md does not name {tests:#?}");
    Ok(())
}

#[test]
fn tell_a_test_from_its_helpers() {
    for (before, is_test) in [
        ("#[test]\n", true),
        ("#[tokio::test(flavor = \"multi_thread\")]\nasync ", true),
        ("    #[tokio::test]\n    async ", true),
        ("#[cfg(test)]\n", false),
        ("#[test]\nfn one() {}\n\nasync ", false),
        ("#[test]\nfn one() {}\n\n#[must_use]\n", false),
    ] {
        assert_eq!(ends_with_test_attribute(before), is_test, "{before}");
    }
}
