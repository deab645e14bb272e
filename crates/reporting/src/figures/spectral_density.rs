//! The density of all eigenvalues of one matrix, on a logarithmic axis low enough for single outliers.

use basin_records::spectrum::Density;
use basin_records::{Provenance, Spectrum};

use super::density_curve::DensityCurve;
use super::eigenvalues::title_of;
use super::spectrum::{look_of, subject};
use crate::chart::axes::{Axes, Axis, Region};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, INK, Look, Marker};
use crate::chart::scale::Scale;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, cell, numbered, settings};
use crate::number;

/// The share of the whole range above which one panel shows everything.
const MOST_OF: f64 = 0.5;
/// On the head of an outlier's stem.
pub(super) const OUTLIER: Marker = Marker::TriangleDown;

/// One figure for each spectrum with a density, in the records' order.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let mut spectra = collection.spectra();
    spectra.retain(|measured| measured.result.density.is_some());
    let figure = |(index, measured): (usize, &Measured<'_, Spectrum>)| {
        let stem = numbered("spectral-density", index, spectra.len());
        let look = look_of(collection, measured.provenance);
        Some(figure(
            stem,
            measured,
            measured.result.density.as_deref()?,
            subject(collection, measured.provenance),
            look,
        ))
    };
    spectra.iter().enumerate().filter_map(figure).collect()
}

fn figure(stem: String, measured: &Measured<'_, Spectrum>, density: &Density, of: String, look: Look) -> Figure {
    let Measured { file, provenance, result } = measured;
    let band = if density.stderr.is_empty() { "" } else { "; the band is one standard error to each side" };
    let curve = DensityCurve::of(density, provenance);
    let atoms = match density.atoms {
        0 => String::new(),
        atoms => format!(
            " {} known exactly and stand for a share 1/P each; {} of them beyond the bulk (marked).",
            if atoms == 1 { "1 eigenvalue (stem) is".into() } else { format!("{atoms} eigenvalues (stems) are") },
            curve.outliers().len(),
        ),
    };
    let panels = match panels(&curve) {
        Panels::One => "",
        Panels::BulkApart => " Above all of it, below the part that is not known exactly.",
    };
    let caption = format!(
        "Density of all eigenvalues of the {} for {of}, smoothed by a Gaussian of standard deviation {}: {} random probes of \
         {} Lanczos steps{band}. The dotted line is the height of a single eigenvalue.{atoms}{panels}{}",
        title_of(result.matrix),
        number::significant(density.sigma),
        density.probes,
        density.steps,
        settings([*provenance]),
    );
    Figure {
        stem,
        title: format!("Spectral density of the {}, {of}", title_of(result.matrix)),
        caption,
        drawing: draw(density, provenance, look),
        numbers: numbers(density).of_records([*file]),
    }
}

fn draw(density: &Density, provenance: &Provenance, look: Look) -> Drawing {
    let mut drawing = Drawing::default();
    let mut keys = vec![Key { words: "density".into(), color: look.color, line: Some(Dash::Solid), marker: None }];
    let curve = DensityCurve::of(density, provenance);
    if curve.outliers().len() < curve.atoms().len() {
        keys.push(Key {
            words: "known in the bulk".into(),
            color: look.color,
            line: None,
            marker: Some((Marker::Bar, true)),
        });
    }
    if !curve.outliers().is_empty() {
        keys.push(outlier_key());
    }
    let region = legend::draw(&mut drawing, &keys);
    let name = match &provenance.checkpoint {
        Some(checkpoint) => format!("eigenvalue λ   (P = {})", number::count(checkpoint.parameters)),
        None => "eigenvalue λ".into(),
    };
    let mut panel = |region: Region, name: String, shown: &[f64]| {
        let (Some(&first), Some(&last)) = (shown.first(), shown.last()) else { return };
        let x = Axis::new(name, Scale::linear([first, last]));
        let y = Axis::new("density", DensityCurve::scale(&[curve]));
        let axes = Axes::draw(&mut drawing, region, &x, &y, None);
        curve.draw_height_of_one(&mut drawing, &axes);
        curve.draw_stems(&mut drawing, &axes, look.color);
        curve.draw_band(&mut drawing, &axes, look.color);
        curve.draw(&mut drawing, &axes, look.color, 2);
        curve.draw_outliers(&mut drawing, &axes, OUTLIER, INK);
    };
    match panels(&curve) {
        Panels::One => panel(region, name, &density.grid),
        Panels::BulkApart => {
            let middle = (region.top + region.bottom) / 2.0;
            panel(Region { bottom: middle, ..region }, "all λ".into(), &density.grid);
            panel(Region { top: middle, ..region }, name, &curve.bulk());
        }
    }
    drawing
}

/// The key of eigenvalues beyond the bulk.
pub(super) fn outlier_key() -> Key {
    Key { words: "outlier: converged, beyond the bulk".into(), color: INK, line: None, marker: Some((OUTLIER, true)) }
}

fn span(sorted: &[f64]) -> f64 {
    sorted.last().zip(sorted.first()).map_or(0.0, |(last, first)| last - first)
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Panels {
    One,
    /// Outliers lie far off, and the others get a panel of their own.
    BulkApart,
}

pub(super) fn panels(curve: &DensityCurve<'_>) -> Panels {
    let bulk = curve.bulk();
    match bulk.is_empty() || span(&bulk) > MOST_OF * span(&curve.density.grid) {
        true => Panels::One,
        false => Panels::BulkApart,
    }
}

fn numbers(density: &Density) -> Numbers {
    let mut numbers = Numbers::new(&["eigenvalue", "density", "stderr"]);
    for (index, (t, value)) in density.grid.iter().zip(&density.values).enumerate() {
        numbers.push(vec![t.to_string(), value.to_string(), cell(density.stderr.get(index))]);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::drawing::{Shape, WIDTH};
    use crate::chart::palette::look;

    fn density(outlier: f64) -> Density {
        let grid: Vec<f64> = (-10..=20).map(|i| 0.01 * f64::from(i)).chain([outlier]).collect();
        Density {
            nodes: vec![outlier, 0.0, 0.1],
            weights: vec![0.01, 0.495, 0.495],
            values: grid.iter().map(|t| (1.0 - 5.0 * t.abs()).max(0.0)).collect(),
            stderr: vec![0.1; grid.len()],
            grid,
            sigma: 0.02,
            atoms: 1,
            probes: 2,
            steps: 2,
        }
    }

    #[test]
    fn the_bulk_gets_a_panel_of_its_own_where_outliers_lie_far_off() {
        let provenance = Provenance::now();
        for (outlier, panels, count) in [(30.0, Panels::BulkApart, 2), (0.25, Panels::One, 1)] {
            let density = density(outlier);
            assert_eq!(super::panels(&DensityCurve::of(&density, &provenance)), panels);
            let drawing = draw(&density, &provenance, look(0));
            let axes = drawing.shapes.iter().filter(|shape| matches!(shape, Shape::Text { upright: false, .. }));
            assert_eq!(axes.count(), count);
        }
    }

    #[test]
    fn eigenvalues_beyond_the_bulk_are_marked_with_their_values_and_those_within_are_not() {
        let provenance = Provenance::now();
        for (outlier, expected) in [(30.0, vec![30.0]), (-2.0, vec![-2.0]), (0.05, Vec::new())] {
            let density = density(outlier);
            assert_eq!(DensityCurve::of(&density, &provenance).outliers(), expected);
            let drawing = draw(&density, &provenance, look(0));
            let words = number::significant(outlier);
            let told = |words: &str| {
                drawing.shapes.iter().any(|shape| matches!(shape, Shape::Text { text, .. } if text == words))
            };
            // At the left edge of the plot there is no room for it.
            assert_eq!(told(&words), outlier == 30.0, "{words}");
            assert_eq!(told("outlier: converged, beyond the bulk"), !expected.is_empty());
            assert_eq!(told("known in the bulk"), expected.is_empty());
        }
    }

    #[test]
    fn everything_lies_on_the_paper() {
        let without_spread = Density { stderr: Vec::new(), atoms: 0, ..density(3.0) };
        for density in [density(30.0), density(0.25), without_spread] {
            let drawing = draw(&density, &Provenance::now(), look(0));
            let (width, height) = (f64::from(WIDTH), f64::from(drawing.height));
            for shape in drawing.shapes {
                let (Shape::Path { points, .. } | Shape::Polygon { points, .. }) = shape else { continue };
                assert!(points.iter().all(|(x, y)| (0.0..=width).contains(x) && (0.0..=height).contains(y)));
            }
        }
    }
}
