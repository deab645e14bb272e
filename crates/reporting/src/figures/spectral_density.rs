//! The density of all eigenvalues of one matrix, on a logarithmic axis low enough for single outliers.

use basin_records::spectrum::Density;
use basin_records::{Provenance, Spectrum};

use super::eigenvalues::title_of;
use crate::chart::axes::{Axes, Axis, Region};
use crate::chart::drawing::{Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, Look, MUTED, Marker, look};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, cell, settings};
use crate::number;

/// How far below the height of a single eigenvalue the axis reaches.
const BELOW_ONE: f64 = 4.0;
/// Opacity of the band of standard errors.
const BAND: f64 = 0.3;
/// Kernel widths beyond a node at which its Gaussian is nothing.
const REACH: f64 = 6.0;
/// The share of the whole range above which one panel shows everything.
const MOST_OF: f64 = 0.5;

/// One figure for each spectrum with a density, in the records' order.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let mut spectra = collection.spectra();
    spectra.retain(|measured| measured.result.density.is_some());
    let several = spectra.len() > 1;
    let figure = |(index, measured): (usize, &Measured<'_, Spectrum>)| {
        let stem = if several { format!("spectral-density-{}", index + 1) } else { "spectral-density".into() };
        let look = measured.provenance.batch_size.map_or_else(|| look(0), |size| collection.look(size));
        Some(figure(stem, measured, measured.result.density.as_deref()?, look))
    };
    spectra.iter().enumerate().filter_map(figure).collect()
}

fn figure(stem: String, measured: &Measured<'_, Spectrum>, density: &Density, look: Look) -> Figure {
    let Measured { provenance, result } = measured;
    let of = match (provenance.batch_size, &provenance.checkpoint) {
        (Some(size), _) => format!("batch size {size}"),
        (None, Some(checkpoint)) => checkpoint.path.clone(),
        (None, None) => "one checkpoint".into(),
    };
    let band = if density.stderr.is_empty() { "" } else { "; the band is one standard error to each side" };
    let atoms = match density.atoms {
        0 => String::new(),
        atoms => format!(" {atoms} eigenvalues (markers) are known exactly and stand for a share 1/P each."),
    };
    let panels = match Curve::of(density, provenance, look).panels() {
        Panels::One => "",
        Panels::BulkApart => " Above all of it, below the part that is not known exactly.",
    };
    let caption = format!(
        "Density of all eigenvalues of the {} for {of}, smoothed by a Gaussian of standard deviation {}: {} random probes of \
         {} Lanczos steps{band}. The dotted line is the height of a single eigenvalue.{atoms}{panels}{}",
        title_of(result.matrix),
        number::step(density.sigma),
        density.probes,
        density.steps,
        settings([*provenance]),
    );
    Figure {
        stem,
        title: format!("Spectral density of the {}, {of}", title_of(result.matrix)),
        caption,
        drawing: draw(density, provenance, look),
        numbers: numbers(density),
    }
}

/// The peak of one eigenvalue's Gaussian: 1/(P σ √2π).
fn height_of_one(density: &Density, provenance: &Provenance) -> Option<f64> {
    let weight = match density.atoms {
        0 => 1.0 / provenance.checkpoint.as_ref()?.parameters as f64,
        _ => *density.weights.first()?,
    };
    Some(weight / (density.sigma * std::f64::consts::TAU.sqrt())).filter(|height| height.is_finite() && *height > 0.0)
}

fn draw(density: &Density, provenance: &Provenance, look: Look) -> Drawing {
    let mut drawing = Drawing::default();
    let mut keys = vec![Key { words: "density".into(), color: look.color, line: Some(Dash::Solid), marker: None }];
    if density.atoms > 0 {
        let marker = Some((Marker::TriangleDown, true));
        keys.push(Key { words: "known eigenvalues".into(), color: MUTED, line: None, marker });
    }
    let region = legend::draw(&mut drawing, &keys);
    let name = match &provenance.checkpoint {
        Some(checkpoint) => format!("eigenvalue λ   (P = {})", number::count(checkpoint.parameters)),
        None => "eigenvalue λ".into(),
    };
    let curve = Curve::of(density, provenance, look);
    match curve.panels() {
        Panels::One => curve.panel(&mut drawing, region, name, &density.grid),
        Panels::BulkApart => {
            let middle = (region.top + region.bottom) / 2.0;
            curve.panel(&mut drawing, Region { bottom: middle, ..region }, "all λ".into(), &density.grid);
            curve.panel(&mut drawing, Region { top: middle, ..region }, name, &curve.bulk());
        }
    }
    drawing
}

fn span(sorted: &[f64]) -> f64 {
    sorted.last().zip(sorted.first()).map_or(0.0, |(last, first)| last - first)
}

#[derive(Debug, PartialEq, Eq)]
enum Panels {
    One,
    /// Outliers lie far off, and the others get a panel of their own.
    BulkApart,
}

/// A density with what its panels share.
struct Curve<'a> {
    density: &'a Density,
    /// The height of a single eigenvalue.
    one: Option<f64>,
    look: Look,
}

impl<'a> Curve<'a> {
    fn of(density: &'a Density, provenance: &Provenance, look: Look) -> Self {
        Self { density, one: height_of_one(density, provenance), look }
    }

    fn panels(&self) -> Panels {
        let bulk = self.bulk();
        match bulk.is_empty() || span(&bulk) > MOST_OF * span(&self.density.grid) {
            true => Panels::One,
            false => Panels::BulkApart,
        }
    }

    fn atoms(&self) -> &[f64] {
        &self.density.nodes[..(self.density.atoms as usize).min(self.density.nodes.len())]
    }

    /// The grid's points over what is not known exactly.
    fn bulk(&self) -> Vec<f64> {
        let drawn = &self.density.nodes[self.atoms().len()..];
        let ends = drawn.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &x| (low.min(x), high.max(x)));
        let reach = REACH * self.density.sigma;
        self.density.grid.iter().copied().filter(|t| (ends.0 - reach..=ends.1 + reach).contains(t)).collect()
    }

    fn panel(&self, drawing: &mut Drawing, region: Region, name: String, shown: &[f64]) {
        let (Some(&first), Some(&last)) = (shown.first(), shown.last()) else { return };
        let Density { grid, values, stderr, .. } = self.density;
        let highest = values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
        let floor = self.one.map_or(1e-6 * highest, |one| one / BELOW_ONE).min(0.5 * highest);
        let x = Axis::new(name, Scale::linear([first, last]));
        // Room above for the markers.
        let y = Axis::new("density", Scale::logarithmic([floor, 3.0 * highest]));
        let axes = Axes::draw(drawing, region, &x, &y, None);
        let at = |t: f64, value: f64| axes.point(t, value.max(floor)).map(|point| axes.within(point));
        let inside = |t: f64| (first..=last).contains(&t);
        if let Some(one) = self.one {
            series::line(drawing, &[at(first, one), at(last, one)], MUTED, 3, Dash::Dotted, 1.0);
        }
        for &atom in self.atoms().iter().filter(|&&atom| inside(atom)) {
            let Some(one) = self.one else { continue };
            if let (Some(foot), Some(head)) = (at(atom, floor), at(atom, one)) {
                drawing.path(vec![foot, head], self.look.color, 4);
                series::marker(drawing, head, Marker::TriangleDown, MUTED, true);
            }
        }
        // Peaks of outliers are thinner than a line, and drawn as stems above.
        let bulk = self.bulk();
        let (low, high) = (bulk.first().copied().unwrap_or(first), bulk.last().copied().unwrap_or(last));
        let indices: Vec<usize> = (0..grid.len()).filter(|&i| (low..=high).contains(&grid[i])).collect();
        let edge = |sign: f64| -> Vec<Point> {
            let error = |i: usize| stderr.get(i).copied().unwrap_or(0.0);
            indices.iter().filter_map(|&i| at(grid[i], values[i] + sign * error(i))).collect()
        };
        let (mut band, lower) = (edge(1.0), edge(-1.0));
        band.extend(lower.into_iter().rev());
        if band.len() > 2 && !stderr.is_empty() {
            drawing.faint_polygon(band, self.look.color, BAND);
        }
        let points: Vec<_> = indices.iter().map(|&i| at(grid[i], values[i])).collect();
        series::line(drawing, &points, self.look.color, 2, Dash::Solid, 1.0);
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
    use crate::chart::drawing::{SIZE, Shape};

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
            assert_eq!(Curve::of(&density, &provenance, look(0)).panels(), panels);
            let drawing = draw(&density, &provenance, look(0));
            let axes = drawing.shapes.iter().filter(|shape| matches!(shape, Shape::Text { upright: false, .. }));
            assert_eq!(axes.count(), count);
        }
    }

    #[test]
    fn everything_lies_on_the_paper() {
        let (width, height) = (f64::from(SIZE.0), f64::from(SIZE.1));
        let without_spread = Density { stderr: Vec::new(), atoms: 0, ..density(3.0) };
        for density in [density(30.0), density(0.25), without_spread] {
            for shape in draw(&density, &Provenance::now(), look(0)).shapes {
                let (Shape::Path { points, .. } | Shape::Polygon { points, .. }) = shape else { continue };
                assert!(points.iter().all(|(x, y)| (0.0..=width).contains(x) && (0.0..=height).contains(y)));
            }
        }
    }
}
