//! Mean and spread over seeds, and what may be said of two of them.

/// Mean and sample standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    pub(crate) mean: f64,
    /// Divisor count − 1; unknown for one value.
    pub(crate) std: Option<f64>,
    pub(crate) count: usize,
}

impl Moments {
    /// None of no values.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        Some(Self { mean, std, count: values.len() })
    }

    /// Whether the intervals mean ± std have a point in common; unknown without both spreads.
    pub(crate) fn overlaps(&self, other: &Self) -> Option<bool> {
        let (ours, theirs) = (self.std?, other.std?);
        let between = (self.mean - other.mean).abs() - (ours + theirs);
        // Nothing may be claimed of a NaN.
        Some(between.is_nan() || between <= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Moments;

    #[test]
    fn the_spread_is_that_of_a_sample() {
        let moments = Moments::of(&[1.0, 2.0, 3.0]).map(|moments| (moments.mean, moments.std, moments.count));
        assert_eq!(moments, Some((2.0, Some(1.0), 3)));
        assert_eq!(Moments::of(&[5.0]).and_then(|moments| moments.std), None);
        assert_eq!(Moments::of(&[]), None);
    }

    #[test]
    fn nothing_is_told_apart_by_nan_or_by_single_values() {
        let of = |mean, std| Moments { mean, std, count: 2 };
        assert_eq!(of(1.0, Some(0.4)).overlaps(&of(2.0, Some(0.5))), Some(false));
        assert_eq!(of(1.0, Some(0.6)).overlaps(&of(2.0, Some(0.5))), Some(true));
        assert_eq!(of(f64::NAN, Some(0.1)).overlaps(&of(2.0, Some(0.1))), Some(true));
        assert_eq!(of(1.0, None).overlaps(&of(2.0, Some(0.5))), None);
    }
}
