//! The values of a plane, gathered and put into a record.

use basin_landscape::{Grid, second_difference};
use basin_records::Surface;
use basin_records::surface::Axis as AxisRecord;

use super::axes::Axes;
use super::directions::Axis;
use crate::commands::grid::{Measured, Point, Region, Values};

/// The surface of the points that `point` takes from what is known.
pub(crate) fn of<T>(
    region: &Region,
    grid: &Grid,
    axes: &Axes,
    curvatures: [f64; 2],
    values: &Values<T>,
    point: impl Fn(&T) -> &Point,
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
    let test = |number: fn(&Measured) -> Option<f64>| values.rows(|value| point(value).test.as_ref().and_then(number));
    let mut surface = Surface {
        x: axis(&axes.x, &grid.x, curvatures[0]),
        y: axis(&axes.y, &grid.y, curvatures[1]),
        cosine: axes.cosine,
        normalization: axes.normalization,
        ignored: axes.ignored.clone(),
        directions: axes.file.clone(),
        batch_norm: batch_norm.map(str::to_owned),
        train_loss: values.rows(|value| Some(point(value).train.loss)),
        train_accuracy: values.rows(|value| point(value).train.accuracy),
        test_loss: test(|measured| Some(measured.loss)),
        test_accuracy: test(|measured| measured.accuracy),
        marks: axes.marks.clone(),
        not_finite: 0,
        shard: region.shard.map(|(part, parts)| format!("{part}/{parts}")),
    };
    summarise(&mut surface);
    surface
}

/// Fills in what follows from the losses: the points that are not finite, and the curvature that neighbours show.
pub(crate) fn summarise(surface: &mut Surface) {
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
