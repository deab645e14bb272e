//! The points of a run that has not ended, kept beside the file for its record.

use std::ffi::OsString;
use std::fmt::Display;
use std::path::{Path, PathBuf};

use basin_landscape::{Grid, Position};
use basin_objective::{Error, Evaluation, Result};
use basin_records::{float, lines};
use serde::{Deserialize, Serialize};

use super::statistics::Point;

/// `OUT.unfinished`: a line that says of which surface, then one for each few points.
pub(super) struct Unfinished {
    path: PathBuf,
    known: Vec<(Position, Point)>,
    measurement: String,
    /// Whether the file says of which surface it is.
    begun: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Line {
    Of { measurement: String },
    Points { points: Vec<Kept> },
}

/// A point of the grid.
#[derive(Serialize, Deserialize)]
struct Kept {
    column: usize,
    row: usize,
    train: Values,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test: Option<Values>,
}

#[derive(Serialize, Deserialize)]
struct Values {
    #[serde(with = "float")]
    loss: f64,
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    accuracy: Option<f64>,
}

impl Unfinished {
    /// What is kept for the file at `out`, if it is of the same surface.
    pub(super) fn open(out: &Path, measurement: String, grid: &Grid) -> anyhow::Result<Self> {
        let mut name = OsString::from(out);
        name.push(".unfinished");
        let path = PathBuf::from(name);
        let (mut known, mut others) = (Vec::new(), None);
        for line in if path.exists() { lines::read(&path)? } else { Vec::new() } {
            match line {
                Line::Points { points } => known.extend(points.into_iter().map(Kept::point)),
                Line::Of { measurement: other } => others = Some(other).filter(|other| *other != measurement),
            }
        }
        if let (Some(other), false) = (others, known.is_empty()) {
            let message = format!("`{}` holds points of another surface: {other}, not {measurement}", path.display());
            return Err(Error::input(message, "finish that one, remove the file, or give another `--out`").into());
        }
        let beyond = |(Position { column, row }, _): &(Position, _)| *column >= grid.x.len() || *row >= grid.y.len();
        if known.iter().any(beyond) {
            let message = format!("`{}` holds points beyond the grid", path.display());
            return Err(Error::input(message, "it was changed by hand: remove it").into());
        }
        Ok(Self { path, begun: !known.is_empty(), known, measurement })
    }

    /// The points known from before.
    pub(super) fn known(&self) -> impl Iterator<Item = (Position, Point)> {
        self.known.iter().copied()
    }

    /// Adds points, in a file of its own where none are known.
    pub(super) fn keep(&mut self, positions: &[Position], points: &[Point]) -> Result<()> {
        let refused = |cause: &dyn Display| {
            Error::input(format!("points cannot be kept: {cause}"), "give `--out` a file where there is room")
        };
        let append = |line: &Line| lines::append(&self.path, line).map_err(|error| refused(&error));
        if !self.begun {
            if self.path.exists() {
                std::fs::remove_file(&self.path).map_err(|error| refused(&error))?;
            }
            append(&Line::Of { measurement: self.measurement.clone() })?;
        }
        let points = positions.iter().zip(points).map(|(&position, &point)| Kept::new(position, point)).collect();
        append(&Line::Points { points })?;
        self.begun = true;
        Ok(())
    }

    /// Removes the file, once the record is written.
    pub(super) fn finish(&self) -> std::io::Result<()> {
        if self.path.exists() { std::fs::remove_file(&self.path) } else { Ok(()) }
    }
}

impl Kept {
    fn new(Position { column, row }: Position, Point { train, test }: Point) -> Self {
        Self { column, row, train: Values::new(train), test: test.map(Values::new) }
    }

    fn point(self) -> (Position, Point) {
        let point = Point { train: self.train.evaluation(), test: self.test.map(|values| values.evaluation()) };
        (Position { column: self.column, row: self.row }, point)
    }
}

impl Values {
    fn new(Evaluation { loss, accuracy }: Evaluation) -> Self {
        Self { loss, accuracy }
    }

    fn evaluation(&self) -> Evaluation {
        Evaluation { loss: self.loss, accuracy: self.accuracy }
    }
}
