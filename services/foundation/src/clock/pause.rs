//! Notices that a process stood still (stopped, frozen, starved), and until when what it takes from its inbox may have lain there for
//! as long.
//!
//! A tick that comes late shows the pause. What was sent meanwhile lies in buffers in front of this process, in the order in which
//! it was sent; so a mark that is sent over the same connection after the pause comes back behind all of it.

/// A tick that is later than this was held up by more than a busy machine.
const PAUSE_MS_MIN: u64 = 500;
/// How long what came before the mark may still be on its way inside the process.
const SETTLES_MS: u64 = 100;
/// A mark that did not come back by then is sent again: it may be lost with a connection.
const MARK_MS_MAX: u64 = 1_000;

/// What is known of the pauses of this process. Time is that of the machine's clock that nobody sets.
#[derive(Debug, Clone, Copy)]
pub struct PauseWatch {
    ticked_at_ms: u64,
    pause: Option<Pause>,
    marks: u64,
}

#[derive(Debug, Clone, Copy)]
struct Pause {
    length_ms: u64,
    marked_at_ms: u64,
    over_at_ms: Option<u64>,
}

/// What a watch has seen, in numbers that can be passed to others one by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standstill {
    /// The last tick.
    pub ticked_at_ms: u64,
    /// How long the pauses were that may still count; 0 if none does.
    pub length_ms: u64,
}

impl Standstill {
    /// For how long a message that is taken from the inbox now may have lain there because of pauses.
    #[must_use]
    pub fn lain_ms(self, now_ms: u64) -> u64 {
        // A pause that no tick has shown yet.
        let gap_ms = Some(now_ms.saturating_sub(self.ticked_at_ms)).filter(|gap_ms| *gap_ms >= PAUSE_MS_MIN);
        gap_ms.unwrap_or_default() + self.length_ms
    }
}

impl PauseWatch {
    /// A process that works.
    #[must_use]
    pub fn new(now_ms: u64) -> Self {
        Self { ticked_at_ms: now_ms, pause: None, marks: 0 }
    }

    /// A tick. The mark to be sent now, if one is.
    pub fn tick(&mut self, now_ms: u64) -> Option<u64> {
        let gap_ms = now_ms.saturating_sub(std::mem::replace(&mut self.ticked_at_ms, now_ms));
        if gap_ms >= PAUSE_MS_MIN {
            // What lay there before may still lie there.
            let length_ms = gap_ms + self.pause.map_or(0, |before| before.length_ms);
            self.pause = Some(Pause { length_ms, marked_at_ms: now_ms, over_at_ms: None });
            self.marks += 1;
            return Some(self.marks);
        }
        let pause = self.pause.as_mut()?;
        match pause.over_at_ms {
            Some(over_at_ms) if now_ms >= over_at_ms => self.pause = None,
            None if now_ms.saturating_sub(pause.marked_at_ms) >= MARK_MS_MAX => {
                pause.marked_at_ms = now_ms;
                self.marks += 1;
                return Some(self.marks);
            }
            _ => {}
        }
        None
    }

    /// A mark came back. One that was sent before the last pause says nothing.
    pub fn returned(&mut self, mark: u64, now_ms: u64) {
        if let Some(pause) = self.pause.as_mut().filter(|_| mark == self.marks) {
            pause.over_at_ms.get_or_insert(now_ms + SETTLES_MS);
        }
    }

    /// What it has seen.
    #[must_use]
    pub fn standstill(&self) -> Standstill {
        let length_ms = self.pause.map_or(0, |pause| pause.length_ms);
        Standstill { ticked_at_ms: self.ticked_at_ms, length_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(watch: &mut PauseWatch, from_ms: u64, until_ms: u64) -> Vec<u64> {
        (from_ms..until_ms).step_by(20).filter_map(|now_ms| watch.tick(now_ms)).collect()
    }

    fn lain_ms(watch: &PauseWatch, now_ms: u64) -> u64 {
        watch.standstill().lain_ms(now_ms)
    }

    #[test]
    fn a_process_that_works_holds_up_nothing() {
        let mut watch = PauseWatch::new(0);
        assert!(ticks(&mut watch, 0, 5_000).is_empty());
        assert_eq!((lain_ms(&watch, 5_000), lain_ms(&watch, 5_400)), (0, 0));
    }

    #[test]
    fn what_comes_after_a_pause_may_be_as_old_as_it_was_long_until_the_mark_is_back() {
        let mut watch = PauseWatch::new(0);
        ticks(&mut watch, 0, 1_000);
        assert_eq!(lain_ms(&watch, 9_980), 9_000, "before the first tick");
        assert_eq!(watch.tick(9_980), Some(1));
        assert_eq!(lain_ms(&watch, 9_990), 9_000);
        watch.returned(0, 9_990);
        assert!(ticks(&mut watch, 10_000, 10_100).is_empty());
        assert_eq!(lain_ms(&watch, 10_100), 9_000, "that was an older mark");
        watch.returned(1, 10_100);
        ticks(&mut watch, 10_100, 10_200);
        assert_eq!(lain_ms(&watch, 10_199), 9_000);
        ticks(&mut watch, 10_200, 10_240);
        assert_eq!(lain_ms(&watch, 10_240), 0);
    }

    #[test]
    fn a_mark_that_is_lost_is_sent_again_and_pauses_add_up() {
        let mut watch = PauseWatch::new(0);
        assert_eq!(watch.tick(1_000), Some(1));
        let before = watch.standstill().length_ms;
        assert_eq!(ticks(&mut watch, 1_020, 2_100), [2]);
        assert_eq!(watch.standstill().length_ms, before, "it is the same pause");
        assert_eq!(watch.tick(3_080), Some(3));
        assert_eq!(lain_ms(&watch, 3_080), 2_000);
        watch.returned(2, 3_090);
        ticks(&mut watch, 3_100, 3_400);
        assert_eq!(lain_ms(&watch, 3_400), 2_000);
        watch.returned(3, 3_400);
        ticks(&mut watch, 3_400, 3_600);
        assert_eq!(lain_ms(&watch, 3_600), 0);
    }
}
