//! Whole files: read, and replaced in one step.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::{Error, Result};

/// Deflate never shrinks more than this: what claims to hold more is not what it says.
const DEFLATE_LIMIT: u64 = 1032;

/// Bytes that are read at a time where all are looked at.
const AT_A_TIME: u64 = 1 << 20;

/// Bytes of which parts are read when they are asked for.
pub(crate) trait ReadAt: std::fmt::Debug + Send + Sync {
    /// How many there are.
    fn length(&self) -> u64;

    /// So many from a position on; it is an error, before anything is allocated, when there are not as many.
    fn read_at(&self, start: u64, length: u64) -> Result<Vec<u8>>;
}

impl dyn ReadAt + '_ {
    /// All of them.
    pub(crate) fn all(&self) -> Result<Vec<u8>> {
        self.read_at(0, self.length())
    }

    /// Hands on all of them in order, some at a time.
    pub(crate) fn each_part(&self, mut take: impl FnMut(&[u8])) -> Result<()> {
        for start in (0..self.length()).step_by(AT_A_TIME as usize) {
            take(&self.read_at(start, AT_A_TIME.min(self.length() - start))?);
        }
        Ok(())
    }

    /// Their blake3 hash, in hexadecimal.
    pub(crate) fn fingerprint(&self) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        self.each_part(|part| {
            hasher.update(part);
        })?;
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// Whether a part lies within so many bytes.
fn within(start: u64, length: u64, of: u64) -> bool {
    start.checked_add(length).is_some_and(|end| end <= of)
}

impl ReadAt for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        match within(start, length, self.length()) {
            true => Ok(self[start as usize..(start + length) as usize].to_vec()),
            false => Err(Error::input("the bytes end too early", "give all of them")),
        }
    }
}

/// An open file. A file that is read by several is opened once.
#[derive(Debug)]
pub(crate) struct OpenFile {
    path: PathBuf,
    file: Mutex<File>,
    length: u64,
}

impl OpenFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let length = length(path)?;
        let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), length })
    }

    fn cut(&self) -> Error {
        Error::input(
            format!("`{}` ends before all that it says it holds", self.path.display()),
            "check that the file was copied completely",
        )
    }
}

impl ReadAt for OpenFile {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        let failed = |cause: io::ErrorKind| Error::io("read", &self.path, cause.into());
        if !within(start, length, self.length) {
            return Err(self.cut());
        }
        let mut bytes = Vec::new();
        let wanted = usize::try_from(length).map_err(|_| failed(io::ErrorKind::OutOfMemory))?;
        bytes.try_reserve_exact(wanted).map_err(|_| failed(io::ErrorKind::OutOfMemory))?;
        // The place in the file is set before each reading: a thread that panicked left nothing undone.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read =
            file.seek(SeekFrom::Start(start)).and_then(|_| Read::take(&mut *file, length).read_to_end(&mut bytes));
        read.map_err(|cause| Error::io("read", &self.path, cause))?;
        // The file may have been cut since it was opened.
        if bytes.len() == wanted { Ok(bytes) } else { Err(self.cut()) }
    }
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    (&OpenFile::open(path)? as &dyn ReadAt).all()
}

/// The blake3 hash of the bytes of files, one behind the other, in hexadecimal; the bytes are not held.
pub(crate) fn fingerprint(paths: &[PathBuf]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for path in paths {
        (&OpenFile::open(path)? as &dyn ReadAt).each_part(|part| {
            hasher.update(part);
        })?;
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
    fn parts_beyond_the_end_are_refused_before_memory_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, b"0123456789").unwrap();
        let (file, bytes) = (OpenFile::open(&path).unwrap(), &b"0123456789"[..]);
        for all in [&file as &dyn ReadAt, &bytes] {
            assert_eq!(all.read_at(3, 4).unwrap(), b"3456");
            assert_eq!(all.read_at(10, 0).unwrap(), b"");
            for (start, length) in [(7, 4), (11, 0), (u64::MAX, 1), (1, u64::MAX)] {
                assert!(all.read_at(start, length).unwrap_err().is_bad_input());
            }
        }
        fs::write(&path, b"012").unwrap();
        assert!(file.read_at(0, 10).unwrap_err().is_bad_input());
    }

    #[test]
    fn reading_stops_one_byte_past_what_is_expected() {
        assert_eq!(read_at_most(io::repeat(7), 3).unwrap(), [7; 4]);
        assert_eq!(read_at_most(&[1_u8, 2][..], 3).unwrap(), [1, 2]);
    }
}
