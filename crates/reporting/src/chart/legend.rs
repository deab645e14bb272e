//! Legends: a row of keys above the plot, where they cover no data.

use super::axes::Region;
use super::drawing::{Align, Color, Drawing, TEXT, WIDTH};
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

const LINE: f64 = 84.0;
const MARKER: f64 = 26.0;
const GAP: f64 = 14.0;
const BETWEEN: f64 = 36.0;
const ROW: f64 = 1.4 * TEXT;
const EDGE: f64 = 8.0;
/// Rows that a drawing's usual height has room for.
const FREE_ROWS: usize = 4;

/// Draws the keys in as many rows as they need and returns the region below them. For more rows than a few the drawing grows.
pub(crate) fn draw(drawing: &mut Drawing, keys: &[Key]) -> Region {
    let width = f64::from(WIDTH);
    let keys: Vec<Key> = keys.iter().map(|key| fitting(key, width - 2.0 * EDGE)).collect();
    let per_row = per_row(&keys, width - 2.0 * EDGE);
    let rows = keys.len().div_ceil(per_row);
    drawing.height += (ROW * rows.saturating_sub(FREE_ROWS) as f64) as u32;
    let height = f64::from(drawing.height);
    let mut top = EDGE;
    for row in keys.chunks(per_row) {
        let mut left = EDGE;
        for key in row {
            draw_key(drawing, key, (left, top + ROW / 2.0));
            left += needed(key) + BETWEEN;
        }
        top += ROW;
    }
    Region { left: EDGE, top, right: width - EDGE, bottom: height - EDGE }
}

/// As many keys in each row as the fullest row allows, spread evenly over the rows that this needs.
fn per_row(keys: &[Key], width: f64) -> usize {
    let fits = |count: usize| {
        keys.chunks(count).all(|row| row.iter().map(|key| needed(key) + BETWEEN).sum::<f64>() - BETWEEN <= width)
    };
    let most = (1..=keys.len()).rev().find(|&count| fits(count)).unwrap_or(1);
    keys.len().div_ceil(keys.len().div_ceil(most).max(1)).max(1)
}

/// The key with words that end in an ellipsis where they would run off the paper.
fn fitting(key: &Key, width: f64) -> Key {
    let mut key = key.clone();
    let mut letters: Vec<char> = key.words.chars().collect();
    while needed(&key) > width && letters.pop().is_some() {
        key.words = letters.iter().chain(&['…']).collect();
    }
    key
}

fn needed(key: &Key) -> f64 {
    sample(key) + GAP + font::width(&key.words)
}

fn sample(key: &Key) -> f64 {
    if key.line.is_some() { LINE } else { MARKER }
}

fn draw_key(drawing: &mut Drawing, key: &Key, (x, y): (f64, f64)) {
    let sample = sample(key);
    if let Some(dash) = key.line {
        series::line(drawing, &[Some((x, y)), Some((x + sample, y))], key.color, 5, dash, 1.0);
    }
    if let Some((marker, filled)) = key.marker {
        series::marker(drawing, (x + sample / 2.0, y), marker, key.color, filled);
    }
    drawing.text(&key.words, (x + sample + GAP, y), Align::Left, INK);
}
