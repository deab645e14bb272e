//! JSON lines that grow while a run goes on, and survive a kill at any instant.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{Error, Problem, Result};

/// Reads every line of a file; a last line that a crash left torn is ignored, and so are empty lines.
///
/// # Errors
/// When the file cannot be read or another line than the last is damaged.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    read_with(path, |line| serde_json::from_slice(line).map_err(Problem::Json))
}

/// Appends one line and waits until the disk has it; a torn line before it is removed.
///
/// # Errors
/// When the file cannot be written.
pub fn append<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    append_to(path, value).map_err(|source| Error::write(path, source))
}

/// Refuses a file that does not hold JSON objects, one per line: appending to it would damage it.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn require_objects(path: &Path) -> Result<()> {
    let bytes = fs::read(path).map_err(|source| Error::read(path, source))?;
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let whole = line.ends_with(b"\n") && !line.iter().all(u8::is_ascii_whitespace);
        if !may_be_torn(line) || whole && serde_json::from_slice::<IgnoredAny>(line).is_err() {
            return Err(Error::malformed(path, Some(index + 1), Problem::ForeignLine));
        }
    }
    Ok(())
}

/// Whether a line without its end may be what a crash left of a JSON object: its beginning, or zeros that a file system
/// put where the bytes never arrived.
fn may_be_torn(line: &[u8]) -> bool {
    line.iter().find(|byte| !byte.is_ascii_whitespace()).is_none_or(|&first| matches!(first, b'{' | 0))
}

pub(crate) fn read_with<T>(path: &Path, parse: impl Fn(&[u8]) -> std::result::Result<T, Problem>) -> Result<Vec<T>> {
    let bytes = fs::read(path).map_err(|source| Error::read(path, source))?;
    let mut values = Vec::new();
    for (index, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse(line) {
            Ok(value) => values.push(value),
            // Only a line without its end can have been torn by a crash.
            Err(Problem::Json(_)) if !line.ends_with(b"\n") => {}
            Err(problem) => return Err(Error::malformed(path, Some(index + 1), problem)),
        }
    }
    Ok(values)
}

fn append_to<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    end_last_line(&mut file)?;
    file.write_all(&line)?;
    file.sync_all()
}

/// Leaves the file at its end, and that end after a whole line.
fn end_last_line(file: &mut File) -> io::Result<()> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(());
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    if last == *b"\n" {
        return Ok(());
    }
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    let start = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    if serde_json::from_slice::<IgnoredAny>(&bytes[start..]).is_ok() {
        return file.write_all(b"\n");
    }
    if !may_be_torn(&bytes[start..]) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its last line is no JSON object"));
    }
    file.set_len(start as u64)?;
    file.seek(SeekFrom::End(0)).map(|_| ())
}
