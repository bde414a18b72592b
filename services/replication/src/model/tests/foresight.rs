//! What a copy foresees of a transaction is what the log decides about it.

use holdfast_storage::WriteSet;
use holdfast_storage::request::Request;

use super::compare::histories;
use super::log::{Meant, Sent};
use super::{Seen, small_certifier};
use crate::model::Verdict;
use crate::model::contention::{Footprint, Foreseen};

fn write_set(meant: &Meant) -> WriteSet {
    WriteSet {
        snapshot: meant.snapshot,
        writes: meant.writes.iter().filter(|(_, stamped)| !stamped).map(|(key, _)| (key.clone(), None)).collect(),
        locked: meant.locked.clone(),
        reads: meant.reads.clone(),
        ranges: meant.ranges.clone(),
        certified_reads: meant.serializable,
        stamped: false,
        request: Some(Request::new(meant.id.clone())),
    }
}

/// Before each message, what is in it is looked at: what is foreseen to lose is never accepted, and what meets nothing but what
/// was applied before is refused only if that was foreseen.
#[test]
fn what_is_foreseen_to_lose_is_refused() {
    let (mut foreseen_lost, mut accepted) = (0, 0);
    for log in histories(400) {
        let mut certifier = small_certifier();
        for (message, sent) in &log.messages {
            let meant = match sent {
                Sent::Entry(outside, meant) if outside.parts == 1 => meant.as_slice(),
                _ => &[],
            };
            let foresee = |meant| {
                let write_set = write_set(meant);
                certifier.foresee(&write_set, &Footprint::of(&write_set))
            };
            let foreseen: Vec<_> = meant.iter().map(foresee).collect();
            let Seen::Batch(decisions) = Seen::of(&certifier.apply(message.clone()).unwrap()) else { continue };
            for (index, ((verdict, _), foreseen)) in decisions.iter().zip(foreseen).enumerate() {
                match (foreseen, verdict) {
                    (Some(Foreseen::Lost { .. }), verdict) => {
                        assert!(!verdict.is_accepted(), "foreseen to lose: {verdict:?} of {:?}", meant[index]);
                        foreseen_lost += 1;
                    }
                    (None, Verdict::Conflict { position, .. }) if *position < message.position => {
                        panic!("lost against {position} and not foreseen: {verdict:?} of {:?}", meant[index]);
                    }
                    (None, Verdict::Accepted) => accepted += 1,
                    // It read without saying what, or its snapshot is too old, or its id is known: not what this is about.
                    _ => {}
                }
            }
        }
    }
    assert!(foreseen_lost > 100 && accepted > 100, "{foreseen_lost} foreseen to lose, {accepted} accepted");
}
