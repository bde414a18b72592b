//! `holdfast lock`: takes a lock, gives it back, shows which are held.

use std::time::Duration;

use holdfast_schemas::{
    message::{
        HeldLock, LockAcquireReply, LockAcquireRequest, LockListReply, LockListRequest, LockReleaseReply,
        LockReleaseRequest,
    },
    subject,
};
use ulid::Ulid;

use super::once;
use crate::{
    arguments::lock::{AcquireOptions, Asking, LockListOptions, ReleaseOptions},
    client::{Client, SHORT},
    error::CliError,
    output::{self, Reader, table::table},
};

/// Takes a lock, or renews its lease, and prints the token.
///
/// # Errors
/// Somebody else holds it until the deadline, or nobody answers.
pub async fn acquire(options: &AcquireOptions, reader: Reader) -> Result<(), CliError> {
    let mut request = request(&options.name, &options.asking);
    request.id = options.id.clone();
    request.token = options.token;
    request.deadline_ms = options.deadline;
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let reply = ask(&client, &options.target.group, request).await?;
    if reader == Reader::Program {
        return output::message(&reply);
    }
    output::line(&reply.token.to_string())?;
    output::notice(&format!(
        "{name} is held for {}: `holdfast lock acquire {name} --token {token}` renews, `holdfast lock release {name} {token}` ends it",
        seconds(reply.lease_ms),
        name = reply.name,
        token = reply.token,
    ));
    Ok(())
}

/// What the options ask for, without a token, a deadline and an id.
pub fn request(name: &str, asking: &Asking) -> LockAcquireRequest {
    let mut request = LockAcquireRequest::new(name);
    request.lease_ms = asking.lease;
    request.wait = !asking.no_wait;
    request.holder = Some(asking.holder.clone().unwrap_or_else(this_user));
    request
}

/// Sends an acquisition under an id of its own.
///
/// # Errors
/// See [`once::send`].
pub async fn ask(client: &Client, group: &str, mut request: LockAcquireRequest) -> Result<LockAcquireReply, CliError> {
    let id = request.id.get_or_insert_with(|| Ulid::generate().to_string()).clone();
    once::send(client, subject::lock(group, "acquire"), &request, &id, request.deadline_ms).await
}

/// Gives a lock back. That it is not held any more is no error.
///
/// # Errors
/// Nobody answers.
pub async fn release(options: &ReleaseOptions, reader: Reader) -> Result<(), CliError> {
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let reply = give_back(&client, &options.target.group, &options.name, options.token, options.id.clone()).await?;
    match reader {
        Reader::Program => output::message(&reply),
        Reader::Person if reply.released => output::line(&format!("{} is released", reply.name)),
        Reader::Person => output::line(&format!("{} was not held under this token any more", reply.name)),
    }
}

/// Gives a lock back, under this id, or one of its own.
///
/// # Errors
/// See [`once::send`].
pub async fn give_back(
    client: &Client,
    group: &str,
    name: &str,
    token: u64,
    id: Option<String>,
) -> Result<LockReleaseReply, CliError> {
    let id = id.unwrap_or_else(|| Ulid::generate().to_string());
    let request = LockReleaseRequest { id: Some(id.clone()), name: name.to_owned(), token, deadline_ms: None };
    once::send(client, subject::lock(group, "release"), &request, &id, None).await
}

/// Lists the locks that are held.
///
/// # Errors
/// Nobody answers.
pub async fn list(options: &LockListOptions, reader: Reader) -> Result<(), CliError> {
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let subject = subject::lock(&options.target.group, "list");
    let reply: LockListReply = client.ask(subject, &LockListRequest::default(), SHORT).await?;
    match reader {
        Reader::Program => output::message(&reply),
        Reader::Person => output::line(&human(&reply.locks)),
    }
}

fn human(locks: &[HeldLock]) -> String {
    if locks.is_empty() {
        return "no lock is held".to_owned();
    }
    let mut shown = table(&["lock", "token", "held by", "for another"]);
    for lock in locks {
        shown.add_row([
            lock.name.clone(),
            lock.token.to_string(),
            lock.holder.clone().unwrap_or_else(|| "-".to_owned()),
            seconds(lock.remaining_ms),
        ]);
    }
    shown.to_string()
}

fn seconds(ms: u64) -> String {
    format!("{:.1} s", Duration::from_millis(ms).as_secs_f64())
}

/// `user@host`, as far as this machine says who it is.
fn this_user() -> String {
    let host = hostname::get().map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned());
    match std::env::var("USER").or_else(|_| std::env::var("LOGNAME")) {
        Ok(user) => format!("{user}@{host}"),
        Err(_) => host,
    }
}

#[cfg(test)]
mod tests {
    use super::{human, this_user};
    use holdfast_schemas::message::HeldLock;

    #[test]
    fn every_lock_has_a_line() {
        assert_eq!(human(&[]), "no lock is held");
        let lock = |name: &str, holder: Option<&str>| HeldLock {
            name: name.to_owned(),
            token: 4_711,
            holder: holder.map(str::to_owned),
            expires_at_ms: 0,
            remaining_ms: 4_250,
        };
        let text = human(&[lock("stock:7", Some("till 3")), lock("stock:8", None)]);
        let line = text.lines().find(|line| line.contains("stock:7")).unwrap();
        assert!(line.contains("4711") && line.contains("till 3") && line.contains("4.2 s"), "{text}");
        assert!(text.contains("stock:8"), "{text}");
    }

    #[test]
    fn a_holder_is_named_by_default() {
        assert!(!this_user().is_empty());
    }
}
