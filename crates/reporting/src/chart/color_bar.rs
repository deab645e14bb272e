//! The bar beside a plot that says which value a colour stands for.

use super::axes::Region;
use super::drawing::{Align, Color, Drawing, TEXT};
use super::font;
use super::levels::Level;
use super::palette::INK;
use super::scale::{Scale, Tick};

/// Colours from the lowest to the highest value, and labels beside them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ColorBar {
    name: String,
    /// One above the other, equally high.
    colors: Vec<Color>,
    /// Positions from 0 to 1.
    labels: Vec<(f64, String)>,
}

const WIDTH: f64 = 36.0;
const TICK: f64 = 9.0;
const GAP: f64 = 10.0;
const LINE_HEIGHT: f64 = 1.25 * TEXT;
/// Slices of a bar without steps.
const SLICES: usize = 128;

impl ColorBar {
    /// One colour below the lowest level, one above each: equally high bands whatever the levels.
    pub(crate) fn banded(name: &str, colors: Vec<Color>, levels: &[Level]) -> Self {
        let place = |(at, level): (usize, &Level)| ((at + 1) as f64 / (levels.len() + 1) as f64, level.label.clone());
        Self { name: name.into(), colors, labels: levels.iter().enumerate().map(place).collect() }
    }

    /// A colour for each position on a scale.
    pub(crate) fn continuous(name: &str, scale: &Scale, color: impl Fn(f64) -> Color) -> Self {
        let colors = (0..SLICES).map(|slice| color((slice as f64 + 0.5) / SLICES as f64)).collect();
        let place = |tick: Tick| {
            let position = scale.position(tick.value).filter(|position| (0.0..=1.0).contains(position))?;
            Some((position, tick.label?))
        };
        Self { name: name.into(), colors, labels: scale.ticks().into_iter().filter_map(place).collect() }
    }

    /// What it needs to the right of a plot.
    pub(crate) fn width(&self) -> f64 {
        let widest = self.labels.iter().map(|(_, label)| font::width(label)).fold(0.0, f64::max);
        WIDTH + TICK + 2.0 * GAP + widest + LINE_HEIGHT
    }

    /// Draws it into a region as wide as [`ColorBar::width`].
    pub(crate) fn draw(&self, drawing: &mut Drawing, region: Region) {
        let Region { left, top, right, bottom } = region;
        let edge = left + WIDTH;
        let height = |position: f64| bottom - position * (bottom - top);
        for (at, &color) in self.colors.iter().enumerate() {
            // Up to the top: what the next one leaves of it has no seam.
            let foot = height(at as f64 / self.colors.len() as f64);
            drawing.polygon(vec![(left, foot), (edge, foot), (edge, top), (left, top)], color);
        }
        drawing.path(vec![(left, top), (edge, top), (edge, bottom), (left, bottom), (left, top)], INK, 2);
        let mut free = f64::INFINITY;
        for (position, label) in &self.labels {
            let y = height(*position);
            drawing.path(vec![(edge, y), (edge + TICK, y)], INK, 2);
            if y + 0.5 * TEXT < free {
                drawing.text(label, (edge + TICK + GAP, y), Align::Left, INK);
                free = y - 0.5 * TEXT;
            }
        }
        drawing.climbing_text(&self.name, (right - LINE_HEIGHT / 2.0, (top + bottom) / 2.0), INK);
    }
}

#[cfg(test)]
mod tests {
    use super::ColorBar;
    use crate::chart::drawing::Color;
    use crate::chart::levels::{Spacing, levels};
    use crate::chart::scale::Scale;

    #[test]
    fn a_level_stands_between_the_colours_that_it_parts() {
        let levels = levels(0.0, 0.45, Spacing::Linear);
        let colors = vec![Color(0, 0, 0); levels.len() + 1];
        let bar = ColorBar::banded("loss", colors, &levels);
        assert_eq!(levels.len(), 8);
        assert!((bar.labels[0].0 - 1.0 / 9.0).abs() < 1e-12 && bar.labels[0].1 == "0.05");
    }

    #[test]
    fn a_bar_without_steps_has_its_ticks_at_their_colours() {
        let bar =
            ColorBar::continuous("loss", &Scale::between_in_ratios(0.1, 1000.0), |t| Color((255.0 * t) as u8, 0, 0));
        assert!(bar.labels.contains(&(0.25, "1".into())), "{:?}", bar.labels);
        assert!(bar.colors.is_sorted_by_key(|color| color.0));
    }
}
