//! The points of a plane that are asked for.

use std::ops::RangeInclusive;

use basin_landscape::{Grid, Lines, Position};
use basin_objective::Error;

use super::statistics::Networks;
use crate::arguments::{BatchNormArgument, Common, Points, Ranges, SplitArgument};
use crate::subject::Subject;

/// Lines that are closer than this are a slip of the hand.
const MOST_REFINEMENTS: u32 = 6;

/// The grid and the part of it that is asked for.
pub(crate) struct Region {
    pub(crate) grid: Grid,
    /// i of n parts of the rows.
    pub(crate) shard: Option<(usize, usize)>,
    /// How often the space between neighbouring lines is halved at most where the surface bends.
    pub(crate) refinements: u32,
}

impl Region {
    /// The region that was typed; `usual` are the ranges of x and y where none was.
    pub(crate) fn new(ranges: &Ranges, points: Points, usual: [RangeInclusive<f64>; 2]) -> Result<Self, Error> {
        let [of_x, of_y] = usual;
        let both = ranges.range.as_ref();
        let x = range("--x-range", ranges.x_range.as_ref(), both, of_x)?;
        let y = range("--y-range", ranges.y_range.as_ref(), both, of_y)?;
        let grid = Grid::new(x, points.columns, y, points.rows)?;
        Ok(Self { grid, shard: None, refinements: 0 })
    }

    /// One part of the rows.
    pub(crate) fn part(self, shard: Option<(usize, usize)>) -> Result<Self, Error> {
        if let Some((_, parts)) = shard
            && parts > self.grid.y.len()
        {
            let message = format!("{} rows cannot be divided into {parts} parts", self.grid.y.len());
            return Err(Error::input(message, "give `--shard` at most as many parts as there are rows"));
        }
        Ok(Self { shard, ..self })
    }

    /// The same points and, as they may be asked for, those that halve the space between them so often.
    pub(crate) fn refinable(self, refinements: u32) -> Result<Self, Error> {
        if refinements > MOST_REFINEMENTS {
            let message = format!("`--refine` is {refinements}");
            return Err(Error::input(message, format!("give at most {MOST_REFINEMENTS}: each may double the lines")));
        }
        let finer = |axis: &[f64]| (axis.len() - 1) * (1 << refinements) + 1;
        let ends = |axis: &[f64]| axis[0]..=axis[axis.len() - 1];
        let Grid { x, y } = &self.grid;
        Ok(Self { grid: Grid::new(ends(x), finer(x), ends(y), finer(y))?, refinements, ..self })
    }

    /// How many columns and rows the grid has.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.grid.x.len(), self.grid.y.len()]
    }

    /// The crossings of lines that are asked for, row by row.
    pub(crate) fn positions(&self, lines: &Lines) -> Vec<Position> {
        let (part, parts) = self.shard.unwrap_or((1, 1));
        let rows = lines.rows.iter().copied().skip(part - 1).step_by(parts).collect();
        Lines { rows, columns: lines.columns.clone() }.crossings()
    }

    /// What values on the plane along two directions depend on.
    pub(crate) fn measurement(
        &self,
        what: &str,
        subject: &Subject,
        networks: &Networks<'_>,
        [x, y]: [&str; 2],
    ) -> Result<String, Error> {
        let part = self.shard.map_or_else(String::new, |(part, parts)| format!(", part {part}/{parts}"));
        let statistics = networks.batch_norm().map_or_else(String::new, |how| format!(", statistics {how}"));
        Ok(format!(
            "{what} of {}, along {x} at {}, along {y} at {}{statistics}{part}",
            subject.measured_on()?,
            span(&self.grid.x),
            span(&self.grid.y),
        ))
    }
}

/// Places in words.
pub(crate) fn span(places: &[f64]) -> String {
    match places {
        [first, .., last] => format!("{} places from {first} to {last}", places.len()),
        _ => String::new(),
    }
}

/// Refuses options that have no meaning where points off the checkpoint are evaluated.
pub(crate) fn require_plain(common: &Common, what: &str) -> Result<(), Error> {
    if common.split == SplitArgument::Test {
        let message = format!("`--split test`: {what} is evaluated on the train and on the test split");
        return Err(Error::input(message, "leave `--split` out"));
    }
    if common.batch_norm == BatchNormArgument::Batch {
        let message = "where the weights are moved batch norm's statistics are computed anew from the training samples";
        return Err(Error::input(message, "leave `--batch-norm batch` out"));
    }
    Ok(())
}

/// The range of an axis: its own, that of both, or the usual one.
fn range(
    option: &str,
    own: Option<&Vec<f64>>,
    both: Option<&Vec<f64>>,
    usual: RangeInclusive<f64>,
) -> Result<RangeInclusive<f64>, Error> {
    let (option, numbers) = match (own, both) {
        (Some(own), _) => (option, own),
        (None, Some(both)) => ("--range", both),
        (None, None) => return Ok(usual),
    };
    match numbers[..] {
        [first, last] => Ok(first..=last),
        _ => {
            let message = format!("`{option}` has {} numbers, expected 2", numbers.len());
            Err(Error::input(message, format!("write it like `{option}=-1,1`")))
        }
    }
}
