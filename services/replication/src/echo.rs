//! Whether what NATS carries reaches this process: its own heartbeats come back to it.
//!
//! A connection can be cut in one direction: this process is heard then, and hears nothing. It beats as if all were well, takes no
//! request and reads no log, and nobody else could tell until a request has waited in vain. So it says itself, in its heartbeats,
//! for how long they have not come back, and those are no sign of life to anybody (`Heartbeat::unheard_ms`).

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// So many heartbeats in a row must have been sent in vain: after a pause of this process one is, before it reads what came.
const SENT_MIN: u32 = 3;
/// And for so long: a busy server may take its time.
const UNHEARD_MIN: Duration = Duration::from_millis(250);

/// The heartbeats of this process that have not come back.
#[derive(Debug, Default)]
pub struct Echo {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    listens: bool,
    sent: u32,
    since: Option<Instant>,
}

impl Echo {
    /// From now on this process listens to heartbeats.
    pub fn listens(&self) {
        *self.state.lock() = State { listens: true, ..State::default() };
    }

    /// One is sent. Without a connection it is on no way yet.
    pub fn sent(&self, is_connected: bool, now: Instant) {
        let mut state = self.state.lock();
        if !state.listens || !is_connected {
            (state.sent, state.since) = (0, None);
            return;
        }
        state.sent = state.sent.saturating_add(1);
        state.since.get_or_insert(now);
    }

    /// One came back. True if that ends a time in which this process heard nothing.
    pub fn heard(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        let was_unheard = state.unheard_for(now).is_some();
        (state.sent, state.since) = (0, None);
        was_unheard
    }

    /// For how long none has come back, in milliseconds; none if that says nothing.
    pub fn unheard_ms(&self, now: Instant) -> Option<u64> {
        let unheard = self.state.lock().unheard_for(now)?;
        Some(u64::try_from(unheard.as_millis()).unwrap_or(u64::MAX))
    }
}

impl State {
    fn unheard_for(&self, now: Instant) -> Option<Duration> {
        let unheard = now.saturating_duration_since(self.since?);
        (self.sent >= SENT_MIN && unheard >= UNHEARD_MIN).then_some(unheard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    fn beats_in_vain(echo: &Echo, start: Instant, count: u32) -> Option<u64> {
        (0..count).for_each(|number| echo.sent(true, start + number * INTERVAL));
        echo.unheard_ms(start + count * INTERVAL)
    }

    #[test]
    fn heartbeats_that_do_not_come_back_are_told_until_one_does() {
        let (echo, start) = (Echo::default(), Instant::now());
        echo.listens();
        assert_eq!(beats_in_vain(&echo, start, 2), None, "one or two are soon missed");
        assert_eq!(beats_in_vain(&echo, start, 5), Some(500));
        assert!(echo.heard(start + 6 * INTERVAL), "this is news");
        assert_eq!(echo.unheard_ms(start + 6 * INTERVAL), None);
        assert!(!echo.heard(start + 7 * INTERVAL));
    }

    #[test]
    fn a_pause_is_no_silence() {
        let (echo, start) = (Echo::default(), Instant::now());
        echo.listens();
        echo.sent(true, start);
        let after = start + 100 * INTERVAL;
        echo.sent(true, after);
        assert_eq!(echo.unheard_ms(after), None, "what came meanwhile is read next");
    }

    #[test]
    fn without_a_connection_or_an_ear_nothing_can_come_back() {
        let (echo, start) = (Echo::default(), Instant::now());
        assert_eq!(beats_in_vain(&echo, start, 9), None, "it does not listen yet");
        echo.listens();
        (0..9).for_each(|number| echo.sent(false, start + number * INTERVAL));
        assert_eq!(echo.unheard_ms(start + 9 * INTERVAL), None);
    }

    #[test]
    fn short_intervals_leave_a_busy_server_its_time() {
        let (echo, start) = (Echo::default(), Instant::now());
        echo.listens();
        (0..9).for_each(|number| echo.sent(true, start + number * Duration::from_millis(10)));
        assert_eq!(echo.unheard_ms(start + Duration::from_millis(90)), None);
        assert_eq!(echo.unheard_ms(start + UNHEARD_MIN), Some(250));
    }
}
