//! The window by itself: it holds what it must, forgets the rest, and its bounds are kept.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::model::window::{Horizon, Window, hash_key};
use crate::model::{Chain, Limits, LogClock};

const LIMITS: Limits = Limits {
    window_bytes_max: 4_000,
    window_positions_max: 30,
    window_age_ms_max: 50,
    ids_max: 0,
    entry_writes_max: 9,
};

fn at_ms(time_ms: u64) -> LogClock {
    LogClock { time_us: time_ms * 1_000, ..LogClock::default() }
}

fn empty() -> Window {
    Window::new(LIMITS, Horizon { position: 0, chain: Chain::default(), clock: LogClock::default() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn finds_the_last_write_of_points_and_ranges(
        positions in vec(vec(vec(0_u8..4, 0..4), 0..6), 1..80),
        bounds in (vec(0_u8..4, 0..4), vec(0_u8..4, 0..4)),
        back in 1_u64..40,
    ) {
        let mut window = empty();
        let mut written: VecDeque<(u64, Vec<u8>)> = VecDeque::new();
        for (position, keys) in (1_u64..).zip(positions) {
            for key in keys {
                window.write(hash_key(&key), &key);
                written.push_back((position, key));
            }
            let (begin, end) = (&bounds.0, &bounds.1);
            let snapshot = position.saturating_sub(back).max(window.horizon().position);
            let after = || written.iter().rev().filter(|(written_at, _)| *written_at > snapshot);
            let in_range = after().find(|(_, key)| begin <= key && key < end).map(|found| found.0);
            prop_assert_eq!(window.range_written_after(begin, end, snapshot), in_range);
            let point = after().find(|(_, key)| key == begin).map(|found| found.0);
            prop_assert_eq!(window.written_after(hash_key(begin), snapshot), point);
            window.seal(Chain::default().next(&position.to_le_bytes()), at_ms(position));
            window.advance(position);
            prop_assert!(position - window.horizon().position <= LIMITS.window_positions_max);
            prop_assert_eq!(window.last_position(), position);
        }
    }
}

#[test]
fn remembers_the_chain_from_the_horizon_on() {
    let mut window = empty();
    let chains: Vec<Chain> = (0..60_u8).map(|n| Chain::default().next(&[n])).collect();
    for chain in &chains {
        window.seal(*chain, LogClock::default());
        window.advance(0);
    }
    assert_eq!(window.horizon().position, 30);
    assert_eq!(window.chain_at(29), None);
    for position in 30..=60 {
        assert_eq!(window.chain_at(position), Some(chains[position as usize - 1]));
    }
    assert_eq!(window.chain_at(61), None);
}

#[test]
fn the_horizon_does_not_come_between_the_parts_of_an_entry() {
    let mut window = empty();
    // Parts at 2 and 6, and at 3 and 5: the horizon moves from 1 to 6 at once.
    for position in 1..=31_u64 {
        match position {
            5 => window.complete(3),
            6 => window.complete(2),
            _ => {}
        }
        window.seal(Chain::default(), LogClock::default());
        window.advance(0);
    }
    assert_eq!(window.horizon().position, 1);
    window.seal(Chain::default(), LogClock::default());
    window.advance(0);
    assert_eq!(window.horizon().position, 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn finds_ranges_across_runs(
        seed in any::<u64>(),
        keys_max in 1_u64..60,
        questions in vec((any::<u16>(), 0_u16..40, 1_u64..3_000), 30),
    ) {
        let limits = Limits { window_bytes_max: 300_000, window_age_ms_max: u64::MAX, ..Limits::RELEASED };
        let mut window = Window::new(limits, Horizon { position: 0, chain: Chain::default(), clock: LogClock::default() });
        let mut written: Vec<(u64, [u8; 2])> = Vec::new();
        let mut noise = seed | 1;
        let mut next = |bound: u64| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            noise % bound
        };
        for position in 1..=2_000_u64 {
            for _ in 0..next(keys_max) {
                let key = (next(1 << 16) as u16).to_be_bytes();
                window.write(hash_key(&key), &key);
                written.push((position, key));
            }
            if position.is_multiple_of(40) {
                let (begin, length, back) = questions[(position / 40) as usize % questions.len()];
                let (begin, end) = (begin.to_be_bytes(), begin.saturating_add(length).to_be_bytes());
                let snapshot = position.saturating_sub(back).max(window.horizon().position);
                let after = written.iter().rev().take_while(|(written_at, _)| *written_at > snapshot);
                let expected = after.filter(|(_, key)| begin <= *key && *key < end).map(|found| found.0).next();
                prop_assert_eq!(window.range_written_after(&begin, &end, snapshot), expected);
            }
            window.seal(Chain::default(), LogClock::default());
            window.advance(0);
        }
        prop_assert!(keys_max < 20 || window.horizon().position > 0);
    }
}
