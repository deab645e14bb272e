//! Extremal eigenvalues of mini-batches against the batch size, measured and predicted (Granziol, Zohren and Roberts).

use basin_records::batch_hessian::{Row, Theory};
use basin_records::spectrum::{Eigenvalue, End};
use basin_records::{BatchHessian, Provenance};

use super::batch_size_axis::{axis, mark_crossover};
use super::eigenvalues::title_of;
use crate::batch_hessian::{Extreme, at_end, extremes, parting, subject, symbol};
use crate::chart::axes::{Axes, Axis, Edge, Region};
use crate::chart::drawing::{Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, Look, MUTED, Marker, look};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, cell, numbered, settings};
use crate::number;

/// Height of the figure where both ends were sought.
const TWO_PANELS: u32 = 1080;
/// Distance of a batch's dot from the mean over the batches, in pixels.
const BESIDE: f64 = 18.0;

/// One end of the spectra, with its sign turned so that what lies outside zero is positive.
struct Panel<'a> {
    end: End,
    rows: Vec<(&'a Row, Extreme<'a>)>,
    empirical: Option<f64>,
}

/// One figure for each record.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let records = collection.batch_hessians();
    let stem = |index| numbered("batch-eigenvalues", index, records.len());
    records.iter().enumerate().filter_map(|(index, measured)| figure(stem(index), measured)).collect()
}

fn figure(stem: String, measured: &Measured<'_, BatchHessian>) -> Option<Figure> {
    let Measured { provenance, result, .. } = measured;
    let panels: Vec<Panel<'_>> = [End::Top, End::Bottom].into_iter().filter_map(|end| Panel::of(result, end)).collect();
    (!panels.is_empty()).then(|| Figure {
        stem,
        title: format!(
            "Extremal eigenvalues of mini-batches of the {}, {}",
            title_of(result.matrix),
            subject(provenance)
        ),
        caption: caption(result, provenance, &panels),
        drawing: draw(result, &panels),
        numbers: numbers(&panels),
    })
}

/// What the eigensolver says of its answers.
fn convergence(result: &BatchHessian) -> String {
    let total = extremes(result).count();
    match extremes(result).filter(|eigenvalue| !eigenvalue.converged).count() {
        0 => format!("All {total} eigenvalues reached the tolerance."),
        missed => format!(
            "{missed} of {total} eigenvalues did not reach the tolerance; they, and means over them, are drawn hollow."
        ),
    }
}

fn caption(result: &BatchHessian, provenance: &Provenance, panels: &[Panel<'_>]) -> String {
    let names: Vec<String> = panels.iter().map(Panel::name).collect();
    let theory = match result.theory {
        Theory::MarchenkoPastur => "a Marchenko-Pastur law",
        _ => "a Wigner law",
    };
    let found: String =
        panels.iter().filter_map(|panel| parting(result, panel.end)).map(|told| format!(" {told}")).collect();
    let crossover = result.crossover.map_or_else(String::new, |size| {
        format!(" The noise doubles λ_max at the crossover B* = {}.", number::significant(size))
    });
    let shard = result.shard.as_ref().map_or_else(String::new, |shard| format!(" Part {shard} of all batches."));
    let lost: usize = panels.iter().map(Panel::lost).sum();
    let lost = match lost {
        0 => String::new(),
        1 => " 1 value without a place on a logarithmic axis is left out.".into(),
        lost => format!(" {lost} values without a place on a logarithmic axis are left out."),
    };
    format!(
        "{} of the {} of mini-batches against the batch size B: mean ± standard error over the batches drawn (markers), \
         each batch (dots beside), prediction under {theory} ± standard error (dashed) and with the noise along the top \
         eigenvector v (dash-dotted), all samples (dotted).{found}{crossover}{lost} {}{shard}{}",
        number::enumerate(&names),
        title_of(result.matrix),
        convergence(result),
        settings([provenance]),
    )
}

impl<'a> Panel<'a> {
    /// None where this end was not sought.
    fn of(result: &'a BatchHessian, end: End) -> Option<Self> {
        let rows: Vec<_> = result.rows.iter().filter_map(|row| Some((row, Extreme::of(row, end)?))).collect();
        let empirical = match end {
            End::Top => Some(result.empirical.lambda_max),
            End::Bottom => result.empirical.lambda_min,
        };
        (!rows.is_empty()).then_some(Self { end, rows, empirical })
    }

    fn name(&self) -> String {
        match self.end {
            End::Top => symbol(End::Top).into(),
            End::Bottom => format!("−{}", symbol(End::Bottom)),
        }
    }

    fn outward(&self, value: f64) -> f64 {
        match self.end {
            End::Top => value,
            End::Bottom => -value,
        }
    }

    /// The eigenvalues of each batch of a row at this end.
    fn draws(&self, row: &'a Row) -> impl Iterator<Item = (u64, &'a Eigenvalue)> {
        let end = self.end;
        row.values.iter().filter_map(move |draw| Some((draw.draw, at_end(draw, end)?)))
    }

    /// Those that have a dot of their own: a single draw is its own mean.
    fn dots(&self, row: &'a Row) -> impl Iterator<Item = &'a Eigenvalue> {
        self.draws(row).map(|(_, eigenvalue)| eigenvalue).filter(|_| row.values.len() > 1)
    }

    /// Everything that is drawn, signs as on the axis.
    fn values(&self) -> Vec<f64> {
        let of_row = |(row, extreme): &(&'a Row, Extreme<'a>)| {
            let dots = self.dots(row).map(|eigenvalue| eigenvalue.value);
            let means = [Some(extreme.measured.mean), extreme.predicted, extreme.predicted_along_top];
            dots.chain(means.into_iter().flatten()).collect::<Vec<_>>()
        };
        let values = self.rows.iter().flat_map(of_row).chain(self.empirical);
        values.map(|value| self.outward(value)).collect()
    }

    /// How many values have no place on a logarithmic axis.
    fn lost(&self) -> usize {
        self.values().iter().filter(|value| !value.is_finite() || **value <= 0.0).count()
    }
}

fn draw(result: &BatchHessian, panels: &[Panel<'_>]) -> Drawing {
    let mut drawing = if panels.len() > 1 { Drawing::of_height(TWO_PANELS) } else { Drawing::default() };
    let region = legend::draw(&mut drawing, &keys(panels));
    let x = axis(result);
    let mut y: Vec<Axis> = panels.iter().map(Panel::axis).collect();
    match (panels, y.as_mut_slice()) {
        ([upper, lower], [upper_axis, lower_axis]) => {
            // The lower plot carries the horizontal labels of both.
            let middle = region.top + 0.47 * (region.bottom - region.top);
            Axis::align(upper_axis, lower_axis);
            let bare = x.clone().without_labels();
            let axes = Axes::draw(&mut drawing, Region { bottom: middle, ..region }, &bare, upper_axis, None);
            upper.draw(&mut drawing, &axes, result);
            let axes = Axes::draw(&mut drawing, Region { top: middle, ..region }, &x, lower_axis, None);
            lower.draw(&mut drawing, &axes, result);
        }
        _ => {
            for (panel, axis) in panels.iter().zip(&y) {
                let axes = Axes::draw(&mut drawing, region, &x, axis, None);
                panel.draw(&mut drawing, &axes, result);
            }
        }
    }
    drawing
}

fn measured_look() -> Look {
    look(0)
}

fn predicted_look() -> Look {
    look(1)
}

fn along_top_look() -> Look {
    look(2)
}

fn keys(panels: &[Panel<'_>]) -> Vec<Key> {
    let line =
        |words: &str, look: Look| Key { words: words.into(), color: look.color, line: Some(look.dash), marker: None };
    let measured = |words: &str, filled| {
        let look = measured_look();
        Key { words: words.into(), color: look.color, line: None, marker: Some((look.marker, filled)) }
    };
    let extremes = || panels.iter().flat_map(|panel| &panel.rows);
    let dot =
        Key { words: "one batch".into(), color: measured_look().color, line: None, marker: Some((Marker::Dot, true)) };
    let mut keys = vec![measured("mean", true), dot, line("predicted", predicted_look())];
    if extremes().any(|(_, extreme)| extreme.predicted_along_top.is_some()) {
        keys.push(line("along v", along_top_look()));
    }
    keys.push(Key { words: "all samples".into(), color: MUTED, line: Some(Dash::Dotted), marker: None });
    if panels.iter().any(|panel| panel.rows.iter().any(|(row, _)| !panel.converged(row))) {
        keys.push(measured("not converged", false));
    }
    keys
}

impl Panel<'_> {
    fn axis(&self) -> Axis {
        let ends = self.rows.iter().flat_map(|(_, extreme)| {
            let predicted = extreme.predicted.zip(extreme.predicted_stderr);
            let measured = extreme.measured.stderr.map(|stderr| (extreme.measured.mean, stderr));
            [measured, predicted].into_iter().flatten().map(|(value, stderr)| self.outward(value) + stderr)
        });
        let scale = Scale::logarithmic(self.values().into_iter().chain(ends));
        Axis::new(self.name(), scale)
    }

    fn converged(&self, row: &Row) -> bool {
        row.values.iter().filter_map(|draw| at_end(draw, self.end)).all(|eigenvalue| eigenvalue.converged)
    }

    fn draw(&self, drawing: &mut Drawing, axes: &Axes, result: &BatchHessian) {
        mark_crossover(drawing, axes, result, Edge::Top);
        if let Some(level) = self.empirical.map(|value| self.outward(value)) {
            axes.dotted_level(drawing, level);
        }
        self.draw_predictions(drawing, axes);
        let look = measured_look();
        for (row, extreme) in &self.rows {
            let size = row.batch_size as f64;
            for eigenvalue in self.dots(row) {
                if let Some((x, y)) = axes.point(size, self.outward(eigenvalue.value)) {
                    series::dot(drawing, (x + BESIDE, y), look.color, eigenvalue.converged);
                }
            }
            let mean = self.outward(extreme.measured.mean);
            let Some(at) = axes.point(size, mean) else { continue };
            let bar = extreme.measured.stderr.and_then(|stderr| axes.bar(size, mean - stderr, mean + stderr));
            if let Some([low, high]) = bar.filter(series::outgrows_marker) {
                series::error_bar(drawing, low, high, look.color);
            }
            series::marker(drawing, at, look.marker, look.color, self.converged(row));
        }
    }

    fn draw_predictions(&self, drawing: &mut Drawing, axes: &Axes) {
        let edges = self.rows.iter().filter_map(|(row, extreme)| {
            let (value, stderr) = (self.outward(extreme.predicted?), extreme.predicted_stderr?);
            axes.bar(row.batch_size as f64, value - stderr, value + stderr)
        });
        series::band(drawing, &edges.collect::<Vec<_>>(), predicted_look().color);
        let mut line = |value: fn(&Extreme<'_>) -> Option<f64>, look: Look| {
            let place = |(row, extreme): &(&Row, Extreme<'_>)| -> Option<Point> {
                axes.point(row.batch_size as f64, self.outward(value(extreme)?))
            };
            let points: Vec<Option<Point>> = self.rows.iter().map(place).collect();
            series::line(drawing, &points, look.color, 5, look.dash, 1.0);
        };
        line(|extreme| extreme.predicted, predicted_look());
        line(|extreme| extreme.predicted_along_top, along_top_look());
    }
}

fn numbers(panels: &[Panel<'_>]) -> Numbers {
    let mut numbers = Numbers::new(&["end", "batch_size", "quantity", "draw", "value", "stderr", "converged"]);
    for panel in panels {
        let mut push = |size: Option<u64>,
                        quantity: &str,
                        draw: Option<u64>,
                        value: f64,
                        stderr: Option<f64>,
                        converged: Option<bool>| {
            numbers.push(vec![
                symbol(panel.end).into(),
                cell(size),
                quantity.into(),
                cell(draw),
                value.to_string(),
                cell(stderr),
                cell(converged),
            ]);
        };
        for (row, extreme) in &panel.rows {
            let size = Some(row.batch_size);
            let Extreme { measured, predicted, predicted_stderr, predicted_along_top, .. } = extreme;
            for (draw, eigenvalue) in panel.draws(row) {
                push(size, "batch", Some(draw), eigenvalue.value, None, Some(eigenvalue.converged));
            }
            push(size, "mean", None, measured.mean, measured.stderr, Some(panel.converged(row)));
            if let Some(value) = *predicted {
                push(size, "predicted", None, value, *predicted_stderr, None);
            }
            if let Some(value) = *predicted_along_top {
                push(size, "predicted_along_top", None, value, None, None);
            }
        }
        if let Some(value) = panel.empirical {
            push(None, "all_samples", None, value, None, None);
        }
    }
    numbers
}
