//! What is known of the points of a grid.

use basin_landscape::{Lines, Position};

/// A value of each point that is known.
pub(crate) struct Values<T> {
    columns: usize,
    points: Vec<Option<T>>,
}

impl<T> Values<T> {
    pub(super) fn new([columns, rows]: [usize; 2]) -> Self {
        Self { columns, points: std::iter::repeat_with(|| None).take(columns * rows).collect() }
    }

    pub(super) fn set(&mut self, Position { column, row }: Position, value: T) {
        self.points[row * self.columns + column] = Some(value);
    }

    pub(crate) fn get(&self, Position { column, row }: Position) -> Option<&T> {
        self.points[row * self.columns + column].as_ref()
    }

    /// The values at the crossings of some lines.
    pub(crate) fn at(&self, lines: &Lines) -> Self
    where
        T: Clone,
    {
        let points = lines.crossings().into_iter().map(|position| self.get(position).cloned()).collect();
        Self { columns: lines.columns.len(), points }
    }

    /// How many points are known.
    pub(super) fn count(&self) -> usize {
        self.points.iter().flatten().count()
    }

    /// A row of numbers for each y, empty where the row is not known; no rows at all where no point has such a number.
    pub(crate) fn rows<N>(&self, number: impl Fn(&T) -> Option<N>) -> Vec<Vec<N>> {
        let rows = self.points.chunks(self.columns);
        let rows: Vec<Vec<N>> = rows.map(|row| row.iter().flatten().filter_map(&number).collect()).collect();
        if rows.iter().all(Vec::is_empty) { Vec::new() } else { rows }
    }
}
