//! What can go wrong while drawing, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// The result of drawing.
pub type Result<T> = std::result::Result<T, Error>;

/// A report that could not be drawn.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A record could not be read, or a file of the report not be written.
    #[error(transparent)]
    Records(#[from] basin_records::Error),
    /// The directory could not be listed, or the one for the figures not be made.
    #[error("failed to open the directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no record in the directory.
    #[error("{} holds no record", path.display())]
    Empty {
        /// The directory.
        path: PathBuf,
    },
    /// What was to be drawn is no picture.
    #[error("{message}")]
    Input {
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// A figure could not be put into pixels, or its numbers not into CSV.
    #[error("failed to draw `{figure}`: {reason}")]
    Figure {
        /// The figure's file name without its ending.
        figure: String,
        /// Why.
        reason: String,
    },
    /// The page could not be put together.
    #[error("failed to put the page together: {0}")]
    Page(#[from] minijinja::Error),
}

impl Error {
    /// What the reader of the message can do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Records(error) => error.hint(),
            Self::Directory { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path; `basin study --out DIR` makes such a directory".into()
            }
            Self::Directory { .. } => "check that it is a directory that you may read and write".into(),
            Self::Empty { .. } => {
                "a report is drawn from records: `DIR/study.json`, `DIR/records/*.json` or `*.jsonl`; \
                 write them with `--out`"
                    .into()
            }
            Self::Input { hint, .. } => hint.clone(),
            Self::Figure { .. } | Self::Page(_) => {
                "this is a defect of basin; please report it with the records".into()
            }
        }
    }

    pub(crate) fn input(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Input { message: message.into(), hint: hint.into() }
    }

    pub(crate) fn figure(figure: &str, reason: impl fmt::Display) -> Self {
        Self::Figure { figure: figure.to_owned(), reason: reason.to_string() }
    }
}
