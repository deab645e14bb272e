//! A rectangle in a plane and the points of a grid on it.

use std::ops::RangeInclusive;

use basin_objective::{Error, Result};

/// More points are a slip of the hand, and would not fit into memory.
pub const MOST_POINTS: usize = 1_000_000;

/// Evenly spaced coordinates along two axes, ends included.
///
/// ```
/// use basin_landscape::{Grid, Position};
///
/// let grid = Grid::new(-1.0..=1.0, 5, 0.0..=2.0, 3)?;
/// assert_eq!(grid.x, [-1.0, -0.5, 0.0, 0.5, 1.0]);
/// assert_eq!(grid.y, [0.0, 1.0, 2.0]);
/// assert_eq!(grid.row(1).last(), Some(Position { column: 4, row: 1 }));
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Of the columns, ascending.
    pub x: Vec<f64>,
    /// Of the rows, ascending.
    pub y: Vec<f64>,
}

/// A point of a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The index of its x.
    pub column: usize,
    /// The index of its y.
    pub row: usize,
}

impl Grid {
    /// `columns` points along x in every one of `rows` along y.
    ///
    /// # Errors
    /// When a range is empty or not finite, an axis has fewer than 2 points, or there are more than [`MOST_POINTS`].
    pub fn new(x: RangeInclusive<f64>, columns: usize, y: RangeInclusive<f64>, rows: usize) -> Result<Self> {
        if columns.checked_mul(rows).is_none_or(|points| points > MOST_POINTS) {
            return Err(Error::input(
                format!("the grid has {columns} × {rows} points"),
                format!("give at most {MOST_POINTS} in all"),
            ));
        }
        Ok(Self { x: evenly_spaced("x", x, columns)?, y: evenly_spaced("y", y, rows)? })
    }

    /// The points of a row, by ascending x.
    pub fn row(&self, row: usize) -> impl Iterator<Item = Position> {
        (0..self.x.len()).map(move |column| Position { column, row })
    }
}

/// The weighted means of the ends: of a range that is symmetric about 0, the one in the middle is exactly 0.
fn evenly_spaced(axis: &str, range: RangeInclusive<f64>, count: usize) -> Result<Vec<f64>> {
    let (first, last) = (*range.start(), *range.end());
    if !((last - first).is_finite() && first < last) {
        return Err(Error::input(
            format!("the range of {axis} runs from {first} to {last}, expected two numbers in ascending order"),
            "write it like `--range=-1,1`",
        ));
    }
    if count < 2 {
        return Err(Error::input(
            format!("the grid has {count} points along {axis}"),
            "give at least 2, as in `--points 25` or `--points 25x19`",
        ));
    }
    let steps = (count - 1) as f64;
    let at = |i: usize| (first * (steps - i as f64) + last * i as f64) / steps;
    Ok((0..count)
        .map(|i| {
            if i == 0 {
                first
            } else if i + 1 == count {
                last
            } else {
                at(i)
            }
        })
        .collect())
}
