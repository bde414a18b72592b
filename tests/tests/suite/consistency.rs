//! What readers may demand: any copy, their own writes, or everything that was acknowledged to anybody.

use std::time::Duration;

use holdfast_tests::client::{Client, Outcome, Reply, Request};
use holdfast_tests::system::{Options, System};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(30);
const ROUNDS: u64 = 150;
/// For how long a copy is late: several times what readers allow.
const LATE_FOR: Duration = Duration::from_secs(4);
/// What such a reader allows.
const MAX_LAG: Duration = Duration::from_millis(1_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strong_and_session_queries_see_what_they_must() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        let reader = system.new_client().await?;
        client.commit(Request::new("DEFINE TABLE note"), PATIENCE).await?;
        for round in 1..=ROUNDS {
            let write = Request::new(format!("UPSERT note:one SET number = {round} RETURN NONE"));
            let position = client.commit(write, PATIENCE).await?.position;
            let read = || Request::new("SELECT VALUE number FROM note:one");
            for request in [read().strong(), read().after(position)] {
                let reply = reader.query(&request).await.done()?;
                let seen = reply.results[0][0].as_u64();
                anyhow::ensure!(seen == Some(round) && reply.position >= position, "{round} at {position}: {reply:?}");
            }
            for csp in system.csps() {
                let reply = reader.query_at(&csp, &read().strong()).await.done()?;
                anyhow::ensure!(reply.results[0][0].as_u64() == Some(round), "{csp}, {round}: {reply:?}");
            }
        }
        Ok(())
    })
    .await
}

/// While a copy stands still, or applies nothing and still answers, no query shows less than it demanded: not through the group, and
/// not at that copy itself, which may refuse.
async fn no_query_is_older_than_it_may_be(options: Options) -> anyhow::Result<()> {
    System::run(Options { holds_apply: true, ..options }, async |system| {
        let client = system.client();
        let mut written = Written::default();
        client.commit(Request::new("DEFINE TABLE note"), PATIENCE).await?;
        written.write(&client).await?;
        system
            .until("every copy to have the first round", |status| {
                system.csps().iter().all(|csp| status.applied(csp) >= written.position())
            })
            .await?;
        system.pause("csp-2")?;
        system.hold_apply("csp-3")?;
        let over = Instant::now() + LATE_FOR;
        let mut answered = [0; 3];
        while Instant::now() < over {
            written.write(&client).await?;
            let after = Request::after(read(), written.position());
            let lagging = read().with("max_lag_ms", MAX_LAG.as_millis() as u64);
            let requests = [(read().strong(), None), (after, None), (lagging, Some(MAX_LAG))];
            for ((request, max_lag), answered) in requests.into_iter().zip(&mut answered) {
                let request = request.deadline(Duration::from_secs(2));
                let sent = Instant::now();
                written.judge(&client.read(&request, PATIENCE).await.done()?, sent, max_lag)?;
                let sent = Instant::now();
                match client.query_at("csp-3", &request.deadline(Duration::from_millis(100))).await {
                    Outcome::Done(reply) => {
                        written.judge(&reply, sent, max_lag)?;
                        *answered += 1;
                    }
                    Outcome::Refused(refusal) if refusal.retryable => *answered += 1,
                    // It was slow, and has shown nothing.
                    Outcome::Unknown(_) => {}
                    other => anyhow::bail!("{other}"),
                }
            }
        }
        anyhow::ensure!(!answered.contains(&0), "csp-3 leaves one kind of query without an answer: {answered:?}");
        system.heal().await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

fn read() -> Request {
    Request::new("SELECT VALUE number FROM note:one")
}

/// When each round was acknowledged, and where the last one stands.
#[derive(Default)]
struct Written {
    acknowledged: Vec<Instant>,
    position: u64,
}

impl Written {
    async fn write(&mut self, client: &Client) -> anyhow::Result<()> {
        let round = self.acknowledged.len() + 1;
        let write = Request::new(format!("UPSERT note:one SET number = {round} RETURN NONE"));
        // The others stand still.
        self.position = client.update_at("csp-1", &write).await.done()?.position;
        self.acknowledged.push(Instant::now());
        Ok(())
    }

    fn position(&self) -> u64 {
        self.position
    }

    /// A query that was sent at this moment has to show every round that was acknowledged before, but for those of the last `max_lag`.
    fn judge(&self, reply: &Reply, sent: Instant, max_lag: Option<Duration>) -> anyhow::Result<()> {
        let until = sent - max_lag.unwrap_or_default();
        let least = self.acknowledged.iter().filter(|at| **at <= until).count() as u64;
        let (seen, last) = (reply.results[0][0].as_u64().unwrap_or_default(), self.acknowledged.len() as u64);
        anyhow::ensure!(
            (least..=last).contains(&seen) && (max_lag.is_some() || reply.position >= self.position),
            "stale: {least} of {last} rounds had to be seen, with {max_lag:?} of lag allowed: {reply:?}"
        );
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_never_go_backwards_behind_their_bound() -> anyhow::Result<()> {
    no_query_is_older_than_it_may_be(Options::peer()).await
}

/// What the test above is worth: it finds copies that break either promise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stale_queries_are_found_out() -> anyhow::Result<()> {
    for sabotage in ["skip-barrier", "ignore-max-lag"] {
        let broken = Options { sabotage: Some(sabotage), ..Options::peer() };
        let error = no_query_is_older_than_it_may_be(broken).await.err();
        let error = error.ok_or_else(|| anyhow::anyhow!("{sabotage} was not found"))?;
        eprintln!("{sabotage}: {error}");
        anyhow::ensure!(error.to_string().starts_with("stale: "), "{sabotage}: not what was to be found: {error:#}");
    }
    Ok(())
}

/// A statement that fails is not certified, since nothing is written: it must not fail for want of what others were
/// already told is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_do_not_fail_for_want_of_what_was_acknowledged_before() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE note; UPSERT note:one SET number = 0"), PATIENCE).await?;
        let mut refused = Vec::new();
        for round in 1..=ROUNDS * 4 {
            let write = Request::new(format!("UPSERT note:one SET number = {round} RETURN NONE"));
            client.update_at("csp-1", &write).await.done()?;
            let follow = Request::new(format!(
                "IF (SELECT VALUE number FROM ONLY note:one) < {round} {{ THROW 'too early' }};
                 UPSERT note:two SET number = {round} RETURN NONE"
            ));
            if let Outcome::Refused(refusal) = client.update_at("csp-2", &follow).await {
                refused.push(format!("{round}: {}: {}", refusal.code, refusal.message));
            }
        }
        anyhow::ensure!(refused.is_empty(), "{} of {} refused: {:?}", refused.len(), ROUNDS * 4, refused.first());
        Ok(())
    })
    .await
}
