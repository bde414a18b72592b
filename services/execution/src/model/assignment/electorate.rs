//! Which instance of execution assigns tasks: of those heard lately, the one with the least name.
//!
//! This saves work and protects nothing. Two that believe to lead (one hears less than the other, or has just started)
//! decide on the same revisions, so one of them writes and the other loses the race; and whatever is written, the log has
//! one primary for each epoch. A lease would add a way to stand still and no safety.

use holdfast_schemas::limits::PRESENCE_LOST_MS;
use std::collections::BTreeMap;

/// The instances, as one of them hears them.
#[derive(Debug)]
pub struct Electorate {
    own: String,
    heard: BTreeMap<String, u64>,
}

impl Electorate {
    /// As the instance `own` sees it before it has heard anybody.
    pub fn new(own: String) -> Self {
        Self { own, heard: BTreeMap::new() }
    }

    /// An instance says that it lives.
    pub fn hear(&mut self, instance: &str, now_ms: u64) {
        self.heard.retain(|_, heard_at| now_ms.saturating_sub(*heard_at) < PRESENCE_LOST_MS);
        if instance < self.own.as_str() {
            self.heard.insert(instance.to_owned(), now_ms);
        }
    }

    /// Whether this instance is the one that assigns. It need not hear itself.
    pub fn leads(&self, now_ms: u64) -> bool {
        !self.heard.values().any(|heard_at| now_ms.saturating_sub(*heard_at) < PRESENCE_LOST_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_name_leads_for_as_long_as_it_is_heard() {
        let mut electorate = Electorate::new("b".to_owned());
        assert!(electorate.leads(0), "alone");
        electorate.hear("b", 0);
        electorate.hear("c", 0);
        assert!(electorate.leads(0));
        electorate.hear("a", 10);
        assert!(!electorate.leads(10 + PRESENCE_LOST_MS - 1));
        assert!(electorate.leads(10 + PRESENCE_LOST_MS));
    }
}
