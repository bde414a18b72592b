//! The log's own clock, by which ids are forgotten, leases of locks end and changefeeds are freed: as far as two clocks agree.
//!
//! Each entry is stamped twice: by the log's leader when it stored it (`server`), and by its sender when it sealed it (`sender`).
//! One of them may be wrong by any amount, for a second or for ever, and the other is right. So
//! - log time goes to what both show, if it is behind that;
//! - from one message to the next it goes on by what passed at the log's leader, but by no more than the sender knows of
//!   (`since_us`: measured by a clock that nobody sets). So it also goes on while one of them is behind for long;
//! - where it is ahead of both, it goes on at half the pace until it is not. It never stands still and never goes back.
//!
//! A clock that jumps ahead moves it by what the other one allows, and so does one that comes back. All of it is a function of
//! the log, and two numbers are enough to go on from any position.
//!
//! Senders of the first version did not stamp their entries: until one does, log time is the highest stamp of the server in whole
//! milliseconds, as it was for them and for copies that they left. After that, messages without a sender's stamp (control messages,
//! junk) move nothing.

use crate::entry::SenderClock;

/// Log time at a position, and what it takes to go on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogClock {
    /// Log time, in microseconds since 1970.
    pub time_us: u64,
    /// The server's stamp of the last message, in microseconds since 1970; 0 until a sender has stamped an entry.
    pub server_us: u64,
    /// Whether a sender has stamped its entry by now.
    pub by_two: bool,
}

impl LogClock {
    /// Log time, in milliseconds since 1970.
    #[must_use]
    pub fn time_ms(self) -> u64 {
        self.time_us / 1_000
    }

    /// After the next message, stored at `server_us`.
    #[must_use]
    pub fn next(self, server_us: u64, sender: Option<SenderClock>) -> Self {
        let time_us = match sender {
            Some(sender) => self.agreed(server_us, sender),
            None if self.by_two => self.time_us,
            None => return Self { time_us: self.time_us.max(server_us / 1_000 * 1_000), ..self },
        };
        Self { time_us, server_us, by_two: true }
    }

    fn agreed(self, server_us: u64, sender: SenderClock) -> u64 {
        let sender_us = sender.wall_ms.saturating_mul(1_000);
        if !self.by_two {
            // What passed since the message before is not known yet.
            return self.time_us.max(server_us.min(sender_us));
        }
        let passed_us = server_us.saturating_sub(self.server_us).min(sender.since_us);
        let is_ahead = self.time_us > server_us.max(sender_us);
        let goes_on_us = if is_ahead { passed_us / 2 } else { passed_us };
        self.time_us.saturating_add(goes_on_us).max(server_us.min(sender_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;
    const MINUTES_20: i64 = 1_200 * S as i64;
    const HOUR: i64 = 3_600 * S as i64;
    /// What the real time is at the beginning.
    const BEGIN: u64 = 1_000_000 * S;

    /// A group of senders whose entries follow each other, as their publishers stamp them.
    struct World {
        clock: LogClock,
        now_us: u64,
        sealed_us: Vec<u64>,
        applied_us: u64,
        noise: u64,
    }

    impl World {
        fn new(senders: usize, seed: u64) -> Self {
            Self {
                clock: LogClock::default(),
                now_us: BEGIN,
                sealed_us: vec![BEGIN; senders],
                applied_us: BEGIN,
                noise: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            }
        }

        fn random(&mut self, below: u64) -> u64 {
            self.noise ^= self.noise << 13;
            self.noise ^= self.noise >> 7;
            self.noise ^= self.noise << 17;
            self.noise % below
        }

        /// Some sender seals an entry after a moment, and a moment later it is stored. The clocks are wrong by so much.
        fn entry(&mut self, server_wrong_us: i64, sender_wrong_us: i64) {
            let which = self.random(self.sealed_us.len() as u64) as usize;
            self.now_us += self.random(400_000);
            let since_us = (self.now_us - self.sealed_us[which]).min(self.now_us - self.applied_us + 100_000);
            let wall_ms = self.now_us.saturating_add_signed(sender_wrong_us) / 1_000;
            self.sealed_us[which] = self.now_us;
            self.now_us += self.random(20_000);
            self.applied_us = self.now_us;
            let server_us = self.now_us.saturating_add_signed(server_wrong_us);
            let before = self.clock;
            self.clock = self.clock.next(server_us, Some(SenderClock { wall_ms, since_us }));
            assert!(self.clock.time_us >= before.time_us, "log time went back");
        }

        fn entries_until(&mut self, until_us: u64, server_wrong_us: i64, sender_wrong_us: i64) {
            while self.now_us < until_us {
                self.entry(server_wrong_us, sender_wrong_us);
            }
        }

        /// How far log time is ahead of the real time.
        fn ahead_us(&self) -> i64 {
            self.clock.time_us.cast_signed() - self.now_us.cast_signed()
        }
    }

    fn worlds() -> impl Iterator<Item = World> {
        (0..60).map(|seed| World::new(1 + seed as usize % 4, seed))
    }

    const SECOND: i64 = S as i64;

    #[test]
    fn with_right_clocks_it_is_the_real_time() {
        for mut world in worlds() {
            world.entries_until(BEGIN + 60 * S, 0, 0);
            assert!((-SECOND..=0).contains(&world.ahead_us()), "{}", world.ahead_us());
        }
    }

    /// Twenty minutes ahead for a second or so, the server or the senders, again and again, and then right.
    #[test]
    fn one_clock_that_jumps_ahead_moves_it_by_next_to_nothing() {
        for jumps in [|wrong| (wrong, 0), |wrong| (0, wrong)] as [fn(i64) -> (i64, i64); 2] {
            for mut world in worlds() {
                for _ in 0..20 {
                    let (until_us, (server_us, sender_us)) = (world.now_us + 3 * S, jumps(MINUTES_20));
                    world.entries_until(until_us, 0, 0);
                    world.entries_until(until_us + S, server_us, sender_us);
                    assert!(world.ahead_us() < 4 * SECOND, "{}", world.ahead_us());
                }
                world.entries_until(world.now_us + 20 * S, 0, 0);
                assert!((-SECOND..=SECOND).contains(&world.ahead_us()), "{}", world.ahead_us());
            }
        }
    }

    /// An hour behind from some moment on, for ever.
    #[test]
    fn one_clock_that_goes_back_does_not_stop_it() {
        for back in [|wrong| (wrong, 0), |wrong| (0, wrong)] as [fn(i64) -> (i64, i64); 2] {
            for mut world in worlds() {
                world.entries_until(BEGIN + 10 * S, 0, 0);
                let (server_us, sender_us) = back(-HOUR);
                world.entries_until(BEGIN + 610 * S, server_us, sender_us);
                // A senders's evidence begins with its own last entry, and the quickest of several is what counts.
                assert!((-60 * SECOND..=60 * SECOND).contains(&world.ahead_us()), "{}", world.ahead_us());
                world.entries_until(world.now_us + 200 * S, 0, 0);
                assert!((-SECOND..=SECOND).contains(&world.ahead_us()), "{}", world.ahead_us());
            }
        }
    }

    /// Both were ahead by twenty minutes, as far as anybody can tell it was the time; then both are right.
    #[test]
    fn what_two_clocks_agreed_on_is_made_good_at_half_the_pace() {
        for mut world in worlds() {
            world.entries_until(BEGIN + 10 * S, MINUTES_20, MINUTES_20);
            assert!(world.ahead_us() > MINUTES_20 - 2 * SECOND);
            let (before, from_us) = (world.clock.time_us, world.now_us);
            world.entries_until(from_us + 600 * S, 0, 0);
            let went_us = (world.clock.time_us - before) as i64;
            assert!((200 * SECOND..=301 * SECOND).contains(&went_us), "{went_us}");
            world.entries_until(from_us + 3_000 * S, 0, 0);
            assert!((-SECOND..=SECOND).contains(&world.ahead_us()), "{}", world.ahead_us());
        }
    }

    #[test]
    fn what_has_no_stamp_of_a_sender_counts_as_before_until_one_has() {
        let first = LogClock::default().next(5 * S, None).next(3 * S, None);
        assert_eq!((first.time_us, first.server_us, first.by_two), (5 * S, 0, false));
        assert_eq!(first.next(5 * S + 1_999, None).time_us, 5 * S + 1_000, "whole milliseconds");
        let stamped = first.next(6 * S, Some(SenderClock { wall_ms: 6_500, since_us: 0 }));
        assert_eq!((stamped.time_us, stamped.by_two), (6 * S, true));
        assert_eq!(stamped.next(9_000 * S, None).time_us, 6 * S, "nobody bears witness");
    }

    #[test]
    fn after_a_long_time_without_anybody_it_is_where_both_clocks_are() {
        let clock = LogClock { time_us: BEGIN, server_us: BEGIN, by_two: true };
        let day = 86_400 * S;
        let sender = SenderClock { wall_ms: (BEGIN + day) / 1_000, since_us: 40_000 };
        assert_eq!(clock.next(BEGIN + day + S, Some(sender)).time_us, BEGIN + day);
    }
}
