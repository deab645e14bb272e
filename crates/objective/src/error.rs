//! What can go wrong while data, weights and models are read, built and evaluated.

use std::io;
use std::path::{Path, PathBuf};

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong while data, weights and models are read, built and evaluated.
///
/// `Display` prints the message alone; [`Error::hint`] says what to do about it.
///
/// ```
/// use basin_objective::data::DataSpec;
///
/// let error = "digit".parse::<DataSpec>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown data `digit`");
/// assert_eq!(error.hint(), Some("did you mean `digits`?"));
/// assert!(error.is_bad_input());
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was given cannot be used: a file, a tensor, a field or an option is not as it should be.
    #[error("{message}")]
    Input {
        /// Names the file, the tensor or the field, what was expected and what was found.
        message: String,
        /// Says what to do.
        hint: String,
    },
    /// The data has no such split; what needs it can go without.
    #[error("{message}")]
    NoSplit {
        /// Names the file and what it holds.
        message: String,
        /// Says what to do.
        hint: String,
    },
    /// A product of a curvature matrix left the numbers.
    #[error("product {product} of the curvature matrix is not finite")]
    NotFinite {
        /// Which product, counted from 1.
        product: usize,
    },
    /// The file system refused.
    // The cause is part of the message, not a `source`, so that one line says all.
    #[error("cannot {action} `{}`: {cause}", .path.display())]
    Io {
        /// What was attempted: `read`, `write`, ….
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Says what to do.
        hint: String,
        /// The answer of the operating system.
        cause: io::Error,
    },
    /// Recording or differentiating a program failed.
    #[error(transparent)]
    Tape(#[from] basin_tape::Error),
    /// A tensor operation failed.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
    /// The work was stopped on request.
    #[error("interrupted")]
    Interrupted,
}

impl From<basin_import::Error> for Error {
    fn from(error: basin_import::Error) -> Self {
        Self::input(error.to_string(), error.hint())
    }
}

impl Error {
    /// Bad input, with what to do about it.
    ///
    /// ```
    /// use basin_objective::Error;
    ///
    /// let error = Error::input("`--samples` is 0", "give at least 1");
    /// assert_eq!(error.to_string(), "`--samples` is 0");
    /// assert_eq!(error.hint(), Some("give at least 1"));
    /// ```
    pub fn input(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { message: message.into(), hint: hint.into() }
    }

    /// A refusal of the file system, with a hint that fits its kind.
    pub(crate) fn io(action: &'static str, path: &Path, cause: io::Error) -> Self {
        let hint = match cause.kind() {
            io::ErrorKind::NotFound => "check the path, which is relative to the current directory",
            io::ErrorKind::PermissionDenied => "check the permissions of the file and of its directory",
            io::ErrorKind::IsADirectory => "name a file inside the directory",
            io::ErrorKind::NotADirectory => "a part of the path is a file where a directory is needed",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free some space and run the same command again"
            }
            _ => "check that the file system is healthy and run the same command again",
        };
        Self::Io { action, path: path.to_owned(), hint: hint.to_owned(), cause }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Input { hint, .. } | Self::NoSplit { hint, .. } | Self::Io { hint, .. } => Some(hint),
            Self::NotFinite { .. } => {
                Some("the weights are at a point where the loss or its derivatives overflow; try `--dtype f64`")
            }
            Self::Tape(_) | Self::Candle(_) | Self::Interrupted => None,
        }
    }

    /// Whether what was given is at fault, rather than the program or the machine.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::Input { .. } | Self::NoSplit { .. } | Self::NotFinite { .. } => true,
            Self::Io { cause, .. } => matches!(
                cause.kind(),
                io::ErrorKind::NotFound
                    | io::ErrorKind::PermissionDenied
                    | io::ErrorKind::IsADirectory
                    | io::ErrorKind::NotADirectory
                    | io::ErrorKind::InvalidFilename
            ),
            Self::Tape(_) | Self::Candle(_) | Self::Interrupted => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_bad_input_and_a_full_disk_is_not() {
        let path = Path::new("a/b.npz");
        let missing = Error::io("read", path, io::ErrorKind::NotFound.into());
        assert!(missing.is_bad_input());
        assert!(missing.to_string().starts_with("cannot read `a/b.npz`: "), "{missing}");
        assert!(missing.hint().is_some());
        let full = Error::io("write", path, io::ErrorKind::StorageFull.into());
        assert!(!full.is_bad_input());
        assert!(!Error::Interrupted.is_bad_input());
    }
}
