//! Waiting for clients to get on.

use std::time::Duration;

use crate::history::Recorder;
use crate::wait::until;

/// Waits for `count` more acknowledged updates before `what` is done.
pub async fn progress(recorder: &Recorder, count: u64, bound: Duration, what: &str) -> anyhow::Result<()> {
    let wanted = recorder.acknowledged() + count;
    until(&format!("{count} more acknowledged updates before {what}"), bound, async || {
        let acknowledged = recorder.acknowledged();
        if acknowledged >= wanted { Ok(()) } else { Err(format!("{acknowledged} acknowledged")) }
    })
    .await
}
