//! An index is defined ahead of what is written to its table, wherever the definition stands; behind it, it is refused, wherever
//! it stands. Words in texts are only words.

use std::time::Duration;

use holdfast_tests::client::Request;
use holdfast_tests::system::{Options, System};

const PATIENCE: Duration = Duration::from_secs(30);

const RIGHT: [&str; 6] = [
    "{ DEFINE INDEX i ON t_ FIELDS n; CREATE t_:1 SET n = 1; RETURN 'OK' }",
    "DEFINE TABLE t_; DEFINE TABLE v_ AS SELECT count() FROM t_ GROUP ALL; DEFINE INDEX i ON t_ FIELDS n;
     CREATE t_:1 SET n = 1",
    "CREATE a SET s = 'DefineIndexStatement {'; DEFINE INDEX i ON t_ FIELDS n; CREATE t_:1 SET n = 1",
    "IF true { DEFINE INDEX i ON t_ FIELDS n UNIQUE }; FOR $n IN 1..2 { CREATE t_:1 SET n = 1 }",
    "DEFINE FUNCTION fn::f_() { DEFINE INDEX i ON t_ FIELDS n }; fn::f_(); CREATE t_:1 SET n = 1",
    "DEFINE INDEX i ON t_ FIELDS n CONCURRENTLY; CREATE t_:1 SET n = 1",
];

const WRONG: [&str; 6] = [
    "CREATE t_:1 SET n = 1; DEFINE INDEX i ON t_ FIELDS n",
    "{ CREATE t_:1 SET n = 1; DEFINE INDEX i ON t_ FIELDS n CONCURRENTLY }",
    "DEFINE FUNCTION fn::f_() { DEFINE INDEX i ON t_ FIELDS n }; CREATE t_:1 SET n = 1; fn::f_()",
    "LET $f = || { DEFINE INDEX i ON t_ FIELDS n }; INSERT INTO t_ { id: 1, n: 1 }; $f()",
    "FOR $n IN 1..3 { UPSERT t_:1 SET n = 1; DEFINE INDEX OVERWRITE i ON t_ FIELDS n }",
    "DEFINE TABLE s_; DEFINE INDEX i ON s_ FIELDS n; CREATE s_:1 SET n = 1; DEFINE TABLE t_ AS SELECT n FROM s_;
     DEFINE INDEX i ON t_ FIELDS n",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_taken_when_the_index_is_whole_and_refused_when_it_is_not() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let (client, csps) = (system.client(), system.csps());
        let mut wrong = Vec::new();
        for (number, sql) in RIGHT.iter().enumerate() {
            let table = format!("right{number}");
            let sql =
                sql.replace("t_", &table).replace("v_", &format!("view{number}")).replace("f_", &format!("f{number}"));
            let outcome = client.update(&Request::new(&sql).deadline(Duration::from_secs(20))).await;
            let Ok(reply) = outcome.clone().done() else {
                wrong.push(format!("{sql}: {outcome:?}"));
                continue;
            };
            let count = format!(
                "RETURN array::len(SELECT id FROM {table} WHERE n = 1);
                 RETURN array::len(SELECT id FROM {table} WITH NOINDEX WHERE n = 1)"
            );
            let answer = system.equal_answers(&csps, &count, reply.position).await?;
            if answer[0] != 1 || answer[1] != 1 {
                wrong.push(format!("{sql}: found {answer:?}"));
            }
        }
        for (number, sql) in WRONG.iter().enumerate() {
            let sql = sql.replace("t_", &format!("wrong{number}")).replace("s_", &format!("source{number}"));
            let sql = sql.replace("f_", &format!("w{number}"));
            let outcome = client.update(&Request::new(&sql).deadline(Duration::from_secs(20))).await;
            let refused = outcome.clone().refused();
            if !refused.as_ref().is_ok_and(|refusal| refusal.code == "unsupported" && refusal.message.contains("index"))
            {
                wrong.push(format!("{sql}: {outcome:?}"));
            }
        }
        anyhow::ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        let position = client.commit(Request::new("CREATE last"), PATIENCE).await?.position;
        system.equal_answers(&csps, "INFO FOR DB", position).await?;
        system.equal_digests(&csps).await?;
        system.all_alive()
    })
    .await
}
