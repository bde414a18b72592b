//! What a copy foresees of a transaction is what the log decides about it.

use holdfast_storage::WriteSet;
use holdfast_storage::request::{Request, Terms};

use super::compare::histories;
use super::log::{Meant, Sent};
use super::{Seen, small_certifier};
use crate::model::Verdict;
use crate::model::contention::{Footprint, Foreseen};

fn write_set(meant: &Meant, since: Option<u64>) -> WriteSet {
    WriteSet {
        snapshot: meant.snapshot,
        writes: meant.writes.iter().filter(|(_, stamped)| !stamped).map(|(key, _)| (key.clone(), None)).collect(),
        locked: meant.locked.clone(),
        reads: meant.reads.clone(),
        ranges: meant.ranges.clone(),
        certified_reads: meant.serializable,
        stamped: false,
        request: Some(Request::on(Terms { id: meant.id.clone(), since, ..Terms::default() })),
    }
}

/// The transactions of an entry of one part.
fn whole(sent: &Sent) -> &[Meant] {
    match sent {
        Sent::Entry(outside, meant) if outside.parts == 1 => meant.as_slice(),
        _ => &[],
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
            let meant = whole(sent);
            let foresee = |meant| {
                let write_set = write_set(meant, None);
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

/// Somebody else may have carried out, under an id that is forgotten, what came before that: that it loses now says nothing.
#[test]
fn of_what_came_before_forgotten_ids_no_loss_is_foreseen() {
    let mut left_open = 0;
    for log in histories(400) {
        let mut certifier = small_certifier();
        for (message, sent) in &log.messages {
            let forgotten = certifier.state().ids_horizon;
            for meant in whole(sent) {
                let foresee = |since| {
                    let write_set = write_set(meant, since);
                    certifier.foresee(&write_set, &Footprint::of(&write_set))
                };
                let foreseen = foresee(None);
                assert_eq!(foresee(Some(forgotten)), foreseen, "what came later is not concerned");
                let Some(before) = forgotten.checked_sub(1) else { continue };
                match foreseen {
                    Some(Foreseen::Lost { .. }) => {
                        assert_eq!(foresee(Some(before)), None, "{meant:?}");
                        left_open += 1;
                    }
                    certain => assert_eq!(foresee(Some(before)), certain, "a known id is that of its outcome"),
                }
            }
            certifier.apply(message.clone()).unwrap();
        }
    }
    assert!(left_open > 0, "no history forgets an id");
}
