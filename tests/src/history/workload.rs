//! Seeded random transactions over a few lists and counters.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Operation;

/// A stream of transactions, the same for the same seed.
#[derive(Debug)]
pub struct Workload {
    random: StdRng,
    keys: usize,
    next_value: u64,
    value_step: u64,
}

impl Workload {
    /// A workload for one of `clients` clients over `keys` lists and as many counters. The values that clients append
    /// never collide: client `c` uses `c`, `c + clients`, and so on.
    pub fn new(seed: u64, client: usize, clients: usize, keys: usize) -> Self {
        let random = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ client as u64);
        Self { random, keys, next_value: client as u64, value_step: clients as u64 }
    }

    /// The same workload with values behind these, for clients besides the first `clients`.
    pub fn values_from(mut self, first: u64) -> Self {
        self.next_value += first;
        self
    }

    /// An update: one to four operations, of which at least one appends.
    pub fn update(&mut self) -> Vec<Operation> {
        let mut operations = vec![self.append()];
        for _ in 0..self.random.random_range(0..4) {
            let operation = match self.random.random_range(0..100) {
                0..30 => self.append(),
                30..55 => Operation::Add { counter: self.counter(), amount: self.random.random_range(-5..=9) },
                55..75 => Operation::ReadList { list: self.list() },
                75..98 => Operation::ReadCounter { counter: self.counter() },
                _ => Operation::CountLists,
            };
            let at = self.random.random_range(0..=operations.len());
            operations.insert(at, operation);
        }
        operations
    }

    /// A query: one to four reads.
    pub fn query(&mut self) -> Vec<Operation> {
        (0..self.random.random_range(1..=4))
            .map(|_| match self.random.random_range(0..10) {
                0..5 => Operation::ReadList { list: self.list() },
                5..9 => Operation::ReadCounter { counter: self.counter() },
                _ => Operation::CountLists,
            })
            .collect()
    }

    /// Reads everything, once.
    pub fn read_all(keys: usize) -> Vec<Operation> {
        let lists = (0..keys).map(|key| Operation::ReadList { list: format!("l{key}") });
        let counters = (0..keys).map(|key| Operation::ReadCounter { counter: format!("c{key}") });
        lists.chain(counters).chain([Operation::CountLists]).collect()
    }

    /// A decision of the same stream of chance, true once in `of` on average.
    pub fn one_in(&mut self, of: u32) -> bool {
        self.random.random_range(0..of) == 0
    }

    fn append(&mut self) -> Operation {
        let value = self.next_value;
        self.next_value += self.value_step;
        Operation::Append { list: self.list(), value }
    }

    fn list(&mut self) -> String {
        format!("l{}", self.random.random_range(0..self.keys))
    }

    fn counter(&mut self) -> String {
        format!("c{}", self.random.random_range(0..self.keys))
    }
}
