//! Which of SurrealDB's failures are the storage's.

use holdfast_datastore::is_of_storage;
use holdfast_storage::REFUSED_BY_THE_LOG;
use surrealdb_kvs::Error as Storage;

const OF_KEYS: &str = "There was a problem with the key-value store: ";

#[test]
fn the_engine_s_words_are_known_by_how_they_begin() {
    for failed in [Storage::Transaction("block 7".to_owned()), Storage::Datastore("disk full".to_owned())] {
        assert!(is_of_storage(&failed.to_string()), "{failed}");
        assert!(is_of_storage(&format!("{OF_KEYS}{failed}")), "{failed}");
        assert!(!is_of_storage(&format!("Found '{failed}' for field `n`")), "{failed}");
        let within = |name: &str| format!("Error while processing event {name}: {OF_KEYS}{failed}");
        assert!(is_of_storage(&within("audit_2")), "{failed}");
        assert!(is_of_storage(&format!("Error while processing event outer: {}", within("inner"))), "{failed}");
        assert!(!is_of_storage(&within("`a name: of signs`")), "{failed}");
    }
    for words in ["Empty key".to_owned(), format!("{REFUSED_BY_THE_LOG}lost")] {
        assert!(!is_of_storage(&format!("{OF_KEYS}{}", Storage::Transaction(words))));
    }
}
