//! What messages of a transaction get, without a database behind it: it counts as taken out.

use super::*;

const TOKEN: TransactionToken<'static> = TransactionToken { csp: "a", incarnation: 1, position: 3, id: "one" };

fn message(number: u64) -> Message<'static> {
    Message { number: Some(number), key: None, content: number }
}

fn take(transactions: &Transactions, number: u64) -> Taken {
    transactions.take(TOKEN, &message(number), false, false)
}

/// One whose first message was answered.
fn with_an_answer() -> Transactions {
    let far = Instant::now() + ENDED_KEPT;
    let slot = Slot {
        begun: (Bytes::new(), 0),
        may_have_twin: false,
        position: TOKEN.position,
        messages: Messages::default(),
        answer: None,
        running: None,
        is_committing: false,
        state: State::Out,
        idle: ENDED_KEPT,
        idle_until: far,
        ends_at: far,
    };
    let transactions = Transactions::default();
    transactions.0.lock().slots.insert(TOKEN.id.into(), slot);
    let Taken::Run(mut run) = take(&transactions, 1) else { panic!("the first one is carried out") };
    let mut table = transactions.0.lock();
    assert!(table.done(TOKEN.id).is_some());
    table.keep(TOKEN.id, Ok(Bytes::from_static(b"first")));
    drop(table);
    run.is_over = true;
    drop(run);
    assert!(matches!(take(&transactions, 1), Taken::Answer(Ok(answer)) if answer == "first"));
    transactions
}

#[test]
fn a_message_that_an_abort_cut_off_does_not_get_the_answer_of_the_one_before() {
    let transactions = with_an_answer();
    let Taken::Run(run) = take(&transactions, 2) else { panic!("the second one is carried out") };
    assert!(transactions.abort(TOKEN.id, aborted("its client aborted it")).is_none());
    assert!(matches!(take(&transactions, 2), Taken::Ended(_)), "it still runs");
    drop(run);
    assert!(matches!(take(&transactions, 2), Taken::Ended(_)), "nothing of it happened");
    assert!(matches!(take(&transactions, 1), Taken::Ended(_)));
    assert_eq!(transactions.0.lock().answer_bytes, 0, "what is not kept does not count");
}

#[test]
fn the_last_answer_is_told_again_also_behind_an_abort() {
    let transactions = with_an_answer();
    transactions.abort(TOKEN.id, aborted("its client aborted it"));
    assert!(matches!(take(&transactions, 1), Taken::Answer(Ok(answer)) if answer == "first"));
    assert!(matches!(take(&transactions, 2), Taken::Ended(_)));
}

#[test]
fn one_whose_begin_was_sent_to_another_process_may_not_be_the_only_one() {
    let transactions = with_an_answer();
    assert!(transactions.is_open(TOKEN.id) && transactions.is_the_only_one(TOKEN.id));
    assert!(matches!(transactions.begun(TOKEN.id, 0, false), Some(Begun::Before(_))));
    assert!(transactions.is_the_only_one(TOKEN.id), "its client asked again");
    assert!(matches!(transactions.begun(TOKEN.id, 1, true), Some(Begun::Differs)));
    assert!(transactions.is_the_only_one(TOKEN.id), "that was another one's");
    assert!(matches!(transactions.begun(TOKEN.id, 0, true), Some(Begun::Before(_))));
    assert!(matches!(transactions.begun(TOKEN.id, 0, false), Some(Begun::Before(_))));
    assert!(transactions.is_open(TOKEN.id) && !transactions.is_the_only_one(TOKEN.id));
}
