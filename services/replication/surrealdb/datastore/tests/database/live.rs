//! Live queries of one node, fed by itself and by another node on the same store.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use holdfast_datastore::{Database, LiveAction, LiveEvent, LiveRouter, LiveStream, StatementError};
use serde_json::{Value, json};

use crate::support::{SharedEngine, call, open, open_on, query, run, update};

/// Brings what one database sends to the other, when it is meant for it.
struct Wire {
    node_id: [u8; 16],
    target: Weak<Database>,
}

impl LiveRouter for Wire {
    fn send(&self, node_id: [u8; 16], notification: Bytes) {
        assert_eq!(node_id, self.node_id);
        if let Some(target) = self.target.upgrade() {
            target.deliver_live(&notification);
        }
    }
}

async fn next(stream: &mut LiveStream) -> LiveEvent {
    let event = tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("a notification comes");
    event.expect("the live query goes on")
}

fn parsed(event: &LiveEvent) -> (LiveAction, Value, Value) {
    let json = |bytes: &Bytes| serde_json::from_slice(bytes).expect("notifications are JSON");
    (event.action, json(&event.record), json(&event.result))
}

#[test]
fn writes_of_this_node_and_of_another_reach_the_stream() {
    run(async {
        let engine = SharedEngine::new().await;
        let (here, there) = (open_on(&engine, 1).await, open_on(&engine, 2).await);
        there.route_live(Arc::new(Wire { node_id: [1; 16], target: Arc::downgrade(&here) }));
        update(&here, "DEFINE TABLE item").await;

        let mut stream = here.live(call("LIVE SELECT * FROM item WHERE n > 0")).await.expect("the live query opens");
        update(&here, "CREATE item:1 SET n = 1").await;
        assert_eq!(
            parsed(&next(&mut stream).await),
            (LiveAction::Create, json!("item:1"), json!({ "id": "item:1", "n": 1 }))
        );
        update(&there, "CREATE item:2 SET n = 0; CREATE item:3 SET n = 2.5dec").await;
        assert_eq!(
            parsed(&next(&mut stream).await),
            (LiveAction::Create, json!("item:3"), json!({ "id": "item:3", "n": "2.5" }))
        );
        update(&there, "DELETE item:1").await;
        assert_eq!(parsed(&next(&mut stream).await).0, LiveAction::Delete);
    });
}

#[test]
fn a_refused_update_notifies_nobody() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item").await;
        let mut stream = database.live(call("LIVE SELECT * FROM item")).await.expect("the live query opens");
        database.update(call("CREATE item:refused; THROW 'no'")).await.expect_err("it throws");
        update(&database, "CREATE item:kept").await;
        assert_eq!(parsed(&next(&mut stream).await).1, json!("item:kept"));
    });
}

#[test]
fn dropping_the_stream_ends_the_live_query() {
    run(async {
        let database = open().await;
        update(&database, "DEFINE TABLE item").await;
        let stream = database.live(call("LIVE SELECT * FROM item")).await.expect("the live query opens");
        let id = stream.id();
        assert!(query(&database, "INFO FOR TABLE item").await.to_string().contains(&id));
        drop(stream);
        let mut last = json!(null);
        for _ in 0..500 {
            last = query(&database, "INFO FOR TABLE item").await;
            if !last.to_string().contains(&id) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the live query is still there: {last}");
    });
}

#[test]
fn only_a_live_select_opens_a_stream() {
    run(async {
        let database = open().await;
        for sql in ["SELECT * FROM item", "LIVE SELECT * FROM item; CREATE item", "CREATE item"] {
            let error = database.live(call(sql)).await.err();
            assert!(matches!(error, Some(StatementError::Unsupported(_))), "{sql}: {error:?}");
        }
        let unknown = database.live(call("LIVE SELECT * FROM nowhere")).await.err();
        assert!(matches!(unknown, Some(StatementError::Statement { .. })), "{unknown:?}");
    });
}
