//! Two clients look for a word and add it when it is missing. What a search finds is certified, so one of them finds the other's;
//! and who only writes, or looks for another word, is in nobody's way.

use std::time::Duration;

use futures::future::try_join_all;
use holdfast_schemas::subject;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::system::{GROUP, Options, System};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(30);
const SCHEMA: &str = "DEFINE ANALYZER words TOKENIZERS blank FILTERS lowercase; DEFINE TABLE d;
    DEFINE INDEX text ON d FIELDS text FULLTEXT ANALYZER words BM25";
/// The nap makes the two overlap for certain.
const ADD_IF_MISSING: &str = "LET $found = (SELECT id FROM d WHERE text @@ $w); SLEEP 20ms;
    IF array::len($found) = 0 { CREATE d SET text = $w }";

async fn define(system: &System, client: &Client) -> anyhow::Result<()> {
    let position = client.commit(Request::new(SCHEMA), PATIENCE).await?.position;
    for csp in system.csps() {
        client.query_at(&csp, &Request::new("RETURN 1").after(position)).await.done()?;
    }
    Ok(())
}

/// How often an update was run again, because it had lost against another one, on all copies.
async fn conflicts(system: &System, client: &Client) -> anyhow::Result<u64> {
    let mut sum = 0;
    for csp in system.csps() {
        let status = client.ask(subject::csp_status(GROUP, &csp), &json!({}), PATIENCE).await?;
        sum += find(&status, "conflicts").ok_or_else(|| anyhow::anyhow!("no conflicts in {status}"))?;
    }
    Ok(sum)
}

/// The number of this name, wherever it stands.
fn find(value: &serde_json::Value, name: &str) -> Option<u64> {
    let fields = value.as_object()?;
    fields.get(name).and_then(serde_json::Value::as_u64).or_else(|| fields.values().find_map(|inner| find(inner, name)))
}

async fn words_are_there_once(options: Options) -> anyhow::Result<()> {
    System::run(options, async |system| {
        let (client, csps) = (system.client(), system.csps());
        define(&system, &client).await?;
        let rounds = 30;
        for round in 0..rounds {
            let add =
                || Request::new(ADD_IF_MISSING).var("w", format!("word{round}")).deadline(Duration::from_secs(20));
            let (one, other) = (add(), add());
            let (one, other) = tokio::join!(client.update_at("csp-1", &one), client.update_at("csp-2", &other));
            // In a primary group one of the two hands it on; either way each is done.
            one.done()?;
            other.done()?;
        }
        let position = client.query(&Request::new("RETURN 1").strong()).await.done()?.position;
        let sql = "SELECT VALUE text FROM d WITH NOINDEX ORDER BY text";
        let answer = system.equal_answers(&csps, sql, position).await?;
        let mut words: Vec<_> = answer[0].as_array().into_iter().flatten().map(ToString::to_string).collect();
        let added = words.len();
        words.dedup();
        anyhow::ensure!(words.len() == rounds && added == rounds, "{added} for {} words: {answer:?}", words.len());
        for round in 0..rounds {
            let sql = format!("RETURN array::len(SELECT id FROM d WHERE text @@ 'word{round}')");
            let found = system.equal_answers(&csps, &sql, position).await?;
            anyhow::ensure!(found[0] == 1, "word{round}: {found:?}");
        }
        system.equal_digests(&csps).await?;
        system.all_alive()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_add_a_word_once_among_peers() -> anyhow::Result<()> {
    words_are_there_once(Options::peer()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_add_a_word_once_with_a_primary() -> anyhow::Result<()> {
    words_are_there_once(Options::primary()).await
}

/// Sends `count` updates at each CSP, one after the other, and gives how many were run again.
async fn run_again(
    system: &System,
    client: &Client,
    count: usize,
    request: impl Fn(&str, usize) -> Request,
) -> anyhow::Result<u64> {
    let before = conflicts(system, client).await?;
    let csps = system.csps();
    try_join_all(csps.iter().map(async |csp| {
        for number in 0..count {
            let request = request(csp, number).deadline(Duration::from_secs(20));
            client.update_at(csp, &request).await.done()?;
        }
        Ok::<_, anyhow::Error>(())
    }))
    .await?;
    Ok(conflicts(system, client).await? - before)
}

/// Long enough for SurrealDB to fold what was added into the index many times over meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_and_searches_for_other_words_do_not_run_again() -> anyhow::Result<()> {
    System::run(Options::peer(), async |system| {
        let (client, csps) = (system.client(), system.csps());
        define(&system, &client).await?;
        // All of them write the same words.
        let create = |csp: &str, number: usize| {
            Request::new("CREATE d SET text = $w").var("w", format!("the same words and {number} {csp}"))
        };
        let count = 300;
        let again = run_again(&system, &client, count, create).await?;
        println!("{} creates of the same words, {again} run again", count * csps.len());
        anyhow::ensure!(again * 100 <= (count * csps.len()) as u64, "{again} creates were run again");
        let search = |csp: &str, number: usize| {
            let sql = "IF array::len((SELECT id FROM d WHERE text @@ $w)) = 0 { CREATE d SET text = $w }";
            Request::new(sql).var("w", format!("only{csp}{number}"))
        };
        let again = run_again(&system, &client, count, search).await?;
        println!("{} searches with a create, each for a word of its own, {again} run again", count * csps.len());
        anyhow::ensure!(again * 100 <= (count * csps.len()) as u64, "{again} searches were run again");
        system.equal_digests(&csps).await?;
        system.all_alive()
    })
    .await
}
