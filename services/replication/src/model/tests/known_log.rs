//! A stream that loses its end, grows again, is made anew or trimmed: a copy goes on exactly where what it applied is still
//! the beginning of the log.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::model::{KnownLog, LogMark, LogMessage, Position, Sight, Unfit};

#[derive(Debug, Clone)]
enum Action {
    /// Somebody appends; half of the messages have the same bytes.
    Append { same: bool },
    /// The store of a while ago is put back.
    GoBack { by: usize },
    /// The stream is deleted, and made anew.
    Anew,
    /// The beginning is trimmed.
    Trim { by: u64 },
    /// The copy applies so many messages, without looking.
    Apply { count: usize },
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        8 => any::<bool>().prop_map(|same| Action::Append { same }),
        3 => (1_usize..6).prop_map(|by| Action::GoBack { by }),
        1 => Just(Action::Anew),
        1 => (1_u64..4).prop_map(|by| Action::Trim { by }),
        6 => (1_usize..4).prop_map(|count| Action::Apply { count }),
    ];
    vec(action, 1..60)
}

struct Stream {
    created_us: u64,
    first: Position,
    messages: Vec<LogMessage>,
}

impl Stream {
    fn sight(&self) -> Sight {
        Sight { created_us: self.created_us, first: self.first, last: self.messages.len() as u64 }
    }

    fn at(&self, position: Position) -> Option<&LogMessage> {
        (position >= self.first).then(|| self.messages.get(position as usize - 1)).flatten()
    }
}

/// What the copy finds when it compares itself.
fn fits(known: &KnownLog, stream: &Stream) -> bool {
    let sight = stream.sight();
    known.compare(&sight).is_ok()
        && known
            .to_compare(&sight)
            .is_none_or(|position| known.compare_mark(stream.at(position).map(LogMark::of)).is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn a_copy_goes_on_exactly_where_the_log_goes_on(actions in actions()) {
        let mut clock_us = 1_000;
        let mut stream = Stream { created_us: clock_us, first: 1, messages: Vec::new() };
        let (mut known, mut applied) = (KnownLog::default(), Vec::<LogMessage>::new());
        let mut home_us = stream.created_us;
        for action in actions {
            clock_us += 1;
            match action {
                Action::Append { same } => {
                    let payload = if same { Bytes::from_static(b"same") } else { Bytes::from(clock_us.to_string()) };
                    let position = stream.messages.len() as u64 + 1;
                    stream.messages.push(LogMessage { position, timestamp_us: clock_us, payload });
                }
                Action::GoBack { by } => stream.messages.truncate(stream.messages.len().saturating_sub(by)),
                Action::Anew => stream = Stream { created_us: clock_us, first: 1, messages: Vec::new() },
                // The trimmer never passes what every copy has applied.
                Action::Trim { by } => stream.first = (stream.first + by).min(known.position.max(1)),
                Action::Apply { count } => {
                    if !fits(&known, &stream) {
                        continue;
                    }
                    home_us = stream.created_us;
                    for message in stream.messages.iter().skip(applied.len()).take(count) {
                        applied.push(message.clone());
                        known = KnownLog {
                            position: message.position,
                            created_us: Some(stream.created_us),
                            mark: Some(LogMark::of(message)),
                        };
                    }
                }
            }
            let same_stream = applied.is_empty() || home_us == stream.created_us;
            let is_beginning = same_stream && stream.messages.starts_with(&applied);
            prop_assert_eq!(fits(&known, &stream), is_beginning, "{:?} {:?}", known, stream.sight());
        }
    }
}

#[test]
fn a_copy_from_before_marks_compares_what_it_can() {
    let known = KnownLog { position: 7, created_us: None, mark: None };
    let sight = Sight { created_us: 5, first: 1, last: 7 };
    assert_eq!((known.compare(&sight), known.to_compare(&sight)), (Ok(()), None));
    assert!(known.compare(&Sight { last: 6, ..sight }).is_err());
}

#[test]
fn a_message_that_the_log_cannot_give_is_not_called_another_one() {
    let mark = |timestamp_us| Some(LogMark { timestamp_us, digest: 1 });
    let known = KnownLog { position: 7, created_us: Some(5), mark: mark(3) };
    assert_eq!(known.compare_mark(mark(3)), Ok(()));
    assert_eq!(known.compare_mark(None), Err(Unfit::Absent { applied: 7 }));
    assert_eq!(known.compare_mark(mark(4)), Err(Unfit::Differs { applied: 7 }));
}
