//! A client names where its answer goes, and a service would publish there with its own rights. Whatever is named, the group
//! stays as it is: nothing is written where only services may write, nothing is carried out, and everybody goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use futures::StreamExt as _;
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;
use serde_json::{Value, json};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(30);

/// A subject on which a service takes requests, and what is asked there.
struct Door {
    subject: String,
    body: String,
}

/// Every door of every service, with a request that would change something where there is one.
fn doors(csp: &str) -> Vec<Door> {
    let write = json!({ "sql": "CREATE borrowed" });
    let mut asked = vec![
        (subject::update(GROUP), write.clone()),
        (subject::update(GROUP), json!("garbage")),
        (subject::query(GROUP), json!({ "sql": "RETURN 1" })),
        (subject::csp_update(GROUP, csp), write.clone()),
        (subject::csp_query(GROUP, csp), json!({ "sql": "RETURN 1" })),
        (subject::csp_status(GROUP, csp), json!({})),
        (subject::csp_control(GROUP, csp), json!({ "action": "shutdown" })),
        (subject::csp_commit(GROUP, csp), json!({})),
        (subject::csp_digest(GROUP, csp), json!({})),
        (subject::assignment_move(GROUP), json!({ "csp": csp })),
        (subject::lock(GROUP, "acquire"), json!({ "name": "borrowed", "wait": false })),
        (subject::csp_lock(GROUP, csp, "acquire"), json!({ "name": "borrowed", "wait": false })),
        (subject::lock(GROUP, "list"), json!({})),
        (subject::admin("group", "list"), json!({})),
        (subject::admin("group", "status"), json!({ "group": GROUP })),
        (subject::admin("group", "define"), json!({ "definition": { "name": "borrowed", "csps": ["csp-9"] } })),
    ];
    for verb in ["begin", "execute", "commit", "abort", "status"] {
        asked.push((subject::transaction(GROUP, verb), json!({})));
        asked.push((subject::csp_transaction(GROUP, csp, verb), json!({})));
    }
    for verb in ["PING", "INFO", "STATS"] {
        asked.push((subject::discovery(verb, &[]), json!({})));
    }
    asked.into_iter().map(|(subject, body)| Door { subject, body: body.to_string() }).collect()
}

/// Where no answer may go.
fn elsewhere() -> Vec<String> {
    let log = subject::log_stream(GROUP);
    vec![
        format!("$KV.{}.{GROUP}", subject::definitions_bucket()),
        format!("$KV.{}.{}", subject::assignments_bucket(), subject::assignment_key(GROUP, "replication")),
        format!("$KV.{}.{}", subject::states_bucket(), subject::state_key(GROUP, "csp-1")),
        subject::log(GROUP),
        subject::event(GROUP, subject::EVENT_CSP_STATE),
        subject::update(GROUP),
        subject::csp_control(GROUP, "csp-1"),
        format!("$JS.API.STREAM.PURGE.{log}"),
        format!("$JS.API.STREAM.DELETE.{log}"),
        format!("$JS.ACK.{log}.any.1.1.1.1.1"),
        "some.where".to_owned(),
        "_INBOX.*".to_owned(),
        "_INBOX.>".to_owned(),
        "_INBOX..x".to_owned(),
    ]
}

/// What is listened to: the places above, and more of their kind.
const LISTENED_TO: [&str; 5] = ["$KV.>", "$JS.API.STREAM.>", "$JS.ACK.>", "holdfast.>", "some.where"];

/// Answers that went where none may go: the subject and the text.
type Heard = mpsc::UnboundedReceiver<(String, String)>;

/// Hears everything that is published where no answer may go.
async fn listen(client: &Client) -> anyhow::Result<Heard> {
    let (tell, heard) = mpsc::unbounded_channel();
    for subject in LISTENED_TO {
        let mut messages = client.nats().subscribe(subject).await?;
        let tell = tell.clone();
        tokio::spawn(async move {
            while let Some(message) = messages.next().await {
                if is_answer(&message.payload) {
                    let text = String::from_utf8_lossy(&message.payload).into_owned();
                    let _ = tell.send((message.subject.to_string(), text));
                }
            }
        });
    }
    client.nats().flush().await?;
    Ok(heard)
}

/// Fails if an answer was heard. What was published before is heard before a mark that is published now, on each subscription.
async fn nothing_was_heard(client: &Client, heard: &mut Heard) -> anyhow::Result<()> {
    let mark = json!({ "type": "mark_reply" }).to_string();
    let mut awaited: BTreeSet<String> = LISTENED_TO.map(|subject| subject.replace('>', "mark")).into();
    for subject in &awaited {
        client.nats().publish(subject.clone(), mark.clone().into()).await?;
    }
    while !awaited.is_empty() {
        let (subject, text) = tokio::time::timeout(PATIENCE, heard.recv()).await?.context("nobody listens")?;
        anyhow::ensure!(text == mark && awaited.remove(&subject), "an answer went to {subject}: {text}");
    }
    Ok(())
}

/// Answers say their type; what services keep in buckets and say to one another does not, or is an entry of the log.
fn is_answer(payload: &[u8]) -> bool {
    let Ok(body) = serde_json::from_slice::<Value>(payload) else { return false };
    let kind = body["type"].as_str().unwrap_or_default();
    kind.ends_with("_reply") || kind.ends_with("_response")
}

/// What would be lost if one of these were overwritten, or the log were purged.
async fn kept(client: &Client) -> anyhow::Result<Value> {
    let context = jetstream::new(client.nats().clone());
    let definitions = context.get_key_value(subject::definitions_bucket()).await?;
    let assignments = context.get_key_value(subject::assignments_bucket()).await?;
    let definition = definitions.entry(GROUP).await?.ok_or_else(|| anyhow::anyhow!("no definition"))?;
    let key = subject::assignment_key(GROUP, "replication");
    let assignment = assignments.entry(key).await?.ok_or_else(|| anyhow::anyhow!("no assignment"))?;
    let log = context.get_stream(subject::log_stream(GROUP)).await?.cached_info().clone();
    Ok(json!([definition.revision, assignment.revision, log.created.to_string(), log.state.first_sequence]))
}

/// Sends to every door, for every place that is no inbox, and then a request that is answered: what was sent to that door
/// before has been looked at by then.
async fn knock_everywhere(client: &Client, csp: &str) -> anyhow::Result<()> {
    for door in doors(csp) {
        for reply in elsewhere() {
            client.nats().publish_with_reply(door.subject.clone(), reply, door.body.clone().into()).await?;
        }
    }
    for door in doors(csp).into_iter().filter(|door| !door.subject.ends_with("control")) {
        let question = match door.subject.ends_with("define") || door.subject.ends_with("move") {
            // Refused, and answered all the same.
            true => json!({ "nonsense": true }).to_string(),
            false if door.body.contains("borrowed") => json!({ "nonsense": true }).to_string(),
            false => door.body,
        };
        until(&format!("an answer from {}", door.subject), PATIENCE, async || {
            client.nats().request(door.subject.clone(), question.clone().into()).await
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_goes_anywhere_but_to_an_inbox() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("CREATE person:ada SET name = 'Ada'"), PATIENCE).await?;
        client.commit(Request::new("DEFINE TABLE borrowed"), PATIENCE).await?;
        let (mut heard, before) = (listen(&client).await?, kept(&client).await?);

        for csp in ["csp-1", "csp-2"] {
            knock_everywhere(&client, csp).await?;
        }

        let written = client.commit(Request::new("CREATE person:bob SET name = 'Bob'"), PATIENCE).await?;
        let count = Request::new("RETURN count(SELECT * FROM borrowed)").after(written.position);
        let borrowed = client.read(&count, PATIENCE).await.done()?;
        anyhow::ensure!(borrowed.results[0] == 0, "a request was carried out: {borrowed:?}");
        let locks = client.ask(subject::lock(GROUP, "list"), &json!({}), PATIENCE).await?;
        anyhow::ensure!(locks["locks"].as_array().is_some_and(Vec::is_empty), "a lock was taken: {locks}");
        let after = kept(&client).await?;
        anyhow::ensure!(before == after, "what services keep has changed: {before}, then {after}");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()?;
        let groups = client.ask(subject::admin("group", "list"), &json!({}), PATIENCE).await?;
        anyhow::ensure!(groups["groups"].as_array().is_some_and(|groups| groups.len() == 1), "{groups}");
        nothing_was_heard(&client, &mut heard).await?;
        system.until_logged("execution-1", "a request was dropped").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inboxes_of_users_are_answered_and_an_update_needs_no_answer() -> anyhow::Result<()> {
    System::run(Options { csps: 1, ..Options::primary() }, async |system| {
        let client = system.client();
        for inbox in ["_INBOX.mine.1", "_INBOX_somebody.mine"] {
            let mut answers = client.nats().subscribe(inbox).await?;
            let body = Request::new("RETURN 1").bytes();
            client.nats().publish_with_reply(subject::query(GROUP), inbox, body.into()).await?;
            let answer = tokio::time::timeout(PATIENCE, answers.next()).await?;
            anyhow::ensure!(answer.is_some_and(|answer| is_answer(&answer.payload)), "{inbox} is not answered");
        }
        client.nats().publish(subject::update(GROUP), Request::new("CREATE quiet:one").bytes().into()).await?;
        until("the update without an answer to be carried out", PATIENCE, async || {
            let found = client.read(&Request::new("SELECT * FROM quiet").strong(), PATIENCE).await.done();
            let found = found.map_err(|error| format!("{error:#}"))?;
            if found.results[0][0].is_object() { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await
    })
    .await
}
