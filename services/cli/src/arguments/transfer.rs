//! Options of `holdfast import` and `holdfast export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Target;

/// Options of `holdfast import`.
///
/// Send the statements of a SurrealQL file as updates.
///
/// The file is cut into batches of whole statements, each batch is one update and so one transaction; BEGIN ... COMMIT
/// in the file keeps its statements in one. USE switches namespace and database. After each batch a small file beside
/// the import, FILE.progress, remembers how far it came: running the same command again continues there, and the batch
/// that was under way is sent under its old id, so that nothing is carried out twice.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ImportOptions {
    #[command(flatten)]
    pub target: Target,

    /// Namespace [default: main]
    #[arg(long, value_name = "NAME")]
    pub ns: Option<String>,

    /// Database [default: main]
    #[arg(long, value_name = "NAME")]
    pub db: Option<String>,

    /// Give up on a batch after this many milliseconds
    #[arg(long, default_value_t = 60_000, value_name = "MS")]
    pub deadline: u64,

    /// Largest batch, in KiB of SurrealQL; one larger statement still goes alone
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=900), value_name = "KIB")]
    pub batch_kib: u32,

    /// Forget the progress of an earlier run and start at the first statement
    #[arg(long)]
    pub from_start: bool,

    /// What to do with a batch of which an earlier run did not learn the outcome, and whose id is forgotten by now
    #[arg(long, value_enum)]
    pub doubtful: Option<Doubtful>,

    /// The SurrealQL file
    pub file: PathBuf,
}

/// The answer of a person who looked whether the batch's changes are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Doubtful {
    /// Its changes are there: go on behind it
    Skip,
    /// They are not: send it again
    Send,
}

/// Options of `holdfast export`.
///
/// Write a database as a SurrealQL file that `holdfast import` reads back.
///
/// Reads definitions and records page by page through queries. While others write, the file is exact page by page but
/// not one moment in time: the positions of its first and last page are written into it, and you are told if they
/// differ. Users' and accesses' definitions contain password hashes and keys: look after the file.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct ExportOptions {
    #[command(flatten)]
    pub target: Target,

    /// Namespace [default: main]
    #[arg(long, value_name = "NAME")]
    pub ns: Option<String>,

    /// Database [default: main]
    #[arg(long, value_name = "NAME")]
    pub db: Option<String>,

    /// Records for each query
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000), value_name = "N")]
    pub page: u32,

    /// The file to write [default: standard output]
    pub file: Option<PathBuf>,
}
