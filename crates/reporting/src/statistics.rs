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

/// y = factor · x^exponent, fitted by least squares of the logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PowerLaw {
    pub(crate) exponent: f64,
    /// From the points' distances to the line; unknown of two places.
    pub(crate) stderr: Option<f64>,
    factor: f64,
}

impl PowerLaw {
    /// Of the points that have logarithms; none where these have fewer than two places.
    pub(crate) fn fitted(points: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let logarithms: Vec<(f64, f64)> =
            points.map(|(x, y)| (x.ln(), y.ln())).filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let count = logarithms.len() as f64;
        let mean = |part: fn(&(f64, f64)) -> f64| logarithms.iter().map(part).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
        let squares: f64 = logarithms.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let products: f64 = logarithms.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let exponent = Some(products / squares).filter(|slope| slope.is_finite())?;
        let apart = |(x, y): &(f64, f64)| (y - mean_y - exponent * (x - mean_x)).powi(2);
        let left: f64 = logarithms.iter().map(apart).sum();
        let stderr = (logarithms.len() > 2).then(|| (left / (count - 2.0) / squares).sqrt());
        Some(Self { exponent, stderr, factor: (mean_y - exponent * mean_x).exp() })
    }

    pub(crate) fn at(&self, x: f64) -> f64 {
        self.factor * x.powf(self.exponent)
    }
}

#[cfg(test)]
mod tests {
    use super::{Moments, PowerLaw};

    #[test]
    fn a_power_law_has_its_exponent() {
        let root = |sizes: &[f64]| PowerLaw::fitted(sizes.iter().map(|size| (*size, 3.0 * size.sqrt())));
        let law = root(&[2.0, 8.0, 100.0]);
        assert!(law.is_some_and(|law| (law.exponent - 0.5).abs() < 1e-12 && (law.at(4.0) - 6.0).abs() < 1e-12));
        assert!(law.and_then(|law| law.stderr).is_some_and(|stderr| stderr < 1e-12));
        assert_eq!(root(&[2.0, 3.0]).and_then(|law| law.stderr), None);
        assert_eq!(root(&[2.0]), None);
        assert_eq!(root(&[2.0, 2.0]), None);
        assert_eq!(PowerLaw::fitted([(2.0, 1.0), (4.0, -1.0), (8.0, f64::NAN)].into_iter()), None);
    }

    /// Four points one decade apart, off a line by ±d in turns: slope −0.4 d and residuals known by hand.
    #[test]
    fn its_standard_error_is_that_of_the_regression() {
        let points = [1.0, -1.0, 1.0, -1.0].iter().zip(0..).map(|(sign, x)| (f64::from(x).exp(), f64::exp(0.1 * sign)));
        let law = PowerLaw::fitted(points);
        assert!(law.is_some_and(|law| (law.exponent + 0.04).abs() < 1e-12));
        // Residuals 0.04, −0.12, 0.12, −0.04: √(0.032/2/5).
        assert!(law.and_then(|law| law.stderr).is_some_and(|stderr| (stderr - 0.0032_f64.sqrt()).abs() < 1e-12));
    }

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
