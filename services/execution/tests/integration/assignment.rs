//! Task assignment as clients and copies see it: what stands in the bucket and in the log, and how fast.

use crate::nats::PATIENCE;
use crate::stage::Stage;
use futures::StreamExt;
use holdfast_schemas::message::{Assignment, CspState, LogControl, TaskDefinition};
use holdfast_schemas::{Message, subject};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// From a verdict to the epoch in the log, on a machine that does other things too.
const PROMPT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_verdict_is_followed_by_an_epoch_within_milliseconds() {
    let stage = Stage::start(1).await;
    let stream = stage.jetstream.get_stream(subject::log_stream("g")).await.unwrap();
    let deliver_subject = stage.client.new_inbox();
    let config = async_nats::jetstream::consumer::push::OrderedConfig {
        deliver_subject,
        deliver_policy: async_nats::jetstream::consumer::DeliverPolicy::New,
        ..Default::default()
    };
    let mut entries = stream.create_consumer(config).await.unwrap().messages().await.unwrap();
    let mut times = Vec::new();
    for _ in 0..20 {
        let holder = stage.until_assigned(|_| true).await.csp.unwrap();
        stage.csp(&holder).die();
        stage.write_verdict(&holder, CspState::Unavailable).await;
        let judged = Instant::now();
        stage.tell_verdict(&holder, CspState::Unavailable).await;
        let entry = timeout(PATIENCE, entries.next()).await.unwrap().unwrap().unwrap();
        times.push(judged.elapsed());
        let LogControl::Epoch { epoch, primary } = LogControl::decode(&entry.payload).unwrap() else {
            panic!("not an epoch");
        };
        assert!(primary != holder && stage.csp(&primary).is_alive());
        stage.until_read(epoch).await;
        stage.csp(&holder).revive();
    }
    times.sort();
    println!("from the verdict to the epoch entry: p50 {:?}, max {:?}", times[10], times[19]);
    assert!(times[10] < PROMPT, "{times:?}");
}

#[tokio::test]
async fn a_gray_primary_gives_way_and_the_record_says_why() {
    let stage = Stage::start(1).await;
    let before = stage.until_assigned(|_| true).await;
    let holder = before.csp.unwrap();
    stage.tell_gray(&holder).await;
    let after = stage.until_assigned(|assignment| assignment.epoch > before.epoch).await;
    assert_ne!(after.csp.as_ref(), Some(&holder));
    assert_eq!(after.gray_epoch, Some(after.epoch));
    assert_eq!(after.cause, format!("{holder} is gray: the test says so"));
    stage.until_read(after.epoch).await;
}

#[tokio::test]
async fn two_instances_write_one_epoch_for_each_failover() {
    let stage = Stage::start(2).await;
    for failover in 1..=5 {
        let assignment = stage.fail_over().await;
        assert_eq!(assignment.epoch, failover + 1);
    }
    let epochs: Vec<u64> = stage.epochs().await.into_iter().map(|(epoch, _)| epoch).collect();
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn two_instances_that_both_believe_to_lead_do_no_harm() {
    let mut stage = Stage::without_execution(Vec::new()).await;
    stage.start_deaf_execution().await;
    stage.start_deaf_execution().await;
    for _ in 0..8 {
        stage.fail_over().await;
    }
    let epochs = stage.epochs().await;
    assert!(epochs.is_sorted_by(|before, after| before.0 < after.0), "an epoch has two entries: {epochs:?}");
    let last = stage.until_assigned(|_| true).await;
    assert_eq!(epochs.last().map(|(epoch, primary)| (*epoch, Some(primary.clone()))), Some((last.epoch, last.csp)));
}

#[tokio::test]
async fn the_death_of_the_leading_instance_and_then_of_the_primary_is_survived() {
    let mut stage = Stage::start(2).await;
    stage.kill_leader();
    assert_eq!(stage.fail_over().await.epoch, 2);
}

#[tokio::test]
async fn a_primary_that_returns_gets_nothing_back() {
    let mut stage = Stage::start(1).await;
    let new = stage.fail_over().await.csp.unwrap();
    stage.judge("a", CspState::Available).await;
    assert!(stage.is_quiet_for(Duration::from_millis(1_500)).await, "longer than it takes to settle");
    assert_eq!(stage.until_assigned(|_| true).await.csp, Some(new));
}

#[tokio::test]
async fn a_primary_that_drains_hands_over() {
    let mut stage = Stage::start(1).await;
    stage.csp("a").report(CspState::Draining);
    let told = timeout(PATIENCE, stage.events.next()).await.unwrap().unwrap();
    let mut told = Assignment::decode(&told.payload).unwrap();
    while told.epoch == 1 {
        let next = timeout(PATIENCE, stage.events.next()).await.unwrap().unwrap();
        told = Assignment::decode(&next.payload).unwrap();
    }
    assert_eq!((told.epoch, told.cause.as_str()), (2, "a is draining"));
    assert_ne!(told.csp.as_deref(), Some("a"));
    stage.until_read(2).await;
}

#[tokio::test]
async fn a_primary_is_moved_on_request() {
    let stage = Stage::start(2).await;
    let reply = stage.until_moved(r#"{"csp":"c"}"#).await;
    assert_eq!(reply["assignment"]["csp"], "c", "{reply}");
    assert_eq!(reply["previous"], "a", "{reply}");
    assert!(stage.csp("c").epoch() >= 2, "it is answered when the new one has read its epoch");
    let again = stage.until_moved(r#"{"csp":"c"}"#).await;
    assert_eq!((&again["assignment"], &again["previous"]), (&reply["assignment"], &reply["assignment"]["csp"]));
    let anybody = stage.until_moved("").await;
    assert_eq!(anybody["assignment"]["epoch"], 3, "{anybody}");
    assert_ne!(anybody["assignment"]["csp"], "c");
}

#[tokio::test]
async fn a_move_that_cannot_be_is_refused_with_a_stable_code() {
    let stage = Stage::start(1).await;
    stage.csp("b").report(CspState::CatchingUp);
    stage.judge("b", CspState::Suspect).await;
    let cases = [
        ("g", r#"{"csp":"stranger"}"#, "not_found"),
        ("g", r#"{"task":"nonsense"}"#, "not_found"),
        ("g", r#"{"csp":"b"}"#, "unavailable"),
        ("g", r#"{"csp":"*"}"#, "invalid_request"),
        ("g", r#"{"cps":"b"}"#, "invalid_request"),
        ("other", "{}", "unknown_group"),
    ];
    for (group, body, code) in cases {
        let reply = stage.ask_move(group, body).await;
        assert_eq!(reply["error"]["code"], code, "{body}: {reply}");
    }
    assert_eq!(stage.until_assigned(|_| true).await.epoch, 1);
}

#[tokio::test]
async fn a_lost_bucket_is_made_anew_and_epochs_go_on() {
    let stage = Stage::start(2).await;
    let before = stage.fail_over().await;
    let stream = format!("KV_{}", subject::assignments_bucket());
    stage.jetstream.delete_stream(stream).await.unwrap();
    let again = stage.until_assigned(|_| true).await;
    assert_eq!((again.epoch, &again.csp), (before.epoch, &before.csp));
    assert_eq!(stage.fail_over().await.epoch, before.epoch + 1);
}

#[tokio::test]
async fn a_verdict_from_before_the_start_is_found() {
    let mut stage = Stage::without_execution(Vec::new()).await;
    stage.csp("a").die();
    stage.write_verdict("a", CspState::Unavailable).await;
    stage.start_execution(&[]).await;
    let assignment = stage.until_assigned(|assignment| assignment.epoch == 2).await;
    assert_ne!(assignment.csp.as_deref(), Some("a"));
}

#[tokio::test]
async fn an_epoch_that_was_written_down_and_not_told_is_told() {
    let mut stage = Stage::without_execution(Vec::new()).await;
    let bucket = stage.make_bucket(subject::assignments_bucket()).await;
    let assignment = Assignment {
        group: "g".to_owned(),
        task: "replication".to_owned(),
        csp: Some("b".to_owned()),
        epoch: 5,
        since_ms: 0,
        cause: "by one that died then".to_owned(),
        gray_epoch: None,
    };
    bucket.put(subject::assignment_key("g", "replication"), assignment.encode().into()).await.unwrap();
    stage.start_execution(&[]).await;
    stage.until_read(5).await;
    assert_eq!(stage.until_assigned(|_| true).await, assignment);
}

#[tokio::test]
async fn a_groups_own_tasks_are_given_out_apart_and_move_too() {
    let mut report = TaskDefinition::new("report");
    report.keep_apart_from = vec!["replication".to_owned()];
    let mut billing = TaskDefinition::new("billing");
    billing.prefer_nodes = vec!["node-of-c".to_owned()];
    let mut stage = Stage::without_execution(vec![report, billing]).await;
    stage.start_execution(&[]).await;
    let holder = stage.until_task("report", |_| true).await.csp.unwrap();
    assert_ne!(holder, "a");
    let billing = stage.until_task("billing", |_| true).await;
    assert_eq!(billing.epoch, 1);
    let reply = stage.until_moved(r#"{"task":"billing","csp":"a"}"#).await;
    assert_eq!(reply["assignment"]["epoch"], 2, "{reply}");
    stage.csp(&holder).die();
    stage.judge(&holder, CspState::Unavailable).await;
    let report = stage.until_task("report", |assignment| assignment.epoch == 2).await;
    assert_ne!(report.csp, Some(holder));
}
