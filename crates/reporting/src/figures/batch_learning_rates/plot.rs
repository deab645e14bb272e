//! Limits on the learning rate and the runs that check them, as one plot over the batch size.

use basin_records::BatchHessian;
use basin_records::batch_hessian::{Descent, Divergence};

use super::super::batch_size_axis::{axis, mark_crossover};
use crate::batch_hessian::brackets;
use crate::chart::axes::{Axes, Axis, Edge};
use crate::chart::drawing::{Align, Drawing, TEXT};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, Look, MUTED, Marker};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::figure::{Numbers, cell};

/// Distance of the bar of runs from its batch size, in pixels.
const BESIDE: f64 = 20.0;
/// Length of a bar with an open end, as a factor of the rate.
const OPEN: f64 = 1.7;
/// How far an error bar may stretch the axis beyond its value.
const STRETCH: f64 = 3.0;
/// The guide runs this far below the data, for it says something of slopes alone.
const BELOW: f64 = 0.5;

pub(super) struct Plot {
    pub(super) limits: Vec<Limit>,
    pub(super) runs: Vec<Runs>,
    pub(super) guide: Option<Guide>,
}

/// A limit on the learning rate by batch size.
pub(super) struct Limit {
    pub(super) words: String,
    pub(super) quantity: &'static str,
    pub(super) look: Look,
    pub(super) style: Style,
    pub(super) points: Vec<(u64, Point)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Of theory alone, with a band of standard errors.
    Line,
    /// Measured, with error bars.
    Markers,
    /// Of theory with measured noise in it, with error bars.
    LineAndMarkers,
}

pub(super) struct Point {
    pub(super) value: f64,
    /// One standard error below and above.
    pub(super) error: Option<[f64; 2]>,
    /// Whether every eigenvalue behind it reached the tolerance.
    pub(super) converged: bool,
}

impl Point {
    pub(super) fn exact(value: f64) -> Self {
        Self { value, error: None, converged: true }
    }

    /// A rate in inverse proportion to an eigenvalue, with what the eigenvalue's standard error makes of it.
    pub(super) fn inverse(rate: f64, eigenvalue: f64, stderr: Option<f64>) -> Self {
        let with = |eigenvalue_there: f64| rate * eigenvalue / eigenvalue_there;
        let error = stderr.map(|stderr| {
            let least = eigenvalue - stderr;
            [with(eigenvalue + stderr), if least > 0.0 { with(least) } else { f64::INFINITY }]
        });
        Self { error, ..Self::exact(rate) }
    }
}

/// Where short runs of an optimizer diverged, by batch size.
pub(super) struct Runs {
    optimizer: Descent,
    look: Look,
    found: Vec<(u64, Divergence)>,
}

impl Runs {
    pub(super) fn of(result: &BatchHessian, optimizer: Descent, look: Look) -> Self {
        let found = brackets(result, optimizer).map(|(row, found)| (row.batch_size, found.clone()));
        let told = found.filter(|(_, found)| ends(found).is_some());
        Self { optimizer, look, found: told.collect() }
    }
}

/// A slope to hold the data against, a little below them up to the crossover.
pub(super) struct Guide {
    pub(super) words: &'static str,
    power: f64,
    from: f64,
    to: f64,
    /// The rate at its upper end.
    rate: f64,
}

impl Guide {
    /// None where the batch sizes below the crossover are too few to show a slope.
    fn below(plot: &Plot, power: f64, words: &'static str, result: &BatchHessian) -> Option<Self> {
        let from = result.rows.first()?.batch_size as f64;
        let last = result.rows.last()?.batch_size as f64;
        let to = result.crossover.map_or(last, |size| size.min(last));
        let limits = plot.limits.iter().map(|limit| {
            let rates = limit.points.iter().map(|(size, point)| (*size, point.value));
            rates.collect::<Vec<_>>()
        });
        let runs = plot.runs.iter().map(|runs| {
            let rates = runs.found.iter().filter_map(|(size, found)| Some((*size, ends(found)?[0])));
            rates.collect::<Vec<_>>()
        });
        let at_its_end = |rates: Vec<(u64, f64)>| {
            let reached = rates.into_iter().filter(|(size, rate)| *size as f64 <= to && *rate > 0.0);
            reached.map(|(_, rate)| rate).next_back()
        };
        let rate = BELOW * limits.chain(runs).filter_map(at_its_end).reduce(f64::min)?;
        (to >= 2.0 * from).then_some(Self { words, power, from, to, rate })
    }

    fn draw(&self, drawing: &mut Drawing, axes: &Axes) {
        let at = |size: f64| axes.point(size, self.rate * (size / self.to).powf(self.power));
        let (Some(low), Some(high)) = (at(self.from), at(self.to)) else { return };
        // It may leave the plot at its foot.
        let share = ((axes.inside.bottom - high.1) / (low.1 - high.1)).clamp(0.0, 1.0);
        let foot = (high.0 + share * (low.0 - high.0), high.1 + share * (low.1 - high.1));
        series::line(drawing, &[Some(foot), Some(high)], MUTED, 3, Dash::Dotted, 1.0);
        let middle = ((foot.0 + high.0) / 2.0, (foot.1 + high.1) / 2.0);
        drawing.text(self.words, (middle.0 + 0.5 * TEXT, middle.1 + 0.7 * TEXT), Align::Left, MUTED);
    }
}

impl Plot {
    /// None where there is no limit to draw.
    pub(super) fn new(limits: Vec<Limit>, runs: impl IntoIterator<Item = Runs>) -> Option<Self> {
        let limits: Vec<Limit> = limits.into_iter().filter(|limit| !limit.points.is_empty()).collect();
        let runs = runs.into_iter().filter(|runs| !runs.found.is_empty()).collect();
        (!limits.is_empty()).then_some(Self { limits, runs, guide: None })
    }

    /// With a line that grows with this power of the batch size.
    pub(super) fn with_guide(mut self, power: f64, words: &'static str, result: &BatchHessian) -> Self {
        self.guide = Guide::below(&self, power, words, result);
        self
    }

    pub(super) fn has_hollow_markers(&self) -> bool {
        self.limits.iter().flat_map(|limit| &limit.points).any(|(_, point)| !point.converged)
    }

    pub(super) fn draw(&self, result: &BatchHessian) -> Drawing {
        let mut drawing = Drawing::default();
        let region = legend::draw(&mut drawing, &self.keys());
        let y = Axis::new("learning rate η", Scale::logarithmic(self.reach()));
        let axes = Axes::draw(&mut drawing, region, &axis(result), &y, None);
        mark_crossover(&mut drawing, &axes, result, Edge::Bottom);
        if let Some(guide) = &self.guide {
            guide.draw(&mut drawing, &axes);
        }
        for limit in self.limits.iter().filter(|limit| limit.style == Style::Line) {
            limit.draw_band(&mut drawing, &axes);
        }
        for runs in &self.runs {
            runs.draw(&mut drawing, &axes);
        }
        for limit in &self.limits {
            limit.draw(&mut drawing, &axes);
        }
        drawing
    }

    fn keys(&self) -> Vec<Key> {
        let of_limit = |limit: &Limit| Key {
            words: limit.words.clone(),
            color: limit.look.color,
            line: limit.style.line(limit.look),
            marker: limit.style.marker(limit.look).map(|marker| (marker, true)),
        };
        let runs = || Key { words: "runs diverge".into(), color: MUTED, line: None, marker: Some((Marker::Bar, true)) };
        self.limits.iter().map(of_limit).chain((!self.runs.is_empty()).then(runs)).collect()
    }

    /// What has to find room on the axis of learning rates.
    fn reach(&self) -> Vec<f64> {
        let limits = self.limits.iter().flat_map(|limit| &limit.points).flat_map(|(_, Point { value, error, .. })| {
            let [low, high] = error.unwrap_or([*value; 2]);
            [*value, low.max(value / STRETCH), high.min(value * STRETCH)]
        });
        let runs = self.runs.iter().flat_map(|runs| &runs.found).filter_map(|(_, found)| ends(found)).flatten();
        limits.chain(runs).chain(self.guide.as_ref().map(|guide| guide.rate)).collect()
    }

    pub(super) fn numbers(&self) -> Numbers {
        let mut numbers = Numbers::new(&["batch_size", "quantity", "value", "low", "high"]);
        for limit in &self.limits {
            for (size, Point { value, error, .. }) in &limit.points {
                numbers.push(vec![
                    size.to_string(),
                    limit.quantity.into(),
                    value.to_string(),
                    cell(error.map(|[low, _]| low)),
                    cell(error.map(|[_, high]| high)),
                ]);
            }
        }
        for runs in &self.runs {
            for (size, Divergence { stable, diverging, .. }) in &runs.found {
                let quantity = format!("runs_{}", runs.optimizer).to_lowercase();
                numbers.push(vec![size.to_string(), quantity, String::new(), cell(*stable), cell(*diverging)]);
            }
        }
        numbers
    }
}

impl Style {
    fn line(self, look: Look) -> Option<Dash> {
        (self != Self::Markers).then_some(look.dash)
    }

    fn marker(self, look: Look) -> Option<Marker> {
        (self != Self::Line).then_some(look.marker)
    }
}

impl Limit {
    fn draw_band(&self, drawing: &mut Drawing, axes: &Axes) {
        let bar = |(size, point): &(u64, Point)| point.error.and_then(|[low, high]| axes.bar(*size as f64, low, high));
        series::band(drawing, &self.points.iter().filter_map(bar).collect::<Vec<_>>(), self.look.color);
    }

    fn draw(&self, drawing: &mut Drawing, axes: &Axes) {
        let places = self.points.iter().map(|(size, point)| axes.point(*size as f64, point.value));
        let places: Vec<_> = places.collect();
        if let Some(dash) = self.style.line(self.look) {
            series::line(drawing, &places, self.look.color, 5, dash, 1.0);
        }
        let Some(marker) = self.style.marker(self.look) else { return };
        for ((size, point), place) in self.points.iter().zip(places) {
            let Some(place) = place else { continue };
            let bar = point.error.and_then(|[low, high]| axes.bar(*size as f64, low, high));
            if let Some([low, high]) = bar.filter(series::outgrows_marker) {
                series::error_bar(drawing, low, high, self.look.color);
            }
            series::marker(drawing, place, marker, self.look.color, point.converged);
        }
    }
}

impl Runs {
    fn draw(&self, drawing: &mut Drawing, axes: &Axes) {
        // Bars of two optimizers stand to both sides of the batch size.
        let beside = if self.optimizer == Descent::Momentum { -BESIDE } else { BESIDE };
        for (size, found) in &self.found {
            let Some([low, high]) = ends(found).and_then(|[low, high]| axes.bar(*size as f64, low, high)) else {
                continue;
            };
            let bar = [low, high].map(|(x, y)| (x + beside, y));
            series::interval(drawing, bar, [found.stable.is_none(), found.diverging.is_none()], self.look.color);
        }
    }
}

/// The ends of the bar of runs, those that are open as far off as an arrow needs.
fn ends(found: &Divergence) -> Option<[f64; 2]> {
    match (found.stable, found.diverging) {
        (Some(stable), Some(diverging)) => Some([stable, diverging]),
        (Some(stable), None) => Some([stable, OPEN * stable]),
        (None, Some(diverging)) => Some([diverging / OPEN, diverging]),
        (None, None) => None,
    }
}
