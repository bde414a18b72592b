//! The work of one request: it can be stopped, and what it holds in memory is bounded.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_memory::{Account, Excess, metered};
use surrealdb_core::ctx::CancelHandle;
use tokio_util::sync::CancellationToken;

use crate::error::StatementError;

/// The work of one request.
#[derive(Clone)]
pub(crate) struct Effort {
    account: Arc<Account>,
    cancel: CancelHandle,
    told: Arc<Told>,
}

/// What became of its memory.
#[derive(Default)]
struct Told {
    is_stopped: AtomicBool,
    asleep: CancellationToken,
}

impl Effort {
    pub(crate) fn new() -> Self {
        let cancel = CancelHandle::new();
        let told = Arc::<Told>::default();
        let (handle, noted) = (cancel.clone(), Arc::clone(&told));
        let account = Account::open(move |excess| {
            noted.is_stopped.store(true, Ordering::Release);
            handle.trip();
            if excess == Excess::Asleep {
                noted.asleep.cancel();
            }
        });
        Self { account, cancel, told }
    }

    /// What stops its statements.
    pub(crate) fn cancel(&self) -> &CancelHandle {
        &self.cancel
    }

    /// Runs a part of it whose memory counts.
    pub(crate) async fn metered<T>(
        &self,
        work: impl Future<Output = Result<T, StatementError>>,
    ) -> Result<T, StatementError> {
        let done = metered(Arc::clone(&self.account), work).await;
        match done {
            Err(_) if self.told.is_stopped.load(Ordering::Acquire) => Err(StatementError::TooMuchMemory),
            done => done,
        }
    }

    /// Waits for a task that does it. One that sleeps for good is not waited for; `spent` hears of it.
    pub(crate) async fn finished<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T, StatementError>> + Send + 'static,
        spent: &CancellationToken,
    ) -> Result<T, StatementError> {
        let task = tokio::spawn(task);
        tokio::select! {
            ended = task => match ended {
                Ok(outcome) => outcome,
                Err(cause) => Err(StatementError::OutcomeUnknown(cause.to_string())),
            },
            () = self.told.asleep.cancelled() => {
                spent.cancel();
                Err(StatementError::TooMuchMemory)
            }
        }
    }
}
