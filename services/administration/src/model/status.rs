//! How a group is, put together from what could be learnt.
//!
//! Three witnesses: the CSP itself, if it answered; the supervised state, if it did not; and the log's own numbers. What
//! nobody knows is left out, or zero where the contract wants a number, together with a state that says so.

use holdfast_schemas::message::{
    Assignment, CspState, CspStateChange, CspView, Doubt, GroupDefinition, GroupStatusReply, LogView, Replication,
    StatusReply, TASK_REPLICATION, UpdateRefusal,
};

/// What is known of one CSP.
#[derive(Debug, Default)]
pub struct Witness {
    /// What it answered.
    pub answer: Option<StatusReply>,
    /// What supervision last wrote.
    pub supervised: Option<CspStateChange>,
}

/// Puts the status together; `witnesses` are in the order of the definition.
pub fn compose(
    definition: GroupDefinition,
    witnesses: Vec<Witness>,
    log: LogView,
    assignments: Vec<Assignment>,
) -> GroupStatusReply {
    let primary = primary(&witnesses);
    // The copy that has read the most of the log has counted the most.
    let junk = witnesses.iter().filter_map(|witness| Some(witness.answer.as_ref()?.junk)).max().unwrap_or_default();
    let log = LogView { junk, ..log };
    let updates_refused = refusal(&witnesses, primary.as_deref());
    let csps = definition
        .csps
        .iter()
        .zip(witnesses)
        .map(|(csp, witness)| csp_status(csp, witness, primary.as_deref() == Some(csp.as_str()), log.last))
        .collect();
    GroupStatusReply { definition, csps, log, assignments, updates_refused }
}

/// The tasks of a group, of which the assignments bucket may know the holders.
pub fn tasks(definition: &GroupDefinition) -> Vec<&str> {
    let built_in = (definition.replication == Replication::Primary).then_some(TASK_REPLICATION);
    let defined = definition.tasks.iter().map(|task| task.name.as_str()).filter(|name| *name != TASK_REPLICATION);
    built_in.into_iter().chain(defined).collect()
}

/// The primary that the highest epoch names, as execution decides it.
fn primary(witnesses: &[Witness]) -> Option<String> {
    let answers = witnesses.iter().filter_map(|witness| witness.answer.as_ref());
    answers.max_by_key(|answer| answer.heartbeat.epoch).and_then(|answer| answer.heartbeat.primary.clone())
}

/// Why the group takes no updates: the word of its primary where it answered, whatever it says; else the first that there is. One
/// copy that cannot reach the log is no refusal of the group.
fn refusal(witnesses: &[Witness], primary: Option<&str>) -> Option<UpdateRefusal> {
    let answers = || witnesses.iter().filter_map(|witness| witness.answer.as_ref()).map(|answer| &answer.heartbeat);
    match answers().find(|beat| Some(beat.csp.as_str()) == primary) {
        Some(of_primary) => of_primary.updates_refused.clone(),
        None => answers().find_map(|beat| beat.updates_refused.clone()),
    }
}

fn csp_status(csp: &str, witness: Witness, primary: bool, log_end: u64) -> CspView {
    match witness.answer {
        Some(answer) => CspView {
            reason: answer.reason.clone().or_else(|| doubt(&answer, witness.supervised.as_ref()?)),
            csp: csp.to_owned(),
            state: answer.heartbeat.state,
            applied: answer.heartbeat.applied,
            lag: log_end.saturating_sub(answer.heartbeat.applied),
            epoch: answer.heartbeat.epoch,
            address: None,
            node: Some(answer.heartbeat.node),
            primary,
            // It was heard just now, whatever its clock shows.
            last_heartbeat_ms_ago: Some(0),
            clock_ahead_ms: answer.heartbeat.clock_ahead_ms,
        },
        None => CspView {
            csp: csp.to_owned(),
            state: silent_state(witness.supervised.map(|change| change.state)),
            applied: 0,
            lag: log_end,
            epoch: 0,
            address: None,
            node: None,
            primary,
            last_heartbeat_ms_ago: None,
            reason: Some(NO_ANSWER.to_owned()),
            clock_ahead_ms: None,
        },
    }
}

/// Why a CSP that answers well gets few requests and no tasks: its own word says nothing of that.
fn doubt(answer: &StatusReply, change: &CspStateChange) -> Option<String> {
    let lasts = |doubt: &Doubt| matches!(doubt, Doubt::Gray | Doubt::Flapping);
    let doubt = change.doubt.filter(lasts).filter(|_| change.state == CspState::Suspect)?;
    let is_of_this_process = change.incarnation.as_deref() == Some(answer.heartbeat.incarnation.as_str());
    is_of_this_process.then(|| {
        let cause = &change.cause;
        format!("supervision doubts it ({doubt}): {cause}; it gets what nobody else can take")
    })
}

/// Why nothing is known of a CSP but its state.
const NO_ANSWER: &str = "it does not answer: its process does not run, stands still, or does not reach NATS";

/// The state of a CSP that does not answer. Supervision may not have noticed yet: what it last heard is then no longer true.
fn silent_state(supervised: Option<CspState>) -> CspState {
    match supervised {
        Some(state @ (CspState::Unavailable | CspState::Maintenance | CspState::Quarantined | CspState::Removed)) => {
            state
        }
        Some(_) => CspState::Suspect,
        None => CspState::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_schemas::ErrorCode;
    use holdfast_schemas::message::{Counters, Heartbeat, Isolation, Storage, TaskDefinition};

    fn answer(csp: &str, applied: u64, epoch: u64, primary: &str) -> Witness {
        let heartbeat = Heartbeat {
            group: "g".to_owned(),
            csp: csp.to_owned(),
            node: "n".to_owned(),
            incarnation: "i".to_owned(),
            state: CspState::Available,
            applied,
            log_end: None,
            epoch,
            primary: Some(primary.to_owned()),
            outstanding: 0,
            at_ms: 90,
            stuck_ms: None,
            unheard_ms: None,
            storage_error: None,
            query_us: None,
            update_us: None,
            connects: None,
            updates_refused: None,
            clock_ms: None,
            clock_ahead_ms: None,
        };
        let answer = StatusReply {
            heartbeat,
            started_at_ms: 0,
            replication: Replication::Primary,
            isolation: Isolation::Serializable,
            storage: Storage::Mem,
            surrealdb_version: String::new(),
            version: String::new(),
            catch_up: None,
            counters: Counters::default(),
            reason: None,
            junk: applied / 5,
        };
        Witness { answer: Some(answer), supervised: Some(change(CspState::Unavailable)) }
    }

    fn change(state: CspState) -> CspStateChange {
        CspStateChange {
            group: "g".to_owned(),
            csp: "a".to_owned(),
            state,
            since_ms: 0,
            cause: "four verdicts in a minute".to_owned(),
            doubt: None,
            deserted: false,
            incarnation: Some("i".to_owned()),
            evidence: Vec::new(),
            concurring: Vec::new(),
        }
    }

    fn silent(supervised: Option<CspState>) -> Witness {
        Witness { answer: None, supervised: supervised.map(change) }
    }

    fn status(witnesses: Vec<Witness>) -> GroupStatusReply {
        let definition = GroupDefinition::new("g", ["a", "b", "c"]);
        let log = LogView { first: 1, last: 20, bytes: 0, replicas: 1, junk: 0 };
        compose(definition, witnesses, log, Vec::new())
    }

    fn composed(witnesses: Vec<Witness>) -> Vec<CspView> {
        status(witnesses).csps
    }

    #[test]
    fn junk_is_counted_by_the_copy_that_has_read_the_most() {
        let status = status(vec![answer("a", 15, 1, "a"), silent(None), answer("c", 20, 1, "a")]);
        assert_eq!(status.log.junk, 4);
    }

    #[test]
    fn who_answers_is_believed() {
        let csps = composed(vec![answer("a", 15, 1, "a"), answer("b", 20, 2, "b"), silent(None)]);
        let states: Vec<_> = csps.iter().map(|csp| csp.state).collect();
        assert_eq!(states, [CspState::Available, CspState::Available, CspState::Unavailable]);
        let primaries: Vec<_> = csps.iter().map(|csp| csp.primary).collect();
        assert_eq!(primaries, [false, true, false], "the highest epoch names the primary");
        let lags: Vec<_> = csps.iter().map(|csp| csp.lag).collect();
        assert_eq!(lags, [5, 0, 20]);
        assert_eq!(csps.first().and_then(|csp| csp.last_heartbeat_ms_ago), Some(0));
    }

    fn refuses(mut witness: Witness, reason: &str) -> Witness {
        let refusal = UpdateRefusal { code: ErrorCode::LogUnavailable, reason: reason.to_owned(), stalled: false };
        if let Some(answer) = &mut witness.answer {
            answer.heartbeat.updates_refused = Some(refusal);
        }
        witness
    }

    #[test]
    fn the_primary_alone_says_whether_the_group_takes_updates_and_others_only_where_it_is_silent() {
        let reason = |witnesses| status(witnesses).updates_refused.map(|refusal| refusal.reason);
        let well = || answer("a", 20, 1, "a");
        let other = || refuses(answer("b", 20, 1, "a"), "b");
        assert_eq!(reason(vec![well(), other(), silent(None)]), None, "one copy is not the group");
        assert_eq!(reason(vec![refuses(well(), "a"), other(), silent(None)]).as_deref(), Some("a"));
        assert_eq!(reason(vec![silent(None), other(), silent(None)]).as_deref(), Some("b"));
    }

    #[test]
    fn being_primary_is_a_task_of_primary_groups_whether_it_is_defined_or_not() {
        let mut definition = GroupDefinition::new("g", ["a"]);
        definition.tasks = ["report", TASK_REPLICATION].map(TaskDefinition::new).to_vec();
        assert_eq!(tasks(&definition), [TASK_REPLICATION, "report"]);
        definition.replication = Replication::Peer;
        assert_eq!(tasks(&definition), ["report"]);
    }

    #[test]
    fn a_lasting_doubt_about_a_process_that_answers_is_told() {
        let doubted = |doubt, incarnation: &str| {
            let of = CspStateChange {
                doubt: Some(doubt),
                incarnation: Some(incarnation.to_owned()),
                ..change(CspState::Suspect)
            };
            let witness = Witness { supervised: Some(of), ..answer("a", 20, 1, "a") };
            composed(vec![witness, silent(None), silent(None)]).swap_remove(0)
        };
        let flapping = doubted(Doubt::Flapping, "i");
        assert_eq!(flapping.state, CspState::Available);
        assert!(flapping.reason.is_some_and(|why| why.contains("(flapping): four verdicts in a minute")));
        assert_eq!(doubted(Doubt::Silent, "i").reason, None, "it answers");
        assert_eq!(doubted(Doubt::Gray, "an earlier process").reason, None);
    }

    #[test]
    fn who_is_silent_is_not_called_available() {
        let cases = [
            (None, CspState::Unavailable),
            (Some(CspState::Available), CspState::Suspect),
            (Some(CspState::CatchingUp), CspState::Suspect),
            (Some(CspState::Unavailable), CspState::Unavailable),
            (Some(CspState::Maintenance), CspState::Maintenance),
            (Some(CspState::Quarantined), CspState::Quarantined),
        ];
        for (supervised, state) in cases {
            let csps = composed(vec![silent(supervised), silent(None), silent(None)]);
            assert_eq!(csps.first().map(|csp| csp.state), Some(state));
        }
    }
}
