//! The density of all eigenvalues of one matrix, on a logarithmic axis low enough for single outliers.

use basin_records::spectrum::Density;
use basin_records::{Provenance, Spectrum};

use super::eigenvalues::title_of;
use crate::chart::axes::{Axes, Axis};
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

/// One figure for each spectrum with a density, in the records' order.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let mut spectra = collection.spectra();
    spectra.retain(|measured| measured.result.density.is_some());
    let several = spectra.len() > 1;
    let figure = |(index, measured): (usize, &Measured<'_, Spectrum>)| {
        let stem = if several { format!("spectral-density-{}", index + 1) } else { "spectral-density".into() };
        let look = measured.provenance.batch_size.map_or_else(|| look(0), |size| collection.look(size));
        Some(figure(stem, measured, measured.result.density.as_ref()?, look))
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
    let caption = format!(
        "Density of all eigenvalues of the {} for {of}, smoothed by a Gaussian of standard deviation {}: {} random probes of \
         {} Lanczos steps{band}. The dotted line is the height of a single eigenvalue.{atoms}{}",
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
    let line = |words: &str, dash| Key { words: words.into(), color: look.color, line: Some(dash), marker: None };
    let mut keys = vec![line("density", Dash::Solid)];
    if density.atoms > 0 {
        let marker = Some((Marker::TriangleDown, true));
        keys.push(Key { words: "known eigenvalues".into(), color: MUTED, line: None, marker });
    }
    let region = legend::draw(&mut drawing, &keys);
    let highest = density.values.iter().copied().filter(|value| value.is_finite()).fold(0.0, f64::max);
    let one = height_of_one(density, provenance);
    let floor = one.map_or(1e-6 * highest, |one| one / BELOW_ONE).min(0.5 * highest);
    let name = match &provenance.checkpoint {
        Some(checkpoint) => format!("eigenvalue λ   (P = {})", number::count(checkpoint.parameters)),
        None => "eigenvalue λ".into(),
    };
    let x = Axis::new(name, Scale::linear(density.grid.iter().copied()));
    // Room above for the markers.
    let y = Axis::new("density", Scale::logarithmic([floor, 2.0 * highest]));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    let at = |t: f64, value: f64| axes.point(t, value.max(floor)).map(|point| axes.within(point));
    if let Some(one) = one {
        let ends = [density.grid.first(), density.grid.last()].map(|t| at(*t?, one));
        series::line(&mut drawing, &ends, MUTED, 3, Dash::Dotted, 1.0);
    }
    let edge = |sign: f64| -> Vec<Point> {
        let values = density.values.iter().zip(&density.stderr);
        density.grid.iter().zip(values).filter_map(|(&t, (value, stderr))| at(t, value + sign * stderr)).collect()
    };
    let (mut band, lower) = (edge(1.0), edge(-1.0));
    band.extend(lower.into_iter().rev());
    if band.len() > 2 {
        drawing.faint_polygon(band, look.color, BAND);
    }
    let points: Vec<_> = density.grid.iter().zip(&density.values).map(|(&t, &value)| at(t, value)).collect();
    series::line(&mut drawing, &points, look.color, 4, Dash::Solid, 1.0);
    for &atom in density.nodes.iter().take(density.atoms as usize) {
        if let Some(point) = one.and_then(|one| at(atom, 1.6 * one.max(value_near(density, atom)))) {
            series::marker(&mut drawing, point, Marker::TriangleDown, MUTED, true);
        }
    }
    drawing
}

/// The density at the grid's point nearest to an eigenvalue.
fn value_near(density: &Density, t: f64) -> f64 {
    let distance = |point: &(&f64, &f64)| (point.0 - t).abs();
    let nearest = density.grid.iter().zip(&density.values).min_by(|a, b| distance(a).total_cmp(&distance(b)));
    nearest.map_or(0.0, |(_, value)| *value)
}

fn numbers(density: &Density) -> Numbers {
    let mut numbers = Numbers::new(&["eigenvalue", "density", "stderr"]);
    for (index, (t, value)) in density.grid.iter().zip(&density.values).enumerate() {
        numbers.push(vec![t.to_string(), value.to_string(), cell(density.stderr.get(index))]);
    }
    numbers
}
