//! Functions with different formulas on different intervals, elementwise. At a place where two intervals meet, the
//! derivative is PyTorch's.

use super::elementwise::{Real, Scalar};

/// 1 where x < 0, else 0.
fn below<R: Real>(x: R) -> R {
    x.affine(-1.0, 0.0).step()
}

/// |x|, with f'(0) = 0.
#[derive(Debug)]
pub struct Abs;

impl Scalar for Abs {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "abs"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.clone().positive_part() + x.affine(-1.0, 0.0).positive_part()
    }

    fn first<R: Real>(&self, x: R) -> R {
        x.clone().step() - below(x)
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.affine(0.0, 0.0)
    }
}

/// min(max(x, low), high), with f' = 1 at both ends.
#[derive(Debug)]
pub struct Clamp {
    /// The smallest value; −∞ for none.
    pub low: f64,
    /// The largest value; ∞ for none.
    pub high: f64,
}

impl Scalar for Clamp {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "clamp"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.clamp(self.low, self.high)
    }

    fn first<R: Real>(&self, x: R) -> R {
        let mut slope = x.clone().affine(0.0, 1.0);
        if self.low.is_finite() {
            slope = slope - below(x.clone().affine(1.0, -self.low));
        }
        if self.high.is_finite() {
            slope = slope - x.affine(1.0, -self.high).step();
        }
        slope
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.affine(0.0, 0.0)
    }
}

/// min(max(x, low), high), with f' = 0 at both ends: PyTorch's `hardtanh` and `relu6`.
#[derive(Debug)]
pub struct Hardtanh {
    /// The smallest value.
    pub low: f64,
    /// The largest value.
    pub high: f64,
}

impl Scalar for Hardtanh {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "hardtanh"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.clamp(self.low, self.high)
    }

    fn first<R: Real>(&self, x: R) -> R {
        x.clone().affine(1.0, -self.low).step() * x.affine(-1.0, self.high).step()
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.affine(0.0, 0.0)
    }
}

/// 1 where −3 < x < 3, else 0.
fn bend<R: Real>(x: R) -> R {
    x.clone().affine(1.0, 3.0).step() * x.affine(-1.0, 3.0).step()
}

/// min(max(x/6 + 1/2, 0), 1).
#[derive(Debug)]
pub struct Hardsigmoid;

impl Scalar for Hardsigmoid {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "hardsigmoid"
    }

    fn value<R: Real>(&self, x: R) -> R {
        Clamp { low: 0.0, high: 6.0 }.value(x.affine(1.0, 3.0)).affine(1.0 / 6.0, 0.0)
    }

    fn first<R: Real>(&self, x: R) -> R {
        bend(x).affine(1.0 / 6.0, 0.0)
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.affine(0.0, 0.0)
    }
}

/// x min(max(x/6 + 1/2, 0), 1): f' = x/3 + 1/2 and f'' = 1/3 between −3 and 3.
#[derive(Debug)]
pub struct Hardswish;

impl Scalar for Hardswish {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "hardswish"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.clone() * Hardsigmoid.value(x)
    }

    fn first<R: Real>(&self, x: R) -> R {
        bend(x.clone()) * x.clone().affine(1.0 / 3.0, 0.5) + x.affine(1.0, -3.0).step()
    }

    fn second<R: Real>(&self, x: R) -> R {
        bend(x).affine(1.0 / 3.0, 0.0)
    }
}

/// s x where x > 0, else s α (e^(βx) − 1): ELU, SELU and CELU.
#[derive(Debug)]
pub struct Elu {
    /// α.
    pub alpha: f64,
    /// s.
    pub scale: f64,
    /// β.
    pub rate: f64,
}

impl Elu {
    /// e^(βx) where x ≤ 0, else 1.
    fn exponential<R: Real>(&self, x: R) -> R {
        x.affine(-1.0, 0.0).positive_part().affine(-self.rate, 0.0).exp()
    }

    /// 1 where x ≤ 0, else 0.
    fn left<R: Real>(x: R) -> R {
        x.step().affine(-1.0, 1.0)
    }
}

impl Scalar for Elu {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "elu"
    }

    fn value<R: Real>(&self, x: R) -> R {
        let left = self.exponential(x.clone()).affine(self.alpha, -self.alpha);
        (x.positive_part() + left).affine(self.scale, 0.0)
    }

    fn first<R: Real>(&self, x: R) -> R {
        let left = Self::left(x.clone()) * self.exponential(x.clone()).affine(self.alpha * self.rate, 0.0);
        (x.step() + left).affine(self.scale, 0.0)
    }

    fn second<R: Real>(&self, x: R) -> R {
        let curvature = self.scale * self.alpha * self.rate * self.rate;
        Self::left(x.clone()) * self.exponential(x).affine(curvature, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::elementwise::Elementwise;
    use super::*;
    use crate::derivative_check::{check, distinct};

    #[test]
    fn the_four_rules_agree_with_differences() {
        // −4.95, −4.85, …: none lies within a step of a kink.
        let x = [distinct(&[10, 10], 1).affine(1.0, -5.05).expect("shifted numbers")];
        check(&Elementwise(Abs), &x, &[true]);
        check(&Elementwise(Clamp { low: -1.0, high: 0.6 }), &x, &[true]);
        check(&Elementwise(Clamp { low: f64::NEG_INFINITY, high: 0.6 }), &x, &[true]);
        check(&Elementwise(Clamp { low: 0.0, high: f64::INFINITY }), &x, &[true]);
        check(&Elementwise(Hardtanh { low: -1.0, high: 0.6 }), &x, &[true]);
        check(&Elementwise(Hardsigmoid), &x, &[true]);
        check(&Elementwise(Hardswish), &x, &[true]);
        check(&Elementwise(Elu { alpha: 0.7, scale: 1.05, rate: 1.4 }), &x, &[true]);
    }

    #[test]
    fn derivatives_where_intervals_meet_are_pytorchs() {
        let clamp = Clamp { low: -1.0, high: 1.0 };
        assert_eq!([-1.0, 1.0, 1.5].map(|x: f64| clamp.first(x)), [1.0, 1.0, 0.0]);
        assert_eq!([0.0, 3.0, 6.0].map(|x: f64| Hardtanh { low: 0.0, high: 6.0 }.first(x)), [0.0, 1.0, 0.0]);
        assert_eq!(Abs.first(0.0_f64), 0.0);
        assert_eq!([-3.0, 3.0].map(|x: f64| Hardsigmoid.first(x)), [0.0, 0.0]);
        assert_eq!(Elu { alpha: 1.0, scale: 1.0, rate: 1.0 }.first(0.0_f64), 1.0);
        assert!(clamp.value(f64::NAN).is_nan());
        // Tiny numbers keep their digits.
        assert_eq!(Clamp { low: 0.0, high: 6.0 }.value(1e-30_f32), 1e-30);
    }
}
