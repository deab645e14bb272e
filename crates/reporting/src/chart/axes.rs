//! The frame of a plot: axes with their names and ticks, and the lines behind the data.

use super::drawing::{Align, Drawing, Point, TEXT};
use super::palette::{Dash, GRID, INK, MUTED};
use super::readings::Frame;
use super::scale::{Scale, Tick};
use super::{font, series};
use crate::number;

/// One axis: its name with its unit, its scale, its ticks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    name: String,
    scale: Scale,
    ticks: Vec<Tick>,
    /// Whether places are told by the labels of ticks, not by numbers.
    labelled: bool,
    /// Without tick labels and name on paper, which another plot's axis shows.
    bare: bool,
    /// Without its name on paper alone.
    unnamed: bool,
    /// Room kept for the labels at the least.
    room: f64,
}

/// A rectangle in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Region {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Region {
    /// A rectangle of this width and height around its middle.
    pub(crate) fn around((x, y): Point, width: f64, height: f64) -> Self {
        Self { left: x - width / 2.0, top: y - height / 2.0, right: x + width / 2.0, bottom: y + height / 2.0 }
    }

    pub(crate) fn middle(&self) -> Point {
        ((self.left + self.right) / 2.0, (self.top + self.bottom) / 2.0)
    }

    /// Whether the other one lies inside this one.
    pub(crate) fn contains(&self, other: &Self) -> bool {
        other.left >= self.left && other.right <= self.right && other.top >= self.top && other.bottom <= self.bottom
    }

    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }
}

/// The edge of a plot at which a name stands, where no data are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Top,
    Bottom,
}

/// The rectangle that holds the data, with the axes around it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axes {
    pub(crate) inside: Region,
    x: Scale,
    y: Scale,
    right: Option<Scale>,
}

const TICK: f64 = 9.0;
const GAP: f64 = 10.0;
const LINE_HEIGHT: f64 = 1.25 * TEXT;

impl Axis {
    pub(crate) fn new(name: impl Into<String>, scale: Scale) -> Self {
        Self { name: name.into(), scale, ticks: scale.ticks(), labelled: false, bare: false, unnamed: false, room: 0.0 }
    }

    /// Ticks at these values instead of round ones.
    pub(crate) fn with_ticks(mut self, ticks: Vec<Tick>) -> Self {
        self.ticks = ticks;
        self.labelled = true;
        self
    }

    /// No tick labels and no name, for the upper one of two plots that share their horizontal axis.
    pub(crate) fn without_labels(mut self) -> Self {
        self.bare = true;
        self
    }

    /// No name, for a plot beside one that has it.
    pub(crate) fn without_name(mut self) -> Self {
        self.unnamed = true;
        self
    }

    /// What stands at a tick.
    fn label<'a>(&self, tick: &'a Tick) -> Option<&'a str> {
        tick.label.as_deref().filter(|_| !self.bare)
    }

    /// What stands beside the axis.
    fn title(&self) -> &str {
        if self.bare || self.unnamed { "" } else { &self.name }
    }

    /// Gives two vertical axes the same room, so that plots above one another begin at the same place.
    pub(crate) fn align(one: &mut Self, other: &mut Self) {
        let room = f64::max(one.widest_label(), other.widest_label());
        (one.room, other.room) = (room, room);
    }

    fn widest_label(&self) -> f64 {
        self.ticks.iter().filter_map(|tick| self.label(tick)).map(font::width).fold(self.room, f64::max)
    }

    /// What is read off at a position: the name, and there the number or the label of the nearest tick. Nothing on an
    /// axis without a name.
    pub(super) fn reading(&self, position: f64) -> Option<(&str, String)> {
        let name = self.name.split("   ").next().filter(|name| !name.is_empty())?;
        if !self.labelled {
            return Some((name, number::precise(self.scale.value(position))));
        }
        let distance = |at: f64| (at - position).abs();
        let nearest = self.placed().min_by(|(_, one), (_, other)| distance(*one).total_cmp(&distance(*other)));
        Some((name, nearest?.0.label.clone()?))
    }

    /// Ticks that lie on the axis, with their positions.
    fn placed(&self) -> impl Iterator<Item = (&Tick, f64)> {
        self.ticks.iter().filter_map(|tick| {
            let position = self.scale.position(tick.value)?;
            (-1e-9..=1.0 + 1e-9).contains(&position).then_some((tick, position))
        })
    }
}

impl Axes {
    /// Draws the frame into a region: what the labels leave over is for the data.
    pub(crate) fn draw(drawing: &mut Drawing, region: Region, x: &Axis, y: &Axis, right: Option<&Axis>) -> Self {
        let labelled = x.ticks.iter().any(|tick| x.label(tick).is_some());
        let below = if labelled { 2.0 * LINE_HEIGHT + TICK + GAP } else { TICK + GAP };
        // Half a label may stand out to the right of the last tick.
        let beside = right.map_or(1.2 * TEXT, |axis| axis.widest_label() + TICK + 2.0 * GAP + LINE_HEIGHT);
        let inside = Region {
            left: region.left + y.widest_label() + TICK + 2.0 * GAP + LINE_HEIGHT,
            top: region.top + 0.4 * LINE_HEIGHT,
            right: region.right - beside,
            bottom: region.bottom - below,
        };
        let axes = Self { inside, x: x.scale, y: y.scale, right: right.map(|axis| axis.scale) };
        axes.draw_grid(drawing, x, y);
        axes.draw_horizontal(drawing, x, region.bottom);
        axes.draw_vertical(drawing, y, inside.left, region.left + LINE_HEIGHT / 2.0, -1.0);
        if let Some(axis) = right {
            axes.draw_vertical(drawing, axis, inside.right, region.right - LINE_HEIGHT / 2.0, 1.0);
        }
        axes.draw_border(drawing);
        let readers = [Some(x), Some(y), right].map(|axis| axis.cloned());
        drawing.marks.frames.push(Frame { inside, readers });
        axes
    }

    /// Where a pair of values is drawn; none if one of them has no place.
    pub(crate) fn point(&self, x: f64, y: f64) -> Option<Point> {
        Some((self.across(x)?, self.height(self.y.position(y)?)))
    }

    /// As [`Axes::point`], with the right axis for the second value.
    pub(crate) fn right_point(&self, x: f64, y: f64) -> Option<Point> {
        Some((self.across(x)?, self.height(self.right?.position(y)?)))
    }

    /// A vertical line through the plot at a value of the horizontal axis.
    pub(crate) fn mark(&self, drawing: &mut Drawing, x: f64) {
        if let Some(x) = self.across(x) {
            drawing.path(vec![(x, self.inside.top), (x, self.inside.bottom)], MUTED, 2);
        }
    }

    /// A vertical line with a name beside it, if the value lies in the plot.
    pub(crate) fn named_mark(&self, drawing: &mut Drawing, x: f64, name: &str, edge: Edge) {
        if !self.spans(x) {
            return;
        }
        self.mark(drawing, x);
        let y = match edge {
            Edge::Top => self.inside.top + 0.5 * LINE_HEIGHT,
            Edge::Bottom => self.inside.bottom - 0.5 * LINE_HEIGHT,
        };
        if let Some(x) = self.across(x) {
            let (x, align) = if x + GAP + font::width(name) < self.inside.right {
                (x + GAP, Align::Left)
            } else {
                (x - GAP, Align::Right)
            };
            drawing.text(name, (x, y), align, MUTED);
        }
    }

    /// Whether a value of the horizontal axis lies in the plot.
    pub(crate) fn spans(&self, x: f64) -> bool {
        self.x.position(x).is_some_and(|position| (0.0..=1.0).contains(&position))
    }

    /// As [`Axes::point`], moved to the frame where the second value lies beyond it; none for no number.
    pub(crate) fn held_point(&self, x: f64, y: f64) -> Option<Point> {
        Some((self.across(x)?, self.height(self.y.held_position(y)?)))
    }

    /// The ends of a vertical bar, cut off at the frame.
    pub(crate) fn bar(&self, x: f64, low: f64, high: f64) -> Option<[Point; 2]> {
        Some([self.held_point(x, low)?, self.held_point(x, high)?])
    }

    /// The place across of a point, kept inside the plot; of one that has none, such as 0 on a logarithmic axis, none.
    pub(crate) fn beside(&self, point: Option<Point>) -> Option<Point> {
        point.map(|(x, y)| (x.clamp(self.inside.left, self.inside.right), y))
    }

    /// The height of a position, kept inside the plot.
    pub(crate) fn within(&self, (x, y): Point) -> Point {
        (x, y.clamp(self.inside.top, self.inside.bottom))
    }

    /// A horizontal line through the plot, if the value lies in it.
    pub(crate) fn level(&self, drawing: &mut Drawing, y: f64) {
        if let Some(position) = self.y.position(y).filter(|position| (0.0..=1.0).contains(position)) {
            let y = self.height(position);
            drawing.path(vec![(self.inside.left, y), (self.inside.right, y)], MUTED, 2);
        }
    }

    /// The same as a dotted line, for a value that is data.
    pub(crate) fn dotted_level(&self, drawing: &mut Drawing, y: f64) {
        if let Some(position) = self.y.position(y).filter(|position| (0.0..=1.0).contains(position)) {
            let y = self.height(position);
            let ends = [Some((self.inside.left, y)), Some((self.inside.right, y))];
            series::line(drawing, &ends, MUTED, 4, Dash::Dotted, 1.0);
        }
    }

    fn across(&self, x: f64) -> Option<f64> {
        Some(self.inside.left + self.x.position(x)? * (self.inside.right - self.inside.left))
    }

    fn height(&self, position: f64) -> f64 {
        self.inside.bottom - position * (self.inside.bottom - self.inside.top)
    }

    fn draw_grid(&self, drawing: &mut Drawing, x: &Axis, y: &Axis) {
        for (_, position) in x.placed().filter(|(tick, _)| x.label(tick).is_some()) {
            let x = self.inside.left + position * (self.inside.right - self.inside.left);
            drawing.path(vec![(x, self.inside.top), (x, self.inside.bottom)], GRID, 1);
        }
        for (_, position) in y.placed().filter(|(tick, _)| y.label(tick).is_some()) {
            let y = self.height(position);
            drawing.path(vec![(self.inside.left, y), (self.inside.right, y)], GRID, 1);
        }
    }

    fn draw_border(&self, drawing: &mut Drawing) {
        let Region { left, top, right, bottom } = self.inside;
        drawing.path(vec![(left, top), (left, bottom), (right, bottom)], INK, 2);
        if self.right.is_some() {
            drawing.path(vec![(right, top), (right, bottom)], INK, 2);
        }
    }

    fn draw_horizontal(&self, drawing: &mut Drawing, axis: &Axis, bottom: f64) {
        let Region { left, right, bottom: base, .. } = self.inside;
        let mut free = f64::NEG_INFINITY;
        for (tick, position) in axis.placed() {
            let x = left + position * (right - left);
            let label = axis.label(tick);
            let length = if label.is_some() { TICK } else { 0.6 * TICK };
            drawing.path(vec![(x, base), (x, base + length)], INK, 2);
            let Some(label) = label else { continue };
            let half = font::width(label) / 2.0;
            // A label that would run into the one before it is left out; its tick stays.
            if x - half > free {
                drawing.text(label, (x, base + TICK + LINE_HEIGHT / 2.0), Align::Center, INK);
                free = x + half + GAP;
            }
        }
        if !axis.title().is_empty() {
            drawing.text(axis.title(), ((left + right) / 2.0, bottom - LINE_HEIGHT / 2.0), Align::Center, INK);
        }
    }

    /// `side` is −1 for ticks to the left of the line and 1 for ticks to its right.
    fn draw_vertical(&self, drawing: &mut Drawing, axis: &Axis, x: f64, name_at: f64, side: f64) {
        let align = if side < 0.0 { Align::Right } else { Align::Left };
        let mut free = f64::INFINITY;
        for (tick, position) in axis.placed() {
            let y = self.height(position);
            let label = axis.label(tick);
            let length = if label.is_some() { TICK } else { 0.6 * TICK };
            drawing.path(vec![(x, y), (x + side * length, y)], INK, 2);
            let Some(label) = label else { continue };
            if y + 0.5 * TEXT < free {
                drawing.text(label, (x + side * (TICK + GAP), y), align, INK);
                free = y - 0.5 * TEXT;
            }
        }
        drawing.climbing_text(axis.title(), (name_at, (self.inside.top + self.inside.bottom) / 2.0), INK);
    }
}
