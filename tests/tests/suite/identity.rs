//! The same id again returns the first outcome: at once, from another CSP, after restarts, and when many ask at once.

use std::time::Duration;

use futures::future::join_all;
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Reply, Request, Transaction};
use holdfast_tests::system::{GROUP, Options, System};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);

fn same(first: &Reply, again: &Reply) -> anyhow::Result<()> {
    let equal = (first.position, first.index, &first.results) == (again.position, again.index, &again.results);
    anyhow::ensure!(equal && again.replayed, "first {first:?}, then {again:?}");
    Ok(())
}

async fn executions(client: &Client, record: &str) -> anyhow::Result<u64> {
    let request = Request::new(format!("SELECT VALUE number FROM seen:{record}")).strong();
    let reply = client.read(&request, PATIENCE).await.done()?;
    Ok(reply.results[0][0].as_u64().unwrap_or(0))
}

fn increment(record: &str) -> Request {
    Request::new(format!(
        "UPSERT seen:{record} SET number = (number ?? 0) + 1, chance = rand::ulid(), time = time::now()"
    ))
}

async fn repeat(options: Options) -> anyhow::Result<()> {
    System::run(options, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE seen"), PATIENCE).await?;
        let request = increment("one");
        let first = client.commit(request.clone(), PATIENCE).await?;
        anyhow::ensure!(!first.replayed && first.id == request.id(), "{first:?}");
        same(&first, &client.update(&request).await.done()?)?;
        for csp in system.csps() {
            client.query_at(&csp, &Request::new("RETURN 1").after(first.position)).await.done()?;
            same(&first, &client.update_at(&csp, &request).await.done()?)?;
        }
        for csp in system.csps() {
            system.restart(&csp)?;
        }
        system.heal().await?;
        same(&first, &client.commit(request, PATIENCE).await?)?;
        anyhow::ensure!(executions(&client, "one").await? == 1);
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_id_returns_the_first_outcome_among_peers() -> anyhow::Result<()> {
    repeat(Options::peer()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_id_returns_the_first_outcome_with_a_primary() -> anyhow::Result<()> {
    repeat(Options::primary()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_sent_many_times_at_once_happens_once() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE seen"), PATIENCE).await?;
        for round in 0..20 {
            let record = format!("r{round}");
            let request = increment(&record).deadline(Duration::from_secs(10));
            let csps = system.csps();
            let sent = (0..12).map(|copy| client.update_at(&csps[copy % csps.len()], &request));
            let outcomes = join_all(sent).await;
            let mut replies = Vec::new();
            for outcome in outcomes {
                replies.push(outcome.done()?);
            }
            let firsts = replies.iter().filter(|reply| !reply.replayed).count();
            let all_same = replies.iter().all(|reply| reply.results == replies[0].results);
            anyhow::ensure!(firsts <= 1 && all_same, "{replies:?}");
            anyhow::ensure!(executions(&client, &record).await? == 1, "{record} was executed more than once");
        }
        Ok(())
    })
    .await
}

/// An attempt of which nothing has been heard, because its CSP stands still in the middle of the commit, while another one
/// under the same id fails: if that is told, the first one must not take effect any more.
async fn fails_elsewhere_while_stopped(step: &'static str) -> anyhow::Result<()> {
    // Under snapshot isolation, so that what makes the second attempt fail is no conflict for the first.
    let options = Options { stop_at: Some(step), isolation: "snapshot", ..Options::peer() };
    System::run(options, async |system| {
        let client = system.client();
        let begin = "DEFINE TABLE seen; DEFINE TABLE gate; CREATE gate:one SET open = true RETURN NONE";
        client.commit(Request::new(begin), PATIENCE).await?;

        // 1. csp-1 stops with the update under way.
        let update = Request::new(
            "IF !(SELECT VALUE open FROM ONLY gate:one) { THROW 'closed' }; CREATE seen:late SET number = 1 RETURN NONE",
        );
        let update = update.deadline(PATIENCE);
        let (first_client, first) = (system.new_client().await?, update.clone());
        let first = tokio::spawn(async move { first_client.update_at("csp-1", &first).await });
        system.stop_at_step("csp-1").await?;

        // 2. The same cannot be done any more, and another CSP says so.
        let close = Request::new("UPDATE gate:one SET open = false RETURN NONE");
        client.update_at("csp-2", &close).await.done()?;
        let failed = client.update_at("csp-2", &update).await.refused()?;
        anyhow::ensure!(failed.code == "statement_failed", "{failed:?}");

        // 3. csp-1 goes on: it says the same, and nothing of the update is there.
        system.resume("csp-1")?;
        let late = first.await?;
        let again = client.update_at("csp-3", &update).await;
        let happened = executions(&client, "late").await?;
        anyhow::ensure!(happened == 0, "it was told {failed:?}, then {late}, then {again}, and has happened");
        anyhow::ensure!(failed.settled && failed == late.refused()? && failed == again.refused()?, "{failed:?}");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_was_told_stays_one_when_an_earlier_attempt_is_handed_over_late() -> anyhow::Result<()> {
    fails_elsewhere_while_stopped("before-submit").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_that_was_told_stays_one_when_an_earlier_attempt_is_sent_late() -> anyhow::Result<()> {
    fails_elsewhere_while_stopped("before-publish").await
}

/// An id is that of one request: anything else under it is refused, on every copy, and after they were started anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_was_used_for_something_else_is_refused() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE seen"), PATIENCE).await?;
        let first = increment("one").var("a", 1).var("b", "x");
        let done = client.commit(first.clone(), PATIENCE).await?;
        let failed = Request::new("THROW 'no'");
        client.update(&failed).await.refused()?;

        // The same with another deadline, or with its fields in another order, is the same.
        same(&done, &client.update(&first.clone().deadline(Duration::from_secs(9))).await.done()?)?;

        // Anything else is not.
        let id = first.id().to_owned();
        let others = [
            increment("two").with("id", id.clone()).var("a", 1).var("b", "x"),
            first.clone().var("a", 2),
            first.clone().with("ns", "another"),
            Request::new("RETURN 1").with("id", failed.id()),
        ];
        for round in 0..2 {
            for csp in system.csps() {
                client.query_at(&csp, &Request::new("RETURN 1").after(done.position)).await.done()?;
                same(&done, &client.update_at(&csp, &first).await.done()?)?;
                for other in &others {
                    let refused = client.update_at(&csp, other).await.refused()?;
                    anyhow::ensure!(refused.code == "id_reused" && !refused.retryable, "{round} {csp}: {refused:?}");
                }
            }
            for csp in system.csps() {
                system.restart(&csp)?;
            }
            system.heal().await?;
        }

        // A lock's id is no update's, and the other way about; nor is a transaction's.
        let acquire = json!({ "id": "lock-1", "name": "till" });
        client.ask(subject::lock(GROUP, "acquire"), &acquire, PATIENCE).await?;
        let update = client.update(&Request::new("RETURN 1").with("id", "lock-1")).await.refused()?;
        let lock = json!({ "id": id, "name": "door" });
        let lock = client.answer(subject::lock(GROUP, "acquire"), &lock, PATIENCE).await?;
        let other = json!({ "id": "lock-1", "name": "door" });
        let other = client.answer(subject::lock(GROUP, "acquire"), &other, PATIENCE).await?;
        anyhow::ensure!(update.code == "id_reused", "{update:?}");
        anyhow::ensure!([&lock, &other].iter().all(|told| told["error"]["code"] == "id_reused"), "{lock}, {other}");
        let mut transaction = Transaction::begin(&client, &json!({ "id": "transaction-1" }), true, PATIENCE).await?;
        let differs = json!({ "id": "transaction-1", "ns": "another" });
        let differs = client.answer(subject::transaction(GROUP, "begin"), &differs, PATIENCE).await?;
        anyhow::ensure!(differs["error"]["code"] == "id_reused", "{differs}");
        transaction.next();
        let commit = transaction.end("commit").await;
        anyhow::ensure!(commit.as_ref().is_some_and(|reply| reply["position"].is_u64()), "{commit:?}");
        let update = client.update(&Request::new("RETURN 1").with("id", "transaction-1")).await.refused()?;
        anyhow::ensure!(update.code == "id_reused", "{update:?}");
        anyhow::ensure!(executions(&client, "one").await? == 1 && executions(&client, "two").await? == 0);
        system.all_alive()
    })
    .await
}
