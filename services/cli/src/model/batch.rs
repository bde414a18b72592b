//! Gathers the statements of a file into updates: few enough messages to be quick, small enough to be accepted.
//!
//! Rules: a statement is never cut; what stands between BEGIN and COMMIT stays in one update, which is a transaction by
//! itself; USE ends a batch, since namespace and database belong to the whole update; a LET keeps everything behind it
//! in the same batch, because the name would not be known in the next.

use thiserror::Error;

use super::statement::{Kind, Statement, use_target};

/// Statements that are sent as one update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Namespace, if the file or the caller names one.
    pub ns: Option<String>,
    /// Database, likewise.
    pub db: Option<String>,
    /// The statements, each ended by a semicolon.
    pub sql: String,
    /// How many there are.
    pub statements: usize,
    /// The line of the first one, counted from one.
    pub line: usize,
}

/// How large a batch may get.
#[derive(Debug, Clone, Copy)]
pub struct BatchLimits {
    /// A batch is closed before it grows beyond this.
    pub wanted_bytes: usize,
    /// No single batch may be larger: the request would be refused.
    pub most_bytes: usize,
    /// A batch is closed before it holds more statements than this.
    pub most_statements: usize,
}

/// The statements cannot be sent as they stand.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BatchError {
    /// One transaction or statement is larger than a request can be.
    #[error(
        "what begins in line {line} is {bytes} bytes and has to be one update of at most {most}: split it and try again"
    )]
    TooLarge {
        /// The line in which it begins.
        line: usize,
        /// Its size.
        bytes: usize,
        /// The largest allowed.
        most: usize,
    },
    /// BEGIN, COMMIT or CANCEL stand where they make no sense.
    #[error("{word} in line {line} has no partner: pair BEGIN with COMMIT and try again")]
    Unpaired {
        /// The word.
        word: &'static str,
        /// Its line.
        line: usize,
    },
    /// A transaction that is given up would change nothing.
    #[error("CANCEL in line {line} gives up its transaction: remove the transaction from the file and try again")]
    Cancelled {
        /// Its line.
        line: usize,
    },
}

/// Gathers statements into batches.
///
/// # Errors
/// See [`BatchError`]; nothing should be sent then, since a part of the file could not be.
pub fn gather(
    statements: &[Statement<'_>],
    ns: Option<String>,
    db: Option<String>,
    limits: BatchLimits,
) -> Result<Vec<Batch>, BatchError> {
    let mut gatherer = Gatherer { limits, ns, db, open: None, together: None, batches: Vec::new() };
    for statement in statements {
        gatherer.add(statement)?;
    }
    gatherer.finish()
}

/// Why the open batch must not be closed yet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Together {
    Transaction { line: usize },
    Variable,
}

struct Gatherer {
    limits: BatchLimits,
    ns: Option<String>,
    db: Option<String>,
    open: Option<Batch>,
    together: Option<Together>,
    batches: Vec<Batch>,
}

impl Gatherer {
    fn add(&mut self, statement: &Statement<'_>) -> Result<(), BatchError> {
        let line = statement.line;
        let in_transaction = matches!(self.together, Some(Together::Transaction { .. }));
        match statement.kind {
            Kind::Begin if in_transaction => Err(BatchError::Unpaired { word: "BEGIN", line }),
            Kind::Begin => {
                self.close()?;
                self.together = Some(Together::Transaction { line });
                Ok(())
            }
            Kind::Commit if in_transaction => self.close(),
            Kind::Commit => Err(BatchError::Unpaired { word: "COMMIT", line }),
            Kind::Cancel if in_transaction => Err(BatchError::Cancelled { line }),
            Kind::Cancel => Err(BatchError::Unpaired { word: "CANCEL", line }),
            Kind::Index if self.together.is_none() => {
                self.close()?;
                self.push(statement)?;
                self.close()
            }
            Kind::Use => self.switch(statement),
            Kind::Option => Ok(()),
            Kind::Let => {
                self.push(statement)?;
                self.together.get_or_insert(Together::Variable);
                Ok(())
            }
            Kind::Index | Kind::Ordinary => self.push(statement),
        }
    }

    fn switch(&mut self, statement: &Statement<'_>) -> Result<(), BatchError> {
        if let Some(Together::Transaction { line }) = self.together {
            return Err(BatchError::Unpaired { word: "BEGIN", line });
        }
        self.close()?;
        let (ns, db) = use_target(statement.text);
        self.ns = ns.or_else(|| self.ns.take());
        self.db = db.or_else(|| self.db.take());
        Ok(())
    }

    fn push(&mut self, statement: &Statement<'_>) -> Result<(), BatchError> {
        let bytes = statement.text.len() + 2;
        let full = self.open.as_ref().is_some_and(|batch| {
            batch.sql.len() + bytes > self.limits.wanted_bytes || batch.statements >= self.limits.most_statements
        });
        if full && self.together.is_none() {
            self.close()?;
        }
        let batch = self.open.get_or_insert_with(|| Batch {
            ns: self.ns.clone(),
            db: self.db.clone(),
            sql: String::new(),
            statements: 0,
            line: statement.line,
        });
        batch.sql.push_str(statement.text);
        batch.sql.push_str(";\n");
        batch.statements += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), BatchError> {
        self.together = None;
        let Some(batch) = self.open.take() else { return Ok(()) };
        let most = self.limits.most_bytes;
        if batch.sql.len() > most {
            return Err(BatchError::TooLarge { line: batch.line, bytes: batch.sql.len(), most });
        }
        self.batches.push(batch);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Batch>, BatchError> {
        if let Some(Together::Transaction { line }) = self.together {
            return Err(BatchError::Unpaired { word: "BEGIN", line });
        }
        self.close()?;
        Ok(self.batches)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Batch, BatchError, BatchLimits, gather};
    use crate::model::statement::split;

    const LIMITS: BatchLimits = BatchLimits { wanted_bytes: 40, most_bytes: 100, most_statements: 3 };

    fn batches(text: &str) -> Result<Vec<Batch>, BatchError> {
        gather(&split(text).unwrap(), None, None, LIMITS)
    }

    fn sizes(text: &str) -> Vec<usize> {
        batches(text).unwrap().iter().map(|batch| batch.statements).collect()
    }

    #[test]
    fn statements_are_packed_up_to_the_limits() {
        assert_eq!(sizes("a;b;c;d;e;f;g"), [3, 3, 1]);
        assert_eq!(sizes("create aaaaaaaaaaaaaaaaaa;create bbbbbbbbbbbbbbbbbb;c"), [1, 2]);
    }

    #[test]
    fn a_transaction_stays_whole_and_alone() {
        assert_eq!(sizes("a; BEGIN; b;c;d;e;f; COMMIT; g;"), [1, 5, 1]);
        assert_eq!(batches("BEGIN; a"), Err(BatchError::Unpaired { word: "BEGIN", line: 1 }));
        assert_eq!(batches("a; COMMIT"), Err(BatchError::Unpaired { word: "COMMIT", line: 1 }));
        assert_eq!(batches("BEGIN; a;\nCANCEL"), Err(BatchError::Cancelled { line: 2 }));
    }

    #[test]
    fn use_switches_what_follows() {
        let found = batches("a; USE NS n DB d; b; USE DB e; c").unwrap();
        let places: Vec<_> = found.iter().map(|batch| (batch.ns.as_deref(), batch.db.as_deref())).collect();
        assert_eq!(places, [(None, None), (Some("n"), Some("d")), (Some("n"), Some("e"))]);
    }

    #[test]
    fn an_index_is_built_from_what_is_committed() {
        assert_eq!(sizes("a; define  INDEX i ON a FIELDS x; b; c; DEFINE INDEXES"), [1, 1, 3]);
    }

    #[test]
    fn a_variable_keeps_its_users_with_it() {
        assert_eq!(sizes("a;b;c; LET $x = 1; d;e;f;g;h"), [3, 6]);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before_anything_is() {
        let text = format!("a;\nCREATE b SET c = '{}'", "x".repeat(100));
        assert!(matches!(batches(&text), Err(BatchError::TooLarge { line: 2, most: 100, .. })));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_doubled_or_reordered(words in prop::collection::vec("[a-z]{1,30}", 0..40)) {
            let words: Vec<String> = words.into_iter().map(|word| format!("x{word}")).collect();
            let sent: String = batches(&words.join(";")).unwrap().into_iter().map(|batch| batch.sql).collect();
            let back: Vec<String> = split(&sent).unwrap().iter().map(|s| s.text.to_owned()).collect();
            prop_assert_eq!(back, words);
        }
    }
}
