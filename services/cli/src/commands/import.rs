//! `holdfast import`: the statements of a file, as updates in order, each under an id that follows from the file, so
//! that a second run repeats nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use holdfast_schemas::{
    limits::MAX_REQUEST_BYTES,
    message::{UpdateReply, UpdateRequest},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::time::{Instant, sleep};
use xxhash_rust::xxh3::xxh3_128;

use super::update;
use crate::{
    arguments::transfer::{Doubtful, ImportOptions},
    client::Client,
    error::{CliError, Exit},
    model::{
        batch::{Batch, BatchLimits, gather},
        progress::{Progress, Resume},
        statement::split,
    },
    output::{self, Reader, table::grouped},
    up::directory::write_whole,
};

/// Keeps a batch's share of the deadline small even if its statements are slow.
const MOST_STATEMENTS: usize = 1_000;

/// How long a batch is tried again while the group cannot take it: longer than any failover.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(500);

/// JSON writes a byte of SurrealQL as two where it is a quote or a line end: a batch of half the limit always fits.
const MOST_BYTES: usize = MAX_REQUEST_BYTES / 2 - 4096;

/// Imports the file.
///
/// # Errors
/// The file cannot be cut into updates (nothing was sent), or an update failed (those before it are in).
pub async fn run(options: &ImportOptions, reader: Reader) -> Result<(), CliError> {
    let path = &options.file;
    let text = fs::read_to_string(path).map_err(CliError::file("read", path))?;
    let batches = cut(options, &text)?;
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let ids_kept_ms = client.group_status(&options.target.group).await?.definition.ids_kept_ms;
    let mut import = Import::open(options, &text, client)?;
    let first = import.first(&batches, ids_kept_ms)?;
    let position = import.send_from(first, &batches).await?;
    import.finish();

    let statements: usize = batches.iter().map(|batch| batch.statements).sum();
    match reader {
        Reader::Program => output::json(&json!({
            "batches": batches.len(), "batches_sent": batches.len() - first, "statements": statements, "position": position,
        })),
        Reader::Person => output::line(&format!(
            "{} statements in {} updates are in, {} of them sent now",
            grouped(statements as u64),
            grouped(batches.len() as u64),
            grouped((batches.len() - first) as u64),
        )),
    }
}

fn cut(options: &ImportOptions, text: &str) -> Result<Vec<Batch>, CliError> {
    let path = &options.file;
    let limits = BatchLimits {
        wanted_bytes: (options.batch_kib as usize * 1024).min(MOST_BYTES),
        most_bytes: MOST_BYTES,
        most_statements: MOST_STATEMENTS,
    };
    let statements = split(text).map_err(|source| CliError::Lex { path: path.clone(), source })?;
    gather(&statements, options.ns.clone(), options.db.clone(), limits)
        .map_err(|source| CliError::Batch { path: path.clone(), source })
}

struct Import<'a> {
    options: &'a ImportOptions,
    client: Client,
    progress: Progress,
    progress_path: PathBuf,
}

impl<'a> Import<'a> {
    fn open(options: &'a ImportOptions, text: &str, client: Client) -> Result<Self, CliError> {
        let fingerprint = fingerprint(options, text);
        let progress_path = options.file.with_added_extension("progress");
        let found = if options.from_start { None } else { read_progress(&progress_path)? };
        let progress =
            found.filter(|progress| progress.fingerprint == fingerprint).unwrap_or_else(|| Progress::none(fingerprint));
        Ok(Self { options, client, progress, progress_path })
    }

    /// Where to begin.
    fn first(&self, batches: &[Batch], ids_kept_ms: u64) -> Result<usize, CliError> {
        let (resume, doubtful) = (self.progress.resume(now_ms(), ids_kept_ms), self.options.doubtful);
        match (resume, doubtful) {
            (Resume::From(index), _) | (Resume::Doubtful(index), Some(Doubtful::Send)) => Ok(index.min(batches.len())),
            (Resume::Doubtful(index), Some(Doubtful::Skip)) => Ok((index + 1).min(batches.len())),
            (Resume::Doubtful(index), None) => {
                let line = batches.get(index).map_or(0, |batch| batch.line);
                Err(CliError::Machine(format!(
                    "an earlier run was cut off in the batch from line {line}, too long ago for the group to know its \
                     outcome: look whether its changes are there, then add --doubtful skip or --doubtful send"
                )))
            }
        }
    }

    /// Sends the batches from this one on; returns the position of the last.
    async fn send_from(&mut self, first: usize, batches: &[Batch]) -> Result<Option<u64>, CliError> {
        let bar = bar(batches.len(), first);
        let mut position = None;
        for (index, batch) in batches.iter().enumerate().skip(first) {
            self.save(index, Some(now_ms()))?;
            match self.send(&self.request(index, batch), &bar).await {
                Ok(reply) => position = Some(reply.position),
                Err(error) => {
                    bar.abandon();
                    return Err(self.failed(index, batch, error));
                }
            }
            self.save(index + 1, None)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(position)
    }

    /// Sends one batch, again and again under the same id while the group is busy with a failure.
    async fn send(&self, request: &UpdateRequest, bar: &ProgressBar) -> Result<UpdateReply, CliError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            match update::send(&self.client, &self.options.target.group, request.clone()).await {
                Err(error) if matches!(error.exit(), Exit::Unavailable | Exit::Unknown) && Instant::now() < give_up => {
                    bar.suspend(|| output::notice(&format!("trying again: {error}")));
                    sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn request(&self, index: usize, batch: &Batch) -> UpdateRequest {
        let mut request = UpdateRequest::new(batch.sql.clone());
        request.id = Some(format!("import-{}-{index}", self.progress.fingerprint));
        request.ns = batch.ns.clone().unwrap_or(request.ns);
        request.db = batch.db.clone().unwrap_or(request.db);
        request.deadline_ms = Some(self.options.deadline);
        request
    }

    /// A refusal is an outcome: the batch is certainly not in.
    fn failed(&mut self, index: usize, batch: &Batch, error: CliError) -> CliError {
        if error.exit() != Exit::Unknown
            && let Err(unsaved) = self.save(index, None)
        {
            return unsaved;
        }
        CliError::Import { path: self.options.file.clone(), line: batch.line, source: Box::new(error) }
    }

    fn save(&mut self, done: usize, sent_at_ms: Option<u64>) -> Result<(), CliError> {
        self.progress.done = done;
        self.progress.sent_at_ms = sent_at_ms;
        let text = serde_json::to_string(&self.progress).unwrap_or_default();
        write_whole(&self.progress_path, &text).map_err(CliError::file("write", &self.progress_path))
    }

    fn finish(&self) {
        // A progress file that stays says that everything is in: harmless.
        let _ = fs::remove_file(&self.progress_path);
    }
}

fn read_progress(path: &Path) -> Result<Option<Progress>, CliError> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::file("read", path)(error)),
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
            CliError::Machine(format!(
                "{} is damaged ({error}): remove it, or start anew with --from-start",
                path.display()
            ))
        }),
    }
}

/// The same content, cut the same way, for the same place.
fn fingerprint(options: &ImportOptions, text: &str) -> String {
    let place = format!("{}\0{:?}\0{:?}\0{}\0", options.target.group, options.ns, options.db, options.batch_kib);
    format!("{:032x}", xxh3_128([place.as_bytes(), text.as_bytes()].concat().as_slice()))
}

fn bar(batches: usize, first: usize) -> ProgressBar {
    let bar = ProgressBar::new(batches as u64).with_position(first as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} updates  {elapsed} so far, {eta} to go");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn now_ms() -> u64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}
