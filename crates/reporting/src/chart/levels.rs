//! Which levels a function's contour lines have: round numbers in equal steps, or in equal ratios.

use super::scale::{decimal_label, linear_label, round_step};

/// Equal steps between levels and along axes, or equal ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// Equal steps.
    Linear,
    /// Equal ratios, for losses over decades. What is not positive lies below all levels.
    Logarithmic,
}

/// A level with its label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    pub(crate) value: f64,
    pub(crate) label: String,
}

/// As many levels as a picture has at the most.
const MOST: usize = 12;
/// Past this ratio there are enough round numbers in equal ratios.
const LOGARITHMIC_FROM: f64 = 10.0;
/// Round numbers within a decade, from close to far.
const WITHIN_A_DECADE: [&[u32]; 4] = [&[10, 15, 20, 30, 50, 70], &[10, 20, 50], &[10, 30], &[10]];

/// At most twelve round levels strictly between the ends. Linear ones are multiples of 1, 2 or 5 times a power of ten;
/// logarithmic ones take six, three, two or one number of each decade, or one of several decades.
pub(crate) fn levels(low: f64, high: f64, spacing: Spacing) -> Vec<Level> {
    match spacing {
        Spacing::Logarithmic if low > 0.0 && high / low >= LOGARITHMIC_FROM => logarithmic(low, high),
        _ if low < high => linear(low, high),
        _ => Vec::new(),
    }
}

fn linear(low: f64, high: f64) -> Vec<Level> {
    // One less than there may be: n steps have up to n + 1 ends. Divided first, since the difference may overflow.
    let steps = (MOST - 1) as f64;
    let step = round_step(high / steps - low / steps);
    let multiples = (low / step).floor() as i64..=(high / step).ceil() as i64;
    let levels = multiples.map(|multiple| {
        let value = multiple as f64 * step;
        Level { value, label: linear_label(value, step) }
    });
    let mut levels: Vec<Level> = levels.filter(|level| level.value > low && level.value < high).collect();
    // Between ends that are hardly two numbers steps are too small to be seen.
    levels.dedup_by(|next, one| next.value == one.value);
    levels
}

fn logarithmic(low: f64, high: f64) -> Vec<Level> {
    let dense = WITHIN_A_DECADE.into_iter().map(|factors| (factors, 1));
    let sparse = (2..).map(|stride| (WITHIN_A_DECADE[3], stride));
    let few = dense.chain(sparse).map(|(factors, stride)| of_decades(low, high, factors, stride));
    few.into_iter().find(|levels| levels.len() <= MOST).unwrap_or_default()
}

fn of_decades(low: f64, high: f64, factors: &[u32], stride: i32) -> Vec<Level> {
    let decades = (low.log10().floor() as i32..=high.log10().ceil() as i32).filter(|at| at.rem_euclid(stride) == 0);
    let round = decades.flat_map(|decade| factors.iter().map(move |factor| (factor, decade)));
    let levels = round.filter_map(|(factor, decade)| {
        // Read as written: a product of powers of ten is not the nearest number to what its label says.
        let value: f64 = format!("{factor}e{}", decade - 1).parse().ok()?;
        Some(Level { value, label: decimal_label(value) })
    });
    levels.filter(|level| level.value > low && level.value < high).collect()
}

#[cfg(test)]
mod tests {
    use super::{Spacing, levels};

    fn labels(low: f64, high: f64, spacing: Spacing) -> Vec<String> {
        levels(low, high, spacing).into_iter().map(|level| level.label).collect()
    }

    #[test]
    fn linear_levels_are_round_and_inside() {
        assert_eq!(labels(0.0, 2.0, Spacing::Linear), ["0.2", "0.4", "0.6", "0.8", "1.0", "1.2", "1.4", "1.6", "1.8"]);
        assert_eq!(labels(-1.0, 1.0, Spacing::Linear).len(), 9);
        assert_eq!(labels(-1.0, 1.0, Spacing::Linear)[0], "−0.8");
        assert_eq!(labels(3.0, 3.0, Spacing::Linear), [""; 0]);
    }

    #[test]
    fn logarithmic_levels_grow_sparse_with_the_decades() {
        let log = |low, high| labels(low, high, Spacing::Logarithmic);
        assert_eq!(log(0.9, 50.0), ["1", "1.5", "2", "3", "5", "7", "10", "15", "20", "30"]);
        assert_eq!(log(0.015, 30.0), ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20"]);
        assert_eq!(log(4e-3, 3.5e3).len(), 12);
        assert_eq!(log(4e-3, 3.5e3)[..3], ["0.01", "0.03", "0.1"]);
        assert_eq!(log(0.5e-5, 2e3), ["1e−5", "1e−4", "0.001", "0.01", "0.1", "1", "10", "100", "1000"]);
        assert_eq!(log(1e-20, 2.0).first().map(String::as_str), Some("1e−18"));
        // Within a decade equal steps have more round numbers.
        assert_eq!(log(1.0, 2.0), labels(1.0, 2.0, Spacing::Linear));
    }

    #[test]
    fn there_are_never_more_than_twelve_and_they_ascend() {
        let ends = [5e-324, 1e-300, 1e-17, 0.1, 0.99, 1.0, 1.0 + 1e-15, 7.0, 1e3, 1e17, 1e308];
        for (at, &low) in ends.iter().enumerate() {
            for &high in &ends[at + 1..] {
                for (low, high) in [(low, high), (-high, -low), (-high, high)] {
                    for spacing in [Spacing::Linear, Spacing::Logarithmic] {
                        let found = levels(low, high, spacing);
                        assert!(found.len() <= 12, "{low} {high} {spacing:?}");
                        assert!(found.is_sorted_by(|one, next| one.value < next.value));
                        assert!(found.iter().all(|level| level.value > low && level.value < high));
                    }
                }
            }
        }
    }
}
