//! What tests look at: statuses, the log, and digests over whole copies.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream;
use futures::future::{join_all, try_join_all};
use holdfast_schemas::subject;
use serde_json::{Value, json};

use super::{CspStatus, GROUP, PATIENCE, Status, System};
use crate::broken_promise::BrokenPromise;
use crate::wait::until;

const STATUS_PATIENCE: Duration = Duration::from_secs(1);
const DIGEST_PATIENCE: Duration = Duration::from_secs(30);

/// A digest over everything in a copy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest {
    /// Where the copy stood.
    pub position: u64,
    /// How many keys it holds.
    pub keys: u64,
    /// The digest.
    pub digest: String,
}

impl System {
    /// Every CSP's status.
    pub async fn status(&self) -> Status {
        let names: Vec<String> = self.names().into_iter().filter(|name| name.starts_with("csp-")).collect();
        let asked = names.into_iter().map(async |csp| {
            let reply = self.client.ask(subject::csp_status(GROUP, &csp), &json!({}), STATUS_PATIENCE).await;
            (csp, reply.ok().as_ref().and_then(CspStatus::decode))
        });
        Status { csps: join_all(asked).await.into_iter().collect() }
    }

    /// Waits until the status is as wanted; the last one is told when it does not become so.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> anyhow::Result<Status> {
        self.until_within(what, PATIENCE, wanted).await
    }

    /// The same with a bound of its own.
    pub async fn until_within(
        &self,
        what: &str,
        bound: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> anyhow::Result<Status> {
        until(what, bound, async || {
            let status = self.status().await;
            if wanted(&status) { Ok(status) } else { Err(status) }
        })
        .await
    }

    /// Waits until these CSPs serve.
    pub async fn until_available(&self, csps: &[String]) -> anyhow::Result<()> {
        self.until(&format!("{csps:?} to be available"), |status| status.all_available(csps)).await?;
        Ok(())
    }

    /// Waits until every CSP serves, is judged to, knows the same primary as the others, and the group answers.
    pub async fn until_whole(&self) -> anyhow::Result<()> {
        until("the group to be whole", PATIENCE, async || self.whole().await).await?;
        self.until_serving().await
    }

    /// Whether every CSP serves, is judged to, and knows the same primary as the others; what is missing if not.
    pub(super) async fn whole(&self) -> Result<(), String> {
        let (csps, status) = (self.csps(), self.status().await);
        if !status.all_available(&csps) || !status.agreed() {
            return Err(format!("not available, or not agreed: {status}"));
        }
        let judged = self.judged_states().await.map_err(|error| format!("{error:#}"))?;
        match csps.iter().find(|csp| judged.get(*csp).is_none_or(|state| state != "available")) {
            None => Ok(()),
            Some(csp) => Err(format!("{csp} is not judged available: {judged:?}")),
        }
    }

    /// The primary, once the CSPs that answer agree on one that is not `former`.
    pub async fn primary_other_than(&self, former: &str) -> anyhow::Result<String> {
        let what = format!("a primary other than {former:?}");
        let other = |primary: &str| primary != former;
        // One that was deposed in its sleep does not know better, if it answers at all.
        let status = self.until(&what, |status| status.primary().is_some_and(other)).await?;
        Ok(status.primary().unwrap_or_default().to_owned())
    }

    /// The primary.
    pub async fn primary(&self) -> anyhow::Result<String> {
        self.primary_other_than("").await
    }

    /// What supervision wrote down about every CSP.
    pub async fn judged_states(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let context = jetstream::new(self.client.nats().clone());
        let states = context.get_key_value(subject::states_bucket()).await?;
        let mut judged = BTreeMap::new();
        for csp in self.names().into_iter().filter(|name| name.starts_with("csp-")) {
            if let Some(bytes) = states.get(subject::state_key(GROUP, &csp)).await? {
                let change: Value = serde_json::from_slice(&bytes)?;
                judged.insert(csp, change["state"].as_str().unwrap_or_default().to_owned());
            }
        }
        Ok(judged)
    }

    /// Waits until supervision holds the CSP for what is wanted; all that it has written down is told when it does not.
    pub async fn until_judged(&self, csp: &str, what: &str, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        until(&format!("{csp} to be judged {what}"), PATIENCE, async || {
            let judged = self.judged_states().await.map_err(|error| format!("{error:#}"))?;
            if judged.get(csp).is_some_and(|state| wanted(state)) { Ok(()) } else { Err(format!("{judged:?}")) }
        })
        .await
    }

    /// Waits until a process has logged these words, at whatever time.
    pub async fn until_logged(&self, name: &str, words: &str) -> anyhow::Result<()> {
        let file = self.folder().join("log").join(format!("{name}.log"));
        until(&format!("{name} to log {words:?}"), PATIENCE, async || {
            let log = std::fs::read(&file).unwrap_or_default();
            if String::from_utf8_lossy(&log).contains(words) { Ok(()) } else { Err(self.log_tail(name)) }
        })
        .await
    }

    /// The log's stream as NATS sees it.
    pub async fn log_state(&self) -> anyhow::Result<jetstream::stream::State> {
        Ok(self.log_info().await?.state)
    }

    /// The NATS server that orders the log, where there is more than one.
    pub async fn log_leader(&self) -> anyhow::Result<String> {
        until("the log to have a leader", PATIENCE, async || {
            let info = self.log_info().await.map_err(|error| format!("{error:#}"))?;
            info.cluster.and_then(|cluster| cluster.leader).ok_or_else(|| "no leader".to_owned())
        })
        .await
    }

    async fn log_info(&self) -> anyhow::Result<jetstream::stream::Info> {
        let context = jetstream::new(self.client.nats().clone());
        let stream = context.get_stream(subject::log_stream(GROUP)).await?;
        Ok(stream.cached_info().clone())
    }

    /// One CSP's digest: where it stands by itself, or at the position that another one named.
    pub async fn digest(&self, csp: &str, at: Option<u64>) -> anyhow::Result<Digest> {
        let body = at.map_or_else(|| json!({}), |at| json!({ "at": at }));
        let reply = self.client.ask(subject::csp_digest(GROUP, csp), &body, DIGEST_PATIENCE).await?;
        let number = |field: &str| reply[field].as_u64().ok_or_else(|| anyhow::anyhow!("no {field} in {reply}"));
        let digest = reply["digest"].as_str().unwrap_or_default().to_owned();
        anyhow::ensure!(!digest.is_empty(), "no digest in {reply}");
        Ok(Digest { position: number("position")?, keys: number("keys")?, digest })
    }

    /// Digests of these CSPs at one and the same position, which must be equal.
    pub async fn equal_digests(&self, csps: &[String]) -> anyhow::Result<Digest> {
        let (first, others) = csps.split_first().ok_or_else(|| anyhow::anyhow!("no CSPs to compare"))?;
        let digests = until("digests of all CSPs at one position", PATIENCE, async || {
            let named = self.digest(first, None).await.map_err(|error| format!("{first}: {error:#}"))?;
            let asked = others.iter().map(async |csp| {
                let digest = self.digest(csp, Some(named.position)).await;
                digest.map(|digest| (csp, digest)).map_err(|error| format!("{csp} at {}: {error:#}", named.position))
            });
            let mut digests: BTreeMap<&String, Digest> = try_join_all(asked).await?.into_iter().collect();
            digests.insert(first, named);
            Ok::<_, String>(digests)
        })
        .await?;
        let different: BTreeSet<&Digest> = digests.values().collect();
        anyhow::ensure!(different.len() == 1, BrokenPromise(format!("copies differ: {digests:?}")));
        digests.into_values().next().ok_or_else(|| anyhow::anyhow!("no digests"))
    }

    /// Asks every CSP the same query at the same position or later, and demands the same results of all.
    pub async fn equal_answers(&self, csps: &[String], sql: &str, after: u64) -> anyhow::Result<Vec<Value>> {
        let mut first: Option<(String, Vec<Value>)> = None;
        for csp in csps {
            let request = crate::client::Request::new(sql).after(after);
            let reply = self.client.query_at(csp, &request).await.done()?;
            match &first {
                None => first = Some((csp.clone(), reply.results)),
                Some((other, results)) => anyhow::ensure!(
                    *results == reply.results,
                    "{sql}: {other} and {csp} answer differently:\n{}\n{}",
                    Value::from(results.clone()),
                    Value::from(reply.results)
                ),
            }
        }
        Ok(first.map(|(_, results)| results).unwrap_or_default())
    }
}
