//! The bus on a real nats-server: what each failure of a request means, who is listed, and which streams are refused.

mod support;

use std::time::Duration;

use async_nats::jetstream::stream::{Config, StorageType};
use futures::StreamExt as _;
use holdfast_foundation::bus::log_stream::{self, LogStreamError};
use holdfast_foundation::bus::{Bus, RequestError, micro};
use holdfast_foundation::config::NatsConfig;
use holdfast_schemas::message::{DigestReply, DigestRequest, ErrorReply};
use holdfast_schemas::{ErrorCode, Message, subject};
use support::{BOUND, NatsServer};

const QUESTION: DigestRequest = DigestRequest { at: None };

async fn bus(server: &NatsServer) -> Bus {
    let config = NatsConfig { url: server.url.clone(), ..NatsConfig::default() };
    tokio::time::timeout(BOUND, Bus::connect(&config, "test")).await.expect("connects in time").expect("connects")
}

/// Asks a responder that answers with these bytes, or not at all.
async fn ask(bus: &Bus, answer: Option<Vec<u8>>, timeout: Duration) -> Result<DigestReply, RequestError> {
    let subject = subject::csp_digest("shop", "a");
    let mut requests = bus.client().subscribe(subject.clone()).await.unwrap();
    bus.client().flush().await.unwrap();
    let client = bus.client().clone();
    let responder = tokio::spawn(async move {
        let request = requests.next().await.unwrap();
        assert_eq!(DigestRequest::decode(&request.payload), Ok(QUESTION));
        if let Some(answer) = answer {
            client.publish(request.reply.unwrap(), answer.into()).await.unwrap();
        }
        requests
    });
    let result = bus.request(subject, &QUESTION, timeout).await;
    drop(responder.await.unwrap());
    result
}

#[tokio::test]
async fn nobody_there_is_told_from_no_answer() {
    let server = NatsServer::start(&[]);
    let bus = bus(&server).await;
    let nobody = bus.request::<_, DigestReply>(subject::csp_digest("shop", "none"), &QUESTION, BOUND).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders)), "{nobody:?}");
    let silent = ask(&bus, None, Duration::from_millis(50)).await;
    assert!(matches!(silent, Err(RequestError::TimedOut)), "{silent:?}");
}

#[tokio::test]
async fn answers_refusals_and_nonsense_are_told_apart() {
    let server = NatsServer::start(&[]);
    let bus = bus(&server).await;
    let reply = DigestReply { position: 7, keys: 1, digest: "00".to_owned() };
    assert_eq!(ask(&bus, Some(reply.encode()), BOUND).await.unwrap(), reply);
    let refusal = ErrorReply::new(None, ErrorCode::Quarantined, "set aside");
    match ask(&bus, Some(refusal.encode()), BOUND).await {
        Err(RequestError::Refused(found)) => assert_eq!(found, refusal),
        other => panic!("{other:?}"),
    }
    let nonsense = ask(&bus, Some(b"nonsense".to_vec()), BOUND).await;
    assert!(matches!(nonsense, Err(RequestError::Malformed(_))), "{nonsense:?}");
}

#[tokio::test]
async fn a_server_that_starts_later_is_waited_for() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let config = NatsConfig { url: format!("nats://127.0.0.1:{port}"), ..NatsConfig::default() };
    let early = tokio::spawn(async move { Bus::connect(&config, "test").await });
    tokio::task::yield_now().await;
    let _server = NatsServer::start(&["--port", &port]);
    let connected = tokio::time::timeout(BOUND, early).await.expect("connects in time").unwrap();
    assert!(connected.is_ok(), "{connected:?}");
}

#[tokio::test]
async fn wrong_credentials_are_an_error_and_not_a_wait() {
    let server = NatsServer::start(&["--user", "a", "--pass", "right"]);
    let config = NatsConfig {
        url: server.url.clone(),
        user: Some("a".to_owned()),
        password: Some("wrong".to_owned()),
        ..NatsConfig::default()
    };
    let refused = tokio::time::timeout(BOUND, Bus::connect(&config, "test")).await;
    assert!(matches!(refused, Ok(Err(_))), "{refused:?}");
}

#[tokio::test]
async fn a_registered_service_is_listed_and_takes_no_requests() {
    let server = NatsServer::start(&[]);
    let bus = bus(&server).await;
    let _registered = micro::register(&bus, "execution").await.unwrap();
    let listed = bus.client().request("$SRV.PING.holdfast-execution", "".into()).await.unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.payload).unwrap();
    assert_eq!(listed["name"], "holdfast-execution");
    let answer = bus.request::<_, DigestReply>(subject::update("shop"), &QUESTION, BOUND).await;
    assert!(matches!(answer, Err(RequestError::NoResponders)), "{answer:?}");
}

#[tokio::test]
async fn a_request_that_wants_its_answer_elsewhere_is_never_seen() {
    let server = NatsServer::start(&[]);
    let bus = bus(&server).await;
    let _registered = micro::register(&bus, "execution").await.unwrap();
    let mut elsewhere = bus.client().subscribe("$KV.bucket.key").await.unwrap();
    let mut requests = bus.requests(subject::update("shop")).await.unwrap();
    let mut shared = bus.queue_requests(subject::query("shop"), "q".to_owned()).await.unwrap();
    for (reply, body) in [("$KV.bucket.key", "1"), ("holdfast.shop.log", "2"), ("_INBOX.>", "3"), ("_INBOX.me", "4")] {
        for subject in [subject::update("shop"), subject::query("shop"), subject::discovery("PING", &[])] {
            bus.client().publish_with_reply(subject, reply, body.into()).await.unwrap();
        }
    }
    for requests in [&mut requests, &mut shared] {
        let seen = tokio::time::timeout(BOUND, requests.next()).await.expect("in time").unwrap();
        assert_eq!(seen.payload, "4");
    }
    // Answered behind the others, so they have been looked at by now.
    bus.client().request(subject::discovery("PING", &[]), "".into()).await.unwrap();
    bus.client().publish("$KV.bucket.key", "end".into()).await.unwrap();
    let first = tokio::time::timeout(BOUND, elsewhere.next()).await.expect("in time").unwrap();
    assert_eq!(first.payload, "end");
}

#[tokio::test]
async fn a_log_stream_is_made_once() {
    let server = NatsServer::start(&[]);
    let bus = bus(&server).await;
    for _ in 0..2 {
        let stream = log_stream::ensure(bus.jetstream(), "shop", 1).await.unwrap();
        let config = &stream.cached_info().config;
        assert_eq!(config.name, subject::log_stream("shop"));
        assert_eq!(config.subjects, [subject::log("shop")]);
        assert!(config.deny_delete && !config.deny_purge && config.allow_direct);
    }
}

#[tokio::test]
async fn a_stream_that_could_lose_entries_is_refused_and_left_alone() {
    let server = NatsServer::start(&[]);
    let bus = bus(&server).await;
    type Weaken = fn(&mut Config);
    let unsafe_settings: [(&str, Weaken); 6] = [
        ("memory", |config| config.storage = StorageType::Memory),
        ("age", |config| config.max_age = Duration::from_secs(3600)),
        ("delete", |config| config.deny_delete = false),
        ("rollup", |config| config.allow_rollup = true),
        ("ttl", |config| config.allow_message_ttl = true),
        ("no_ack", |config| config.no_ack = true),
    ];
    for (group, spoil) in unsafe_settings {
        let made = log_stream::ensure(bus.jetstream(), "model", 1).await.unwrap();
        let mut config = made.cached_info().config.clone();
        config.name = subject::log_stream(group);
        config.subjects = vec![subject::log(group)];
        spoil(&mut config);
        bus.jetstream().create_stream(config.clone()).await.unwrap();
        let refused = log_stream::ensure(bus.jetstream(), group, 1).await;
        assert!(matches!(refused, Err(LogStreamError::Unsafe { .. })), "{group}: {refused:?}");
        let found = bus.jetstream().get_stream(&config.name).await.unwrap().cached_info().config.clone();
        assert_eq!(found.max_age, config.max_age, "{group} was changed");
    }
}
