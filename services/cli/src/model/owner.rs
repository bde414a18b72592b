//! Who may run a group: the system that its record names, and nobody else.
//!
//! A system is known by its data folder, which has an id of its own, and not by whether it runs: one that is down still has the
//! group's copies. So the same folder may always start again, wherever it was moved to, and another one only takes a group over
//! when an operator says so and the owner is certainly not running. No clock is asked.

use holdfast_foundation::chain;
use holdfast_schemas::{Message as _, message::GroupOwner, subject};

/// Whether the owner on record runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It answered.
    Answers,
    /// NATS says that nobody listens there.
    Gone,
    /// No answer came: it may be cut off, or stand still.
    Silent,
}

/// What follows for a system that wants to run the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The record names this very start of the system.
    Held,
    /// The record is to be written, in place of the one that was judged.
    Claim,
    /// It may not run the group: one sentence that says why, and what to do.
    Refuse(String),
}

/// Judges who wants to run a group by the record that was found. `take_over`: an operator wants it so.
#[must_use]
pub fn judge(found: Option<&GroupOwner>, own: &GroupOwner, life: Life, take_over: bool) -> Verdict {
    let Some(found) = found else { return Verdict::Claim };
    if found.incarnation == own.incarnation {
        return Verdict::Held;
    }
    let same_system = found.system == own.system;
    let same_place = is_same_place(found, own);
    match life {
        Life::Answers => Verdict::Refuse(format!(
            "{}: stop that system first, or run another group beside it with --group NAME --csp-prefix NAME",
            run_by(found)
        )),
        Life::Silent if !same_place => Verdict::Refuse(format!(
            "{}, which does not answer and may still run: see that it has ended, and try again in a moment",
            run_by(found)
        )),
        Life::Gone if !same_system && !take_over => Verdict::Refuse(format!(
            "{}, which does not run now: start it there, or give --take-over to build the copies anew from the log here",
            run_by(found)
        )),
        Life::Gone | Life::Silent => Verdict::Claim,
    }
}

/// Whether the owner is an earlier start of this very system, from the same folder. That is locked by one process at a time, so
/// whoever has it knows that an earlier start is over.
#[must_use]
pub fn is_same_place(found: &GroupOwner, own: &GroupOwner) -> bool {
    found.system == own.system && found.host == own.host && found.folder == own.folder
}

/// Why a CSP of the group, which may run without a system, keeps one from running the group; none if it does not. `node` is where
/// it says that it runs, `same_place` whether the group was this very folder's before: what that started has ended.
#[must_use]
pub fn judge_csp(group: &str, csp: &str, life: Life, node: Option<&str>, same_place: bool) -> Option<String> {
    match life {
        Life::Answers => Some(format!(
            "{csp} of group {group} runs already{}: stop it first, or run another group with --group NAME --csp-prefix NAME",
            node.map(|node| format!(", on {node}")).unwrap_or_default()
        )),
        Life::Silent if !same_place => Some(format!(
            "{csp} of group {group} does not answer and may still run: see that it has ended, and try again in a moment"
        )),
        Life::Silent | Life::Gone => None,
    }
}

/// Reads the record of a group.
///
/// # Errors
/// It is not understood, so somebody of another version may run the group: one sentence that says what to do.
pub fn read(group: &str, record: &[u8]) -> Result<GroupOwner, String> {
    GroupOwner::decode(record).map_err(|error| {
        let bucket = subject::owners_bucket();
        format!(
            "the record of group {group} in {bucket} cannot be read ({}): use the version of `holdfast` that wrote it, or, when it is \
             certain that no system runs the group, remove it with `nats kv del {bucket} {group}` and try again",
            chain(&error)
        )
    })
}

/// Who runs the group, as people are told.
#[must_use]
pub fn run_by(owner: &GroupOwner) -> String {
    format!("group {} is run by {}:{}", owner.group, owner.host, owner.folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(system: &str, folder: &str, incarnation: &str) -> GroupOwner {
        let (group, host) = ("demo".to_owned(), "n1".to_owned());
        let (system, folder, incarnation) = (system.to_owned(), folder.to_owned(), incarnation.to_owned());
        GroupOwner { group, system, host, folder, incarnation, since_ms: 0 }
    }

    fn refused(verdict: Verdict, word: &str) {
        match verdict {
            Verdict::Refuse(sentence) => {
                assert!(sentence.starts_with("group demo is run by n1:/a") && sentence.contains(word), "{sentence}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_folder_may_start_again_and_another_one_may_not() {
        let first = owner("A", "/a", "1");
        let again = owner("A", "/a", "2");
        let moved = owner("A", "/b", "2");
        let other = owner("B", "/b", "2");
        for take_over in [false, true] {
            let judge = |own: &GroupOwner, life| judge(Some(&first), own, life, take_over);
            assert_eq!(judge(&first, Life::Answers), Verdict::Held);
            assert_eq!(judge(&again, Life::Gone), Verdict::Claim);
            assert_eq!(judge(&again, Life::Silent), Verdict::Claim, "its folder is locked by us");
            assert_eq!(judge(&moved, Life::Gone), Verdict::Claim);
            refused(judge(&again, Life::Answers), "--csp-prefix");
            for own in [&moved, &other] {
                refused(judge(own, Life::Answers), "--csp-prefix");
                refused(judge(own, Life::Silent), "may still run");
            }
        }
        refused(judge(Some(&first), &other, Life::Gone, false), "--take-over");
        assert_eq!(judge(Some(&first), &other, Life::Gone, true), Verdict::Claim);
        assert_eq!(judge(None, &other, Life::Gone, false), Verdict::Claim);
    }

    #[test]
    fn a_csp_is_not_there_only_if_nobody_listens() {
        let judge = |life, node, same_place| judge_csp("demo", "csp-1", life, node, same_place).unwrap_or_default();
        for same_place in [false, true] {
            assert_eq!(judge(Life::Gone, None, same_place), "");
            let sentence = judge(Life::Answers, Some("n1"), same_place);
            assert!(sentence.starts_with("csp-1 of group demo runs already, on n1: stop it first"), "{sentence}");
            let sentence = judge(Life::Answers, None, same_place);
            assert!(sentence.starts_with("csp-1 of group demo runs already: stop it first"), "{sentence}");
        }
        let sentence = judge(Life::Silent, None, false);
        assert!(sentence.starts_with("csp-1 of group demo does not answer and may still run"), "{sentence}");
        assert_eq!(judge(Life::Silent, None, true), "", "its folder is locked by us");
    }

    #[test]
    fn a_record_that_is_not_understood_is_somebodys() {
        let own = owner("A", "/a", "1");
        assert_eq!(read("demo", &own.encode()), Ok(own));
        for record in [b"".as_slice(), b"{}", br#"{"type": "io.holdfast.administration.v2.group_owner"}"#] {
            let sentence = read("demo", record).unwrap_err();
            assert!(sentence.starts_with("the record of group demo in HOLDFAST_OWNERS cannot be read ("), "{sentence}");
            assert!(sentence.contains("nats kv del HOLDFAST_OWNERS demo"), "{sentence}");
        }
    }

    #[test]
    fn the_same_folder_on_another_host_is_another_place() {
        let first = owner("A", "/a", "1");
        let elsewhere = GroupOwner { host: "n2".to_owned(), ..owner("A", "/a", "2") };
        refused(judge(Some(&first), &elsewhere, Life::Silent, true), "may still run");
    }
}
