//! `group define`: judge, begin the log, write the bucket. Every step finds what an earlier attempt left.

use crate::definitions::{Definitions, DefinitionsError};
use crate::error::RequestError;
use crate::log;
use crate::model::definition::{self, Verdict};
use async_nats::jetstream;
use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::{GroupDefineReply, GroupDefineRequest};

/// How often definitions may change under our hands before we give up.
const ATTEMPTS_MAX: usize = 16;

/// Answers one request.
pub async fn define(
    jetstream: &jetstream::Context,
    definitions: &Definitions,
    request: GroupDefineRequest,
) -> Result<GroupDefineReply, RequestError> {
    let wanted = request.definition;
    for _ in 0..ATTEMPTS_MAX {
        let snapshot = definitions.read().await?;
        match definition::judge(&wanted, &snapshot.groups) {
            Verdict::Refuse(refusal) => return Err(RequestError::Refused(refusal)),
            Verdict::Present(present) => return Ok(GroupDefineReply { definition: *present, created: false, changed: false }),
            Verdict::Create => {}
        }
        log::begin(jetstream, &wanted).await?;
        match definitions.add(&snapshot, wanted.clone()).await {
            Ok(definition) => {
                tracing::info!(group = definition.name, csps = definition.csps.len(), "group defined");
                return Ok(GroupDefineReply { definition, created: true, changed: false });
            }
            Err(DefinitionsError::Changed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(RequestError::refused(ErrorCode::Overloaded, "definitions change all the time; try again in a moment"))
}
