//! The database as the checker imagines it: lists and counters, nothing else.

use std::collections::BTreeMap;

use super::{Observation, Operation};

/// The content after some prefix of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    lists: BTreeMap<String, Vec<u64>>,
    counters: BTreeMap<String, i64>,
}

impl State {
    /// Performs one operation and tells what it observed.
    pub fn perform(&mut self, operation: &Operation) -> Observation {
        match operation {
            Operation::Append { list, value } => {
                let values = self.lists.entry(list.clone()).or_default();
                let before = values.clone();
                values.push(*value);
                Observation::List(before)
            }
            Operation::Add { counter, amount } => {
                let number = self.counters.entry(counter.clone()).or_default();
                let before = *number;
                *number += amount;
                Observation::Number(before)
            }
            Operation::ReadList { list } => Observation::List(self.lists.get(list).cloned().unwrap_or_default()),
            Operation::ReadCounter { counter } => {
                Observation::Number(self.counters.get(counter).copied().unwrap_or_default())
            }
            Operation::CountLists => Observation::Number(self.lists.len() as i64),
        }
    }

    /// Performs a transaction and tells what each operation observed.
    pub fn perform_all(&mut self, operations: &[Operation]) -> Vec<Observation> {
        operations.iter().map(|operation| self.perform(operation)).collect()
    }

    /// Takes back the operation that was performed last.
    pub fn undo(&mut self, operation: &Operation) {
        match operation {
            Operation::Append { list, .. } => {
                if let Some(values) = self.lists.get_mut(list) {
                    values.pop();
                    if values.is_empty() {
                        self.lists.remove(list);
                    }
                }
            }
            Operation::Add { counter, amount } => *self.counters.entry(counter.clone()).or_default() -= amount,
            Operation::ReadList { .. } | Operation::ReadCounter { .. } | Operation::CountLists => {}
        }
    }
}
