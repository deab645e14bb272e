//! Painting a drawing as PDF: paths, polygons, and letters as their outlines, so that no reader needs a font.
//!
//! Written by itself rather than made from the SVG: the three shapes of a drawing are three operators of PDF, while a
//! converter would bring an SVG renderer along.

use std::io::{self, Write};

use ab_glyph::{Font, FontRef, GlyphId, OutlineCurve};
use flate2::Compression;
use flate2::write::ZlibEncoder;
use pdf_writer::types::{LineCapStyle, LineJoinStyle};
use pdf_writer::{Content, Filter, Finish, Name, Pdf, Rect, Ref};

use super::drawing::{Align, Color, Drawing, Point, Shape, TEXT, WIDTH};
use super::font;
use super::palette::PAPER;

/// Points of PDF per pixel: letters of 12 points on a drawing 5 inches wide.
const POINT: f32 = 0.36;
/// Half the height of an x over the font's size: where the middle of a text lies over its base line.
const MIDDLE: f64 = 0.27;
/// As many steps does an opacity have.
const OPACITIES: f64 = 100.0;

/// The drawing as the bytes of a PDF file of one page.
pub(crate) fn pdf(drawing: &Drawing) -> Result<Vec<u8>, String> {
    let letters = FontRef::try_from_slice(font::BYTES).map_err(|error| error.to_string())?;
    let [catalog, pages, page, contents] = [1, 2, 3, 4].map(Ref::new);
    let size = [WIDTH as f32 * POINT, drawing.height as f32 * POINT];
    let mut file = Pdf::new();
    file.catalog(catalog).pages(pages);
    file.pages(pages).kids([page]).count(1);
    let mut sheet = file.page(page);
    sheet.parent(pages).media_box(Rect::new(0.0, 0.0, size[0], size[1])).contents(contents);
    let mut resources = sheet.resources();
    let mut states = resources.ext_g_states();
    for step in opacities(drawing) {
        let opacity = f32::from(step) / OPACITIES as f32;
        let mut state =
            states.insert(Name(state_name(step).as_bytes())).start::<pdf_writer::writers::ExtGraphicsState>();
        state.non_stroking_alpha(opacity).stroking_alpha(opacity);
    }
    states.finish();
    resources.finish();
    sheet.finish();
    let mut canvas = Canvas { content: Content::new(), letters };
    // From pixels downwards to points upwards.
    canvas.content.transform([POINT, 0.0, 0.0, -POINT, 0.0, size[1]]);
    canvas.content.set_line_join(LineJoinStyle::RoundJoin).set_line_cap(LineCapStyle::ButtCap);
    let (width, height) = (f64::from(WIDTH), f64::from(drawing.height));
    canvas.polygon(&[(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)], PAPER, 1.0);
    for shape in &drawing.shapes {
        canvas.paint(shape);
    }
    let packed = compressed(&canvas.content.finish()).map_err(|error| error.to_string())?;
    file.stream(contents, &packed).filter(Filter::FlateDecode);
    Ok(file.finish())
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// Each opacity once, in hundredths.
fn opacities(drawing: &Drawing) -> Vec<u8> {
    let of = |shape: &Shape| match shape {
        Shape::Path { opacity, .. } | Shape::Polygon { opacity, .. } => hundredths(*opacity),
        Shape::Text { .. } => hundredths(1.0),
    };
    let mut found: Vec<u8> = drawing.shapes.iter().map(of).chain([hundredths(1.0)]).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn hundredths(opacity: f64) -> u8 {
    (OPACITIES * opacity).round() as u8
}

fn state_name(step: u8) -> String {
    format!("o{step}")
}

struct Canvas<'a> {
    content: Content,
    letters: FontRef<'a>,
}

impl Canvas<'_> {
    fn paint(&mut self, shape: &Shape) {
        match shape {
            Shape::Path { points, color, opacity, width } => {
                self.set(*color, *opacity);
                self.content.set_line_width(*width as f32);
                self.trace(points);
                self.content.stroke();
            }
            Shape::Polygon { points, color, opacity } => self.polygon(points, *color, *opacity),
            Shape::Text { text, at, color, align, upright } => self.text(text, *at, *color, *align, *upright),
        }
    }

    fn polygon(&mut self, points: &[Point], color: Color, opacity: f64) {
        self.set(color, opacity);
        self.trace(points);
        self.content.close_path().fill_nonzero();
    }

    fn set(&mut self, Color(red, green, blue): Color, opacity: f64) {
        let [red, green, blue] = [red, green, blue].map(|part| f32::from(part) / 255.0);
        self.content.set_parameters(Name(state_name(hundredths(opacity)).as_bytes()));
        self.content.set_fill_rgb(red, green, blue).set_stroke_rgb(red, green, blue);
    }

    fn trace(&mut self, points: &[Point]) {
        for (index, &(x, y)) in points.iter().enumerate() {
            let (x, y) = (x as f32, y as f32);
            if index == 0 {
                self.content.move_to(x, y)
            } else {
                self.content.line_to(x, y)
            };
        }
    }

    fn text(&mut self, text: &str, (x, y): Point, color: Color, align: Align, upright: bool) {
        let scale = TEXT as f32 / self.letters.units_per_em().unwrap_or(1000.0);
        let glyphs: Vec<GlyphId> = text.chars().map(|letter| self.letters.glyph_id(letter)).collect();
        let width: f32 = glyphs.iter().map(|&glyph| scale * self.letters.h_advance_unscaled(glyph)).sum();
        let start = match align {
            Align::Left => 0.0,
            Align::Center => -width / 2.0,
            Align::Right => -width,
        };
        self.set(color, 1.0);
        self.content.save_state();
        // Letters stand upwards on their base line, the page's pixels go downwards.
        let turn = if upright { [1.0, 0.0, 0.0, -1.0] } else { [0.0, -1.0, -1.0, 0.0] };
        self.content.transform([turn[0], turn[1], turn[2], turn[3], x as f32, y as f32]);
        self.content.transform([scale, 0.0, 0.0, scale, start, -(MIDDLE * TEXT) as f32]);
        let mut across = 0.0;
        for glyph in glyphs {
            self.glyph(glyph, across);
            across += self.letters.h_advance_unscaled(glyph);
        }
        self.content.fill_nonzero();
        self.content.restore_state();
    }

    /// Adds a letter's outline to the path.
    fn glyph(&mut self, glyph: GlyphId, across: f32) {
        let Some(outline) = self.letters.outline(glyph) else { return };
        let mut end = None;
        for curve in outline.curves {
            let (from, to) = match &curve {
                OutlineCurve::Line(from, to) => (*from, *to),
                OutlineCurve::Quad(from, _, to) => (*from, *to),
                OutlineCurve::Cubic(from, _, _, to) => (*from, *to),
            };
            if end != Some(from) {
                self.content.move_to(across + from.x, from.y);
            }
            match curve {
                OutlineCurve::Line(..) => self.content.line_to(across + to.x, to.y),
                OutlineCurve::Cubic(_, one, two, _) => {
                    self.content.cubic_to(across + one.x, one.y, across + two.x, two.y, across + to.x, to.y)
                }
                // PDF has cubic curves alone: the same curve with control points two thirds of the way to the one.
                OutlineCurve::Quad(_, control, _) => self.content.cubic_to(
                    across + (from.x + 2.0 * control.x) / 3.0,
                    (from.y + 2.0 * control.y) / 3.0,
                    across + (to.x + 2.0 * control.x) / 3.0,
                    (to.y + 2.0 * control.y) / 3.0,
                    across + to.x,
                    to.y,
                ),
            };
            end = Some(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::chart::palette::INK;

    fn content(drawing: &Drawing) -> String {
        let bytes = pdf(drawing).expect("a file");
        let find = |word: &[u8], from: usize| {
            from + bytes[from..].windows(word.len()).position(|window| window == word).expect("a stream") + word.len()
        };
        let start = find(b"stream\n", 0);
        let mut text = String::new();
        flate2::read::ZlibDecoder::new(&bytes[start..]).read_to_string(&mut text).expect("text");
        text
    }

    #[test]
    fn shapes_become_operators_at_their_pixels() {
        let mut drawing = Drawing::default();
        drawing.path(vec![(1.0, 2.0), (30.0, 40.0)], INK, 3);
        drawing.faint_polygon(vec![(5.0, 5.0), (6.0, 5.0), (6.0, 9.0)], Color(255, 0, 0), 0.25);
        let text = content(&drawing);
        for operators in ["3 w\n1 2 m\n30 40 l\nS", "/o25 gs\n1 0 0 rg\n1 0 0 RG\n5 5 m\n6 5 l\n6 9 l\nh\nf"] {
            assert!(text.contains(operators), "{operators}: {text}");
        }
    }

    #[test]
    fn letters_are_outlines_where_their_text_stands() {
        let with = |text: &str| {
            let mut drawing = Drawing::default();
            drawing.text(text, (100.0, 50.0), Align::Left, INK);
            content(&drawing)
        };
        // An l is a rectangle, an o two rings of curves.
        assert_eq!(with("l").matches(" c\n").count(), 0);
        assert!(with("o").matches(" c\n").count() >= 8);
        assert_eq!(with("oo").matches(" c\n").count(), 2 * with("o").matches(" c\n").count());
        assert!(with("l").contains("1 0 0 -1 100 50 cm"));
    }
}
