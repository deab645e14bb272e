//! Where a result goes: as JSON or as a table to stdout, and to a file where one is named.

use std::io::{ErrorKind, Write};

use basin_records::Record;

use crate::arguments::Common;

/// Writes a record to `--out` if given, and to stdout as JSON or as the table that `readable` makes.
pub(crate) fn emit(common: &Common, record: &Record, readable: impl FnOnce() -> String) -> anyhow::Result<()> {
    if let Some(path) = &common.out {
        record.append_line(path)?;
    }
    if common.json { print(&record.to_json_line()?) } else { print(&readable()) }
}

/// Prints a line to stdout. A reader that went away, such as `head`, wants no more and is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
