//! Whether we ourselves can see. What we do not see while we are blind is never counted as a CSP's silence.
//!
//! A night watchman who now and then says a word to himself: as long as he hears it, the silence of others is theirs. Three
//! things blind us: no connection (or a new one, behind which everybody returns in some order), a gap in our own ticks (the
//! process was paused), and our own opinions not coming back to us (the connection is dead, and nobody has noticed yet).

/// Our own eyesight.
#[derive(Debug)]
pub struct Sight {
    blind_after_ms: u64,
    ticked_at_ms: u64,
    echoed_at_ms: u64,
    connection: Option<u64>,
}

impl Sight {
    /// Ticks, and echoes, farther apart than `blind_after_ms` are blindness.
    pub fn new(blind_after_ms: u64, now_ms: u64) -> Self {
        Self { blind_after_ms, ticked_at_ms: now_ms, echoed_at_ms: now_ms, connection: None }
    }

    /// From now on, ticks and echoes farther apart than this are blindness.
    pub fn set_blind_after(&mut self, blind_after_ms: u64) {
        self.blind_after_ms = blind_after_ms;
    }

    /// We heard ourselves.
    pub fn echo(&mut self, now_ms: u64) {
        self.echoed_at_ms = now_ms;
    }

    /// Time passes; `connection` is the number of the connection that we have. Whether we saw since the tick before.
    pub fn tick(&mut self, connection: Option<u64>, now_ms: u64) -> bool {
        let gap_ms = now_ms.saturating_sub(self.ticked_at_ms);
        let same = connection.is_some() && connection == self.connection;
        self.ticked_at_ms = now_ms;
        self.connection = connection;
        if !same || gap_ms > self.blind_after_ms {
            // What was said before is lost, or waits in a buffer: the next word has its full time.
            self.echoed_at_ms = now_ms;
            return false;
        }
        now_ms.saturating_sub(self.echoed_at_ms) <= self.blind_after_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seeing() -> Sight {
        let mut sight = Sight::new(250, 0);
        sight.tick(Some(1), 0);
        sight
    }

    #[test]
    fn a_lost_or_new_connection_blinds() {
        let mut sight = seeing();
        assert!(sight.tick(Some(1), 10));
        assert!(!sight.tick(None, 20));
        assert!(!sight.tick(Some(2), 30), "everybody returns in some order");
        assert!(sight.tick(Some(2), 40));
        assert!(!sight.tick(Some(3), 50), "it was lost and found between two ticks");
    }

    #[test]
    fn a_pause_blinds_until_the_next_tick() {
        let mut sight = seeing();
        assert!(!sight.tick(Some(1), 60_000));
        assert!(sight.tick(Some(1), 60_010));
    }

    #[test]
    fn one_that_does_not_hear_itself_is_blind_until_it_does() {
        let mut sight = seeing();
        assert!((10..=250).step_by(10).all(|now| sight.tick(Some(1), now)));
        assert!(!(260..1_000).step_by(10).any(|now| sight.tick(Some(1), now)));
        sight.echo(1_000);
        assert!(sight.tick(Some(1), 1_000));
    }
}
