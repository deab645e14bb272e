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
    let rows = rows(&keys, width - 2.0 * EDGE);
    drawing.height += (ROW * rows.len().saturating_sub(FREE_ROWS) as f64) as u32;
    let height = f64::from(drawing.height);
    let mut top = EDGE;
    for row in &rows {
        let mut left = EDGE;
        for key in *row {
            draw_key(drawing, key, (left, top + ROW / 2.0));
            left += needed(key) + BETWEEN;
        }
        top += ROW;
    }
    drawing.marks.keys = keys;
    Region { left: EDGE, top, right: width - EDGE, bottom: height - EDGE }
}

/// Even rows where these are few, else as few rows as can be.
fn rows(keys: &[Key], width: f64) -> Vec<&[Key]> {
    let even: Vec<&[Key]> = keys.chunks(per_row(keys, width)).collect();
    if even.len() > FREE_ROWS { full_rows(keys, width) } else { even }
}

/// As many keys in each row as it holds.
fn full_rows(keys: &[Key], width: f64) -> Vec<&[Key]> {
    let mut rows = Vec::new();
    let mut rest = keys;
    while !rest.is_empty() {
        let mut reach = -BETWEEN;
        let fitting = rest.iter().take_while(|key| {
            reach += needed(key) + BETWEEN;
            reach <= width
        });
        let (row, others) = rest.split_at(fitting.count().max(1));
        rows.push(row);
        rest = others;
    }
    rows
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key(words: &str) -> Key {
        Key { words: words.into(), color: INK, line: Some(Dash::Solid), marker: None }
    }

    #[test]
    fn words_that_would_run_off_the_paper_are_shortened_and_others_are_not() {
        let short = key("without the easiest 30 %, batch 144");
        assert_eq!(fitting(&short, 984.0), short);
        let long = fitting(&key(&"without the easiest ".repeat(5)), 984.0);
        assert!(long.words.starts_with("without the easiest without") && long.words.ends_with('…'), "{}", long.words);
        assert!(needed(&long) <= 984.0);
    }

    #[test]
    fn the_plot_keeps_its_height_below_many_keys() {
        let height = |count| {
            let mut drawing = Drawing::default();
            let words: Vec<Key> =
                (0..count).map(|index| key(&format!("without the easiest 30 %, batch {index}"))).collect();
            let region = draw(&mut drawing, &words);
            region.bottom - region.top
        };
        assert!(height(4) < height(1) && height(8) > height(4) - 1.0, "{} {}", height(8), height(4));
    }

    #[test]
    fn uneven_keys_take_as_few_rows_as_can_be() {
        let [short, long] = ["batch 16".to_owned(), "long ".repeat(9)];
        let words = [&short, &short, &long, &long, &short, &short, &short].map(|words| key(words));
        assert_eq!(per_row(&words, 984.0), 1);
        let rows = rows(&words, 984.0);
        assert_eq!(rows.concat(), words);
        let width = |row: &[Key]| row.iter().map(needed).sum::<f64>() + BETWEEN * (row.len() - 1) as f64;
        assert!(rows.iter().all(|row| width(row) <= 984.0));
        let with_next = |pair: &[&[Key]]| width(&[pair[0], &pair[1][..1]].concat());
        assert!(rows.windows(2).all(|pair| with_next(pair) > 984.0), "every row is full");
    }
}
