//! Administration as a process, beside a real nats-server.

#[path = "../../../execution/tests/integration/nats.rs"]
mod nats;

use async_nats::jetstream;
use futures::StreamExt;
use holdfast_schemas::subject;
use nats::{NatsServer, PATIENCE, Process};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const BINARY: &str = env!("CARGO_BIN_EXE_holdfast-administration");

struct Scene {
    server: NatsServer,
    client: async_nats::Client,
    instances: Vec<Process>,
}

impl Scene {
    async fn start(instances: usize) -> Self {
        let server = NatsServer::start().await;
        let client = server.connect().await;
        let mut scene = Self { server, client, instances: Vec::new() };
        for _ in 0..instances {
            scene.instances.push(Process::start(BINARY, &scene.server, &[]).await);
        }
        scene
    }

    async fn ask(&self, verb: &str, body: &Value) -> Value {
        let request = async_nats::Request::new().payload(body.to_string().into()).timeout(Some(PATIENCE));
        let answer = self.client.send_request(subject::admin("group", verb), request).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }

    async fn define(&self, definition: &Value) -> Value {
        self.ask("define", &json!({ "definition": definition })).await
    }

    /// The messages of a group's log, as JSON.
    async fn log(&self, group: &str) -> Vec<Value> {
        let jetstream = jetstream::new(self.client.clone());
        let mut stream = jetstream.get_stream(subject::log_stream(group)).await.unwrap();
        let last = stream.info().await.unwrap().state.last_sequence;
        let mut entries = Vec::new();
        for position in 1..=last {
            let message = stream.get_raw_message(position).await.unwrap();
            entries.push(serde_json::from_slice(&message.payload).unwrap());
        }
        entries
    }
}

fn group(name: &str, csps: &[&str], replication: &str) -> Value {
    json!({
        "name": name, "csps": csps, "replication": replication, "isolation": "serializable",
        "storage": "mem", "ids_kept_ms": 600_000, "log_replicas": 1,
    })
}

#[tokio::test]
async fn a_group_is_defined_once_and_its_log_begins_with_it() {
    let scene = Scene::start(1).await;
    let wanted = group("g", &["a", "b"], "primary");
    let first = scene.define(&wanted).await;
    assert_eq!(first["created"], true, "{first}");
    let second = scene.define(&wanted).await;
    assert_eq!(second["created"], false, "{second}");
    assert_eq!(second["definition"]["revision"], first["definition"]["revision"]);
    let log = scene.log("g").await;
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(log[0]["kind"], "define");
    assert_eq!(log[0]["group"], "g");
    assert_eq!(log[1]["kind"], "epoch");
    assert_eq!(log[1]["primary"], "a");
    assert_eq!(log[1]["epoch"], 1);
    let list = scene.ask("list", &json!({})).await;
    assert_eq!(list["groups"][0]["name"], "g", "{list}");
}

#[tokio::test]
async fn the_policy_of_supervision_is_changed_while_the_group_is_there() {
    let scene = Scene::start(1).await;
    let first = scene.define(&group("g", &["a"], "primary")).await;
    let mut wanted = group("g", &["a"], "primary");
    wanted["supervision"] = json!({ "heartbeat_interval_ms": 200 });
    let second = scene.define(&wanted).await;
    assert_eq!((&second["created"], &second["changed"]), (&json!(false), &json!(true)), "{second}");
    assert_eq!(second["definition"]["supervision"]["heartbeat_interval_ms"], 200, "{second}");
    assert!(second["definition"]["revision"].as_u64() > first["definition"]["revision"].as_u64(), "{second}");
    assert_eq!(scene.log("g").await.len(), 2, "the log is not touched");
    let third = scene.define(&wanted).await;
    assert_eq!(third["definition"], second["definition"]);
    wanted["supervision"] = json!({ "heartbeats_missed": 3 });
    let refused = scene.define(&wanted).await;
    assert_eq!(refused["error"]["code"], "invalid_request", "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("400 ms"), "{refused}");
    wanted["supervision"] = json!({ "patience": 3 });
    let refused = scene.define(&wanted).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("patience"), "{refused}");
}

#[tokio::test]
async fn a_peer_group_has_no_primary() {
    let scene = Scene::start(1).await;
    assert_eq!(scene.define(&group("p", &["a"], "peer")).await["created"], true);
    assert_eq!(scene.log("p").await.len(), 1);
}

#[tokio::test]
async fn two_administrators_do_no_harm() {
    let scene = Scene::start(2).await;
    let wanted = group("g", &["a"], "primary");
    let answers = futures::future::join_all((0..20).map(|_| scene.define(&wanted))).await;
    let created = answers.iter().filter(|answer| answer["created"] == true).count();
    assert_eq!(created, 1, "{answers:?}");
    assert!(answers.iter().all(|answer| answer["definition"]["name"] == "g"), "{answers:?}");
    assert_eq!(scene.log("g").await.len(), 2);
}

#[tokio::test]
async fn of_two_groups_with_the_same_csp_one_is_defined() {
    let scene = Scene::start(2).await;
    let names: Vec<String> = (0..8).map(|number| format!("g{number}")).collect();
    let groups: Vec<Value> = names.iter().map(|name| group(name, &["shared"], "peer")).collect();
    let answers = futures::future::join_all(groups.iter().map(|group| scene.define(group))).await;
    let created = answers.iter().filter(|answer| answer["created"] == true).count();
    assert_eq!(created, 1, "{answers:?}");
    let refused = answers.iter().filter(|answer| answer["error"]["code"] == "already_exists").count();
    assert_eq!(refused, 7, "{answers:?}");
}

#[tokio::test]
async fn changed_and_wrong_definitions_are_refused() {
    let scene = Scene::start(1).await;
    scene.define(&group("g", &["a"], "primary")).await;
    let mut three_replicas = group("h", &["h"], "primary");
    three_replicas["log_replicas"] = json!(2);
    let cases = [
        (json!({"definition": group("g", &["a"], "peer")}), "already_exists"),
        (json!({"definition": group("g", &["a", "b"], "primary")}), "already_exists"),
        (json!({"definition": group("h", &["a"], "primary")}), "already_exists"),
        (json!({"definition": group("h", &[], "primary")}), "invalid_request"),
        (json!({"definition": group("a.b", &["h"], "primary")}), "invalid_request"),
        (json!({"definition": group("h", &["h"], "sometimes")}), "invalid_request"),
        (json!({"definition": three_replicas}), "invalid_request"),
        (json!({"definition": group("h", &["h"], "primary"), "other": 1}), "invalid_request"),
        (json!("text"), "invalid_request"),
    ];
    for (body, code) in cases {
        let answer = scene.ask("define", &body).await;
        assert_eq!(answer["error"]["code"], code, "{body} was answered with {answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
    }
    assert_eq!(scene.ask("list", &json!({})).await["groups"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn pools_and_windows_of_a_group_are_changed_and_its_log_is_not_touched() {
    let scene = Scene::start(2).await;
    let plain = group("g", &["a", "b"], "primary");
    let first = scene.define(&plain).await;
    let log = scene.log("g").await;
    let mut changed = plain.clone();
    changed["pools"] = json!([{"name": "reports", "csps": ["b"]}]);
    changed["update_windows"] = json!({"windows": [{"days": ["sunday"], "from": "22:00", "until": "06:00"}]});
    let second = scene.define(&changed).await;
    assert_eq!((&second["created"], &second["changed"]), (&json!(false), &json!(true)), "{second}");
    assert!(second["definition"]["revision"].as_u64() > first["definition"]["revision"].as_u64(), "{second}");
    let again = scene.define(&changed).await;
    assert_eq!((&again["created"], &again["changed"]), (&json!(false), &Value::Null), "{again}");
    assert_eq!(again["definition"], second["definition"]);
    let listed = scene.ask("list", &json!({})).await;
    assert_eq!(listed["groups"][0]["pools"][0]["name"], "reports", "{listed}");
    let mut more = changed.clone();
    more["csps"] = json!(["a", "b", "c"]);
    assert_eq!(scene.define(&more).await["error"]["code"], "already_exists");
    let mut wrong = changed;
    wrong["update_windows"]["windows"][0]["until"] = json!("22:00");
    assert_eq!(scene.define(&wrong).await["error"]["code"], "invalid_request");
    assert_eq!(scene.define(&plain).await["changed"], true, "they can be taken away, too");
    assert_eq!(scene.log("g").await, log);
}

#[tokio::test]
async fn a_log_that_begins_otherwise_is_not_touched() {
    let scene = Scene::start(1).await;
    scene.define(&group("g", &["a"], "primary")).await;
    let bucket = jetstream::new(scene.client.clone()).get_key_value(subject::definitions_bucket()).await.unwrap();
    bucket.purge("g").await.unwrap();
    let answer = scene.define(&group("g", &["a"], "peer")).await;
    assert_eq!(answer["error"]["code"], "already_exists", "{answer}");
    assert_eq!(scene.log("g").await.len(), 2);
    let answer = scene.define(&group("g", &["a"], "primary")).await;
    assert_eq!(answer["created"], true, "what a crash left is completed: {answer}");
    assert_eq!(scene.log("g").await.len(), 2);
}

#[tokio::test]
async fn status_tells_of_those_who_answer_and_those_who_do_not() {
    let scene = Scene::start(1).await;
    scene.define(&group("g", &["a", "b"], "primary")).await;
    let mut requests = scene.client.subscribe(subject::csp_status("g", "a")).await.unwrap();
    scene.client.flush().await.unwrap();
    let client = scene.client.clone();
    let csp = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = json!({
                "type": "io.holdfast.replication.v1.status_reply",
                "group": "g", "csp": "a", "node": "n", "incarnation": "i", "state": "available", "applied": 1,
                "epoch": 1, "primary": "a", "outstanding": 0, "at_ms": 0, "started_at_ms": 0,
                "replication": "primary", "isolation": "serializable", "storage": "mem",
                "surrealdb_version": "3.3.5", "version": "0.1.0",
                "counters": {"committed": 0, "conflicts": 0, "queries": 0, "updates": 0, "entries": 0, "bytes": 0},
            });
            client.publish(request.reply.unwrap(), reply.to_string().into()).await.unwrap();
        }
    });
    let status = scene.ask("status", &json!({"group": "g"})).await;
    csp.abort();
    assert_eq!(status["csps"][0]["csp"], "a", "{status}");
    assert_eq!(status["csps"][0]["state"], "available");
    assert_eq!(status["csps"][0]["primary"], true);
    assert_eq!(status["csps"][0]["lag"], 1);
    assert_eq!(status["csps"][1]["state"], "unavailable");
    assert_eq!(status["csps"][1]["primary"], false);
    assert_eq!(status["log"]["last"], 2);
    assert_eq!(status["log"]["replicas"], 1);
    let missing = scene.ask("status", &json!({"group": "other"})).await;
    assert_eq!(missing["error"]["code"], "unknown_group");
    assert!(missing["error"]["message"].as_str().unwrap().ends_with("known groups: g"), "{missing}");
}

#[tokio::test]
async fn a_killed_administrator_is_replaced_by_another() {
    let mut scene = Scene::start(2).await;
    scene.define(&group("g", &["a"], "primary")).await;
    scene.instances.remove(0).kill();
    let started = Instant::now();
    // A request that the dead one had already taken goes unanswered; the client repeats it.
    let list = loop {
        let request = async_nats::Request::new().payload("".into()).timeout(Some(Duration::from_millis(500)));
        if let Ok(answer) = scene.client.send_request(subject::admin("group", "list"), request).await {
            break serde_json::from_slice::<Value>(&answer.payload).unwrap();
        }
        assert!(started.elapsed() < PATIENCE, "nobody answers");
    };
    assert_eq!(list["groups"].as_array().unwrap().len(), 1);
    let status = scene.instances.remove(0).terminate().await;
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn the_status_says_who_holds_which_task() {
    let scene = Scene::start(1).await;
    let mut wanted = group("g", &["a", "b"], "primary");
    wanted["tasks"] = json!([{"name": "report", "keep_apart_from": ["replication"]}]);
    assert_eq!(scene.define(&wanted).await["created"], true);
    let status = scene.ask("status", &json!({"group": "g"})).await;
    assert_eq!(status["assignments"], Value::Null, "nothing is assigned yet: {status}");
    let config = jetstream::kv::Config { bucket: subject::assignments_bucket(), ..Default::default() };
    let bucket = jetstream::new(scene.client.clone()).create_key_value(config).await.unwrap();
    for (task, csp) in [("replication", "a"), ("report", "b"), ("forgotten", "a")] {
        let assignment = json!({
            "type": "io.holdfast.execution.v1.assignment", "group": "g", "task": task, "csp": csp, "epoch": 1,
            "since_ms": 0, "cause": "found in the log",
        });
        bucket.put(subject::assignment_key("g", task), assignment.to_string().into()).await.unwrap();
    }
    let status = scene.ask("status", &json!({"group": "g"})).await;
    let held: Vec<_> =
        status["assignments"].as_array().unwrap().iter().map(|held| (&held["task"], &held["csp"])).collect();
    assert_eq!(held, [(&json!("replication"), &json!("a")), (&json!("report"), &json!("b"))], "{status}");
}

#[tokio::test]
async fn a_task_with_a_misspelt_wish_is_refused() {
    let scene = Scene::start(1).await;
    let mut wanted = group("g", &["a"], "primary");
    wanted["tasks"] = json!([{"name": "report", "prefer_node": ["n"]}]);
    let answer = scene.define(&wanted).await;
    assert_eq!(answer["error"]["code"], "invalid_request");
    assert!(answer["error"]["message"].as_str().unwrap().contains("prefer_node"), "{answer}");
}
