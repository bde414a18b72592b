//! Faults that tests ask for: to prove that the checks would find them, and to stop a process at one exact step. Refused
//! unless a second variable says that they are meant: no deployment can fall into this by one wrong setting.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, raise};

/// A fault was asked for without the second variable, or is not known.
#[derive(Debug, thiserror::Error)]
#[error(
    "HOLDFAST_FAULT={0:?} is refused: faults are for tests, with HOLDFAST_FAULT_INJECTION=1, and only \
     `stop-at:<step>:<file>`, `hold-apply:<file>`, `die-of:<text>` and the names of promises to break ({names}) exist, with commas \
     in between",
    names = Sabotage::ALL.map(|(name, _)| name).join(", ")
)]
pub struct FaultRefused(String);

/// Steps of a start and of an update's way through the process, at which it can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The copy is restored, and the process is about to subscribe to the log.
    BeforeSubscribe,
    /// The statements ran, and the commit was not handed to the publisher.
    BeforeSubmit,
    /// The entry is sealed and was not sent.
    BeforePublish,
    /// The entry was sent.
    AfterPublish,
    /// An own entry came back out of the log and was not applied.
    BeforeApply,
    /// It was applied, and nobody was answered.
    AfterApply,
}

impl Step {
    const ALL: [(&'static str, Self); 6] = [
        ("before-subscribe", Self::BeforeSubscribe),
        ("before-submit", Self::BeforeSubmit),
        ("before-publish", Self::BeforePublish),
        ("after-publish", Self::AfterPublish),
        ("before-apply", Self::BeforeApply),
        ("after-apply", Self::AfterApply),
    ];
}

/// A promise that is broken on purpose, to prove that the checks notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Every transaction pretends that it read the newest state.
    IgnoreConflicts,
    /// Transactions that write index entries pretend that they read the newest state.
    IgnoreIndexConflicts,
    /// Strong reads do not wait for their place in the log.
    SkipBarrier,
    /// `max_lag_ms` is not looked at.
    IgnoreMaxLag,
    /// Transactions are put into the log without their ids.
    ForgetIds,
    /// One write of a transaction is left out, now and then.
    SkipWrite,
    /// What the log refused is applied all the same.
    ApplyRefused,
    /// Entries that are applied together are applied backwards.
    ReverseEntries,
    /// A transaction that lost is told as committed.
    TellLostAsDone,
    /// An update that took effect is told as refused for good, now and then.
    TellDoneAsRefused,
    /// Another answer follows the answer to an update, now and then.
    AnswerTwice,
}

impl Sabotage {
    const ALL: [(&'static str, Self); 11] = [
        ("ignore-conflicts", Self::IgnoreConflicts),
        ("ignore-index-conflicts", Self::IgnoreIndexConflicts),
        ("skip-barrier", Self::SkipBarrier),
        ("ignore-max-lag", Self::IgnoreMaxLag),
        ("forget-ids", Self::ForgetIds),
        ("skip-write", Self::SkipWrite),
        ("apply-refused", Self::ApplyRefused),
        ("reverse-entries", Self::ReverseEntries),
        ("tell-lost-as-done", Self::TellLostAsDone),
        ("tell-done-as-refused", Self::TellDoneAsRefused),
        ("answer-twice", Self::AnswerTwice),
    ];
}

/// What happens now and then happens to one of so many.
const NOW_AND_THEN: u32 = 20;

/// How often it is looked whether applying is still to be held.
const HOLD_PAUSE: Duration = Duration::from_millis(5);

/// What a test asked for.
#[derive(Debug, Default)]
struct Faults {
    sabotages: Vec<Sabotage>,
    stop_at: Option<(Step, PathBuf)>,
    hold_apply: Option<PathBuf>,
    die_of: Option<String>,
}

static FAULTS: OnceLock<Faults> = OnceLock::new();

/// Reads what is asked for.
///
/// # Errors
/// When a fault is asked for that is not allowed.
pub fn load() -> Result<(), FaultRefused> {
    let fault = std::env::var("HOLDFAST_FAULT").unwrap_or_default();
    let allowed = std::env::var("HOLDFAST_FAULT_INJECTION").is_ok_and(|allowed| allowed == "1");
    let faults = match parse(&fault) {
        Some(faults) if allowed || fault.is_empty() => faults,
        _ => return Err(FaultRefused(fault)),
    };
    // Loaded once; a second call would read the same environment.
    let _ = FAULTS.set(faults);
    Ok(())
}

fn parse(faults: &str) -> Option<Faults> {
    let mut parsed = Faults::default();
    for fault in faults.split(',').filter(|_| !faults.is_empty()) {
        match fault.split_once(':') {
            Some(("stop-at", rest)) => {
                let (step, file) = rest.split_once(':')?;
                let (_, step) = Step::ALL.into_iter().find(|(name, _)| *name == step)?;
                parsed.stop_at = Some((step, PathBuf::from(file)));
            }
            Some(("hold-apply", file)) if !file.is_empty() => parsed.hold_apply = Some(PathBuf::from(file)),
            Some(("die-of", text)) if !text.is_empty() => parsed.die_of = Some(text.to_owned()),
            _ => {
                let (_, sabotage) = Sabotage::ALL.into_iter().find(|(name, _)| *name == fault)?;
                parsed.sabotages.push(sabotage);
            }
        }
    }
    Some(parsed)
}

/// Whether a promise is to be broken on purpose.
#[must_use]
pub fn breaks(sabotage: Sabotage) -> bool {
    FAULTS.get().is_some_and(|faults| faults.sabotages.contains(&sabotage))
}

/// Whether a transaction that is certain to lose is to be sent all the same: what some sabotages break is how it is judged.
#[must_use]
pub fn sends_losers() -> bool {
    use Sabotage::{ApplyRefused, IgnoreConflicts, IgnoreIndexConflicts, TellLostAsDone};
    [IgnoreConflicts, IgnoreIndexConflicts, ApplyRefused, TellLostAsDone].into_iter().any(breaks)
}

/// Whether a promise is to be broken on purpose for this one: it is for one in [`NOW_AND_THEN`] of those who ask.
#[must_use]
pub fn breaks_now_and_then(sabotage: Sabotage) -> bool {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    breaks(sabotage) && ASKED.fetch_add(1, Ordering::Relaxed) % NOW_AND_THEN == NOW_AND_THEN - 1
}

/// Whether the process may be stopped at this step: then what comes before it has to be finished for certain.
#[must_use]
pub fn is_armed(step: Step) -> bool {
    FAULTS.get().and_then(|faults| faults.stop_at.as_ref()).is_some_and(|(armed, _)| *armed == step)
}

/// A start or a client's update has reached a step (`is_meant`), or something of the process's own has. Stops the whole process there
/// (SIGSTOP) if a test armed this step and its file exists; the file is removed, so that it happens once.
pub fn reach(step: Step, is_meant: bool) {
    let Some((armed, file)) = FAULTS.get().and_then(|faults| faults.stop_at.as_ref()) else { return };
    if *armed == step && is_meant && std::fs::remove_file(file).is_ok() {
        let _ = raise(Signal::SIGSTOP);
    }
}

/// Statements are about to be carried out. Ends the process if a test asked for that by a text in them.
pub fn meet(sql: &str) {
    if let Some(text) = FAULTS.get().and_then(|faults| faults.die_of.as_ref())
        && sql.contains(text)
    {
        let _ = raise(Signal::SIGKILL);
    }
}

/// Something is about to be applied. Waits for as long as a test's file exists: the copy stands still, and everything else of
/// the process goes on.
pub async fn hold_apply() {
    let Some(file) = FAULTS.get().and_then(|faults| faults.hold_apply.as_ref()) else { return };
    while file.exists() {
        tokio::time::sleep(HOLD_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_faults_are_read() {
        assert!(parse("").is_some_and(|faults| faults.sabotages.is_empty() && faults.stop_at.is_none()));
        for (name, sabotage) in Sabotage::ALL {
            assert!(parse(name).is_some_and(|faults| faults.sabotages == [sabotage]), "{name}");
        }
        let stop = parse("stop-at:before-apply:/tmp/now").and_then(|faults| faults.stop_at);
        assert_eq!(stop, Some((Step::BeforeApply, PathBuf::from("/tmp/now"))));
        let held = parse("hold-apply:/tmp/now").and_then(|faults| faults.hold_apply);
        assert_eq!(held, Some(PathBuf::from("/tmp/now")));
        let both = parse("skip-barrier,hold-apply:/tmp/now").unwrap_or_default();
        assert_eq!((both.sabotages, both.hold_apply), (vec![Sabotage::SkipBarrier], Some(PathBuf::from("/tmp/now"))));
        assert_eq!(parse("die-of:bane").and_then(|faults| faults.die_of), Some("bane".to_owned()));
        for odd in [
            "die-of:",
            ",",
            "skip-barrier,",
            "skip-barrier,odd",
            "hold-apply",
            "hold-apply:",
            "stop-at:",
            "stop-at:nowhere:/tmp/now",
            "stop-at:before-apply",
            "ignore",
        ] {
            assert!(parse(odd).is_none(), "{odd}");
        }
    }
}
