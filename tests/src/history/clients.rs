//! Clients that work on a real group, each by a workload of its own, and have a recorder write down what they are told.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::recorder::{DEADLINE, SETTLE_PATIENCE, update_request};
use super::{Consistency, Kind, Operation, Recorder, Workload, encode};
use crate::client::{Outcome, Request};

/// How many queries there are for each that asks for the pool.
const POOL_ONE_IN: u32 = 4;
/// How many queries there are for each that goes to a CSP directly.
const DIRECT_ONE_IN: u32 = 4;
/// How many updates there are for each that goes over several messages.
const MESSAGES_ONE_IN: u32 = 8;
/// How many updates there are for each that is sent twice at once.
const TWICE_ONE_IN: u32 = 12;
/// What queries with a bound allow.
const MAX_LAG: Duration = Duration::from_millis(1_000);

/// Longer than any fault in which a client stays with its CSP.
const LOYAL_DEADLINE: Duration = Duration::from_secs(10);
/// Values that loyal clients append; others never come so far.
const LOYAL_VALUES: u64 = 1 << 40;

impl Recorder {
    /// Starts clients; they work until `end`.
    pub fn clients(self: &Arc<Self>, seed: u64, count: usize) -> Vec<JoinHandle<anyhow::Result<()>>> {
        (0..count)
            .map(|client| tokio::spawn(Arc::clone(self).work(Workload::new(seed, client, count, self.keys))))
            .collect()
    }

    /// Starts clients that speak to one CSP alone, whatever becomes of it, and so see every answer that it gives.
    pub fn loyal_clients(self: &Arc<Self>, csp: &str, seed: u64, count: usize) -> Vec<JoinHandle<anyhow::Result<()>>> {
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
                let outcome = self.query_at(&csp, workload.query(), Consistency::Strong, LOYAL_DEADLINE).await?;
                self.note_loyal(&outcome);
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
                let consistency = match workload.choose(7) {
                    0..2 => Consistency::Any,
                    2..4 => Consistency::Session(session),
                    4 => Consistency::Lag(MAX_LAG.as_nanos() as u64),
                    _ => Consistency::Strong,
                };
                self.ask_somewhere(&mut workload, consistency).await?
            } else if workload.one_in(MESSAGES_ONE_IN) {
                self.transact(&mut workload).await?
            } else if workload.one_in(TWICE_ONE_IN) {
                self.update_twice(workload.update()).await?
            } else {
                self.update(workload.update()).await?
            };
            session = position.map_or(session, |position| session.max(position));
        }
        Ok(())
    }

    /// A query through the group, some of them for the pool, or straight to a CSP.
    async fn ask_somewhere(&self, workload: &mut Workload, consistency: Consistency) -> anyhow::Result<Option<u64>> {
        let csps = &self.surroundings.csps;
        if !csps.is_empty() && workload.one_in(DIRECT_ONE_IN) {
            let csp = &csps[workload.choose(csps.len() as u32) as usize];
            let outcome = self.query_at(csp, workload.query(), consistency, DEADLINE).await?;
            return Ok(outcome.done().ok().map(|reply| reply.position));
        }
        let pool = self.surroundings.pool.filter(|_| workload.one_in(POOL_ONE_IN));
        self.query_pool(workload.query(), consistency, pool).await
    }

    /// Performs an update until its outcome is certain, and writes it down.
    pub async fn update(&self, operations: Vec<Operation>) -> anyhow::Result<Option<u64>> {
        let request = update_request(&operations);
        let asked = self.ask(request.id(), operations, None);
        let outcome = self.client.settle(&request, SETTLE_PATIENCE).await;
        self.note_update(&asked, outcome)
    }

    /// The same, sent twice at once under one id: both have to be told the same.
    async fn update_twice(&self, operations: Vec<Operation>) -> anyhow::Result<Option<u64>> {
        let request = update_request(&operations);
        let asked = self.ask(request.id(), operations, None);
        let (first, second) = tokio::join!(self.client.update(&request), self.client.update(&request));
        for outcome in [first, second] {
            let is_settled = match &outcome {
                Outcome::Done(_) => true,
                Outcome::Refused(refusal) => refusal.settled,
                Outcome::Unknown(_) => false,
            };
            if is_settled {
                self.note_update(&asked, outcome)?;
            }
        }
        let outcome = self.client.settle_doubt(&request, SETTLE_PATIENCE).await;
        self.note_update(&asked, outcome)
    }

    /// Sends an update to one CSP, once. What this one leaves open is settled by the group.
    async fn update_at(&self, csp: &str, operations: Vec<Operation>) -> anyhow::Result<Option<u64>> {
        let request = Request::new(encode(&operations)).deadline(LOYAL_DEADLINE);
        let asked = self.ask(request.id(), operations, None);
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
        self.note_update(&asked, outcome)
    }

    /// Sends a query to one CSP, once, and writes the answer down if there is one.
    async fn query_at(
        &self,
        csp: &str,
        operations: Vec<Operation>,
        consistency: Consistency,
        deadline: Duration,
    ) -> anyhow::Result<Outcome> {
        let request = query_request(&operations, consistency).deadline(deadline);
        let asked = self.ask(request.id(), operations, Some(consistency));
        let outcome = self.client.query_at(csp, &request).await;
        if let Outcome::Done(reply) = outcome.clone() {
            let kind = Kind::Query { position: reply.position, consistency };
            if reply.position >= self.defined {
                self.record(&asked, kind, Some(reply), self.now_ns())?;
            }
        }
        Ok(outcome)
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
        let request = query_request(&operations, consistency).deadline(DEADLINE);
        let request = pool.map_or(request.clone(), |pool| request.with("pool", pool));
        let asked = self.ask(request.id(), operations, Some(consistency));
        match self.client.read(&request, SETTLE_PATIENCE).await {
            Outcome::Done(reply) => {
                let kind = Kind::Query { position: reply.position, consistency };
                self.record(&asked, kind, Some(reply), self.now_ns())
            }
            Outcome::Refused(refusal) if may_be_old(consistency) && refusal.position() < self.defined => Ok(None),
            // It was at two CSPs that were killed, and nobody can tell that it is innocent.
            Outcome::Refused(refusal) if refusal.is_suspected() => Ok(None),
            other => anyhow::bail!("{:?} with {consistency:?}: {other}", asked.operations),
        }
    }
}

/// Whether a copy may answer that does not know the tables yet.
fn may_be_old(consistency: Consistency) -> bool {
    matches!(consistency, Consistency::Any | Consistency::Lag(_))
}

fn query_request(operations: &[Operation], consistency: Consistency) -> Request {
    let request = Request::new(encode(operations));
    match consistency {
        Consistency::Any => request,
        Consistency::Session(after) => request.after(after),
        Consistency::Lag(lag_ns) => request.with("max_lag_ms", lag_ns / 1_000_000),
        Consistency::Strong => request.strong(),
    }
}
