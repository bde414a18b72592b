//! When `up` may say that the group is ready, and when it has to give up.
//!
//! A copy is no vote: the log decides, and one copy that serves is a group that serves. So nobody waits for a copy of which it is
//! known that it does not come, and nothing is stopped on its account. One that is on its way is waited for, within a bound.

/// How one copy is while the group starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyState {
    /// It takes requests.
    Serves,
    /// It reads what it has missed: that it comes is certain, and when is not.
    CatchesUp,
    /// It has started, and says nothing of itself yet.
    Starts,
    /// It died again and again, was set aside, or is stopped by wish.
    Out,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// The group is as ready as it is going to be.
    Ready,
    /// Look again in a moment.
    Wait,
    /// No copy serves, and none is going to.
    Hopeless,
}

/// Judges a start. `has_primary`: somebody takes updates; `patience_over`: it has been waited for as long as anybody should.
#[must_use]
pub fn outlook(copies: &[CopyState], has_primary: bool, patience_over: bool) -> Outlook {
    let any = |wanted| copies.contains(&wanted);
    let comes = any(CopyState::CatchesUp) || any(CopyState::Starts);
    if any(CopyState::Serves) {
        let complete = !comes && (has_primary || !any(CopyState::Out));
        return if complete || patience_over { Outlook::Ready } else { Outlook::Wait };
    }
    match comes {
        true if !patience_over || any(CopyState::CatchesUp) => Outlook::Wait,
        _ => Outlook::Hopeless,
    }
}

#[cfg(test)]
mod tests {
    use super::{CopyState, Outlook, outlook};

    #[test]
    fn one_that_serves_is_enough_once_the_others_are_known_not_to_come() {
        use CopyState::{CatchesUp, Out, Serves, Starts};
        let cases = [
            (&[Serves, Serves, Serves][..], Outlook::Ready, Outlook::Ready),
            (&[Serves, Out, Serves], Outlook::Ready, Outlook::Ready),
            (&[Serves, Out, Out], Outlook::Ready, Outlook::Ready),
            (&[Serves, Starts, Out], Outlook::Wait, Outlook::Ready),
            (&[Serves, CatchesUp], Outlook::Wait, Outlook::Ready),
            (&[Out, Starts], Outlook::Wait, Outlook::Hopeless),
            (&[Out, CatchesUp], Outlook::Wait, Outlook::Wait),
            (&[Out, Out, Out], Outlook::Hopeless, Outlook::Hopeless),
            (&[], Outlook::Hopeless, Outlook::Hopeless),
        ];
        for (copies, now, later) in cases {
            assert_eq!((outlook(copies, true, false), outlook(copies, true, true)), (now, later), "{copies:?}");
        }
    }

    #[test]
    fn while_a_copy_is_out_the_ready_line_waits_for_somebody_who_takes_updates() {
        let copies = [CopyState::Serves, CopyState::Out];
        assert_eq!(outlook(&copies, false, false), Outlook::Wait);
        assert_eq!(outlook(&copies, true, false), Outlook::Ready);
        assert_eq!(outlook(&copies, false, true), Outlook::Ready, "queries are answered all the same");
    }
}
