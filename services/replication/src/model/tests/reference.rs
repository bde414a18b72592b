//! The slow certifier: keeps everything for ever, looks at all of it each time, and is meant to be obviously right.
//!
//! It does not forget senders, keys or parts, decodes nothing, and hashes nothing. `Sabotage` breaks one rule of it, to see
//! that the comparison would notice.

use super::SMALL;
use super::Seen;
use super::log::{Meant, Outside, Sent};
use crate::entry::{Control, Isolation, Replication};
use crate::model::{Cause, Place, Verdict, VoidReason};

/// One rule that is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::model) enum Sabotage {
    None,
    BlindWrites,
    LockedKeys,
    ReadKeys,
    Ranges,
    SameEntry,
    StampedKeys,
    Isolation,
    Horizon,
    HorizonInsideParts,
    BaseTooOld,
    Numbers,
    Incarnations,
    Epochs,
    Primaries,
    Ids,
    IdsOfRefused,
    IdExpiry,
    IdCount,
    LogTime,
    Stamps,
    PartOrder,
    EntryWrites,
    Junk,
    OtherLog,
}

/// A key, or the begin and end of a range.
type Dependency<'a> = (Cause, &'a [u8], Option<&'a [u8]>);

/// What is known of one position, for ever.
#[derive(Debug, Clone)]
struct Fact {
    log_time_ms: u64,
    registered: Option<Outside>,
    collected: bool,
    first_part: u64,
    accepted: Vec<Meant>,
}

#[derive(Debug, Clone)]
struct KnownId {
    id: String,
    place: Place,
    log_time_ms: u64,
    gone: bool,
}

#[derive(Debug, Clone)]
pub(in crate::model) struct Reference {
    sabotage: Sabotage,
    facts: Vec<Fact>,
    ids: Vec<KnownId>,
    pub log_time_us: u64,
    server_us: u64,
    is_clocked: bool,
    pub stamp: u64,
    pub epoch: u64,
    pub primary: Option<String>,
    replication: Replication,
    isolation: Isolation,
    ids_kept_ms: u64,
    pub horizon: u64,
    pub junk: u64,
}

impl Reference {
    pub fn new(sabotage: Sabotage) -> Self {
        Self {
            sabotage,
            facts: Vec::new(),
            ids: Vec::new(),
            log_time_us: 0,
            server_us: 0,
            is_clocked: false,
            stamp: 0,
            epoch: 0,
            primary: None,
            replication: Replication::Primary,
            isolation: Isolation::Serializable,
            ids_kept_ms: 0,
            horizon: 0,
            junk: 0,
        }
    }

    fn is(&self, sabotage: Sabotage) -> bool {
        self.sabotage == sabotage
    }

    pub fn apply(&mut self, timestamp_us: u64, sent: &Sent) -> Seen {
        self.pass(timestamp_us, sent);
        self.expire_ids();
        let position = self.facts.len() as u64 + 1;
        self.facts.push(Fact {
            log_time_ms: self.log_time_us / 1_000,
            registered: None,
            collected: false,
            first_part: position,
            accepted: Vec::new(),
        });
        let seen = match sent {
            Sent::Foreign => Seen::Void(VoidReason::Foreign),
            Sent::Damaged => Seen::Void(VoidReason::Malformed),
            Sent::OfOtherLog(outside) if outside.base < self.horizon => Seen::Void(VoidReason::BaseTooOld),
            Sent::OfOtherLog(outside) if self.is_superseded(outside, self.horizon) => {
                Seen::Void(VoidReason::Superseded)
            }
            Sent::OfOtherLog(_) if self.is(Sabotage::OtherLog) => Seen::Batch(Vec::new()),
            Sent::OfOtherLog(_) => Seen::Void(VoidReason::OtherLog),
            Sent::Control(control) => Seen::Control { effective: self.control(control) },
            Sent::Entry(outside, transactions) => self.entry(position, timestamp_us, outside, transactions),
        };
        let junk = matches!(seen, Seen::Void(VoidReason::Foreign | VoidReason::Malformed | VoidReason::OtherLog));
        if junk && !self.is(Sabotage::Junk) {
            self.junk += 1;
        }
        self.move_horizon();
        seen
    }

    /// Log time, told step by step.
    fn pass(&mut self, server_us: u64, sent: &Sent) {
        let clock = match sent {
            Sent::Entry(outside, _) | Sent::OfOtherLog(outside) => outside.clock,
            _ => None,
        };
        let (was_clocked, before_us) = (self.is_clocked, self.server_us);
        self.is_clocked |= clock.is_some();
        self.server_us = server_us;
        if self.is(Sabotage::LogTime) {
            self.log_time_us = server_us;
            return;
        }
        let Some(clock) = clock else {
            let server_us = server_us - server_us % 1_000;
            if !was_clocked && server_us > self.log_time_us {
                self.log_time_us = server_us;
            }
            return;
        };
        let wall_us = clock.wall_ms * 1_000;
        if was_clocked && server_us > before_us {
            let mut step_us = server_us - before_us;
            if clock.since_us < step_us {
                step_us = clock.since_us;
            }
            if self.log_time_us > server_us && self.log_time_us > wall_us {
                step_us /= 2;
            }
            self.log_time_us += step_us;
        }
        if self.log_time_us < server_us && self.log_time_us < wall_us {
            self.log_time_us = if server_us < wall_us { server_us } else { wall_us };
        }
    }

    fn fact(&self, position: u64) -> &Fact {
        &self.facts[position as usize - 1]
    }

    fn now(&mut self) -> &mut Fact {
        self.facts.last_mut().unwrap()
    }

    fn control(&mut self, control: &Control) -> bool {
        match control {
            Control::Define { replication, isolation, ids_kept_ms, .. } => {
                (self.replication, self.isolation, self.ids_kept_ms) = (*replication, *isolation, *ids_kept_ms);
                true
            }
            Control::Epoch { epoch, primary } if *epoch > self.epoch || self.is(Sabotage::Epochs) => {
                (self.epoch, self.primary) = (*epoch, Some(primary.clone()));
                true
            }
            Control::Epoch { .. } => false,
            Control::Mark { .. } => true,
        }
    }

    fn entry(&mut self, position: u64, timestamp_us: u64, outside: &Outside, transactions: &[Meant]) -> Seen {
        if outside.base < self.horizon && !self.is(Sabotage::BaseTooOld) {
            return Seen::Void(VoidReason::BaseTooOld);
        }
        if self.is_superseded(outside, 0) {
            return Seen::Void(VoidReason::Superseded);
        }
        self.now().registered = Some(outside.clone());
        if self.replication == Replication::Primary {
            let is_primary = self.primary.as_deref() == Some(outside.csp) || self.is(Sabotage::Primaries);
            if outside.epoch != self.epoch || !is_primary {
                return Seen::Void(VoidReason::NotPrimary);
            }
        }
        let Some(first_part) = self.first_part(position, outside) else {
            return Seen::Void(VoidReason::Incomplete);
        };
        if outside.part + 1 < outside.parts {
            self.now().collected = true;
            return Seen::Collected;
        }
        if transactions.iter().any(|meant| meant.snapshot > outside.base) {
            return Seen::Void(VoidReason::Malformed);
        }
        let writes: usize = transactions.iter().map(|meant| meant.writes.len()).sum();
        if outside.clock.is_some() && writes > SMALL.entry_writes_max && !self.is(Sabotage::EntryWrites) {
            return Seen::Void(VoidReason::TooLarge);
        }
        self.now().first_part = first_part;
        Seen::Batch(
            (0..).zip(transactions).map(|(index, meant)| self.judge(position, index, timestamp_us, meant)).collect(),
        )
    }

    /// Whether a later entry of the same sender stands behind a position. Of senders that keep to the rules it does not matter
    /// what is forgotten; of one that does not, only what is remembered is known, and it is void either way.
    fn is_superseded(&self, outside: &Outside, behind: u64) -> bool {
        let remembered = self.facts.iter().skip(behind as usize);
        let mut earlier = remembered.filter_map(|fact| fact.registered.as_ref());
        earlier.any(|known| {
            known.csp == outside.csp
                && (known.incarnation > outside.incarnation && !self.is(Sabotage::Incarnations)
                    || known.incarnation == outside.incarnation
                        && known.number >= outside.number
                        && !self.is(Sabotage::Numbers))
        })
    }

    /// Where the first part of this entry is, if all parts up to this one came one after the other.
    fn first_part(&self, position: u64, outside: &Outside) -> Option<u64> {
        let mut sender = (1..position)
            .rev()
            .filter(|&earlier| self.fact(earlier).registered.as_ref().is_some_and(|known| known.csp == outside.csp));
        let mut first = position;
        for back in 1..=outside.part {
            first = sender.next()?;
            let fact = self.fact(first);
            let known = fact.registered.as_ref()?;
            let fits = known.incarnation == outside.incarnation
                && known.number + u64::from(back) == outside.number
                && known.part + back == outside.part
                && known.parts == outside.parts;
            if !fact.collected || !(fits || self.is(Sabotage::PartOrder)) {
                return None;
            }
        }
        Some(first)
    }

    fn judge(&mut self, position: u64, index: u32, timestamp_us: u64, meant: &Meant) -> (Verdict, Option<u64>) {
        let verdict = self.verdict(position, meant);
        let place = Place { position, index };
        if let Some(id) = &meant.id
            && (verdict.is_accepted() || self.is(Sabotage::IdsOfRefused) && !matches!(verdict, Verdict::Duplicate(_)))
        {
            self.ids.push(KnownId { id: id.clone(), place, log_time_ms: self.log_time_us / 1_000, gone: false });
        }
        if !verdict.is_accepted() {
            return (verdict, None);
        }
        self.now().accepted.push(meant.clone());
        if !meant.stamped {
            return (verdict, None);
        }
        let now_us = if self.is_clocked { self.log_time_us } else { timestamp_us };
        self.stamp = if self.is(Sabotage::Stamps) { now_us } else { now_us.max(self.stamp + 1) };
        (verdict, Some(self.stamp))
    }

    fn verdict(&self, position: u64, meant: &Meant) -> Verdict {
        let mut known = self.ids.iter().filter(|known| !known.gone && !self.is(Sabotage::Ids));
        if let Some(first) = known.find(|known| Some(&known.id) == meant.id.as_ref()) {
            return Verdict::Duplicate(first.place);
        }
        if meant.snapshot < self.horizon && !self.is(Sabotage::Horizon) {
            return Verdict::TooOld { horizon: self.horizon };
        }
        let serializable = self.isolation == Isolation::Serializable && !self.is(Sabotage::Isolation);
        if serializable && !meant.serializable {
            return Verdict::ReadsUnknown;
        }
        let mut dependencies: Vec<Dependency<'_>> = Vec::new();
        let conflicting = meant.writes.iter().filter(|(_, stamped)| !stamped || self.is(Sabotage::StampedKeys));
        if !self.is(Sabotage::BlindWrites) {
            dependencies.extend(conflicting.map(|(key, _)| (Cause::Written, key.as_slice(), None)));
        }
        if !self.is(Sabotage::LockedKeys) {
            dependencies.extend(meant.locked.iter().map(|key| (Cause::Locked, key.as_slice(), None)));
        }
        if serializable && !self.is(Sabotage::ReadKeys) {
            dependencies.extend(meant.reads.iter().map(|key| (Cause::Read, key.as_slice(), None)));
        }
        if !self.is(Sabotage::Ranges) {
            let ranges = meant.ranges.iter();
            dependencies.extend(ranges.map(|(begin, end)| (Cause::Range, begin.as_slice(), Some(end.as_slice()))));
        }
        for (cause, begin, end) in dependencies {
            if let Some(position) = self.last_written(position, meant.snapshot, begin, end) {
                return Verdict::Conflict { position, cause };
            }
        }
        Verdict::Accepted
    }

    /// The last position after the snapshot that wrote this key or a key of this range.
    fn last_written(&self, position: u64, snapshot: u64, begin: &[u8], end: Option<&[u8]>) -> Option<u64> {
        let last = if self.is(Sabotage::SameEntry) { position - 1 } else { position };
        let is_meant = |key: &[u8]| match end {
            None => key == begin,
            Some(end) => key >= begin && key < end,
        };
        (snapshot + 1..=last).rev().find(|&earlier| {
            let mut written = self.fact(earlier).accepted.iter().flat_map(|meant| &meant.writes);
            written.any(|(key, _)| is_meant(key))
        })
    }

    fn expire_ids(&mut self) {
        let (now_ms, kept_ms) = (self.log_time_us / 1_000, self.ids_kept_ms);
        let expires = !self.is(Sabotage::IdExpiry);
        // An id goes with all that are older, also if they are not too old by themselves.
        let too_old = |known: &KnownId| expires && now_ms.saturating_sub(known.log_time_ms) > kept_ms;
        let up_to = self.ids.iter().filter(|known| too_old(known)).map(|known| known.place.position).max().unwrap_or(0);
        self.ids.iter_mut().filter(|known| known.place.position <= up_to).for_each(|known| known.gone = true);
        while self.ids.iter().filter(|known| !known.gone).count() as u64 > SMALL.ids_max && !self.is(Sabotage::IdCount)
        {
            let oldest = self.ids.iter().find(|known| !known.gone).unwrap().place.position;
            self.ids.iter_mut().filter(|known| known.place.position == oldest).for_each(|known| known.gone = true);
        }
    }

    fn move_horizon(&mut self) {
        while self.is_over_limit() {
            self.horizon += 1;
        }
        if self.is(Sabotage::HorizonInsideParts) {
            return;
        }
        while let Some(end) = self.entry_across_horizon() {
            self.horizon = end;
        }
    }

    fn is_over_limit(&self) -> bool {
        let window = &self.facts[self.horizon as usize..];
        let keys = || window.iter().flat_map(|fact| &fact.accepted).flat_map(|meant| &meant.writes);
        let cost = window.len() * 64 + keys().count() * 32 + keys().map(|(key, _)| key.len()).sum::<usize>();
        let age_ms = window.first().map_or(0, |oldest| (self.log_time_us / 1_000).saturating_sub(oldest.log_time_ms));
        cost as u64 > SMALL.window_bytes_max
            || window.len() as u64 > SMALL.window_positions_max
            || age_ms > SMALL.window_age_ms_max
    }

    /// The last position of an entry that begins at or below the horizon and ends behind it.
    fn entry_across_horizon(&self) -> Option<u64> {
        let end = self.facts.len() as u64;
        (self.horizon + 1..=end).find(|&last| self.fact(last).first_part <= self.horizon)
    }
}
