//! What can go wrong with a record file, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::record::SCHEMA;

/// The result of reading or writing records.
pub type Result<T> = std::result::Result<T, Error>;

/// A record file that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused to read.
    #[error("failed to read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system refused to write.
    #[error("failed to write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The bytes are there, but they are not what a record should be.
    #[error("{place}: {problem}")]
    Malformed {
        /// Where.
        place: Place,
        /// What is wrong with them.
        problem: Problem,
    },
}

/// A file, and a line of it where the file is JSON lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1.
    pub line: Option<usize>,
}

/// Why bytes are not a record of this version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not JSON at all, or cut off.
    #[error("not valid JSON: {0}")]
    Json(serde_json::Error),
    /// A line of a file that is no JSON lines.
    #[error("not a JSON object")]
    ForeignLine,
    /// JSON without the `schema` that marks a record.
    #[error("not a basin record: it has no `schema`")]
    NotARecord,
    /// A record of a version that this program does not know.
    #[error("schema version `{found}` is unknown, expected `{SCHEMA}`")]
    Schema {
        /// The version found.
        found: String,
    },
    /// A field that is missing or holds something else than it should.
    #[error("a field of the record is wrong: {0}")]
    Field(serde_json::Error),
    /// As [`Problem::Field`], inside `result`.
    #[error("the result of kind `{kind}` is wrong: {source}")]
    Outcome {
        /// The kind that the record claims.
        kind: String,
        /// What is missing or wrong.
        source: serde_json::Error,
    },
}

impl Error {
    /// What the reader of the message can do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path; a study keeps its records in `records/` beside `study.json`".into()
            }
            Self::Read { .. } => "check that the file is readable".into(),
            Self::Write { .. } => "check that the directory exists, is writable and has space left".into(),
            Self::Malformed { place, problem } => problem.hint(place),
        }
    }

    pub(crate) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    pub(crate) fn malformed(path: &Path, line: Option<usize>, problem: Problem) -> Self {
        Self::Malformed { place: Place { path: path.to_owned(), line }, problem }
    }
}

impl Problem {
    fn hint(&self, place: &Place) -> String {
        match (self, place.line) {
            (Self::Json(_), Some(line)) => {
                format!("only the last line may be torn; remove line {line} to keep the others")
            }
            (Self::Json(_), None) => "the file is damaged; measure again to write it anew".into(),
            (Self::ForeignLine, _) => "the file holds something else than records; append them to another one".into(),
            (Self::NotARecord, _) => format!("a record is a JSON object with `\"schema\": \"{SCHEMA}\"`"),
            (Self::Schema { .. }, _) => "read it with the version of basin named in its field `basin`".into(),
            (Self::Field(_) | Self::Outcome { .. }, _) => {
                "the record was edited or written by another program; measure again to write it anew".into()
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}
