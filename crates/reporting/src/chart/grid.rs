//! A function known at the points of a rectangular grid.

use crate::error::{Error, Result};

/// A function known at the points of a rectangular grid, such as the loss over a plane of parameters.
///
/// The point (i, j) lies at (`x[i]`, `y[j]`). Coordinates ascend in any steps. A value that is not finite is missing: it is
/// never replaced, no picture draws anything there, and [`Grid::missing`] counts it.
///
/// ```
/// use basin_reporting::landscape::Grid;
///
/// let grid = Grid::new(vec![0.0, 1.0, 3.0], vec![-1.0, 1.0], vec![1.0, 2.0, 4.0, 5.0, f64::NAN, 7.0])?;
/// assert_eq!(grid.value(2, 0), Some(4.0));
/// assert_eq!(grid.value(1, 1), None);
/// assert_eq!(grid.missing(), 1);
/// # Ok::<(), basin_reporting::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    x: Vec<f64>,
    y: Vec<f64>,
    values: Vec<f64>,
}

/// A cell between four neighbouring points, named after its corner with the smallest coordinates: (column, row).
pub(crate) type Cell = (usize, usize);

impl Grid {
    /// A grid of `x.len()` × `y.len()` points. `values` lie row by row, all of `y[0]` first: the value at (i, j) is
    /// `values[j * x.len() + i]`.
    ///
    /// # Errors
    /// When an axis has fewer than two coordinates, does not ascend or is not finite, or the number of values is not the
    /// number of points.
    pub fn new(x: Vec<f64>, y: Vec<f64>, values: Vec<f64>) -> Result<Self> {
        check_axis("x", &x)?;
        check_axis("y", &y)?;
        if values.len() != x.len() * y.len() {
            let message = format!(
                "a grid of {} by {} points has {} values, not {}",
                x.len(),
                y.len(),
                x.len() * y.len(),
                values.len()
            );
            return Err(Error::input(message, "give one value per point, row by row; NaN where there is none"));
        }
        Ok(Self { x, y, values })
    }

    /// The coordinates of the columns, ascending.
    pub fn x(&self) -> &[f64] {
        &self.x
    }

    /// The coordinates of the rows, ascending.
    pub fn y(&self) -> &[f64] {
        &self.y
    }

    /// The value in column `i` and row `j`; none where it is missing or the grid has no such point.
    pub fn value(&self, i: usize, j: usize) -> Option<f64> {
        let inside = i < self.x.len() && j < self.y.len();
        inside.then(|| self.values[self.index(i, j)]).filter(|value| value.is_finite())
    }

    /// How many points have no finite value.
    pub fn missing(&self) -> usize {
        self.values.len() - self.known().count()
    }

    /// The values that are not missing.
    pub(crate) fn known(&self) -> impl Iterator<Item = f64> + Clone {
        self.values.iter().copied().filter(|value| value.is_finite())
    }

    /// The number of points.
    pub(crate) fn points(&self) -> usize {
        self.values.len()
    }

    /// The number of a point, row by row.
    pub(crate) fn index(&self, i: usize, j: usize) -> usize {
        j * self.x.len() + i
    }

    /// Columns and rows of cells.
    pub(crate) fn cell_counts(&self) -> (usize, usize) {
        (self.x.len() - 1, self.y.len() - 1)
    }

    /// All cells, row by row.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Cell> + use<> {
        let (columns, rows) = self.cell_counts();
        (0..rows).flat_map(move |j| (0..columns).map(move |i| (i, j)))
    }

    /// The values at a cell's corners counterclockwise from the lower left one; none where one is missing.
    pub(crate) fn corners(&self, (i, j): Cell) -> Option<[f64; 4]> {
        Some([self.value(i, j)?, self.value(i + 1, j)?, self.value(i + 1, j + 1)?, self.value(i, j + 1)?])
    }
}

fn check_axis(name: &str, axis: &[f64]) -> Result<()> {
    if axis.len() < 2 {
        let message = format!("the {name} axis of the grid has {} points", axis.len());
        return Err(Error::input(message, "a picture of a plane needs at least two rows and two columns"));
    }
    // Also of two finite ends the distance may not be.
    let finite = axis.iter().all(|at| at.is_finite()) && (axis[axis.len() - 1] - axis[0]).is_finite();
    if !finite || !axis.is_sorted_by(|one, next| one < next) {
        let message = format!("the {name} axis of the grid does not ascend in finite steps");
        return Err(Error::input(message, "sort its coordinates, and the values with them; each may stand there once"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Grid;

    #[test]
    fn what_is_no_grid_is_refused_with_its_reason() {
        let message = |x: &[f64], y: &[f64], values: usize| {
            Grid::new(x.to_vec(), y.to_vec(), vec![0.0; values]).map_err(|error| error.to_string()).err()
        };
        let two = [0.0, 1.0];
        assert_eq!(message(&two, &two, 4), None);
        assert_eq!(message(&two, &[0.0], 2).as_deref(), Some("the y axis of the grid has 1 points"));
        assert_eq!(message(&[], &two, 0).as_deref(), Some("the x axis of the grid has 0 points"));
        for axis in [[1.0, 0.0], [1.0, 1.0], [0.0, f64::NAN], [0.0, f64::INFINITY], [-1.7e308, 1.7e308]] {
            assert!(message(&axis, &two, 4).is_some_and(|message| message.contains("ascend")), "{axis:?}");
        }
        assert_eq!(message(&two, &two, 3).as_deref(), Some("a grid of 2 by 2 points has 4 values, not 3"));
    }

    #[test]
    fn infinite_values_are_missing_too() {
        let values = vec![0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, 2.0];
        let grid = Grid::new(vec![0.0, 1.0, 2.0], vec![0.0, 1.0], values).expect("a grid");
        assert_eq!(grid.missing(), 3);
        assert_eq!(grid.corners((0, 0)), None);
        assert_eq!([grid.value(3, 0), grid.value(0, 2)], [None, None]);
    }
}
