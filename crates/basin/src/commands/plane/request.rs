//! What was typed, checked.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use basin_landscape::{Grid, Position};
use basin_objective::Error;
use candle_core::Tensor;
use indicatif::HumanDuration;

use super::axes::Axes;
use super::statistics::Networks;
use crate::arguments::{Plane, SplitArgument, StatisticsArgument};
use crate::subject::Subject;

pub(super) struct Request {
    pub(super) grid: Grid,
    pub(super) statistics: Option<StatisticsArgument>,
    pub(super) shard: Option<(usize, usize)>,
}

impl Request {
    pub(super) fn new(arguments: &Plane) -> Result<Self, Error> {
        if arguments.common.split == SplitArgument::Test {
            let message = "`--split test`: a plane is evaluated on the train and on the test split";
            return Err(Error::input(message, "leave `--split` out"));
        }
        if arguments.common.batch_norm == crate::arguments::BatchNormArgument::Batch {
            let message =
                "on a plane batch norm's statistics are computed anew at each point from the training samples";
            return Err(Error::input(message, "leave `--batch-norm batch` out"));
        }
        let towards = arguments.towards.len();
        if towards > 2 {
            let message = format!("`--towards` names {towards} checkpoints, a plane goes through 3 with the origin");
            return Err(Error::input(message, "name at most 2"));
        }
        if towards == 2 && arguments.y.is_some() {
            let message = "two `--towards` make the plane, `--y` would be a third direction";
            return Err(Error::input(message, "leave out `--y` or one `--towards`"));
        }
        let x = range("--x-range", arguments.x_range.as_ref(), arguments.range.as_ref(), towards >= 1)?;
        let y = range("--y-range", arguments.y_range.as_ref(), arguments.range.as_ref(), towards >= 2)?;
        let grid = Grid::new(x, arguments.points.columns, y, arguments.points.rows)?;
        if let Some((_, parts)) = arguments.shard
            && parts > grid.y.len()
        {
            let message = format!("{} rows cannot be divided into {parts} parts", grid.y.len());
            return Err(Error::input(message, "give `--shard` at most as many parts as there are rows"));
        }
        Ok(Self { grid, statistics: arguments.batch_norm_statistics, shard: arguments.shard })
    }

    /// The points that are asked for, row by row.
    pub(super) fn positions(&self) -> Vec<Position> {
        let (part, parts) = self.shard.unwrap_or((1, 1));
        (part - 1..self.grid.y.len()).step_by(parts).flat_map(|row| self.grid.row(row)).collect()
    }

    /// A line on what the work may cost, from one point at the origin.
    pub(super) fn cost(&self, networks: &Networks<'_>, theta: &Tensor) -> anyhow::Result<String> {
        // A first evaluation finds caches, threads and memory cold.
        networks.evaluate(theta)?;
        let started = Instant::now();
        networks.evaluate(theta)?;
        let point = started.elapsed().as_secs_f64();
        let points = self.positions().len();
        let seconds = Duration::try_from_secs_f64(point * points as f64).unwrap_or(Duration::MAX);
        Ok(format!("cost: a point takes about {:.1} ms; {points} points about {}", 1e3 * point, HumanDuration(seconds)))
    }

    /// What the values depend on.
    pub(super) fn measurement(
        &self,
        subject: &Subject,
        networks: &Networks<'_>,
        axes: &Axes,
    ) -> anyhow::Result<String> {
        let provenance = subject.provenance(Instant::now())?;
        let of_checkpoint = provenance.checkpoint.and_then(|checkpoint| checkpoint.blake3).unwrap_or_default();
        let of_data = provenance.data.and_then(|data| data.blake3).unwrap_or_default();
        let span = |axis: &[f64]| match axis {
            [first, .., last] => format!("{first} to {last} in {}", axis.len()),
            _ => String::new(),
        };
        let part = self.shard.map_or_else(String::new, |(part, parts)| format!(", part {part}/{parts}"));
        let statistics = networks.batch_norm().map_or_else(String::new, |how| format!(", statistics {how}"));
        Ok(format!(
            "the plane of the checkpoint {of_checkpoint:.8} on the data {of_data:.8}, {}, {} on {}, along {} from {}, along {} from {}{statistics}{part}",
            provenance.loss.unwrap_or_default(),
            provenance.dtype.unwrap_or_default(),
            provenance.device.unwrap_or_default(),
            axes.x.identity,
            span(&self.grid.x),
            axes.y.identity,
            span(&self.grid.y),
        ))
    }
}

/// The range of an axis: its own, that of both, or the usual one.
fn range(
    option: &str,
    own: Option<&Vec<f64>>,
    both: Option<&Vec<f64>>,
    towards: bool,
) -> Result<RangeInclusive<f64>, Error> {
    let (option, numbers) = match (own, both) {
        (Some(own), _) => (option, own),
        (None, Some(both)) => ("--range", both),
        (None, None) => return Ok(if towards { -0.5..=1.5 } else { -1.0..=1.0 }),
    };
    match numbers[..] {
        [first, last] => Ok(first..=last),
        _ => {
            let message = format!("`{option}` has {} numbers, expected 2", numbers.len());
            Err(Error::input(message, format!("write it like `{option}=-1,1`")))
        }
    }
}
