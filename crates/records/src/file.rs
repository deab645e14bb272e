//! Whole files, written so that a reader never sees half of one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// How temporary files are called: checkpoints and records alike.
const PREFIX: &str = ".basin-";
const SUFFIX: &str = ".tmp";

/// Replaces a file by a temporary one in the same directory and a rename.
///
/// A kill at any instant leaves the old file or the new one.
///
/// # Errors
/// When the directory is missing or not writable.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    write_and_rename(path, bytes).map_err(|source| Error::write(path, source))
}

/// Removes the temporary files that kills left in a directory: for its owner, while nobody else writes there.
///
/// # Errors
/// When the directory cannot be listed, or a file not removed.
pub fn remove_leftovers(directory: &Path) -> Result<()> {
    let removed = || -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && entry.file_type()?.is_file() {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    removed().map_err(|source| Error::write(directory, source))
}

fn write_and_rename(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
    // Temporary files are private by default, and the rename would make the result so.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(directory)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(())
}
