//! When a NATS server is started again because it stores nothing any more, and which one.
//!
//! A new start ends one fault only: a write of the log's server failed, or it was started when its disk was full, and it stores nothing
//! since, although there is room again. The copies tell that fault from others that a new start does not end (no leader, a limit, another subject),
//! and one copy's own from the group's. What a start did not end, the next may not end either, so the pauses between starts grow.
//!
//! Times are those since this process began to look.

use std::time::Duration;

/// For so long the server must have been stalled: a moment of pressure is over by then.
const STALLED_MIN: Duration = Duration::from_secs(5);
/// Between two starts: time enough to read a large store again.
const PAUSE: Duration = Duration::from_secs(60);
/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// Only when the log took entries for so long did a start end it. It could not be asked for a moment, or somebody asked too early.
const ENDED_AFTER: Duration = PAUSE;
/// With less room than this a new start would not help.
const ROOM_MIN_BYTES: u64 = 16 << 20;

/// What the group says of its log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Word {
    /// Nothing: it did not answer.
    #[default]
    Unknown,
    /// That it takes entries.
    Takes,
    /// That it takes none, for a reason that a new start does not end.
    Refuses,
    /// That its server stores nothing; a server says it of itself.
    Stalled,
}

/// What was heard and done so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revival {
    word: Word,
    stalled_since: Option<Duration>,
    takes_since: Option<Duration>,
    started_at: Option<Duration>,
    /// Starts since it last took entries for long.
    starts: u32,
}

impl Revival {
    /// This is what the group says at `now`.
    pub fn hear(&mut self, word: Word, now: Duration) {
        self.word = word;
        match word {
            Word::Unknown => {}
            Word::Stalled => {
                self.stalled_since.get_or_insert(now);
                self.takes_since = None;
            }
            Word::Refuses => (self.stalled_since, self.takes_since) = (None, None),
            Word::Takes => {
                self.stalled_since = None;
                let takes_since = *self.takes_since.get_or_insert(now);
                if now.saturating_sub(takes_since) >= ENDED_AFTER {
                    self.starts = 0;
                }
            }
        }
    }

    /// Whether its server is to be started again at `now`, with so much room on its disk.
    #[must_use]
    pub fn is_due(&self, now: Duration, room_bytes: u64) -> bool {
        let long_enough = self.stalled_since.is_some_and(|since| now.saturating_sub(since) >= STALLED_MIN);
        let rested = self.started_at.is_none_or(|at| now.saturating_sub(at) >= self.pause());
        self.word == Word::Stalled && long_enough && rested && room_bytes >= ROOM_MIN_BYTES
    }

    /// It was started again at `now`.
    pub fn started(&mut self, now: Duration) {
        self.started_at = Some(now);
        self.starts = self.starts.saturating_add(1);
    }

    fn pause(&self) -> Duration {
        PAUSE.saturating_mul(1 << self.starts.saturating_sub(1).min(16)).min(PAUSE_MAX)
    }
}

/// Which of these servers is to be started again: the one that leads the log. Where nobody leads, only a server that is alone is
/// certain to be the one; among several there is none now, and they elect one without us.
#[must_use]
pub fn server<'a>(servers: &[&'a str], leader: Option<&str>) -> Option<&'a str> {
    match (leader, servers) {
        (Some(leader), _) => servers.iter().find(|server| **server == leader).copied(),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u64 = ROOM_MIN_BYTES;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Says the word once a second from `from` to `to`, and starts the server whenever that is due; tells when.
    fn starts(revival: &mut Revival, word: Word, from: u64, to: u64, room_bytes: u64) -> Vec<u64> {
        let mut starts = Vec::new();
        for second in from..to {
            revival.hear(word, seconds(second));
            if revival.is_due(seconds(second), room_bytes) {
                revival.started(seconds(second));
                starts.push(second);
            }
        }
        starts
    }

    #[test]
    fn a_stalled_server_with_room_on_its_disk_is_started_again_and_less_and_less_often_while_that_ends_nothing() {
        let mut revival = Revival::default();
        assert_eq!(starts(&mut revival, Word::Stalled, 0, 1_000, ROOM), [5, 65, 185, 425, 905]);
        let last = starts(&mut revival, Word::Stalled, 1_000, 40_000, ROOM);
        assert!(last.windows(2).all(|pair| pair[1] - pair[0] <= PAUSE_MAX.as_secs()), "{last:?}");
    }

    #[test]
    fn nothing_else_is_a_reason() {
        for word in [Word::Unknown, Word::Takes, Word::Refuses] {
            assert_eq!(starts(&mut Revival::default(), word, 0, 1_000, u64::MAX), [0; 0], "{word:?}");
        }
        assert_eq!(starts(&mut Revival::default(), Word::Stalled, 0, 1_000, ROOM - 1), [0; 0], "the disk is full");
        assert_eq!(starts(&mut Revival::default(), Word::Stalled, 0, 5, ROOM), [0; 0], "it may pass");
    }

    #[test]
    fn a_word_that_is_old_starts_nothing_and_one_in_between_begins_anew() {
        let mut revival = Revival::default();
        assert_eq!(starts(&mut revival, Word::Stalled, 0, 4, ROOM), [0; 0]);
        assert_eq!(starts(&mut revival, Word::Unknown, 4, 60, ROOM), [0; 0]);
        assert_eq!(starts(&mut revival, Word::Stalled, 60, 61, ROOM), [60], "nobody said that it was over");
        let mut revival = Revival::default();
        for (second, word) in [(0, Word::Stalled), (4, Word::Refuses), (5, Word::Stalled), (9, Word::Takes)] {
            assert_eq!(starts(&mut revival, word, second, second + 1, ROOM), [0; 0]);
        }
        assert_eq!(starts(&mut revival, Word::Stalled, 10, 16, ROOM), [15]);
    }

    #[test]
    fn pauses_are_short_again_only_after_the_log_took_entries_for_long() {
        let mut revival = Revival::default();
        assert_eq!(starts(&mut revival, Word::Stalled, 0, 70, ROOM), [5, 65]);
        assert_eq!(starts(&mut revival, Word::Takes, 70, 80, ROOM), [0; 0]);
        assert_eq!(starts(&mut revival, Word::Stalled, 80, 186, ROOM), [185], "a moment is no end");
        assert_eq!(starts(&mut revival, Word::Takes, 186, 247, ROOM), [0; 0]);
        assert_eq!(starts(&mut revival, Word::Stalled, 247, 320, ROOM), [252, 312]);
    }

    #[test]
    fn the_leader_is_started_again_or_a_server_that_is_alone() {
        let all = ["nats-1", "nats-2", "nats-3"];
        assert_eq!(server(&all, Some("nats-2")), Some("nats-2"));
        assert_eq!(server(&all, Some("another")), None);
        assert_eq!(server(&all, None), None, "they elect one");
        assert_eq!(server(&all[..1], None), Some("nats-1"));
        assert_eq!(server(&[], None), None);
    }
}
