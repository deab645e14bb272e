//! The spectral densities of several minima above one another on common axes, their outliers marked.

use basin_records::Spectrum;

use super::density_curve::DensityCurve;
use super::eigenvalues::title_of;
use super::spectral_density::{OUTLIER, Panels, outlier_key, panels};
use super::spectrum::subject;
use crate::chart::axes::{Axes, Axis, Region};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, INK, Look, look};
use crate::chart::scale::Scale;
use crate::collection::{Collection, Measured};
use crate::comparison;
use crate::figure::{Figure, Numbers, distinct, numbered, settings};
use crate::number;

/// More panels are too flat to read.
const MOST: usize = 8;
/// Height of a panel in pixels.
const PANEL: f64 = 230.0;
/// Room for the legend and the horizontal labels.
const REST: f64 = 200.0;

/// A density and whose it is.
struct Subject<'a> {
    name: String,
    measured: Measured<'a, Spectrum>,
    curve: DensityCurve<'a>,
    look: Look,
}

/// One figure for the spectra of each matrix on the same samples, where there are two or more.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let mut spectra = collection.spectra();
    spectra.retain(|measured| measured.result.density.is_some());
    let key = |measured: &Measured<'_, Spectrum>| {
        (measured.result.matrix, measured.result.block.clone(), measured.provenance.data.clone())
    };
    let mut sets: Vec<Vec<Measured<'_, Spectrum>>> = distinct(spectra.iter().map(key))
        .into_iter()
        .map(|found| spectra.iter().copied().filter(|measured| key(measured) == found).collect())
        .collect();
    sets.retain(|set| set.len() > 1);
    let count = sets.len();
    sets.iter()
        .enumerate()
        .map(|(index, set)| figure(collection, numbered("spectral-densities", index, count), set))
        .collect()
}

fn figure(collection: &Collection, stem: String, set: &[Measured<'_, Spectrum>]) -> Figure {
    let subjects: Vec<Subject<'_>> = set
        .iter()
        .enumerate()
        .filter_map(|(index, measured)| {
            let (name, look) = comparison::look_of(collection, measured.provenance)
                .unwrap_or_else(|| (subject(collection, measured.provenance), look(index)));
            let curve = DensityCurve::of(measured.result.density.as_deref()?, measured.provenance);
            Some(Subject { name, measured: *measured, curve, look })
        })
        .collect();
    let shown = &subjects[..subjects.len().min(MOST)];
    let left_out = match subjects.len() - shown.len() {
        0 => String::new(),
        rest => format!(" {rest} more are not shown; the CSV has them."),
    };
    let apart = if is_bulk_apart(shown) { " To the right the bulk alone." } else { "" };
    let widths: Vec<String> = distinct(shown.iter().map(|subject| number::significant(subject.curve.density.sigma)));
    let caption = format!(
        "Densities of all eigenvalues of the {} on common axes, smoothed by Gaussians of standard deviation {}, with the \
         outliers: converged eigenvalues beyond the bulk. The dotted line is the height of a single eigenvalue.{apart}{left_out}{}",
        title_of(set[0].result.matrix),
        number::enumerate(&widths),
        settings(set.iter().map(|measured| measured.provenance)),
    );
    Figure {
        stem,
        title: format!("Spectral densities of the {} side by side", title_of(set[0].result.matrix)),
        caption,
        drawing: draw(shown),
        numbers: numbers(&subjects).of_records(set.iter().map(|measured| measured.file)),
    }
}

/// Whether some outlier lies so far off that the bulk gets a column of its own.
fn is_bulk_apart(subjects: &[Subject<'_>]) -> bool {
    subjects.iter().any(|subject| panels(&subject.curve) == Panels::BulkApart)
}

fn draw(subjects: &[Subject<'_>]) -> Drawing {
    let mut drawing = Drawing::of_height((REST + PANEL * subjects.len() as f64) as u32);
    let key = |subject: &Subject<'_>| Key {
        words: subject.name.clone(),
        color: subject.look.color,
        line: Some(Dash::Solid),
        marker: None,
    };
    let mut keys: Vec<Key> = subjects.iter().map(key).collect();
    if subjects.iter().any(|subject| !subject.curve.outliers().is_empty()) {
        keys.push(outlier_key());
    }
    let region = legend::draw(&mut drawing, &keys);
    let whole = common(subjects.iter().map(|subject| subject.curve.density.grid.clone()));
    let bulk = common(subjects.iter().map(|subject| subject.curve.bulk()));
    let columns = match is_bulk_apart(subjects) {
        true => {
            let middle = (region.left + region.right) / 2.0;
            vec![
                (Region { right: middle, ..region }, "all λ", whole),
                (Region { left: middle, ..region }, "λ of the bulk", bulk),
            ]
        }
        false => vec![(region, "eigenvalue λ", whole)],
    };
    let curves: Vec<DensityCurve<'_>> = subjects.iter().map(|subject| subject.curve).collect();
    let y = DensityCurve::scale(&curves);
    for (index, (column, name, x)) in columns.into_iter().enumerate() {
        let axis = Axis::new(name, x);
        // What the horizontal labels take is the lowest panel's alone.
        let height = (column.bottom - column.top - LABELS) / subjects.len() as f64;
        for (row, subject) in subjects.iter().enumerate() {
            let last = row + 1 == subjects.len();
            let top = column.top + row as f64 * height;
            let bottom = if last { column.bottom } else { top + height };
            let x = if last { axis.clone() } else { axis.clone().without_labels() };
            let vertical = Axis::new("density", y);
            let vertical = if index == 0 { vertical } else { vertical.without_name() };
            let axes = Axes::draw(&mut drawing, Region { top, bottom, ..column }, &x, &vertical, None);
            draw_curve(&mut drawing, &axes, subject);
        }
    }
    drawing
}

/// Height of tick labels and the name below a plot.
const LABELS: f64 = 85.0;

fn draw_curve(drawing: &mut Drawing, axes: &Axes, subject: &Subject<'_>) {
    let Subject { curve, look, .. } = subject;
    curve.draw_height_of_one(drawing, axes);
    curve.draw_stems(drawing, axes, look.color);
    curve.draw_band(drawing, axes, look.color);
    curve.draw(drawing, axes, look.color, 3);
    curve.draw_outliers(drawing, axes, OUTLIER, INK);
}

/// An axis over all of them.
fn common(axes: impl Iterator<Item = Vec<f64>>) -> Scale {
    Scale::linear(
        axes.flat_map(|axis| axis.first().copied().into_iter().chain(axis.last().copied())).collect::<Vec<_>>(),
    )
}

fn numbers(subjects: &[Subject<'_>]) -> Numbers {
    let mut numbers = Numbers::new(&["minimum", "file", "kind", "eigenvalue", "density"]);
    for subject in subjects {
        let path = subject.measured.provenance.checkpoint.as_ref().map(|found| found.path.clone()).unwrap_or_default();
        let mut push = |kind: &str, eigenvalue: f64, density: String| {
            numbers.push(vec![subject.name.clone(), path.clone(), kind.into(), eigenvalue.to_string(), density]);
        };
        let density = subject.curve.density;
        for (eigenvalue, value) in density.grid.iter().zip(&density.values) {
            push("density", *eigenvalue, value.to_string());
        }
        for eigenvalue in subject.curve.outliers() {
            push("outlier", eigenvalue, String::new());
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use basin_records::Provenance;
    use basin_records::spectrum::{Density, Matrix};

    use super::*;
    use crate::chart::drawing::{Shape, WIDTH};

    fn spectrum(scale: f64) -> Spectrum {
        let grid: Vec<f64> = (-50..=50).map(|at| scale * f64::from(at) / 50.0).chain([9.0 * scale]).collect();
        let density = Density {
            nodes: vec![9.0 * scale, -0.9 * scale, 0.9 * scale],
            weights: vec![0.01, 0.495, 0.495],
            values: grid.iter().map(|x| (-(x / scale).powi(2)).exp() / scale).collect(),
            stderr: Vec::new(),
            grid,
            sigma: 0.01 * scale,
            atoms: 1,
            probes: 1,
            steps: 2,
        };
        Spectrum { density: Some(Box::new(density)), ..Spectrum::new(Matrix::Hessian, Vec::new()) }
    }

    #[test]
    fn all_panels_have_the_same_axes_and_lie_on_the_paper() {
        let spectra = [spectrum(1.0), spectrum(0.1)];
        let provenance = Provenance::now();
        fn subject<'a>(index: usize, provenance: &'a Provenance, result: &'a Spectrum) -> Subject<'a> {
            let density = result.density.as_deref().expect("a density");
            let curve = DensityCurve::of(density, provenance);
            Subject {
                name: "one".into(),
                measured: Measured { file: "", provenance, result },
                curve,
                look: look(index),
            }
        }
        let subjects: Vec<Subject<'_>> =
            spectra.iter().enumerate().map(|(index, result)| subject(index, &provenance, result)).collect();
        let drawing = draw(&subjects);
        let frames = &drawing.marks.frames;
        // Two rows of a column for everything and one for the bulk.
        assert_eq!(frames.len(), 4);
        for column in frames.chunks(2) {
            assert_eq!(
                (column[0].inside.left, column[0].inside.right),
                (column[1].inside.left, column[1].inside.right)
            );
            let grid = |frame: usize| format!("{:?}", column[frame].readers[1]);
            assert_eq!(grid(0), grid(1));
        }
        for shape in &drawing.shapes {
            let (Shape::Path { points, .. } | Shape::Polygon { points, .. }) = shape else { continue };
            let (width, height) = (f64::from(WIDTH), f64::from(drawing.height));
            assert!(points.iter().all(|(x, y)| (0.0..=width).contains(x) && (0.0..=height).contains(y)));
        }
    }
}
