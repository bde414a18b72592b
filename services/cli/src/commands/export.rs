//! `holdfast export`: a database as a SurrealQL file, read through queries.
//!
//! Records are asked for as SurrealQL text (`<string> $this`), because JSON would turn record ids, datetimes and decimals
//! into strings. Each page continues behind the last record of the one before.

use std::{
    fs::File,
    io::{BufWriter, Write, stdout},
    path::Path,
};

use holdfast_schemas::{
    ErrorCode,
    limits::MAX_DEADLINE_MS,
    message::{Consistency, ErrorReply, QueryReply, QueryRequest},
};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::query;
use crate::{
    arguments::transfer::ExportOptions,
    client::Client,
    error::CliError,
    model::dump::{Record, TableOutline, definitions_after, outline, quoted, record_key},
    output::{self, Reader, table::grouped},
};

/// An edge can be walked from its beginning to itself; a record that only has fields called `in` and `out` cannot.
const IS_EDGE: &str = "type::is_record(in) AND type::is_record(out) AND (<-?) CONTAINS in";

/// Writes the database.
///
/// # Errors
/// A query or the file fails; the file is then incomplete.
pub async fn run(options: &ExportOptions, reader: Reader) -> Result<(), CliError> {
    let client = Client::connect(options.target.bus.nats.as_deref()).await?;
    let mut export = Export {
        options,
        client,
        file: Output::open(options.file.as_deref())?,
        bar: ProgressBar::new_spinner(),
        first: None,
        last: 0,
        records: 0,
    };
    export.write_all().await?;
    export.bar.finish_and_clear();
    export.report(reader)
}

struct Export<'a> {
    options: &'a ExportOptions,
    client: Client,
    file: Output,
    bar: ProgressBar,
    first: Option<u64>,
    last: u64,
    records: u64,
}

impl Export<'_> {
    async fn write_all(&mut self) -> Result<(), CliError> {
        let database = outline(&self.one("INFO FOR DB").await?);
        self.file.line(&format!("-- Holdfast export, first page at position {}", self.last))?;
        for definition in &database.before {
            self.file.line(definition)?;
        }
        let (views, tables): (Vec<_>, Vec<_>) = database.tables.iter().partition(|table| table.is_view());
        for table in &tables {
            self.file.line(&table.bare())?;
            self.write_records(table).await?;
        }
        for table in tables.iter().chain(&views) {
            let info = self.one(&format!("INFO FOR TABLE {}", quoted(&table.name))).await?;
            for definition in definitions_after(table, &info) {
                self.file.line(&definition)?;
            }
        }
        self.file.line(&format!("-- End of the export, last page at position {}", self.last))?;
        self.file.finish()
    }

    async fn write_records(&mut self, table: &TableOutline) -> Result<(), CliError> {
        let name = quoted(&table.name);
        let mut limit = self.options.page;
        let mut after: Option<String> = None;
        loop {
            // The id travels as text in both directions, so that its type survives the way through JSON.
            let from = after.as_deref().map_or(name.clone(), |key| format!("{name}:{key}>.."));
            let sql = format!(
                "SELECT VALUE {{ id: <string> id, text: <string> $this, edge: {IS_EDGE} }} FROM {from} LIMIT {limit}"
            );
            let rows = match self.one(&sql).await {
                Err(CliError::Refused(reply)) if limit > 1 && is_too_large(&reply) => {
                    limit = (limit / 4).max(1);
                    continue;
                }
                rows => rows?,
            };
            let records: Vec<Record> = serde_json::from_value(rows).map_err(|error| {
                CliError::Machine(format!(
                    "a page of {name} is not understood ({error}): use a `holdfast` of the same version as the services"
                ))
            })?;
            let Some(last) = records.last() else { return Ok(()) };
            after = record_key(&last.id);
            for statement in table.inserts(&records) {
                self.file.line(&statement)?;
            }
            self.records += records.len() as u64;
            self.bar.set_message(format!("{}: {} records so far", table.name, grouped(self.records)));
            self.bar.tick();
        }
    }

    /// The result of one statement.
    async fn one(&mut self, sql: &str) -> Result<Value, CliError> {
        let mut request = QueryRequest::new(sql);
        request.ns = self.options.ns.clone().unwrap_or(request.ns);
        request.db = self.options.db.clone().unwrap_or(request.db);
        request.deadline_ms = Some(MAX_DEADLINE_MS);
        match self.first {
            None => request.consistency = Consistency::Strong,
            // Never a copy behind a page that is written already.
            Some(_) => {
                request.consistency = Consistency::Session;
                request.after = Some(self.last);
            }
        }
        let reply: QueryReply = query::send(&self.client, &self.options.target.group, request).await?;
        self.first.get_or_insert(reply.position);
        self.last = self.last.max(reply.position);
        Ok(reply.results.into_iter().next().unwrap_or(Value::Null))
    }

    /// Says what was written, where that does not mix with it.
    fn report(&self, reader: Reader) -> Result<(), CliError> {
        let first = self.first.unwrap_or_default();
        if reader == Reader::Program && self.options.file.is_some() {
            return output::json(
                &json!({"records": self.records, "first_position": first, "last_position": self.last}),
            );
        }
        output::notice(&format!("{} records", grouped(self.records)));
        if first != self.last {
            output::notice(&format!(
                "the log went on meanwhile (positions {} to {}): each page is exact; if others were writing, the whole is \
                 not one moment in time, so export again while nobody writes if you need that",
                grouped(first),
                grouped(self.last)
            ));
        }
        Ok(())
    }
}

/// A reply must fit one NATS message; smaller pages make smaller replies.
fn is_too_large(reply: &ErrorReply) -> bool {
    matches!(reply.error.code, ErrorCode::RequestTooLarge | ErrorCode::Unsupported)
}

/// The file, or standard output.
struct Output {
    writer: Box<dyn Write>,
    name: String,
}

impl Output {
    fn open(path: Option<&Path>) -> Result<Self, CliError> {
        let Some(path) = path else {
            return Ok(Self { writer: Box::new(stdout()), name: "standard output".to_owned() });
        };
        let file = File::create(path).map_err(CliError::file("write", path))?;
        Ok(Self { writer: Box::new(BufWriter::new(file)), name: path.display().to_string() })
    }

    fn line(&mut self, text: &str) -> Result<(), CliError> {
        writeln!(self.writer, "{text}").map_err(CliError::file("write", &self.name))
    }

    fn finish(&mut self) -> Result<(), CliError> {
        self.writer.flush().map_err(CliError::file("write", &self.name))
    }
}
