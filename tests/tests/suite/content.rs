//! Any mix of updates: every copy answers every query alike, and the digests over whole copies are equal.

use std::time::Duration;

use holdfast_tests::client::Request;
use holdfast_tests::system::{Options, System};

const PATIENCE: Duration = Duration::from_secs(30);

/// Updates, each one transaction, in order.
const UPDATES: &[&str] = &[
    "DEFINE TABLE person SCHEMAFULL;
     DEFINE FIELD name ON person TYPE string;
     DEFINE FIELD email ON person TYPE string;
     DEFINE FIELD age ON person TYPE int DEFAULT 0;
     DEFINE FIELD made ON person TYPE datetime VALUE $before OR time::now();
     DEFINE INDEX person_email ON person FIELDS email UNIQUE;
     DEFINE INDEX person_age ON person FIELDS age;",
    "DEFINE TABLE knows TYPE RELATION IN person OUT person;
     DEFINE TABLE journal;
     DEFINE TABLE document; DEFINE TABLE point; DEFINE TABLE draw; DEFINE TABLE gone;",
    "DEFINE EVENT person_changed ON person WHEN $event != 'DELETE' THEN {
        CREATE journal SET what = $event, who = $after.id, at = time::now() };",
    "DEFINE ANALYZER words TOKENIZERS blank, class FILTERS lowercase, snowball(english);
     DEFINE INDEX document_text ON document FIELDS text FULLTEXT ANALYZER words BM25 HIGHLIGHTS;",
    "DEFINE INDEX point_vector ON point FIELDS vector HNSW DIMENSION 4 DIST EUCLIDEAN TYPE F32 EFC 50 M 8;",
    "DEFINE SEQUENCE ticket BATCH 10 START 100;
     DEFINE PARAM $greeting VALUE 'hello';
     DEFINE FUNCTION fn::twice($number: int) { RETURN $number * 2 };",
    "FOR $n IN 0..60 { CREATE type::record('person', $n) SET
        name = 'person ' + <string> $n, email = <string> $n + '@example.org', age = $n % 17 };",
    "FOR $n IN 0..59 { LET $a = type::record('person', $n); LET $b = type::record('person', $n + 1);
        RELATE $a->knows->$b SET since = time::now(), weight = rand::float() };",
    "UPDATE person SET age += 1 WHERE age < 5;",
    "DELETE person WHERE age = 11;",
    "UPSERT person:added SET name = 'added', email = 'added@example.org', age = 99;",
    "INSERT INTO document [
        { id: 1, text: 'Copies that answer alike are a joy' },
        { id: 2, text: 'The log decides, and every copy follows' },
        { id: 3, text: 'Nothing is lost and nothing happens twice' },
        { id: 4, text: 'A copy that follows the log answers queries' }];",
    "UPDATE document:3 SET text = 'Nothing that was acknowledged is lost by any copy'; DELETE document:1;",
    "FOR $n IN 0..80 { CREATE type::record('point', $n) SET
        vector = [$n * 0.5, ($n * 7) % 13, ($n * 3) % 5, 80 - $n] };",
    "DELETE point WHERE id = point:17; UPDATE point:20 SET vector = [1.5, 2.5, 3.5, 4.5];",
    "FOR $n IN 0..20 { CREATE draw SET number = sequence::nextval('ticket'), chance = rand::int(0, 1000000),
        uuid = rand::uuid(), ulid = rand::ulid(), time = time::now(), money = 12.50dec, span = 1h30m,
        double = fn::twice($n) };",
    "DEFINE INDEX gone_reason ON gone FIELDS reason; CREATE gone SET reason = 'to be removed';",
    "REMOVE TABLE gone;",
    "DEFINE TABLE gone; CREATE gone:again SET reason = 'made again';",
    "REMOVE INDEX person_age ON person; DEFINE INDEX person_age ON person FIELDS age, name;",
    "DEFINE FIELD OVERWRITE age ON person TYPE int DEFAULT 1; DEFINE TABLE OVERWRITE journal COMMENT 'what happened';",
    "UPDATE person:5 MERGE { name: 'renamed' }; UPDATE person:6 PATCH [{ op: 'replace', path: '/name', value: 'patched' }];",
    "DEFINE TABLE ages AS SELECT count() AS count, age FROM person GROUP BY age;",
    "CREATE person:late SET name = 'late', email = 'late@example.org', age = 3;",
];

/// Refused alike wherever they are sent.
const REFUSED: &[&str] = &[
    "CREATE person SET name = 'double', email = 'added@example.org'",
    "CREATE person SET name = 7, email = 'x'",
    "CREATE journal:kept; THROW 'not after all'",
];

const QUERIES: &[&str] = &[
    "SELECT * FROM person ORDER BY id",
    "SELECT * FROM person WHERE email = '7@example.org'",
    "SELECT name, age FROM person WHERE age = 4 ORDER BY name",
    "SELECT * FROM knows ORDER BY in",
    "SELECT ->knows->person->knows->person AS friends FROM person:3",
    "SELECT VALUE <-knows<-person FROM person:9",
    "SELECT * FROM journal ORDER BY id",
    "SELECT id, search::score(1) AS score, search::highlight('<b>', '</b>', 1) AS text FROM document
        WHERE text @1@ 'copy' ORDER BY score DESC, id",
    "SELECT id FROM document WHERE text @@ 'log follows' ORDER BY id",
    "SELECT id, vector::distance::knn() AS distance FROM point WHERE vector <|5,40|> [2.0, 3.0, 4.0, 60.3]",
    "SELECT id FROM point WHERE vector <|3,40|> [1.5, 2.5, 3.5, 4.5]",
    "SELECT * FROM draw ORDER BY number",
    "SELECT * FROM gone",
    "SELECT * FROM ages ORDER BY age",
    "RETURN [$greeting, fn::twice(21)]",
    "INFO FOR DB",
    "INFO FOR TABLE person",
    "SELECT count() FROM person GROUP ALL",
    "SELECT age, count() AS count FROM person GROUP BY age ORDER BY age",
    "SELECT * FROM person WHERE age > 3 EXPLAIN",
];

async fn compare(options: Options) -> anyhow::Result<()> {
    System::run(options, async |system| {
        let client = system.client();
        let mut position = 0;
        for sql in UPDATES {
            let reply = client.commit(Request::new(*sql), PATIENCE).await;
            position = reply.map_err(|error| error.context((*sql).to_owned()))?.position;
        }
        for sql in REFUSED {
            for csp in system.csps() {
                let refusal = client.update_at(&csp, &Request::new(*sql)).await.refused()?;
                anyhow::ensure!(refusal.code == "statement_failed", "{csp}: {sql}: {refusal:?}");
            }
        }
        same_everywhere(&system, position).await?;
        for csp in system.csps() {
            system.restart(&csp)?;
        }
        system.heal().await?;
        same_everywhere(&system, position).await?;
        system.all_alive()
    })
    .await
}

async fn same_everywhere(system: &System, position: u64) -> anyhow::Result<()> {
    for sql in QUERIES {
        let answer = system.equal_answers(&system.csps(), sql, position).await?;
        let empty = answer.iter().any(|value| value.as_array().is_some_and(Vec::is_empty) || value.is_null());
        anyhow::ensure!(!empty, "{sql} finds nothing, so it compares nothing: {answer:?}");
    }
    let digest = system.equal_digests(&system.csps()).await?;
    eprintln!("{digest:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_any_kind_is_the_same_on_all_peers() -> anyhow::Result<()> {
    compare(Options::peer()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_any_kind_is_the_same_on_primary_and_subscribers() -> anyhow::Result<()> {
    compare(Options::primary()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_any_kind_is_the_same_in_memory() -> anyhow::Result<()> {
    compare(Options { storage: "mem", ..Options::peer() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_any_kind_is_the_same_under_snapshot_isolation() -> anyhow::Result<()> {
    compare(Options { isolation: "snapshot", ..Options::peer() }).await
}
