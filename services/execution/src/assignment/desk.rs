//! Takes in what comes, asks the model, and starts what follows. Everything here is done at once; what takes time runs in
//! tasks, whose ends come back as events.

use super::bucket::News;
use super::moves::{self, ATTEMPTS_MAX, Ticket, Waiters};
use super::record::{self, Outcome};
use super::{Learnt, states};
use crate::config::ExecutionConfig;
use crate::model::assignment::Policy;
use crate::model::assignment::assigner::{Assigner, Effect, Now, Write};
use crate::model::assignment::electorate::Electorate;
use crate::model::assignment::request::{Asked, Refusal};
use async_nats::Subject;
use async_nats::jetstream::kv::{Entry, Operation, Store};
use holdfast_foundation::Context;
use holdfast_foundation::bus::Bus;
use holdfast_foundation::clock::Clock;
use holdfast_schemas::message::{
    Assignment, AssignmentMoveReply, AssignmentMoveRequest, CspStateChange, GroupDefinition, Heartbeat, Presence,
    SupervisionPolicy, TASK_REPLICATION,
};
use holdfast_schemas::{ErrorCode, Message, subject};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How often what supervision wrote down is read, in case an event was lost.
const STATES_INTERVAL_MS: u64 = 5_000;

/// A write has ended.
pub struct Done {
    write: Write,
    outcome: Outcome,
    ticket: Option<Ticket>,
}

/// One instance's view of all groups, and what it has under way.
pub struct Desk {
    bus: Bus,
    clock: Arc<dyn Clock>,
    policy: Policy,
    instance: String,
    electorate: Electorate,
    led: bool,
    assigners: BTreeMap<String, Assigner>,
    /// The assignments bucket, once it could be opened.
    store: Option<Arc<Store>>,
    /// Everything that the bucket holds has been read.
    complete: bool,
    /// Everything that the definitions bucket holds has been read.
    groups_known: bool,
    /// What supervision wrote down was read once since we lead: without it a CSP that is doubted would look as good as any.
    states_known: bool,
    states_due_ms: u64,
    /// Requests that are judged again at the next tick.
    postponed: Vec<Ticket>,
    waiters: Waiters,
    learn: mpsc::UnboundedSender<Learnt>,
    finish: mpsc::UnboundedSender<Done>,
    tasks: JoinSet<()>,
}

impl Desk {
    /// A desk that knows nothing yet.
    pub fn new(
        config: &ExecutionConfig,
        ctx: &Context,
        instance: String,
        learn: mpsc::UnboundedSender<Learnt>,
        finish: mpsc::UnboundedSender<Done>,
    ) -> Self {
        // Until a group is defined; then what it says of silence counts.
        let supervision = SupervisionPolicy::default();
        let policy = Policy {
            fresh_ms: supervision.suspect_after_ms(),
            in_step_ms: supervision.heartbeat_interval_ms,
            lag_ms_max: config.task_lag_ms_max,
            settle_ms: config.task_settle_ms,
            gray_rest_ms: config.task_gray_rest_ms,
            catch_up_ms_max: config.task_catch_up_ms_max,
        };
        Self {
            bus: ctx.bus.clone(),
            clock: Arc::clone(&ctx.clock),
            policy,
            electorate: Electorate::new(instance.clone()),
            instance,
            led: false,
            assigners: BTreeMap::new(),
            store: None,
            complete: false,
            groups_known: false,
            states_known: false,
            states_due_ms: 0,
            postponed: Vec::new(),
            waiters: Waiters::default(),
            learn,
            finish,
            tasks: JoinSet::new(),
        }
    }

    /// Says to the others that this instance lives.
    pub async fn say_present(&self) {
        let presence = Presence { instance: self.instance.clone() };
        // Missing ones are what presence is there to show; nothing else follows from a failure to send.
        let _ = self.bus.client().publish(subject::presence(&self.instance), presence.encode().into()).await;
    }

    /// Another instance lives.
    pub fn presence(&mut self, message: &async_nats::Message) {
        if let Some(presence) = read::<Presence>(message) {
            self.electorate.hear(&presence.instance, self.clock.monotonic_ms());
        }
    }

    /// Supervision says something about a CSP.
    pub fn state(&mut self, message: &async_nats::Message) {
        let Some(change) = read::<CspStateChange>(message) else { return };
        if let Some(assigner) = self.assigners.get_mut(&change.group) {
            assigner.judge(&change, self.clock.monotonic_ms());
            self.decide(&change.group);
        }
    }

    /// Supervision says something about a node, in place of each of its CSPs: what it concluded about those is in the bucket.
    pub fn node_state(&mut self) {
        self.states_due_ms = 0;
        self.tick();
    }

    /// A CSP says that it lives.
    pub fn heartbeat(&mut self, message: &async_nats::Message) {
        let Some(beat) = read::<Heartbeat>(message) else { return };
        if let Some(assigner) = self.assigners.get_mut(&beat.group) {
            assigner.heartbeat(&beat, self.clock.monotonic_ms());
            self.decide(&beat.group);
            self.answer_waiters();
        }
    }

    /// A bucket says something.
    pub fn learn(&mut self, learnt: Learnt) {
        match learnt {
            Learnt::Definitions(News::Entry(entry)) => self.definition(&entry),
            Learnt::Definitions(News::Opened(_)) => {}
            Learnt::Definitions(News::Complete) => self.groups_known = true,
            Learnt::Definitions(News::Replaced) => self.assigners.values_mut().for_each(Assigner::undefine),
            Learnt::Assignments(News::Opened(store)) => self.store = Some(Arc::new(*store)),
            Learnt::Assignments(News::Complete) => self.complete = true,
            Learnt::Assignments(News::Replaced) => self.assigners.values_mut().for_each(Assigner::bucket_lost),
            Learnt::Assignments(News::Entry(entry)) => self.assignment(&entry),
            Learnt::States { changes, asked_at_ms } => self.judged_before(&changes, asked_at_ms),
        }
    }

    /// All of them count before anything is decided: of two that could take over, one may be doubted.
    fn judged_before(&mut self, changes: &[CspStateChange], asked_at_ms: u64) {
        self.states_known = true;
        let now_ms = self.clock.monotonic_ms();
        for change in changes {
            if let Some(assigner) = self.assigners.get_mut(&change.group) {
                assigner.judged_before(change, asked_at_ms, now_ms);
            }
        }
        self.decide_all();
    }

    fn decide_all(&mut self) {
        let names: Vec<_> = self.assigners.keys().cloned().collect();
        names.iter().for_each(|name| self.decide(name));
    }

    fn definition(&mut self, entry: &Entry) {
        let assigner = self.assigner(&entry.key);
        match entry.operation {
            Operation::Put => match GroupDefinition::decode(&entry.value) {
                Ok(definition) => assigner.define(definition),
                Err(error) => tracing::error!(group = entry.key, %error, "nothing is assigned in this group"),
            },
            Operation::Delete | Operation::Purge => assigner.undefine(),
        }
        self.states_due_ms = 0;
        self.decide(&entry.key);
    }

    fn assignment(&mut self, entry: &Entry) {
        let Some((group, task)) = entry.key.split_once('.') else { return };
        let assigner = self.assigner(group);
        match (entry.operation, Assignment::decode(&entry.value)) {
            (Operation::Put, Ok(assignment)) => assigner.read(assignment, entry.revision),
            (Operation::Put, Err(error)) => {
                tracing::error!(key = entry.key, %error, "an assignment cannot be read and is written anew");
                assigner.deleted(task, entry.revision);
            }
            (Operation::Delete | Operation::Purge, _) => assigner.deleted(task, entry.revision),
        }
        self.decide(group);
    }

    /// Time has passed.
    pub fn tick(&mut self) {
        while self.tasks.try_join_next().is_some() {}
        let now_ms = self.clock.monotonic_ms();
        let leads = self.electorate.leads(now_ms);
        if leads != self.led {
            self.led = leads;
            self.states_known = false;
            self.states_due_ms = 0;
            tracing::info!(instance = self.instance, leads, "assigning tasks");
        }
        if leads && self.groups_known && now_ms >= self.states_due_ms {
            self.states_due_ms = now_ms + STATES_INTERVAL_MS;
            let csps = self.assigners.iter().flat_map(|(name, assigner)| {
                assigner.group().csps().map(|csp| (name.clone(), csp.to_owned())).collect::<Vec<_>>()
            });
            let read = states::read(self.bus.jetstream().clone(), csps.collect(), now_ms, self.learn.clone());
            self.tasks.spawn(read);
        }
        self.decide_all();
        std::mem::take(&mut self.postponed).into_iter().for_each(|ticket| self.carry_out(ticket));
        self.answer_waiters();
    }

    /// Does what the model says, if this instance is the one to do it.
    fn decide(&mut self, group: &str) {
        let now = self.now();
        let knows = self.complete && self.states_known;
        let Some(store) = self.store.clone().filter(|_| knows && self.electorate.leads(now.monotonic_ms)) else {
            return;
        };
        let Some(assigner) = self.assigners.get_mut(group) else { return };
        for effect in assigner.decide(now) {
            match effect {
                Effect::Write(write) => self.write(Arc::clone(&store), write, None),
                Effect::Announce(log) => {
                    let (bus, group) = (self.bus.clone(), group.to_owned());
                    tracing::info!(
                        group,
                        epoch = log.epoch,
                        primary = log.primary,
                        "no copy shows the epoch: told again"
                    );
                    self.tasks.spawn(async move { record::announce(&bus, &group, log).await });
                }
            }
        }
    }

    fn write(&mut self, store: Arc<Store>, write: Write, ticket: Option<Ticket>) {
        let (bus, finish) = (self.bus.clone(), self.finish.clone());
        self.tasks.spawn(async move {
            let outcome = record::write(&store, &write).await;
            let told = matches!(outcome, Outcome::Written(_)).then(|| write.clone());
            // The receiver is gone only when the service ends.
            let _ = finish.send(Done { write, outcome, ticket });
            if let Some(write) = told {
                record::tell(&bus, &write).await;
            }
        });
    }

    /// A write has ended.
    pub fn finished(&mut self, done: Done) {
        let Done { write, outcome, ticket } = done;
        let Assignment { group, task, .. } = &write.assignment;
        let assigner = self.assigner(group);
        match outcome {
            Outcome::Written(revision) => {
                let assignment = &write.assignment;
                tracing::info!(
                    group,
                    task,
                    csp = assignment.csp,
                    epoch = assignment.epoch,
                    cause = assignment.cause,
                    "assigned"
                );
                assigner.written(assignment.clone(), revision);
                if let Some(ticket) = ticket {
                    self.confirm(ticket.reply, write.assignment, write.previous);
                }
            }
            Outcome::Lost(found) => {
                assigner.not_written(task, found);
                self.postponed.extend(ticket);
            }
            Outcome::Unknown(found) => {
                assigner.not_written(task, found);
                let message = "the assignments bucket did not answer: `holdfast task list` shows who holds the task; \
                               asked again, nothing is done twice";
                ticket.into_iter().for_each(|ticket| self.refuse(ticket, ErrorCode::OutcomeUnknown, message));
            }
            Outcome::Missing => {
                assigner.not_written(task, None);
                let message = "the assignments bucket is being made anew; try again in a moment";
                ticket.into_iter().for_each(|ticket| self.refuse(ticket, ErrorCode::Unavailable, message));
            }
        }
    }

    /// Somebody asks for a task to be moved.
    pub fn asked(&mut self, message: async_nats::Message) {
        let Some(reply) = message.reply.clone() else { return };
        // The subject is `<prefix>.<group>.assignment.move`.
        let group = message.subject.split('.').nth(1).unwrap_or_default().to_owned();
        // `nats request holdfast.demo.assignment.move ""` should simply work.
        let body: &[u8] = if message.payload.is_empty() { b"{}" } else { &message.payload };
        match AssignmentMoveRequest::decode(body) {
            Ok(request) => self.carry_out(Ticket { reply, group, request, attempts: 0 }),
            Err(error) => self.answer(reply, moves::refusal(error.code(), error.to_string())),
        }
    }

    fn carry_out(&mut self, mut ticket: Ticket) {
        if ticket.attempts >= ATTEMPTS_MAX {
            return self.refuse(ticket, ErrorCode::Conflict, "others assign the task all the time; look who holds it");
        }
        ticket.attempts += 1;
        let (now, last) = (self.now(), ticket.attempts == ATTEMPTS_MAX);
        let Some(store) = self.store.clone().filter(|_| self.complete && self.groups_known) else {
            let message = "this instance has not read the definitions and assignments yet; try again in a moment";
            return if last {
                self.refuse(ticket, ErrorCode::Unavailable, message)
            } else {
                self.postponed.push(ticket)
            };
        };
        let assigner = self.assigners.get_mut(&ticket.group).filter(|assigner| assigner.group().is_defined());
        let Some(assigner) = assigner else {
            let message = format!("there is no group {}: check the name", ticket.group);
            return self.refuse(ticket, ErrorCode::UnknownGroup, message);
        };
        match assigner.asked(&ticket.request, now) {
            Err(Refusal::Busy) if !last => self.postponed.push(ticket),
            Ok(Asked::Held(assignment)) => {
                let previous = assignment.csp.clone();
                self.confirm(ticket.reply, assignment, previous);
            }
            Ok(Asked::Write(write)) => {
                assigner.writing(&write.assignment);
                self.write(store, write, Some(ticket));
            }
            Err(refusal) => self.refuse(ticket, refusal.code(), refusal.to_string()),
        }
    }

    /// Answers that it is done; of being primary, once the new one shows that it knows.
    fn confirm(&mut self, reply: Subject, assignment: Assignment, previous: Option<String>) {
        if assignment.task == TASK_REPLICATION {
            self.waiters.add(reply, assignment, previous, self.clock.monotonic_ms());
            return self.answer_waiters();
        }
        self.answer(reply, AssignmentMoveReply { assignment, previous }.encode());
    }

    fn refuse(&mut self, ticket: Ticket, code: ErrorCode, message: impl Into<String>) {
        let message = message.into();
        tracing::info!(group = ticket.group, task = ticket.request.task, %code, reason = message, "a task is not moved");
        self.answer(ticket.reply, moves::refusal(code, message));
    }

    fn answer_waiters(&mut self) {
        for (reply, body) in self.waiters.due(&self.assigners, self.clock.monotonic_ms()) {
            self.answer(reply, body);
        }
    }

    fn answer(&mut self, reply: Subject, body: Vec<u8>) {
        self.tasks.spawn(moves::answer(self.bus.client().clone(), reply, body));
    }

    /// Ends what is under way, and answers everybody who waits.
    pub async fn close(mut self, mut finished: mpsc::UnboundedReceiver<Done>) {
        loop {
            while self.tasks.join_next().await.is_some() {}
            match finished.try_recv() {
                Ok(done) => self.finished(done),
                Err(_) => break,
            }
        }
        for ticket in std::mem::take(&mut self.postponed) {
            self.refuse(ticket, ErrorCode::ShuttingDown, "this instance stops; another one answers");
        }
        for (reply, body) in self.waiters.give_up() {
            self.answer(reply, body);
        }
        while self.tasks.join_next().await.is_some() {}
    }

    fn assigner(&mut self, group: &str) -> &mut Assigner {
        let policy = self.policy;
        self.assigners.entry(group.to_owned()).or_insert_with(|| Assigner::new(group.to_owned(), policy))
    }

    fn now(&self) -> Now {
        Now { monotonic_ms: self.clock.monotonic_ms(), wall_ms: self.clock.now_ms() }
    }
}

fn read<M: Message>(message: &async_nats::Message) -> Option<M> {
    M::decode(&message.payload)
        .inspect_err(|error| tracing::debug!(subject = %message.subject, %error, "a message cannot be read"))
        .ok()
}
