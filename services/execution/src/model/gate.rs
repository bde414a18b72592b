//! What a group's update windows mean for a request: may it pass, may it wait, or is it refused?
//!
//! A porter who goes by the clock on the wall. Only what begins a transaction and was never sent has to pass: whatever went to a
//! CSP before may have been carried out there, and is followed to its end at any hour.

use super::effect::Ending;
use super::update_window::{Moment, Schedule};
use holdfast_schemas::message::{OutsideWindow, UpdateWindows};

/// What the porter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// A window is open, or the group has none and takes updates always.
    Open,
    /// It may wait, for so long.
    Wait {
        /// Until the next window opens.
        wait_ms: u64,
    },
    /// It is refused.
    Refuse(Ending),
}

/// The gate of one group.
#[derive(Debug, Default)]
pub struct Gate {
    windows: Option<(Schedule, OutsideWindow)>,
    now_utc_ms: u64,
    was_closed: bool,
}

impl Gate {
    /// The group has these windows from now on.
    pub fn redefine(&mut self, windows: Option<&UpdateWindows>) {
        self.windows = windows.map(|windows| (Schedule::new(&windows.windows), windows.outside));
    }

    /// The clock on the wall says this.
    pub fn look_at_clock(&mut self, now_utc_ms: u64) {
        self.now_utc_ms = now_utc_ms;
    }

    /// Whether a window is open now.
    pub fn is_open(&self) -> bool {
        self.windows.as_ref().is_none_or(|(schedule, _)| schedule.is_open(self.now_utc_ms))
    }

    /// Whether it opened or closed since this was asked last.
    pub fn turned(&mut self) -> bool {
        let is_closed = !self.is_open();
        std::mem::replace(&mut self.was_closed, is_closed) != is_closed
    }

    /// What is said to a request that has so much time left.
    pub fn passage(&self, left_ms: u64) -> Passage {
        let Some((schedule, outside)) = &self.windows else {
            return Passage::Open;
        };
        // Without any window, which no definition has, there is nothing to wait for.
        let opens_at_ms = schedule.next_opening_ms(self.now_utc_ms).unwrap_or(u64::MAX);
        match opens_at_ms.saturating_sub(self.now_utc_ms) {
            0 => Passage::Open,
            wait_ms if *outside == OutsideWindow::Queue && wait_ms < left_ms => Passage::Wait { wait_ms },
            retry_after_ms => {
                Passage::Refuse(Ending::OutsideWindow { opens: Moment { utc_ms: opens_at_ms }, retry_after_ms })
            }
        }
    }
}
