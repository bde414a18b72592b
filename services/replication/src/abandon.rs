//! Answers who waits for the log once nothing is applied any more: what they wait for never comes.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::log::Gateway;

/// How often what is on its way is given up.
const EVERY: Duration = Duration::from_millis(50);

/// Tells whoever waits for what is on its way that its outcome is not known, for as long as it is polled. Again and again, because
/// something may have been sealed at that very moment.
pub async fn keep_abandoning(gateway: &Gateway) {
    loop {
        gateway.abandon();
        sleep(EVERY).await;
    }
}

/// The same from the moment on at which the applier has ended by itself; resolves when that was so for `longest`. The grace of the
/// life cycle bounds only a stop that was asked for.
pub async fn give_up<T>(gateway: &Gateway, applying: &JoinHandle<T>, longest: Duration) {
    while !applying.is_finished() {
        sleep(EVERY).await;
    }
    let _ = timeout(longest, keep_abandoning(gateway)).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use holdfast_storage::{CommitFailure, WriteSet};
    use tokio::sync::oneshot;

    use super::*;
    use crate::log::{Answer, Origin, Submission, Waiting};

    /// How long anything here may take.
    const PATIENCE: Duration = Duration::from_secs(20);

    /// Something is sealed by and by, as SurrealDB does while it ends.
    #[tokio::test]
    async fn who_waits_for_a_log_that_is_applied_no_more_is_told_and_the_stop_ends() {
        let (gateway, _queue) = Gateway::new(Origin { csp: "a".to_owned(), incarnation: 1 });
        let seal = || {
            let (answer, outcome) = oneshot::channel();
            let (write_set, answer) = (Arc::new(WriteSet::default()), Answer::new(answer, None));
            gateway.seal(1, vec![Submission::Transaction(Box::new(Waiting { write_set, epoch: None, answer }))]);
            outcome
        };
        let (end, ends) = oneshot::channel::<()>();
        let applying = tokio::spawn(async move { drop(ends.await) });
        let first = seal();
        // What must not happen can only be waited for.
        let early = timeout(EVERY * 4, give_up(&gateway, &applying, Duration::ZERO)).await;
        assert!(early.is_err() && gateway.in_flight() == 1, "it may still come out of the log");
        drop(end);
        let all_told = async {
            for outcome in [first, seal()] {
                let outcome = outcome.await;
                assert!(matches!(outcome, Ok(Err(CommitFailure::OutcomeUnknown(_)))), "{outcome:?}");
            }
            let later = seal().await;
            assert!(matches!(later, Ok(Err(CommitFailure::OutcomeUnknown(_)))), "{later:?}");
        };
        tokio::select! {
            () = give_up(&gateway, &applying, PATIENCE) => panic!("nobody told those who wait"),
            () = all_told => {}
        }
        assert_eq!(gateway.in_flight(), 0);
        timeout(PATIENCE, give_up(&gateway, &applying, EVERY)).await.expect("it ends");
    }
}
