//! Bad input gets a clear error with a stable code, and harms nobody.

use std::time::{Duration, Instant};

use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{GROUP, Options, System};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(10);
/// The deadline of requests whose time ends while they are carried out.
const DEADLINE: Duration = Duration::from_millis(700);
/// Execution waits for so long behind a deadline for what a CSP says, and then says itself that nobody did: another code, and rightly
/// so. Where processes stood still for longer than that, nothing can be learned about what the CSP says.
const COMPLETION_GRACE: Duration = Duration::from_millis(150);

struct Case {
    name: &'static str,
    query: bool,
    body: Vec<u8>,
    code: &'static str,
    /// Whether its time ends while it is carried out.
    runs_out_of_time: bool,
}

impl Case {
    fn runs_out_of_time(self) -> Self {
        Self { runs_out_of_time: true, ..self }
    }
}

fn update(name: &'static str, body: impl Into<Vec<u8>>, code: &'static str) -> Case {
    Case { name, query: false, body: body.into(), code, runs_out_of_time: false }
}

fn query(name: &'static str, body: impl Into<Vec<u8>>, code: &'static str) -> Case {
    Case { name, query: true, body: body.into(), code, runs_out_of_time: false }
}

fn nested(depth: usize) -> String {
    format!(r#"{{"sql":"RETURN $deep","vars":{{"deep":{}{}}}}}"#, "[".repeat(depth), "]".repeat(depth))
}

fn cases() -> Vec<Case> {
    let large = json!({ "sql": "RETURN 1", "vars": { "text": "x".repeat(1_020_000) } }).to_string();
    let long_id = json!({ "sql": "RETURN 1", "id": "i".repeat(1_000) }).to_string();
    let deep_sql = json!({ "sql": format!("RETURN {}1{}", "(".repeat(5_000), ")".repeat(5_000)) }).to_string();
    let deadline = DEADLINE.as_millis();
    let no_time = format!(r#"{{"sql":"CREATE one:5; SLEEP 3s","deadline_ms":{deadline}}}"#);
    let future = format!(r#"{{"sql":"RETURN 1","consistency":"session","after":999999999,"deadline_ms":{deadline}}}"#);
    vec![
        update("an empty body", "", "invalid_request"),
        update("not JSON", "CREATE person", "invalid_request"),
        update("half of a body", r#"{"sql": "RETURN 1""#, "invalid_request"),
        update("not UTF-8", vec![b'{', 0xff, 0xfe, b'}'], "invalid_request"),
        update("an array", "[]", "invalid_request"),
        update("no sql", "{}", "invalid_request"),
        update("an unknown field", r#"{"sql":"RETURN 1","sqll":1}"#, "invalid_request"),
        update("sql of a wrong type", r#"{"sql":17}"#, "invalid_request"),
        update("vars of a wrong type", r#"{"sql":"RETURN 1","vars":[1]}"#, "invalid_request"),
        update("a negative deadline", r#"{"sql":"RETURN 1","deadline_ms":-1}"#, "invalid_request"),
        update("an id that is too long", long_id, "invalid_request"),
        update("an empty id", r#"{"sql":"RETURN 1","id":""}"#, "invalid_request"),
        update(
            "the name of a wrong type",
            r#"{"type":"io.holdfast.execution.v1.query_request","sql":"RETURN 1"}"#,
            "invalid_request",
        ),
        update("deep JSON", nested(500), "invalid_request"),
        update("very deep JSON", nested(100_000), "invalid_request"),
        update("a large body", large, "request_too_large"),
        update("SQL that does not parse", r#"{"sql":"CREATE FROM WHERE"}"#, "invalid_sql"),
        update("deep SQL", deep_sql, "invalid_sql"),
        update("a statement that fails", r#"{"sql":"CREATE one:1; THROW 'no'"}"#, "statement_failed"),
        update("a transaction of its own", r#"{"sql":"BEGIN; CREATE one:2; COMMIT"}"#, "transaction_statement"),
        update("only a commit", r#"{"sql":"COMMIT"}"#, "transaction_statement"),
        update("a rebuilt index", r#"{"sql":"REBUILD INDEX number ON one"}"#, "unsupported"),
        update("no time", no_time, "deadline_exceeded").runs_out_of_time(),
        query("a live query", r#"{"sql":"LIVE SELECT * FROM one"}"#, "unsupported"),
        query("a write in a query", r#"{"sql":"CREATE one:3"}"#, "read_only"),
        query("a definition in a query", r#"{"sql":"DEFINE TABLE nine"}"#, "read_only"),
        query("a write behind a read", r#"{"sql":"SELECT * FROM one; DELETE one"}"#, "read_only"),
        query("a hidden write", r#"{"sql":"RETURN { CREATE one:4; }"}"#, "read_only"),
        query("an unknown consistency", r#"{"sql":"RETURN 1","consistency":"eventual"}"#, "invalid_request"),
        query("a session without a position", r#"{"sql":"RETURN 1","consistency":"session"}"#, "invalid_request"),
        query("a position from the future", future, "position_not_reached").runs_out_of_time(),
    ]
}

/// Whether the answer shows that processes stood still: it came late, or execution cannot tell how long the request lay before it.
fn stood_still(answer: &str, took: Duration) -> bool {
    took > DEADLINE + COMPLETION_GRACE || answer.contains("it may have lain here for longer than its time")
}

/// Whether the case gets its code; what it got if not. An answer that came so late that processes must have stood still is no answer
/// to the question, which is asked again then; one that came in time counts.
async fn is_refused(client: &Client, case: &Case) -> Result<(), String> {
    const PAUSE: Duration = Duration::from_millis(50);
    let began = Instant::now();
    loop {
        let to = if case.query { subject::query(GROUP) } else { subject::update(GROUP) };
        let asked = Instant::now();
        let outcome = client.send(to, case.body.clone(), PATIENCE).await;
        let took = asked.elapsed();
        let got = format!("{outcome} after {took:.1?}");
        match outcome.refused() {
            Ok(refusal) if refusal.code == case.code && !refusal.message.is_empty() => return Ok(()),
            _ if case.runs_out_of_time && stood_still(&got, took) && began.elapsed() < PATIENCE => {
                eprintln!("{}: processes stood still: {got}", case.name);
                tokio::time::sleep(PAUSE).await;
            }
            _ => return Err(got),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_refused_with_a_stable_code() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE one; CREATE one:kept"), PATIENCE).await?;
        let mut wrong = Vec::new();
        for case in cases() {
            if let Err(got) = is_refused(&client, &case).await {
                wrong.push(format!("{}: wanted {}, got {got}", case.name, case.code));
            }
        }
        let kept = Request::new("SELECT VALUE id FROM one").strong();
        let kept = client.read(&kept, PATIENCE).await.done()?.results[0].clone();
        anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        anyhow::ensure!(kept == json!(["one:kept"]), "a refused request left something behind: {kept}");
        whole(&system, &client).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_an_unknown_group_is_answered_at_once() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        let outcome = client.send(subject::update("nobody"), Request::new("RETURN 1").bytes(), PATIENCE).await;
        let refusal = outcome.refused()?;
        anyhow::ensure!(refusal.code == "unknown_group", "{refusal:?}");
        whole(&system, &client).await
    })
    .await
}

/// A client that ignores what the server told it about sizes, as raw as can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_megabytes_ends_that_connection_only() -> anyhow::Result<()> {
    const BYTES: usize = 10 * 1024 * 1024;
    System::run(Options::peer(), async |system| {
        let address = system.urls()[0].replace("nats://", "");
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        let head = format!("CONNECT {{\"verbose\":false}}\r\nPUB {} {BYTES}\r\n", subject::update(GROUP));
        stream.write_all(head.as_bytes()).await?;
        let _ = stream.write_all(&vec![b'x'; BYTES]).await;
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await?;
        let answer = String::from_utf8_lossy(&answer).to_lowercase();
        anyhow::ensure!(answer.is_empty() || answer.contains("-err") || answer.contains("info"), "{answer}");
        whole(&system, &system.client()).await
    })
    .await
}

/// Nobody is down and everybody serves.
async fn whole(system: &System, client: &Client) -> anyhow::Result<()> {
    system.all_alive()?;
    system.until_available(&system.csps()).await?;
    client.commit(Request::new("RETURN 1"), PATIENCE).await?;
    system.equal_digests(&system.csps()).await?;
    Ok(())
}
