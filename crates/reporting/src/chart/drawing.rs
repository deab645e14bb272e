//! A drawing as a list of shapes, so that SVG, PNG and PDF are ways to paint the same thing.

use super::readings::Marks;

/// A position in pixels from the upper left corner.
pub(crate) type Point = (f64, f64);

/// Red, green, blue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Color(pub(crate) u8, pub(crate) u8, pub(crate) u8);

/// Width of every figure. Text of [`TEXT`] stays readable when a phone shows this 360 points wide.
pub(crate) const WIDTH: u32 = 1000;

/// Height of a figure with one or two plots.
const HEIGHT: u32 = 740;

/// Size of tick labels, axis names and legends.
pub(crate) const TEXT: f64 = 34.0;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    Path { points: Vec<Point>, color: Color, opacity: f64, width: u32 },
    Polygon { points: Vec<Point>, color: Color, opacity: f64 },
    Text { text: String, at: Point, color: Color, align: Align, upright: bool },
}

/// The point of a text that is put at its position; vertically it is always the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Center,
    Right,
}

/// Shapes in the order in which they are painted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drawing {
    pub(crate) height: u32,
    pub(crate) shapes: Vec<Shape>,
    /// What is not painted: where there is a value to read.
    pub(crate) marks: Marks,
}

impl Default for Drawing {
    fn default() -> Self {
        Self::of_height(HEIGHT)
    }
}

impl Drawing {
    /// An empty drawing with room for more plots than the usual height has.
    pub(crate) fn of_height(height: u32) -> Self {
        Self { height, shapes: Vec::new(), marks: Marks::default() }
    }

    pub(crate) fn path(&mut self, points: Vec<Point>, color: Color, width: u32) {
        self.faint_path(points, color, width, 1.0);
    }

    pub(crate) fn faint_path(&mut self, points: Vec<Point>, color: Color, width: u32, opacity: f64) {
        self.shapes.push(Shape::Path { points, color, opacity, width });
    }

    pub(crate) fn polygon(&mut self, points: Vec<Point>, color: Color) {
        self.faint_polygon(points, color, 1.0);
    }

    pub(crate) fn faint_polygon(&mut self, points: Vec<Point>, color: Color, opacity: f64) {
        self.shapes.push(Shape::Polygon { points, color, opacity });
    }

    pub(crate) fn text(&mut self, text: impl Into<String>, at: Point, align: Align, color: Color) {
        self.shapes.push(Shape::Text { text: text.into(), at, color, align, upright: true });
    }

    /// Text that runs upwards, for the names of vertical axes.
    pub(crate) fn climbing_text(&mut self, text: impl Into<String>, at: Point, color: Color) {
        self.shapes.push(Shape::Text { text: text.into(), at, color, align: Align::Center, upright: false });
    }
}
