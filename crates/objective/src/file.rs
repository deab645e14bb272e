//! Whole files: read, and replaced in one step.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Deflate never shrinks more than this: what claims to hold more is not what it says.
const DEFLATE_LIMIT: u64 = 1032;

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let length = length(path)?;
    let mut bytes = Vec::new();
    usize::try_from(length)
        .ok()
        .and_then(|length| bytes.try_reserve_exact(length).ok())
        .ok_or_else(|| Error::io("read", path, io::ErrorKind::OutOfMemory.into()))?;
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut bytes))
        .map_err(|cause| Error::io("read", path, cause))?;
    Ok(bytes)
}

/// The blake3 hash of the bytes of files, one behind the other, in hexadecimal; the bytes are not held.
pub(crate) fn fingerprint(paths: &[PathBuf]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for path in paths {
        length(path)?;
        let hashed = File::open(path).and_then(|file| io::copy(&mut io::BufReader::new(file), &mut hasher));
        hashed.map_err(|cause| Error::io("read", path, cause))?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The length of a regular file in bytes; a directory or a device is an error.
pub(crate) fn length(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).map_err(|cause| Error::io("read", path, cause))?;
    if metadata.is_dir() {
        return Err(Error::io("read", path, io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() {
        return Err(Error::input(
            format!("`{}` is not a regular file", path.display()),
            "name a file, not a pipe or a device",
        ));
    }
    Ok(metadata.len())
}

/// The most bytes that `compressed` bytes of deflate can hold.
pub(crate) fn most_inflated(compressed: u64) -> u64 {
    compressed.saturating_mul(DEFLATE_LIMIT)
}

/// Everything `reader` holds, unless it is more than `expected` bytes: then one byte too many, and no more is read.
pub(crate) fn read_at_most(reader: impl Read, expected: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(expected.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file beside `path`, makes sure it has reached the disk, and moves it there in one step: a reader sees the
/// old file or the new one, whole.
pub(crate) fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let failed = |cause| Error::io("write", path, cause);
    if path.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let temporary = temporary_in(folder).map_err(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 20, temporary.as_file());
    write(&mut writer).and_then(|()| writer.flush()).map_err(failed)?;
    drop(writer);
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(path).map_err(|refused| failed(refused.error))?;
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(())
}

/// A temporary file with the permissions that any new file would have, not the private ones of a temporary one.
fn temporary_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".basin-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        replace(&path, |file| file.write_all(b"old")).unwrap();
        let refused = replace(&path, |file| {
            file.write_all(b"new")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert!(refused.is_err());
        assert_eq!(read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        replace(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(read(&path).unwrap(), b"new");
    }

    #[test]
    fn directories_and_missing_files_are_bad_input() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("missing")] {
            assert!(read(&path).unwrap_err().is_bad_input());
        }
        assert!(replace(folder.path(), |_| Ok(())).unwrap_err().is_bad_input());
        assert!(replace(&folder.path().join("missing/a"), |_| Ok(())).unwrap_err().is_bad_input());
    }

    #[test]
    fn reading_stops_one_byte_past_what_is_expected() {
        assert_eq!(read_at_most(io::repeat(7), 3).unwrap(), [7; 4]);
        assert_eq!(read_at_most(&[1_u8, 2][..], 3).unwrap(), [1, 2]);
    }
}
