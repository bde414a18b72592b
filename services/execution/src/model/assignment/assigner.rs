//! What to write and to announce, for one group. Events and time go in, effects come out; the edge performs them.
//!
//! The rules, and nothing else:
//! 1. A task whose holder is gone gets the best CSP that is fit, at once. Where nobody is, it gets the best of those that serve, in
//!    spite of what is doubted about them; and where nobody serves, it stays on record as it is. A task that was never held is
//!    given out when the CSPs have had time to settle.
//! 2. A task whose holder is gray gets the best CSP that is fit and in step, unless it moved for that reason a short while
//!    ago; and so does one whose holder still reads the log and is not about to be ready. Where nobody is, it stays.
//! 3. Nobody else loses a task, whatever is wished, except on request.
//! 4. Every change has a new epoch, higher than any on record and any that a copy has read from the log. It is written by
//!    compare-and-set before it is announced, so an epoch has one holder.
//! 5. Of record and log the one with the higher epoch is right, and at the same epoch the log.
//! 6. An epoch on record that no copy shows is announced again, with growing pauses. The log leaves it aside where it has it.

use super::Policy;
use super::candidate::Gone;
use super::choose;
use super::group::{Group, LogEpoch};
use super::ledger::Ledger;
use super::rests::Rests;
use holdfast_schemas::message::{
    Assignment, CspState, CspStateChange, GroupDefinition, Heartbeat, TASK_REPLICATION, TaskDefinition,
};

/// First pause until an epoch is announced again; it doubles up to [`PAUSE_MS_MAX`].
const PAUSE_MS_MIN: u64 = 100;
/// Longest such pause.
const PAUSE_MS_MAX: u64 = 5_000;

/// The time, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// What decisions go by: it never jumps.
    pub monotonic_ms: u64,
    /// What is written down for people, in milliseconds since 1970.
    pub wall_ms: u64,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Write an assignment into the bucket. Its end is told to [`Assigner::written`] or [`Assigner::not_written`].
    Write(Write),
    /// Write an epoch into the log once more.
    Announce(LogEpoch),
}

/// An assignment to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The assignment.
    pub assignment: Assignment,
    /// The revision that the entry must still have; 0 for none.
    pub revision: u64,
    /// Who held the task before.
    pub previous: Option<String>,
    /// Whether the log must be told once it is written.
    pub announce: bool,
}

/// One group's tasks.
#[derive(Debug)]
pub struct Assigner {
    name: String,
    pub(super) group: Group,
    pub(super) ledger: Ledger,
    rests: Rests,
    announcement: Option<Announcement>,
}

#[derive(Debug)]
struct Announcement {
    epoch: u64,
    due_ms: u64,
    pause_ms: u64,
}

/// Who holds a task, by record and log together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    pub(super) holder: Option<&'a str>,
    /// The highest epoch known.
    pub(super) epoch: u64,
}

impl Assigner {
    /// A group of which nothing is known yet.
    pub fn new(name: String, policy: Policy) -> Self {
        let (ledger, rests) = (Ledger::default(), Rests::default());
        Self { name, group: Group::new(policy), ledger, rests, announcement: None }
    }

    /// The group is defined like this.
    pub fn define(&mut self, definition: GroupDefinition) {
        self.group.define(definition);
    }

    /// The group is not defined any more.
    pub fn undefine(&mut self) {
        self.group.undefine();
    }

    /// A CSP says that it lives.
    pub fn heartbeat(&mut self, beat: &Heartbeat, now_ms: u64) {
        self.group.heartbeat(beat, now_ms);
    }

    /// Supervision says something now.
    pub fn judge(&mut self, change: &CspStateChange, now_ms: u64) {
        self.group.judge(change, now_ms);
    }

    /// Supervision said something before, which was read from its bucket when it was `asked_at_ms`.
    pub fn judged_before(&mut self, change: &CspStateChange, asked_at_ms: u64, now_ms: u64) {
        self.group.judged_before(change, asked_at_ms, now_ms);
    }

    /// The assignments bucket holds this.
    pub fn read(&mut self, assignment: Assignment, revision: u64) {
        self.ledger.read(assignment, revision);
    }

    /// The assignments bucket does not hold that task any more.
    pub fn deleted(&mut self, task: &str, revision: u64) {
        self.ledger.deleted(task, revision);
    }

    /// The assignments bucket was made anew.
    pub fn bucket_lost(&mut self) {
        self.ledger.lost();
    }

    /// A write is under way that was not asked for by [`Assigner::decide`].
    pub fn writing(&mut self, assignment: &Assignment) {
        self.ledger.begin(assignment);
    }

    /// A write took effect.
    pub fn written(&mut self, assignment: Assignment, revision: u64) {
        self.ledger.end(&assignment.task);
        self.ledger.read(assignment, revision);
    }

    /// A write was lost against another one, or nobody knows. What the bucket holds then was read, if it could be, and is
    /// decided upon anew.
    pub fn not_written(&mut self, task: &str, found: Option<(Assignment, u64)>) {
        self.ledger.end(task);
        if let Some((assignment, revision)) = found {
            self.ledger.read(assignment, revision);
        }
    }

    /// What is known of the group.
    pub fn group(&self) -> &Group {
        &self.group
    }

    /// Whether that CSP has read that epoch from the log.
    pub fn shows(&self, csp: &str, epoch: u64) -> bool {
        self.group.candidate(csp).is_some_and(|candidate| candidate.epoch() >= epoch)
    }

    /// What is to be done now.
    pub fn decide(&mut self, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        for task in self.group.tasks() {
            self.rests.note(&task.name, self.ledger.gray_epoch(&task.name), now.monotonic_ms);
            if self.ledger.is_writing(&task.name) {
                continue;
            }
            if let Some(write) = self.next(task, now) {
                self.ledger.begin(&write.assignment);
                effects.push(Effect::Write(write));
            }
        }
        effects.extend(self.announcement(now.monotonic_ms).map(Effect::Announce));
        effects
    }

    /// What is to be written about a task, if anything is.
    fn next(&self, task: &TaskDefinition, now: Now) -> Option<Write> {
        let standing = self.standing(task)?;
        let gone = standing.holder.and_then(|csp| self.group.gone(csp, now.monotonic_ms));
        let cause = match (standing.holder, gone) {
            (None, _) => Some("nobody held it".to_owned()),
            (Some(csp), gone) => gone.map(|gone| format!("{csp} {gone}")),
        };
        if let Some(cause) = cause
            && let Some(csp) = self.successor(task, standing, gone, now)
            && !self.is_hasty(csp, standing, now)
        {
            return Some(self.change(task, csp, standing, cause, now));
        }
        self.relief(task, standing, now)
            .or_else(|| self.replacement(task, standing, now))
            .or_else(|| self.correction(task, standing.holder?, standing, now))
    }

    /// Who takes the task of a holder that is gone. One that drains does its work until somebody takes over who can do it as well.
    fn successor(&self, task: &TaskDefinition, standing: Standing, gone: Option<Gone>, now: Now) -> Option<&str> {
        let (except, now_ms) = (standing.holder, now.monotonic_ms);
        let nobody_serves = gone.is_some_and(|gone| gone != Gone::Reports(CspState::Draining));
        choose::best(&self.group, &self.ledger, task, except, now_ms).or_else(|| {
            let rest = choose::better_than_nobody(&self.group, &self.ledger, task, except, now_ms);
            rest.filter(|_| nobody_serves)
        })
    }

    /// Takes the task from a holder that still reads the log, and will for a while, if another one is ready. It cannot go to and
    /// fro: who gets it serves, and a process that has served is never found to be reading again.
    fn replacement(&self, task: &TaskDefinition, standing: Standing, now: Now) -> Option<Write> {
        let holder = standing.holder?;
        if !self.group.candidate(holder)?.is_reading() {
            return None;
        }
        let csp = choose::best_in_step(&self.group, &self.ledger, task, standing.holder, now.monotonic_ms)?;
        let other_ms = self.group.candidate(csp)?.available_for_ms(now.monotonic_ms)?;
        let is_far = self.group.is_far_from_serving(holder, other_ms);
        let cause = || format!("{holder} is still reading the log, and {csp} is ready");
        is_far.then(|| self.change(task, csp, standing, cause(), now))
    }

    /// Takes the task from a holder that is gray, if another one will do it better.
    fn relief(&self, task: &TaskDefinition, standing: Standing, now: Now) -> Option<Write> {
        let holder = standing.holder?;
        let gray = self.group.gray(holder, now.monotonic_ms)?;
        if self.rests.is_resting(&task.name, self.group.policy().gray_rest_ms, now.monotonic_ms) {
            return None;
        }
        let csp = choose::best_in_step(&self.group, &self.ledger, task, standing.holder, now.monotonic_ms)?;
        let write = self.change(task, csp, standing, format!("{holder} is {gray}"), now);
        let assignment = Assignment { gray_epoch: Some(write.assignment.epoch), ..write.assignment };
        Some(Write { assignment, ..write })
    }

    /// Nobody waits for a task that was never held. Given to the first CSP that is heard of, it would stay there, whatever is
    /// wished; so those that come within the time that it takes to settle are let settle too.
    fn is_hasty(&self, csp: &str, standing: Standing, now: Now) -> bool {
        let available_ms = self.group.candidate(csp).and_then(|candidate| candidate.available_for_ms(now.monotonic_ms));
        standing.epoch == 0 && available_ms.is_none_or(|available_ms| available_ms < 2 * self.group.policy().settle_ms)
    }

    /// Makes the record say what the log says, or what the bucket has forgotten.
    fn correction(&self, task: &TaskDefinition, holder: &str, standing: Standing, now: Now) -> Option<Write> {
        let recorded = self.ledger.epoch(&task.name);
        if standing.epoch > recorded {
            let write = self.change(task, holder, standing, "found in the log".to_owned(), now);
            let assignment = Assignment { epoch: standing.epoch, ..write.assignment };
            return Some(Write { assignment, announce: false, ..write });
        }
        if self.ledger.holder(&task.name) != Some(holder) {
            return Some(self.change(task, holder, standing, "named by the log".to_owned(), now));
        }
        if self.ledger.is_stored(&task.name) {
            return None;
        }
        let assignment = self.ledger.assignment(&task.name)?.clone();
        let previous = assignment.csp.clone();
        Some(Write { assignment, revision: self.ledger.revision(&task.name), previous, announce: false })
    }

    /// Gives the task to `csp` under a new epoch.
    pub(super) fn change(
        &self,
        task: &TaskDefinition,
        csp: &str,
        standing: Standing,
        cause: String,
        now: Now,
    ) -> Write {
        Write {
            assignment: Assignment {
                group: self.name.clone(),
                task: task.name.clone(),
                csp: Some(csp.to_owned()),
                epoch: standing.epoch + 1,
                since_ms: now.wall_ms,
                cause,
                gray_epoch: self.ledger.gray_epoch(&task.name),
            },
            revision: self.ledger.revision(&task.name),
            previous: standing.holder.map(str::to_owned),
            announce: task.name == TASK_REPLICATION,
        }
    }

    /// Who holds the task. Nothing can be said of being primary before record or log have named an epoch: the log begins
    /// with one that was not ours to give.
    pub(super) fn standing(&self, task: &TaskDefinition) -> Option<Standing<'_>> {
        let recorded = self.ledger.epoch(&task.name);
        let holder = self.ledger.holder(&task.name);
        if task.name != TASK_REPLICATION {
            return Some(Standing { holder, epoch: recorded });
        }
        match self.group.log() {
            Some(log) if log.epoch >= recorded => Some(Standing { holder: Some(&log.primary), epoch: log.epoch }),
            _ if recorded > 0 => Some(Standing { holder, epoch: recorded }),
            _ => None,
        }
    }

    fn announcement(&mut self, now_ms: u64) -> Option<LogEpoch> {
        let unseen = self.unseen();
        let Some(unseen) = unseen else {
            self.announcement = None;
            return None;
        };
        if !self.group.has_reader(now_ms) {
            return None;
        }
        match &mut self.announcement {
            Some(announcement) if announcement.epoch == unseen.epoch => {
                if now_ms < announcement.due_ms {
                    return None;
                }
                announcement.pause_ms = (announcement.pause_ms * 2).min(PAUSE_MS_MAX);
                announcement.due_ms = now_ms + announcement.pause_ms;
                Some(unseen)
            }
            _ => {
                let due_ms = now_ms + PAUSE_MS_MIN;
                self.announcement = Some(Announcement { epoch: unseen.epoch, due_ms, pause_ms: PAUSE_MS_MIN });
                None
            }
        }
    }

    /// The epoch on record, if no copy has shown it yet.
    fn unseen(&self) -> Option<LogEpoch> {
        if !self.group.has_primary() || !self.ledger.is_stored(TASK_REPLICATION) {
            return None;
        }
        let recorded = self.ledger.assignment(TASK_REPLICATION)?;
        let shown = self.group.log().map_or(0, |log| log.epoch);
        let primary = recorded.csp.clone()?;
        (recorded.epoch > shown).then_some(LogEpoch { epoch: recorded.epoch, primary })
    }
}

#[cfg(test)]
#[path = "assigner_tests.rs"]
mod tests;
