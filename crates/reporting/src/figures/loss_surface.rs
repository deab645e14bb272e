//! The loss over a plane of parameters, from above and as a surface.

use basin_records::Surface;
use basin_records::surface::{Axis, Mark};

use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, numbered, settings};
use crate::landscape::{Grid, Landscape, Place, Spacing, View};
use crate::number;

/// Points of a surface along an axis: it has a shape for each, and a page of a hundred thousand shapes opens slowly.
const MOST_ALONG_AN_AXIS: usize = 80;

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
    let grid = grid(surface, &surface.train_loss, 1)?;
    let spacing = Spacing::fitting(&grid);
    let landscape = |grid: Grid| Landscape {
        spacing,
        grid,
        x: format!("x: {}", short(&surface.x.name)),
        y: format!("y: {}", short(&surface.y.name)),
        value: format!("training {}", measured.provenance.loss.as_deref().unwrap_or("loss")),
    };
    let stride = grid.x().len().max(grid.y().len()).div_ceil(MOST_ALONG_AN_AXIS);
    let thinned = match stride {
        1 => String::new(),
        stride => format!(" Drawn of one point in {stride} along each axis."),
    };
    let places: Vec<Place> =
        surface.marks.iter().map(|mark| Place { name: short(&mark.name), x: mark.x, y: mark.y }).collect();
    let about = format!("{}{}", described(surface), settings([measured.provenance]));
    let map = Figure {
        stem: stem.to_owned(),
        title: "The loss over a plane".into(),
        caption: format!("Training loss over a plane through the parameters.{about}"),
        drawing: landscape(grid).filled_contours_with(&places).drawing(),
        numbers: numbers(surface),
    };
    let graph = Figure {
        stem: format!("{stem}-3d"),
        title: "The loss over a plane as a surface".into(),
        caption: format!("The same as a surface.{thinned}{about}"),
        drawing: landscape(self::grid(surface, &surface.train_loss, stride)?).surface(View::default()).drawing(),
        numbers: numbers(surface),
    };
    Some(vec![map, graph])
}

/// Some values of a surface at every `stride`-th point along both axes; none of a part of a surface.
pub(super) fn grid(surface: &Surface, rows: &[Vec<f64>], stride: usize) -> Option<Grid> {
    let every = |coordinates: &[f64]| coordinates.iter().copied().step_by(stride).collect::<Vec<f64>>();
    let rows = rows.iter().step_by(stride);
    let values = rows.flat_map(|row| every(row)).collect();
    Grid::new(every(&surface.x.coordinates), every(&surface.y.coordinates), values).ok()
}

/// Words in which the paths of checkpoints are cut to what tells them apart: the run, or the file.
pub(super) fn short(words: &str) -> String {
    let cut = |word: &str| {
        let Some((folder, file)) = word.rsplit_once('/') else { return word.to_owned() };
        let stem = file.strip_suffix(".safetensors").unwrap_or(file);
        match folder.strip_suffix("/checkpoints").map(|run| run.rsplit('/').next().unwrap_or(run)) {
            Some(run) if stem == "last" => run.to_owned(),
            Some(run) => format!("{run}, {stem}"),
            None => stem.to_owned(),
        }
    };
    words.split(' ').map(cut).collect::<Vec<_>>().join(" ")
}

/// What was held fixed, and what the surface shows at its origin.
pub(super) fn described(surface: &Surface) -> String {
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

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn checkpoints_are_named_by_their_runs() {
        assert_eq!(short("towards runs/x/runs/b16-s0/checkpoints/last.safetensors"), "towards b16-s0");
        assert_eq!(short("runs/mine/checkpoints/epoch-00010.safetensors"), "mine, epoch-00010");
        assert_eq!(short("models/resnet.safetensors"), "resnet");
        assert_eq!(short("eigenvector 1"), "eigenvector 1");
    }
}
