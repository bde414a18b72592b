//! A CSP that has no copy: it says that it lives, answers every request with what it was told, so that a test sees what
//! arrived, and reports what it is done with. It can be told to misbehave.

use crate::nats::{NatsServer, until};
use futures::StreamExt;
use holdfast_foundation::clock::since_boot_ms;
use holdfast_schemas::{header, subject};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long numbers are collected for a note.
const NOTE_INTERVAL: Duration = Duration::from_millis(3);

/// What the CSP says of itself.
#[derive(Clone)]
pub struct Appearance {
    pub incarnation: &'static str,
    pub state: &'static str,
    pub applied: u64,
    pub epoch: u64,
    pub primary: Option<&'static str>,
    pub outstanding: u32,
}

impl Default for Appearance {
    fn default() -> Self {
        Self { incarnation: "i", state: "available", applied: 10, epoch: 1, primary: Some("a"), outstanding: 0 }
    }
}

/// What the CSP does with requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It answers them and says so.
    Answers,
    /// It answers them, and the note is lost.
    ForgetsToNote,
    /// It takes them, lives, and does not answer.
    Swallows,
    /// It gives them back with this code.
    Returns(&'static str),
    /// Nothing at all: no answers, no heartbeats, as a process that is stopped.
    Hangs,
}

#[derive(Clone)]
struct Shared {
    client: async_nats::Client,
    group: &'static str,
    csp: &'static str,
    appearance: Arc<Mutex<Appearance>>,
    manner: Arc<Mutex<Manner>>,
    seen: Arc<Mutex<Vec<Value>>>,
    notes: mpsc::UnboundedSender<Noted>,
}

struct Noted {
    route: String,
    code: Option<&'static str>,
}

pub struct FakeCsp {
    shared: Shared,
    tasks: tokio::task::JoinSet<()>,
}

impl FakeCsp {
    pub async fn start(server: &NatsServer, group: &'static str, csp: &'static str, appearance: Appearance) -> Self {
        let client = server.connect().await;
        let (notes, noted) = mpsc::unbounded_channel();
        let shared = Shared {
            client: client.clone(),
            group,
            csp,
            appearance: Arc::new(Mutex::new(appearance)),
            manner: Arc::new(Mutex::new(Manner::Answers)),
            seen: Arc::default(),
            notes,
        };
        let mut tasks = tokio::task::JoinSet::new();
        let locks = ["lock-acquire", "lock-release", "lock-list"].map(|verb| {
            let subject = subject::csp_lock(group, csp, verb.trim_start_matches("lock-"));
            (verb, subject)
        });
        let requests = [("update", subject::csp_update(group, csp)), ("query", subject::csp_query(group, csp))];
        for (verb, subject) in requests.into_iter().chain(locks) {
            let requests = client.subscribe(subject).await.unwrap();
            tasks.spawn(serve(shared.clone(), requests, verb));
        }
        let questions = client.subscribe(subject::csp_status(group, csp)).await.unwrap();
        tasks.spawn(status(shared.clone(), questions));
        client.flush().await.unwrap();
        tasks.spawn(note(shared.clone(), noted));
        tasks.spawn(beat(shared.clone()));
        Self { shared, tasks }
    }

    /// From the next heartbeat on it says something else.
    pub fn appear(&self, appearance: Appearance) {
        *self.shared.appearance.lock().unwrap() = appearance;
    }

    /// From the next request on it behaves like this.
    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// What reached it, in its order.
    pub fn seen(&self) -> Vec<Value> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until so many requests have reached it, and returns the last of them.
    pub async fn until_seen(&self, count: usize) -> Value {
        until("a request at the CSP", || self.seen().get(count - 1).cloned()).await
    }

    /// It is gone, without a word.
    pub fn stop(mut self) {
        self.tasks.abort_all();
    }
}

impl Shared {
    fn manner(&self) -> Manner {
        *self.manner.lock().unwrap()
    }
}

async fn beat(csp: Shared) {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        if csp.manner() == Manner::Hangs {
            continue;
        }
        let now = csp.appearance.lock().unwrap().clone();
        let heartbeat = json!({
            "type": "io.holdfast.replication.v1.heartbeat",
            "group": csp.group, "csp": csp.csp, "node": "n", "incarnation": now.incarnation, "state": now.state,
            "applied": now.applied, "epoch": now.epoch, "primary": now.primary,
            "outstanding": now.outstanding, "at_ms": 0, "clock_ms": since_boot_ms(),
        });
        csp.client.publish(subject::heartbeat(csp.group, csp.csp), heartbeat.to_string().into()).await.unwrap();
    }
}

async fn status(csp: Shared, mut questions: async_nats::Subscriber) {
    while let Some(question) = questions.next().await {
        if let Some(reply) = question.reply.filter(|_| csp.manner() != Manner::Hangs) {
            csp.client.publish(reply, "{}".into()).await.unwrap();
        }
    }
}

async fn serve(csp: Shared, mut requests: async_nats::Subscriber, verb: &'static str) {
    while let Some(request) = requests.next().await {
        let headers: serde_json::Map<String, Value> = request
            .headers
            .iter()
            .flat_map(|headers| headers.iter())
            .filter_map(|(name, values)| Some((name.to_string(), json!(values.first()?.as_str()))))
            .collect();
        let route = headers.get(header::ROUTE).and_then(Value::as_str).map(str::to_owned);
        let seen = json!({
            "csp": csp.csp, "verb": verb, "headers": headers,
            "reply": request.reply.as_ref().map(|reply| reply.to_string()),
            "body": String::from_utf8_lossy(&request.payload),
        });
        csp.seen.lock().unwrap().push(seen.clone());
        let manner = csp.manner();
        if let Some(reply) = request.reply.filter(|_| matches!(manner, Manner::Answers | Manner::ForgetsToNote)) {
            csp.client.publish(reply, seen.to_string().into()).await.unwrap();
        }
        let code = if let Manner::Returns(code) = manner { Some(code) } else { None };
        if let Some(route) = route.filter(|_| matches!(manner, Manner::Answers | Manner::Returns(_))) {
            csp.notes.send(Noted { route, code }).unwrap();
        }
    }
}

/// One note for many requests, as a real CSP writes them.
async fn note(csp: Shared, mut noted: mpsc::UnboundedReceiver<Noted>) {
    while let Some(first) = noted.recv().await {
        tokio::time::sleep(NOTE_INTERVAL).await;
        let mut all = vec![first];
        while let Ok(more) = noted.try_recv() {
            all.push(more);
        }
        let mut notes: HashMap<String, (Vec<u64>, Vec<Value>)> = HashMap::new();
        for Noted { route, code } in all {
            let (instance, number) = route.split_once(':').unwrap();
            let number: u64 = number.parse().unwrap();
            let (done, returned) = notes.entry(instance.to_owned()).or_default();
            match code {
                None => done.push(number),
                Some(code) => returned.push(json!({ "number": number, "code": code })),
            }
        }
        for (instance, (done, returned)) in notes {
            let note = json!({
                "type": "io.holdfast.execution.v1.completions",
                "group": csp.group, "csp": csp.csp, "done": done, "returned": returned,
            });
            csp.client.publish(subject::completions(&instance), note.to_string().into()).await.unwrap();
        }
    }
}
