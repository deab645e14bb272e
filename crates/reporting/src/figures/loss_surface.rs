//! The loss over a plane of parameters, from above and as a surface.

use basin_records::Surface;
use basin_records::surface::{Axis, Mark};

use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, numbered, settings};
use crate::landscape::{Grid, Landscape, Spacing, View};
use crate::number;

/// A map and a surface of each record; a part of a surface has neither before it is put together with the others.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let surfaces = collection.surfaces();
    let of = |(index, measured)| {
        let stem = numbered("surface", index, surfaces.len());
        both(&stem, measured).unwrap_or_default()
    };
    surfaces.iter().enumerate().flat_map(of).collect()
}

fn both(stem: &str, measured: &Measured<'_, Surface>) -> Option<Vec<Figure>> {
    let surface = measured.result;
    let values: Vec<f64> = surface.train_loss.concat();
    let grid = Grid::new(surface.x.coordinates.clone(), surface.y.coordinates.clone(), values).ok()?;
    let landscape = Landscape {
        spacing: Spacing::fitting(&grid),
        grid,
        x: axis(&surface.x),
        y: axis(&surface.y),
        value: format!("training {}", measured.provenance.loss.as_deref().unwrap_or("loss")),
    };
    let about = format!("{}{}", described(surface), settings([measured.provenance]));
    let [map, graph] = [
        ("", "The loss over a plane", "Training loss over a plane through the parameters", landscape.filled_contours()),
        ("-3d", "The loss over a plane as a surface", "The same as a surface", landscape.surface(View::default())),
    ]
    .map(|(ending, title, opening, picture)| Figure {
        stem: format!("{stem}{ending}"),
        title: title.into(),
        caption: format!("{opening}.{about}"),
        drawing: picture.drawing(),
        numbers: numbers(surface),
    });
    Some(vec![map, graph])
}

/// The direction, and how far one unit of its coordinate is.
fn axis(axis: &Axis) -> String {
    format!("{}   (1 is {} in parameter space)", axis.name, number::significant(axis.norm))
}

/// What was held fixed, and what the surface shows at its origin.
fn described(surface: &Surface) -> String {
    let curvature = |axis: &Axis| {
        let exact = number::significant(axis.curvature);
        let shown = axis.curvature_difference.map_or_else(String::new, |difference| {
            format!(" (by the differences of the surface {})", number::significant(difference))
        });
        format!("{exact} along {}{shown}", axis.name)
    };
    let normalized = match [&surface.x, &surface.y].iter().any(|axis| axis.normalized) {
        true => format!(" Random directions are normalised by {}", surface.normalization),
        false => " Directions are not normalised".into(),
    };
    let ignored = match surface.ignored.len() {
        0 => String::new(),
        count => format!(", {} of biases and norms stay", number::plural(count, "tensor")),
    };
    let batch_norm =
        surface.batch_norm.as_ref().map_or_else(String::new, |how| format!(" Statistics of batch norm: {how}."));
    let marks: Vec<String> = surface.marks.iter().skip(1).map(mark).collect();
    let marks = if marks.is_empty() { String::new() } else { format!(" Projected: {}.", number::enumerate(&marks)) };
    format!(
        "{normalized}{ignored}; the angle between the axes is {:.1}°. The exact curvature at the origin is {} and {}.{batch_norm}{marks}",
        surface.cosine.clamp(-1.0, 1.0).acos().to_degrees(),
        curvature(&surface.x),
        curvature(&surface.y),
    )
}

fn mark(mark: &Mark) -> String {
    let [x, y, distance] = [mark.x, mark.y, mark.distance].map(number::significant);
    format!("{} at ({x}, {y}), {distance} off the plane", mark.name)
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
