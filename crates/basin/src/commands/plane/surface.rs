//! The values of a plane, gathered and put into a record.

use basin_landscape::{Grid, Position, second_difference};
use basin_objective::Evaluation;
use basin_records::Surface;
use basin_records::surface::Axis as AxisRecord;

use super::axes::{Axes, Axis};
use super::request::Request;
use super::statistics::Point;

/// What is known of each point of a grid.
pub(super) struct Values {
    columns: usize,
    points: Vec<Option<Point>>,
}

impl Values {
    pub(super) fn new(grid: &Grid) -> Self {
        Self { columns: grid.x.len(), points: vec![None; grid.x.len() * grid.y.len()] }
    }

    pub(super) fn set(&mut self, Position { column, row }: Position, point: Point) {
        self.points[row * self.columns + column] = Some(point);
    }

    pub(super) fn get(&self, Position { column, row }: Position) -> Option<&Point> {
        self.points[row * self.columns + column].as_ref()
    }

    /// How many points are known.
    pub(super) fn count(&self) -> usize {
        self.points.iter().flatten().count()
    }

    /// A row of numbers for each y, empty where the row is not known; no rows at all where no point has such a number.
    fn rows(&self, number: impl Fn(&Point) -> Option<f64>) -> Vec<Vec<f64>> {
        let rows = self.points.chunks(self.columns);
        let rows: Vec<Vec<f64>> = rows.map(|row| row.iter().flatten().filter_map(&number).collect()).collect();
        if rows.iter().all(Vec::is_empty) { Vec::new() } else { rows }
    }
}

/// The record's result.
pub(super) fn of(
    request: &Request,
    axes: &Axes,
    curvatures: [f64; 2],
    values: &Values,
    batch_norm: Option<&str>,
) -> Surface {
    let axis = |axis: &Axis, coordinates: &[f64], curvature: f64| AxisRecord {
        name: axis.direction.name.clone(),
        coordinates: coordinates.to_vec(),
        norm: axis.norm,
        normalized: axis.normalized,
        curvature,
        curvature_difference: None,
        eigenvalue: axis.eigenvalue,
    };
    let test = |number: fn(&Evaluation) -> Option<f64>| values.rows(|point| point.test.as_ref().and_then(number));
    let mut surface = Surface {
        x: axis(&axes.x, &request.grid.x, curvatures[0]),
        y: axis(&axes.y, &request.grid.y, curvatures[1]),
        cosine: axes.cosine,
        normalization: axes.normalization,
        ignored: axes.ignored.clone(),
        directions: axes.file.clone(),
        batch_norm: batch_norm.map(str::to_owned),
        train_loss: values.rows(|point| Some(point.train.loss)),
        train_accuracy: values.rows(|point| point.train.accuracy),
        test_loss: test(|evaluation| Some(evaluation.loss)),
        test_accuracy: test(|evaluation| evaluation.accuracy),
        marks: axes.marks.clone(),
        not_finite: 0,
        shard: request.shard.map(|(part, parts)| format!("{part}/{parts}")),
    };
    summarise(&mut surface);
    surface
}

/// Fills in what follows from the losses: the points that are not finite, and the curvature that neighbours show.
pub(super) fn summarise(surface: &mut Surface) {
    let losses = &surface.train_loss;
    surface.not_finite = losses.iter().flatten().filter(|loss| !loss.is_finite()).count() as u64;
    let (x, y) = (&surface.x.coordinates, &surface.y.coordinates);
    let origin = |axis: &[f64]| axis.iter().position(|&coordinate| coordinate == 0.0);
    let (row, column) = (origin(y), origin(x));
    let along_x = row.and_then(|row| second_difference(x, losses.get(row)?, surface.x.norm));
    let along_y = column.and_then(|column| {
        let values = losses.iter().map(|row| row.get(column).copied()).collect::<Option<Vec<_>>>()?;
        second_difference(y, &values, surface.y.norm)
    });
    (surface.x.curvature_difference, surface.y.curvature_difference) = (along_x, along_y);
}
