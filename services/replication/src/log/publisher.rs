//! Packs what waits into entries and sends them to the log.
//!
//! Group commit: while an entry is on its way, the next transactions gather, and all of them leave together. Under load the
//! batch grows by itself, and a lone transaction never waits for company.
//!
//! Entries are sent without asking for an acknowledgement: their way back out of the log is the only proof that counts, and
//! it is awaited anyway. When nothing comes back for a while, an empty entry is sent behind them. It is void of content, but
//! once it comes out, the fate of everything before it is known (`ledger`). It alone asks for an acknowledgement, to hear why
//! the log takes nothing (`probe`).
//!
//! Nothing leaves before the log was compared with this copy, and while it does not fit or takes nothing (`standing`): what
//! waits is then refused at once, with the reason.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use holdfast_foundation::clock::Steady;
use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::UpdateRefusal;
use holdfast_storage::{Amount, CommitFailure, LogFault, WriteSet, is_changefeed_placeholder, is_index_entry};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{error, warn};

use super::gateway::Gateway;
use super::probe::Probe;
use super::standing::{LogStanding, Passage};
use super::submission::{Submission, Waiting};
use crate::entry::{BatchEncoder, EntryError, EntryHeader, ON_THE_WAY_US, SenderClock, TransactionHead, Write};
use crate::fault::{self, Sabotage, Step};
use crate::model::Position;
use crate::view::AppliedView;

/// How often a log that takes nothing is tried.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How the publisher works.
#[derive(Debug, Clone)]
pub struct PublisherOptions {
    /// Subject of the log.
    pub subject: String,
    /// Its stream.
    pub stream: String,
    /// SurrealDB's storage version.
    pub storage_version: u16,
    /// Bytes at which a batch is closed, and which no message exceeds.
    pub message_max_bytes: usize,
    /// Entries that may be on their way at a time. One would idle while the log works; many would make batches small.
    pub in_flight_max: usize,
    /// After this long without news of an entry, an empty one is sent behind it.
    pub stall: Duration,
}

/// The task that publishes.
pub struct Publisher {
    client: Client,
    options: PublisherOptions,
    gateway: Arc<Gateway>,
    applied: Arc<AppliedView>,
    standing: Arc<LogStanding>,
    probe: Arc<Probe>,
    queue: mpsc::UnboundedReceiver<Submission>,
    encoder: BatchEncoder,
    /// A submission that did not fit into the last batch.
    left_over: Option<Submission>,
    wall: Steady,
    sealed_at: Option<Instant>,
    /// When a log that takes nothing is tried next. It moves with the tries alone: what is submitted meanwhile puts none off.
    try_at: Instant,
}

impl Publisher {
    /// A publisher that reads `queue`.
    #[must_use]
    pub fn new(
        client: Client,
        options: PublisherOptions,
        gateway: Arc<Gateway>,
        applied: Arc<AppliedView>,
        standing: Arc<LogStanding>,
        queue: mpsc::UnboundedReceiver<Submission>,
    ) -> Self {
        let context = async_nats::jetstream::new(client.clone());
        let (subject, stream) = (options.subject.clone(), options.stream.clone());
        let probe = Arc::new(Probe::new(context, subject, stream, Arc::clone(&standing)));
        let (encoder, wall) = (BatchEncoder::new(), Steady::default());
        let (left_over, sealed_at, try_at) = (None, None, Instant::now());
        Self { client, options, gateway, applied, standing, probe, queue, encoder, left_over, wall, sealed_at, try_at }
    }

    /// Publishes until the queue is closed or the task is aborted.
    pub async fn run(mut self) {
        loop {
            let first = match self.left_over.take() {
                Some(submission) => Some(submission),
                None => self.next().await,
            };
            let Some(first) = first else { return };
            if let Err(refusal) = self.wait_to_send().await {
                self.refuse_all(first, &refusal);
                continue;
            }
            let rules = self.applied.with(|view| Rules { epoch: view.epoch, ids_horizon: view.ids_horizon });
            let batch = self.gather(first, rules);
            self.send(batch, rules.epoch).await;
        }
    }

    /// The next submission; sends empty entries while what is on its way gives no news, and while the log takes nothing.
    async fn next(&mut self) -> Option<Submission> {
        loop {
            // Listens before it looks, or a change in between would be missed: a refusal, and nothing would be tried again.
            let changed = self.standing.changes();
            let oldest = self.gateway.oldest();
            let refused = self.standing.is_refused();
            tokio::select! {
                submission = self.queue.recv() => return submission,
                () = changed => {}
                () = tokio::time::sleep_until(self.try_at), if refused => self.try_again(),
                () = tokio::time::sleep(self.options.stall), if oldest.is_some() && !refused => self.probe(oldest),
            }
        }
    }

    /// Tries a log that takes nothing with an empty entry, unless it has to be compared first.
    fn try_again(&mut self) {
        self.try_at = Instant::now() + TRY_AGAIN;
        if self.standing.is_refused() {
            self.send_behind();
        }
    }

    /// Waits until the log may be written to, and has room for one more entry of ours on its way.
    async fn wait_to_send(&mut self) -> Result<(), UpdateRefusal> {
        loop {
            self.standing.clear().await?;
            if self.gateway.in_flight() < self.options.in_flight_max {
                return Ok(());
            }
            let oldest = self.gateway.oldest();
            tokio::select! {
                () = self.gateway.progress() => {}
                () = self.standing.changes() => {}
                () = tokio::time::sleep(self.options.stall) => self.probe(oldest),
            }
        }
    }

    /// Refuses what waits. A barrier's end says that it was not passed.
    fn refuse_all(&mut self, first: Submission, refusal: &UpdateRefusal) {
        let mut next = Some(first);
        while let Some(submission) = next {
            if let Submission::Transaction(waiting) = submission {
                waiting.answer.send(Err(refused_by_log(refusal)));
            }
            next = self.queue.try_recv().ok();
        }
    }

    /// Sends an empty entry behind those on their way, if the oldest of them is still the one that it was.
    fn probe(&mut self, oldest: Option<u64>) {
        if oldest.is_some() && self.gateway.oldest() == oldest && self.standing.passage() == Passage::Open {
            self.send_behind();
        }
    }

    /// Takes everything that waits, as far as it fits and is right in the epoch.
    fn gather(&mut self, first: Submission, rules: Rules) -> Vec<Submission> {
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(submission) = next {
            match self.add(submission, rules) {
                Ok(Some(submission)) => batch.push(submission),
                Ok(None) => {}
                Err(submission) => {
                    self.left_over = Some(submission);
                    break;
                }
            }
            if self.encoder.length() >= self.options.message_max_bytes {
                break;
            }
            next = self.queue.try_recv().ok();
        }
        batch
    }

    /// Encodes a submission. Gives it back to be noted in the ledger, keeps nothing of one that can never fit, and returns
    /// it as an error when it has to wait for the next entry.
    fn add(&mut self, submission: Submission, rules: Rules) -> Result<Option<Submission>, Submission> {
        let Submission::Transaction(waiting) = submission else { return Ok(Some(submission)) };
        if let Some(failure) = rules.refuse(&waiting) {
            waiting.answer.send(Err(failure));
            return Ok(None);
        }
        let snapshot = is_broken(&waiting.write_set).then(|| self.applied.position());
        match encode(&mut self.encoder, &waiting.write_set, snapshot) {
            Ok(()) => Ok(Some(Submission::Transaction(waiting))),
            Err(_) if !self.encoder.is_empty() => Err(Submission::Transaction(waiting)),
            Err(refused) => {
                refuse(*waiting, &refused);
                Ok(None)
            }
        }
    }

    async fn send(&mut self, batch: Vec<Submission>, epoch: u64) {
        if batch.is_empty() {
            return;
        }
        self.wait_for_snapshots(&batch).await;
        let messages = match self.seal(epoch) {
            Ok(messages) => messages,
            Err(refused) => {
                self.encoder.clear();
                for submission in batch {
                    if let Submission::Transaction(waiting) = submission {
                        refuse(*waiting, &refused);
                    }
                }
                return;
            }
        };
        // Noted before it is sent: the way through the log may be faster than this task.
        let of_a_client = batch.iter().any(Submission::is_of_a_client);
        self.gateway.seal(messages.len() as u64, batch);
        fault::reach(Step::BeforePublish, of_a_client);
        self.publish(messages).await;
        if fault::is_armed(Step::AfterPublish) {
            let _ = self.client.flush().await;
            fault::reach(Step::AfterPublish, of_a_client);
        }
    }

    async fn publish(&self, messages: Vec<bytes::Bytes>) {
        for message in messages {
            if let Err(cause) = self.client.publish(self.options.subject.clone(), message).await {
                // Nothing is lost: an empty entry follows, and tells that this one never arrived.
                warn!(error = %cause, "publishing to the log failed");
            }
        }
    }

    /// A transaction can read a position between the inner commit and the moment the view moves there. An entry's base
    /// must not be below its snapshots, so sealing waits for that moment.
    async fn wait_for_snapshots(&self, batch: &[Submission]) {
        let snapshots = batch.iter().filter_map(|submission| match submission {
            Submission::Transaction(waiting) => Some(waiting.write_set.snapshot),
            Submission::Barrier(_) => None,
        });
        let newest = snapshots.max().unwrap_or_default();
        while self.applied.position() < newest {
            self.applied.reached(newest, Instant::now() + self.options.stall).await;
        }
    }

    /// Closes the entry. It bears the epoch that its transactions were gathered in: if another one began meanwhile, it is void
    /// like every entry of a deposed primary.
    fn seal(&mut self, epoch: u64) -> Result<Vec<bytes::Bytes>, EntryError> {
        let clock = self.clock();
        let origin = self.gateway.origin();
        let (base, base_chain) = self.applied.with(|view| (view.position, view.chain.to_bytes()));
        let header = EntryHeader {
            storage_version: self.options.storage_version,
            epoch,
            csp: &origin.csp,
            incarnation: origin.incarnation,
            number: self.gateway.next_number(),
            base,
            base_chain,
            clock: Some(clock),
        };
        self.encoder.finish(&header, self.options.message_max_bytes)
    }

    /// What this process knows of the time, for the entry that is being sealed.
    fn clock(&mut self) -> SenderClock {
        let now = Instant::now();
        let since_applied = now.saturating_duration_since(self.applied.applied_at());
        let since_applied = since_applied + Duration::from_micros(ON_THE_WAY_US);
        let sealed_at = self.sealed_at.replace(now);
        let since = sealed_at.map_or(since_applied, |at| since_applied.min(now.saturating_duration_since(at)));
        SenderClock { wall_ms: self.wall.now_ms(), since_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX) }
    }

    /// Sends an empty entry behind what is on its way.
    fn send_behind(&mut self) {
        let epoch = self.applied.with(|view| view.epoch);
        match self.seal(epoch) {
            Ok(messages) => {
                self.gateway.seal(messages.len() as u64, Vec::new());
                for message in messages {
                    let probe = Arc::clone(&self.probe);
                    tokio::spawn(async move { probe.send(message).await });
                }
            }
            Err(cause) => error!(error = %cause, "an empty entry could not be sealed"),
        }
    }
}

/// What holds where a batch is gathered.
#[derive(Debug, Clone, Copy)]
struct Rules {
    epoch: u64,
    /// Ids up to this position are forgotten.
    ids_horizon: Position,
}

impl Rules {
    /// Why a transaction is not to be sent.
    ///
    /// A process may have slept between the moment at which a request came and this one, and somebody else may have carried the
    /// request out meanwhile, so long ago that the id is forgotten. That would be behind the position at which the request came.
    /// If ids are known from there on, then so is this one, here or in the log: whatever the certifier would accept is younger
    /// than the ids that it knows.
    fn refuse(self, waiting: &Waiting) -> Option<CommitFailure> {
        if waiting.epoch.is_some_and(|bound| bound != self.epoch) {
            return Some(CommitFailure::NotPrimary);
        }
        let is_forgotten = waiting.write_set.since().is_some_and(|since| since < self.ids_horizon);
        is_forgotten.then(|| CommitFailure::OutcomeUnknown("its id may be forgotten by now".to_owned()))
    }
}

/// What a committer is told when the log is not written to.
fn refused_by_log(refusal: &UpdateRefusal) -> CommitFailure {
    let fault = match refusal.code {
        ErrorCode::LogLost => LogFault::Lost,
        ErrorCode::LogMismatch => LogFault::Mismatch,
        _ => LogFault::Refuses,
    };
    CommitFailure::LogRefused { fault, reason: refusal.reason.clone() }
}

/// Tells whoever waits that the log does not take the transaction.
fn refuse(waiting: Waiting, refused: &EntryError) {
    waiting.answer.send(Err(refusal(refused)));
}

/// What an encoder's refusal means to the transaction.
pub fn refusal(refused: &EntryError) -> CommitFailure {
    match *refused {
        EntryError::TooLarge { what, value, limit } => CommitFailure::TooLarge {
            amount: if what == "writes" { Amount::Writes } else { Amount::Bytes },
            found: usize::try_from(value).unwrap_or(usize::MAX),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        },
        ref other => CommitFailure::Unavailable(other.to_string()),
    }
}

/// Test only: whether certification of this transaction is to be broken on purpose.
fn is_broken(write_set: &WriteSet) -> bool {
    let writes_index = || write_set.writes.iter().any(|(key, _)| is_index_entry(key));
    fault::breaks(Sabotage::IgnoreConflicts) || (fault::breaks(Sabotage::IgnoreIndexConflicts) && writes_index())
}

/// Encodes a write set. `snapshot` overrides what it read at.
///
/// # Errors
/// When it is above a limit of the format.
pub fn encode(encoder: &mut BatchEncoder, write_set: &WriteSet, snapshot: Option<u64>) -> Result<(), EntryError> {
    let head = TransactionHead {
        local: 0,
        snapshot: snapshot.unwrap_or(write_set.snapshot),
        stamped: write_set.stamped,
        serializable: write_set.certified_reads,
        id: write_set.id().filter(|_| !fault::breaks(Sabotage::ForgetIds)),
        fingerprint: write_set.fingerprint(),
        results: write_set.results().map(AsRef::as_ref),
    };
    let writes = write_set.writes.iter().map(|(key, value)| Write {
        key,
        value: value.as_deref(),
        stamped: write_set.stamped && is_changefeed_placeholder(key),
    });
    encoder.push(
        &head,
        writes,
        write_set.locked.iter().map(Vec::as_slice),
        write_set.reads.iter().map(Vec::as_slice),
        write_set.ranges.iter().map(|(start, end)| (start.as_slice(), end.as_slice())),
    )
}

#[cfg(test)]
mod tests;
