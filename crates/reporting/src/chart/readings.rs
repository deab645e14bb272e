//! What a drawing says where it is pointed at: the values at markers and along lines, and those of a map.
//!
//! Charts note their frames, keys, markers and lines while they are drawn; axes turn positions back into values.

use std::collections::BTreeSet;

use serde::Serialize;

use super::axes::{Axis, Region};
use super::drawing::{Color, Point};
use super::legend::Key;
use super::palette::{Dash, INK, MUTED, Marker};

/// Nearer points of a line cannot be pointed at apart, in pixels.
const APART: f64 = 4.0;
/// As near is a point to the edge of a plot that it may have been moved there.
const HELD: f64 = 1e-6;

/// Everything in a drawing that a value can be read at.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Marks {
    pub(crate) frames: Vec<Frame>,
    pub(crate) keys: Vec<Key>,
    /// The vertical axis that spots added from here on belong to.
    pub(crate) side: Side,
    pub(crate) field: Option<Field>,
    spots: Vec<Spot>,
    bars: Vec<Bar>,
}

/// A plot with its horizontal, left and right axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frame {
    pub(crate) inside: Region,
    pub(crate) readers: [Option<Axis>; 3],
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Side {
    #[default]
    Left,
    Right,
}

/// A marker or a point of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spot {
    at: Point,
    color: Color,
    marker: Option<(Marker, bool)>,
    dash: Option<Dash>,
    side: Side,
}

/// The ends of an error bar.
pub(crate) type Bar = [Point; 2];

/// A function over a plane, as the page reads it off and turns it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Field {
    /// Names of the horizontal axis, the vertical one and the value.
    pub(crate) names: [String; 3],
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    /// One row per y; none where there is no number.
    pub(crate) values: Vec<Vec<Option<f64>>>,
    /// The ends of the horizontal and the vertical axis, which may reach beyond the grid.
    pub(crate) over: [[f64; 2]; 2],
    /// The lowest and the highest value of heights and colours, and whether they go in equal ratios.
    pub(crate) ends: [f64; 2],
    pub(crate) logarithmic: bool,
    /// Colours in equal steps from the lowest to the highest value.
    pub(crate) colors: Vec<String>,
    pub(crate) seen: Seen,
}

/// How a field lies on paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Seen {
    /// Over the rectangle with these left, top, right and bottom edges, in pixels.
    Above([f64; 4]),
    /// From an azimuth and an elevation in radians, in a box whose height is this part of its width.
    Aslant { azimuth: f64, elevation: f64, height: f64 },
}

/// What the page shows of a drawing where it is pointed at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Readings {
    width: u32,
    height: u32,
    spots: Vec<Reading>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<Field>,
}

/// A place in pixels and the lines of words there.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Reading(f64, f64, Vec<String>);

impl Spot {
    pub(super) fn of_marker(at: Point, color: Color, marker: Marker, filled: bool) -> Self {
        Self { at, color, marker: Some((marker, filled)), dash: None, side: Side::Left }
    }

    pub(super) fn of_line(at: Point, color: Color, dash: Dash) -> Self {
        Self { at, color, marker: None, dash: Some(dash), side: Side::Left }
    }
}

impl Marks {
    pub(super) fn add(&mut self, spot: Spot) {
        self.spots.push(Spot { side: self.side, ..spot });
    }

    /// The points of one line; those of reference lines are no data.
    pub(super) fn add_line(&mut self, spots: impl Iterator<Item = Spot>) {
        let mut last: Option<Point> = None;
        for spot in spots.filter(|spot| spot.color != MUTED) {
            if last.is_none_or(|(x, y)| (spot.at.0 - x).hypot(spot.at.1 - y) >= APART) {
                last = Some(spot.at);
                self.add(spot);
            }
        }
    }

    pub(super) fn add_bar(&mut self, bar: Bar) {
        self.bars.push(bar);
    }

    /// Whether this is a surface, which a page can turn.
    pub(crate) fn turns(&self) -> bool {
        self.field.as_ref().is_some_and(|field| matches!(field.seen, Seen::Aslant { .. }))
    }

    /// Turned into words; what lies in no plot, such as the keys of a legend, has none.
    pub(crate) fn readings(&self, width: u32, height: u32) -> Readings {
        let (mut seen, mut spots) = (BTreeSet::new(), Vec::new());
        // Markers before the lines that they stand on.
        let (markers, lines): (Vec<&Spot>, Vec<&Spot>) = self.spots.iter().partition(|spot| spot.marker.is_some());
        for spot in markers.into_iter().chain(lines) {
            let Some(words) = self.words(spot) else { continue };
            let tenths = [spot.at.0, spot.at.1].map(|part| (10.0 * part).round() as i64);
            if seen.insert((tenths, words.clone())) {
                let [x, y] = tenths.map(|part| part as f64 / 10.0);
                spots.push(Reading(x, y, words));
            }
        }
        Readings { width, height, spots, field: self.field.clone() }
    }

    fn words(&self, spot: &Spot) -> Option<Vec<String>> {
        let frame = self.frames.iter().find(|frame| frame.holds(spot.at))?;
        let vertical = if spot.side == Side::Right { 2 } else { 1 };
        let bar = |axis: usize| {
            let along = self.bars.iter().find(|bar| lies_on(spot.at, bar, axis))?;
            let [one, other] = along.map(|end| frame.reading(axis, vertical, end));
            let held = along.iter().any(|end| !frame.is_free(*end));
            let [(_, one), (_, other)] = [one?, other?];
            // An error of less than the digits shown says nothing.
            (!held && one != other).then(|| format!(" ({one} to {other})"))
        };
        let line = |axis: usize| {
            let (name, value) = frame.reading(axis, vertical, spot.at)?;
            Some(format!("{name} = {value}{}", bar(axis).unwrap_or_default()))
        };
        Some(self.name(spot).into_iter().chain(line(0)).chain(line(1)).collect())
    }

    /// The keys of the legend that are drawn like it; of a line also one that stands for a dash in all colours.
    fn name(&self, spot: &Spot) -> Option<String> {
        let colored = || self.keys.iter().filter(|key| key.color == spot.color);
        let marked = colored().find(|key| spot.marker.is_some() && key.marker == spot.marker);
        let dashed = colored().find(|key| spot.dash.is_some() && key.line == spot.dash);
        let only = colored().next().filter(|_| colored().count() == 1);
        let own = marked.or(dashed).or(only);
        let of_dash = |key: &&Key| key.marker.is_none() && key.line == spot.dash && [MUTED, INK].contains(&key.color);
        let style = self.keys.iter().find(|key| spot.dash.is_some() && spot.color != key.color && of_dash(key));
        let words: Vec<&str> = own.into_iter().chain(style).map(|key| key.words.as_str()).collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

impl Frame {
    fn holds(&self, (x, y): Point) -> bool {
        let Region { left, top, right, bottom } = self.inside;
        (left - HELD..=right + HELD).contains(&x) && self.is_free((x, y)) && (top..=bottom).contains(&y)
    }

    /// Whether a point was surely not moved to the lower or upper edge from beyond.
    fn is_free(&self, (_, y): Point) -> bool {
        (y - self.inside.top).abs() > HELD && (y - self.inside.bottom).abs() > HELD
    }

    /// What the horizontal (0) or the vertical axis says at a point.
    fn reading(&self, axis: usize, vertical: usize, (x, y): Point) -> Option<(&str, String)> {
        let Region { left, top, right, bottom } = self.inside;
        match axis {
            0 => self.readers[0].as_ref()?.reading((x - left) / (right - left)),
            _ => self.readers[vertical].as_ref()?.reading((bottom - y) / (bottom - top)),
        }
    }
}

/// Whether a bar along this axis passes through a point.
fn lies_on((x, y): Point, [low, high]: &Bar, axis: usize) -> bool {
    let between = |at: f64, one: f64, other: f64| (one.min(other) - HELD..=one.max(other) + HELD).contains(&at);
    let same = |one: f64, other: f64| (one - other).abs() < HELD;
    match axis {
        0 => same(low.1, high.1) && same(y, low.1) && between(x, low.0, high.0),
        _ => same(low.0, high.0) && same(x, low.0) && between(y, low.1, high.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::axes::{Axes, Region};
    use crate::chart::drawing::{Drawing, Shape};
    use crate::chart::palette::look;
    use crate::chart::scale::{Scale, Tick};
    use crate::chart::{legend, series};

    fn words(drawing: &Drawing) -> Vec<Vec<String>> {
        drawing.marks.readings(1000, drawing.height).spots.into_iter().map(|reading| reading.2).collect()
    }

    fn plot(drawing: &mut Drawing) -> Axes {
        let key = |words: &str, index: usize| Key {
            words: words.into(),
            color: look(index).color,
            line: Some(Dash::Solid),
            marker: Some((look(index).marker, true)),
        };
        let test = Key { words: "test".into(), color: MUTED, line: Some(Dash::Dashed), marker: None };
        let region = legend::draw(drawing, &[key("batch 16", 0), key("batch 144", 1), test]);
        let x = Axis::new("epoch   (all seeds)", Scale::linear([0.0, 10.0]));
        Axes::draw(drawing, region, &x, &Axis::new("loss", Scale::logarithmic([1e-4, 1.0])), None)
    }

    #[test]
    fn markers_and_lines_are_read_in_the_units_of_their_axes_with_their_names() {
        let mut drawing = Drawing::default();
        let axes = plot(&mut drawing);
        let at = |x, y| axes.point(x, y).expect("a place");
        series::marker(&mut drawing, at(3.0, 0.02), look(1).marker, look(1).color, true);
        series::error_bar(&mut drawing, at(3.0, 0.01), at(3.0, 0.05), look(1).color);
        series::line(&mut drawing, &[Some(at(5.0, 0.5))], look(0).color, 3, Dash::Dashed, 1.0);
        assert_eq!(
            words(&drawing),
            [
                vec!["batch 144", "epoch = 3", "loss = 0.02 (0.01 to 0.05)"],
                vec!["batch 16, test", "epoch = 5", "loss = 0.5"]
            ]
        );
    }

    #[test]
    fn axes_whose_labels_stand_at_another_plot_are_read_too() {
        let mut drawing = Drawing::default();
        let region = legend::draw(&mut drawing, &[]);
        let ticks = vec![Tick { value: 1.0, label: Some("16".into()) }, Tick { value: 2.0, label: Some("144".into()) }];
        let x = Axis::new("batch size", Scale::between(0.0, 3.0)).with_ticks(ticks).without_labels();
        let y = Axis::new("loss", Scale::between(0.0, 1.0)).without_name();
        let axes = Axes::draw(&mut drawing, region, &x, &y, None);
        series::marker(&mut drawing, axes.point(1.9, 0.5).expect("a place"), look(0).marker, look(0).color, true);
        assert_eq!(words(&drawing), [["batch size = 144", "loss = 0.5"]]);
        let named = |shape: &Shape| matches!(shape, Shape::Text { text, .. } if ["batch size", "loss", "144"].contains(&text.as_str()));
        assert!(!drawing.shapes.iter().any(named));
    }

    #[test]
    fn what_was_moved_to_the_edge_is_not_read() {
        let mut drawing = Drawing::default();
        let axes = plot(&mut drawing);
        let held = [axes.held_point(2.0, 0.0), axes.held_point(4.0, f64::INFINITY)];
        series::line(&mut drawing, &held, look(0).color, 3, Dash::Solid, 1.0);
        assert!(words(&drawing).is_empty());
    }

    #[test]
    fn points_that_cannot_be_told_apart_are_one() {
        let mut drawing = Drawing::default();
        let axes = plot(&mut drawing);
        let Region { left, right, .. } = axes.inside;
        let points: Vec<_> = (0..5000).map(|i| axes.point(f64::from(i) / 500.0, 0.1)).collect();
        series::line(&mut drawing, &points, look(0).color, 3, Dash::Solid, 1.0);
        let count = words(&drawing).len() as f64;
        assert!(count > 100.0 && count <= (right - left) / APART + 1.0, "{count}");
    }
}
