//! Two transactions held at named steps: the one is open, and has read and written; then the other commits; then the one commits.
//! In every case what the one did is wrong by then, so its commit has to be refused. Under `snapshot` that holds only where
//! something would stay wrong for good: an index or a view that misses a record, a record of a table that is gone. Each case is
//! played first with nothing in between, and has to commit then: otherwise its refusal would say nothing.

use std::time::Duration;

use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{GROUP, Options, System};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(30);
/// How often a case is played without its disturbance, until it commits.
const CONTROLS_MAX: usize = 10;

/// What happens, in this order. `t_` stands for a table of the case's own, `u_` and `v_` for others.
struct Case {
    name: &'static str,
    before: &'static str,
    /// Carried out in the open transaction.
    open: &'static str,
    /// Committed by somebody else meanwhile.
    meanwhile: &'static str,
}

const fn case(name: &'static str, before: &'static str, open: &'static str, meanwhile: &'static str) -> Case {
    Case { name, before, open, meanwhile }
}

/// What must not happen in any group.
const FOR_GOOD: [Case; 14] = [
    case(
        "record older than an index",
        "DEFINE TABLE t_",
        "CREATE t_:1 SET n = 1",
        "DEFINE INDEX i ON t_ FIELDS n UNIQUE",
    ),
    case(
        "record older than a background index",
        "DEFINE TABLE t_",
        "CREATE t_:1 SET n = 1",
        "DEFINE INDEX i ON t_ FIELDS n CONCURRENTLY",
    ),
    case(
        "update older than an index",
        "CREATE t_:1 SET n = 1",
        "UPDATE t_:1 SET n = 2",
        "DEFINE INDEX i ON t_ FIELDS n",
    ),
    case("delete older than an index", "CREATE t_:1 SET n = 1", "DELETE t_:1", "DEFINE INDEX i ON t_ FIELDS n"),
    case(
        "record older than a view",
        "DEFINE TABLE t_",
        "CREATE t_:1",
        "DEFINE TABLE v_ AS SELECT count() FROM t_ GROUP ALL",
    ),
    case("record older than the end of its table", "DEFINE TABLE t_", "CREATE t_:1", "REMOVE TABLE t_"),
    case("edge older than the end of its table", "CREATE t_:1, t_:2, u_:1", "RELATE t_:1->e_->u_:1", "REMOVE TABLE u_"),
    case("index older than a record", "DEFINE TABLE t_", "DEFINE INDEX i ON t_ FIELDS n", "CREATE t_:1 SET n = 1"),
    case(
        "background index older than a record",
        "DEFINE TABLE t_; CREATE t_:1",
        "DEFINE INDEX i ON t_ FIELDS n CONCURRENTLY; SLEEP 300ms",
        "CREATE t_:2 SET n = 1",
    ),
    case(
        "view older than a record",
        "DEFINE TABLE t_",
        "DEFINE TABLE v_ AS SELECT count() FROM t_ GROUP ALL",
        "CREATE t_:1",
    ),
    case("end of a table older than a record", "CREATE t_:1", "REMOVE TABLE t_", "CREATE t_:2"),
    case("end of a table older than an edge", "CREATE t_:1, u_:1", "REMOVE TABLE u_", "RELATE t_:1->e_->u_:1"),
    case(
        "unique key",
        "DEFINE TABLE t_; DEFINE INDEX i ON t_ FIELDS n UNIQUE",
        "CREATE t_:1 SET n = 1",
        "CREATE t_:2 SET n = 1",
    ),
    case("record older than a changefeed", "DEFINE TABLE t_", "CREATE t_:1", "DEFINE TABLE OVERWRITE t_ CHANGEFEED 1h"),
];

/// What must not happen in a serializable group: write skew in all that a user can observe.
const SERIALIZABLE: [Case; 18] = [
    case("inline edges, by count",
        "DEFINE TABLE t_ INLINE EDGES 8; CREATE t_:a, t_:b, t_:x, t_:y; RELATE t_:a->e_:1->t_:x; RELATE t_:b->e_:2->t_:x;
         DELETE e_:1, e_:2",
        "IF count(t_:a->e_) = 0 { RELATE t_:b->e_->t_:x }", "IF count(t_:b->e_) = 0 { RELATE t_:a->e_->t_:y }"),
    case("inline edges, by the edges",
        "DEFINE TABLE t_ INLINE EDGES 8; CREATE t_:a, t_:b, t_:x, t_:y; RELATE t_:a->e_:1->t_:x; RELATE t_:b->e_:2->t_:x;
         DELETE e_:1, e_:2",
        "IF (SELECT VALUE ->e_->t_ FROM ONLY t_:a) = [] { RELATE t_:b->e_->t_:x }",
        "IF (SELECT VALUE ->e_->t_ FROM ONLY t_:b) = [] { RELATE t_:a->e_->t_:y }"),
    case("inline references",
        "DEFINE TABLE t_ INLINE REFERENCES 8; DEFINE FIELD of ON u_ TYPE option<record<t_>> REFERENCE;
         CREATE t_:a, t_:b; CREATE u_:1 SET of = t_:a; CREATE u_:2 SET of = t_:b; DELETE u_:1, u_:2",
        "IF (SELECT VALUE <~u_ FROM ONLY t_:a) = [] { CREATE u_ SET of = t_:b }",
        "IF (SELECT VALUE <~u_ FROM ONLY t_:b) = [] { CREATE u_ SET of = t_:a }"),
    case("edges", "CREATE t_:a, t_:b, t_:x, t_:y; DEFINE TABLE e_",
        "IF count(t_:a->e_) = 0 { RELATE t_:b->e_->t_:x }", "IF count(t_:b->e_) = 0 { RELATE t_:a->e_->t_:y }"),
    case("references",
        "DEFINE TABLE t_; DEFINE FIELD of ON u_ TYPE option<record<t_>> REFERENCE; CREATE t_:a, t_:b",
        "IF (SELECT VALUE <~u_ FROM ONLY t_:a) = [] { CREATE u_ SET of = t_:b }",
        "IF (SELECT VALUE <~u_ FROM ONLY t_:b) = [] { CREATE u_ SET of = t_:a }"),
    case("reference that a delete has to see",
        "DEFINE TABLE t_; DEFINE FIELD of ON u_ TYPE record<t_> REFERENCE ON DELETE REJECT; CREATE t_:a",
        "DELETE t_:a", "CREATE u_:1 SET of = t_:a"),
    case("a word", "DEFINE ANALYZER IF NOT EXISTS words TOKENIZERS blank; DEFINE TABLE t_;
         DEFINE INDEX i ON t_ FIELDS s FULLTEXT ANALYZER words",
        "IF array::len((SELECT id FROM t_ WHERE s @@ 'w')) = 0 { CREATE t_:1 SET s = 'w x' }", "CREATE t_:2 SET s = 'v w'"),
    case("a word that is taken back", "DEFINE ANALYZER IF NOT EXISTS words TOKENIZERS blank; DEFINE TABLE t_;
         DEFINE INDEX i ON t_ FIELDS s FULLTEXT ANALYZER words; CREATE t_:2 SET s = 'v w'",
        "IF array::len((SELECT id FROM t_ WHERE s @@ 'w')) = 1 { CREATE u_:1 }", "UPDATE t_:2 SET s = 'v'"),
    case("a range of ids", "DEFINE TABLE t_", "IF array::len((SELECT id FROM t_:1..5)) = 0 { CREATE t_:9 }", "CREATE t_:3"),
    case("a plain index", "DEFINE TABLE t_; DEFINE INDEX i ON t_ FIELDS n",
        "IF array::len((SELECT id FROM t_ WHERE n > 1)) = 0 { CREATE t_:1 SET n = 1 }", "CREATE t_:2 SET n = 3"),
    case("a counting index", "DEFINE TABLE t_; DEFINE INDEX i ON t_ COUNT",
        "IF array::len((SELECT count() FROM t_ GROUP ALL)) < 2 { CREATE u_:1 }", "CREATE t_:2"),
    case("a view", "DEFINE TABLE t_; DEFINE TABLE v_ AS SELECT count() FROM t_ GROUP ALL",
        "IF array::len((SELECT * FROM v_)) = 0 { CREATE u_:1 }", "CREATE t_:2"),
    case("a new assertion", "DEFINE TABLE t_", "CREATE t_:1 SET n = 1", "DEFINE FIELD n ON t_ TYPE int ASSERT $value > 5"),
    case("a new event", "DEFINE TABLE t_", "CREATE t_:1", "DEFINE EVENT e ON t_ THEN { CREATE u_ }"),
    case("a parameter", "DEFINE PARAM $p_ VALUE 1; DEFINE TABLE t_", "CREATE t_:1 SET n = $p_", "DEFINE PARAM OVERWRITE $p_ VALUE 2"),
    case("a function", "DEFINE FUNCTION fn::f_() { RETURN 1 }; DEFINE TABLE t_", "CREATE t_:1 SET n = fn::f_()",
        "DEFINE FUNCTION OVERWRITE fn::f_() { RETURN 2 }"),
    case(
        "a changefeed",
        "DEFINE TABLE t_ CHANGEFEED 1h; CREATE t_:1",
        "SHOW CHANGES FOR TABLE t_ SINCE 0; CREATE u_:1",
        "CREATE t_:2",
    ),
    case("what there is", "DEFINE TABLE t_", "LET $i = (INFO FOR TABLE t_); CREATE u_:1", "DEFINE FIELD n ON t_ TYPE int"),
];

async fn send(client: &Client, verb: &str, body: &Value) -> anyhow::Result<Value> {
    client.answer(subject::transaction(GROUP, verb), body, PATIENCE).await
}

/// A statement of a case, over tables that bear this number.
fn own(sql: &str, number: usize) -> String {
    let sql = sql.replace("t_", &format!("t{number}")).replace("u_", &format!("u{number}"));
    sql.replace("v_", &format!("v{number}"))
        .replace("e_", &format!("e{number}"))
        .replace("f_", &format!("f{number}"))
        .replace("p_", &format!("p{number}"))
}

async fn update(client: &Client, case: &Case, sql: &str, number: usize) -> anyhow::Result<u64> {
    let request = Request::new(own(sql, number)).deadline(Duration::from_secs(20));
    Ok(client.commit(request, PATIENCE).await.map_err(|error| error.context(case.name))?.position)
}

/// Carries out what comes before, on every copy.
async fn prepare(client: &Client, case: &Case, number: usize) -> anyhow::Result<()> {
    // One after the other, since some write what the one before them defines.
    let position = update(client, case, case.before, number).await?;
    for csp in ["csp-1", "csp-2", "csp-3"] {
        client.query_at(csp, &Request::new("RETURN 1").after(position)).await.done()?;
    }
    Ok(())
}

/// Plays a case with this in between, and gives what its commit was answered.
async fn play(client: &Client, case: &Case, meanwhile: &str, number: usize) -> anyhow::Result<Value> {
    let begun = send(client, "begin", &json!({})).await?;
    let token = &begun["transaction"];
    anyhow::ensure!(token.is_string(), "{}: {begun}", case.name);
    let executed = send(client, "execute", &json!({ "transaction": token, "sql": own(case.open, number) })).await?;
    anyhow::ensure!(executed["error"].is_null(), "{}: {executed}", case.name);
    update(client, case, meanwhile, number).await?;
    send(client, "commit", &json!({ "transaction": token })).await
}

/// Demands that a case commits when nothing happens meanwhile. SurrealDB's own compaction behind what came before may let it lose
/// for nothing; that is over soon, since nobody writes to these tables.
async fn commits_undisturbed(client: &Client, case: &Case, number: usize) -> anyhow::Result<()> {
    prepare(client, case, number).await?;
    let mut answer = Value::Null;
    for _ in 0..CONTROLS_MAX {
        answer = play(client, case, "RETURN 1", number).await?;
        if answer["error"]["code"] != "conflict" {
            break;
        }
    }
    anyhow::ensure!(answer["error"].is_null(), "{}: nothing happened meanwhile, and yet {answer}", case.name);
    Ok(())
}

/// What is wrong with the end of a case, if anything. It takes tables of two numbers.
async fn wrong(client: &Client, case: &Case, number: usize) -> anyhow::Result<Option<String>> {
    commits_undisturbed(client, case, 2 * number).await?;
    prepare(client, case, 2 * number + 1).await?;
    let committed = play(client, case, case.meanwhile, 2 * number + 1).await?;
    let refused = committed["error"]["code"] == "conflict";
    Ok((!refused).then(|| format!("{}: {committed}", case.name)))
}

async fn none_shows(isolation: &'static str, cases: impl Iterator<Item = &Case>) -> anyhow::Result<()> {
    let cases: Vec<_> = cases.collect();
    System::run(Options { isolation, ..Options::peer() }, async |system| {
        let client = system.client();
        let mut shown = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            match wrong(&client, case, number).await {
                Ok(None) => {}
                Ok(Some(wrong)) => shown.push(wrong),
                Err(error) => shown.push(format!("{error:#}")),
            }
        }
        anyhow::ensure!(shown.is_empty(), "under {isolation}:\n{}", shown.join("\n"));
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_of_them_shows_under_serializable() -> anyhow::Result<()> {
    none_shows("serializable", FOR_GOOD.iter().chain(&SERIALIZABLE)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_that_lasts_shows_under_snapshot() -> anyhow::Result<()> {
    none_shows("snapshot", FOR_GOOD.iter()).await
}
