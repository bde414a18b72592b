//! Asks the log whether it takes what is sent: an empty entry, sent behind those that give no news, with a reply subject.
//!
//! Entries are sent without asking for an acknowledgement, so a refusal of JetStream (a full disk, a limit, no leader) is heard
//! by nobody. This one hears it, and what it hears decides about no entry: only how this copy stands to its log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::RequestErrorKind;
use async_nats::jetstream::{self, response::Response};
use bytes::Bytes;
use holdfast_foundation::chain;
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;

use super::standing::LogStanding;
use super::subscription::find;

/// How long the log may take to acknowledge one entry.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(1_200);
/// How long the stream's leader may take to say that it is there.
const DESCRIBED_WITHIN: Duration = Duration::from_millis(400);
/// While servers elect a leader nobody listens on the log's subject: shorter than this is not worth refusing anything.
const NOBODY_MAX: Duration = Duration::from_millis(1_000);

/// Sends such entries.
#[derive(Debug)]
pub struct Probe {
    context: jetstream::Context,
    subject: String,
    stream: String,
    standing: Arc<LogStanding>,
    nobody_since: Mutex<Option<Instant>>,
    silences: AtomicU32,
    /// When the log last said that it took one.
    took_at: Mutex<Option<Instant>>,
}

/// What JetStream says of an entry that it took; only that it says it matters.
#[derive(Debug, Deserialize)]
struct Acknowledgement {}

impl Probe {
    /// Of the log `stream`, whose entries go to `subject`.
    #[must_use]
    pub fn new(context: jetstream::Context, subject: String, stream: String, standing: Arc<LogStanding>) -> Self {
        let (nobody_since, took_at) = (Mutex::new(None), Mutex::new(None));
        Self { context, subject, stream, standing, nobody_since, silences: AtomicU32::new(0), took_at }
    }

    /// Sends the entry and hears what becomes of it.
    pub async fn send(&self, entry: Bytes) {
        let began = Instant::now();
        let request = async_nats::Request::new().payload(entry).timeout(Some(ACKNOWLEDGED_WITHIN));
        let answer = self.context.client().send_request(self.subject.clone(), request).await;
        let nobody = matches!(&answer, Err(error) if error.kind() == RequestErrorKind::NoResponders);
        if !nobody {
            *self.nobody_since.lock() = None;
        }
        match answer {
            Ok(answer) => match serde_json::from_slice::<Response<Acknowledgement>>(&answer.payload) {
                Ok(Response::Ok(_)) => self.took(),
                Ok(Response::Err { error }) => self.refused(error.to_string(), is_store_failure(&error)),
                Err(error) => self.refused(format!("its answer is not understood ({error})"), false),
            },
            Err(_) if nobody => self.nobody().await,
            Err(error) if error.kind() == RequestErrorKind::TimedOut => self.silent(began).await,
            // The connection: it is made again, and the log compared then.
            Err(_) => {}
        }
    }

    fn took(&self) {
        *self.took_at.lock() = Some(Instant::now());
        self.silences.store(0, Ordering::Relaxed);
        if self.standing.took() {
            tracing::info!(stream = self.stream, "the log takes entries again");
        }
    }

    fn refused(&self, reason: String, stalled: bool) {
        if self.standing.refuse(format!("the log takes no entries: {reason}"), stalled) {
            tracing::error!(stream = self.stream, reason, "the log takes no entries, so updates are refused");
        }
    }

    /// Nobody listens on the log's subject: it has no leader, or listens elsewhere, or is gone, which the comparison finds.
    async fn nobody(&self) {
        let since = *self.nobody_since.lock().get_or_insert_with(Instant::now);
        self.standing.doubt();
        if since.elapsed() >= NOBODY_MAX && self.standing.parted().is_none() {
            let why = match self.described().await {
                Some(true) => "its stream does not listen on its subject: the stream's configuration was changed",
                Some(false) => "its stream has no leader now",
                None => return,
            };
            self.refused(why.to_owned(), false);
        }
    }

    /// It acknowledges nothing. If its leader answers other questions, and it was not this process that stood still, that is a
    /// refusal without words: so nats-server does for a stream of which a write failed once, until it is started again. What was
    /// asked before the log took another one says nothing of the log as it is now.
    async fn silent(&self, began: Instant) {
        if self.took_since(began) {
            return;
        }
        let again = self.silences.fetch_add(1, Ordering::Relaxed) > 0;
        if again && self.described().await == Some(true) && !self.took_since(began) {
            let why = "its server answers, and acknowledges nothing: look at the server's disk and at this copy's permission \
                       to publish";
            self.refused(why.to_owned(), true);
        }
    }

    fn took_since(&self, began: Instant) -> bool {
        self.took_at.lock().is_some_and(|took_at| took_at >= began)
    }

    /// Whether the stream's leader describes it; none if the stream is gone.
    async fn described(&self) -> Option<bool> {
        match tokio::time::timeout(DESCRIBED_WITHIN, find(&self.context, &self.stream)).await {
            Ok(Ok(_)) => Some(true),
            Ok(Err(error)) if error.parting_code().is_some() => None,
            Ok(Err(error)) => {
                tracing::debug!(stream = self.stream, error = %chain(&error), "the log is not described");
                Some(false)
            }
            Err(_) => Some(false),
        }
    }
}

/// Whether JetStream says that its store fails, or that the server may not use more of its disk. Unless it is configured, that much is
/// measured when the server starts: one that started on a full disk takes nothing after there is room, until it is started again.
/// A limit of the stream that is reached bears the code of a failed store, and begins with "maximum".
fn is_store_failure(error: &jetstream::Error) -> bool {
    match error.error_code() {
        jetstream::ErrorCode::INSUFFICIENT_RESOURCES => true,
        jetstream::ErrorCode::STREAM_STORE_FAILED => !error.to_string().starts_with("maximum "),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bench::Server;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Two answers that were waited for while the log took nothing run out of time behind one that it took.
    #[tokio::test]
    async fn silence_from_before_the_log_took_one_refuses_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/nats-server");
        let server = Server::start(folder.path(), own.is_file().then_some(own.as_path())).expect("nats-server starts");
        let connect = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let client = connect.connect(&server.url).await.expect("a connection");
        let before = Instant::now();
        client.flush().await.expect("connected");
        let context = jetstream::new(client.clone());
        let stream = jetstream::stream::Config {
            name: "LOG".to_owned(),
            subjects: vec!["log".to_owned()],
            ..jetstream::stream::Config::default()
        };
        context.create_stream(stream).await.expect("a stream");
        let standing = Arc::new(LogStanding::new(client.clone()));
        standing.compared(standing.connects());
        let probe = Probe::new(context, "log".to_owned(), "LOG".to_owned(), Arc::clone(&standing));
        probe.took();
        for _ in 0..2 {
            probe.silent(before).await;
        }
        assert!(!standing.is_refused(), "the log takes entries");
        client.flush().await.expect("connected");
        let behind = Instant::now();
        // A busy server describes its stream late.
        while !standing.is_refused() && behind.elapsed() < PATIENCE {
            probe.silent(behind).await;
        }
        assert!(standing.is_refused(), "it took none since");
    }

    fn answered(err_code: u64, description: &str) -> bool {
        let body = serde_json::json!({"error": {"code": 503, "err_code": err_code, "description": description}});
        match serde_json::from_value(body).expect("it is an answer") {
            Response::<Acknowledgement>::Err { error } => is_store_failure(&error),
            Response::Ok(_) => panic!("it is an error"),
        }
    }

    #[test]
    fn a_store_that_fails_is_told_from_a_limit_and_from_all_else() {
        assert!(answered(10_077, "write 1.blk: no space left on device"));
        for limit in ["maximum bytes exceeded", "maximum messages exceeded", "maximum messages per subject exceeded"] {
            assert!(!answered(10_077, limit), "{limit}");
        }
        assert!(answered(10_023, "insufficient resources"));
        assert!(!answered(10_054, "message size exceeds maximum allowed"));
    }
}
