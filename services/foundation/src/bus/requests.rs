//! What others ask, and where answers may go.
//!
//! A client names the subject of the answer, and a service publishes there with its own rights: into the log, over a definition,
//! to JetStream. So only inboxes are answered. A request that asks for its answer elsewhere is dropped as a whole, not carried
//! out without an answer: its sender could not be told what became of it, and an update would be repeated under the belief that
//! the first one was lost. To be dropped is what may happen to any message of NATS, and harms nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use holdfast_schemas::subject;
use parking_lot::Mutex;
use tracing::warn;

use crate::config::NatsConfig;

/// The least time between two warnings: whoever sends such requests may send many.
const WARN_PAUSE: Duration = Duration::from_secs(10);

/// A prefix of inboxes cannot be used. Nothing was connected; correct the setting.
#[derive(Debug, thiserror::Error)]
pub enum ReplyPrefixError {
    /// Nothing would be answered, or what only services may write to.
    #[error(
        "nats.reply_prefixes has {0:?}, and answers cannot go there: name what inboxes begin with, such as {default}",
        default = subject::INBOX_PREFIXES
    )]
    Unfit(String),
    /// The other services, which have the same setting, would not answer this one.
    #[error("nats.inbox_prefix is {0:?}, which is not answered: add it to nats.reply_prefixes, for all services")]
    Unanswered(String),
}

/// Which reply subjects are answered.
#[derive(Debug)]
pub struct ReplyRule {
    prefixes: Vec<String>,
    dropped: AtomicU64,
    warned: Mutex<Option<Instant>>,
}

impl ReplyRule {
    /// As the settings say.
    ///
    /// # Errors
    /// See [`ReplyPrefixError`].
    pub fn new(config: &NatsConfig) -> Result<Self, ReplyPrefixError> {
        let prefixes: Vec<String> = config.reply_prefixes.split(',').map(|prefix| prefix.trim().to_owned()).collect();
        if let Some(unfit) = prefixes.iter().find(|prefix| !subject::may_be_inbox_prefix(prefix)) {
            return Err(ReplyPrefixError::Unfit(unfit.clone()));
        }
        if let Some(own) = &config.inbox_prefix
            && !subject::may_be_answered(&format!("{own}.x"), &prefixes)
        {
            return Err(ReplyPrefixError::Unanswered(own.clone()));
        }
        Ok(Self { prefixes, dropped: AtomicU64::new(0), warned: Mutex::new(None) })
    }

    /// Whether the request may be begun: it asks for no answer, or for one in an inbox.
    fn admits(&self, request: &Message) -> bool {
        let Some(reply) = &request.reply else { return true };
        let admitted = subject::may_be_answered(reply, &self.prefixes);
        if !admitted {
            self.count(request, reply);
        }
        admitted
    }

    fn count(&self, request: &Message, reply: &str) {
        let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| at.elapsed() >= WARN_PAUSE) {
            *warned = Some(Instant::now());
            drop(warned);
            warn!(
                subject = %request.subject,
                ?reply,
                dropped,
                "a request was dropped: it wants its answer where only inboxes (nats.reply_prefixes) are answered"
            );
        }
    }
}

/// Requests of others that may be begun.
#[derive(Debug)]
pub struct Requests {
    subscriber: Subscriber,
    rule: Arc<ReplyRule>,
}

impl Requests {
    /// Those of a subscription.
    pub(super) fn new(subscriber: Subscriber, rule: Arc<ReplyRule>) -> Self {
        Self { subscriber, rule }
    }

    /// The next one; none once the subscription has ended.
    pub async fn next(&mut self) -> Option<Message> {
        loop {
            let request = self.subscriber.next().await?;
            if self.rule.admits(&request) {
                return Some(request);
            }
        }
    }

    /// Asks the server for no more; what it has sent already still comes.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn drain(&mut self) -> Result<(), async_nats::UnsubscribeError> {
        self.subscriber.drain().await
    }
}

#[cfg(test)]
mod tests {
    use super::{ReplyPrefixError, ReplyRule};
    use crate::config::NatsConfig;

    fn rule(prefixes: &str, own: Option<&str>) -> Result<ReplyRule, ReplyPrefixError> {
        let inbox_prefix = own.map(str::to_owned);
        ReplyRule::new(&NatsConfig { reply_prefixes: prefixes.to_owned(), inbox_prefix, ..NatsConfig::default() })
    }

    #[test]
    fn settings_that_answer_too_much_or_not_even_ourselves_are_refused() {
        assert!(ReplyRule::new(&NatsConfig::default()).is_ok());
        assert!(rule("_INBOX., _R_.", None).is_ok());
        assert!(rule("mine.", Some("mine")).is_ok());
        for odd in ["", "_INBOX.,", "$KV.", "holdfast.", "_INBOX.*", ">"] {
            assert!(matches!(rule(odd, None), Err(ReplyPrefixError::Unfit(_))), "{odd}");
        }
        for own in ["mine", "holdfast.x", "_INBOX_a.*"] {
            assert!(matches!(rule("_INBOX.,_INBOX_", Some(own)), Err(ReplyPrefixError::Unanswered(_))), "{own}");
        }
    }
}
