//! Where a result goes: as JSON or as a table to stdout, and to a file where one is named.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use basin_objective::Error;
use basin_records::{Record, lines};

use crate::arguments::Common;

/// Writes a record to `--out` if given, and to stdout as JSON or as the table that `readable` makes.
pub(crate) fn emit(common: &Common, record: &Record, readable: impl FnOnce() -> String) -> anyhow::Result<()> {
    if let Some(path) = &common.out {
        record.append_line(path)?;
    }
    if common.json { print(&record.to_json_line()?) } else { print(&readable()) }
}

/// Refuses a file for records that cannot be written or holds something else, before any work is done for it.
pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
    if path.is_file() {
        lines::require_objects(path)?;
    } else if path.exists() && !path.is_dir() {
        let message = format!("cannot append records to `{}`: it is no regular file", path.display());
        return Err(Error::input(message, "name a file; `--json` prints the record").into());
    }
    let refused = |cause: io::Error| {
        Error::input(
            format!("cannot write the records to `{}`: {cause}", path.display()),
            "give `--out` a file in a directory that exists and can be written",
        )
    };
    let exists = path.exists();
    OpenOptions::new().append(true).create(true).open(path).map_err(refused)?;
    if !exists {
        // It comes back with the first record.
        std::fs::remove_file(path).map_err(refused)?;
    }
    Ok(())
}

/// Prints a line to stdout. A reader that went away, such as `head`, wants no more and is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
