//! Where a request came from, if execution forwarded it, and how it learns that the request is done with.
//!
//! Execution keeps each request that it forwarded until a note of the CSP names it; what is never named is sent to another
//! CSP. Notes are gathered for a moment, so that many requests share one message: they are on nobody's way to an answer. A
//! request that is given back waits for nothing, because somebody waits for it.
//!
//! Of a request that a CSP before was lost with, it is said that it is begun before it is: should this CSP be lost too, it is known
//! whether it had the request in its hands, or had been dead when that was sent to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use holdfast_schemas::message::{Completions, Returned};
use holdfast_schemas::{ErrorCode, Message as _, limits, subject};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

/// How long notes are gathered.
const GATHER: Duration = Duration::from_millis(5);
/// How long a request waits at most until it is said that it is begun. Without a connection that cannot be said, and it goes on. On a
/// machine that stands still for a moment it is worth the wait: unsaid, it may end a third CSP.
const SAID_MAX: Duration = Duration::from_secs(1);

/// The request's number at the instance of execution that forwarded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    instance: Box<str>,
    number: u64,
}

impl Route {
    /// Reads `<instance>:<number>`; none if it is anything else, or if the instance could not be part of a subject.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (instance, number) = text.split_once(':')?;
        let fits = (1..=limits::MAX_NAME_BYTES).contains(&instance.len())
            && instance.bytes().all(|byte| byte.is_ascii_alphanumeric());
        fits.then_some(())?;
        Some(Self { instance: instance.into(), number: number.parse().ok()? })
    }
}

#[derive(Debug, Default)]
struct Pending {
    done: Vec<u64>,
    returned: Vec<Returned>,
    begun: Vec<u64>,
    /// Dropped when those that are begun were written to the connection.
    said: Vec<oneshot::Sender<()>>,
}

/// The notes that are yet to be sent.
#[derive(Debug, Default)]
pub struct Notes {
    pending: Mutex<HashMap<Box<str>, Pending>>,
    gathered: Notify,
    urgent: Notify,
}

impl Notes {
    /// A request was answered, or needs no answer.
    pub fn done(&self, route: Route) {
        let first = {
            let mut pending = self.pending.lock();
            let first = pending.is_empty();
            pending.entry(route.instance).or_default().done.push(route.number);
            first
        };
        if first {
            self.gathered.notify_one();
        }
    }

    /// A request was not answered, and is to be sent elsewhere.
    pub fn give_back(&self, route: Route, code: ErrorCode) {
        let returned = Returned { number: route.number, code };
        self.pending.lock().entry(route.instance).or_default().returned.push(returned);
        self.gathered.notify_one();
        self.urgent.notify_one();
    }

    /// Says that a request is begun; returns when that was written to the connection.
    pub async fn begin(&self, route: &Route) {
        let (sender, said) = oneshot::channel();
        {
            let mut pending = self.pending.lock();
            let pending = pending.entry(route.instance.clone()).or_default();
            pending.begun.push(route.number);
            pending.said.push(sender);
        }
        self.gathered.notify_one();
        self.urgent.notify_one();
        drop(timeout(SAID_MAX, said).await);
    }

    /// Sends what is gathered, until the task is aborted.
    pub async fn send(self: Arc<Self>, client: Client, group: String, csp: String) {
        loop {
            self.gathered.notified().await;
            tokio::select! {
                () = tokio::time::sleep(GATHER) => {}
                () = self.urgent.notified() => {}
            }
            self.send_now(&client, &group, &csp).await;
        }
    }

    /// Sends what is gathered, at once: for a process that ends.
    pub async fn send_now(&self, client: &Client, group: &str, csp: &str) {
        let pending = std::mem::take(&mut *self.pending.lock());
        for (instance, notes) in &pending {
            for note in split(group, csp, notes) {
                // Lost or not sent: what is done is then sent to another CSP under its id, which is what the id is for. What is begun
                // is then not counted against it.
                let _ = client.publish(subject::completions(instance), note.encode().into()).await;
            }
        }
        if pending.values().any(|notes| !notes.said.is_empty()) {
            // The process may end by what comes next. Without a connection nothing can be said.
            let _ = timeout(SAID_MAX, client.flush()).await;
        }
    }
}

/// Notes of a bounded size.
fn split(group: &str, csp: &str, pending: &Pending) -> Vec<Completions> {
    let note = |done: &[u64], returned: &[Returned], begun: &[u64]| Completions {
        group: group.to_owned(),
        csp: csp.to_owned(),
        done: done.to_vec(),
        returned: returned.to_vec(),
        begun: begun.to_vec(),
    };
    let Pending { done, returned, begun, .. } = pending;
    if done.len() + returned.len() + begun.len() <= limits::COMPLETIONS_MAX {
        return vec![note(done, returned, begun)];
    }
    let begun = begun.chunks(limits::COMPLETIONS_MAX).map(|begun| note(&[], &[], begun));
    let done = done.chunks(limits::COMPLETIONS_MAX).map(|done| note(done, &[], &[]));
    let returned = returned.chunks(limits::COMPLETIONS_MAX).map(|returned| note(&[], returned, &[]));
    begun.chain(done).chain(returned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_an_instance_and_a_number() {
        let route = Route::parse("01JDABC:17").unwrap();
        assert_eq!((route.instance.as_ref(), route.number), ("01JDABC", 17));
        for odd in ["", ":", "a:", ":1", "a.b:1", "a:b", "a:1:2", "*:1", "a:-1"] {
            assert_eq!(Route::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn notes_are_bounded_and_complete() {
        let returned = |number| Returned { number, code: ErrorCode::NotPrimary };
        let pending = |done, returned, begun| Pending { done, returned, begun, said: Vec::new() };
        let small = split("g", "a", &pending(vec![1, 2], vec![returned(3)], vec![4]));
        assert_eq!(small.len(), 1);
        let many = limits::COMPLETIONS_MAX as u64 * 2 + 1;
        let large = split("g", "a", &pending((0..many).collect(), vec![returned(many)], (0..many).collect()));
        let length = |note: &Completions| note.done.len() + note.returned.len() + note.begun.len();
        assert!(large.iter().all(|note| length(note) <= limits::COMPLETIONS_MAX));
        assert_eq!(large.iter().flat_map(|note| &note.done).count() as u64, many);
        assert_eq!(large.iter().flat_map(|note| &note.returned).count(), 1);
        assert_eq!(large.iter().flat_map(|note| &note.begun).count() as u64, many);
    }
}
