//! One copy that cannot be opened stops nobody: `holdfast up` goes on with the others, says which copy does not serve and what
//! to do, and keeps trying. Whatever is done to the copy's files, it is this copy's matter alone.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use holdfast_tests::client::{Client, Request};
use holdfast_tests::folder;
use holdfast_tests::up::{Up, holdfast, succeeds};
use holdfast_tests::wait::until;
use nix::fcntl::{Flock, FlockArg};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
/// Enough for tables on the disk once the copies are closed.
const RECORDS: u64 = 20_000;

/// What is done to a copy's folder, and must be kept for the damage to last.
type Damage = fn(&Path) -> anyhow::Result<Option<Flock<File>>>;

/// Whether it keeps the copy from being opened for certain.
type Certain = bool;

const DAMAGES: [(&str, Certain, Damage); 6] = [
    ("the newest table emptied", true, |copy| resized(&newest_table(copy)?, |_| 0)),
    ("the newest table cut in half", false, |copy| resized(&newest_table(copy)?, |bytes| bytes / 2)),
    ("the newest table deleted", false, |copy| {
        fs::remove_file(newest_table(copy)?)?;
        Ok(None)
    }),
    ("the manifest emptied", false, |copy| {
        for file in files(&copy.join("manifest"))? {
            resized(&file, |_| 0)?;
        }
        Ok(None)
    }),
    ("a file in place of the folder", true, |copy| {
        fs::remove_dir_all(copy)?;
        fs::write(copy, "no folder")?;
        Ok(None)
    }),
    ("locked by somebody else", true, |copy| {
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(copy.join("LOCK"))?;
        Ok(Some(Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?))
    }),
];

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    anyhow::ensure!(!files.is_empty(), "{} is empty", folder.display());
    Ok(files)
}

fn newest_table(copy: &Path) -> anyhow::Result<PathBuf> {
    let tables = files(&copy.join("sstables"))?;
    tables.into_iter().next_back().context("no table")
}

fn resized(file: &Path, to: fn(u64) -> u64) -> anyhow::Result<Option<Flock<File>>> {
    let file = OpenOptions::new().write(true).open(file)?;
    file.set_len(to(file.metadata()?.len()))?;
    Ok(None)
}

fn removed(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?
    } else {
        fs::remove_file(path)?
    }
    Ok(())
}

/// The CSP that takes updates and serves, as the group's status says.
async fn primary(client: &Client) -> anyhow::Result<String> {
    until("a primary that serves", PATIENCE, async || {
        let status = client.group_status().await.map_err(|error| format!("{error:#}"))?;
        let serves = |csp: &&Value| csp["primary"] == true && csp["state"] == "available";
        let primary = status["csps"].as_array().and_then(|csps| csps.iter().find(serves));
        primary.and_then(|csp| csp["csp"].as_str()).map(str::to_owned).ok_or_else(|| status.to_string())
    })
    .await
}

/// Waits until all three copies are there and equal.
async fn until_whole(up: &Up) -> anyhow::Result<()> {
    until("three copies that are equal", PATIENCE, async || {
        let verdict = succeeds(&["verify", "--nats", &up.url().map_err(|error| error.to_string())?]).await;
        let verdict = verdict.map_err(|error| format!("{error:#}"))?;
        let copies = verdict["copies"].as_array().map_or(0, Vec::len);
        if verdict["equal"] == true && copies == 3 { Ok(()) } else { Err(verdict.to_string()) }
    })
    .await
}

/// A system of three copies with records in them, stopped; gives the primary.
async fn filled(data: &Path) -> anyhow::Result<String> {
    let mut up = Up::start(data, &["--nats-port", "0"])?;
    up.ready().await?;
    let client = Client::connect(&[up.url()?], "demo").await?;
    const PORTION: u64 = 500;
    for first in (0..RECORDS).step_by(PORTION as usize) {
        let sql = format!(
            "FOR $i IN {first}..{} {{ CREATE type::record('item', $i) SET text = 'some text, long enough to fill a block' RETURN NONE }}",
            first + PORTION
        );
        client.commit(Request::new(sql).deadline(Duration::from_secs(20)), PATIENCE).await?;
    }
    succeeds(&["verify", "--nats", &up.url()?]).await?;
    let primary = primary(&client).await?;
    up.stop().await?;
    Ok(primary)
}

/// A damaged system that serves all the same.
struct Serving {
    up: Up,
    client: Client,
    /// Whether it does so with one copy less.
    without: bool,
}

/// Starts the damaged system, and sees that it serves all the same, and goes on doing so.
async fn serves_without(data: &Path, csp: &str) -> anyhow::Result<Serving> {
    let mut up = Up::start(data, &["--nats-port", "0"])?;
    let started_before = up.starts(csp);
    let ready = up.ready().await?;
    let client = Client::connect(&[up.url()?], "demo").await?;
    let note = client.commit(Request::new("CREATE note SET about = 'one copy is damaged'"), PATIENCE).await?;
    let count = Request::new("RETURN count(SELECT VALUE id FROM item)").after(note.position);
    let counted = client.read(&count, PATIENCE).await.done()?;
    anyhow::ensure!(counted.results[0] == RECORDS, "records are missing: {counted:?}");

    let without = ready.contains("2 of 3 copies");
    if without {
        anyhow::ensure!(ready.contains(csp), "{ready}");
        let told = up.said().into_iter().find(|line| line.contains("does not serve")).context("nobody was told")?;
        anyhow::ensure!(told.contains(csp) && told.contains("csp stop") && told.contains("away"), "{told}");
        anyhow::ensure!(!told.contains("its status says why"), "the reason itself is to be told: {told}");
        // It is started again and again, or stays up and says itself that it was set aside; the others go on either way.
        until("the damaged copy to be tried again, or to say that it was set aside", PATIENCE, async || {
            let starts = up.starts(csp) - started_before;
            let status = client.group_status().await.map_err(|error| format!("{error:#}"))?;
            let stays = status["csps"].as_array().is_some_and(|csps| csps.iter().any(|view| set_aside(view, csp)));
            if starts > 5 || stays { Ok(()) } else { Err(format!("started {starts} times: {status}")) }
        })
        .await?;
    } else {
        // The storage engine made good the damage, or the copy was read from the log again: then it must be whole.
        anyhow::ensure!(ready.contains("3 copies"), "{ready}");
        succeeds(&["verify", "--nats", &up.url()?]).await?;
    }
    client.commit(Request::new("CREATE note SET about = 'and the others go on'"), PATIENCE).await?;
    up.still_runs()?;
    Ok(Serving { up, client, without })
}

/// Whether this is the CSP's own word that its copy was set aside.
fn set_aside(view: &Value, csp: &str) -> bool {
    view["csp"] == csp && view["state"] == "quarantined" && view["last_heartbeat_ms_ago"].is_number()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_starts_without_the_copy_that_cannot_be_opened() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let data = place.path().join("data");
    filled(&data).await?;
    let (copy, whole) = (data.join("csp/csp-2"), place.path().join("whole"));
    folder::copy(&copy, &whole)?;
    for (what, certain, damage) in DAMAGES {
        eprintln!("---- {what}");
        removed(&copy)?;
        folder::copy(&whole, &copy)?;
        let kept = damage(&copy).with_context(|| what.to_owned())?;
        let Serving { mut up, without, .. } = serves_without(&data, "csp-2").await.with_context(|| what.to_owned())?;
        anyhow::ensure!(without || !certain, "{what}: nothing kept the copy from being opened");
        if let Some(lock) = kept {
            // It is tried again: with the lock given up it comes by itself.
            drop(lock);
            until_whole(&up).await.with_context(|| what.to_owned())?;
        }
        up.stop().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_copy_takes_over_from_a_primary_that_cannot_be_opened_and_the_advice_helps() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let data = place.path().join("data");
    let damaged = filled(&data).await?;
    let copy = data.join("csp").join(&damaged);
    resized(&newest_table(&copy)?, |_| 0)?;
    let Serving { mut up, client, without } = serves_without(&data, &damaged).await?;
    anyhow::ensure!(without, "nothing kept the copy of {damaged} from being opened");
    let next = primary(&client).await?;
    anyhow::ensure!(next != damaged, "{damaged} was primary and still is");

    let at = data.display().to_string();
    // Started as it is, it does not serve, and `csp start` does not say that it does.
    succeeds(&["csp", "stop", &damaged, "--data", &at]).await?;
    let started = holdfast(&["csp", "start", &damaged, "--data", &at]).await?;
    let tells = started.errors.contains("set aside") && started.errors.contains("move the folder of its copy aside");
    anyhow::ensure!(started.code == Some(4) && tells, "{started:?}");

    succeeds(&["csp", "stop", &damaged, "--data", &at]).await?;
    fs::rename(&copy, place.path().join("damaged"))?;
    succeeds(&["csp", "start", &damaged, "--data", &at]).await?;
    until_whole(&up).await?;
    client.commit(Request::new("CREATE note SET about = 'all is well'"), PATIENCE).await?;
    up.still_runs()?;
    up.stop().await
}
