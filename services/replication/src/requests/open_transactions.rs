//! The open transactions of a CSP, and for a while those that ended here.
//!
//! Messages of one transaction come one after the other: while one is carried out, the transaction is out. Its last answer is
//! kept, for when the message comes again (`model/messages`). Of one that ended, the reason is kept for as long as a late message
//! of it may come; nothing of it can be committed any more, since it lived nowhere else.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holdfast_datastore::OpenTransaction;
use holdfast_schemas::message::{ErrorBody, ErrorReply, TransactionToken};
use holdfast_schemas::{ErrorCode, limits};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::messages::{Message, Messages, Turn};

/// What a message was answered with.
pub type Answer = Result<Bytes, ErrorReply>;

/// How long the end of a transaction is remembered: a message of it that comes later is past its deadline.
const ENDED_KEPT: Duration = Duration::from_millis(2 * limits::MAX_DEADLINE_MS);

/// The open transactions of one CSP.
#[derive(Clone, Default)]
pub struct Transactions(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    slots: HashMap<Box<str>, Slot>,
    /// Those that ended, the oldest first, and when they are forgotten.
    ended: VecDeque<(Instant, Box<str>)>,
    answer_bytes: usize,
}

struct Slot {
    /// The answer to its `begin`, and the fingerprint of that.
    begun: (Bytes, u64),
    /// Whether its `begin` may have opened another one under the id, in a process that was lost.
    may_have_twin: bool,
    /// The position that its statements read.
    position: u64,
    messages: Messages,
    /// The answer to the last message, unless that is being carried out or there was no room for it.
    answer: Option<Answer>,
    /// Closed when the message that is being carried out is done.
    running: Option<watch::Receiver<()>>,
    is_committing: bool,
    state: State,
    idle: Duration,
    /// When it is aborted unless a message comes.
    idle_until: Instant,
    /// When it is aborted whatever comes.
    ends_at: Instant,
}

enum State {
    Idle(Box<OpenTransaction>),
    Out,
    Ended(Box<ErrorBody>),
}

/// What became of a `begin`.
pub enum Begun {
    /// It is open.
    Open,
    /// One under the id is open already: its answer.
    Before(Bytes),
    /// One with other parameters is open under the id.
    Differs,
    /// One under the id has ended here.
    Ended,
    /// There are as many as there may be.
    Full,
}

/// What a message gets.
pub enum Taken {
    /// The transaction: it is to be carried out.
    Run(Run),
    /// The message is, or the one that it repeats: look again when this is closed.
    Running(watch::Receiver<()>),
    /// Its answer.
    Answer(Answer),
    /// A refusal; nothing was done.
    Refused(ErrorCode, String),
    /// The transaction has ended here, because of that.
    Ended(Box<ErrorBody>),
    /// Nothing is known of it here.
    Gone,
}

/// A message that is being carried out. Dropped without an end, its transaction is aborted.
pub struct Run {
    table: Transactions,
    id: Box<str>,
    transaction: Option<Box<OpenTransaction>>,
    is_over: bool,
    _running: watch::Sender<()>,
}

impl Transactions {
    /// What is known of a `begin` under this id, before it is carried out. One that `may_have_twin` was sent to a CSP that was
    /// lost with it.
    pub fn begun(&self, id: &str, fingerprint: u64, may_have_twin: bool) -> Option<Begun> {
        let mut table = self.0.lock();
        Some(match table.slots.get_mut(id)? {
            Slot { state: State::Ended(_), .. } => Begun::Ended,
            slot if slot.begun.1 == fingerprint => {
                slot.may_have_twin |= may_have_twin;
                Begun::Before(slot.begun.0.clone())
            }
            _ => Begun::Differs,
        })
    }

    /// Opens a transaction, unless one is known under the id.
    pub fn open(
        &self,
        id: &str,
        transaction: OpenTransaction,
        begun: (Bytes, u64),
        idle: Duration,
        may_have_twin: bool,
    ) -> Begun {
        let position = transaction.request().snapshot_position();
        if let Some(known) = self.begun(id, begun.1, may_have_twin) {
            return known;
        }
        let mut table = self.0.lock();
        if table.open() >= limits::MAX_OPEN_TRANSACTIONS || table.slots.contains_key(id) {
            return Begun::Full;
        }
        let now = Instant::now();
        let slot = Slot {
            begun,
            may_have_twin,
            position,
            messages: Messages::default(),
            answer: None,
            running: None,
            is_committing: false,
            state: State::Idle(Box::new(transaction)),
            idle,
            idle_until: now + idle,
            ends_at: now + Duration::from_millis(limits::MAX_TRANSACTION_MS),
        };
        table.slots.insert(id.into(), slot);
        Begun::Open
    }

    /// Decides about a message. One that `is_late` came behind its deadline and is not begun any more.
    pub fn take(&self, token: TransactionToken<'_>, message: &Message<'_>, is_commit: bool, is_late: bool) -> Taken {
        let mut table = self.0.lock();
        let Table { slots, answer_bytes, .. } = &mut *table;
        let Some(slot) = slots.get_mut(token.id) else { return Taken::Gone };
        if slot.position != token.position {
            // So long ago that its end is remembered no more.
            return Taken::Ended(Box::new(aborted("another one was begun under its id")));
        }
        slot.idle_until = Instant::now() + slot.idle;
        if let (State::Out, true, true, Some(running)) = (&slot.state, slot.is_committing, is_commit, &slot.running) {
            return Taken::Running(running.clone());
        }
        if let State::Ended(reason) = &slot.state {
            return match &slot.answer {
                Some(answer) if slot.messages.repeats(message) => Taken::Answer(answer.clone()),
                _ => Taken::Ended(reason.clone()),
            };
        }
        if is_late && !slot.messages.repeats(message) {
            slot.messages.refuse(message);
            let why = "its deadline passed before the work began, and nothing was done; the transaction is open";
            return Taken::Refused(ErrorCode::DeadlineExceeded, why.to_owned());
        }
        match slot.messages.take(message, slot.running.is_some()) {
            Turn::Next => {
                // It is that of the message before. If this one is cut off by an abort, it must not be taken for its own.
                *answer_bytes -= size(slot.answer.take().as_ref());
                slot.run(self, token.id, is_commit)
            }
            Turn::Again => slot.again(),
            refused => refusal(refused, slot.messages.count()),
        }
    }

    /// How many are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().open()
    }

    /// Whether it is open here.
    #[must_use]
    pub fn is_open(&self, id: &str) -> bool {
        self.0.lock().slots.get(id).is_some_and(|slot| !matches!(slot.state, State::Ended(_)))
    }

    /// Whether it is open here, and is the only one that was ever opened under its id, as far as anybody can know.
    #[must_use]
    pub fn is_the_only_one(&self, id: &str) -> bool {
        let table = self.0.lock();
        table.slots.get(id).is_some_and(|slot| !slot.may_have_twin && !matches!(slot.state, State::Ended(_)))
    }

    /// Why it ended here, if it did.
    #[must_use]
    pub fn ended(&self, id: &str) -> Option<Box<ErrorBody>> {
        match &self.0.lock().slots.get(id)?.state {
            State::Ended(reason) => Some(reason.clone()),
            State::Idle(_) | State::Out => None,
        }
    }

    /// Ends a transaction without a commit. Statements that are being carried out find that when they are done. A commit that
    /// is under way is not stopped: look again when what is returned is closed.
    pub fn abort(&self, id: &str, reason: ErrorBody) -> Option<watch::Receiver<()>> {
        let mut table = self.0.lock();
        let committing = table.slots.get(id).filter(|slot| slot.is_committing).and_then(|slot| slot.running.clone());
        let dropped = if committing.is_none() { table.end(id, reason, None) } else { None };
        drop(table);
        // Outside of the lock: dropping aborts it.
        drop(dropped);
        committing
    }

    /// Ends all that are open and on which nothing is being carried out; says which.
    pub fn abort_idle(&self, reason: &ErrorBody) -> Vec<Box<str>> {
        self.abort_all(|slot| matches!(slot.state, State::Idle(_)).then(|| reason.clone()))
    }

    /// Aborts those whose time is over, and forgets those that ended long ago.
    pub fn expire(&self, now: Instant) -> Vec<Box<str>> {
        self.0.lock().forget_ended(now);
        self.abort_all(|slot| match slot.state {
            State::Idle(_) if slot.ends_at <= now => {
                let life_s = limits::MAX_TRANSACTION_MS / 1_000;
                Some(aborted(&format!("it was open for {life_s} s, which is the longest that one may be")))
            }
            State::Idle(_) if slot.idle_until <= now => {
                Some(aborted(&format!("no message came for {} ms, its idle_ms", slot.idle.as_millis())))
            }
            _ => None,
        })
    }

    fn abort_all(&self, why: impl Fn(&Slot) -> Option<ErrorBody>) -> Vec<Box<str>> {
        let mut table = self.0.lock();
        let over: Vec<_> = table.slots.iter().filter_map(|(id, slot)| Some((id.clone(), why(slot)?))).collect();
        let dropped: Vec<_> = over.iter().map(|(id, reason)| table.end(id, reason.clone(), None)).collect();
        drop(table);
        drop(dropped);
        over.into_iter().map(|(id, _)| id).collect()
    }
}

/// The reason of an end, as it is told.
pub fn aborted(why: &str) -> ErrorBody {
    let message = format!("the transaction is not open any more: {why}, and nothing of it happened: begin anew");
    ErrorReply::new(None, ErrorCode::TransactionAborted, message).error
}

fn refusal(turn: Turn, count: u64) -> Taken {
    let (code, why) = match turn {
        Turn::Passed => (
            ErrorCode::AnswerNotKept,
            format!(
                "a later message of the transaction was taken since, so this one is not carried out (again): number {} is next",
                count + 1
            ),
        ),
        Turn::Overtaken { next } => (
            ErrorCode::InvalidRequest,
            format!(
                "a message that was sent later came before this one, which was not carried out: send number {next} again, and \
                 each message when the one before it was answered"
            ),
        ),
        Turn::Ahead { next } => (
            ErrorCode::InvalidRequest,
            format!("messages before it are missing, and nothing was done: number {next} is next"),
        ),
        Turn::Differs => (
            ErrorCode::IdReused,
            format!(
                "message {count} of the transaction asked for something else, and nothing was done: number {} is next",
                count + 1
            ),
        ),
        Turn::Crowded => {
            (ErrorCode::Overloaded, "the transaction's messages come over too many instances: begin anew".to_owned())
        }
        Turn::Busy | Turn::Next | Turn::Again => (
            ErrorCode::InvalidRequest,
            "the transaction still works on the message before it, and nothing was done: wait for its answer first"
                .to_owned(),
        ),
    };
    Taken::Refused(code, why)
}

impl Slot {
    fn run(&mut self, table: &Transactions, id: &str, is_commit: bool) -> Taken {
        let (sender, receiver) = watch::channel(());
        self.running = Some(receiver);
        self.is_committing = is_commit;
        let transaction = match std::mem::replace(&mut self.state, State::Out) {
            State::Idle(transaction) => Some(transaction),
            // Not reached: a message is the next one only while none is being carried out.
            State::Out | State::Ended(_) => None,
        };
        Taken::Run(Run { table: table.clone(), id: id.into(), transaction, is_over: false, _running: sender })
    }

    fn again(&self) -> Taken {
        match (&self.running, &self.answer) {
            (Some(running), _) => Taken::Running(running.clone()),
            (None, Some(answer)) => Taken::Answer(answer.clone()),
            (None, None) => {
                let why = "the message was carried out, and its answer was too large to be kept: go on, or abort";
                Taken::Refused(ErrorCode::AnswerNotKept, why.to_owned())
            }
        }
    }
}

impl Table {
    fn open(&self) -> usize {
        self.slots.len() - self.ended.len()
    }

    /// Keeps the answer of the last message, if there is room.
    fn keep(&mut self, id: &str, answer: Answer) {
        let room = limits::KEPT_ANSWERS_MAX_BYTES.saturating_sub(self.answer_bytes);
        let Some(slot) = self.slots.get_mut(id) else { return };
        self.answer_bytes -= size(slot.answer.as_ref());
        slot.answer = Some(answer).filter(|answer| size(Some(answer)) <= room);
        self.answer_bytes += size(slot.answer.as_ref());
    }

    /// Ends a transaction that is open, and gives it, to be dropped outside of the lock.
    fn end(&mut self, id: &str, reason: ErrorBody, answer: Option<Answer>) -> Option<Box<OpenTransaction>> {
        let slot = self.slots.get_mut(id).filter(|slot| !matches!(slot.state, State::Ended(_)))?;
        let before = std::mem::replace(&mut slot.state, State::Ended(Box::new(reason)));
        self.ended.push_back((Instant::now() + ENDED_KEPT, id.into()));
        if let Some(answer) = answer {
            self.keep(id, answer);
        }
        while self.ended.len() > limits::MAX_ENDED_TRANSACTIONS {
            self.forget_first();
        }
        match before {
            State::Idle(transaction) => Some(transaction),
            State::Out | State::Ended(_) => None,
        }
    }

    fn forget_ended(&mut self, now: Instant) {
        while self.ended.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, id)) = self.ended.pop_front() {
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(slot) = self.slots.remove(id) {
            self.answer_bytes -= size(slot.answer.as_ref());
        }
    }

    /// The message that was being carried out is done; none if the transaction ended meanwhile.
    fn done(&mut self, id: &str) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(id)?;
        slot.running = None;
        slot.is_committing = false;
        slot.idle_until = Instant::now() + slot.idle;
        matches!(slot.state, State::Out).then_some(slot)
    }
}

fn size(answer: Option<&Answer>) -> usize {
    answer.map_or(0, |answer| answer.as_ref().map_or_else(|error| error.error.message.len(), Bytes::len))
}

impl Run {
    /// The transaction; it is there until it is taken.
    pub fn transaction(&self) -> Option<&OpenTransaction> {
        self.transaction.as_deref()
    }

    /// Takes the transaction out, to be committed.
    pub fn take_transaction(&mut self) -> Option<Box<OpenTransaction>> {
        self.transaction.take()
    }

    /// The message was carried out, and the transaction is open for the next one.
    pub fn go_on(mut self, answer: Answer) {
        let Some(transaction) = self.transaction.take() else { return };
        self.is_over = true;
        let mut table = self.table.0.lock();
        match table.done(&self.id) {
            Some(slot) => {
                slot.state = State::Idle(transaction);
                table.keep(&self.id, answer);
            }
            None => {
                drop(table);
                drop(transaction);
            }
        }
    }

    /// The transaction has ended: nothing of it happened, or ever will. Late messages are told the reason.
    pub fn end(mut self, reason: ErrorBody, answer: Answer) {
        self.is_over = true;
        let mut table = self.table.0.lock();
        table.done(&self.id);
        // None is inside: this message had it out.
        drop(table.end(&self.id, reason, Some(answer)));
    }

    /// The transaction has ended, or may have: the log tells what became of it.
    pub fn forget(mut self) {
        self.is_over = true;
        let mut table = self.table.0.lock();
        if table.done(&self.id).is_some() {
            table.remove(&self.id);
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // Nobody said what became of the message: it panicked, or the process stops.
        let mut table = self.table.0.lock();
        table.done(&self.id);
        drop(table.end(&self.id, aborted("a message of it was cut short"), None));
    }
}

#[cfg(test)]
mod tests;
