//! The log loses its last entries: by a power cut of a NATS machine, or because an older store is put in its place. Every copy
//! that has applied what is lost notices before anything is sent, all of them refuse updates with the reason, answer queries as
//! of where they are, and go on when the log is put right.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Refusal, Request};
use holdfast_tests::folder;
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(60);
/// Within this the reason is known everywhere, on a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

/// Copies the store of the NATS server, which must not run, to where it can be put back from.
fn copy_store(system: &System, from: &str, to: &str) -> anyhow::Result<()> {
    let (from, to) = (system.folder().join(from), system.folder().join(to));
    if to.exists() {
        std::fs::remove_dir_all(&to)?;
    }
    Ok(folder::copy(&from, &to)?)
}

async fn record(client: &Client, number: u64) -> anyhow::Result<u64> {
    let request = Request::new(format!("CREATE record:{number} SET number = {number}"));
    Ok(client.commit(request, PATIENCE).await?.position)
}

/// Keeps the store as it is now, lets four updates be acknowledged, and puts the older store in place of what is there by then.
/// `meanwhile` runs while the server is down.
async fn roll_back(system: &Arc<System>, meanwhile: impl AsyncFnOnce() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let client = system.client();
    for number in 0..20 {
        record(&client, number).await?;
    }
    system.stop("nats-1").await?;
    copy_store(system, "nats-1", "older")?;
    system.start_process("nats-1")?;
    let mut position = 0;
    for number in 20..24 {
        position = record(&client, number).await?;
    }
    system
        .until("all copies to be there", |status| system.csps().iter().all(|csp| status.applied(csp) >= position))
        .await?;
    system.kill9("nats-1");
    meanwhile().await?;
    copy_store(system, "nats-1", "newer")?;
    copy_store(system, "older", "nats-1")?;
    system.start_process("nats-1")?;
    Ok(position)
}

/// All copies say why they take no updates, with the code.
async fn all_refuse(system: &System, csps: &[String], code: &str) -> anyhow::Result<()> {
    until(&format!("{csps:?} to say {code}"), NOTICED_WITHIN, async || {
        let status = system.client().group_status().await.map_err(|error| format!("{error:#}"))?;
        let of_group = status["updates_refused"]["code"] == code;
        // Of one that does not answer, somebody else says why.
        let said = |csp: &Value| {
            let says_why = csp["reason"].as_str().is_some_and(|why| !why.is_empty());
            csp["state"] == "quarantined" && says_why && csp["last_heartbeat_ms_ago"].is_number()
        };
        let all = status["csps"]
            .as_array()
            .is_some_and(|all| all.iter().filter(|csp| csps.iter().any(|name| csp["csp"] == name.as_str())).all(said));
        if of_group && all { Ok(()) } else { Err(status.to_string()) }
    })
    .await
}

/// Why an update is refused. One that is sent to a CSP whose new process is heard only then may have been with the process before, so
/// nobody knows what became of it; a client asks again under its id.
async fn refused_update(client: &Client) -> anyhow::Result<Refusal> {
    let update = Request::new("CREATE record:lost");
    until("the update to be refused", PATIENCE, async || {
        match client.update(&update).await.refused().map_err(|error| format!("{error:#}"))? {
            refusal if refusal.code == "outcome_unknown" => Err(format!("{refusal:?}")),
            refusal => Ok(refusal),
        }
    })
    .await
}

/// Updates and strong reads are refused with the code, at once; what needs no log is answered.
async fn only_reads_are_answered(system: &System, code: &str, position: u64) -> anyhow::Result<()> {
    let client = system.client();
    let strong = Request::new("SELECT VALUE number FROM record").strong();
    let beyond = Request::new("SELECT VALUE number FROM record").after(position + 1_000);
    let refusal = refused_update(&client).await?;
    anyhow::ensure!(refusal.code == code, "an update: {refusal:?}");
    for (what, outcome) in
        [("a strong read", client.query(&strong).await), ("a read beyond", client.query(&beyond).await)]
    {
        let refusal = outcome.refused()?;
        anyhow::ensure!(refusal.code == code, "{what}: {refusal:?}");
    }
    for request in [
        Request::new("SELECT count() FROM record GROUP ALL"),
        Request::new("SELECT count() FROM record GROUP ALL").after(position),
    ] {
        let reply = client.read(&request, PATIENCE).await.done()?;
        anyhow::ensure!(reply.results[0][0]["count"] == 24, "{reply:?}");
    }
    for csp in system.csps() {
        let refusal = client.update_at(&csp, &Request::new("CREATE record:lost")).await.refused()?;
        anyhow::ensure!(refusal.code == code, "{csp}: {refusal:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_noticed_by_copies_that_are_up_before_anything_is_built_on_it() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        let mut events = client.nats().subscribe(subject::event(GROUP, subject::EVENT_LOG)).await?;
        client.nats().flush().await?;
        // Clients that go on meanwhile: none of their updates may be acknowledged in a log with a hole.
        let position = roll_back(&system, async || Ok(())).await?;
        let pushing = tokio::spawn({
            let client = client.clone();
            async move {
                let mut acknowledged = Vec::new();
                for number in 100..160 {
                    let request = Request::new(format!("CREATE record:{number}")).deadline(Duration::from_millis(500));
                    if let Ok(reply) = client.update(&request).await.done() {
                        acknowledged.push(reply.position);
                    }
                }
                acknowledged
            }
        });
        all_refuse(&system, &system.csps(), "log_lost").await?;
        let acknowledged = pushing.await?;
        anyhow::ensure!(
            acknowledged.is_empty(),
            "acknowledged at {acknowledged:?} after the log went back from {position}"
        );
        only_reads_are_answered(&system, "log_lost", position).await?;
        let event = tokio::time::timeout(PATIENCE, events.next()).await?.ok_or_else(|| anyhow::anyhow!("no event"))?;
        let event: Value = serde_json::from_slice(&event.payload)?;
        anyhow::ensure!(event["updates_refused"]["code"] == "log_lost", "{event}");

        // A copy that starts now stays up and says so.
        system.restart("csp-2")?;
        all_refuse(&system, &system.csps(), "log_lost").await?;
        only_reads_are_answered(&system, "log_lost", position).await?;

        // The store that belongs to the copies is put back: everything goes on, and nothing is lost.
        system.kill9("nats-1");
        copy_store(&system, "newer", "nats-1")?;
        system.start_process("nats-1")?;
        system.until_available(&system.csps()).await?;
        record(&client, 500).await?;
        let read = Request::new("SELECT count() FROM record GROUP ALL").strong();
        let reply = client.read(&read, PATIENCE).await.done()?;
        anyhow::ensure!(reply.results[0][0]["count"] == 25, "{reply:?}");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_noticed_by_copies_that_were_down() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let position = roll_back(&system, async || {
            system.csps().iter().for_each(|csp| system.kill9(csp));
            Ok(())
        })
        .await?;
        for csp in system.csps() {
            system.start_process(&csp)?;
        }
        all_refuse(&system, &system.csps(), "log_lost").await?;
        only_reads_are_answered(&system, "log_lost", position).await?;
        system.all_alive()
    })
    .await
}

/// One copy lags and has not applied what is lost. As far as it can see the log goes on where it is; the others tell it better.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_told_to_a_copy_that_had_not_applied_what_is_lost() -> anyhow::Result<()> {
    let options = Options { csps_later: 1, ..Options::primary() };
    System::run(options, async |system| {
        roll_back(&system, async || Ok(())).await?;
        all_refuse(&system, &system.csps(), "log_lost").await?;
        system.start_process("csp-4")?;
        let client = system.client();
        until("csp-4 to refuse updates", NOTICED_WITHIN, async || {
            let status = client.ask(subject::csp_status(GROUP, "csp-4"), &json!({}), PATIENCE).await;
            let status = status.map_err(|error| format!("{error:#}"))?;
            let refused = status["updates_refused"]["code"] == "log_lost" && status["applied"].as_u64() > Some(0);
            if refused { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;
        let outcome = client.update(&Request::new("CREATE record:lost").deadline(Duration::from_secs(3))).await;
        anyhow::ensure!(outcome.done().is_err(), "built on a hole");
        system.all_alive()
    })
    .await
}
