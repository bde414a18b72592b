//! Does the log keep what a copy will ask it for? Told while the copies run: then nothing is lost yet.
//!
//! A copy that is started again reads the log from behind its horizon (`rebuild`), one that is made anew from position 1. A copy
//! that runs asks for neither, so it would not notice that somebody purged the stream, or set it up to drop what is old.

use std::fmt;

use super::known_log::Sight;
use super::position::Position;

/// What is not in the log any more, or will not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The first position that the stream holds.
    pub first: Position,
    /// The first position that this copy reads when it is started again.
    pub needed: Position,
    /// By what setting the stream drops entries, if it does.
    pub drops: Option<&'static str>,
}

impl Shortage {
    /// Looks for one; none if the stream holds everything, and will.
    #[must_use]
    pub fn find(sight: &Sight, needed: Position, drops: Option<&'static str>) -> Option<Self> {
        let found = Self { first: sight.first, needed, drops };
        (found.is_trimmed() || drops.is_some()).then_some(found)
    }

    /// Whether entries are missing at its beginning.
    fn is_trimmed(&self) -> bool {
        self.first > 1
    }

    /// Whether this copy could not be taken up again.
    #[must_use]
    pub fn forbids_restart(&self) -> bool {
        self.first > self.needed
    }

    /// What people have to be told once: a stream that drops entries begins at another position all the time.
    #[must_use]
    pub fn kind(&self) -> (bool, bool, Option<&'static str>) {
        (self.forbids_restart(), self.is_trimmed(), self.drops)
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, needed, drops } = self;
        if self.forbids_restart() {
            write!(
                to,
                "entries were removed from the log: it begins at position {first}, and this copy needs it from {needed} on when it \
                 is started again. Nothing is lost while the copies run, and updates are taken: do not restart a copy while this \
                 stands here, and export the database now (`holdfast export`). No copy can be made anew from this log"
            )?;
        } else if self.is_trimmed() {
            write!(
                to,
                "entries were removed from the log: it begins at position {first}. This copy can be started again with its folder, \
                 and no copy can be made anew from this log: keep the folders, and export the database (`holdfast export`)"
            )?;
        }
        if let Some(setting) = drops {
            let behind = if self.is_trimmed() { "; " } else { "" };
            write!(
                to,
                "{behind}the stream of the log drops entries that copies need ({setting}): take back what was changed in its \
                 configuration"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(first: Position, needed: Position, drops: Option<&'static str>) -> Option<Shortage> {
        Shortage::find(&Sight { created_us: 7, first, last: 90 }, needed, drops)
    }

    #[test]
    fn a_log_that_holds_everything_lacks_nothing() {
        // The stream of a group without an entry begins at 0.
        for first in [0, 1] {
            assert_eq!(found(first, 1, None), None);
            assert_eq!(found(first, 50, None), None);
        }
    }

    #[test]
    fn a_copy_is_not_to_be_restarted_exactly_while_it_would_ask_for_what_was_removed() {
        for (first, needed) in [(2, 1), (51, 50), (91, 50)] {
            let told = found(first, needed, None).expect("it is told");
            assert!(told.forbids_restart());
            let words = told.to_string();
            assert!(words.contains("do not restart") && words.contains("holdfast export"), "{words}");
            assert!(
                words.contains(&format!("position {first},")) && words.contains(&format!("from {needed} on")),
                "{words}"
            );
        }
        for (first, needed) in [(2, 2), (50, 50), (50, 91), (91, 91)] {
            let told = found(first, needed, None).expect("no copy can be made anew");
            assert!(!told.forbids_restart());
            let words = told.to_string();
            assert!(!words.contains("do not restart") && words.contains("made anew"), "{words}");
        }
    }

    #[test]
    fn a_setting_that_will_drop_entries_is_told_before_it_has() {
        let words = found(1, 1, Some("its entries expire")).expect("it is told").to_string();
        assert!(
            words.starts_with("the stream of the log drops entries") && words.contains("its entries expire"),
            "{words}"
        );
        let words = found(9, 3, Some("its entries expire")).expect("it is told").to_string();
        assert!(words.contains("do not restart") && words.contains("; the stream of the log drops"), "{words}");
    }

    #[test]
    fn it_is_news_when_it_calls_for_something_else_and_not_with_every_entry_that_goes() {
        let kind = |first, needed, drops| found(first, needed, drops).map(|told| told.kind());
        assert_eq!(kind(9, 3, None), kind(40, 20, None));
        assert_ne!(kind(9, 3, None), kind(9, 9, None), "it can be started again");
        assert_ne!(kind(9, 3, None), kind(9, 3, Some("its entries expire")));
        assert_ne!(kind(9, 9, None), None);
    }
}
