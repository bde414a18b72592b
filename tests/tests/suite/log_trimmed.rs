//! Somebody removes entries from the log's stream, or sets it up to drop them, while the system runs: every copy tells it, before
//! a restart makes it a disaster, and everything goes on.

use std::time::Duration;

use async_nats::jetstream::{self, stream::Config};
use holdfast_schemas::subject;
use holdfast_tests::client::Request;
use holdfast_tests::system::{GROUP, Options, Status, System};
use holdfast_tests::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
/// The log is looked at every second; on a busy machine that may take a while.
const TOLD_WITHIN: Duration = Duration::from_secs(20);

/// Waits until every copy is available, and gives a reason for which `wanted` holds.
async fn all_say(system: &System, what: &str, wanted: impl Fn(Option<&str>) -> bool) -> anyhow::Result<Status> {
    let csps = system.csps();
    let says = |status: &Status, csp: &String| {
        let answer = status.csps[csp].as_ref();
        answer.is_some_and(|answer| answer.state == "available" && wanted(answer.reason.as_deref()))
    };
    system.until_within(what, TOLD_WITHIN, |status| csps.iter().all(|csp| says(status, csp))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_told_by_every_copy_and_all_goes_on() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        let mut position = 0;
        for number in 0..20 {
            position = client.commit(Request::new(format!("CREATE record:{number}")), PATIENCE).await?.position;
        }
        // What a copy has yet to apply must stay.
        system
            .until("all copies to be there", |status| system.csps().iter().all(|csp| status.applied(csp) >= position))
            .await?;
        all_say(&system, "nothing to be wrong", |reason| reason.is_none()).await?;

        let context = jetstream::new(client.nats().clone());
        let stream = context.get_stream(subject::log_stream(GROUP)).await?;
        stream.purge().keep(10).await?;
        let forbids = |reason: Option<&str>| {
            reason.is_some_and(|why| why.contains("do not restart a copy") && why.contains("holdfast export"))
        };
        all_say(&system, "all copies to tell that they must not be restarted", forbids).await?;
        for csp in system.csps() {
            system.until_logged(&csp, "entries were removed from the log").await?;
        }
        // The same for people who ask administration, who need not be told that updates are refused: they are not.
        until("the status of the group to tell it", TOLD_WITHIN, async || {
            let status = client.group_status().await.map_err(|error| format!("{error:#}"))?;
            let all =
                status["csps"].as_array().is_some_and(|all| all.iter().all(|csp| forbids(csp["reason"].as_str())));
            if all && status["updates_refused"].is_null() { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;

        client.commit(Request::new("CREATE record:20"), PATIENCE).await?;
        let count = Request::new("SELECT count() FROM record GROUP ALL").strong();
        let reply = client.read(&count, PATIENCE).await.done()?;
        anyhow::ensure!(reply.results[0][0]["count"] == 21, "{reply:?}");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_setting_is_told_until_it_is_taken_back() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        let client = system.client();
        client.commit(Request::new("CREATE record:0"), PATIENCE).await?;
        let context = jetstream::new(client.nats().clone());
        let config = context.get_stream(subject::log_stream(GROUP)).await?.cached_info().config.clone();
        context.update_stream(Config { max_age: Duration::from_secs(24 * 3_600), ..config.clone() }).await?;
        let expires = |reason: Option<&str>| reason.is_some_and(|why| why.contains("its entries expire"));
        all_say(&system, "all copies to tell that entries expire", expires).await?;
        client.commit(Request::new("CREATE record:1"), PATIENCE).await?;

        context.update_stream(config).await?;
        all_say(&system, "nothing to be wrong any more", |reason| reason.is_none()).await?;
        system.all_alive()
    })
    .await
}
