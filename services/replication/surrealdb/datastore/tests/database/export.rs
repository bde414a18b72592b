//! An export read back makes the same database.

use holdfast_storage::request::Request;

use crate::support::{open, query, run, try_update, update};

#[test]
fn an_export_can_be_carried_out_again() {
    run(async {
        let source = open().await;
        update(
            &source,
            "DEFINE TABLE item SCHEMALESS; DEFINE INDEX n ON item FIELDS n; CREATE item:1 SET n = 1, d = 1.5dec",
        )
        .await;
        update(&source, "CREATE item:2 SET n = 2; RELATE item:1->knows->item:2").await;
        let text = text_of(&source).await;

        let target = open().await;
        let sql = text.replace("OPTION IMPORT;", "");
        try_update(&target, &sql).await.unwrap_or_else(|error| panic!("{error:?}\n{text}"));
        for sql in ["SELECT * FROM item ORDER BY id", "SELECT VALUE ->knows->item FROM item:1"] {
            assert_eq!(query(&target, sql).await, query(&source, sql).await, "{sql}");
        }
    });
}

#[test]
fn what_does_not_exist_cannot_be_exported() {
    run(async {
        let database = open().await;
        let mut export =
            database.export("main".to_owned(), "nowhere".to_owned(), Request::new(None)).await.expect("it starts");
        assert!(export.next().await.is_some_and(|chunk| chunk.is_err()));
    });
}

async fn text_of(database: &holdfast_datastore::Database) -> String {
    let mut export =
        database.export("main".to_owned(), "main".to_owned(), Request::new(None)).await.expect("it starts");
    let mut text = Vec::new();
    while let Some(chunk) = export.next().await {
        text.extend_from_slice(&chunk.expect("the export goes on"));
    }
    String::from_utf8(text).expect("an export is text")
}
