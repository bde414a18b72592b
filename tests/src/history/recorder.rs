//! Clients that work on a real group and write down what they were told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Consistency, Kind, Operation, Place, Record, SCHEMA, Summary, Workload, check, decode, encode};
use crate::client::{Client, Outcome, Reply, Request};

/// How long a client tries to learn the outcome of a request.
const SETTLE_PATIENCE: Duration = Duration::from_secs(60);
/// Short, because a request that was on its way when nats-server was killed waits for it in full.
const DEADLINE: Duration = Duration::from_millis(1_200);

/// How many queries there are for each that asks for the pool.
const POOL_ONE_IN: u32 = 4;

/// Longer than any fault in which a client stays with its CSP.
const LOYAL_DEADLINE: Duration = Duration::from_secs(10);
/// Values that loyal clients append; others never come so far.
const LOYAL_VALUES: u64 = 1 << 40;

/// A history in the making, shared by its clients.
#[derive(Debug)]
pub struct Recorder {
    client: Client,
    keys: usize,
    /// The pool that one in [`POOL_ONE_IN`] queries asks for, if the group has one.
    pool: Option<&'static str>,
    /// Where the tables are defined: a copy that is not there yet may say so to those who read any copy.
    defined: u64,
    began: Instant,
    records: Mutex<Vec<Record>>,
    acknowledged: AtomicU64,
    /// What CSPs told the clients that stay with them.
    told_to_loyal: AtomicU64,
    ended: AtomicBool,
}

impl Recorder {
    /// A history over `keys` lists and counters, which are defined here.
    pub async fn begin(client: Client, keys: usize) -> anyhow::Result<Arc<Self>> {
        Self::begin_with_pool(client, keys, None).await
    }

    /// The same, where some of the queries are for a pool of the group's copies.
    pub async fn begin_with_pool(client: Client, keys: usize, pool: Option<&'static str>) -> anyhow::Result<Arc<Self>> {
        let defined = client.commit(Request::new(SCHEMA), SETTLE_PATIENCE).await?.position;
        Ok(Arc::new(Self {
            client,
            keys,
            pool,
            defined,
            began: Instant::now(),
            records: Mutex::new(Vec::new()),
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

    /// Starts clients; they work until `end`.
    pub fn clients(self: &Arc<Self>, seed: u64, count: usize) -> Vec<tokio::task::JoinHandle<anyhow::Result<()>>> {
        (0..count)
            .map(|client| tokio::spawn(Arc::clone(self).work(Workload::new(seed, client, count, self.keys))))
            .collect()
    }

    /// Starts clients that speak to one CSP alone, whatever becomes of it, and so see every answer that it gives.
    pub fn loyal_clients(
        self: &Arc<Self>,
        csp: &str,
        seed: u64,
        count: usize,
    ) -> Vec<tokio::task::JoinHandle<anyhow::Result<()>>> {
        (0..count)
            .map(|client| {
                let workload = Workload::new(!seed, client, count, self.keys).values_from(LOYAL_VALUES);
                tokio::spawn(Arc::clone(self).stay(csp.to_owned(), workload))
            })
            .collect()
    }

    async fn stay(self: Arc<Self>, csp: String, mut workload: Workload) -> anyhow::Result<()> {
        while !self.ended.load(Ordering::Relaxed) {
            if workload.one_in(2) {
                self.strong_query_at(&csp, workload.query()).await?;
            } else {
                self.update_at(&csp, workload.update()).await?;
            }
        }
        Ok(())
    }

    async fn work(self: Arc<Self>, mut workload: Workload) -> anyhow::Result<()> {
        let mut session = self.defined;
        while !self.ended.load(Ordering::Relaxed) {
            let position = if workload.one_in(3) {
                let consistency = match (workload.one_in(3), workload.one_in(2)) {
                    (true, _) => Consistency::Any,
                    (false, true) => Consistency::Session(session),
                    (false, false) => Consistency::Strong,
                };
                let pool = self.pool.filter(|_| workload.one_in(POOL_ONE_IN));
                self.query_pool(workload.query(), consistency, pool).await?
            } else {
                self.update(workload.update()).await?
            };
            session = position.map_or(session, |position| session.max(position));
        }
        Ok(())
    }

    /// Performs an update until its outcome is certain, and writes it down.
    pub async fn update(&self, operations: Vec<Operation>) -> anyhow::Result<Option<u64>> {
        let request = Request::new(encode(&operations)).deadline(DEADLINE);
        let invoked_ns = self.now_ns();
        let outcome = self.client.settle(&request, SETTLE_PATIENCE).await;
        self.note_update(&request, invoked_ns, operations, outcome)
    }

    /// Sends an update to one CSP, once. What this one leaves open is settled by the group.
    async fn update_at(&self, csp: &str, operations: Vec<Operation>) -> anyhow::Result<Option<u64>> {
        let request = Request::new(encode(&operations)).deadline(LOYAL_DEADLINE);
        let invoked_ns = self.now_ns();
        let mut outcome = self.client.update_at(csp, &request).await;
        self.note_loyal(&outcome);
        let open = match &outcome {
            Outcome::Done(_) => false,
            Outcome::Refused(refusal) => refusal.leaves_doubt(),
            Outcome::Unknown(_) => true,
        };
        if open {
            outcome = self.client.settle_doubt(&request, SETTLE_PATIENCE).await;
        }
        self.note_update(&request, invoked_ns, operations, outcome)
    }

    /// Writes down how an update ended.
    fn note_update(
        &self,
        request: &Request,
        invoked_ns: u64,
        operations: Vec<Operation>,
        outcome: Outcome,
    ) -> anyhow::Result<Option<u64>> {
        let (kind, reply) = match outcome {
            Outcome::Done(reply) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                let place = Place { position: reply.position, index: reply.index.unwrap_or(0) };
                (Kind::Update(place), Some(reply))
            }
            Outcome::Refused(refusal) if refusal.retryable => (Kind::Refused, None),
            Outcome::Refused(refusal) => anyhow::bail!("{operations:?}: {}: {}", refusal.code, refusal.message),
            Outcome::Unknown(_) => (Kind::Unknown, None),
        };
        self.record(request, invoked_ns, operations, kind, reply)
    }

    /// Demands everything acknowledged before of one CSP, and writes the answer down if there is one.
    async fn strong_query_at(&self, csp: &str, operations: Vec<Operation>) -> anyhow::Result<()> {
        let request = Request::new(encode(&operations)).deadline(LOYAL_DEADLINE).strong();
        let invoked_ns = self.now_ns();
        let outcome = self.client.query_at(csp, &request).await;
        self.note_loyal(&outcome);
        if let Outcome::Done(reply) = outcome {
            let kind = Kind::Query { position: reply.position, consistency: Consistency::Strong };
            self.record(&request, invoked_ns, operations, kind, Some(reply))?;
        }
        Ok(())
    }

    fn note_loyal(&self, outcome: &Outcome) {
        if !matches!(outcome, Outcome::Unknown(_)) {
            self.told_to_loyal.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Performs a query and writes it down if it was answered.
    pub async fn query(&self, operations: Vec<Operation>, consistency: Consistency) -> anyhow::Result<Option<u64>> {
        self.query_pool(operations, consistency, None).await
    }

    async fn query_pool(
        &self,
        operations: Vec<Operation>,
        consistency: Consistency,
        pool: Option<&str>,
    ) -> anyhow::Result<Option<u64>> {
        let request = Request::new(encode(&operations)).deadline(DEADLINE);
        let request = pool.map_or(request.clone(), |pool| request.with("pool", pool));
        let request = match consistency {
            Consistency::Any => request,
            Consistency::Session(after) => request.after(after),
            Consistency::Strong => request.strong(),
        };
        let invoked_ns = self.now_ns();
        match self.client.read(&request, SETTLE_PATIENCE).await {
            Outcome::Done(reply) => {
                let kind = Kind::Query { position: reply.position, consistency };
                self.record(&request, invoked_ns, operations, kind, Some(reply))
            }
            Outcome::Refused(refusal) if consistency == Consistency::Any && refusal.position() < self.defined => {
                Ok(None)
            }
            other => anyhow::bail!("{operations:?} with {consistency:?}: {other}"),
        }
    }

    fn record(
        &self,
        request: &Request,
        invoked_ns: u64,
        operations: Vec<Operation>,
        kind: Kind,
        reply: Option<Reply>,
    ) -> anyhow::Result<Option<u64>> {
        let observed = reply.as_ref().map(|reply| decode(&operations, &reply.results)).transpose()?;
        let record = Record {
            id: request.id().to_owned(),
            invoked_ns,
            completed_ns: self.now_ns(),
            operations,
            observed: observed.unwrap_or_default(),
            kind,
        };
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        Ok(reply.map(|reply| reply.position))
    }

    /// Reads everything once more, and checks the whole history.
    pub async fn finish(&self) -> anyhow::Result<Summary> {
        self.query(Workload::read_all(self.keys), Consistency::Strong).await?;
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(check(&records)?)
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
