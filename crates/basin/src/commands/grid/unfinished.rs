//! The points of a run that has not ended, kept beside the file for its record.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use basin_landscape::Position;
use basin_objective::{Error, Result};
use basin_records::lines;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// `OUT.unfinished`: a line that says what was measured, then one for each few points.
pub(super) struct Unfinished<T> {
    path: PathBuf,
    known: Vec<(Position, T)>,
    measurement: String,
    /// Whether the file says what was measured.
    begun: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line<T> {
    Of { measurement: String },
    Points { points: Vec<Kept<T>> },
}

/// A point of the grid.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    column: usize,
    row: usize,
    #[serde(flatten)]
    value: T,
}

impl<T: Clone + Serialize + DeserializeOwned> Unfinished<T> {
    /// What is kept for the file at `out`, if it was measured alike.
    pub(super) fn open(out: &Path, measurement: String, [columns, rows]: [usize; 2]) -> anyhow::Result<Self> {
        let mut name = OsString::from(out);
        name.push(".unfinished");
        let path = PathBuf::from(name);
        let (mut known, mut others) = (Vec::new(), None);
        for line in if path.exists() { lines::read(&path)? } else { Vec::new() } {
            match line {
                Line::Points { points } => known.extend(points.into_iter().map(Kept::placed)),
                Line::Of { measurement: other } => others = Some(other).filter(|other| *other != measurement),
            }
        }
        if let (Some(other), false) = (others, known.is_empty()) {
            let message = format!("`{}` holds points of something else: {other}, not {measurement}", path.display());
            return Err(Error::input(message, "finish that one, remove the file, or give another `--out`").into());
        }
        let beyond = |(Position { column, row }, _): &(Position, _)| *column >= columns || *row >= rows;
        if known.iter().any(beyond) {
            let message = format!("`{}` holds points beyond the grid", path.display());
            return Err(Error::input(message, "it was changed by hand: remove it").into());
        }
        Ok(Self { path, begun: !known.is_empty(), known, measurement })
    }

    /// The points known from before.
    pub(super) fn known(&self) -> impl Iterator<Item = (Position, &T)> {
        self.known.iter().map(|(position, value)| (*position, value))
    }

    /// Adds points, in a file of its own where none are known.
    pub(super) fn keep(&mut self, positions: &[Position], values: &[T]) -> Result<()> {
        let refused = |cause: &dyn Display| {
            Error::input(format!("points cannot be kept: {cause}"), "give `--out` a file where there is room")
        };
        let append = |line: &Line<T>| lines::append(&self.path, line).map_err(|error| refused(&error));
        if !self.begun {
            if self.path.exists() {
                std::fs::remove_file(&self.path).map_err(|error| refused(&error))?;
            }
            append(&Line::Of { measurement: self.measurement.clone() })?;
        }
        let points = positions.iter().zip(values);
        let points =
            points.map(|(&Position { column, row }, value)| Kept { column, row, value: value.clone() }).collect();
        append(&Line::Points { points })?;
        self.begun = true;
        Ok(())
    }

    /// Removes the file, once the record is written.
    pub(super) fn finish(&self) -> std::io::Result<()> {
        if self.path.exists() { std::fs::remove_file(&self.path) } else { Ok(()) }
    }
}

impl<T> Kept<T> {
    fn placed(self) -> (Position, T) {
        (Position { column: self.column, row: self.row }, self.value)
    }
}
