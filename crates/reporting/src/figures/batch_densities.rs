//! Densities of the eigenvalues of single batches over that of all samples, one panel per batch size.

use basin_records::batch_hessian::Row;
use basin_records::spectrum::Density;
use basin_records::{BatchHessian, Provenance};

use super::density_curve::DensityCurve;
use super::eigenvalues::title_of;
use crate::batch_hessian::{range, subject};
use crate::chart::axes::{Axes, Axis, Region};
use crate::chart::drawing::{Align, Drawing, TEXT};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{AREA, Dash, INK, MUTED, Marker, look};
use crate::chart::scale::Scale;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, cell, numbered, settings};
use crate::number;

/// More panels would be too small on a phone.
const PANELS: usize = 6;
const PANEL_HEIGHT: f64 = 210.0;
/// Room for the legend above and the horizontal axis below.
const AROUND: f64 = 170.0;

/// The density of one batch beside its size.
struct Panel<'a> {
    row: &'a Row,
    curve: DensityCurve<'a>,
}

/// One figure for each record with the density of a batch.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let records = collection.batch_hessians();
    let stem = |index| numbered("batch-densities", index, records.len());
    records.iter().enumerate().filter_map(|(index, measured)| figure(stem(index), measured)).collect()
}

fn figure(stem: String, measured: &Measured<'_, BatchHessian>) -> Option<Figure> {
    let Measured { provenance, result, .. } = measured;
    let panels = panels(result, provenance);
    let first = panels.first()?;
    let whole = result.empirical.density.as_deref();
    let behind = whole.map_or("", |_| ", over that of all samples (grey)");
    let chosen = spread_over(panels.len());
    let of = if chosen.len() < panels.len() {
        format!("{} of {} batch sizes", chosen.len(), panels.len())
    } else {
        number::plural(panels.len(), "batch size")
    };
    let sigmas = range(panels.iter().map(|panel| panel.curve.density.sigma).chain(whole.map(|density| density.sigma)));
    let caption = format!(
        "Density of all eigenvalues of the {} of one batch at {of} (line){behind}, smoothed by a Gaussian of standard \
         deviation {}: {} of {} Lanczos steps. The dotted line is the height of a single eigenvalue; eigenvalues known \
         exactly are stems, marked for the batch.{}{}",
        title_of(result.matrix),
        sigmas.unwrap_or_default(),
        number::plural(first.curve.density.probes as usize, "random probe"),
        first.curve.density.steps,
        broadening(&panels, whole).unwrap_or_default(),
        settings([*provenance]),
    );
    Some(Figure {
        stem,
        title: format!(
            "Spectral densities of mini-batches of the {}, {}",
            title_of(result.matrix),
            subject(provenance)
        ),
        caption,
        drawing: draw(&chosen.into_iter().map(|index| &panels[index]).collect::<Vec<_>>(), result, provenance),
        numbers: numbers(result),
    })
}

/// Batch sizes with a density of their own: at N that of all samples is the same.
fn panels<'a>(result: &'a BatchHessian, provenance: &Provenance) -> Vec<Panel<'a>> {
    let rows = result.rows.iter().filter(|row| row.batch_size < result.samples);
    rows.filter_map(|row| Some(Panel { row, curve: DensityCurve::of(row.density.as_deref()?, provenance) })).collect()
}

/// Numbers from 0 up to the count, the ends among them, as many as there may be panels.
fn spread_over(count: usize) -> Vec<usize> {
    let shown = count.min(PANELS);
    (0..shown).map(|panel| panel * (count - 1) / (shown - 1).max(1)).collect()
}

/// How much wider the spectra of the smallest and the largest batch are than that of all samples.
fn broadening(panels: &[Panel<'_>], whole: Option<&Density>) -> Option<String> {
    let whole = root_mean_square(whole?);
    let told = |panel: &Panel<'_>| {
        let times = root_mean_square(panel.curve.density) / whole;
        format!("{} times that of all samples at batch size {}", number::significant(times), panel.row.batch_size)
    };
    let (first, last) = (panels.first()?, panels.last()?);
    let mut ends = vec![told(first)];
    if panels.len() > 1 {
        ends.push(told(last));
    }
    Some(format!(" The root mean square of a batch's eigenvalues is {}.", number::enumerate(&ends)))
}

/// √(‖A‖_F²/P), which quadrature has from the nodes themselves, without smoothing.
fn root_mean_square(density: &Density) -> f64 {
    density.nodes.iter().zip(&density.weights).map(|(node, weight)| weight * node.powi(2)).sum::<f64>().sqrt()
}

fn draw(panels: &[&Panel<'_>], result: &BatchHessian, provenance: &Provenance) -> Drawing {
    let mut drawing = Drawing::of_height((AROUND + PANEL_HEIGHT * panels.len() as f64) as u32);
    let whole = result.empirical.density.as_deref().map(|density| DensityCurve::of(density, provenance));
    let region = legend::draw(&mut drawing, &keys(panels, whole.is_some()));
    let curves: Vec<DensityCurve<'_>> = panels.iter().map(|panel| panel.curve).chain(whole).collect();
    let x = Scale::linear(curves.iter().flat_map(|curve| &curve.density.grid).copied());
    let name = match &provenance.checkpoint {
        Some(checkpoint) => format!("eigenvalue λ   (P = {})", number::count(checkpoint.parameters)),
        None => "eigenvalue λ".into(),
    };
    let x = Axis::new(name, x);
    let y = Axis::new("density", DensityCurve::scale(&curves));
    let bare = x.clone().without_labels();
    for (index, panel) in panels.iter().enumerate() {
        let top = region.top + PANEL_HEIGHT * index as f64;
        // The last plot carries the horizontal labels of all.
        let last = index + 1 == panels.len();
        let bottom = if last { region.bottom } else { top + PANEL_HEIGHT };
        let axes = Axes::draw(&mut drawing, Region { top, bottom, ..region }, if last { &x } else { &bare }, &y, None);
        draw_panel(&mut drawing, &axes, panel, whole);
    }
    drawing
}

fn keys(panels: &[&Panel<'_>], whole: bool) -> Vec<Key> {
    let mut keys = vec![Key { words: "one batch".into(), color: look(0).color, line: Some(Dash::Solid), marker: None }];
    if whole {
        keys.push(Key { words: "all samples".into(), color: AREA, line: None, marker: Some((Marker::Square, true)) });
    }
    if panels.iter().any(|panel| !panel.curve.atoms().is_empty()) {
        keys.push(Key { words: "known".into(), color: MUTED, line: None, marker: Some((Marker::TriangleDown, true)) });
    }
    keys
}

fn draw_panel(drawing: &mut Drawing, axes: &Axes, panel: &Panel<'_>, whole: Option<DensityCurve<'_>>) {
    if let Some(whole) = whole {
        whole.fill(drawing, axes, AREA);
        whole.draw_stems(drawing, axes, AREA);
    }
    let color = look(0).color;
    panel.curve.draw_height_of_one(drawing, axes);
    panel.curve.draw_marked_stems(drawing, axes, color);
    panel.curve.draw_band(drawing, axes, color);
    panel.curve.draw(drawing, axes, color, 3);
    let corner = (axes.inside.right - 0.5 * TEXT, axes.inside.top + 0.7 * TEXT);
    drawing.text(format!("B = {}", panel.row.batch_size), corner, Align::Right, INK);
}

fn numbers(result: &BatchHessian) -> Numbers {
    let mut numbers = Numbers::new(&["batch_size", "eigenvalue", "density", "stderr"]);
    let whole = result.empirical.density.as_deref().map(|density| (None, density));
    let batches = result.rows.iter().filter_map(|row| Some((Some(row.batch_size), row.density.as_deref()?)));
    for (size, density) in whole.into_iter().chain(batches) {
        for (index, (t, value)) in density.grid.iter().zip(&density.values).enumerate() {
            numbers.push(vec![cell(size), t.to_string(), value.to_string(), cell(density.stderr.get(index))]);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::spread_over;

    #[test]
    fn the_panels_reach_from_the_smallest_to_the_largest_batch() {
        assert_eq!(spread_over(1), [0]);
        assert_eq!(spread_over(6), [0, 1, 2, 3, 4, 5]);
        assert_eq!(spread_over(11), [0, 2, 4, 6, 8, 10]);
    }
}
