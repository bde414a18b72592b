//! Why a command failed, said in one sentence that ends with what to do next, and the exit code that goes with it.

use std::{io, path::PathBuf};

use holdfast_schemas::{ErrorCode, message::ErrorReply};
use thiserror::Error;

use crate::model::{batch::BatchError, lexer::LexError};

/// The stable exit codes; the manual lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Failed for a reason of this machine, or copies differ.
    Failed = 1,
    /// The command line was not understood.
    Usage = 2,
    /// The group refused, and would again.
    Refused = 3,
    /// Nobody could serve it now; nothing happened.
    Unavailable = 4,
    /// It may or may not have happened.
    Unknown = 5,
    /// Stopped by a second signal.
    Interrupted = 130,
}

/// What to do about a file that could not be used.
fn about_file(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room on its disk, then run it again",
        _ => "check the path and its permissions",
    }
}

/// The error of every command.
#[derive(Debug, Error)]
pub enum CliError {
    /// A file or folder could not be used.
    #[error("cannot {what} {path}: {source}; {}", about_file(source))]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },

    /// The machine is not as the command needs it. The sentence says what to change.
    #[error("{0}")]
    Machine(String),

    /// What was typed makes no sense. The sentence says what to type.
    #[error("{0}")]
    Usage(String),

    /// NATS, or whom the request was for, cannot be reached; nothing happened.
    #[error("{0}")]
    Unavailable(String),

    /// The request was sent and no answer came.
    #[error(
        "no answer within {waited_ms} ms, so whether it took effect is not known: run it again with --id {id}, it is carried out at most once"
    )]
    Unknown {
        /// How long it was waited for.
        waited_ms: u64,
        /// The identity under which it can be sent again.
        id: String,
    },

    /// The answer was an error.
    #[error("{} ({}); {}{}{}", body(.0), .0.error.code, next_step(.0), under_which_id(.0), detail(.0))]
    Refused(Box<ErrorReply>),

    /// Another system runs the group. The sentence names it, and says what to do.
    #[error("{0}")]
    Owned(String),

    /// A SurrealQL file cannot be cut into statements.
    #[error("{path}: {source}")]
    Lex {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: LexError,
    },

    /// The statements of a file cannot be sent as they stand.
    #[error("{path}: {source}")]
    Batch {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: BatchError,
    },

    /// One batch of an import failed; the ones before it are in.
    #[error("{path}, batch from line {line}: {source}")]
    Import {
        /// Which file.
        path: PathBuf,
        /// Where the batch begins.
        line: usize,
        /// Why it failed.
        source: Box<CliError>,
    },

    /// Copies hold different content.
    #[error("{0}")]
    Differ(String),

    /// A lock was lost while a command ran under it.
    #[error(
        "lock {name} was lost while the command ran ({why}), so the command was ended: see what it left undone and run it again, with a longer --lease if need be"
    )]
    LockLost {
        /// The lock.
        name: String,
        /// How it was noticed.
        why: String,
    },

    /// A second signal cut a clean stop short.
    #[error(
        "stopped at once, without waiting for the services: the next `holdfast up` on this folder recovers by itself"
    )]
    Interrupted,
}

impl CliError {
    /// Shorthand for [`CliError::File`], to be given to `map_err`.
    pub fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::File { .. } | Self::Machine(_) | Self::Differ(_) | Self::LockLost { .. } => Exit::Failed,
            Self::Usage(_) | Self::Lex { .. } | Self::Batch { .. } => Exit::Usage,
            Self::Unavailable(_) => Exit::Unavailable,
            Self::Unknown { .. } => Exit::Unknown,
            Self::Import { source, .. } => source.exit(),
            Self::Interrupted => Exit::Interrupted,
            Self::Refused(reply) if reply.error.code.outcome_is_unknown() => Exit::Unknown,
            Self::Refused(reply) if reply.error.retryable => Exit::Unavailable,
            Self::Refused(_) | Self::Owned(_) => Exit::Refused,
        }
    }

    /// The code that programs are told: that of the answer where there is one.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused(reply) => reply.error.code.as_str(),
            Self::Import { source, .. } => source.code(),
            Self::Owned(_) => ErrorCode::AlreadyExists.as_str(),
            _ => match self.exit() {
                Exit::Usage => "usage",
                Exit::Unavailable => "unavailable",
                Exit::Unknown => "outcome_unknown",
                _ => "failed",
            },
        }
    }
}

/// The group's own sentence, with the statement it is about.
fn body(reply: &ErrorReply) -> String {
    let first = reply.error.message.trim().lines().next().unwrap_or_default();
    let message = first.trim_end_matches('.');
    match reply.error.statement {
        Some(statement) => format!("statement {}: {message}", statement + 1),
        None => message.to_owned(),
    }
}

/// What stands below the first line, such as the piece of SurrealQL that was not understood.
fn detail(reply: &ErrorReply) -> String {
    reply.error.message.trim().lines().skip(1).fold(String::new(), |text, line| text + "\n" + line)
}

/// What the user can do about it.
fn next_step(reply: &ErrorReply) -> String {
    let id = reply.id.as_deref().map(|id| format!(" with --id {id}")).unwrap_or_default();
    match reply.error.code {
        ErrorCode::InvalidRequest => "correct the request and send it again".to_owned(),
        ErrorCode::RequestTooLarge => "split it, or use `holdfast import` for a file of many statements".to_owned(),
        ErrorCode::UnknownGroup => "see `holdfast up --group`, or choose one with --group".to_owned(),
        ErrorCode::InvalidSql => "correct the statement and send it again".to_owned(),
        ErrorCode::StatementFailed => "nothing was changed: correct the statement and send all of it again".to_owned(),
        ErrorCode::ReadOnly => "nothing was changed: send it with `holdfast update`".to_owned(),
        ErrorCode::TransactionStatement => "leave BEGIN and COMMIT out: an update is one transaction".to_owned(),
        ErrorCode::Conflict | ErrorCode::TransactionTooOld => "nothing was changed: send it again".to_owned(),
        ErrorCode::TransactionTooLarge => "nothing was changed: split it into smaller updates".to_owned(),
        ErrorCode::StatementTooLarge => "nothing was changed: let it build less at a time".to_owned(),
        ErrorCode::AnswerTooLarge => "ask for less at a time, with LIMIT and START".to_owned(),
        ErrorCode::TransactionAborted => "nothing was changed: begin the transaction anew".to_owned(),
        ErrorCode::AnswerNotKept => "go on with the transaction's next message, or abort it".to_owned(),
        ErrorCode::IdReused => "nothing was changed: send it under another id".to_owned(),
        ErrorCode::RequestKills => {
            "nothing was changed: find out what is wrong with it before you send it again".to_owned()
        }
        ErrorCode::LockHeld => {
            "ask for it again, or wait with a longer --deadline; `holdfast lock list` shows its holder".to_owned()
        }
        ErrorCode::LockLost => {
            "nothing was changed: acquire the lock anew, and look again at what it protects".to_owned()
        }
        ErrorCode::DeadlineExceeded => "send it again, with a longer --deadline if need be".to_owned(),
        ErrorCode::OutcomeUnknown => format!("send it again{id}: it is carried out at most once"),
        ErrorCode::PositionNotReached => "send it again, or with an older position".to_owned(),
        ErrorCode::Unavailable | ErrorCode::NotPrimary | ErrorCode::ShuttingDown => {
            "nothing was changed: send it again in a moment; `holdfast status` shows the copies".to_owned()
        }
        ErrorCode::Overloaded => "nothing was changed: send it again, more slowly".to_owned(),
        ErrorCode::OutsideUpdateWindow => {
            "nothing was changed: send it again at that time; `holdfast group list` shows the windows".to_owned()
        }
        ErrorCode::LogUnavailable => "reads still work: look after nats-server, then send it again".to_owned(),
        ErrorCode::LogLost | ErrorCode::LogMismatch => {
            "queries still work: put the log's stream back as it was, if it is the wrong one or has lost its end; if it is the \
             right one, has lost nothing, and `holdfast status` shows one copy set aside and the others in step with it, that copy \
             followed another log: stop it, move its folder away and start it again"
                .to_owned()
        }
        ErrorCode::Quarantined => "another copy answers: send it again; an operator rebuilds this one".to_owned(),
        ErrorCode::Unsupported => "choose another way, README names what works".to_owned(),
        ErrorCode::AlreadyExists => "choose another name, or leave it as it is".to_owned(),
        ErrorCode::NotFound => "check the name, `holdfast status` shows what there is".to_owned(),
        ErrorCode::Internal => format!("send it again{id}, and report this message"),
    }
}

/// Under an id that has its outcome, nothing but that would be told.
fn under_which_id(reply: &ErrorReply) -> &'static str {
    if reply.error.settled { ", under another id where you chose one" } else { "" }
}

#[cfg(test)]
mod tests {
    use std::io;

    use holdfast_schemas::{ErrorCode, message::ErrorReply};

    use super::{CliError, Exit};

    fn refused(code: ErrorCode) -> CliError {
        CliError::Refused(Box::new(ErrorReply::new(Some("a1".into()), code, "Something happened.")))
    }

    #[test]
    fn every_refusal_is_one_sentence_with_a_next_step() {
        for code in ErrorCode::ALL {
            let sentence = refused(code).to_string();
            assert!(sentence.starts_with(&format!("Something happened ({code}); ")), "{sentence}");
            assert!(!sentence.contains('\n') && sentence.len() > 50, "{sentence}");
        }
    }

    #[test]
    fn a_picture_of_the_statement_stands_below_the_sentence() {
        let reply = ErrorReply::new(None, ErrorCode::InvalidSql, "Parse error\n | SELEC 1\n | ^");
        let text = CliError::Refused(Box::new(reply)).to_string();
        assert!(text.starts_with("Parse error (invalid_sql); ") && text.ends_with("again\n | SELEC 1\n | ^"), "{text}");
    }

    #[test]
    fn a_full_disk_is_not_taken_for_a_wrong_path() {
        let about = |kind: io::ErrorKind| CliError::file("write", "out.surql")(kind.into()).to_string();
        assert!(about(io::ErrorKind::StorageFull).ends_with("make room on its disk, then run it again"));
        assert!(about(io::ErrorKind::PermissionDenied).ends_with("check the path and its permissions"));
    }

    #[test]
    fn exit_codes_tell_refused_later_and_unknown_apart() {
        assert_eq!(refused(ErrorCode::InvalidSql).exit(), Exit::Refused);
        assert_eq!(refused(ErrorCode::Conflict).exit(), Exit::Unavailable);
        assert_eq!(refused(ErrorCode::Unavailable).exit(), Exit::Unavailable);
        assert_eq!(refused(ErrorCode::OutcomeUnknown).exit(), Exit::Unknown);
    }

    #[test]
    fn programs_are_told_the_code_of_the_answer_also_when_an_import_failed() {
        let import = |source| CliError::Import { path: "a.surql".into(), line: 7, source: Box::new(source) };
        for code in [ErrorCode::StatementFailed, ErrorCode::IdReused, ErrorCode::Conflict] {
            assert_eq!(refused(code).code(), code.as_str());
            assert_eq!(import(refused(code)).code(), code.as_str());
        }
        assert_eq!(import(CliError::Unavailable("nobody".to_owned())).code(), "unavailable");
        assert_eq!(CliError::Owned("somebody".to_owned()).code(), "already_exists");
    }

    #[test]
    fn what_is_settled_is_sent_again_under_another_id() {
        let reply = ErrorReply::new(Some("a1".into()), ErrorCode::StatementFailed, "No").settled();
        let text = CliError::Refused(Box::new(reply)).to_string();
        assert!(text.ends_with("send all of it again, under another id where you chose one"), "{text}");
    }

    #[test]
    fn an_unknown_outcome_names_the_id_to_repeat() {
        assert!(refused(ErrorCode::OutcomeUnknown).to_string().contains("--id a1"));
    }
}
