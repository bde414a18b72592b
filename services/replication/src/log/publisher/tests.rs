//! The publisher against a real nats-server.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use holdfast_storage::WriteSet;
use holdfast_storage::request::{Request, Terms};
use tokio::sync::oneshot;

use super::*;
use crate::bench::Server;
use crate::entry::Message;
use crate::log::{Answer, Origin};
use crate::model::{AppliedState, Chain};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn server(folder: &Path) -> Server {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/nats-server");
    Server::start(folder, own.is_file().then_some(own.as_path())).expect("nats-server starts")
}

fn state(position: u64) -> AppliedState {
    AppliedState { position, chain: Chain::default(), ..AppliedState::genesis() }
}

fn transaction(snapshot: u64) -> Submission {
    let writes = vec![(b"key".to_vec(), Some(b"value".to_vec()))];
    let write_set = WriteSet { snapshot, writes, ..WriteSet::default() };
    Submission::Transaction(Box::new(Waiting {
        write_set: Arc::new(write_set),
        epoch: None,
        answer: Answer::new(oneshot::channel().0, None),
    }))
}

/// What was seen as the primary of one epoch is not committed in another.
#[tokio::test]
async fn what_is_right_in_one_epoch_only_is_refused_in_another() {
    let mut rig = Rig::at(&AppliedState { epoch: 4, ..state(7) }).await;
    for (epoch, is_sent) in [(3, false), (5, false), (4, true)] {
        let (answer, outcome) = oneshot::channel();
        let write_set = WriteSet { snapshot: 7, ..WriteSet::default() };
        let answer = Answer::new(answer, None);
        let waiting = Waiting { write_set: Arc::new(write_set), epoch: Some(epoch), answer };
        rig.gateway.submit(Submission::Transaction(Box::new(waiting)));
        if is_sent {
            assert_eq!(rig.sent().await.epoch(), epoch);
        } else {
            let refused = tokio::time::timeout(PATIENCE, outcome).await.expect("answered in time");
            assert!(matches!(refused, Ok(Err(CommitFailure::NotPrimary))), "{refused:?}");
        }
    }
}

/// A process that slept may find that what it is about to send was done, and is forgotten.
#[tokio::test]
async fn what_came_before_ids_that_are_forgotten_is_not_sent() {
    let mut rig = Rig::at(&AppliedState { ids_horizon: 5, ..state(7) }).await;
    for (since, is_sent) in [(4, false), (5, true)] {
        let (answer, outcome) = oneshot::channel();
        let request = Request::on(Terms { id: Some("once".to_owned()), since: Some(since), ..Terms::default() });
        let write_set = Arc::new(WriteSet { snapshot: 7, request: Some(request), ..WriteSet::default() });
        let answer = Answer::new(answer, None);
        rig.gateway.submit(Submission::Transaction(Box::new(Waiting { write_set, epoch: None, answer })));
        if is_sent {
            assert_eq!(rig.sent().await.number(), 1, "nothing else was sent");
        } else {
            let refused = tokio::time::timeout(PATIENCE, outcome).await.expect("answered in time");
            assert!(matches!(refused, Ok(Err(CommitFailure::OutcomeUnknown(_)))), "{refused:?}");
        }
    }
}

/// A publisher at work, and what it sends.
struct Rig {
    gateway: Arc<Gateway>,
    view: Arc<AppliedView>,
    standing: Arc<LogStanding>,
    log: async_nats::Subscriber,
    _publishing: tokio_util::task::AbortOnDropHandle<()>,
    _server: Server,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn at(state: &AppliedState) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = server(folder.path());
        let connect = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let client = connect.connect(&server.url).await.expect("a connection");
        let log = client.subscribe("log").await.expect("a subscription");
        client.flush().await.expect("subscribed");
        let (gateway, queue) = Gateway::new(Origin { csp: "a".to_owned(), incarnation: 1 });
        let (gateway, view) = (Arc::new(gateway), Arc::new(AppliedView::new(state)));
        let standing = Arc::new(LogStanding::new(client.clone()));
        standing.compared(standing.connects());
        let publisher =
            Publisher::new(client, options(), Arc::clone(&gateway), Arc::clone(&view), Arc::clone(&standing), queue);
        let publishing = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(publisher.run()));
        Self { gateway, view, standing, log, _publishing: publishing, _server: server, _folder: folder }
    }

    /// The next entry.
    async fn sent(&mut self) -> crate::entry::Entry {
        let sent = tokio::time::timeout(PATIENCE, self.log.next()).await.expect("sent in time").expect("sent");
        let Ok(Message::Entry(entry)) = Message::decode(sent.payload) else { panic!("not an entry") };
        entry
    }
}

fn options() -> PublisherOptions {
    PublisherOptions {
        subject: "log".to_owned(),
        stream: "LOG".to_owned(),
        storage_version: 303,
        message_max_bytes: 1 << 20,
        in_flight_max: 2,
        stall: PATIENCE,
    }
}

/// The inner commit is visible to transactions a moment before the view moves. An entry sealed in that moment would have a
/// base below the snapshot inside it, and every copy would void it for being malformed.
#[tokio::test]
async fn an_entry_is_never_sealed_below_a_snapshot_in_it() {
    let mut rig = Rig::at(&state(7)).await;
    for newest in [8, 9, 20] {
        rig.gateway.submit(transaction(newest));
        // Nothing may leave before the view is there; what must not happen can only be waited for.
        let early = tokio::time::timeout(Duration::from_millis(100), rig.log.next()).await;
        assert!(early.is_err(), "sealed at {} with a snapshot at {newest}", rig.view.position());
        rig.view.advance(&state(newest));
        assert_eq!(rig.sent().await.base(), newest);
        // It came back out of the log, so that the next one has room.
        rig.gateway.abandon();
    }
}

/// Until the log was compared nothing leaves; what waits is refused at once when it does not fit, and leaves when it does.
#[tokio::test]
async fn nothing_is_sent_before_the_log_was_compared_and_all_is_refused_when_it_does_not_fit() {
    let mut rig = Rig::at(&state(7)).await;
    rig.standing.doubt();
    let (answer, outcome) = oneshot::channel();
    let write_set = WriteSet { snapshot: 7, ..WriteSet::default() };
    let waiting = Waiting { write_set: Arc::new(write_set), epoch: None, answer: Answer::new(answer, None) };
    rig.gateway.submit(Submission::Transaction(Box::new(waiting)));
    let early = tokio::time::timeout(Duration::from_millis(100), rig.log.next()).await;
    assert!(early.is_err(), "sent before the log was compared");
    rig.standing.part(ErrorCode::LogLost, "the log ends at position 3".to_owned());
    let refused = tokio::time::timeout(PATIENCE, outcome).await.expect("answered in time");
    assert!(matches!(refused, Ok(Err(CommitFailure::LogRefused { fault: LogFault::Lost, .. }))), "{refused:?}");
    assert_eq!(rig.gateway.in_flight(), 0);
    rig.gateway.submit(Submission::Barrier(oneshot::channel().0));
    rig.standing.compared(rig.standing.connects());
    rig.gateway.submit(transaction(7));
    assert_eq!(rig.sent().await.base(), 7);
}

/// What is submitted all the time does not keep the publisher from trying a log that takes nothing, again and again.
#[tokio::test]
async fn a_log_that_takes_nothing_is_tried_again_however_much_is_submitted() {
    let mut rig = Rig::at(&state(7)).await;
    rig.standing.refuse("the log takes no entries: its disk is full".to_owned(), false);
    let gateway = Arc::clone(&rig.gateway);
    let submitting = async {
        loop {
            gateway.submit(transaction(7));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let tried = async {
        for _ in 0..3 {
            assert_eq!(rig.sent().await.base(), 7);
        }
    };
    tokio::select! {
        () = submitting => {}
        () = tried => {}
    }
}

/// A refusal that comes while nothing is on its way and nothing is submitted.
#[tokio::test]
async fn a_log_is_tried_again_also_when_its_refusal_comes_to_a_publisher_that_waits() {
    let mut rig = Rig::at(&state(7)).await;
    // It gets to where it waits.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    rig.standing.refuse("the log takes no entries: its disk is full".to_owned(), false);
    assert_eq!(rig.sent().await.base(), 7);
}

/// A copy that cannot go on: what is on its way is answered, what comes behind it is refused, and nothing is sent.
#[tokio::test]
async fn nothing_is_sent_for_a_copy_that_cannot_go_on() {
    let mut rig = Rig::at(&state(7)).await;
    let submit = |rig: &Rig| {
        let (answer, outcome) = oneshot::channel();
        let write_set = Arc::new(WriteSet { snapshot: 7, ..WriteSet::default() });
        let waiting = Waiting { write_set, epoch: None, answer: Answer::new(answer, None) };
        rig.gateway.submit(Submission::Transaction(Box::new(waiting)));
        async { tokio::time::timeout(PATIENCE, outcome).await.expect("answered in time").expect("answered") }
    };
    let on_its_way = submit(&rig);
    assert_eq!(rig.sent().await.number(), 1);
    rig.standing.part(ErrorCode::Quarantined, "position 8 cannot be read".to_owned());
    rig.gateway.abandon();
    let unknown = on_its_way.await;
    assert!(matches!(unknown, Err(CommitFailure::OutcomeUnknown(_))), "{unknown:?}");
    let refused = submit(&rig).await;
    assert!(matches!(refused, Err(CommitFailure::LogRefused { fault: LogFault::Refuses, .. })), "{refused:?}");
    assert_eq!(rig.gateway.in_flight(), 0);
}
