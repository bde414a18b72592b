//! The database as the checker imagines it: a map, what each operation does to it, and a way back.

use std::collections::BTreeMap;

use super::sql::FILLING_CHARACTERS;
use super::{Observation, Operation};

/// A piece of the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    List(String),
    Counter(String),
    /// Number and mark; 0 is no mark.
    Row(u64),
    /// The mark that rows are given.
    Mark,
    /// The holder.
    Claim(String),
    /// The value, and the length of what was filled in.
    Blob(String),
}

/// The content after some prefix of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    items: BTreeMap<Item, Vec<u64>>,
    /// What the transaction at work has changed, and what was there before, in this order.
    changed: Vec<(Item, Option<Vec<u64>>)>,
}

impl State {
    /// Performs one operation and tells what it observed.
    pub fn perform(&mut self, operation: &Operation) -> Observation {
        match operation {
            Operation::Append { list, value } => {
                let item = Item::List(list.clone());
                let before = self.get(&item);
                self.set(item, Some(before.iter().copied().chain([*value]).collect()));
                Observation::List(before)
            }
            Operation::ReadList { list } => Observation::List(self.get(&Item::List(list.clone()))),
            Operation::Add { counter, amount } => {
                let item = Item::Counter(counter.clone());
                let before = self.number(&item);
                self.set(item, Some(vec![(before + amount).cast_unsigned()]));
                Observation::Number(before)
            }
            Operation::ReadCounter { counter } => Observation::Number(self.number(&Item::Counter(counter.clone()))),
            Operation::Put { row, number } => {
                let before = self.get(&Item::Row(*row));
                let defined = self.get(&Item::Mark).first().copied();
                let mark = defined.or_else(|| before.get(1).copied()).unwrap_or_default();
                self.set(Item::Row(*row), Some(vec![*number, mark]));
                Observation::List(before)
            }
            Operation::Delete { row } => Observation::List(self.take(Item::Row(*row))),
            Operation::ReadRow { row } => Observation::List(self.get(&Item::Row(*row))),
            Operation::Scan { from, until } => self.rows(|row, _| (*from..*until).contains(&row)),
            Operation::Find { from, until } => self.rows(|_, number| (*from..*until).contains(&number)),
            Operation::CountRows => match self.rows(|_, _| true) {
                Observation::List(rows) => Observation::Number(rows.len() as i64),
                other => other,
            },
            Operation::Mark(mark) => {
                self.set(Item::Mark, mark.map(|mark| vec![mark]));
                Observation::List(Vec::new())
            }
            Operation::Index(_) => Observation::List(Vec::new()),
            Operation::Claim { name, holder } => {
                let item = Item::Claim(name.clone());
                if !self.get(&item).is_empty() {
                    return Observation::Failure;
                }
                self.set(item, Some(vec![*holder]));
                Observation::List(Vec::new())
            }
            Operation::Release { name } => Observation::List(self.take(Item::Claim(name.clone()))),
            Operation::ReadClaim { name } => Observation::List(self.get(&Item::Claim(name.clone()))),
            Operation::Fill { blob, value } => {
                let item = Item::Blob(blob.clone());
                let before = self.get(&item);
                self.set(item, Some(vec![*value, FILLING_CHARACTERS]));
                Observation::List(before)
            }
            Operation::ReadBlob { blob } => Observation::List(self.get(&Item::Blob(blob.clone()))),
            Operation::Throw => Observation::Failure,
        }
    }

    /// Performs a transaction and tells what each operation observed. One that fails leaves nothing, and what was observed ends with
    /// the failure.
    pub fn perform_all(&mut self, operations: &[Operation]) -> Vec<Observation> {
        let mut observed = Vec::new();
        for operation in operations {
            observed.push(self.perform(operation));
            if observed.last() == Some(&Observation::Failure) {
                self.take_back();
                return observed;
            }
        }
        self.keep();
        observed
    }

    /// Ends the transaction at work: what it did stays.
    pub fn keep(&mut self) {
        self.changed.clear();
    }

    /// Ends the transaction at work: nothing of it stays.
    pub fn take_back(&mut self) {
        while let Some((item, before)) = self.changed.pop() {
            match before {
                Some(before) => drop(self.items.insert(item, before)),
                None => drop(self.items.remove(&item)),
            }
        }
    }

    fn get(&self, item: &Item) -> Vec<u64> {
        self.items.get(item).cloned().unwrap_or_default()
    }

    fn number(&self, item: &Item) -> i64 {
        self.items.get(item).and_then(|value| value.first()).map_or(0, |number| number.cast_signed())
    }

    fn take(&mut self, item: Item) -> Vec<u64> {
        let before = self.get(&item);
        self.set(item, None);
        before
    }

    fn set(&mut self, item: Item, value: Option<Vec<u64>>) {
        let before = match value {
            Some(value) => self.items.insert(item.clone(), value),
            None => self.items.remove(&item),
        };
        self.changed.push((item, before));
    }

    fn rows(&self, wanted: impl Fn(u64, u64) -> bool) -> Observation {
        let rows = self.items.range(Item::Row(0)..=Item::Row(u64::MAX));
        let wanted = rows.filter_map(|(item, value)| match item {
            Item::Row(row) if wanted(*row, value[0]) => Some(*row),
            _ => None,
        });
        Observation::List(wanted.collect())
    }
}
