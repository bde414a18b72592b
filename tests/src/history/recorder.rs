//! Writes down what clients of a real group asked and were told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use tokio::time::Instant;

use super::{
    Consistency, Kind, Operation, Place, Record, SCHEMA, Summary, Violation, Window, Workload, available, check,
    decode, encode,
};
use crate::client::{Client, LateAnswer, Outcome, Refusal, Reply, Request};

/// How long a client tries to learn the outcome of a request.
pub(super) const SETTLE_PATIENCE: Duration = Duration::from_secs(60);
/// Short, because a request that was on its way when nats-server was killed waits for it in full.
pub(super) const DEADLINE: Duration = Duration::from_millis(1_200);
/// At the end it is looked for this long whether something happens that nobody asks for any more.
const LATE_EFFECTS: Duration = Duration::from_secs(2);
/// So many requests of each kind of outcome are asked for again at the end.
const ASKED_AGAIN: usize = 60;
/// Requests that were settled longer ago are not: ids are kept for ten minutes.
const ASKED_AGAIN_WITHIN: Duration = Duration::from_secs(300);

/// What there is besides a group.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// A pool of the group's copies that some of the queries ask for.
    pub pool: Option<&'static str>,
    /// CSPs that some of the queries go to directly.
    pub csps: Vec<String>,
}

/// A history in the making, shared by its clients.
#[derive(Debug)]
pub struct Recorder {
    pub(super) client: Client,
    pub(super) keys: usize,
    pub(super) surroundings: Surroundings,
    /// Where the tables are defined: a copy that is not there yet may say so to those who read any copy.
    pub(super) defined: u64,
    began: Instant,
    records: Mutex<Vec<Record>>,
    /// What was asked, by id, to make sense of late answers.
    asked: Mutex<BTreeMap<String, Asked>>,
    windows: Mutex<Vec<Window>>,
    acknowledged: AtomicU64,
    /// What CSPs told the clients that stay with them.
    told_to_loyal: AtomicU64,
    pub(super) ended: AtomicBool,
}

/// A request as it was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: String,
    pub(super) invoked_ns: u64,
    pub(super) operations: Vec<Operation>,
    /// None of an update.
    pub(super) consistency: Option<Consistency>,
    /// What was seen on the way, where the answer does not say it again.
    pub(super) observed: Option<Vec<super::Observation>>,
}

impl Recorder {
    /// A history over `keys` lists and as many of everything else, which are defined here.
    pub async fn begin(client: Client, keys: usize) -> anyhow::Result<Arc<Self>> {
        Self::begin_in(client, keys, Surroundings::default()).await
    }

    /// The same with surroundings that clients make use of.
    pub async fn begin_in(client: Client, keys: usize, surroundings: Surroundings) -> anyhow::Result<Arc<Self>> {
        let client = client.listening().await?;
        let defined = client.commit(Request::new(SCHEMA), SETTLE_PATIENCE).await?.position;
        Ok(Arc::new(Self {
            client,
            keys,
            surroundings,
            defined,
            began: Instant::now(),
            records: Mutex::default(),
            asked: Mutex::default(),
            windows: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            told_to_loyal: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        }))
    }

    /// Updates acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Answers and refusals that loyal clients got so far.
    pub fn told_to_loyal(&self) -> u64 {
        self.told_to_loyal.load(Ordering::Relaxed)
    }

    /// Lets clients finish their current request and stop.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Lets clients that are started from now on work again.
    pub fn go_on(&self) {
        self.ended.store(false, Ordering::Relaxed);
    }

    /// Demands that from `from` until now never longer than `bound` passed without an acknowledged update.
    pub fn demand(&self, from: Instant, bound: Duration) {
        let from_ns = nanoseconds(from.saturating_duration_since(self.began));
        lock(&self.windows).push(Window { from_ns, until_ns: self.now_ns(), bound_ns: nanoseconds(bound) });
    }

    /// Notes a request that is about to be sent.
    pub(super) fn ask(&self, id: &str, operations: Vec<Operation>, consistency: Option<Consistency>) -> Asked {
        let asked = Asked { id: id.to_owned(), invoked_ns: self.now_ns(), operations, consistency, observed: None };
        lock(&self.asked).insert(asked.id.clone(), asked.clone());
        asked
    }

    /// Writes down how an update ended.
    pub(super) fn note_update(&self, asked: &Asked, outcome: Outcome) -> anyhow::Result<Option<u64>> {
        let (kind, reply) = match outcome {
            Outcome::Done(reply) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                (kind_of(&reply), Some(reply))
            }
            Outcome::Refused(refusal) => match failed(&refusal) {
                Some(failed) => (failed, None),
                None if refusal.retryable || refusal.settled => (Kind::Refused, None),
                None => anyhow::bail!("{:?}: {}: {}", asked.operations, refusal.code, refusal.message),
            },
            Outcome::Unknown(_) => (Kind::Unknown, None),
        };
        self.record(asked, kind, reply, self.now_ns())
    }

    pub(super) fn note_loyal(&self, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Unknown(_)) {
            self.told_to_loyal.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn record(
        &self,
        asked: &Asked,
        kind: Kind,
        reply: Option<Reply>,
        completed_ns: u64,
    ) -> anyhow::Result<Option<u64>> {
        let observed = match (&asked.observed, &reply) {
            (Some(observed), _) if matches!(kind, Kind::Update(_)) => observed.clone(),
            (None, Some(reply)) => decode(&asked.operations, &reply.results)?,
            _ => Vec::new(),
        };
        let (id, invoked_ns, operations) = (asked.id.clone(), asked.invoked_ns, asked.operations.clone());
        lock(&self.records).push(Record { id, invoked_ns, completed_ns, operations, observed, kind });
        Ok(reply.map(|reply| reply.position))
    }

    /// Notes what a transaction over several messages saw before its end, for whatever is answered to that.
    pub(super) fn seen(&self, asked: &Asked) {
        lock(&self.asked).insert(asked.id.clone(), asked.clone());
    }

    /// Reads everything, asks for outcomes again, reads everything once more, and checks the whole history. All faults are to be over.
    pub async fn finish(&self) -> anyhow::Result<Summary> {
        self.query(Workload::read_all(self.keys), Consistency::Strong).await?;
        self.ask_again().await?;
        // Not a wait for something to happen: the time for which it must not happen.
        tokio::time::sleep(LATE_EFFECTS).await;
        self.query(Workload::read_all(self.keys), Consistency::Strong).await?;
        self.note_late_answers()?;
        Ok(judge(&lock(&self.records), &lock(&self.windows))?)
    }

    /// Sends updates again under their ids: each has to be told the outcome that it has.
    async fn ask_again(&self) -> anyhow::Result<()> {
        let recent_ns = self.now_ns().saturating_sub(nanoseconds(ASKED_AGAIN_WITHIN));
        let mut random = StdRng::seed_from_u64(recent_ns);
        let mut chosen = Vec::new();
        let kinds: [fn(Kind) -> bool; 2] =
            [|kind| matches!(kind, Kind::Update(_)), |kind| matches!(kind, Kind::Failed { .. })];
        for wanted in kinds {
            let records = lock(&self.records);
            let recent = records.iter().filter(|record| record.completed_ns >= recent_ns && wanted(record.kind));
            let ids = recent.map(|record| record.id.clone()).sample(&mut random, ASKED_AGAIN);
            chosen.extend(ids);
        }
        for id in chosen {
            let Some(asked) = lock(&self.asked).get(&id).cloned().filter(|asked| asked.observed.is_none()) else {
                continue;
            };
            let request = update_request(&asked.operations).with("id", id);
            let outcome = self.client.settle(&request, SETTLE_PATIENCE).await;
            self.note_update(&asked, outcome)?;
        }
        Ok(())
    }

    fn note_late_answers(&self) -> anyhow::Result<()> {
        for LateAnswer { id, at, outcome } in self.client.take_late_answers() {
            let Some(asked) = lock(&self.asked).get(&id).cloned() else { continue };
            let at_ns = nanoseconds(at.saturating_duration_since(self.began));
            match (outcome, asked.consistency) {
                (Outcome::Done(reply), Some(consistency)) => {
                    let kind = Kind::Query { position: reply.position, consistency };
                    self.record(&asked, kind, Some(reply), at_ns)?;
                }
                (Outcome::Done(reply), None) => drop(self.record(&asked, kind_of(&reply), Some(reply), at_ns)?),
                (Outcome::Refused(refusal), None) if refusal.settled => {
                    self.record(&asked, failed(&refusal).unwrap_or(Kind::Refused), None, at_ns)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn now_ns(&self) -> u64 {
        nanoseconds(self.began.elapsed())
    }
}

/// Checks a history, and only then whether the group went on in these windows: a machine that was slow must not hide what is wrong.
pub(super) fn judge(history: &[Record], windows: &[Window]) -> Result<Summary, Violation> {
    let summary = check(history)?;
    available(history, windows)?;
    Ok(summary)
}

/// An update as recorders send it.
pub(super) fn update_request(operations: &[Operation]) -> Request {
    Request::new(encode(operations)).deadline(DEADLINE)
}

fn kind_of(reply: &Reply) -> Kind {
    Kind::Update(Place { position: reply.position, index: reply.index.unwrap_or(0) })
}

/// The failure of a statement that is the outcome of its update: which one it was, and on which state.
fn failed(refusal: &Refusal) -> Option<Kind> {
    let error = &refusal.reply["error"];
    let statement = error["statement"].as_u64().and_then(|statement| usize::try_from(statement).ok());
    let is_failure = refusal.code == "statement_failed" && refusal.settled;
    statement.filter(|_| is_failure).map(|statement| Kind::Failed { position: refusal.position(), statement })
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
