//! What a simulated group can do wrong, to prove that the checker notices.

use super::{Observation, Operation, State};

/// A promise to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Strong queries show what was acknowledged, though others were shown more.
    StrongBehindQuery,
    /// Queries that allow some lag show any old state.
    LagIgnored,
    /// Failures are told of old states.
    StaleFailure,
    /// A read of rows does not see the first one.
    Phantom,
    /// A row that was deleted stays.
    DeleteLost,
    /// A definition does not count.
    DefinitionLost,
    /// A name is given to two.
    ClaimedTwice,
    /// What came before the statement that failed stays.
    PartOfFailed,
    /// A statement counts twice.
    StatementTwice,
    /// The last write of a transaction is missing.
    LastPartMissing,
    /// What was refused happens at the end.
    LateEffect,
    /// A request is carried out once more, and the second outcome is told.
    IdForgotten,
    /// A request is told something else afterwards.
    SecondAnswer,
}

impl Broken {
    /// All of them.
    pub(super) const ALL: [Self; 13] = [
        Self::StrongBehindQuery,
        Self::LagIgnored,
        Self::StaleFailure,
        Self::Phantom,
        Self::DeleteLost,
        Self::DefinitionLost,
        Self::ClaimedTwice,
        Self::PartOfFailed,
        Self::StatementTwice,
        Self::LastPartMissing,
        Self::LateEffect,
        Self::IdForgotten,
        Self::SecondAnswer,
    ];

    /// Whether there are few chances to break it: then each is taken.
    pub(super) fn is_rare(self) -> bool {
        matches!(self, Self::ClaimedTwice | Self::PartOfFailed | Self::DefinitionLost | Self::DeleteLost)
    }
}

/// Carries out a transaction, and does what the promise forbids if it is about what transactions do.
pub(super) fn carry_out(broken: Option<Broken>, state: &mut State, operations: &[Operation]) -> Vec<Observation> {
    let before = state.clone();
    let last_write = operations.iter().rposition(Operation::writes);
    if broken == Some(Broken::ClaimedTwice) {
        for operation in operations {
            if let Operation::Claim { name, .. } = operation {
                state.perform_all(&[Operation::Release { name: name.clone() }]);
            }
        }
    }
    let mut observed = state.perform_all(operations);
    let failed = observed.last() == Some(&Observation::Failure);
    match (broken, last_write) {
        (Some(Broken::PartOfFailed), _) if failed => drop(state.perform_all(&operations[..observed.len() - 1])),
        (Some(Broken::StatementTwice), Some(at)) if !failed => drop(state.perform_all(&operations[at..=at])),
        (Some(Broken::LastPartMissing), Some(at)) if !failed => {
            *state = before;
            state.perform_all(&operations[..at]);
        }
        (Some(Broken::DefinitionLost), _) if matches!(operations[0], Operation::Mark(_)) => *state = before,
        (Some(Broken::DeleteLost), _) if !failed => {
            *state = before;
            let without_deletes = operations.iter().filter(|operation| !matches!(operation, Operation::Delete { .. }));
            state.perform_all(&without_deletes.cloned().collect::<Vec<_>>());
        }
        (Some(Broken::Phantom), _) => operations.iter().zip(&mut observed).for_each(hide_first_row),
        _ => {}
    }
    observed
}

fn hide_first_row((operation, observed): (&Operation, &mut Observation)) {
    if let (Operation::Scan { .. } | Operation::Find { .. }, Observation::List(rows)) = (operation, observed)
        && !rows.is_empty()
    {
        rows.remove(0);
    }
}
