//! Lines of a grid, closer where a surface bends.

use crate::grid::{Grid, Position};

/// The lines of a fine grid at whose crossings a surface is known: few at first, more where it [bends](Self::refined). All
/// points are crossings, so that the surface stays one over a grid, if not an evenly spaced one.
///
/// ```
/// use basin_landscape::{Grid, Lines};
///
/// // |x|³ on five of seventeen columns: the ends bend, the middle does not.
/// let grid = Grid::new(-1.0..=1.0, 17, 0.0..=1.0, 5)?;
/// let coarse = Lines::every(&grid, 4);
/// let finer = coarse.refined(&grid, |at| Some(grid.x[at.column].abs().powi(3)));
/// assert_eq!(coarse.columns, [0, 4, 8, 12, 16]);
/// assert_eq!(finer.columns, [0, 2, 4, 6, 8, 10, 12, 14, 16]);
/// assert_eq!(finer.rows, [0, 4]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Indices of columns, ascending, the first and the last among them.
    pub columns: Vec<usize>,
    /// Indices of rows.
    pub rows: Vec<usize>,
}

/// A straight line between two neighbours may be so far off, relative to the whole range of values, before they get a line
/// between them: a quarter of the distance between the levels of a picture with twelve.
const OFF: f64 = 0.02;

impl Lines {
    /// Every `stride`-th line of a grid whose last is one of them.
    pub fn every(grid: &Grid, stride: usize) -> Self {
        let lines = |axis: &[f64]| (0..axis.len()).step_by(stride.max(1)).collect();
        Self { columns: lines(&grid.x), rows: lines(&grid.y) }
    }

    /// The crossings, row by row.
    pub fn crossings(&self) -> Vec<Position> {
        let row = |&row: &usize| self.columns.iter().map(move |&column| Position { column, row });
        self.rows.iter().flat_map(row).collect()
    }

    /// The coordinates of the lines.
    pub fn of(&self, grid: &Grid) -> Grid {
        let at = |axis: &[f64], lines: &[usize]| lines.iter().map(|&line| axis[line]).collect();
        Grid { x: at(&grid.x, &self.columns), y: at(&grid.y, &self.rows) }
    }

    /// The same lines and those half-way between neighbours where the surface bends between them: where, on any line that
    /// crosses both, a straight line from one to the other is off by more than 2 % of the range of all values, h²|f''|/8 with
    /// f'' from second differences at either end. `value` is the surface at the crossings of these lines; values that are not
    /// finite or not known tell nothing. Values that span more than two decades count by their logarithm, as pictures show
    /// them.
    pub fn refined(&self, grid: &Grid, value: impl Fn(Position) -> Option<f64>) -> Self {
        let finite = |at: Position| value(at).filter(|value| value.is_finite());
        let known: Vec<f64> = self.crossings().into_iter().filter_map(finite).collect();
        let least = known.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let logarithmic = least > 0.0 && largest / least > 100.0;
        let height = |value: f64| if logarithmic { value.ln() } else { value };
        let allowed = OFF * (height(largest) - height(least));
        let at = |column, row| finite(Position { column, row }).map(height);
        let along_x = |column: usize| self.rows.iter().map(|&row| at(column, row)).collect::<Vec<_>>();
        let along_y = |row: usize| self.columns.iter().map(|&column| at(column, row)).collect::<Vec<_>>();
        Self {
            columns: closer(&self.columns, &grid.x, along_x, allowed),
            rows: closer(&self.rows, &grid.y, along_y, allowed),
        }
    }
}

/// Lines of an axis with those half-way where values between neighbours are off by more than is allowed.
fn closer(lines: &[usize], axis: &[f64], values: impl Fn(usize) -> Vec<Option<f64>>, allowed: f64) -> Vec<usize> {
    let values: Vec<Vec<Option<f64>>> = lines.iter().map(|&line| values(line)).collect();
    let place = |i: usize| axis[lines[i]];
    // |f''| at an inner line, the largest over all lines that cross it.
    let bend = |i: usize| -> f64 {
        if i == 0 || i + 1 >= lines.len() {
            return 0.0;
        }
        let (before, after) = (place(i) - place(i - 1), place(i + 1) - place(i));
        let second = |k: usize| {
            let (a, b, c) = (values[i - 1][k]?, values[i][k]?, values[i + 1][k]?);
            Some((2.0 * ((c - b) / after - (b - a) / before) / (before + after)).abs())
        };
        (0..values[i].len()).filter_map(second).fold(0.0, f64::max)
    };
    let mut closer = Vec::with_capacity(2 * lines.len());
    for i in 0..lines.len() {
        closer.push(lines[i]);
        let Some(&next) = lines.get(i + 1) else { break };
        let width = place(i + 1) - place(i);
        let off = width * width / 8.0 * f64::max(bend(i), bend(i + 1));
        if off > allowed && next - lines[i] > 1 {
            closer.push(lines[i].midpoint(next));
        }
    }
    closer
}
