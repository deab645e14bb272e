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

/// E|g| of a normal g of mean μ and standard deviation σ/√B, which falls as B^{−1/2} while noise outweighs the mean and then levels off
/// at |μ|: s √(2/π) e^{−μ²/2s²} + |μ| erf(|μ|/(√2 s)) with s = σ/√B.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FoldedNormal {
    /// |μ|.
    pub(crate) mean: f64,
    /// σ.
    pub(crate) deviation: f64,
}

/// ln(μ²/σ²) within which the fit is sought: batch sizes from 1 to 10¹² at which the mean outweighs the noise.
const LOGARITHMS: (f64, f64) = (-27.6, 0.0);
/// Halvings of that range, after which it is narrower than rounding matters for.
const HALVINGS: usize = 60;

impl FoldedNormal {
    /// Nearest to the points (B, E|g|) in the logarithm; none of fewer than three, or where one is not positive.
    pub(crate) fn fitted(points: &[(f64, f64)]) -> Option<Self> {
        if points.len() < 3 || points.iter().any(|&(size, value)| !(size > 0.0 && value > 0.0 && value.is_finite())) {
            return None;
        }
        // With the ratio μ/σ given, ln σ is the mean of what is left; golden sections find the ratio.
        let of = |logarithm: f64| {
            let unit = Self { mean: (logarithm / 2.0).exp(), deviation: 1.0 };
            let left: Vec<f64> = points.iter().map(|&(size, value)| (value / unit.at(size)).ln()).collect();
            let mean = left.iter().sum::<f64>() / left.len() as f64;
            (left.iter().map(|value| (value - mean).powi(2)).sum::<f64>(), mean.exp() * unit.mean, mean.exp())
        };
        let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
        let (mut low, mut high) = LOGARITHMS;
        for _ in 0..HALVINGS {
            let (left, right) = (high - golden * (high - low), low + golden * (high - low));
            if of(left).0 <= of(right).0 { high = right } else { low = left }
        }
        let (_, mean, deviation) = of((low + high) / 2.0);
        Some(Self { mean, deviation })
    }

    /// E|g| at a batch size.
    pub(crate) fn at(&self, size: f64) -> f64 {
        let s = self.deviation / size.sqrt();
        let ratio = self.mean / (std::f64::consts::SQRT_2 * s);
        s * (2.0 / std::f64::consts::PI).sqrt() * (-ratio * ratio).exp() + self.mean * libm::erf(ratio)
    }

    /// The batch size σ²/μ² at which the mean is as large as the noise.
    pub(crate) fn turn(&self) -> f64 {
        (self.deviation / self.mean).powi(2)
    }
}

#[cfg(test)]
mod tests {
    use super::{FoldedNormal, Moments, PowerLaw};

    #[test]
    fn a_folded_normal_is_found_again() {
        let sizes = [8.0, 32.0, 128.0, 512.0, 2048.0];
        for (mean, deviation) in [(0.01, 0.3), (0.5, 1.0), (1e-4, 1e-2)] {
            let law = FoldedNormal { mean, deviation };
            let points: Vec<(f64, f64)> = sizes.iter().map(|&size| (size, law.at(size))).collect();
            let found = FoldedNormal::fitted(&points);
            // The end of golden sections on a flat minimum: half the digits.
            let close = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-4;
            assert!(
                found.is_some_and(|found| close(found.mean, mean) && close(found.deviation, deviation)),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_folded_normal_has_its_known_ends() {
        let law = FoldedNormal { mean: 0.02, deviation: 1.0 };
        assert!((law.at(1.0) - (2.0 / std::f64::consts::PI).sqrt()).abs() < 1e-3);
        assert!((law.at(1e8) - 0.02).abs() < 1e-12 && law.turn() == 2500.0);
        assert_eq!(FoldedNormal::fitted(&[(1.0, 1.0), (2.0, 1.0)]), None);
        assert_eq!(FoldedNormal::fitted(&[(1.0, 1.0), (2.0, 0.0), (3.0, 1.0)]), None);
    }

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
