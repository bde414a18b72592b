//! What the rules want done. Whoever calls them does it, in the order in which it is listed.

use super::roster::CspIndex;
use super::route::NoRoute;
use super::update_window::Moment;
use holdfast_schemas::ErrorCode;
use std::sync::Arc;

/// One thing to be done, about requests that carry a `C`.
#[derive(Debug)]
pub enum Effect<C> {
    /// Send the request to a CSP.
    Send(Sending<C>),
    /// Tell the client that nobody answers its request, and why.
    End {
        /// The request.
        cargo: Arc<C>,
        /// Why.
        ending: Ending,
    },
    /// Ask the CSP how it is, from an inbox of our own.
    Probe {
        /// The CSP.
        csp: CspIndex,
        /// To be named with the outcome.
        question: u64,
    },
    /// The CSP is gone; its requests are sent elsewhere by the effects that follow, or wait.
    Vanished {
        /// The CSP.
        csp: CspIndex,
        /// How that was noticed.
        cause: Cause,
        /// How many requests it leaves behind.
        requests: usize,
    },
}

/// A request on its way to a CSP.
#[derive(Debug)]
pub struct Sending<C> {
    /// The request.
    pub cargo: Arc<C>,
    /// Where to.
    pub csp: CspIndex,
    /// Whether it goes to where updates go.
    pub is_update: bool,
    /// Under which number the CSP says that it is done with it; none if nobody waits for an answer.
    pub number: Option<u64>,
    /// How often it was sent, counted from 1.
    pub attempt: u32,
    /// Whether a CSP before may have carried it out.
    pub is_recovery: bool,
    /// Whether it is sent for the outcome that its id has already, and is not to be carried out.
    pub asks: bool,
    /// Whether it is sent to be refused under its id for good, or to be told its outcome, and is not to be carried out.
    pub refuses: bool,
    /// When that was decided, by the clock that only grows.
    pub at_ms: u64,
    /// How long its answer matters from then on.
    pub left_ms: u64,
}

/// How it was noticed that a CSP is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// A question to it found nobody.
    #[error("a status request found no responders")]
    NoResponders,
    /// Its connection to NATS was lost for a moment, or our own.
    #[error("a connection to nats was lost, and messages with it")]
    Reconnected,
    /// Another process bears its name.
    #[error("its heartbeats name another incarnation")]
    Replaced,
    /// Supervision says so, because it is silent.
    #[error("supervision judged it to be unavailable")]
    Judged,
    /// Supervision says so, because nobody listens there.
    #[error("supervision judged it to be unavailable, since nobody listens there")]
    Deserted,
    /// It says nothing any more.
    #[error("its heartbeats are missing")]
    Silent,
    /// It says something again, after it was held for lost.
    #[error("it is heard again, and messages to it may be lost")]
    HeardAgain,
    /// Another CSP has been the primary for a while, and it did not give its updates back.
    #[error("another primary is named, and it gave no updates back")]
    Deposed,
}

/// Why a request ends here, and not with the answer of a CSP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    /// An update was with a CSP, and nobody said by the deadline what became of it.
    #[error(
        "no CSP said by the deadline whether the update took effect: send it again under the same id to get its outcome"
    )]
    OutcomeUnknown,
    /// A query was with a CSP, and nobody answered it by the deadline.
    #[error("no CSP answered the query by the deadline: send it again, or allow more time")]
    Unanswered,
    /// The CSP that it was sent to gave it back, because its time was over before the work began.
    #[error(
        "its deadline passed before a CSP began to work on it, and nothing was done: send it again, with more time"
    )]
    TimeOver,
    /// No CSP could take it for as long as it waited.
    #[error("{0}; send it again in a moment")]
    NoRoute(NoRoute),
    /// There are as many open requests as there may be.
    #[error("too many requests are open already: send it again, more slowly")]
    Full {
        /// When it is worth the while to send it again.
        retry_after_ms: u64,
    },
    /// So many requests are ahead that it could not be answered by its deadline.
    #[error(
        "{ahead} requests are ahead of it, which is too many for its deadline: send it again later, or allow more time"
    )]
    TooLate {
        /// The requests ahead of it.
        ahead: u32,
        /// When it is worth the while to send it again.
        retry_after_ms: u64,
    },
    /// The query names a pool that the group does not have.
    #[error("there is no pool of the name that the query gives")]
    UnknownPool,
    /// The token names a CSP that the group does not have. What would be settled under its id could be another one's.
    #[error(
        "the token names a CSP that the group does not have, so it is not known what became of the transaction: send the token \
         that `begin` answered with"
    )]
    UnknownHolder,
    /// It would begin a transaction, and no update window is open.
    #[error(
        "updates are taken in the group's update windows only, the next of which opens at {opens}: send it again then"
    )]
    OutsideWindow {
        /// When the next window opens.
        opens: Moment,
        /// How long that is from now.
        retry_after_ms: u64,
    },
    /// Two CSPs were lost while they worked on it.
    #[error(
        "two CSPs were lost while they worked on it, so it is given to no other one: change it before you send it again"
    )]
    Kills,
    /// The group was removed while it waited.
    #[error("the group was removed")]
    GroupRemoved,
}

impl Ending {
    /// The stable code.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::OutcomeUnknown => ErrorCode::OutcomeUnknown,
            Self::Unanswered | Self::TimeOver => ErrorCode::DeadlineExceeded,
            Self::NoRoute(NoRoute::AllBehind) => ErrorCode::PositionNotReached,
            Self::NoRoute(NoRoute::OutsideWindow) => ErrorCode::OutsideUpdateWindow,
            Self::NoRoute(NoRoute::AllFull) | Self::Full { .. } | Self::TooLate { .. } => ErrorCode::Overloaded,
            Self::NoRoute(NoRoute::LogRefuses { code, .. }) => code,
            Self::NoRoute(_) => ErrorCode::Unavailable,
            Self::UnknownPool | Self::UnknownHolder => ErrorCode::NotFound,
            Self::OutsideWindow { .. } => ErrorCode::OutsideUpdateWindow,
            Self::Kills => ErrorCode::RequestKills,
            Self::GroupRemoved => ErrorCode::UnknownGroup,
        }
    }

    /// When it is worth the while to send the request again, where that can be said.
    pub fn retry_after_ms(self) -> Option<u64> {
        match self {
            Self::Full { retry_after_ms }
            | Self::TooLate { retry_after_ms, .. }
            | Self::OutsideWindow { retry_after_ms, .. } => Some(retry_after_ms),
            Self::OutcomeUnknown
            | Self::Unanswered
            | Self::TimeOver
            | Self::NoRoute(_)
            | Self::UnknownPool
            | Self::UnknownHolder
            | Self::Kills
            | Self::GroupRemoved => None,
        }
    }
}
