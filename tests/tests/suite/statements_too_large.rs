//! A statement that builds more in memory than there is ends in an error, and its CSP lives on.

use std::time::Duration;

use holdfast_tests::client::{Client, Outcome, Request};
use holdfast_tests::system::{Options, System};
use holdfast_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
/// What all statements of a CSP may hold in memory, in MiB.
const STATEMENTS_MB: u64 = 256;
/// What a CSP may be resident with: what statements hold up to the moment when they are stopped (twice that), its copy, what it
/// always has, and what is taken before it is looked at that again.
const RESIDENT_MAX_MB: u64 = 2 * STATEMENTS_MB + 3 * 256 + 512 + 500;

fn options() -> Options {
    let bound = ("HOLDFAST_REPLICATION__STATEMENT_MEMORY_MB".to_owned(), STATEMENTS_MB.to_string());
    Options { csp_environment: [bound].into(), ..Options::primary() }
}

fn large(sql: &str) -> Request {
    Request::new(sql).var("s", "x".repeat(900_000)).deadline(Duration::from_secs(20))
}

/// Those that could not stop a statement may end.
fn may_end(system: &System) {
    system.csps().iter().for_each(|csp| system.may_end(csp));
}

async fn goes_on(client: &Client) -> anyhow::Result<()> {
    let update = Request::new("UPSERT one:1 SET number = 1").deadline(Duration::from_secs(10));
    client.commit(update, PATIENCE).await?;
    Ok(())
}

fn resident_mb(process: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = peak.and_then(|peak| peak.trim().strip_suffix("kB")).unwrap_or_default().trim().parse()?;
    Ok(kib / 1024)
}

/// Waits until every CSP serves. One that ended in order, because it could not stop a statement, is started again, as whoever runs
/// it does; none may have taken too much before.
async fn all_there(system: &System, sql: &str) -> anyhow::Result<()> {
    until("every CSP to be there", PATIENCE, async || {
        for csp in system.csps() {
            if system.process_state(&csp).is_none_or(|state| state == 'Z') {
                system.restart(&csp).map_err(|error| format!("{error:#}"))?;
            }
            if let Ok(resident) = system.process_id(&csp).and_then(resident_mb)
                && resident >= RESIDENT_MAX_MB
            {
                return Err(format!("{csp} had {resident} MiB after {sql}"));
            }
        }
        let status = system.status().await;
        if status.all_available(&system.csps()) { Ok(()) } else { Err(status.to_string()) }
    })
    .await
}

/// What is made step by step is stopped between two steps, or left behind where a step is too large.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn step_by_step_are_stopped() -> anyhow::Result<()> {
    System::run(options(), async |system| {
        let client = system.client();
        goes_on(&client).await?;
        let many = "FOR $i IN 0..2000 { CREATE type::record('wide', $i) SET t = $s RETURN NONE }";
        for part in 0..8 {
            let rows = many.replace("0..2000", &format!("{}..{}", part * 50, part * 50 + 50));
            client.commit(large(&rows), PATIENCE).await?;
        }
        let statements = [
            "SELECT VALUE [t, t, t, t] FROM wide ORDER BY t",
            "RETURN { LET $a = (SELECT * FROM wide); LET $b = (SELECT * FROM wide); RETURN [$a, $b] }",
        ];
        for sql in statements {
            for _ in 0..3 {
                may_end(&system);
                let refused = client.query(&large(sql)).await.refused()?;
                anyhow::ensure!(refused.code == "statement_too_large" && !refused.retryable, "{sql}: {refused:?}");
                all_there(&system, sql).await?;
                goes_on(&client).await?;
            }
        }
        may_end(&system);
        // A scan of everything is made by helper threads.
        let all = client.query(&large("SELECT * FROM wide")).await.refused()?;
        anyhow::ensure!(matches!(all.code.as_str(), "statement_too_large" | "answer_too_large"), "{all:?}");
        let update = large("UPDATE wide SET a = t, b = t, c = t");
        let refused = client.settle(&update, PATIENCE).await.refused()?;
        anyhow::ensure!(
            matches!(refused.code.as_str(), "statement_too_large" | "transaction_too_large"),
            "{refused:?}"
        );
        all_there(&system, "UPDATE").await?;
        goes_on(&client).await
    })
    .await
}

/// What is made in one step cannot be stopped: whoever asked is told, and the CSP is replaced in order, without a failed request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_step_are_left_behind() -> anyhow::Result<()> {
    System::run(options(), async |system| {
        let client = system.client();
        goes_on(&client).await?;
        let references = vec!["$s"; 60_000].join(",");
        let statements = [
            "RETURN array::repeat($s, 13000)".to_owned(),
            "RETURN array::repeat(array::repeat(array::repeat('x', 13000), 13000), 3)".to_owned(),
            "RETURN array::fold(array::range(0, 60), [$s], |$made, $step| [$made, $made])".to_owned(),
            "RETURN array::fold(array::range(0, 60), $s, |$made, $step| $made + $made)".to_owned(),
            "RETURN array::map(array::range(0, 13000), |$step| $s)".to_owned(),
            "RETURN array::combine(array::range(0, 13000), array::range(0, 13000))".to_owned(),
            "RETURN <array> 0..100000000000".to_owned(),
            "RETURN <array> 0..900000".to_owned(),
        ];
        for sql in statements {
            may_end(&system);
            let outcome = client.query(&large(&sql)).await;
            match &outcome {
                Outcome::Refused(refused) => {
                    let known = ["statement_too_large", "statement_failed", "answer_too_large"];
                    anyhow::ensure!(known.contains(&refused.code.as_str()), "{sql}: {refused:?}");
                }
                other => anyhow::bail!("{sql}: {other}"),
            }
            goes_on(&client).await?;
            all_there(&system, &sql).await?;
        }
        let references = Request::new(format!("RETURN array::len([{references}])"))
            .var("s", "x".repeat(300_000))
            .deadline(Duration::from_secs(20));
        let refused = client.query(&references).await.refused()?;
        anyhow::ensure!(refused.code == "statement_too_large", "{refused:?}");
        goes_on(&client).await
    })
    .await
}
