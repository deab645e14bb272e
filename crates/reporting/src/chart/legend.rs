//! Legends: a row of keys above the plot, where they cover no data.

use super::axes::Region;
use super::drawing::{Align, Color, Drawing, SIZE, TEXT};
use super::palette::{Dash, INK, Marker};
use super::{font, series};

/// What a key shows before its words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) words: String,
    pub(crate) color: Color,
    pub(crate) line: Option<Dash>,
    pub(crate) marker: Option<(Marker, bool)>,
}

const SAMPLE: f64 = 84.0;
const GAP: f64 = 14.0;
const BETWEEN: f64 = 36.0;
const ROW: f64 = 1.4 * TEXT;
const EDGE: f64 = 8.0;

/// Draws the keys in as many rows as they need and returns the region below them.
pub(crate) fn draw(drawing: &mut Drawing, keys: &[Key]) -> Region {
    let (width, height) = (f64::from(SIZE.0), f64::from(SIZE.1));
    let mut at = (EDGE, EDGE + ROW / 2.0);
    for key in keys {
        let needed = SAMPLE + GAP + font::width(&key.words);
        if at.0 > EDGE && at.0 + needed > width - EDGE {
            at = (EDGE, at.1 + ROW);
        }
        draw_key(drawing, key, at);
        at.0 += needed + BETWEEN;
    }
    let top = if keys.is_empty() { EDGE } else { at.1 + ROW / 2.0 };
    Region { left: EDGE, top, right: width - EDGE, bottom: height - EDGE }
}

fn draw_key(drawing: &mut Drawing, key: &Key, (x, y): (f64, f64)) {
    if let Some(dash) = key.line {
        series::line(drawing, &[Some((x, y)), Some((x + SAMPLE, y))], key.color, 5, dash, 1.0);
    }
    if let Some((marker, filled)) = key.marker {
        series::marker(drawing, (x + SAMPLE / 2.0, y), marker, key.color, filled);
    }
    drawing.text(&key.words, (x + SAMPLE + GAP, y), Align::Left, INK);
}
