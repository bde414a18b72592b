//! Seeded random transactions over a few lists, counters, rows, names and large values.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Operation;

/// How many rows there can be for each list.
const ROWS_PER_KEY: usize = 2;
/// Numbers of rows are below this.
const NUMBERS: u64 = 100;
/// One update in so many is a definition.
const DEFINITION_ONE_IN: u32 = 60;
/// One update in so many is larger than a message of the log.
const LARGE_ONE_IN: u32 = 150;
/// One update in so many fails on purpose, whatever it finds.
const THROW_ONE_IN: u32 = 50;

/// A stream of transactions, the same for the same seed.
#[derive(Debug)]
pub struct Workload {
    random: StdRng,
    keys: usize,
    next_value: u64,
    value_step: u64,
}

impl Workload {
    /// A workload for one of `clients` clients over `keys` lists and as many of the others. The values that clients append
    /// never collide: client `c` uses `c`, `c + clients`, and so on.
    pub fn new(seed: u64, client: usize, clients: usize, keys: usize) -> Self {
        let random = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ client as u64);
        Self { random, keys, next_value: (client + clients) as u64, value_step: clients as u64 }
    }

    /// The same workload with values behind these, for clients besides the first `clients`.
    pub fn values_from(mut self, first: u64) -> Self {
        self.next_value += first;
        self
    }

    /// An update: mostly one to four operations, of which at least one appends.
    pub fn update(&mut self) -> Vec<Operation> {
        if self.one_in(DEFINITION_ONE_IN) {
            return vec![self.definition()];
        }
        let mut operations = vec![self.append()];
        if self.one_in(LARGE_ONE_IN) {
            operations.extend([self.fill(), self.fill()]);
        }
        for _ in 0..self.random.random_range(0..4) {
            let operation = self.step();
            let at = self.random.random_range(0..=operations.len());
            operations.insert(at, operation);
        }
        if self.one_in(THROW_ONE_IN) {
            operations.push(Operation::Throw);
        }
        operations
    }

    /// A query: one to four reads.
    pub fn query(&mut self) -> Vec<Operation> {
        (0..self.random.random_range(1..=4)).map(|_| self.read()).collect()
    }

    /// Reads everything, once.
    pub fn read_all(keys: usize) -> Vec<Operation> {
        let each = |read: fn(usize) -> Operation| (0..keys).map(read);
        let rows = (0..keys * ROWS_PER_KEY).map(|row| Operation::ReadRow { row: row as u64 });
        each(|key| Operation::ReadList { list: format!("l{key}") })
            .chain(each(|key| Operation::ReadCounter { counter: format!("c{key}") }))
            .chain(each(|key| Operation::ReadClaim { name: format!("n{key}") }))
            .chain(each(|key| Operation::ReadBlob { blob: format!("b{key}") }))
            .chain(rows)
            .chain([Operation::CountRows, Operation::Find { from: 0, until: NUMBERS }])
            .collect()
    }

    /// A decision of the same stream of chance, true once in `of` on average.
    pub fn one_in(&mut self, of: u32) -> bool {
        self.random.random_range(0..of) == 0
    }

    /// The same, a number below `of`.
    pub fn choose(&mut self, of: u32) -> u32 {
        self.random.random_range(0..of)
    }

    fn step(&mut self) -> Operation {
        match self.random.random_range(0..100) {
            0..20 => self.append(),
            20..35 => Operation::Add { counter: self.key('c'), amount: self.random.random_range(-5..=9) },
            35..47 => Operation::Put { row: self.row(), number: self.random.random_range(0..NUMBERS) },
            47..54 => Operation::Delete { row: self.row() },
            54..58 => Operation::Claim { name: self.key('n'), holder: self.value() },
            58..63 => Operation::Release { name: self.key('n') },
            _ => self.read(),
        }
    }

    fn read(&mut self) -> Operation {
        match self.random.random_range(0..100) {
            0..30 => Operation::ReadList { list: self.key('l') },
            30..60 => Operation::ReadCounter { counter: self.key('c') },
            60..70 => Operation::ReadRow { row: self.row() },
            70..80 => {
                let from = self.row();
                Operation::Scan { from, until: from + self.random.random_range(1..=self.rows()) }
            }
            80..86 => {
                let from = self.random.random_range(0..NUMBERS);
                Operation::Find { from, until: from + self.random.random_range(1..NUMBERS / 2) }
            }
            86..90 => Operation::CountRows,
            90..97 => Operation::ReadClaim { name: self.key('n') },
            _ => Operation::ReadBlob { blob: self.key('b') },
        }
    }

    fn definition(&mut self) -> Operation {
        match self.random.random_range(0..4) {
            0 => Operation::Mark(Some(self.value())),
            1 => Operation::Mark(None),
            other => Operation::Index(other == 2),
        }
    }

    fn append(&mut self) -> Operation {
        Operation::Append { list: self.key('l'), value: self.value() }
    }

    fn fill(&mut self) -> Operation {
        Operation::Fill { blob: self.key('b'), value: self.value() }
    }

    fn value(&mut self) -> u64 {
        self.next_value += self.value_step;
        self.next_value
    }

    fn key(&mut self, kind: char) -> String {
        format!("{kind}{}", self.random.random_range(0..self.keys))
    }

    fn row(&mut self) -> u64 {
        self.random.random_range(0..self.rows())
    }

    fn rows(&self) -> u64 {
        (self.keys * ROWS_PER_KEY) as u64
    }
}
