//! A certifier that is rebuilt, here or on another copy, is the one that was lost, and decides alike from then on.

use proptest::prelude::*;
use proptest::sample::Index;

use super::history::{actions, play};
use super::log::Log;
use super::{SMALL, STORAGE_VERSION, Seen, small_certifier};
use crate::model::{Applied, AppliedState, Broken, Certifier, Outcome, Place, Position, Rebuild, Record};

/// What a copy stores next to its data: bytes, as a restart or another copy finds them.
#[derive(Debug, Clone, Default)]
struct Stored {
    state: Vec<u8>,
    records: Vec<(Position, Vec<u8>)>,
    ids: Vec<(Place, String, u64)>,
}

impl Stored {
    /// `tidy` says whether records and ids that are not needed any more are deleted at once, or left for later.
    fn store(&mut self, applied: &Applied, state: &AppliedState, tidy: bool) {
        self.state = state.encode();
        self.records.extend(applied.record.iter().map(|record| (applied.position, record.encode())));
        if let Outcome::Batch(batch) = &applied.outcome {
            for (index, transaction, _) in batch.accepted() {
                let place = Place { position: applied.position, index };
                self.ids.extend(transaction.id().map(|id| (place, id.to_owned(), applied.log_time_ms)));
            }
        }
        if tidy {
            self.ids.retain(|(place, ..)| !applied.expired_ids.contains(&place.position));
            self.records.retain(|(position, _)| *position > state.horizon);
        }
    }

    fn rebuild(&self, log: &Log) -> Result<Certifier, Broken> {
        let mut rebuild = Rebuild::with_limits(AppliedState::decode(&self.state).unwrap(), STORAGE_VERSION, SMALL);
        for (place, id, log_time_ms) in &self.ids {
            rebuild.remember_id(*place, id, *log_time_ms);
        }
        while let Some(position) = rebuild.next_position() {
            let record = self.records.iter().find(|(found, _)| *found == position);
            let record = record.map(|(_, bytes)| Record::decode(bytes).unwrap());
            rebuild.replay(log.messages[position as usize - 1].0.clone(), record.as_ref())?;
        }
        rebuild.finish()
    }
}

/// A certifier that has gone through the log, and what its copy stores then.
fn applied(log: &Log) -> (Certifier, Stored) {
    let mut certifier = small_certifier();
    let mut stored = Stored::default();
    for (message, _) in &log.messages {
        let applied = certifier.apply(message.clone()).unwrap();
        stored.store(&applied, certifier.state(), true);
    }
    (certifier, stored)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_rebuilt_certifier_is_the_one_that_was_lost(
        actions in actions(),
        restarts in proptest::collection::vec(any::<Index>(), 1..6),
        tidy in any::<bool>(),
    ) {
        let log = play(&actions);
        let restarts: Vec<usize> = restarts.iter().map(|restart| restart.index(log.messages.len())).collect();
        let mut steady = small_certifier();
        let mut restarted = small_certifier();
        let mut stored = Stored::default();
        for (index, (message, _)) in log.messages.iter().enumerate() {
            let expected = steady.apply(message.clone()).unwrap();
            let applied = restarted.apply(message.clone()).unwrap();
            prop_assert_eq!(Seen::of(&applied), Seen::of(&expected));
            prop_assert_eq!(&applied.expired_ids, &expected.expired_ids);
            prop_assert_eq!(&applied.record, &expected.record);
            stored.store(&applied, restarted.state(), tidy);
            if restarts.contains(&index) {
                restarted = stored.rebuild(&log).unwrap();
                prop_assert!(restarted == steady, "{restarted:#?}\n{steady:#?}");
            }
        }
        prop_assert!(restarted == steady);
    }

    #[test]
    fn an_id_from_behind_the_stored_position_is_the_copys_fault(actions in actions()) {
        let log = play(&actions);
        let (certifier, mut stored) = applied(&log);
        if log.messages.is_empty() {
            return Ok(());
        }
        let (position, log_time_ms) = (certifier.state().position, certifier.state().clock.time_ms());
        stored.ids.push((Place { position: position + 1, index: 0 }, "later".to_owned(), log_time_ms));
        let broken = stored.rebuild(&log).err();
        prop_assert_eq!(broken, Some(Broken::Kept { position, reason: "ids are of the past" }));
    }

    #[test]
    fn another_log_is_noticed(actions in actions(), at in any::<Index>()) {
        let log = play(&actions);
        let (certifier, stored) = applied(&log);
        let state = certifier.state();
        let window = (state.horizon + 1..=state.position).collect::<Vec<_>>();
        if !window.is_empty() {
            let mut other = log.clone();
            other.messages[window[at.index(window.len())] as usize - 1].0.payload = b"other".as_slice().into();
            prop_assert!(stored.rebuild(&other).is_err());
        }
    }
}
