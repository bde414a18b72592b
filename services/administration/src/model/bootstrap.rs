//! The first entries of a group's log, and whether a log that is there begins with them.
//!
//! They are written with the position that they must get, so of two administrators one writes and the other finds it written.
//! Whoever finds a log that begins otherwise must stop: it belongs to another definition.

use holdfast_schemas::message::GroupDefinition;
use holdfast_schemas::message::LogControl;
use holdfast_schemas::message::Replication;

/// The first epoch of a primary group.
const FIRST_EPOCH: u64 = 1;

/// The entries with which the log of this group begins, from position 1.
pub fn first_entries(definition: &GroupDefinition) -> Vec<LogControl> {
    let mut entries = vec![LogControl::Define {
        group: definition.name.clone(),
        replication: definition.replication,
        isolation: definition.isolation,
        ids_kept_ms: definition.ids_kept_ms,
    }];
    if definition.replication == Replication::Primary
        && let Some(primary) = definition.csps.first()
    {
        entries.push(LogControl::Epoch { epoch: FIRST_EPOCH, primary: primary.clone() });
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_schemas::message::{Isolation, Storage};

    fn entries(replication: Replication) -> Vec<LogControl> {
        first_entries(&GroupDefinition {
            name: "g".to_owned(),
            csps: vec!["one".to_owned(), "two".to_owned()],
            replication,
            isolation: Isolation::Serializable,
            storage: Storage::Mem,
            ids_kept_ms: 600_000,
            log_replicas: 1,
            tasks: Vec::new(),
            pools: Vec::new(),
            update_windows: None,
            supervision: Default::default(),
            revision: None,
        })
    }

    #[test]
    fn a_primary_group_begins_with_its_first_csp_as_primary() {
        let entries = entries(Replication::Primary);
        assert_eq!(entries.len(), 2);
        assert_eq!(entries.last(), Some(&LogControl::Epoch { epoch: 1, primary: "one".to_owned() }));
    }

    #[test]
    fn a_peer_group_has_no_epoch() {
        assert_eq!(entries(Replication::Peer).len(), 1);
    }
}
