//! How each service is started: which program, with which settings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::process::Specification;
use super::{GROUP, Options, binaries};

/// A service under the name that tests use, and the kind that names its program and its section of settings.
pub struct Member {
    /// `csp-2`, `execution-1`.
    pub name: String,
    /// `replication`, `execution`, ...
    pub kind: &'static str,
}

/// Everything that runs besides NATS.
pub fn members(options: &Options) -> Vec<Member> {
    let many = |kind, prefix: &str, count: usize| {
        (1..=count).map(|number| Member { name: format!("{prefix}-{number}"), kind }).collect::<Vec<_>>()
    };
    let mut members = many("administration", "administration", 1);
    members.extend(many("supervision", "supervision", options.supervisions));
    members.extend(many("execution", "execution", options.executions));
    members.extend(many("replication", "csp", options.csps + options.csps_later));
    members
}

/// Where a service says that it is ready.
pub fn ready_file(folder: &Path, name: &str) -> PathBuf {
    folder.join("run").join(format!("{name}.ready"))
}

/// Where a CSP keeps its copy, on a disk of its own or not.
pub fn copy_folder(folder: &Path, csp: &str) -> PathBuf {
    folder.join(csp).join("copy")
}

/// Where it is said by how much a service's clock is wrong.
pub fn clock_file(folder: &Path, name: &str) -> PathBuf {
    folder.join("run").join(format!("{name}.clock"))
}

/// The file that tells a CSP to stop when it next reaches the step that it was started for.
pub fn stop_file(folder: &Path, csp: &str) -> PathBuf {
    folder.join("run").join(format!("{csp}.stop"))
}

/// The file that keeps a CSP from applying anything for as long as it exists.
pub fn hold_file(folder: &Path, csp: &str) -> PathBuf {
    folder.join("run").join(format!("{csp}.hold"))
}

/// How to start a service that reaches NATS at `url`.
pub fn specification(member: &Member, options: &Options, folder: &Path, url: &str) -> anyhow::Result<Specification> {
    let mut environment: BTreeMap<String, String> = [
        ("HOLDFAST_NATS__URL", url.to_owned()),
        ("HOLDFAST_EXIT_ON_STDIN_EOF", "1".to_owned()),
        ("HOLDFAST_READY_FILE", ready_file(folder, &member.name).display().to_string()),
        ("HOLDFAST_TELEMETRY__LOG", std::env::var("HOLDFAST_TEST_LOG").unwrap_or_else(|_| "info".into())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if member.kind == "replication" {
        environment.extend(replication(member, options, folder));
    } else if options.told_bucket_replicas {
        // Definitions, states and assignments are kept by as many servers as the log: it would be of no use without them.
        let variable = format!("HOLDFAST_{}__BUCKET_REPLICAS", member.kind.to_uppercase());
        environment.insert(variable, options.nats_servers.to_string());
    }
    if member.kind == "supervision" {
        environment.insert("HOLDFAST_SUPERVISION__SUPERVISORS".into(), options.supervisions.to_string());
    }
    if options.own_clocks {
        environment.insert("HOLDFAST_FAULT_CLOCK".into(), clock_file(folder, &member.name).display().to_string());
        environment.insert("HOLDFAST_FAULT_INJECTION".into(), "1".into());
    }
    let program = format!("holdfast-{}", member.kind);
    Ok(Specification {
        name: member.name.clone(),
        program: match &options.programs {
            Some(folder) => binaries::service_of(folder, &program)?,
            None => binaries::service(&program)?,
        },
        arguments: Vec::new(),
        environment,
        folder: folder.to_path_buf(),
        log: folder.join("log").join(format!("{}.log", member.name)),
        watches_stdin: true,
    })
}

fn replication(member: &Member, options: &Options, folder: &Path) -> BTreeMap<String, String> {
    const MEMORY_MB: &str = "256";
    let setting = |field: &str, value: String| (format!("HOLDFAST_REPLICATION__{field}"), value);
    let mut environment: BTreeMap<String, String> = [
        setting("GROUP", GROUP.into()),
        setting("CSP", member.name.clone()),
        setting("NODE", member.name.replace("csp", "node")),
        setting("DATA_DIR", copy_folder(folder, &member.name).display().to_string()),
        setting("STORAGE", options.storage.into()),
        setting("MEMORY_MB", MEMORY_MB.into()),
    ]
    .into();
    let stop_at = options.stop_at.map(|step| format!("stop-at:{step}:{}", stop_file(folder, &member.name).display()));
    let hold = options.holds_apply.then(|| format!("hold-apply:{}", hold_file(folder, &member.name).display()));
    let is_saboteur = options.saboteur.is_none_or(|saboteur| saboteur == member.name);
    let sabotage = options.sabotage.filter(|_| is_saboteur).map(str::to_owned);
    let faults: Vec<String> = [stop_at, hold, sabotage].into_iter().flatten().collect();
    if !faults.is_empty() {
        environment.insert("HOLDFAST_FAULT".into(), faults.join(","));
        environment.insert("HOLDFAST_FAULT_INJECTION".into(), "1".into());
    }
    environment.extend(options.csp_environment.clone());
    environment
}
