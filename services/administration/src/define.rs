//! `group define`: judge, begin the log of a new group, write the bucket. Every step finds what an earlier attempt left.

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
        let verdict = definition::judge(&wanted, &snapshot.groups);
        let created = verdict == Verdict::Create;
        match verdict {
            Verdict::Refuse(refusal) => return Err(RequestError::Refused(refusal)),
            Verdict::Present(present) => {
                return Ok(GroupDefineReply { definition: *present, created: false, changed: false });
            }
            Verdict::Create => log::begin(jetstream, &wanted).await?,
            // The log of a group that is defined is never touched again.
            Verdict::Change => {}
        }
        match definitions.write(&snapshot, wanted.clone()).await {
            Ok(definition) => {
                tracing::info!(group = definition.name, csps = definition.csps.len(), created, "group defined");
                return Ok(GroupDefineReply { definition, created, changed: !created });
            }
            Err(DefinitionsError::Changed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(RequestError::refused(ErrorCode::Overloaded, "definitions change all the time; try again in a moment"))
}
