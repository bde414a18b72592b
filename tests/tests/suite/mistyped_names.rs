//! A CSP whose name or group is mistyped says so: it harms nobody, and the one that was meant is missing.

use std::time::Duration;

use holdfast_tests::client::Request;
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
const CSP: &str = "csp-3";

/// Starts one of three CSPs anew without its copy and with this setting, and waits until its log says this.
async fn says(setting: &'static str, value: &'static str, words: &'static str) -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        system.kill9(CSP);
        system.remove_copy(CSP)?;
        system.set_environment(CSP, setting, value);
        system.start_process(CSP)?;
        until(&format!("{CSP} to say that {value} is unknown"), PATIENCE, async || {
            let log = system.folder().join("log").join(format!("{CSP}.log"));
            let log = std::fs::read_to_string(log).map_err(|error| error.to_string())?;
            let says_it = log.lines().any(|line| line.contains(words) && line.contains(value));
            if says_it { Ok(()) } else { Err(system.log_tail(CSP)) }
        })
        .await?;
        system.client().commit(Request::new("CREATE by:others"), PATIENCE).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_csp_are_told_in_its_log() -> anyhow::Result<()> {
    says("HOLDFAST_REPLICATION__CSP", "csp-33", "the group's definition does not name this CSP").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_group_are_told_in_its_log() -> anyhow::Result<()> {
    says("HOLDFAST_REPLICATION__GROUP", "tset", "still waiting for the group's log").await
}
