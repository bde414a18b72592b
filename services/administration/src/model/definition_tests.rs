//! What may be defined, case by case.

use super::*;
use holdfast_schemas::limits::{MAX_CSPS, MAX_IDS_KEPT_MS};
use holdfast_schemas::message::{
    Isolation, PoolDefinition, Replication, Storage, SupervisionPolicy, TaskDefinition, UpdateWindows,
};

type Change = fn(&mut GroupDefinition);

fn group(name: &str, csps: &[&str]) -> GroupDefinition {
    GroupDefinition {
        name: name.to_owned(),
        csps: csps.iter().map(|csp| (*csp).to_owned()).collect(),
        replication: Replication::Primary,
        isolation: Isolation::Serializable,
        storage: Storage::Surrealkv,
        ids_kept_ms: 600_000,
        log_replicas: 1,
        tasks: Vec::new(),
        pools: Vec::new(),
        update_windows: None,
        supervision: SupervisionPolicy::default(),
        revision: None,
    }
}

fn code(verdict: Verdict) -> ErrorCode {
    match verdict {
        Verdict::Refuse(refusal) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_new_group_beside_others_is_created() {
    assert_eq!(judge(&group("a", &["a-1"]), &[]), Verdict::Create);
    assert_eq!(judge(&group("b", &["b-1"]), &[group("a", &["a-1"])]), Verdict::Create);
}

#[test]
fn the_same_again_is_present_whatever_its_revision() {
    let mut present = group("a", &["a-1"]);
    present.revision = Some(7);
    assert_eq!(judge(&group("a", &["a-1"]), &[present.clone()]), Verdict::Present(Box::new(present)));
}

#[test]
fn another_one_under_the_same_name_is_refused_by_field() {
    let present = group("a", &["a-1"]);
    let changes: [(&str, Change); 7] = [
        ("list of CSPs", |group| group.csps.push("a-2".to_owned())),
        ("replication", |group| group.replication = Replication::Peer),
        ("isolation", |group| group.isolation = Isolation::Snapshot),
        ("storage", |group| group.storage = Storage::Mem),
        ("ids_kept_ms", |group| group.ids_kept_ms = MAX_IDS_KEPT_MS),
        ("log_replicas", |group| group.log_replicas = 3),
        ("list of tasks", |group| group.tasks.push(TaskDefinition::new("report"))),
    ];
    for (field, change) in changes {
        let mut wanted = present.clone();
        change(&mut wanted);
        match judge(&wanted, std::slice::from_ref(&present)) {
            Verdict::Refuse(refusal) => {
                assert_eq!(refusal.code, ErrorCode::AlreadyExists);
                assert!(refusal.message.contains(field), "{field}: {}", refusal.message);
            }
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn the_way_of_routing_can_be_changed_and_nothing_with_it() {
    let present = group("a", &["a-1"]);
    let pool = PoolDefinition { name: "p".to_owned(), csps: vec!["a-1".to_owned()], overflow: true };
    let windows = r#"{"windows":[{"from":"22:00","until":"06:00"}]}"#;
    let windows: UpdateWindows = serde_json::from_str(windows).unwrap();
    for change in [
        GroupDefinition { pools: vec![pool], ..present.clone() },
        GroupDefinition { update_windows: Some(windows), ..present.clone() },
    ] {
        assert_eq!(judge(&change, std::slice::from_ref(&present)), Verdict::Change);
        assert_eq!(judge(&present, std::slice::from_ref(&change)), Verdict::Change, "they can be taken away, too");
        assert_eq!(judge(&change, std::slice::from_ref(&change)), Verdict::Present(Box::new(change.clone())));
        let more = GroupDefinition { isolation: Isolation::Snapshot, ..change };
        assert_eq!(code(judge(&more, std::slice::from_ref(&present))), ErrorCode::AlreadyExists);
    }
}

#[test]
fn pools_and_windows_that_cannot_work_are_invalid() {
    let stranger = PoolDefinition { name: "p".to_owned(), csps: vec!["b".to_owned()], overflow: false };
    let wanted = GroupDefinition { pools: vec![stranger], ..group("a", &["a-1"]) };
    assert_eq!(code(judge(&wanted, &[])), ErrorCode::InvalidRequest);
}

#[test]
fn the_policy_of_supervision_can_be_changed_and_nothing_with_it() {
    let present = group("a", &["a-1"]);
    let supervision = SupervisionPolicy { heartbeat_interval_ms: 200, ..SupervisionPolicy::default() };
    let change = GroupDefinition { supervision, ..present.clone() };
    assert_eq!(judge(&change, std::slice::from_ref(&present)), Verdict::Change);
    assert_eq!(judge(&present, std::slice::from_ref(&change)), Verdict::Change, "back to the default");
    assert_eq!(judge(&change, std::slice::from_ref(&change)), Verdict::Present(Box::new(change.clone())));
    let more = GroupDefinition { isolation: Isolation::Snapshot, ..change };
    assert_eq!(code(judge(&more, std::slice::from_ref(&present))), ErrorCode::AlreadyExists);
}

#[test]
fn a_csp_in_two_groups_is_refused() {
    let verdict = judge(&group("b", &["b-1", "shared"]), &[group("a", &["a-1", "shared"])]);
    assert_eq!(code(verdict), ErrorCode::AlreadyExists);
}

#[test]
fn wrong_definitions_are_invalid() {
    let mut cases = vec![
        group("", &["a"]),
        group("a.b", &["a"]),
        group("admin", &["a"]),
        group("a", &[]),
        group("a", &["x", "x"]),
        group("a", &["x y"]),
    ];
    for change in [
        (|group: &mut GroupDefinition| group.log_replicas = 2) as Change,
        |group| group.ids_kept_ms = 0,
        |group| group.supervision.heartbeats_missed = 2,
        |group| group.csps = (0..=MAX_CSPS).map(|number| format!("c{number}")).collect(),
    ] {
        let mut wanted = group("a", &["x"]);
        change(&mut wanted);
        cases.push(wanted);
    }
    for case in cases {
        assert_eq!(code(judge(&case, &[])), ErrorCode::InvalidRequest, "{case:?}");
    }
}
