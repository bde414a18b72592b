//! NATS headers that travel beside a request, so that the router can add what it knows without touching the body.

/// The id of the request. Wins over nothing: it is set from the body's `id`, or made by the router when there is none.
pub const ID: &str = "Holdfast-Id";

/// How often this request was sent to a CSP, counted from 1.
pub const ATTEMPT: &str = "Holdfast-Attempt";

/// When the answer stops mattering, in milliseconds since 1970.
pub const DEADLINE: &str = "Holdfast-Deadline";

/// [`DISPOSITION_NORMAL`], [`DISPOSITION_RECOVERY`], [`DISPOSITION_OUTCOME`] or [`DISPOSITION_REFUSE`].
pub const DISPOSITION: &str = "Holdfast-Disposition";

/// The request is sent for the first time.
pub const DISPOSITION_NORMAL: &str = "normal";

/// The request was sent to another CSP before, which may have carried it out: look for its id first.
pub const DISPOSITION_RECOVERY: &str = "recovery";

/// Only the outcome that the id has already is asked for. Where it has none, nothing is done, and the request is given back as
/// `not_found`.
pub const DISPOSITION_OUTCOME: &str = "outcome";

/// Two CSPs ended while they worked on the request. It is not to be carried out any more: the outcome that its id has is told, or
/// it is refused under its id for good, as `request_kills`.
pub const DISPOSITION_REFUSE: &str = "refuse";

/// Where the CSP notes that it is done with the request: `<instance>:<number>` of the execution service that forwarded it.
/// A CSP that cannot take such a request gives it back there, instead of refusing it.
pub const ROUTE: &str = "Holdfast-Route";

/// Names a message of an open transaction: `<instance>:<number>`, the same in every attempt at it, with numbers that grow in the
/// order in which the instance took them. By it a CSP knows a repetition from another message.
pub const MESSAGE: &str = "Holdfast-Message";
