//! The loss over a plane of parameters, from above and as a surface.

use basin_records::Surface;
use basin_records::surface::{Axis, Mark};

use crate::checkpoints;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, numbered, settings};
use crate::landscape::{Frame, Grid, Landscape, Place, Spacing, View};
use crate::number;

/// Points of a surface along an axis: it has a shape for each, and a page of a hundred thousand shapes opens slowly.
const MOST_ALONG_AN_AXIS: usize = 80;

/// A map and a surface of each record; a part of a surface has neither before it is put together with the others.
/// Surfaces that can be compared have the same axes, levels and colours.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let surfaces = collection.surfaces();
    let grids: Vec<Option<Grid>> =
        surfaces.iter().map(|measured| grid(measured.result, &measured.result.train_loss, 1)).collect();
    let of = |(index, measured): (usize, &Measured<'_, Surface>)| {
        let grid = grids[index].clone()?;
        let alike =
            (0..surfaces.len()).filter(|&other| grids[other].is_some() && comparable(measured, &surfaces[other]));
        let alike: Vec<usize> = alike.collect();
        let stem = numbered("surface", index, surfaces.len());
        let shared = alike.iter().filter_map(|&other| grids[other].as_ref()).collect::<Vec<_>>();
        let among = if alike.len() > 1 { Some(alike.len()) } else { None };
        both(&stem, measured, grid, &shared, among)
    };
    // All from above, then all aslant, so that those of a kind stand side by side.
    let (maps, graphs): (Vec<Figure>, Vec<Figure>) = surfaces.iter().enumerate().filter_map(of).unzip();
    maps.into_iter().chain(graphs).collect()
}

/// Whether two surfaces show the same loss of the same samples along axes of the same kind.
fn comparable(one: &Measured<'_, Surface>, other: &Measured<'_, Surface>) -> bool {
    let key = |measured: &Measured<'_, Surface>| {
        let Measured { provenance, result, .. } = *measured;
        let names = [&result.x, &result.y].map(|axis| (axis.name.clone(), axis.normalized));
        (provenance.loss.clone(), provenance.data.clone(), names, result.normalization)
    };
    key(one) == key(other)
}

fn both(
    stem: &str,
    measured: &Measured<'_, Surface>,
    grid: Grid,
    shared: &[&Grid],
    among: Option<usize>,
) -> Option<(Figure, Figure)> {
    let surface = measured.result;
    let spacing = Spacing::fitting_all(shared);
    let frame = Frame::around(shared, spacing);
    let landscape = |grid: Grid| Landscape {
        spacing,
        grid,
        x: format!("x: {}", checkpoints::short_words(&surface.x.name)),
        y: format!("y: {}", checkpoints::short_words(&surface.y.name)),
        value: format!("training {}", measured.provenance.loss.as_deref().unwrap_or("loss")),
    };
    let stride = grid.x().len().max(grid.y().len()).div_ceil(MOST_ALONG_AN_AXIS);
    let thinned = match stride {
        1 => String::new(),
        stride => format!(" Drawn of one point in {stride} along each axis."),
    };
    let alike = among.map_or_else(String::new, |count| {
        format!(" Axes, levels and colours are the same in all {count} surfaces of this kind.")
    });
    let places =
        surface.marks.iter().map(|mark| Place { name: checkpoints::short_words(&mark.name), x: mark.x, y: mark.y });
    let places: Vec<Place> = places.collect();
    let of = through(&places);
    let about = format!("{alike}{}{}", described(surface), settings([measured.provenance]));
    let map = Figure {
        stem: stem.to_owned(),
        title: format!("The loss over a plane{of}"),
        caption: format!("Training loss over a plane through the parameters.{about}"),
        drawing: landscape(grid).filled_contours_in(&frame, &places).drawing(),
        numbers: numbers(surface).of_records([measured.file]),
    };
    let graph = Figure {
        stem: format!("{stem}-3d"),
        title: format!("The loss over a plane{of} as a surface"),
        caption: format!("The same as a surface.{thinned}{about}"),
        drawing: landscape(self::grid(surface, &surface.train_loss, stride)?)
            .surface_in(&frame, View::default())
            .drawing(),
        numbers: numbers(surface).of_records([measured.file]),
    };
    Some((map, graph))
}

/// The checkpoints that make a plane, as far as a title has room for them.
fn through(places: &[Place]) -> String {
    let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => format!(" around {one}"),
        [_, _] | [_, _, _] => format!(" through {}", number::enumerate(&names)),
        [first, ..] => format!(" through {first} and others"),
    }
}

/// Some values of a surface at every `stride`-th point along both axes; none of a part of a surface.
pub(super) fn grid(surface: &Surface, rows: &[Vec<f64>], stride: usize) -> Option<Grid> {
    let every = |coordinates: &[f64]| coordinates.iter().copied().step_by(stride).collect::<Vec<f64>>();
    let rows = rows.iter().step_by(stride);
    let values = rows.flat_map(|row| every(row)).collect();
    Grid::new(every(&surface.x.coordinates), every(&surface.y.coordinates), values).ok()
}

/// What was held fixed, and what the surface shows at its origin.
pub(super) fn described(surface: &Surface) -> String {
    let curvature = |axis: &Axis| {
        let exact = number::significant(axis.curvature);
        let shown = axis.curvature_difference.map_or_else(String::new, |difference| {
            format!(" (by the differences of the surface {})", number::significant(difference))
        });
        format!("{exact} along {}{shown}", checkpoints::short_words(&axis.name))
    };
    let normalized = match [&surface.x, &surface.y].iter().any(|axis| axis.normalized) {
        true => format!(" Random directions are normalised by {}", surface.normalization),
        false => " Directions are not normalised".into(),
    };
    let ignored = match surface.ignored.len() {
        0 => String::new(),
        count => format!(", without {} of biases and norms", number::plural(count, "tensor")),
    };
    let batch_norm =
        surface.batch_norm.as_ref().map_or_else(String::new, |how| format!(" Statistics of batch norm: {how}."));
    let marks: Vec<String> = surface.marks.iter().map(mark).collect();
    let marks = if marks.is_empty() { String::new() } else { format!(" Marked: {}.", number::enumerate(&marks)) };
    format!(
        " One unit of x is {} in parameter space, of y {}.{normalized}{ignored}; the angle between the axes is {:.1}°. The exact curvature at the origin is {} and {}.{batch_norm}{marks}",
        number::significant(surface.x.norm),
        number::significant(surface.y.norm),
        surface.cosine.clamp(-1.0, 1.0).acos().to_degrees(),
        curvature(&surface.x),
        curvature(&surface.y),
    )
}

fn mark(mark: &Mark) -> String {
    let [x, y, distance] = [mark.x, mark.y, mark.distance].map(number::significant);
    format!("{} at ({x}, {y}), {distance} off the plane", checkpoints::short_words(&mark.name))
}

fn numbers(surface: &Surface) -> Numbers {
    let lists = [
        ("train_loss", &surface.train_loss),
        ("train_accuracy", &surface.train_accuracy),
        ("test_loss", &surface.test_loss),
        ("test_accuracy", &surface.test_accuracy),
    ];
    let lists: Vec<_> = lists.into_iter().filter(|(_, rows)| !rows.is_empty()).collect();
    let places = ["x", "y", "x_displacement", "y_displacement"];
    let header: Vec<&str> = places.into_iter().chain(lists.iter().map(|(name, _)| *name)).collect();
    let mut numbers = Numbers::new(&header);
    for (row, y) in surface.y.coordinates.iter().enumerate() {
        for (column, x) in surface.x.coordinates.iter().enumerate() {
            let place = [*x, *y, x * surface.x.norm, y * surface.y.norm];
            let at = |rows: &[Vec<f64>]| rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or(f64::NAN);
            let values = lists.iter().map(|(_, rows)| at(rows));
            numbers.push(place.into_iter().chain(values).map(|value| value.to_string()).collect());
        }
    }
    numbers
}
