//! One id, one outcome, and a failure is an outcome too.
//!
//! A request may be under way on more than one CSP: one hung or lost its connection, the request was sent to another, and the
//! first went on. So what one attempt failed with must not be told while the other can still commit. It is put into the log
//! first, as an empty transaction under the request's id: either that finds what took effect, which is told in its place, or it
//! is the outcome for good, and whatever comes behind it is a repetition.

use std::sync::Arc;

use bytes::Bytes;
use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::{ErrorBody, ErrorReply};
use holdfast_storage::request::{Request, Terms};
use holdfast_storage::{CommitFailure, CommitLog as _, Committed, WriteSet, reserved};
use tokio::time::Instant;

use crate::committer::{submit, submit_in};
use crate::entry::outcome;
use crate::member::Member;
use crate::model::{Place, Position};
use crate::store::KeptIds;

/// What is kept with an id: a list of results, or an error, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kept {
    /// It took effect, with these results; an object in their place says that they were left out (`results`).
    Done(Vec<u8>),
    /// Nothing of it took effect, or ever will.
    Refused(Box<ErrorBody>),
}

impl Kept {
    fn encode(&self) -> Bytes {
        match self {
            Self::Done(results) => results.clone().into(),
            // A struct of numbers, texts and a JSON value always has a JSON form.
            Self::Refused(error) => serde_json::to_vec(error).unwrap_or_default().into(),
        }
    }

    fn decode(kept: Vec<u8>) -> Self {
        match serde_json::from_slice(&kept) {
            // Results are a list, and what says that they were left out has no code.
            Ok(error) if kept.starts_with(b"{") => Self::Refused(Box::new(error)),
            _ if kept.is_empty() => Self::Done(b"[]".to_vec()),
            _ => Self::Done(kept),
        }
    }
}

/// The outcome of an id.
#[derive(Debug)]
pub(super) struct Settled {
    /// Where it stands in the log.
    pub place: Place,
    /// Whether this call put it there.
    pub is_first: bool,
    /// What was asked for under the id; none where a version of Holdfast kept it that did not note that.
    pub fingerprint: Option<u64>,
    /// What it is.
    pub kept: Kept,
}

impl Settled {
    /// Whether it is the outcome of this, as far as that is known.
    pub fn is_of(&self, fingerprint: u64) -> bool {
        self.fingerprint.is_none_or(|known| known == fingerprint)
    }
}

/// What is told under an id whose outcome is that of another request.
pub(super) fn id_reused(id: &str) -> ErrorReply {
    let message = "this id was used for another request, and nothing was done for this one: choose another one";
    ErrorReply::new(Some(id.to_owned()), ErrorCode::IdReused, message)
}

/// A request, by what is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named<'a> {
    /// Its id.
    pub id: &'a str,
    /// What it asks for.
    pub fingerprint: u64,
    /// Where the copy was when it came.
    pub since: Position,
}

impl Named<'_> {
    /// The terms of a transaction under this name.
    pub fn terms(self) -> Terms {
        Terms {
            id: Some(self.id.to_owned()),
            fingerprint: Some(self.fingerprint),
            since: Some(self.since),
            ..Terms::default()
        }
    }
}

/// As whom a CSP settles an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    /// As one that may write now.
    Writer,
    /// As the primary of this epoch alone: what was seen as the primary of another one may be old.
    PrimaryOf(u64),
    /// As anybody, through the primary if need be: it is right wherever it was seen.
    Anybody,
}

/// An id was not settled by this call.
#[derive(Debug, Clone)]
pub(super) enum Unsettled {
    /// Another CSP is the primary, or another epoch has begun.
    NotPrimary,
    /// The log is not written to. Nothing of this call was sent.
    LogRefused(CommitFailure),
    /// The log did not say by the deadline. What was sent may settle it later.
    Unknown,
}

/// The outcome of an id, if it has one as far as this copy knows.
pub(super) async fn first_outcome(member: &Member, id: &str) -> Option<Settled> {
    let place = member.shared.find_id(id)?;
    let kept = kept_at(member, place).await?;
    let (fingerprint, results) = outcome::split(&kept);
    Some(Settled { place, is_first: false, fingerprint, kept: Kept::decode(results.to_vec()) })
}

/// What is kept with the id whose transaction has this place (`entry::outcome`).
pub(super) async fn kept_at(member: &Member, place: Place) -> Option<Vec<u8>> {
    // The id is known a moment before the inner commit that keeps its results.
    if !member.shared.view.reached(place.position, Instant::now() + std::time::Duration::from_secs(5)).await {
        return None;
    }
    let snapshot = member.copy.snapshot().await.ok()?;
    let kept = snapshot.get(&reserved::at(reserved::IDS, place.position)).await.ok()??;
    snapshot.close().await;
    KeptIds::results_at(&kept, place)
}

/// Gives an id, under which this was asked for, this outcome, unless it has one.
///
/// # Errors
/// See [`Unsettled`].
pub(super) async fn settle(
    member: &Arc<Member>,
    named: Named<'_>,
    kept: Kept,
    as_whom: As,
    deadline: Instant,
) -> Result<Settled, Unsettled> {
    loop {
        let is_handed_on = as_whom == As::Anybody;
        let terms = Terms { is_handed_on, ..named.terms() };
        let write_set = empty(member, terms, kept.encode());
        let gateway = Arc::clone(&member.gateway);
        let submitted = async {
            match as_whom {
                As::PrimaryOf(epoch) => submit_in(gateway, write_set, epoch).await,
                As::Writer => submit(gateway, write_set).await,
                As::Anybody => member.committer().commit(write_set).await,
            }
        };
        match tokio::time::timeout_at(deadline, submitted).await {
            Ok(Ok(Committed { position, index })) => {
                let place = Place { position, index };
                return Ok(Settled { place, is_first: true, fingerprint: Some(named.fingerprint), kept });
            }
            Ok(Err(CommitFailure::Duplicate { .. })) => match first_outcome(member, named.id).await {
                Some(first) => return Ok(first),
                None => return Err(Unsettled::Unknown),
            },
            // Its snapshot waited too long; an empty transaction conflicts with nothing.
            Ok(Err(CommitFailure::Conflict { .. } | CommitFailure::TooOld)) => {}
            Ok(Err(CommitFailure::NotPrimary)) => return Err(Unsettled::NotPrimary),
            Ok(Err(refused @ CommitFailure::LogRefused { .. })) => return Err(Unsettled::LogRefused(refused)),
            Ok(Err(_)) | Err(_) => return Err(Unsettled::Unknown),
        }
    }
}

/// An empty transaction under the id.
fn empty(member: &Member, terms: Terms, kept: Bytes) -> WriteSet {
    let request = Request::on(terms);
    request.set_results(kept);
    WriteSet {
        snapshot: member.shared.view.position(),
        // It read nothing, which is certified as well as anything.
        certified_reads: true,
        request: Some(request),
        ..WriteSet::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again() {
        let refused = ErrorReply::new(None, ErrorCode::StatementFailed, "no").at_statement(3).settled();
        let dropped = b"{\"results_dropped\":17}".to_vec();
        assert_eq!(holdfast_datastore::dropped_bytes(&dropped), Some(17));
        let done = [b"[1,{}]".to_vec(), b"[]".to_vec(), dropped].map(Kept::Done);
        for kept in done.into_iter().chain([Kept::Refused(Box::new(refused.error))]) {
            assert_eq!(Kept::decode(kept.encode().to_vec()), kept);
        }
        assert_eq!(Kept::decode(Vec::new()), Kept::Done(b"[]".to_vec()), "nothing was kept");
    }
}
