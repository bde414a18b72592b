//! The supervisors among themselves: who lives, who holds which CSP for gone, and whether that is a majority.
//!
//! How many supervisors there are is defined, and a verdict needs more than half of that number: so one that is cut off from the
//! others, and hears nobody, fails nobody over, however many of them it takes for dead. If more are heard than were defined, more
//! than half of those who are heard are needed. One that is wrong among three can neither cause a verdict nor block it. One who
//! has just come, or was blind, gives no verdict until everybody who lives has had the time to speak.
//!
//! An accusation is made of a process, not of a name: a CSP that was started again is another one. Who has not heard any
//! process accuses whoever bears the name. That adds to the accusation of one who has heard it, and does not replace it: or a
//! CSP that comes for the first time would be condemned until everybody has taken back that it was not there before.

use super::decision::CspKey;
use std::collections::{BTreeMap, BTreeSet};

/// Supervisors that are counted at most. It protects the memory, and is far above what anybody runs.
const VOICES_MAX: usize = 64;

/// What one supervisor accuses one CSP of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The process; none if it was never heard.
    pub incarnation: Option<String>,
    /// What was observed.
    pub evidence: String,
    /// Whether NATS said that nobody listens there.
    pub deserted: bool,
}

impl Charge {
    /// Whether this is about the process `incarnation`.
    pub fn concerns(&self, incarnation: Option<&str>) -> bool {
        self.incarnation.is_none() || self.incarnation.as_deref() == incarnation
    }
}

/// All that one supervisor holds for gone.
pub type Charges = BTreeMap<CspKey, Charge>;

#[derive(Debug, Default)]
struct Voice {
    heard_at_ms: u64,
    charges: Charges,
}

/// A majority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Who concurs, in order.
    pub concurring: Vec<String>,
    /// What they observed, each once.
    pub evidence: Vec<String>,
    /// Whether any of them was told by NATS that nobody listens there. A majority says that it is gone; this says how.
    pub deserted: bool,
}

/// The supervisors that live.
#[derive(Debug)]
pub struct Council {
    instance: String,
    defined: usize,
    lost_after_ms: u64,
    open_at_ms: u64,
    own: Charges,
    others: BTreeMap<String, Voice>,
}

impl Council {
    /// Ourselves, under the name `instance`, as one of so many that are defined. Who is silent for `lost_after_ms` has no voice.
    pub fn new(instance: String, defined: usize, lost_after_ms: u64, now_ms: u64) -> Self {
        let open_at_ms = now_ms + lost_after_ms;
        Self { instance, defined, lost_after_ms, open_at_ms, own: Charges::new(), others: BTreeMap::new() }
    }

    /// We hold a CSP for gone, or no longer do. Whether that is news.
    pub fn charge(&mut self, key: &CspKey, charge: Option<Charge>) -> bool {
        match charge {
            Some(charge) => {
                let news = self.own.get(key).is_none_or(|known| known.incarnation != charge.incarnation);
                self.own.insert(key.clone(), charge);
                news
            }
            None => self.own.remove(key).is_some(),
        }
    }

    /// What another supervisor last said of a CSP.
    pub fn said(&self, instance: &str, key: &CspKey) -> Option<&Charge> {
        self.others.get(instance)?.charges.get(key)
    }

    /// How many live, ourselves included, if that is more than are defined.
    pub fn too_many(&self, now_ms: u64) -> Option<usize> {
        Some(self.voices(now_ms).count()).filter(|living| *living > self.defined)
    }

    /// How many live, ourselves included, if all of them together can give no verdict.
    pub fn too_few(&self, now_ms: u64) -> Option<usize> {
        Some(self.voices(now_ms).count()).filter(|living| living * 2 <= self.defined)
    }

    /// Another supervisor spoke.
    pub fn hear(&mut self, instance: &str, charges: Charges, now_ms: u64) {
        self.forget_lost(now_ms);
        if self.others.contains_key(instance) || self.others.len() < VOICES_MAX {
            self.others.insert(instance.to_owned(), Voice { heard_at_ms: now_ms, charges });
        }
    }

    /// We hear nobody: nobody is lost by that, and we give no verdict until everybody has had the time to speak again.
    pub fn blind(&mut self, now_ms: u64) {
        self.open_at_ms = now_ms + self.lost_after_ms;
        self.others.values_mut().for_each(|voice| voice.heard_at_ms = now_ms);
    }

    /// Those who live no longer have no voice any more.
    pub fn forget_lost(&mut self, now_ms: u64) {
        let lost_after_ms = self.lost_after_ms;
        self.others.retain(|_, voice| now_ms.saturating_sub(voice.heard_at_ms) < lost_after_ms);
    }

    /// The verdict on the process `incarnation` of a CSP, if more than half of those who are defined accuse it.
    pub fn verdict(&self, key: &CspKey, incarnation: Option<&str>, now_ms: u64) -> Option<Verdict> {
        if now_ms < self.open_at_ms {
            return None;
        }
        match incarnation {
            Some(_) => self.majority(key, incarnation, now_ms),
            None => {
                let accused = self.voices(now_ms).filter_map(|(_, charges)| charges.get(key)?.incarnation.as_deref());
                let candidates: BTreeSet<_> = accused.map(Some).chain([None]).collect();
                candidates.into_iter().find_map(|candidate| self.majority(key, candidate, now_ms))
            }
        }
    }

    /// The CSPs that anybody accuses.
    pub fn accused(&self) -> BTreeSet<CspKey> {
        let others = self.others.values().map(|voice| &voice.charges);
        others.chain([&self.own]).flat_map(|charges| charges.keys().cloned()).collect()
    }

    /// What we hold for gone ourselves.
    pub fn own(&self) -> &Charges {
        &self.own
    }

    /// Our own name.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Whether we have been there for longer than all others who live. That one tells what nobody can be first to write.
    pub fn is_eldest(&self, now_ms: u64) -> bool {
        self.voices(now_ms).all(|(instance, _)| self.instance.as_str() <= instance)
    }

    /// Those who live, and what they hold for gone.
    fn voices(&self, now_ms: u64) -> impl Iterator<Item = (&str, &Charges)> {
        let others = self.others.iter();
        let living = others.filter(move |(_, voice)| now_ms.saturating_sub(voice.heard_at_ms) < self.lost_after_ms);
        living.map(|(instance, voice)| (instance.as_str(), &voice.charges)).chain([(self.instance.as_str(), &self.own)])
    }

    fn majority(&self, key: &CspKey, incarnation: Option<&str>, now_ms: u64) -> Option<Verdict> {
        let mut living = 0;
        let mut accusers = BTreeMap::new();
        let (mut named, mut deserted) = (false, false);
        for (instance, charges) in self.voices(now_ms) {
            living += 1;
            if let Some(charge) = charges.get(key).filter(|charge| charge.concerns(incarnation)) {
                named |= charge.incarnation.as_deref() == incarnation;
                deserted |= charge.deserted;
                accusers.insert(instance.to_owned(), charge.evidence.clone());
            }
        }
        if !named || accusers.len() * 2 <= living.max(self.defined) {
            return None;
        }
        let evidence: BTreeSet<_> = accusers.values().cloned().collect();
        let concurring = accusers.into_keys().collect();
        Some(Verdict { concurring, evidence: evidence.into_iter().collect(), deserted })
    }
}

#[cfg(test)]
#[path = "council_tests.rs"]
mod tests;
