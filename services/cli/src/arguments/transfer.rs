//! Options of `holdfast import` and `holdfast export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Target, milliseconds::milliseconds};

/// Options of `holdfast import`.
#[derive(Debug, Args)]
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
    #[arg(long, default_value_t = 60_000, value_name = "MS", value_parser = milliseconds)]
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
#[derive(Debug, Args)]
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
