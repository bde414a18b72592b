//! What a system looks like from outside: every CSP's own status, as it answers it.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// One CSP's status, as far as tests look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CspStatus {
    /// Its state, as on the wire.
    pub state: String,
    /// Its applied position.
    pub applied: u64,
    /// The epoch that it knows.
    pub epoch: u64,
    /// The primary that it knows.
    pub primary: Option<String>,
    /// Its counters.
    pub counters: BTreeMap<String, u64>,
    /// How many messages of the log it passed over.
    pub junk: u64,
    /// Why it is in its state, if it says.
    pub reason: Option<String>,
}

/// All CSPs by name; none for those that do not answer.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// By name.
    pub csps: BTreeMap<String, Option<CspStatus>>,
}

impl CspStatus {
    /// Reads a status reply.
    pub fn decode(reply: &Value) -> Option<Self> {
        let counters = reply["counters"].as_object()?.iter();
        Some(Self {
            state: reply["state"].as_str()?.to_owned(),
            applied: reply["applied"].as_u64()?,
            epoch: reply["epoch"].as_u64()?,
            primary: reply["primary"].as_str().map(str::to_owned),
            counters: counters.filter_map(|(name, value)| Some((name.clone(), value.as_u64()?))).collect(),
            junk: reply["junk"].as_u64().unwrap_or_default(),
            reason: reply["reason"].as_str().map(str::to_owned),
        })
    }
}

impl Status {
    /// A CSP's applied position; 0 where it does not answer.
    pub fn applied(&self, csp: &str) -> u64 {
        self.of(csp).map_or(0, |status| status.applied)
    }

    /// A CSP's state; none where it does not answer.
    pub fn state(&self, csp: &str) -> Option<&str> {
        self.of(csp).map(|status| status.state.as_str())
    }

    /// Whether a CSP serves.
    pub fn available(&self, csp: &str) -> bool {
        self.of(csp).is_some_and(|status| status.state == "available")
    }

    /// Whether a CSP says that it is in this state.
    pub fn is_in(&self, csp: &str, state: &str) -> bool {
        self.of(csp).is_some_and(|status| status.state == state)
    }

    /// The highest applied position.
    pub fn applied_max(&self) -> u64 {
        self.csps.values().flatten().map(|status| status.applied).max().unwrap_or(0)
    }

    /// Whether all of these serve.
    pub fn all_available(&self, csps: &[String]) -> bool {
        csps.iter().all(|csp| self.available(csp))
    }

    /// The primary, as the CSPs of the highest epoch know it.
    pub fn primary(&self) -> Option<&str> {
        self.csps.values().flatten().max_by_key(|status| status.epoch)?.primary.as_deref()
    }

    /// The highest epoch.
    pub fn epoch(&self) -> u64 {
        self.csps.values().flatten().map(|status| status.epoch).max().unwrap_or(0)
    }

    /// Whether all CSPs that answer know the same epoch and the same primary.
    pub fn agreed(&self) -> bool {
        let mut known = self.csps.values().flatten().map(|status| (status.epoch, &status.primary));
        let first = known.next();
        known.all(|other| Some(other) == first)
    }

    fn of(&self, csp: &str) -> Option<&CspStatus> {
        self.csps.get(csp).and_then(Option::as_ref)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (csp, status) in &self.csps {
            match status {
                None => write!(f, "{csp}: no answer; ")?,
                Some(status) => write!(
                    f,
                    "{csp}: {} at {} epoch {} primary {}{}; ",
                    status.state,
                    status.applied,
                    status.epoch,
                    status.primary.as_deref().unwrap_or("-"),
                    status.reason.as_ref().map(|reason| format!(" because {reason}")).unwrap_or_default()
                )?,
            }
        }
        Ok(())
    }
}
