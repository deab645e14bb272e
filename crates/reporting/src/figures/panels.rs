//! Plots above one another that share their horizontal axis: means over seeds with their standard deviations.

use crate::chart::axes::{Axes, Axis, Region};
use crate::chart::drawing::{Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, Look};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::statistics::Moments;

/// Height of a drawing of two plots.
const HEIGHT: u32 = 920;

/// One plot.
pub(super) struct Panel {
    /// Of the vertical axis.
    pub(super) name: String,
    pub(super) scale: fn(Vec<f64>) -> Scale,
    pub(super) series: Vec<Series>,
}

/// Means by their place on the horizontal axis, ascending.
pub(super) struct Series {
    pub(super) look: Look,
    pub(super) style: Style,
    pub(super) points: Vec<(f64, Moments)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Markers on a line, both with the spread.
    Line,
    /// Markers with the spread.
    Markers,
    /// A dotted line alone, to compare others with.
    Level,
}

/// One key for a series.
pub(super) fn key(words: String, look: Look, style: Style) -> Key {
    let line = match style {
        Style::Line => Some(look.dash),
        Style::Markers => None,
        Style::Level => Some(Dash::Dotted),
    };
    let marker = (style != Style::Level).then_some((look.marker, true));
    Key { words, color: look.color, line, marker }
}

/// One plot, or two of which the lower one carries the horizontal labels of both.
pub(super) fn draw(keys: &[Key], x: &Axis, panels: &[Panel]) -> Drawing {
    let mut drawing = if panels.len() > 1 { Drawing::of_height(HEIGHT) } else { Drawing::default() };
    let region = legend::draw(&mut drawing, keys);
    let mut y: Vec<Axis> = panels.iter().map(|panel| Axis::new(&panel.name, (panel.scale)(panel.reach()))).collect();
    if let [upper, lower] = y.as_mut_slice() {
        Axis::align(upper, lower);
        let middle = region.top + 0.45 * (region.bottom - region.top);
        let bare = x.clone().without_labels();
        let axes = Axes::draw(&mut drawing, Region { bottom: middle, ..region }, &bare, upper, None);
        panels[0].draw(&mut drawing, &axes);
        let axes = Axes::draw(&mut drawing, Region { top: middle, ..region }, x, lower, None);
        panels[1].draw(&mut drawing, &axes);
    } else if let ([panel], [axis]) = (panels, y.as_slice()) {
        let axes = Axes::draw(&mut drawing, region, x, axis, None);
        panel.draw(&mut drawing, &axes);
    }
    drawing
}

/// A sentence on the means that are no number, where there are any.
pub(super) fn left_out(panels: &[Panel]) -> String {
    let points = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    match points.filter(|(_, moments)| !moments.mean.is_finite()).count() {
        0 => String::new(),
        1 => " 1 value is not finite and left out.".into(),
        lost => format!(" {lost} values are not finite and left out."),
    }
}

/// Logarithmic where all means are positive.
pub(super) fn logarithmic_if_positive(values: Vec<f64>) -> Scale {
    if values.iter().all(|&value| value > 0.0) { Scale::logarithmic(values) } else { Scale::linear(values) }
}

impl Panel {
    /// The means and the ends of their bars where these keep the sign.
    fn reach(&self) -> Vec<f64> {
        let ends = |moments: &Moments| {
            let std = moments.std.unwrap_or(0.0);
            [moments.mean, moments.mean - std, moments.mean + std]
                .map(|end| if end * moments.mean > 0.0 { end } else { moments.mean })
        };
        let points = self.series.iter().flat_map(|series| &series.points);
        points.flat_map(|(_, moments)| ends(moments)).filter(|value| value.is_finite()).collect()
    }

    fn draw(&self, drawing: &mut Drawing, axes: &Axes) {
        for Series { look, style, points } in &self.series {
            let places: Vec<Option<Point>> = points.iter().map(|(x, moments)| axes.point(*x, moments.mean)).collect();
            match style {
                Style::Line => series::line(drawing, &places, look.color, 4, look.dash, 1.0),
                Style::Level => series::line(drawing, &places, look.color, 4, Dash::Dotted, 1.0),
                Style::Markers => {}
            }
            if *style == Style::Level {
                continue;
            }
            for ((x, moments), place) in points.iter().zip(places) {
                spread(drawing, axes, *x, moments, *look);
                if let Some(place) = place {
                    series::marker(drawing, place, look.marker, look.color, true);
                }
            }
        }
    }
}

/// The standard deviation to each side, where it is known.
pub(super) fn spread(drawing: &mut Drawing, axes: &Axes, x: f64, moments: &Moments, look: Look) {
    let std = moments.std.filter(|&std| std > 0.0);
    if let Some([low, high]) = std.and_then(|std| axes.bar(x, moments.mean - std, moments.mean + std)) {
        series::error_bar(drawing, low, high, look.color);
    }
}
