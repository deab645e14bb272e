//! Colours for values, made from paths through CIELAB, in which equal distances look equal.
//!
//! A colour is (L\*, C, h): lightness, chroma and hue angle, with a\* = C cos h and b\* = C sin h, under the white D65.
//! - **Sequential**, t from 0 to 1: L\* = 22 + 70 t, so that equal steps are equal steps of grey; h = 300° − 240° t + 40° t²,
//!   from blue over green to yellow; C = 25 + 47 t³, which stays inside what a screen can show.
//! - **Diverging**, s from −1 to 1: L\* = 94 − 54 |s|, nearly white at 0 and equally dark at both ends; below 0 blue, h = 275°,
//!   C = 64 |s| − 24 s²; above 0 orange-brown, h = 50°, C = 80 |s| − 24 s². Blue and orange stay apart for eyes that lack
//!   red or green cones.

use super::drawing::Color;
use super::scale::Scale;

/// Which colours stand for the values from the lowest to the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColorMap {
    /// From dark blue to light yellow.
    Sequential,
    /// From blue over near white to orange-brown, for values to both sides of a middle.
    Diverging,
}

/// Which colours the values have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Colors {
    pub(crate) map: ColorMap,
    pub(crate) scale: Scale,
}

impl ColorMap {
    /// The colour at a position from 0 to 1.
    pub(crate) fn color(self, position: f64) -> Color {
        let [red, green, blue] = self.linear(position).map(|channel| (255.0 * encoded(channel)).round() as u8);
        Color(red, green, blue)
    }

    /// The same under a light of this brightness, 1 for the colour itself.
    pub(crate) fn lit(self, position: f64, brightness: f64) -> Color {
        let linear = self.linear(position);
        let [red, green, blue] = linear.map(|channel| (255.0 * encoded(brightness * channel)).round() as u8);
        Color(red, green, blue)
    }

    /// Linear red, green and blue.
    fn linear(self, position: f64) -> [f64; 3] {
        let [lightness, chroma, hue] = self.path(position.clamp(0.0, 1.0));
        let (sin, cos) = hue.to_radians().sin_cos();
        from_lab([lightness, chroma * cos, chroma * sin])
    }

    /// Lightness, chroma and hue in degrees.
    fn path(self, t: f64) -> [f64; 3] {
        match self {
            Self::Sequential => [22.0 + 70.0 * t, 25.0 + 47.0 * t.powi(3), 300.0 - 240.0 * t + 40.0 * t * t],
            Self::Diverging => {
                let s = (2.0 * t - 1.0).abs();
                let (hue, slope) = if t < 0.5 { (275.0, 64.0) } else { (50.0, 80.0) };
                [94.0 - 54.0 * s, slope * s - 24.0 * s * s, hue]
            }
        }
    }
}

/// From CIELAB under D65 to linear sRGB (IEC 61966-2-1).
fn from_lab([lightness, a, b]: [f64; 3]) -> [f64; 3] {
    let y = (lightness + 16.0) / 116.0;
    let inverse = |t: f64| if t > 6.0 / 29.0 { t.powi(3) } else { 3.0 * (6.0f64 / 29.0).powi(2) * (t - 4.0 / 29.0) };
    let [x, y, z] = [0.95047 * inverse(y + a / 500.0), inverse(y), 1.08883 * inverse(y - b / 200.0)];
    [3.2406 * x - 1.5372 * y - 0.4986 * z, -0.9689 * x + 1.8758 * y + 0.0415 * z, 0.0557 * x - 0.2040 * y + 1.0570 * z]
}

/// From a linear channel to the one that is stored.
fn encoded(channel: f64) -> f64 {
    let channel = channel.clamp(0.0, 1.0);
    if channel <= 0.003_130_8 { 12.92 * channel } else { 1.055 * channel.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::ColorMap;
    use crate::chart::drawing::Color;

    type Matrix = [[f64; 3]; 3];

    /// What eyes without red cones and without green cones see, on linear sRGB (Machado, Oliveira and Fernandes, 2009,
    /// severity 1).
    const PROTANOPIA: Matrix =
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]];
    const DEUTERANOPIA: Matrix =
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]];
    const NORMAL: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    /// A difference that is seen at once.
    const APART: f64 = 5.0;

    /// CIELAB of a stored colour, written apart from the way there.
    fn lab(Color(red, green, blue): Color, seen: Matrix) -> [f64; 3] {
        let decoded = |channel: u8| {
            let channel = f64::from(channel) / 255.0;
            if channel <= 0.04045 { channel / 12.92 } else { ((channel + 0.055) / 1.055).powf(2.4) }
        };
        let linear = [red, green, blue].map(decoded);
        let product = |matrix: Matrix, vector: [f64; 3]| {
            matrix.map(|row| row.iter().zip(vector).map(|(one, other)| one * other).sum::<f64>())
        };
        let seen = product(seen, linear).map(|channel| channel.clamp(0.0, 1.0));
        let to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]];
        let [x, y, z] = product(to_xyz, seen);
        let f = |t: f64| {
            if t > (6.0f64 / 29.0).powi(3) { t.cbrt() } else { t * (29.0f64 / 6.0).powi(2) / 3.0 + 4.0 / 29.0 }
        };
        let [x, y, z] = [f(x / 0.95047), f(y), f(z / 1.08883)];
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    fn difference(one: Color, other: Color, seen: Matrix) -> f64 {
        let squares = lab(one, seen).into_iter().zip(lab(other, seen)).map(|(one, other)| (one - other).powi(2));
        squares.sum::<f64>().sqrt()
    }

    fn along(map: ColorMap, count: usize) -> Vec<Color> {
        (0..count).map(|at| map.color(at as f64 / (count - 1) as f64)).collect()
    }

    #[test]
    fn the_paths_stay_inside_what_a_screen_shows() {
        for map in [ColorMap::Sequential, ColorMap::Diverging] {
            for step in 0..=1000 {
                let linear = map.linear(f64::from(step) / 1000.0);
                assert!(linear.iter().all(|channel| (0.0..=1.0).contains(channel)), "{map:?} {step} {linear:?}");
            }
        }
    }

    #[test]
    fn lightness_grows_in_equal_steps() {
        for (at, color) in along(ColorMap::Sequential, 101).into_iter().enumerate() {
            assert!((lab(color, NORMAL)[0] - (22.0 + 0.7 * at as f64)).abs() < 0.4, "{at}");
        }
        for (at, color) in along(ColorMap::Diverging, 201).into_iter().enumerate() {
            let distance = (at as f64 / 100.0 - 1.0).abs();
            assert!((lab(color, NORMAL)[0] - (94.0 - 54.0 * distance)).abs() < 0.4, "{at}");
        }
    }

    #[test]
    fn no_part_of_a_map_takes_far_larger_steps_than_another() {
        for map in [ColorMap::Sequential, ColorMap::Diverging] {
            let colors = along(map, 65);
            let steps: Vec<f64> = colors.windows(2).map(|pair| difference(pair[0], pair[1], NORMAL)).collect();
            let (least, most) =
                steps.iter().fold((f64::MAX, 0.0f64), |(low, high), &step| (low.min(step), high.max(step)));
            assert!(most < 3.0 * least, "{map:?} {least} {most}");
        }
    }

    #[test]
    fn neighbouring_levels_stay_apart_for_every_eye_and_in_grey() {
        for map in [ColorMap::Sequential, ColorMap::Diverging] {
            // Twelve levels part thirteen colours.
            for pair in along(map, 13).windows(2) {
                for seen in [NORMAL, PROTANOPIA, DEUTERANOPIA] {
                    assert!(difference(pair[0], pair[1], seen) > APART, "{map:?} {pair:?}");
                }
                let grey = (lab(pair[0], NORMAL)[0] - lab(pair[1], NORMAL)[0]).abs();
                assert!(grey > APART, "{map:?} {pair:?} {grey}");
            }
        }
    }

    #[test]
    fn the_two_sides_of_the_diverging_map_are_told_apart_by_every_eye() {
        for part in 1..=6 {
            let distance = f64::from(part) / 12.0;
            let [below, above] = [0.5 - distance, 0.5 + distance].map(|at| ColorMap::Diverging.color(at));
            for seen in [NORMAL, PROTANOPIA, DEUTERANOPIA] {
                assert!(difference(below, above, seen) > 2.0 * APART, "{part}");
            }
        }
    }

    #[test]
    fn less_light_is_darker_and_full_light_the_colour_itself() {
        let map = ColorMap::Sequential;
        assert_eq!(map.lit(0.7, 1.0), map.color(0.7));
        assert!(lab(map.lit(0.7, 0.6), NORMAL)[0] < lab(map.color(0.7), NORMAL)[0] - 10.0);
    }
}
