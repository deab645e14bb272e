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

/// A difference of two means with the 95 % confidence interval of Welch ("The generalization of 'Student's' problem when several
/// different population variances are involved", 1947): d ± t √(s₁²/n₁ + s₂²/n₂), t with the degrees of freedom that he gives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    pub(crate) value: f64,
    pub(crate) half_width: f64,
}

impl Difference {
    /// `a` − `b`; none where a spread is unknown or both are 0.
    pub(crate) fn of(a: &Moments, b: &Moments) -> Option<Self> {
        let square = |moments: &Moments| Some(moments.std?.powi(2) / moments.count as f64);
        let (ours, theirs) = (square(a)?, square(b)?);
        let sum = ours + theirs;
        let freedom = sum.powi(2) / (ours.powi(2) / (a.count - 1) as f64 + theirs.powi(2) / (b.count - 1) as f64);
        let half_width = student_quantile(freedom)? * sum.sqrt();
        Some(Self { value: a.mean - b.mean, half_width }).filter(|found| found.value.is_finite())
    }

    /// Whether the interval leaves out 0.
    pub(crate) fn is_told(&self) -> bool {
        self.value.abs() > self.half_width
    }

    /// The ends of the interval.
    pub(crate) fn interval(&self) -> [f64; 2] {
        [self.value - self.half_width, self.value + self.half_width]
    }
}

/// The t that a Student variable stays within with probability 95 %, to rounding; none for no number of degrees of freedom.
fn student_quantile(freedom: f64) -> Option<f64> {
    (freedom.is_finite() && freedom > 0.0).then_some(())?;
    let beyond = |t: f64| incomplete_beta(freedom / (freedom + t * t), freedom / 2.0, 0.5);
    let (mut low, mut high) = (0.0, 1.0);
    while beyond(high) > 0.05 {
        high *= 2.0;
    }
    for _ in 0..HALVINGS {
        let middle = (low + high) / 2.0;
        if beyond(middle) > 0.05 { low = middle } else { high = middle }
    }
    Some((low + high) / 2.0)
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun, 26.5.8) from its last
/// terms on.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    // Past its middle the fraction converges slowly, and the other tail is taken.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let term = |n: u32| {
        let m = f64::from(n / 2);
        match n % 2 {
            0 => m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            _ => -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        }
    };
    let fraction = (1..=TERMS).rev().fold(1.0, |rest, n| 1.0 + term(n) / rest);
    let logarithm = a * x.ln() + b * (-x).ln_1p() + libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b);
    logarithm.exp() / (a * fraction)
}

/// y = intercept + slope · x, fitted by least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StraightLine {
    pub(crate) slope: f64,
    /// Of the slope, from the points' distances to the line; unknown of two points.
    pub(crate) stderr: Option<f64>,
    intercept: f64,
}

impl StraightLine {
    /// Of the points that are finite; none where these have fewer than two places.
    pub(crate) fn fitted(points: impl Iterator<Item = (f64, f64)>) -> Option<Self> {
        let points: Vec<(f64, f64)> = points.filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
        let count = points.len() as f64;
        let mean = |part: fn(&(f64, f64)) -> f64| points.iter().map(part).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
        let squares: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let products: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
        let slope = Some(products / squares).filter(|slope| slope.is_finite())?;
        let apart = |(x, y): &(f64, f64)| (y - mean_y - slope * (x - mean_x)).powi(2);
        let left: f64 = points.iter().map(apart).sum();
        let stderr = (points.len() > 2).then(|| (left / (count - 2.0) / squares).sqrt());
        Some(Self { slope, stderr, intercept: mean_y - slope * mean_x })
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
        let line = StraightLine::fitted(points.map(|(x, y)| (x.ln(), y.ln())))?;
        Some(Self { exponent: line.slope, stderr: line.stderr, factor: line.intercept.exp() })
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
/// Halvings of a range, after which it is narrower than rounding matters for.
const HALVINGS: usize = 60;
/// Of the continued fraction of the incomplete beta function, which with b = 1/2 needs far fewer.
const TERMS: u32 = 200;

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
    use super::{Difference, FoldedNormal, Moments, PowerLaw, StraightLine, student_quantile};

    /// In closed form at 1 and 2 degrees of freedom, tan(0.475 π) and 0.95 / √(2 · 0.975 · 0.025); the others by Simpson's rule on the
    /// density.
    #[test]
    fn quantiles_are_those_of_student() {
        for (freedom, expected) in [
            (1.0, 12.706204736174696),
            (2.0, 4.302652729749464),
            (50.0 / 17.0, 3.2187586145),
            (4.0, 2.7764451052),
            (10.0, 2.2281388520),
            (1000.0, 1.9623390808),
        ] {
            let found = student_quantile(freedom);
            assert!(found.is_some_and(|found| (found / expected - 1.0).abs() < 1e-10), "{freedom}: {found:?}");
        }
        assert_eq!([0.0, f64::NAN].map(student_quantile), [None, None]);
    }

    /// Of 1, 2, 3 against 4, 6, 8: variances 1 and 4, so s² = 5/3 with (5/3)²/((1/3)²/2 + (4/3)²/2) = 50/17 degrees of freedom.
    #[test]
    fn a_difference_has_the_interval_of_welch() {
        let moments = |values: &[f64]| Moments::of(values).unwrap_or(Moments { mean: f64::NAN, std: None, count: 0 });
        let found = Difference::of(&moments(&[4.0, 6.0, 8.0]), &moments(&[1.0, 2.0, 3.0]));
        let half_width = 3.2187586145 * (5.0_f64 / 3.0).sqrt();
        assert!(found.is_some_and(|found| found.value == 4.0 && (found.half_width - half_width).abs() < 1e-9));
        assert_eq!(found.map(|found| found.is_told()), Some(false));
        assert_eq!(Difference::of(&moments(&[4.0, 6.0]), &moments(&[1.0])), None);
        assert_eq!(Difference::of(&moments(&[4.0, 4.0]), &moments(&[1.0, 1.0])), None);
        assert_eq!(Difference::of(&moments(&[4.0, f64::NAN]), &moments(&[1.0, 2.0])), None);
    }

    #[test]
    fn a_straight_line_has_its_slope() {
        let line = StraightLine::fitted([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0), (f64::NAN, 9.0)].into_iter());
        assert!(line.is_some_and(|line| line.slope == 2.0 && line.intercept == 1.0 && line.stderr == Some(0.0)));
        assert_eq!(StraightLine::fitted([(1.0, 1.0), (1.0, 3.0)].into_iter()), None);
    }

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
