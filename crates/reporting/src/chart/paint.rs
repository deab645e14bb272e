//! Painting a drawing through plotters, as SVG or PNG.

use std::path::Path;

use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{PathElement, Polygon, Text};
use plotters::prelude::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, FontTransform, RGBAColor, RGBColor, ShapeStyle, TextStyle};

use super::drawing::{Align, Color, Drawing, Point, Shape, WIDTH};
use super::font;
use super::palette::PAPER;

/// Plotters' bitmap text stands this much above the middle that its SVG text keeps.
const BITMAP_DROP: f64 = 5.0;

/// The drawing as SVG text.
pub(crate) fn svg(drawing: &Drawing) -> Result<String, String> {
    let mut text = String::new();
    paint(drawing, 0.0, &SVGBackend::with_string(&mut text, size(drawing)).into_drawing_area())?;
    // Viewers other than the page have no fallback of their own.
    Ok(compact(&text).replace("font-family=\"DejaVu Sans\"", "font-family=\"&quot;DejaVu Sans&quot;, sans-serif\""))
}

/// The same in fewer words: what is plain is not said, and a polygon with its outline is one shape. A surface has thousands.
fn compact(svg: &str) -> String {
    let mut text = String::with_capacity(svg.len());
    let mut lines = svg.lines().peekable();
    while let Some(line) = lines.next() {
        let outlined = lines.peek().and_then(|next| outlined(line, next));
        if outlined.is_some() {
            lines.next();
        }
        text.push_str(&outlined.as_deref().unwrap_or(line).replace(PLAIN, ""));
        text.push('\n');
    }
    text
}

/// What an SVG takes for granted.
const PLAIN: &str = " opacity=\"1\"";

/// A polygon with the line around it that follows, if the one is followed by the other.
fn outlined(polygon: &str, line: &str) -> Option<String> {
    let (fill, corners) = polygon.strip_prefix("<polygon ")?.strip_suffix("\"/>")?.split_once(" points=\"")?;
    let (stroke, around) =
        line.strip_prefix("<polyline fill=\"none\"")?.strip_suffix("\"/>")?.split_once(" points=\"")?;
    let first = corners.split_inclusive(' ').next()?;
    let is_outline =
        fill.starts_with(&PLAIN[1..]) && stroke.starts_with(PLAIN) && around.strip_prefix(corners)? == first;
    is_outline.then(|| format!("<polygon {fill}{stroke} points=\"{corners}\"/>"))
}

/// Writes the drawing as a PNG file.
pub(crate) fn png(drawing: &Drawing, path: &Path) -> Result<(), String> {
    paint(drawing, BITMAP_DROP, &BitMapBackend::new(path, size(drawing)).into_drawing_area())
}

fn size(drawing: &Drawing) -> (u32, u32) {
    (WIDTH, drawing.height)
}

fn paint<B: DrawingBackend>(drawing: &Drawing, drop: f64, area: &DrawingArea<B, Shift>) -> Result<(), String> {
    area.fill(&rgb(PAPER)).map_err(|error| error.to_string())?;
    for shape in &drawing.shapes {
        paint_shape(shape, drop, area)?;
    }
    area.present().map_err(|error| error.to_string())
}

fn paint_shape<B: DrawingBackend>(shape: &Shape, drop: f64, area: &DrawingArea<B, Shift>) -> Result<(), String> {
    let drawn = match shape {
        Shape::Path { points, color, opacity, width } => {
            area.draw(&PathElement::new(pixel_points(points), style(*color, *opacity, *width)))
        }
        Shape::Polygon { points, color, opacity } => {
            area.draw(&Polygon::new(pixel_points(points), style(*color, *opacity, 1).filled()))
        }
        Shape::Text { text, at, color, align, upright } => {
            // Dropped towards the foot of the letters, wherever that is.
            let at = if *upright { (at.0, at.1 + drop) } else { (at.0 + drop, at.1) };
            area.draw(&Text::new(text.as_str(), pixel(at), text_style(*color, *align, *upright)))
        }
    };
    drawn.map_err(|error| error.to_string())
}

fn text_style(color: Color, align: Align, upright: bool) -> TextStyle<'static> {
    let horizontal = match align {
        Align::Left => HPos::Left,
        Align::Center => HPos::Center,
        Align::Right => HPos::Right,
    };
    let font = if upright { font::text() } else { font::text().transform(FontTransform::Rotate270) };
    let mut style = TextStyle::from(font);
    style.color = rgb(color).to_backend_color();
    style.pos = Pos::new(horizontal, VPos::Center);
    style
}

fn style(color: Color, opacity: f64, width: u32) -> ShapeStyle {
    let Color(red, green, blue) = color;
    ShapeStyle { color: RGBAColor(red, green, blue, opacity), filled: false, stroke_width: width }
}

fn rgb(Color(red, green, blue): Color) -> RGBColor {
    RGBColor(red, green, blue)
}

fn pixel_points(points: &[Point]) -> Vec<(i32, i32)> {
    points.iter().copied().map(pixel).collect()
}

fn pixel((x, y): Point) -> (i32, i32) {
    (x.round() as i32, y.round() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polygon_and_its_outline_are_one_shape_and_others_stay_two() {
        let polygon = "<polygon opacity=\"1\" fill=\"#CAE168\" points=\"0,0 9,0 9,9 \"/>";
        let around =
            "<polyline fill=\"none\" opacity=\"1\" stroke=\"#B7CB5E\" stroke-width=\"1\" points=\"0,0 9,0 9,9 0,0 \"/>";
        assert_eq!(
            compact(&format!("{polygon}\n{around}\n")),
            "<polygon fill=\"#CAE168\" stroke=\"#B7CB5E\" stroke-width=\"1\" points=\"0,0 9,0 9,9 \"/>\n"
        );
        for line in [around.replace("0,0 \"", "5,5 \""), around.replace("opacity=\"1\"", "opacity=\"0.5\"")] {
            assert_eq!(compact(&format!("{polygon}\n{line}\n")).matches('<').count(), 2, "{line}");
        }
        assert_eq!(compact(&polygon.replace("\"1\"", "\"0.25\"")).matches("opacity").count(), 1);
    }
}
