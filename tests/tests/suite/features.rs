//! Features of SurrealDB that do more than write a record: right on all copies.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::scenario::create_many;
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
/// Records that one writer adds to a table at most while an index on it is built.
const WRITES_MAX: usize = 300;

/// Sends updates to the CSPs in turn.
async fn spread(client: &Client, csps: &[String], count: usize, sql: impl Fn(usize) -> String) -> anyhow::Result<u64> {
    let mut position = 0;
    for number in 0..count {
        let csp = &csps[number % csps.len()];
        let reply = client.update_at(csp, &Request::new(sql(number))).await.done()?;
        position = reply.position.max(position);
    }
    Ok(position)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changefeeds_show_the_same_changes_on_all_copies() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let (client, csps) = (system.client(), system.csps());
        client.commit(Request::new("DEFINE TABLE reading CHANGEFEED 1h"), PATIENCE).await?;
        let position =
            spread(&client, &csps, 60, |number| format!("CREATE reading:{number} SET value = {number}")).await?;
        let show = "SHOW CHANGES FOR TABLE reading SINCE 0 LIMIT 1000";
        let answer = system.equal_answers(&csps, show, position).await?;
        let changes = answer[0].as_array().cloned().unwrap_or_default();
        let stamps: Vec<u64> = changes.iter().filter_map(|change| change["versionstamp"].as_u64()).collect();
        let created = answer[0].to_string().matches("\"value\"").count();
        anyhow::ensure!(
            created >= 60 && stamps.is_sorted() && stamps.len() == changes.len(),
            "{created} changes, stamps {stamps:?}"
        );
        // A poller that goes on from a stamp that it has seen misses nothing that comes later.
        let seen = stamps.last().copied().unwrap_or(0) + 1;
        let position = spread(&client, &csps, 30, |number| format!("UPDATE reading:{number} SET value = -1")).await?;
        let show = format!("SHOW CHANGES FOR TABLE reading SINCE {seen} LIMIT 1000");
        let answer = system.equal_answers(&csps, &show, position).await?;
        let updated = answer[0].to_string().matches("\"value\":-1").count();
        anyhow::ensure!(updated == 30, "{updated} of 30 later changes");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_hand_out_every_number_once() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let (client, csps) = (system.client(), system.csps());
        let defined = client.commit(Request::new("DEFINE SEQUENCE ticket BATCH 5 START 1"), PATIENCE).await?;
        for csp in &csps {
            client.query_at(csp, &Request::new("RETURN 1").after(defined.position)).await.done()?;
        }
        let draws = (0..90).map(|number| {
            let (client, csp) = (client.clone(), csps[number % csps.len()].clone());
            async move {
                let request = Request::new("RETURN sequence::nextval('ticket')").deadline(Duration::from_secs(20));
                let reply = client.update_at(&csp, &request).await.done()?;
                reply.results[0].as_i64().ok_or_else(|| anyhow::anyhow!("{reply:?}"))
            }
        });
        let numbers = try_join_all(draws).await?;
        let distinct: BTreeSet<i64> = numbers.iter().copied().collect();
        anyhow::ensure!(distinct.len() == numbers.len(), "handed out twice: {numbers:?}");
        system.equal_digests(&csps).await?;
        Ok(())
    })
    .await
}

/// The sequence is moved on by a transaction of its own, in the middle of the one that creates the record.
async fn number_records(options: Options) -> anyhow::Result<()> {
    System::run(options, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE draw; DEFINE SEQUENCE ticket BATCH 10 START 100"), PATIENCE).await?;
        let create = "CREATE draw SET number = sequence::nextval('ticket') RETURN VALUE number";
        for _ in 0..25 {
            client.commit(Request::new(create), Duration::from_secs(10)).await?;
        }
        let many = "FOR $n IN 0..25 { CREATE draw SET number = sequence::nextval('ticket') }";
        let position = client.commit(Request::new(many), Duration::from_secs(10)).await?.position;
        let answer = system.equal_answers(&system.csps(), "SELECT VALUE number FROM draw", position).await?;
        let distinct: BTreeSet<String> = answer[0].as_array().into_iter().flatten().map(ToString::to_string).collect();
        anyhow::ensure!(distinct.len() == 50, "{answer:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_take_numbers_from_a_sequence() -> anyhow::Result<()> {
    number_records(Options::peer()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_take_numbers_from_a_sequence_under_snapshot_isolation() -> anyhow::Result<()> {
    number_records(Options { isolation: "snapshot", ..Options::peer() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn async_events_happen_once_on_all_copies() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let (client, csps) = (system.client(), system.csps());
        let define = "DEFINE TABLE source; DEFINE TABLE effect;
            DEFINE EVENT later ON source ASYNC WHEN $event = 'CREATE' THEN { CREATE effect SET of = $after.id }";
        let position = client.commit(Request::new(define), PATIENCE).await?.position;
        for csp in &csps {
            client.query_at(csp, &Request::new("RETURN 1").after(position)).await.done()?;
        }
        spread(&client, &csps, 60, |number| format!("CREATE source:{number}")).await?;
        let count = Request::new("SELECT VALUE of FROM effect ORDER BY of").strong();
        let reply = until("60 effects", PATIENCE, async || {
            let reply = client.query(&count).await.done()?;
            let effects = reply.results[0].as_array().map_or(0, Vec::len);
            anyhow::ensure!(effects >= 60, "{effects} effects");
            Ok::<_, anyhow::Error>(reply)
        })
        .await?;
        let answer = system.equal_answers(&csps, "SELECT VALUE of FROM effect ORDER BY of", reply.position).await?;
        let effects = answer[0].as_array().cloned().unwrap_or_default();
        let distinct: BTreeSet<String> = effects.iter().map(ToString::to_string).collect();
        anyhow::ensure!(
            effects.len() == 60 && distinct.len() == 60,
            "{} effects, {} distinct",
            effects.len(),
            distinct.len()
        );
        system.equal_digests(&csps).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_built_on_existing_records_are_complete_on_all_copies() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let (client, csps) = (system.client(), system.csps());
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
        create_many(&client, "item", 2_000).await?;
        let plain = "DEFINE INDEX plain ON item FIELDS number";
        client.commit(Request::new(plain).deadline(Duration::from_secs(30)), PATIENCE).await?;
        let concurrent = "DEFINE INDEX beside ON item FIELDS number, id CONCURRENTLY";
        client.commit(Request::new(concurrent).deadline(Duration::from_secs(30)), PATIENCE).await?;
        let info = Request::new("INFO FOR INDEX beside ON item").strong();
        let position = until("the index to be built", PATIENCE, async || {
            let reply = client.query(&info).await.done()?;
            let status = reply.results[0]["building"]["status"].clone();
            anyhow::ensure!(status == "ready", "{}", reply.results[0]);
            Ok::<_, anyhow::Error>(reply.position)
        })
        .await?;
        for sql in [
            "SELECT VALUE id FROM item WHERE number = 1234",
            "SELECT VALUE id FROM item WHERE number > 1990 ORDER BY id",
        ] {
            let answer = system.equal_answers(&csps, sql, position).await?;
            anyhow::ensure!(answer[0].as_array().is_some_and(|rows| !rows.is_empty()), "{sql}: {answer:?}");
        }
        system.equal_digests(&csps).await?;
        Ok(())
    })
    .await
}

/// What is committed while an index is built is neither in the snapshot that it is built from, nor written by someone who
/// knows of the index.
async fn define_under_writes(options: Options) -> anyhow::Result<()> {
    System::run(options, async |system| {
        let (client, csps) = (system.client(), system.csps());
        client.commit(Request::new("DEFINE TABLE item"), PATIENCE).await?;
        create_many(&client, "item", 1_000).await?;
        for (round, suffix) in ["", " CONCURRENTLY", "", " CONCURRENTLY"].into_iter().enumerate() {
            let defined = AtomicBool::new(false);
            let writers = csps.iter().map(|csp| write_until(&client, csp, round, &defined));
            let (written, built) =
                futures::join!(try_join_all(writers), define_index(&client, round, suffix, &defined));
            built?;
            let written: usize = written?.into_iter().sum();
            let sql = format!(
                "RETURN array::len(SELECT VALUE id FROM item WHERE of_{round} = 'x');
                 RETURN array::len(SELECT VALUE id FROM item WITH NOINDEX WHERE of_{round} = 'x')"
            );
            let position = client.query(&Request::new("RETURN 1").strong()).await.done()?.position;
            let answer = system.equal_answers(&csps, &sql, position).await?;
            let complete = answer[0] == answer[1] && answer[0] == written;
            anyhow::ensure!(complete, "index {round}{suffix}: {written} written, found {answer:?}");
        }
        system.equal_digests(&csps).await?;
        Ok(())
    })
    .await
}

/// Defines an index and waits until it is built; says so in any case.
async fn define_index(client: &Client, round: usize, suffix: &str, defined: &AtomicBool) -> anyhow::Result<()> {
    let sql = format!("DEFINE INDEX index_{round} ON item FIELDS of_{round}{suffix}");
    let outcome = client.commit(Request::new(sql).deadline(Duration::from_secs(30)), PATIENCE).await;
    let info = Request::new(format!("INFO FOR INDEX index_{round} ON item")).strong();
    let built = until("the index to be built", PATIENCE, async || {
        let reply = client.query(&info).await.done()?;
        let status = reply.results[0]["building"]["status"].clone();
        anyhow::ensure!(status == "ready", "{}", reply.results[0]);
        Ok::<_, anyhow::Error>(())
    });
    let built = if outcome.is_ok() { built.await } else { Ok(()) };
    defined.store(true, Ordering::Relaxed);
    outcome.and(built)
}

/// Creates records at one CSP, one after the other, until the index is there; returns how many. There is an end to them,
/// because an index that is not built in the background only gets through when they pause.
async fn write_until(client: &Client, csp: &str, round: usize, defined: &AtomicBool) -> anyhow::Result<usize> {
    let mut written = 0;
    while written < WRITES_MAX && !defined.load(Ordering::Relaxed) {
        let request = Request::new(format!("CREATE item SET of_{round} = 'x' RETURN NONE"));
        client.update_at(csp, &request.deadline(Duration::from_secs(30))).await.done()?;
        written += 1;
    }
    Ok(written)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_cover_what_all_copies_write_while_they_are_built() -> anyhow::Result<()> {
    define_under_writes(Options::peer()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn indexes_cover_it_under_snapshot_isolation_too() -> anyhow::Result<()> {
    define_under_writes(Options { isolation: "snapshot", ..Options::primary() }).await
}

/// Whoever writes while somebody defines an index anew has done nothing wrong: the write finds the new definition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_go_on_while_an_index_is_defined_anew_and_anew() -> anyhow::Result<()> {
    const WRITERS: u64 = 4;
    const LASTS: Duration = Duration::from_secs(4);
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE ix"), PATIENCE).await?;
        let over = Instant::now() + LASTS;
        let redefines = tokio::spawn({
            let client = system.new_client().await?;
            async move {
                while Instant::now() < over {
                    for sql in
                        ["DEFINE INDEX OVERWRITE iw ON ix FIELDS w CONCURRENTLY", "REMOVE INDEX IF EXISTS iw ON ix"]
                    {
                        // Definitions may lose against one another.
                        drop(client.update(&Request::new(sql)).await);
                    }
                }
            }
        });
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let client = system.new_client().await?;
            writers.push(tokio::spawn(async move {
                let mut written = 0;
                while Instant::now() < over {
                    let sql = format!("CREATE ix SET w = {}", (written + writer) % 7);
                    client.commit(Request::new(sql), PATIENCE).await?;
                    written += 1;
                }
                anyhow::Ok(written)
            }));
        }
        let mut written = 0;
        for writer in writers {
            written += writer.await??;
        }
        redefines.await?;
        let count =
            client.read(&Request::new("RETURN count(SELECT VALUE id FROM ix)").strong(), PATIENCE).await.done()?;
        anyhow::ensure!(count.results[0] == written, "{written} were written: {count:?}");
        system.equal_digests(&system.csps()).await.map(drop)
    })
    .await
}
