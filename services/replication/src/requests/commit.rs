//! The commit of a subscriber, handed to this CSP because it is the primary.

use std::sync::Arc;

use super::answer::Asked;
use crate::member::Member;

/// Commits it and answers.
pub async fn commit(member: Arc<Member>, asked: Asked) {
    let answer = member.forward.serve(asked.payload.clone()).await;
    asked.answer(&member, answer).await;
}
