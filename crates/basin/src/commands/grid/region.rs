//! The points of a plane that are asked for.

use std::ops::RangeInclusive;

use basin_landscape::{Grid, Position};
use basin_objective::Error;

use super::statistics::Networks;
use crate::arguments::{BatchNormArgument, Common, Points, Ranges, SplitArgument};
use crate::subject::Subject;

/// The grid and the part of it that is asked for.
pub(crate) struct Region {
    pub(crate) grid: Grid,
    /// i of n parts of the rows.
    pub(crate) shard: Option<(usize, usize)>,
}

impl Region {
    /// The region that was typed; `usual` are the ranges of x and y where none was.
    pub(crate) fn new(
        ranges: &Ranges,
        points: Points,
        usual: [RangeInclusive<f64>; 2],
        shard: Option<(usize, usize)>,
    ) -> Result<Self, Error> {
        let [of_x, of_y] = usual;
        let both = ranges.range.as_ref();
        let x = range("--x-range", ranges.x_range.as_ref(), both, of_x)?;
        let y = range("--y-range", ranges.y_range.as_ref(), both, of_y)?;
        let grid = Grid::new(x, points.columns, y, points.rows)?;
        if let Some((_, parts)) = shard
            && parts > grid.y.len()
        {
            let message = format!("{} rows cannot be divided into {parts} parts", grid.y.len());
            return Err(Error::input(message, "give `--shard` at most as many parts as there are rows"));
        }
        Ok(Self { grid, shard })
    }

    /// How many columns and rows the grid has.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.grid.x.len(), self.grid.y.len()]
    }

    /// The points that are asked for, row by row.
    pub(crate) fn positions(&self) -> Vec<Position> {
        let (part, parts) = self.shard.unwrap_or((1, 1));
        (part - 1..self.grid.y.len()).step_by(parts).flat_map(|row| self.grid.row(row)).collect()
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
