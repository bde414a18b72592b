//! Random histories: CSPs that seal, lag, restart, leave zombies behind, split entries, and whose messages are lost,
//! repeated and overtaken on their way to the log. They keep to what the rules ask of senders, and to nothing else.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::log::{Letter, Log, Meant, Outside, Sent, control, seal};
use crate::entry::{Control, Isolation, Replication, SenderClock};
use crate::model::Chain;

const CSPS: [&str; 3] = ["a", "b", "c"];

/// One transaction, before it is known where it reads.
#[derive(Debug, Clone)]
pub(in crate::model) struct Draft {
    lag: u8,
    stamped: bool,
    serializable: bool,
    ahead: bool,
    id: Option<u8>,
    writes: Vec<(u8, bool)>,
    locked: Vec<u8>,
    reads: Vec<u8>,
    ranges: Vec<(u8, u8)>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
pub(in crate::model) enum Action {
    /// A process reads on and seals an entry.
    Seal {
        process: usize,
        reads_on: u64,
        drafts: Vec<Draft>,
        split: bool,
        /// By how much its clock is wrong, and what has passed for it, in milliseconds; none if it does not stamp its entries.
        clock: Option<(i64, u64)>,
    },
    /// A message that is on its way arrives in the log; it may arrive once more later.
    Arrive {
        which: usize,
        again: bool,
        after_ms: u64,
    },
    /// A message that is on its way is lost.
    Lose {
        which: usize,
    },
    /// A CSP starts again. The old process may live on until it reads of the new one.
    Restart {
        csp: usize,
        zombie: bool,
    },
    Define {
        peer: bool,
        serializable: bool,
        ids_kept_ms: u64,
    },
    Epoch {
        rise: u64,
        primary: usize,
    },
    Mark,
    Junk(u8),
    /// A process that has read another log, or lies, sends an entry that looks right but for that.
    OfOtherLog {
        process: usize,
        ahead: bool,
    },
    /// A message that is on its way arrives with a flipped bit.
    Flip {
        which: usize,
        at: usize,
        bit: u8,
    },
}

#[derive(Debug, Clone)]
struct Process {
    csp: &'static str,
    incarnation: u64,
    number: u64,
    applied: u64,
}

/// Plays the actions; the log is what comes of them.
pub(in crate::model) fn play(actions: &[Action]) -> Log {
    let mut play = Play::new();
    actions.iter().for_each(|action| play.act(action));
    play.log
}

struct Play {
    log: Log,
    processes: Vec<Process>,
    under_way: Vec<Letter>,
    incarnations: u64,
    now_ms: u64,
}

impl Play {
    fn new() -> Self {
        let mut play =
            Self { log: Log::default(), processes: Vec::new(), under_way: Vec::new(), incarnations: 0, now_ms: 10_000 };
        play.define(true, true, 2_000);
        CSPS.iter().for_each(|csp| play.start(csp));
        play
    }

    fn start(&mut self, csp: &'static str) {
        self.incarnations += 1;
        self.processes.push(Process { csp, incarnation: self.incarnations, number: 0, applied: 0 });
    }

    fn define(&mut self, peer: bool, serializable: bool, ids_kept_ms: u64) {
        let replication = if peer { Replication::Peer } else { Replication::Primary };
        let isolation = if serializable { Isolation::Serializable } else { Isolation::Snapshot };
        self.append(control(Control::Define { group: "g".to_owned(), replication, isolation, ids_kept_ms }));
    }

    fn append(&mut self, letter: Letter) {
        self.log.append(self.now_ms * 1_000 + 7, letter);
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Seal { process, reads_on, drafts, split, clock } => {
                self.seal(*process, *reads_on, drafts, *split, *clock);
            }
            Action::Arrive { which, again, after_ms } => self.arrive(*which, *again, *after_ms),
            Action::Lose { which } if !self.under_way.is_empty() => {
                self.under_way.remove(which % self.under_way.len());
            }
            Action::Lose { .. } => {}
            Action::Restart { csp, zombie } => {
                let csp = CSPS[csp % CSPS.len()];
                self.processes.retain(|process| *zombie || process.csp != csp);
                self.start(csp);
            }
            Action::Define { peer, serializable, ids_kept_ms } => self.define(*peer, *serializable, *ids_kept_ms),
            Action::Epoch { rise, primary } => {
                let epoch = (self.log.epoch_at(self.log.end()) + rise).saturating_sub(1);
                self.append(control(Control::Epoch { epoch, primary: CSPS[primary % CSPS.len()].to_owned() }));
            }
            Action::Mark => self.append(control(Control::Mark { id: "mark".to_owned() })),
            Action::Junk(which) => self.append(junk(*which)),
            Action::OfOtherLog { process, ahead } => self.of_other_log(*process, *ahead),
            Action::Flip { which, at, bit } => self.flip(*which, *at, *bit),
        }
    }

    fn seal(&mut self, which: usize, reads_on: u64, drafts: &[Draft], split: bool, clock: Option<(i64, u64)>) {
        let count = self.processes.len();
        let process = &mut self.processes[which % count];
        let fence = self.log.fence_of(process.csp, process.incarnation);
        if fence < self.log.end() && process.applied >= fence {
            return;
        }
        process.applied = (process.applied + reads_on).min(fence);
        let outside = Outside {
            csp: process.csp,
            incarnation: process.incarnation,
            number: process.number + 1,
            epoch: self.log.epoch_at(process.applied),
            base: process.applied,
            part: 0,
            parts: 1,
            clock: clock.map(|(wrong_ms, since_ms)| SenderClock {
                wall_ms: self.now_ms.saturating_add_signed(wrong_ms),
                since_us: since_ms * 1_000 + 3,
            }),
        };
        let transactions = drafts.iter().map(|draft| draft.at(process.applied)).collect();
        let chain = self.log.chain_at(process.applied);
        let letters = seal(&outside, chain, transactions, if split { 25 } else { 4_096 });
        process.number += letters.len() as u64;
        self.under_way.extend(letters);
    }

    fn of_other_log(&mut self, which: usize, ahead: bool) {
        let process = &self.processes[which % self.processes.len()];
        let base = if ahead { self.log.end() + 3 } else { process.applied };
        let outside = Outside {
            csp: process.csp,
            incarnation: process.incarnation,
            number: process.number + 1,
            epoch: self.log.epoch_at(self.log.end()),
            base,
            part: 0,
            parts: 1,
            clock: Some(SenderClock { wall_ms: self.now_ms, since_us: 1_000 }),
        };
        let chain = Chain::default().next(b"other");
        let letter = seal(&outside, chain, Vec::new(), 4_096).remove(0);
        self.append(Letter { sent: Sent::OfOtherLog(outside), ..letter });
    }

    fn flip(&mut self, which: usize, at: usize, bit: u8) {
        if self.under_way.is_empty() {
            return;
        }
        let letter = self.under_way.remove(which % self.under_way.len());
        let mut payload = letter.payload.to_vec();
        // Not the first byte: it tells which kind of message this is.
        let at = 1 + at % (payload.len() - 1);
        payload[at] ^= 1 << (bit % 8);
        self.append(Letter { payload: payload.into(), sent: Sent::Damaged });
    }

    fn arrive(&mut self, which: usize, again: bool, after_ms: u64) {
        if self.under_way.is_empty() {
            return;
        }
        // Mostly in order, or entries of many parts would never be complete.
        let which = if which.is_multiple_of(4) { which % self.under_way.len() } else { 0 };
        let letter = self.under_way[which].clone();
        if !again {
            self.under_way.remove(which);
        }
        // Now and then the clock of the log's leader goes back.
        self.now_ms = if after_ms == 13 { self.now_ms - 500 } else { self.now_ms + after_ms };
        self.append(letter);
    }
}

/// What others may write into a log by mistake, or by bad will.
fn junk(which: u8) -> Letter {
    let noise: &[u8] = &[0xB7, 1, 9, 9, 9, 9, 0, 3, 0, 1, 1, 1, 1, 0, 1, 0xC3, 0x28, 0x91, 0x17];
    let newer_but_damaged: &[u8] = &[0xB7, 2, 0, 0, 0, 0, 1, 2, 3];
    let (payload, sent) = match which % 9 {
        0 => (b"hello".as_slice(), Sent::Foreign),
        1 => (b"".as_slice(), Sent::Foreign),
        2 => ([0; 40].as_slice(), Sent::Foreign),
        3 => (b"[]".as_slice(), Sent::Foreign),
        4 => (b"{}".as_slice(), Sent::Foreign),
        5 => (br#"{"kind":"x"}"#.as_slice(), Sent::Damaged),
        6 => ([0xB7].as_slice(), Sent::Damaged),
        7 => (noise, Sent::Damaged),
        _ => (newer_but_damaged, Sent::Damaged),
    };
    Letter { payload: Bytes::from_static(payload), sent }
}

impl Draft {
    fn at(&self, base: u64) -> Meant {
        let snapshot = if self.ahead { base + 1 } else { base.saturating_sub(u64::from(self.lag)) };
        Meant {
            snapshot,
            stamped: self.stamped || self.writes.iter().any(|write| write.1),
            serializable: self.serializable,
            id: self.id.map(|id| format!("id-{id}")),
            writes: self.writes.iter().map(|(key, stamped)| (key_of(*key), *stamped)).collect(),
            locked: self.locked.iter().copied().map(key_of).collect(),
            reads: self.reads.iter().copied().map(key_of).collect(),
            ranges: self.ranges.iter().map(|(begin, end)| (key_of(*begin), key_of(*end))).collect(),
        }
    }
}

/// Few keys, some a prefix of others, some long, one empty.
fn key_of(number: u8) -> Vec<u8> {
    match number % 24 {
        0 => Vec::new(),
        n @ 1..=4 => vec![b'k'; usize::from(n)],
        n @ 5..=7 => [vec![b'l'; 90], vec![n]].concat(),
        n => vec![b'm', n],
    }
}

fn draft() -> impl Strategy<Value = Draft> {
    let head = (prop_oneof![6 => 0_u8..4, 1 => 4_u8..30], proptest::bool::weighted(0.2));
    let flags = (proptest::bool::weighted(0.95), proptest::bool::weighted(0.01));
    let id = proptest::option::weighted(0.4, 0_u8..14);
    let writes = vec((0_u8..24, proptest::bool::weighted(0.1)), 0..4);
    let dependencies = (vec(0_u8..24, 0..2), vec(0_u8..24, 0..2), vec((0_u8..24, 0_u8..24), 0..2));
    (head, flags, id, writes, dependencies).prop_map(|((lag, stamped), (serializable, ahead), id, writes, rest)| {
        Draft { lag, stamped, serializable, ahead, id, writes, locked: rest.0, reads: rest.1, ranges: rest.2 }
    })
}

fn action() -> impl Strategy<Value = Action> {
    let wrong_ms = prop_oneof![8 => -5_i64..5, 1 => Just(3_000_i64), 1 => Just(-3_000_i64)];
    let clock = proptest::option::weighted(0.8, (wrong_ms, prop_oneof![8 => 0_u64..100, 1 => 0_u64..5_000]));
    let seal = (any::<usize>(), 0_u64..12, vec(draft(), 0..4), proptest::bool::weighted(0.3), clock)
        .prop_map(|(process, reads_on, drafts, split, clock)| Action::Seal { process, reads_on, drafts, split, clock });
    let after_ms = prop_oneof![10 => 0_u64..100, 1 => Just(13), 1 => 1_000_u64..5_000];
    let arrive = (any::<usize>(), proptest::bool::weighted(0.1), after_ms)
        .prop_map(|(which, again, after_ms)| Action::Arrive { which, again, after_ms });
    let define = (proptest::bool::weighted(0.8), proptest::bool::weighted(0.7), 0_u64..3_000)
        .prop_map(|(peer, serializable, ids_kept_ms)| Action::Define { peer, serializable, ids_kept_ms });
    prop_oneof![
        40 => seal,
        80 => arrive,
        3 => any::<usize>().prop_map(|which| Action::Lose { which }),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(csp, zombie)| Action::Restart { csp, zombie }),
        2 => define,
        3 => (0_u64..4, any::<usize>()).prop_map(|(rise, primary)| Action::Epoch { rise, primary }),
        1 => Just(Action::Mark),
        3 => any::<u8>().prop_map(Action::Junk),
        3 => (any::<usize>(), any::<bool>()).prop_map(|(process, ahead)| Action::OfOtherLog { process, ahead }),
        2 => (any::<usize>(), any::<usize>(), any::<u8>()).prop_map(|(which, at, bit)| Action::Flip { which, at, bit }),
    ]
}

pub(in crate::model) fn actions() -> impl Strategy<Value = Vec<Action>> {
    vec(action(), 1..160)
}
