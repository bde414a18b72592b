//! Why an administration request was not fulfilled, and which code says so on the wire.

use crate::definitions::DefinitionsError;
use crate::log::LogError;
use crate::model::definition::Refusal;
use holdfast_schemas::ErrorCode;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It asks for something that cannot be.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The definitions could not be read or written.
    #[error(transparent)]
    Definitions(#[from] DefinitionsError),
    /// The group's log could not be brought into being.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl RequestError {
    /// A refusal by code.
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Refused(Refusal { code, message: message.into() })
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Definitions(DefinitionsError::Unreadable { .. }) => ErrorCode::Internal,
            Self::Definitions(DefinitionsError::Unreachable(_)) => ErrorCode::Unavailable,
            Self::Definitions(DefinitionsError::Changed) => ErrorCode::Conflict,
            Self::Definitions(DefinitionsError::Unknown(_)) | Self::Log(LogError::Unknown(_)) => {
                ErrorCode::OutcomeUnknown
            }
            Self::Log(LogError::Stream(_)) => ErrorCode::LogUnavailable,
            Self::Log(LogError::Foreign { .. }) => ErrorCode::AlreadyExists,
        }
    }

    /// One sentence with all causes, for the reply.
    pub fn sentence(&self) -> String {
        holdfast_foundation::chain(self)
    }
}
