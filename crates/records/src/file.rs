//! Whole files, written so that a reader never sees half of one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Replaces a file by a temporary one in the same directory and a rename.
///
/// A kill at any instant leaves the old file or the new one.
///
/// # Errors
/// When the directory is missing or not writable.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    write_and_rename(path, bytes).map_err(|source| Error::write(path, source))
}

fn write_and_rename(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".basin-").suffix(".tmp");
    // Temporary files are private by default, and the rename would make the result so.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.tempfile_in(directory)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(())
}
