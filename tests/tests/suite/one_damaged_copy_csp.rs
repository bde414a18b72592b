//! A copy that is damaged on its disk does not stop the others, is not called available, and is never emptied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_schemas::subject;
use holdfast_tests::client::{Outcome, Request};
use holdfast_tests::system::{GROUP, Options, System};
use holdfast_tests::wait::until;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A copy that cannot be opened is tried again after a minute at last, and then has to catch up.
const PATIENCE: Duration = Duration::from_secs(150);
/// The longest that a request may have.
const DEADLINE: Duration = Duration::from_secs(60);
const DAMAGED: &str = "csp-2";
/// SurrealKV's, in its folder of a copy.
const MANIFEST: &str = "00000000000000000000.manifest";
/// What a copy that is set aside says at once; far below what a digest may take.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// The largest table of a copy.
fn largest_table(copy: &Path) -> anyhow::Result<PathBuf> {
    let tables = std::fs::read_dir(copy.join("sstables"))?.filter_map(Result::ok).map(|entry| entry.path());
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |table| table.len());
    tables.max_by_key(size).ok_or_else(|| anyhow::anyhow!("no tables in {}", copy.display()))
}

async fn filled(system: &System) -> anyhow::Result<()> {
    let create = "FOR $i IN 0..5000 { CREATE type::record('d', $i) SET text = string::repeat('x', 100) RETURN NONE }";
    system.client().commit(Request::new(create).deadline(DEADLINE), PATIENCE).await?;
    system.equal_digests(&system.csps()).await?;
    Ok(())
}

async fn status_of(system: &System, csp: &str) -> Result<Value, String> {
    let asked = system.client().ask(subject::csp_status(GROUP, csp), &json!({}), Duration::from_secs(1)).await;
    asked.map_err(|error| format!("{error:#}"))
}

async fn goes_on(system: &System, number: u64) -> anyhow::Result<()> {
    let update = Request::new(format!("UPSERT one:1 SET number = {number}"));
    system.client().commit(update, PATIENCE).await?;
    let read = Request::new("RETURN one:1.number").strong();
    let seen = system.client().read(&read, PATIENCE).await.done()?;
    anyhow::ensure!(seen.results[0] == number, "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_cannot_be_opened_stays_up_and_says_why() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        filled(&system).await?;
        let copy = system.folder().join(DAMAGED).join("copy");
        system.stop(DAMAGED).await?;
        let table = largest_table(&copy)?;
        let whole = std::fs::read(&table)?;
        std::fs::write(&table, [])?;
        system.start_process(DAMAGED)?;

        // 1. It is there, quarantined, with the reason; the others go on.
        let status = until("the damaged copy to be set aside", PATIENCE, async || {
            let status = status_of(&system, DAMAGED).await?;
            if status["state"] == "quarantined" { Ok(status) } else { Err(status.to_string()) }
        })
        .await?;
        let reason = status["reason"].as_str().unwrap_or_default();
        anyhow::ensure!(reason.contains("cannot be taken up"), "{status}");
        anyhow::ensure!(status["storage_error"].is_string(), "heartbeats carry it, too: {status}");
        goes_on(&system, 1).await?;
        let refused = system.client().query_at(DAMAGED, &Request::new("RETURN 1")).await.refused()?;
        anyhow::ensure!(refused.code == "quarantined", "{refused:?}");
        let elsewhere = system.digest("csp-1", None).await?;
        let asked = Instant::now();
        let refused = system.digest(DAMAGED, Some(elsewhere.position)).await.expect_err("it has no copy");
        anyhow::ensure!(format!("{refused:#}").contains("quarantined"), "{refused:#}");
        anyhow::ensure!(asked.elapsed() < ANSWERED_WITHIN, "no digest for {:?}", asked.elapsed());
        system.until_judged(DAMAGED, "quarantined", |state| state == "quarantined").await?;

        // 2. It says the newest cause when it meets another one: the file is no longer too small, and still no table.
        std::fs::write(&table, [0; 4_096])?;
        until("the newest cause to be told", PATIENCE, async || {
            let status = status_of(&system, DAMAGED).await?;
            let newest = status["reason"].as_str().unwrap_or_default();
            if newest.contains("cannot be taken up") && newest != reason { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;

        // 3. Nothing was emptied: with the file as it was it opens by itself, and catches up.
        std::fs::write(&table, whole)?;
        system.until_whole().await?;
        goes_on(&system, 2).await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// SurrealKV would take the folder for that of a new copy, and remove its tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_manifest_is_missing_is_set_aside_and_keeps_its_tables() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        filled(&system).await?;
        let copy = system.folder().join(DAMAGED).join("copy");
        system.stop(DAMAGED).await?;
        let (manifests, aside) = (copy.join("manifest"), copy.join("manifest-aside"));
        std::fs::rename(&manifests, &aside)?;
        let before = files(&copy.join("sstables"))?;
        anyhow::ensure!(!before.is_empty(), "no tables in {}", copy.display());
        system.start_process(DAMAGED)?;
        until("the copy without a manifest to be set aside", PATIENCE, async || {
            let status = status_of(&system, DAMAGED).await?;
            let reason = status["reason"].as_str().unwrap_or_default();
            let says_why = reason.contains("manifest is missing") && reason.contains("put it back");
            if status["state"] == "quarantined" && says_why { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;
        anyhow::ensure!(files(&copy.join("sstables"))? == before, "tables were removed");
        goes_on(&system, 1).await?;

        // With its manifest it opens by itself.
        std::fs::rename(&aside, &manifests)?;
        system.until_whole().await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// A journal without one of its commits. Its parts stand behind a checksum, their length and their kind, in blocks.
fn without_a_commit(journal: &[u8]) -> anyhow::Result<Vec<u8>> {
    const BLOCK: usize = 32 << 10;
    const HEADER: usize = 7;
    const WHOLE: u8 = 1;
    let mut before = Vec::new();
    let mut at = 0;
    while let Some(header) = journal.get(at..at + HEADER) {
        let end = at + HEADER + usize::from(u16::from_be_bytes([header[4], header[5]]));
        before.push((at..end, header[6]));
        if let [.., (_, WHOLE), (commit, WHOLE), (next, WHOLE)] = &before[..]
            && commit.start / BLOCK == (next.end - 1) / BLOCK
        {
            return Ok([&journal[..commit.start], &journal[commit.end..]].concat());
        }
        at = if BLOCK - end % BLOCK < HEADER { end.next_multiple_of(BLOCK) } else { end };
    }
    Err(anyhow::anyhow!("no three commits in a block among {} parts", before.len()))
}

/// The journal was overwritten with an earlier one while the copy wrote to it: SurrealKV would read what is there, and the copy would
/// have the newest position and a hole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_hole_in_its_journal_is_set_aside_and_not_changed() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        filled(&system).await?;
        for number in 0..30 {
            goes_on(&system, number).await?;
        }
        system.equal_digests(&system.csps()).await?;
        system.kill9(DAMAGED);
        let copy = system.folder().join(DAMAGED).join("copy");
        let newest = files(&copy.join("wal"))?.into_keys().max().ok_or_else(|| anyhow::anyhow!("no journal"))?;
        let whole = std::fs::read(&newest)?;
        let holed = without_a_commit(&whole)?;
        std::fs::write(&newest, &holed)?;
        system.start_process(DAMAGED)?;
        until("the copy with a hole to be set aside", PATIENCE, async || {
            let status = status_of(&system, DAMAGED).await?;
            let reason = status["reason"].as_str().unwrap_or_default();
            let says_why = reason.contains("should be") && reason.contains("Put the right one back");
            if status["state"] == "quarantined" && says_why { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;
        anyhow::ensure!(std::fs::read(&newest)? == holed, "the journal was changed");
        goes_on(&system, 100).await?;

        // With its journal it opens by itself. It is tried at any time, and must not find a half of it.
        let beside = copy.join("whole-journal");
        std::fs::write(&beside, whole)?;
        std::fs::rename(&beside, &newest)?;
        system.until_whole().await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// A part of a backup is put back: SurrealKV would believe it, and the copy would have the newest position and a hole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_manifest_of_an_earlier_day_is_set_aside_and_writes_nothing() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        filled(&system).await?;
        let copy = system.folder().join(DAMAGED).join("copy");
        let (manifest, kept) = (copy.join("manifest").join(MANIFEST), copy.join("manifest-kept"));
        let early = std::fs::read(&manifest)?;
        // Stopped in order it begins a new journal; killed, it needs that.
        system.stop(DAMAGED).await?;
        system.start_ready(DAMAGED).await?;
        goes_on(&system, 1).await?;
        system.equal_digests(&system.csps()).await?;
        system.kill9(DAMAGED);
        std::fs::rename(&manifest, &kept)?;
        std::fs::write(&manifest, &early)?;
        system.start_process(DAMAGED)?;
        until("the copy with the old manifest to be set aside", PATIENCE, async || {
            let status = status_of(&system, DAMAGED).await?;
            let says_why = status["reason"].as_str().is_some_and(|reason| reason.contains(".wal is missing"));
            if status["state"] == "quarantined" && says_why { Ok(()) } else { Err(status.to_string()) }
        })
        .await?;
        goes_on(&system, 2).await?;

        // With its own manifest it opens by itself, and so does any other copy that is started anew.
        std::fs::rename(&kept, &manifest)?;
        system.until_whole().await?;
        system.stop("csp-3").await?;
        system.start_ready("csp-3").await?;
        system.equal_digests(&system.csps()).await?;
        system.all_alive()
    })
    .await
}

/// The files of a folder, and their lengths.
fn files(folder: &Path) -> anyhow::Result<BTreeMap<PathBuf, u64>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| {
        let entry = entry?;
        Ok((entry.path(), entry.metadata()?.len()))
    });
    entries.collect()
}

/// Blocks of the tables are overwritten while the copy is closed: it opens, and cannot read what was in them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_bad_block_loses_its_tasks_and_no_request_fails() -> anyhow::Result<()> {
    System::run(Options::primary(), async |system| {
        filled(&system).await?;
        let primary = system.primary().await?;
        system.stop(&primary).await?;
        let copy = system.folder().join(&primary).join("copy");
        let table = largest_table(&copy)?;
        let mut bytes = std::fs::read(&table)?;
        // In the middle there are records only: definitions sort in front of them, and what the copy keeps for itself behind.
        let (quarter, half) = (bytes.len() / 4, bytes.len() / 2);
        bytes[quarter..half].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&table, bytes)?;
        system.start_process(&primary)?;
        let all = Request::new("RETURN count((SELECT VALUE text FROM d WHERE text != 'y'))")
            .deadline(Duration::from_secs(20));
        // 1. Asked directly, it does not blame the statement, and says what is wrong with it.
        until("the bad block to be read", PATIENCE, async || {
            let asked = system.client().query_at(&primary, &all.clone().renewed()).await;
            if let Outcome::Refused(refused) = &asked
                && !matches!(refused.code.as_str(), "unavailable" | "no_responders" | "quarantined")
            {
                return Ok(Err(format!("it blames the statement: {asked}")));
            }
            let status = status_of(&system, &primary).await?;
            let told = status["storage_error"].is_string() && status["reason"].is_string();
            if told { Ok(Ok(())) } else { Err(status.to_string()) }
        })
        .await?
        .map_err(anyhow::Error::msg)?;
        // 2. Asked of the group, others answer, every time; and supervision says why it is not trusted.
        for _ in 0..20 {
            let counted = system.client().query(&all.clone().renewed()).await.done()?;
            anyhow::ensure!(counted.results[0] == 5_000, "{counted:?}");
        }
        system.until_judged(&primary, "no longer available", |state| state != "available").await?;
        goes_on(&system, 1).await
    })
    .await
}
