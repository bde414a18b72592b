//! The requests of a group and its CSPs, together: what is taken, where it goes, and where it goes next when its CSP is gone.
//!
//! A taxi dispatcher: every passenger is in one car or stands at the rank, until the driver says "delivered". A car that
//! crashed does not say so; its passengers are fetched and sent on with a note, "may have been delivered already".
//!
//! ```text
//!   take --> waits <---> at a CSP --> done (a completion note names it)
//!              |             |
//!              +----> ended here <---+   (deadline, patience, no update window, group removed)
//! ```
//!
//! What must hold, and is tested under random histories: a request is at one CSP at most, or waits; it ends exactly once; it
//! is never forgotten and never sent after its deadline; every attempt is counted; and once it was with a CSP that was lost,
//! every later attempt says so.

mod kills;
mod windows;

pub use kills::Condemned;

use super::effect::{Cause, Effect, Ending, Sending};
use super::gate::{Gate, Passage};
use super::member::Report;
use super::open_requests::{Open, OpenRequests, Place, Ticket, number, ticket};
use super::policy::{Policy, Silence};
use super::pools::PoolIndex;
use super::probe::ProbeOutcome;
use super::roster::{CspIndex, Heard, Roster};
use super::route::{self, Demand, Need, NoRoute};
use super::suspicion::Losses;
use holdfast_schemas::ErrorCode;
use holdfast_schemas::message::{Completions, CspState, Replication, Returned};
use std::sync::Arc;

/// A CSP that gave a request back does not get it again for so long; doubled with every further time.
const BACK_OFF_MS: u64 = 4;
/// The longest such pause.
const BACK_OFF_MAX_MS: u64 = 64;
/// What is said to somebody who comes when everything is full.
const RETRY_AFTER_MS: u64 = 100;
/// How long a primary may take to give its updates back once another one is named. One that works does so in a few
/// milliseconds, and is spared a second attempt.
const DEPOSED_AFTER_MS: u64 = 100;
/// A message of an open transaction is not sent to its CSP again for so long; doubled with every further time.
const REST_MS: u64 = 20;
/// The longest such rest.
const REST_MAX_MS: u64 = 1_000;
/// Kinds of requests that are tried in vain before the rest of them is not tried any more, in one go through those that wait.
const VAIN_NEEDS_MAX: usize = 16;

/// A request that arrives.
#[derive(Debug)]
pub struct Arrival<C> {
    /// What travels.
    pub cargo: Arc<C>,
    /// What its CSP has to fulfil.
    pub need: Need,
    /// Requests with the same value go to the same copy where several may take them.
    pub affinity: Option<u64>,
    /// The pool whose CSPs may take it.
    pub pool: Option<String>,
    /// Whether it begins a transaction, which the group may take in its update windows only.
    pub begins: bool,
    /// Whether its sender may have sent it before: it bears an id of the sender's own, by which its outcome would be known.
    pub may_repeat: bool,
    /// What the clock on the wall says, in milliseconds since 1970.
    pub utc_ms: u64,
    /// The CSP that holds the transaction which the message belongs to.
    pub holder: Option<String>,
    /// How it is refused if two CSPs end while they work on it.
    pub condemned: Condemned,
    /// Size of its body.
    pub bytes: usize,
    /// How long its answer matters, from now on.
    pub deadline_ms: u64,
    /// Whether somebody waits for an answer.
    pub has_reply: bool,
}

/// The requests and CSPs of one group.
#[derive(Debug)]
pub struct Traffic<C> {
    roster: Roster,
    gate: Gate,
    open: OpenRequests<C>,
    policy: Policy,
    questions: u64,
    /// Whether somebody waits for a pause to end or for room, which no news tells of: the next sweep tries again.
    retries_at_sweep: bool,
}

impl<C> Traffic<C> {
    /// Without requests, and with CSPs of which nothing has been heard.
    pub fn new(replication: Replication, names: Vec<String>, policy: Policy) -> Self {
        let roster = Roster::new(replication, names, policy);
        Self {
            roster,
            gate: Gate::default(),
            open: OpenRequests::default(),
            policy,
            questions: 0,
            retries_at_sweep: false,
        }
    }

    /// The group has these CSPs from now on. Open requests stay where they are.
    pub fn redefine(&mut self, replication: Replication, names: &[String], now_ms: u64) -> Vec<Effect<C>> {
        self.roster.redefine(replication, names);
        self.place_waiting(now_ms)
    }

    /// Silence means this from now on.
    pub fn set_silence(&mut self, silence: Silence) {
        self.roster.set_silence(silence);
    }

    /// The group is no more: whoever waits is told. What a CSP has, it answers.
    pub fn close(&mut self) -> Vec<Effect<C>> {
        let ending = |open: &Open<C>| match open.ending() {
            Ending::OutcomeUnknown => Ending::OutcomeUnknown,
            _ => Ending::GroupRemoved,
        };
        self.open.waiting().into_iter().filter_map(|ticket| self.end(ticket, ending)).collect()
    }

    /// What is known of the CSPs.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The requests that have not ended.
    pub fn open(&self) -> &OpenRequests<C> {
        &self.open
    }

    /// Takes a request: sends it, ends it, or (none) lets it wait.
    pub fn take(&mut self, arrival: Arrival<C>, now_ms: u64) -> Option<Effect<C>> {
        let refused = |cargo, ending| Some(Effect::End { cargo, ending });
        let is_full = self.open.len() >= self.policy.open_requests_max
            || self.open.bytes().saturating_add(arrival.bytes) > self.policy.open_bytes_max;
        if is_full {
            return refused(arrival.cargo, Ending::Full { retry_after_ms: RETRY_AFTER_MS });
        }
        let demand = match self.demand(&arrival) {
            Ok(demand) => demand,
            Err(ending) => return refused(arrival.cargo, ending),
        };
        match self.passage(&arrival) {
            Passage::Open => {}
            // Its outcome is asked for before it is told to wait or to come again.
            Passage::Wait { .. } | Passage::Refuse(_) if arrival.may_repeat && arrival.has_reply => {}
            Passage::Wait { wait_ms } => {
                let ticket = self.open.insert(self.opened(arrival, demand, NoRoute::OutsideWindow, now_ms));
                self.postpone(ticket, wait_ms, now_ms);
                return None;
            }
            Passage::Refuse(ending) => return refused(arrival.cargo, ending),
        }
        match route::choose(&self.roster, demand, now_ms) {
            Ok(csp) => match self.too_late(csp, arrival.need, arrival.deadline_ms) {
                Some(ending) => refused(arrival.cargo, ending),
                None => {
                    let ticket = self.open.insert(self.opened(arrival, demand, NoRoute::NobodyAvailable, now_ms));
                    self.send(ticket, csp, now_ms)
                }
            },
            Err(NoRoute::AllFull) => refused(arrival.cargo, Ending::Full { retry_after_ms: RETRY_AFTER_MS }),
            Err(reason @ NoRoute::LogRefuses { .. }) => refused(arrival.cargo, Ending::NoRoute(reason)),
            Err(reason) => {
                self.open.insert(self.opened(arrival, demand, reason, now_ms));
                None
            }
        }
    }

    fn demand(&self, arrival: &Arrival<C>) -> Result<Demand, Ending> {
        let pool = |name: &str| self.roster.pools().find(name).ok_or(Ending::UnknownPool);
        let holder = |csp: &str| self.roster.find(csp).ok_or(Ending::UnknownHolder);
        Ok(Demand {
            need: arrival.need,
            affinity: arrival.affinity,
            pool: arrival.pool.as_deref().map(pool).transpose()?,
            avoided: None,
            holder: arrival.holder.as_deref().map(holder).transpose()?,
        })
    }

    fn opened(&self, arrival: Arrival<C>, demand: Demand, reason: NoRoute, now_ms: u64) -> Open<C> {
        let patience_ms = self.policy.patience_ms.min(arrival.deadline_ms);
        Open {
            cargo: arrival.cargo,
            demand,
            begins: arrival.begins,
            asks: arrival.may_repeat && arrival.begins && arrival.has_reply,
            begun: false,
            bytes: arrival.bytes,
            has_reply: arrival.has_reply,
            deadline_ms: now_ms.saturating_add(arrival.deadline_ms),
            give_up_at_ms: now_ms.saturating_add(patience_ms),
            place: Place::Waiting(reason),
            attempt: 0,
            returns: 0,
            avoided_until_ms: 0,
            may_have_run: false,
            rests_until_ms: 0,
            awaits_begin: false,
            is_time_over: false,
            losses: Losses::default(),
            condemned: arrival.condemned,
            refuses: false,
        }
    }

    /// Whether the CSP has so much to do that the request could not be answered in time. Who came to stand there for a lock has
    /// said how long it stands, and takes nobody's time meanwhile.
    fn too_late(&self, csp: CspIndex, need: Need, left_ms: u64) -> Option<Ending> {
        if need == Need::Turn {
            return None;
        }
        let member = self.roster.member(csp)?;
        let wait_ms = member.pace.wait_ms(member.open()).filter(|wait_ms| *wait_ms > left_ms)?;
        Some(Ending::TooLate { ahead: member.open(), retry_after_ms: wait_ms - left_ms })
    }

    /// A CSP says what it is done with, and gives back what it does not answer.
    pub fn completed(&mut self, note: &Completions, now_ms: u64) -> Vec<Effect<C>> {
        if let Some(member) = self.roster.find(&note.csp).and_then(|csp| self.roster.member_mut(csp)) {
            member.probe.sign_of_life(now_ms);
        }
        note.begun.iter().for_each(|number| self.begun(*number));
        for number in &note.done {
            self.done(*number, now_ms);
        }
        let returned = note.returned.iter().filter_map(|returned| self.returned(returned, now_ms)).collect();
        // Room that became free is given to those who wait by the next sweep: notes are too many to try everybody each time.
        self.place(returned, now_ms)
    }

    fn done(&mut self, done: u64, now_ms: u64) {
        let ticket = ticket(done);
        let Some(open) = self.remove(ticket) else {
            return;
        };
        // The answer of an earlier CSP says nothing about the one that has the request now.
        let Place::At { csp, since_ms } = open.place else {
            return;
        };
        if number(ticket, open.attempt) != done {
            return;
        }
        // How long somebody stood there for a lock is no measure of the CSP.
        let is_measure = open.demand.need != Need::Turn;
        if let Some(member) = self.roster.member_mut(csp).filter(|_| is_measure) {
            member.pace.done();
            let time = if open.demand.need.is_update() { &mut member.updates } else { &mut member.queries };
            time.note(now_ms.saturating_sub(since_ms), now_ms);
        }
    }

    fn returned(&mut self, returned: &Returned, now_ms: u64) -> Option<Ticket> {
        let ticket = ticket(returned.number);
        let open = self.open.get_mut(ticket)?;
        let Place::At { csp, .. } = open.place else {
            return None;
        };
        if number(ticket, open.attempt) != returned.number {
            return None;
        }
        if open.asks {
            // There is no outcome: it is judged by the gate, like what comes now. Anything else leaves the question open.
            open.asks = returned.code != ErrorCode::NotFound;
        } else {
            open.may_have_run |= returned.code.outcome_is_unknown();
        }
        open.demand.avoided = Some(csp);
        open.avoided_until_ms = now_ms + BACK_OFF_MAX_MS.min(BACK_OFF_MS << open.returns.min(8));
        open.returns += 1;
        open.is_time_over = returned.code == ErrorCode::DeadlineExceeded;
        self.wait(ticket, NoRoute::NobodyAvailable);
        Some(ticket)
    }

    /// A CSP says that it lives.
    pub fn heard(&mut self, csp: &str, report: &Report, now_ms: u64) -> (bool, Vec<Effect<C>>) {
        let before = self.incarnation_before(csp, report);
        let heard = self.roster.observe(csp, report, now_ms);
        self.learn_who_lives(heard, before.as_deref());
        let mut effects = match heard {
            Heard::Replaced(csp) => {
                let before = before.unwrap_or_default();
                self.vanish_as(csp, &before, Cause::Replaced, now_ms)
            }
            Heard::Reconnected(csp) => self.vanish(csp, Cause::Reconnected, now_ms),
            // Only messages of open transactions waited for this.
            Heard::HeardAgain(csp) => self.vanish(csp, Cause::HeardAgain, now_ms),
            Heard::Known(_) | Heard::Stranger => Vec::new(),
        };
        effects.extend(self.place_waiting(now_ms));
        (heard != Heard::Stranger, effects)
    }

    /// The process that was behind a name, where the report is of another one.
    fn incarnation_before(&self, csp: &str, report: &Report) -> Option<String> {
        let member = self.roster.find(csp).and_then(|csp| self.roster.member(csp))?;
        (member.incarnation() != report.incarnation).then(|| member.incarnation().to_owned())
    }

    fn learn_who_lives(&mut self, heard: Heard, before: Option<&str>) {
        match heard {
            Heard::Replaced(csp) => self.confirm_loss(csp, before.unwrap_or_default()),
            Heard::Known(csp) | Heard::Reconnected(csp) | Heard::HeardAgain(csp) => {
                if self.roster.member(csp).is_some_and(|member| member.is_back) {
                    self.refute_loss(csp);
                }
            }
            Heard::Stranger => {}
        }
    }

    /// Supervision says how a CSP is. A verdict on a process that is not there any more says nothing.
    pub fn judged(&mut self, csp: &str, state: CspState, incarnation: Option<&str>, now_ms: u64) -> Vec<Effect<C>> {
        match self.take_verdict(csp, state, incarnation, now_ms) {
            Some(csp) if state == CspState::Unavailable => self.bury(&[(csp, Cause::Judged)], now_ms),
            Some(_) => self.place_waiting(now_ms),
            None => Vec::new(),
        }
    }

    /// Supervision holds a CSP for gone, because nobody listens there any more.
    pub fn deserted(&mut self, csp: &str, incarnation: Option<&str>, now_ms: u64) -> Vec<Effect<C>> {
        match self.take_verdict(csp, CspState::Unavailable, incarnation, now_ms) {
            Some(csp) => self.bury(&[(csp, Cause::Deserted)], now_ms),
            None => Vec::new(),
        }
    }

    /// Supervision holds a node for gone, and all these CSPs with it. At some of them nobody listens any more; the others are silent.
    pub fn node_judged(&mut self, csps: &[String], deserted: &[String], now_ms: u64) -> Vec<Effect<C>> {
        let judged = csps.iter().filter_map(|name| {
            let csp = self.take_verdict(name, CspState::Unavailable, None, now_ms)?;
            Some((csp, if deserted.contains(name) { Cause::Deserted } else { Cause::Judged }))
        });
        let gone: Vec<_> = judged.collect();
        if gone.is_empty() { Vec::new() } else { self.bury(&gone, now_ms) }
    }

    /// Notes a verdict, if it is about a process that is there.
    fn take_verdict(&mut self, csp: &str, state: CspState, incarnation: Option<&str>, now_ms: u64) -> Option<CspIndex> {
        let csp = self.roster.find(csp)?;
        self.roster.note_verdict(csp);
        let member = self.roster.member_mut(csp)?;
        if incarnation.is_some_and(|incarnation| incarnation != member.incarnation()) {
            return None;
        }
        member.is_doubted = !matches!(state, CspState::Available | CspState::Draining);
        member.is_condemned = state == CspState::Unavailable;
        if member.is_condemned {
            member.gone_at_ms = Some(now_ms);
        }
        Some(csp)
    }

    /// These were judged to be gone. What was there is taken from all of them before any of it is sent anew: else it would go from
    /// one to the next that is gone, and look as if it had ended both.
    fn bury(&mut self, gone: &[(CspIndex, Cause)], now_ms: u64) -> Vec<Effect<C>> {
        let (mut effects, mut lost) = (Vec::new(), Vec::new());
        for (csp, cause) in gone {
            let incarnation = self.incarnation_of(*csp);
            if *cause == Cause::Deserted {
                self.confirm_loss(*csp, &incarnation);
            }
            lost.extend(self.lose_as(*csp, &incarnation, *cause, now_ms, &mut effects));
        }
        lost.sort_unstable();
        effects.extend(self.place(lost, now_ms));
        // Others may have waited for the verdict.
        effects.extend(self.place_waiting(now_ms));
        effects
    }

    /// Supervision doubted that process before anybody here listened.
    pub fn doubted_before(&mut self, csp: &str, incarnation: &str) {
        self.roster.recall_doubt(csp, incarnation);
    }

    /// What became of a question.
    pub fn probed(&mut self, csp: CspIndex, question: u64, outcome: ProbeOutcome, now_ms: u64) -> Vec<Effect<C>> {
        let Some(member) = self.roster.member_mut(csp) else {
            return Vec::new();
        };
        if !member.probe.settled(question) || outcome == ProbeOutcome::Unsettled {
            return Vec::new();
        }
        member.gone_at_ms = Some(now_ms);
        self.vanish(csp, Cause::NoResponders, now_ms)
    }

    /// Our own connection was lost for a moment: what we had sent may not have arrived, and neither what we were told.
    pub fn reconnected(&mut self, now_ms: u64) -> Vec<Effect<C>> {
        let csps: Vec<_> = self.roster.members().map(|(csp, _)| csp).collect();
        let mut effects = Vec::new();
        // All of them before any is sent anew: what is sent now goes over the new connection.
        let mut lost: Vec<_> =
            csps.into_iter().flat_map(|csp| self.lose(csp, Cause::Reconnected, &mut effects)).collect();
        lost.sort_unstable();
        effects.extend(self.place(lost, now_ms));
        effects
    }

    /// Time passes: ends what is due, asks CSPs that say nothing, and tries those that wait for a pause or for room.
    pub fn sweep(&mut self, now_ms: u64) -> Vec<Effect<C>> {
        self.roster.tick(now_ms);
        if self.open.is_empty() {
            return Vec::new();
        }
        let ending = self.ending();
        let mut effects: Vec<_> = self.due(now_ms).into_iter().filter_map(|ticket| self.end(ticket, &ending)).collect();
        for csp in self.roster.lost(now_ms) {
            effects.extend(self.vanish(csp, Cause::Silent, now_ms));
        }
        effects.extend(self.recover_from_deposed(now_ms));
        effects.extend(self.probes(now_ms));
        if std::mem::take(&mut self.retries_at_sweep) {
            effects.extend(self.place_waiting(now_ms));
        }
        self.open.shrink();
        effects
    }

    fn due(&self, now_ms: u64) -> Vec<Ticket> {
        let grace_ms = self.policy.completion_grace_ms;
        let is_due = |open: &Open<C>| match open.place {
            Place::At { .. } => now_ms >= open.deadline_ms.saturating_add(grace_ms),
            Place::Waiting(_) if !open.begun => now_ms >= open.give_up_at_ms,
            Place::Waiting(_) => now_ms >= open.deadline_ms,
        };
        self.open.iter().filter(|(_, open)| is_due(open)).map(|(ticket, _)| ticket).collect()
    }

    /// Whether nothing is known of the CSP since then. What stands there for a lock is worth a question until then, and not
    /// again and again for as long as it stands: that the CSP goes later is told by supervision, by its heartbeats, or by a
    /// question for others.
    fn is_quiet_since(&self, csp: CspIndex, since_ms: u64) -> bool {
        self.roster.member(csp).is_some_and(|member| member.probe.is_quiet_since(since_ms))
    }

    fn probes(&mut self, now_ms: u64) -> Vec<Effect<C>> {
        let mut oldest_ms: Vec<Option<u64>> = Vec::new();
        for (_, open) in self.open.iter() {
            let Place::At { csp, since_ms } = open.place else {
                continue;
            };
            if open.demand.need == Need::Turn && !self.is_quiet_since(csp, since_ms) {
                continue;
            }
            if oldest_ms.len() <= csp.0 {
                oldest_ms.resize(csp.0 + 1, None);
            }
            if let Some(oldest) = oldest_ms.get_mut(csp.0) {
                *oldest = Some(oldest.map_or(since_ms, |oldest| oldest.min(since_ms)));
            }
        }
        let mut effects = Vec::new();
        for (place, oldest_ms) in oldest_ms.into_iter().enumerate() {
            let csp = CspIndex(place);
            let (Some(oldest_ms), Some(member)) = (oldest_ms, self.roster.member_mut(csp)) else {
                continue;
            };
            if member.probe.is_due(oldest_ms, self.policy.probe_after_ms, now_ms) {
                self.questions += 1;
                member.probe.asked(self.questions, now_ms);
                effects.push(Effect::Probe { csp, question: self.questions });
            }
        }
        effects
    }

    /// The CSP has lost what it had, or may have: everything there is sent anew, and may have been carried out.
    fn vanish(&mut self, csp: CspIndex, cause: Cause, now_ms: u64) -> Vec<Effect<C>> {
        let incarnation = self.incarnation_of(csp);
        self.vanish_as(csp, &incarnation, cause, now_ms)
    }

    fn incarnation_of(&self, csp: CspIndex) -> String {
        self.roster.member(csp).map(|member| member.incarnation().to_owned()).unwrap_or_default()
    }

    /// The same, of a process that may have been replaced since.
    fn vanish_as(&mut self, csp: CspIndex, incarnation: &str, cause: Cause, now_ms: u64) -> Vec<Effect<C>> {
        let mut effects = Vec::new();
        let lost = self.lose_as(csp, incarnation, cause, now_ms, &mut effects);
        effects.extend(self.place(lost, now_ms));
        effects
    }

    /// Takes everything from the CSP, and notes by which process it was lost.
    fn lose_as(
        &mut self,
        csp: CspIndex,
        incarnation: &str,
        cause: Cause,
        now_ms: u64,
        effects: &mut Vec<Effect<C>>,
    ) -> Vec<Ticket> {
        let lost = self.lose(csp, cause, effects);
        lost.iter().for_each(|ticket| self.note_loss(*ticket, csp, incarnation, cause, now_ms));
        lost
    }

    /// A primary that does not apply its log does not learn that it was replaced, and would keep its updates until their
    /// deadline. What it does with them is void by now, unless it came before the epoch of the next one, which the id tells.
    fn recover_from_deposed(&mut self, now_ms: u64) -> Vec<Effect<C>> {
        let is_one_of_many = self.roster.replication() == Replication::Primary;
        let Some(primary) = self.roster.primary_for(DEPOSED_AFTER_MS, now_ms).filter(|_| is_one_of_many) else {
            return Vec::new();
        };
        let mut kept: Vec<(CspIndex, Ticket)> = Vec::new();
        for (ticket, open) in self.open.iter() {
            // A message of an open transaction is for the one that has the transaction.
            if let Place::At { csp, .. } = open.place
                && csp != primary
                && open.demand.need.is_update()
                && open.demand.holder.is_none()
            {
                kept.push((csp, ticket));
            }
        }
        kept.sort_unstable();
        let mut effects = Vec::new();
        for there in kept.chunk_by(|(one, _), (next, _)| one == next) {
            let Some((csp, _)) = there.first() else { continue };
            let tickets: Vec<_> = there.iter().map(|(_, ticket)| *ticket).collect();
            self.take_from(*csp, Cause::Deposed, &tickets, &mut effects);
        }
        let mut tickets: Vec<_> = kept.into_iter().map(|(_, ticket)| ticket).collect();
        tickets.sort_unstable();
        effects.extend(self.place(tickets, now_ms));
        effects
    }

    /// Takes everything from the CSP, and lets it wait. But messages of open transactions stay there while it may still have
    /// those: nobody else can carry them out, and silence says nothing of what became of them.
    fn lose(&mut self, csp: CspIndex, cause: Cause, effects: &mut Vec<Effect<C>>) -> Vec<Ticket> {
        let mut there = self.open.at(csp);
        let is_meant = |open: &Open<C>| match cause {
            Cause::Silent => !open.is_bound_to(csp),
            Cause::HeardAgain => open.is_bound_to(csp),
            _ => true,
        };
        there.retain(|ticket| self.open.get(*ticket).is_some_and(is_meant));
        // A silent CSP without requests is nothing new with every sweep, and one that is back nothing to speak of.
        if there.is_empty() && matches!(cause, Cause::Silent | Cause::Reconnected | Cause::HeardAgain) {
            return there;
        }
        self.take_from(csp, cause, &there, effects);
        there
    }

    /// Takes these from the CSP, which may have carried them out, and lets them wait.
    fn take_from(&mut self, csp: CspIndex, cause: Cause, tickets: &[Ticket], effects: &mut Vec<Effect<C>>) {
        for ticket in tickets {
            if let Some(open) = self.open.get_mut(*ticket) {
                open.may_have_run |= !open.asks;
            }
            self.wait(*ticket, NoRoute::NobodyAvailable);
        }
        effects.push(Effect::Vanished { csp, cause, requests: tickets.len() });
    }

    fn place_waiting(&mut self, now_ms: u64) -> Vec<Effect<C>> {
        if self.open.has_waiting() { self.place(self.open.waiting(), now_ms) } else { Vec::new() }
    }

    /// Sends those of the tickets that somebody can take now; the others go on waiting.
    fn place(&mut self, tickets: Vec<Ticket>, now_ms: u64) -> Vec<Effect<C>> {
        let mut vain: Vec<((Need, Option<PoolIndex>), NoRoute)> = Vec::new();
        let (tickets, mut effects) = self.admitted(tickets, now_ms);
        let tickets = self.harmless(tickets, now_ms, &mut effects);
        for ticket in tickets {
            let Some(open) = self.open.get_mut(ticket).filter(|open| now_ms < open.deadline_ms) else {
                continue;
            };
            if now_ms >= open.avoided_until_ms {
                open.demand.avoided = None;
            }
            let demand = open.demand;
            let is_bound = demand.holder.is_some();
            let kind = (demand.need, demand.pool);
            let known = vain.iter().find(|(vain, _)| *vain == kind && !is_bound).map(|(_, reason)| *reason);
            let chosen = known.map_or_else(|| route::choose(&self.roster, demand, now_ms), Err);
            match chosen {
                Ok(csp) if open.is_bound_to(csp) && now_ms < open.rests_until_ms => self.retries_at_sweep = true,
                Ok(csp) => effects.extend(self.send(ticket, csp, now_ms)),
                Err(reason @ NoRoute::LogRefuses { .. }) => {
                    self.open.put(ticket, Place::Waiting(reason));
                    effects.extend(self.end(ticket, Open::ending));
                }
                Err(reason) => {
                    self.retries_at_sweep |= demand.avoided.is_some() || reason == NoRoute::AllFull;
                    // Where one went away empty-handed that avoids nobody, so does the next of its kind.
                    if known.is_none() && demand.avoided.is_none() && !is_bound && vain.len() < VAIN_NEEDS_MAX {
                        vain.push((kind, reason));
                    }
                    self.open.put(ticket, Place::Waiting(reason));
                }
            }
        }
        effects
    }

    fn send(&mut self, ticket: Ticket, csp: CspIndex, now_ms: u64) -> Option<Effect<C>> {
        self.open.put(ticket, Place::At { csp, since_ms: now_ms });
        let is_in_window = self.gate.is_open();
        let open = self.open.get_mut(ticket)?;
        open.asks &= !is_in_window;
        open.begun |= !open.asks;
        open.rests_until_ms = now_ms + REST_MAX_MS.min(REST_MS << open.attempt.min(8));
        open.attempt += 1;
        open.awaits_begin = open.may_have_run;
        open.losses.sent();
        open.is_time_over = false;
        let need = open.demand.need;
        let sending = Sending {
            cargo: Arc::clone(&open.cargo),
            csp,
            is_update: need.is_update(),
            number: open.has_reply.then(|| number(ticket, open.attempt)),
            attempt: open.attempt,
            is_recovery: open.may_have_run,
            asks: open.asks,
            refuses: open.refuses,
            at_ms: now_ms,
            left_ms: open.deadline_ms.saturating_sub(now_ms),
        };
        if open.has_reply {
            self.roster.sent(csp, need);
        } else {
            self.open.remove(ticket);
            self.roster.passed(csp);
        }
        Some(Effect::Send(sending))
    }

    /// Takes the request from its CSP, if it is at one, and lets it wait.
    fn wait(&mut self, ticket: Ticket, reason: NoRoute) {
        let Some(need) = self.open.get(ticket).map(|open| open.demand.need) else {
            return;
        };
        let before = self.open.put(ticket, Place::Waiting(reason));
        self.leave(before, need);
    }

    fn remove(&mut self, ticket: Ticket) -> Option<Open<C>> {
        let open = self.open.remove(ticket)?;
        self.leave(Some(open.place), open.demand.need);
        Some(open)
    }

    fn leave(&mut self, place: Option<Place>, need: Need) {
        if let Some(Place::At { csp, .. }) = place
            && let Some(member) = self.roster.member_mut(csp)
        {
            member.left(need);
        }
    }

    fn end(&mut self, ticket: Ticket, ending: impl Fn(&Open<C>) -> Ending) -> Option<Effect<C>> {
        let open = self.remove(ticket)?;
        let ending = ending(&open);
        Some(Effect::End { cargo: open.cargo, ending })
    }
}

impl<C> Open<C> {
    /// What can be said of the request when its time is over.
    fn ending(&self) -> Ending {
        let is_update = self.demand.need.is_update();
        match self.place {
            _ if is_update && self.may_have_run => Ending::OutcomeUnknown,
            Place::At { .. } if is_update => Ending::OutcomeUnknown,
            Place::At { .. } => Ending::Unanswered,
            Place::Waiting(_) if self.is_time_over => Ending::TimeOver,
            Place::Waiting(_) if self.begun && !is_update => Ending::Unanswered,
            Place::Waiting(reason) => Ending::NoRoute(reason),
        }
    }
}

#[cfg(test)]
#[path = "traffic/bound_tests.rs"]
mod bound_tests;
#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
