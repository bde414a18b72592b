//! Applies the log to the copy, in order: the only writer that a copy has.
//!
//! Flow: messages -> certifier -> one inner commit for all that is there -> the view moves -> whoever waits is answered.
//! That order is what makes an answer true: what it speaks of is in the copy, and in the log before that.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use holdfast_storage::{Copy, CopyError};
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{error, warn};

use crate::contention::Contention;
use crate::digest::{Digests, digest_of};
use crate::entry::Control;
use crate::fault::{self, Step};
use crate::freshness::Freshness;
use crate::locks::Locks;
use crate::log::{Gateway, LogError, LogStanding, Subscription};
use crate::model::{Applied, Broken, Certifier, KnownLog, LogMark, LogMessage, Outcome, Place, Position, VoidReason};
use crate::store::{ApplyBuffer, Restored};
use crate::view::AppliedView;

/// Applying cannot go on. The CSP stops serving; its copy stays whole at the last position.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The copy and the log do not belong together.
    #[error("the copy and the log do not belong together")]
    Broken(#[from] Broken),
    /// The copy cannot be written.
    #[error("the copy cannot be written")]
    Copy(#[from] CopyError),
    /// The log cannot be read.
    #[error("the log cannot be read")]
    Log(#[from] LogError),
    /// Another process runs under the name of this CSP and was started later.
    #[error("another process runs as this CSP, with incarnation {theirs}")]
    Replaced {
        /// The other's incarnation.
        theirs: u64,
    },
    /// An earlier process of this CSP wrote into the log with a later clock. Nothing was sent here that could count.
    #[error("an earlier process of this CSP has incarnation {theirs}, which is not below this one's")]
    BehindItsPast {
        /// The highest incarnation that was met.
        theirs: u64,
    },
    /// Another process runs under the name of this CSP and was started earlier.
    #[error("another process has run as this CSP since before, with incarnation {theirs}")]
    Namesake {
        /// The other's incarnation.
        theirs: u64,
    },
}

impl ApplyError {
    /// Whether a new subscription may go on where this one ended.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Log(cause) if cause.is_transient())
    }

    /// Whether the process stays, with a copy that can be read and does not go on: it and the log do not belong together. After
    /// any other error that is not transient the process ends.
    #[must_use]
    pub fn sets_aside(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Log(_)) && !self.is_transient()
    }
}

/// Told of keys that other copies wrote, after they were applied here: what SurrealDB holds in memory cannot notice.
pub trait RemoteWrites: Send + Sync + 'static {
    /// The keys of one inner commit.
    fn applied(&self, keys: &[&[u8]]);
}

/// How long nothing need be delivered before it is asked whether something should have been. The client library notices a
/// lost consumer by idle heartbeats of five seconds, and makes it anew after the second missing one.
const SILENCE_MIN: Duration = Duration::from_millis(250);
/// Doubled up to this while new subscriptions deliver nothing either: a server may need longer than [`SILENCE_MIN`] to begin.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// A copy that is known to be behind for so long while nothing is delivered has lost its subscription.
const BEHIND_MAX_MS: u64 = 500;

/// Digests are for those who ask now; marks found further back than this from the end of the log at the start are passed over.
const MARKS_BACK: Position = 1_000;

/// The applier of one copy.
pub struct Applier {
    copy: Copy,
    certifier: Arc<Mutex<Certifier>>,
    refusals: BTreeSet<Position>,
    view: Arc<AppliedView>,
    gateway: Arc<Gateway>,
    digests: Arc<Digests>,
    remote_writes: Arc<OnceLock<Arc<dyn RemoteWrites>>>,
    counts: Arc<AppliedCounts>,
    freshness: Arc<Freshness>,
    locks: Arc<Locks>,
    standing: Arc<LogStanding>,
    known: KnownLog,
    silence: Duration,
    buffer: ApplyBuffer,
    /// The end of the log as it was at the first subscription.
    began_at: Option<Position>,
}

/// What the rest of the service shares with the applier.
#[derive(Clone)]
pub struct Shared {
    /// The certifier; held only for moments, never over an await.
    pub certifier: Arc<Mutex<Certifier>>,
    /// What is applied.
    pub view: Arc<AppliedView>,
    /// Digests taken at marks.
    pub digests: Arc<Digests>,
    /// To be set once SurrealDB runs on the copy.
    pub remote_writes: Arc<OnceLock<Arc<dyn RemoteWrites>>>,
    /// What was applied since the start.
    pub applied: Arc<AppliedCounts>,
    /// How far this copy is behind the others.
    pub freshness: Arc<Freshness>,
    /// The locks, and who waits for them here.
    pub locks: Arc<Locks>,
    /// Who wants the same keys here.
    pub contention: Arc<Contention>,
    /// How this copy stands to its log.
    pub standing: Arc<LogStanding>,
}

/// What was applied since the start.
#[derive(Debug, Default)]
pub struct AppliedCounts {
    /// Transactions accepted.
    pub transactions: AtomicU64,
    /// Messages of the log.
    pub entries: AtomicU64,
    /// Their bytes.
    pub bytes: AtomicU64,
    /// Since when what was delivered has not been applied.
    begun: Mutex<Option<Instant>>,
    /// Whether somebody was told of junk in the log.
    told_of_junk: AtomicBool,
}

impl AppliedCounts {
    /// For how long what was delivered has not been applied, in milliseconds; 0 when nothing waits.
    #[must_use]
    pub fn stuck_ms(&self) -> u64 {
        let begun = *self.begun.lock();
        begun.map_or(0, |begun| u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Says once that somebody else writes into the log: `status` has the count.
    fn tell_of_junk(&self, position: Position, reason: VoidReason) {
        if !self.told_of_junk.swap(true, Ordering::Relaxed) {
            warn!(position, %reason, "a message of the log is junk: it is passed over; more of them are counted in the status only");
        }
    }
}

impl Shared {
    /// Ids of transactions up to this position are known no more.
    #[must_use]
    pub fn ids_horizon(&self) -> Position {
        self.certifier.lock().state().ids_horizon
    }

    /// The place of the transaction that committed `id`, while it is kept.
    #[must_use]
    pub fn find_id(&self, id: &str) -> Option<Place> {
        self.certifier.lock().find_id(id)
    }
}

impl Applier {
    /// An applier that goes on where `restored` ends.
    #[must_use]
    pub fn new(copy: Copy, restored: Restored, gateway: Arc<Gateway>, standing: Arc<LogStanding>) -> (Self, Shared) {
        let view = Arc::new(AppliedView::new(restored.certifier.state()));
        let certifier = Arc::new(Mutex::new(restored.certifier));
        let shared = Shared {
            contention: Arc::new(Contention::new(Arc::clone(&certifier))),
            certifier,
            view: Arc::clone(&view),
            digests: Arc::default(),
            remote_writes: Arc::default(),
            applied: Arc::default(),
            freshness: Arc::default(),
            locks: Arc::new(Locks::new(restored.locks)),
            standing,
        };
        shared.standing.know(restored.known);
        let applier = Self {
            copy,
            certifier: Arc::clone(&shared.certifier),
            refusals: restored.refusals,
            view,
            gateway,
            digests: Arc::clone(&shared.digests),
            remote_writes: Arc::clone(&shared.remote_writes),
            counts: Arc::clone(&shared.applied),
            freshness: Arc::clone(&shared.freshness),
            locks: Arc::clone(&shared.locks),
            standing: Arc::clone(&shared.standing),
            known: restored.known,
            silence: SILENCE_MIN,
            buffer: ApplyBuffer::cleaning_up(restored.expired),
            began_at: None,
        };
        (applier, shared)
    }

    /// Applies what `subscription` delivers until something breaks or the task is aborted. After an error for which
    /// [`ApplyError::is_transient`] holds, it may be called again with a new subscription from the next position.
    pub async fn run(&mut self, mut subscription: Subscription) -> ApplyError {
        self.known.created_us = Some(subscription.created_us());
        self.began_at.get_or_insert(subscription.end());
        let mut waited_for = None;
        loop {
            // Only the wait for messages is given up, and that loses none: what is being applied is never interrupted.
            let delivered = tokio::select! {
                delivered = tokio::time::timeout(self.silence, subscription.next()) => delivered,
                () = self.standing.doubted() => return LogError::Doubted.into(),
            };
            // What was delivered over another connection than the log was compared on is not believed, and nothing while there is a
            // doubt: whichever of the two was ready, the messages or the doubt, and whoever else took the word of it.
            if !self.standing.is_sound() {
                return LogError::Doubted.into();
            }
            let messages = match delivered {
                Ok(Ok(messages)) => messages,
                Ok(Err(cause)) => return cause.into(),
                Err(_) => {
                    // What a log does not take cannot be delivered either: that is no reason to subscribe anew.
                    let oldest = self.gateway.oldest().filter(|_| !self.standing.is_refused());
                    if self.is_left_behind() || (oldest.is_some() && oldest == waited_for) {
                        self.silence = SILENCE_MAX.min(self.silence * 2);
                        return LogError::Silent.into();
                    }
                    waited_for = oldest;
                    continue;
                }
            };
            waited_for = None;
            self.silence = SILENCE_MIN;
            if let Err(cause) = self.apply(messages).await {
                return cause;
            }
        }
    }

    /// Whether others have applied for a while what was not delivered here.
    fn is_left_behind(&self) -> bool {
        self.freshness.lag_ms(self.view.position(), Instant::now()) >= BEHIND_MAX_MS
    }

    async fn apply(&mut self, messages: Vec<LogMessage>) -> Result<(), ApplyError> {
        *self.counts.begun.lock() = Some(Instant::now());
        let mut answers = Vec::new();
        let mut others_wrote = false;
        let mut last = None;
        for message in messages {
            last = Some(message.clone());
            self.counts.bytes.fetch_add(message.payload.len() as u64, Ordering::Relaxed);
            let applied = self.certifier.lock().apply(message)?;
            self.counts.entries.fetch_add(1, Ordering::Relaxed);
            match &applied.outcome {
                Outcome::Batch(batch) => {
                    self.counts.transactions.fetch_add(batch.accepted().count() as u64, Ordering::Relaxed);
                }
                Outcome::Void(reason) if reason.is_junk() => self.counts.tell_of_junk(applied.position, *reason),
                _ => {}
            }
            let began_at = self.began_at.unwrap_or_default();
            let is_past = applied.position <= began_at;
            if applied.position == began_at {
                // Before anybody can see that this copy has caught up.
                self.check_past()?;
            }
            let replaced = if is_past { Ok(()) } else { self.check_replaced(&applied) };
            others_wrote |= applied.entry.as_ref().is_some_and(|entry| entry.csp() != self.gateway.origin().csp);
            if !is_past {
                answers.extend(self.gateway.settle(&applied));
            }
            let mark = mark_of(&applied, began_at);
            self.buffer.add(applied, &mut self.refusals);
            if mark.is_some() || self.buffer.is_full() {
                self.commit(&mut answers, &mut others_wrote, last.as_ref()).await?;
            }
            if let Some(mark) = mark {
                self.take_digest(mark).await?;
            }
            if replaced.is_err() {
                // Kept first: the next process of this CSP has to go above it.
                self.commit(&mut answers, &mut others_wrote, last.as_ref()).await?;
                return replaced;
            }
        }
        self.commit(&mut answers, &mut others_wrote, last.as_ref()).await?;
        *self.counts.begun.lock() = None;
        Ok(())
    }

    /// A higher incarnation of this very CSP means that this process was replaced; two of one name must not both answer.
    fn check_replaced(&self, applied: &Applied) -> Result<(), ApplyError> {
        self.gateway.replaced_by(applied).map_or(Ok(()), |theirs| Err(ApplyError::Replaced { theirs }))
    }

    /// What the log held when this process subscribed to it is not of this process. If the incarnation that counts there at its end
    /// is not below this one's, this one's entries would be void, or taken for those of a process that is dead.
    fn check_past(&self) -> Result<(), ApplyError> {
        let own = self.gateway.origin();
        let met = self.certifier.lock().origin(&own.csp).map(|met| met.incarnation);
        match met.filter(|theirs| *theirs >= own.incarnation) {
            Some(theirs) => Err(ApplyError::BehindItsPast { theirs }),
            None => Ok(()),
        }
    }

    async fn commit(
        &mut self,
        answers: &mut Vec<crate::log::Resolved>,
        others_wrote: &mut bool,
        last: Option<&LogMessage>,
    ) -> Result<(), ApplyError> {
        if self.buffer.messages() == 0 {
            return Ok(());
        }
        if let Some(last) = last {
            self.known = KnownLog { position: last.position, mark: Some(LogMark::of(last)), ..self.known };
        }
        let state = self.certifier.lock().state().clone();
        let remote_writes = self.remote_writes.get().filter(|_| *others_wrote).cloned();
        let keys: Vec<Vec<u8>> = match &remote_writes {
            Some(_) => self.buffer.keys().filter(|key| concerns_memory(key)).map(<[u8]>::to_vec).collect(),
            None => Vec::new(),
        };
        let locks = self.buffer.take_locks();
        fault::hold_apply().await;
        let of_a_client = answers.iter().any(crate::log::Resolved::is_of_a_transaction);
        fault::reach(Step::BeforeApply, of_a_client);
        self.buffer.write(&self.copy, &state, &self.known, &mut self.refusals).await?;
        self.standing.know(self.known);
        self.view.advance(&state);
        fault::reach(Step::AfterApply, of_a_client);
        if let Some(remote_writes) = remote_writes
            && !keys.is_empty()
        {
            remote_writes.applied(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        self.locks.written(&locks);
        *others_wrote = false;
        answers.drain(..).for_each(crate::log::Resolved::send);
        Ok(())
    }

    async fn take_digest(&self, mark: String) -> Result<(), ApplyError> {
        let position = self.view.position();
        let snapshot = self.copy.snapshot().await?;
        let digests = Arc::clone(&self.digests);
        tokio::spawn(async move {
            match digest_of(snapshot, position).await {
                Ok(digest) => digests.remember(mark, digest),
                Err(cause) => error!(error = %cause, position, "the digest could not be taken"),
            }
        });
        Ok(())
    }
}

/// Whether a task of SurrealDB sleeps until this key is written: its queues are below `/!`.
fn concerns_memory(key: &[u8]) -> bool {
    key.starts_with(b"/!")
}

/// The mark that a message puts here, if somebody still asks for it.
fn mark_of(applied: &Applied, began_at: Position) -> Option<String> {
    match &applied.outcome {
        Outcome::Control { control: Control::Mark { id }, .. } if applied.position + MARKS_BACK > began_at => {
            Some(id.clone())
        }
        _ => None,
    }
}
