//! An application at work on the group: one client that sends one update after the other, each under an id of its own, and
//! some that query. They send plain NATS requests and know nothing of copies; a request that is not answered as it should be
//! is noted, and sent again under its id.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::RngExt;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Trail;
use crate::client::{Client, Outcome, Request};
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

/// An application that works until it is ended.
#[derive(Debug)]
pub struct Application {
    client: Client,
    /// Where the table is defined: a copy that is not there yet does not know it.
    defined: u64,
    state: Mutex<State>,
    queries: Vec<Mutex<Trail>>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    updates: Trail,
    /// Updates are numbered from 1, and so are the records that they make.
    sent: u64,
    acknowledged: u64,
    unsettled: BTreeSet<u64>,
}

/// What clients saw since a moment.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The longest pause of the updates.
    pub update_pause: Duration,
    /// The longest pause of any client that queries.
    pub query_pause: Duration,
    /// What became of updates that were not answered as they should be.
    pub failed_updates: Vec<String>,
    /// What became of such queries.
    pub failed_queries: Vec<String>,
}

/// What became of the updates in the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Acknowledged.
    pub acknowledged: u64,
    /// Acknowledged, and not there.
    pub lost: u64,
    /// There more than once.
    pub doubled: u64,
    /// Never settled.
    pub unsettled: u64,
}

impl Application {
    /// Starts an application with so many clients that query. The handles end after [`Application::end`].
    pub async fn start(client: Client, queries: usize) -> anyhow::Result<(Arc<Self>, Vec<JoinHandle<()>>)> {
        let schema = Request::new("DEFINE TABLE sent; UPSERT sent:0 SET times = 1");
        let defined = client.commit(schema, PATIENCE).await?.position;
        let application = Arc::new(Self {
            client,
            defined,
            state: Mutex::default(),
            queries: (0..queries).map(|_| Mutex::default()).collect(),
            ended: AtomicBool::new(false),
        });
        let mut clients = vec![tokio::spawn(Arc::clone(&application).update())];
        clients.extend((0..queries).map(|number| tokio::spawn(Arc::clone(&application).query(number))));
        application.until_answered(Instant::now(), 20).await?;
        Ok((application, clients))
    }

    /// Lets its clients finish their current request and stop.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Waits until so many updates, and each client's queries, were answered since a moment.
    pub async fn until_answered(&self, from: Instant, count: usize) -> anyhow::Result<()> {
        until(&format!("{count} answers to each client"), PATIENCE, async || {
            let queries = self.queries.iter().map(|trail| lock(trail).answers_since(from));
            let answered: Vec<usize> =
                [lock(&self.state).updates.answers_since(from)].into_iter().chain(queries).collect();
            if answered.iter().all(|answers| *answers >= count) { Ok(()) } else { Err(format!("{answered:?}")) }
        })
        .await
    }

    /// What its clients saw since a moment.
    pub fn seen_since(&self, from: Instant) -> Seen {
        let told = |trail: &Trail| trail.failures_since(from).map(str::to_owned).collect::<Vec<_>>();
        let state = lock(&self.state);
        Seen {
            update_pause: state.updates.longest_pause_since(from),
            query_pause: self
                .queries
                .iter()
                .map(|trail| lock(trail).longest_pause_since(from))
                .max()
                .unwrap_or_default(),
            failed_updates: told(&state.updates),
            failed_queries: self.queries.iter().flat_map(|trail| told(&lock(trail))).collect(),
        }
    }

    /// Counts what is there. To be called when its clients have ended.
    pub async fn account(&self) -> anyhow::Result<Account> {
        let (acknowledged, unsettled) = {
            let state = lock(&self.state);
            (state.acknowledged, state.unsettled.clone())
        };
        let there = self.count("id != sent:0").await?;
        let doubled = self.count("times != 1").await?;
        let mut not_acknowledged = 0;
        for number in &unsettled {
            not_acknowledged += self.count(&format!("id = sent:{number}")).await?;
        }
        let lost = acknowledged.saturating_sub(there.saturating_sub(not_acknowledged));
        Ok(Account { acknowledged, lost, doubled, unsettled: unsettled.len() as u64 })
    }

    async fn count(&self, condition: &str) -> anyhow::Result<u64> {
        let sql = format!("SELECT VALUE count FROM (SELECT count() FROM sent WHERE {condition} GROUP ALL)");
        let reply = self.client.read(&Request::new(sql).strong().deadline(PATIENCE / 2), PATIENCE).await.done()?;
        Ok(reply.results[0][0].as_u64().unwrap_or(0))
    }

    async fn update(self: Arc<Self>) {
        while !self.ended.load(Ordering::Relaxed) {
            let number = lock(&self.state).sent + 1;
            lock(&self.state).sent = number;
            // A second execution would show: the record counts them.
            let request = Request::new(format!("UPSERT sent:{number} SET times = (times ?? 0) + 1 RETURN NONE"));
            let sent = Instant::now();
            let mut outcome = self.client.update(&request).await;
            if !matches!(outcome, Outcome::Done(_)) {
                lock(&self.state).updates.failed(Instant::now(), after(sent, &outcome));
                let doubt = match &outcome {
                    Outcome::Refused(refusal) => refusal.leaves_doubt(),
                    _ => true,
                };
                outcome = if doubt {
                    self.client.settle_doubt(&request, PATIENCE).await
                } else {
                    self.client.settle(&request, PATIENCE).await
                };
            }
            let mut state = lock(&self.state);
            match outcome {
                Outcome::Done(_) => {
                    state.updates.answered(Instant::now());
                    state.acknowledged += 1;
                }
                _ => {
                    state.unsettled.insert(number);
                }
            }
        }
    }

    async fn query(self: Arc<Self>, client: usize) {
        while !self.ended.load(Ordering::Relaxed) {
            let newest = lock(&self.state).sent;
            let number = rand::rng().random_range(0..=newest);
            let request = Request::new(format!("SELECT times FROM sent:{number}")).after(self.defined);
            let sent = Instant::now();
            let outcome = self.client.query(&request).await;
            let mut trail = lock(&self.queries[client]);
            match outcome {
                Outcome::Done(_) => trail.answered(Instant::now()),
                other => trail.failed(Instant::now(), after(sent, &other)),
            }
        }
    }
}

impl Seen {
    /// Fails if a client saw an error, or waited in vain.
    pub fn without_failure(&self) -> anyhow::Result<()> {
        let failed: Vec<&String> = self.failed_updates.iter().chain(&self.failed_queries).collect();
        anyhow::ensure!(failed.is_empty(), "{} failed requests, the first: {}", failed.len(), failed[0]);
        Ok(())
    }
}

impl Account {
    /// Fails if something acknowledged is not there, or something is there twice, or was never settled.
    pub fn settled(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.lost == 0 && self.doubled == 0 && self.unsettled == 0, "{self:?}");
        Ok(())
    }
}

fn after(sent: Instant, outcome: &Outcome) -> String {
    format!("after {:.1?}: {outcome}", sent.elapsed())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
