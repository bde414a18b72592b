//! Large transactions are split over messages and stay atomic; above the limit they are refused.

use std::time::Duration;

use holdfast_tests::client::Request;
use holdfast_tests::system::{Options, System};

const PATIENCE: Duration = Duration::from_secs(120);
const TEXT_BYTES: usize = 100_000;

fn many(table: &str, count: usize) -> Request {
    Request::new(format!("FOR $number IN 0..{count} {{ CREATE {table} SET number = $number, text = string::concat(<string> $number, $text) RETURN NONE }}"))
        .var("text", noise())
        .deadline(Duration::from_secs(60))
}

/// Text that does not compress, so that the size counts.
fn noise() -> String {
    use rand::distr::{Alphanumeric, SampleString};
    Alphanumeric.sample_string(&mut rand::rng(), TEXT_BYTES)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_five_megabytes_is_atomic_on_every_copy() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE big; DEFINE TABLE refused"), PATIENCE).await?;
        let reply = client.commit(many("big", 50), PATIENCE).await?;
        let sum = "SELECT VALUE string::len(text) FROM big ORDER BY number";
        let answer = system.equal_answers(&system.csps(), sum, reply.position).await?;
        anyhow::ensure!(answer[0].as_array().is_some_and(|rows| rows.len() == 50), "{answer:?}");
        let failing = many("refused", 50).with("sql", "CREATE refused SET text = $text; THROW 'no'");
        anyhow::ensure!(client.update(&failing).await.refused()?.code == "statement_failed");
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_limit_is_refused() -> anyhow::Result<()> {
    System::run(Options { storage: "mem", ..Options::peer() }, async |system| {
        let client = system.client();
        client.commit(Request::new("DEFINE TABLE big"), PATIENCE).await?;
        let refusal = client.update(&many("big", 700)).await.refused()?;
        anyhow::ensure!(refusal.code == "transaction_too_large" && !refusal.retryable, "{refusal:?}");
        let count = Request::new("SELECT VALUE id FROM big LIMIT 1").strong();
        let left = client.read(&count, PATIENCE).await.done()?;
        anyhow::ensure!(left.results[0].as_array().is_some_and(Vec::is_empty), "{left:?}");
        client.commit(Request::new("CREATE big:small"), PATIENCE).await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}
