//! `holdfast verify`: do all copies hold the same content?
//!
//! A mark goes into the log, and every copy takes a digest of everything that it holds when it comes to it. Copies that
//! differ at the same position are broken; nothing else may lead to different digests.

use std::time::Duration;

use futures::future::join_all;
use holdfast_schemas::{
    ErrorCode,
    message::{CspState, CspView, DigestReply, DigestRequest},
    subject,
};
use serde_json::{Value, json};

use crate::{
    arguments::VerifyOptions,
    client::Client,
    error::CliError,
    output::{
        self, Reader,
        table::{grouped, table},
    },
};

type Answer = (String, Result<DigestReply, CliError>);

/// Asks all copies and prints what they say.
///
/// # Errors
/// Copies differ, or one does not answer.
pub async fn run(options: &VerifyOptions, reader: Reader) -> Result<(), CliError> {
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let group = &options.target.group;
    let status = client.group_status(group).await?;
    let copies: Vec<&CspView> = status.csps.iter().filter(|csp| csp.state != CspState::Removed).collect();
    let ask = Ask { client: &client, group, patience: Duration::from_millis(options.timeout_ms) };
    let at = match options.at {
        Some(at) => at,
        None => ask.mark(&copies).await?,
    };
    let answers: Vec<Answer> = join_all(copies.iter().map(|csp| ask.digest(csp, Some(at))))
        .await
        .into_iter()
        .zip(&copies)
        .map(|(answer, csp)| (csp.csp.clone(), answer))
        .collect();
    let verdict = judge(&answers);
    match reader {
        Reader::Program => output::json(&document(&answers, verdict.is_ok()))?,
        Reader::Person => output::line(&human(&answers))?,
    }
    verdict.map(|sentence| {
        if reader == Reader::Person {
            output::notice(&sentence);
        }
    })
}

/// How long a copy is asked that did not answer when the group's status was asked for.
const SILENT: Duration = Duration::from_secs(5);

struct Ask<'a> {
    client: &'a Client,
    group: &'a str,
    patience: Duration,
}

impl Ask<'_> {
    async fn digest(&self, csp: &CspView, at: Option<u64>) -> Result<DigestReply, CliError> {
        let patience = if csp.last_heartbeat_ms_ago.is_none() { self.patience.min(SILENT) } else { self.patience };
        let to = subject::csp_digest(self.group, &csp.csp);
        match self.client.ask(to, &DigestRequest { at }, patience).await {
            Err(CliError::Unavailable(_)) if csp.last_heartbeat_ms_ago.is_none() => {
                Err(CliError::Unavailable("it does not answer, `holdfast status` shows it".to_owned()))
            }
            answer => answer,
        }
    }

    /// Has one copy put a mark into the log, at which all of them take a digest; returns where it stands.
    async fn mark(&self, copies: &[&CspView]) -> Result<u64, CliError> {
        let mut refusal = None;
        for csp in copies.iter().filter(|csp| csp.state == CspState::Available) {
            match self.digest(csp, None).await {
                Ok(reply) => return Ok(reply.position),
                Err(error) => refusal = Some(error),
            }
        }
        Err(refusal.unwrap_or_else(|| {
            CliError::Unavailable("no copy is available: look at `holdfast status` and verify again".to_owned())
        }))
    }
}

/// The verdict: alike, different, or not known because somebody did not answer at that position.
fn judge(answers: &[Answer]) -> Result<String, CliError> {
    let given: Vec<&DigestReply> = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok()).collect();
    let contradict =
        |a: &DigestReply, b: &DigestReply| a.position == b.position && (&a.digest, a.keys) != (&b.digest, b.keys);
    let differ = given.iter().any(|a| given.iter().any(|b| contradict(a, b)));
    if differ {
        return Err(CliError::Differ(
            "copies differ at the same position: stop the ones in the minority and keep their data for a report"
                .to_owned(),
        ));
    }
    if let Some((csp, Err(error))) = answers.iter().find(|(_, answer)| answer.is_err()) {
        let next = match set_aside(error) {
            Some(_) => "settle that and verify again, and remove no copy before: it may hold what no other one has",
            None => "start it and verify again",
        };
        return Err(CliError::Unavailable(format!("{csp} gave no digest ({}): {next}", why(error))));
    }
    let Some(first) = given.first() else {
        return Err(CliError::Unavailable("the group has no copies: define some and verify again".to_owned()));
    };
    if given.iter().any(|other| other.position != first.position) {
        return Err(CliError::Unavailable(
            "the copies answered for different positions: verify again, with --at if others keep writing".to_owned(),
        ));
    }
    Ok(format!("all {} copies are equal at position {}", given.len(), grouped(first.position)))
}

/// What a copy that is set aside says of itself. The general advice about such a copy is to rebuild it, which would be wrong for one
/// that has what the log has lost.
fn set_aside(error: &CliError) -> Option<&str> {
    match error {
        CliError::Refused(reply) if reply.error.code == ErrorCode::Quarantined => Some(&reply.error.message),
        _ => None,
    }
}

/// Why a copy gave no digest.
fn why(error: &CliError) -> String {
    set_aside(error).map_or_else(|| error.to_string(), ToOwned::to_owned)
}

fn human(answers: &[Answer]) -> String {
    let mut shown = table(&["csp", "position", "keys", "digest"]);
    for (csp, answer) in answers {
        match answer {
            Ok(reply) => {
                shown.add_row([csp.clone(), grouped(reply.position), grouped(reply.keys), reply.digest.clone()])
            }
            Err(error) => shown.add_row([csp.clone(), "-".to_owned(), "-".to_owned(), why(error)]),
        };
    }
    shown.to_string()
}

fn document(answers: &[Answer], equal: bool) -> Value {
    let copies: Vec<Value> = answers
        .iter()
        .map(|(csp, answer)| match answer {
            Ok(reply) => json!({"csp": csp, "position": reply.position, "keys": reply.keys, "digest": reply.digest}),
            Err(error) => json!({"csp": csp, "error": why(error)}),
        })
        .collect();
    json!({"equal": equal, "copies": copies})
}

#[cfg(test)]
mod tests {
    use holdfast_schemas::ErrorCode;
    use holdfast_schemas::message::{DigestReply, ErrorReply};

    use super::{Answer, document, judge};
    use crate::error::{CliError, Exit};

    fn said(csp: &str, position: u64, digest: &str) -> Answer {
        (csp.to_owned(), Ok(DigestReply { position, keys: 3, digest: digest.to_owned() }))
    }

    #[test]
    fn equal_copies_are_equal() {
        assert_eq!(judge(&[said("a", 7, "x"), said("b", 7, "x")]).unwrap(), "all 2 copies are equal at position 7");
    }

    #[test]
    fn different_copies_fail_even_if_a_third_is_silent() {
        let silent = ("c".to_owned(), Err(CliError::Unavailable("down".into())));
        let verdict = judge(&[said("a", 7, "x"), said("b", 7, "y"), silent]).unwrap_err();
        assert_eq!(verdict.exit(), Exit::Failed);
        let verdict = judge(&[said("a", 7, "x"), said("b", 8, "z"), said("c", 7, "y")]).unwrap_err();
        assert_eq!(verdict.exit(), Exit::Failed);
    }

    #[test]
    fn what_cannot_be_compared_is_not_called_equal() {
        let silent = ("c".to_owned(), Err(CliError::Unavailable("down".into())));
        assert_eq!(judge(&[said("a", 7, "x"), silent]).unwrap_err().exit(), Exit::Unavailable);
        assert_eq!(judge(&[said("a", 7, "x"), said("b", 8, "y")]).unwrap_err().exit(), Exit::Unavailable);
        assert!(judge(&[]).is_err());
    }

    #[test]
    fn a_copy_that_is_set_aside_gives_its_own_reason_and_is_not_to_be_rebuilt() {
        let message = "this copy is set aside and takes no digest (the log ends at position 3): compare the others";
        let reply = ErrorReply::new(None, ErrorCode::Quarantined, message);
        let answers = [said("a", 7, "x"), ("b".to_owned(), Err(CliError::Refused(Box::new(reply))))];
        let verdict = judge(&answers).unwrap_err().to_string();
        for told in [verdict.clone(), document(&answers, false).to_string()] {
            assert!(told.contains("the log ends at position 3"), "{told}");
            assert!(!told.contains("rebuilds") && !told.contains("start it"), "{told}");
        }
        assert!(verdict.contains("remove no copy"), "{verdict}");
    }
}
