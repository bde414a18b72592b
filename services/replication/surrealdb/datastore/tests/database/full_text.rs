//! What SurrealDB itself does with a full-text index, without Holdfast: README says so. When this fails, SurrealDB was mended, and the
//! README is to be, too.

use holdfast_datastore::Database;

use crate::support::run;

/// Of a transaction that takes a word out of a text and puts it back, SurrealDB 3.3.5 notes only that it was put in; searches count.
#[test]
fn of_plain_surrealdb_finds_a_word_that_was_kept_once_and_then_taken_out() {
    run(async {
        let database = Database::open_plain("memory".to_owned()).await.expect("opens");
        let answer = async |sql: &str| {
            let answer = database.execute_plain("test", "test", sql.to_owned()).await.expect("is carried out");
            String::from_utf8(answer.to_vec()).expect("is text")
        };
        answer(
            "DEFINE ANALYZER words TOKENIZERS blank FILTERS lowercase; DEFINE TABLE t; \
             DEFINE INDEX text ON t FIELDS text FULLTEXT ANALYZER words BM25",
        )
        .await;
        for text in ["red green", "red blue", "black"] {
            answer(&format!("UPSERT t:1 SET text = '{text}'")).await;
        }
        let found = answer("SELECT VALUE text FROM t WHERE text @1@ 'red'").await;
        assert!(found.contains("black"), "SurrealDB was mended: {found}");
    });
}
