//! Elementary functions of analysis, elementwise.

use super::elementwise::{Real, Scalar};

/// eˣ.
#[derive(Debug)]
pub struct Exp;

impl Scalar for Exp {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "exp"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.exp()
    }

    fn first<R: Real>(&self, x: R) -> R {
        x.exp()
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.exp()
    }
}

/// log x, with f' = 1/x, f'' = −1/x².
#[derive(Debug)]
pub struct Log;

impl Scalar for Log {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "log"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.ln()
    }

    fn first<R: Real>(&self, x: R) -> R {
        x.recip()
    }

    fn second<R: Real>(&self, x: R) -> R {
        let r = x.recip();
        (r.clone() * r).affine(-1.0, 0.0)
    }
}

/// log(1 + x), with f' = 1/(1 + x), f'' = −1/(1 + x)².
#[derive(Debug)]
pub struct Log1p;

impl Scalar for Log1p {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "log1p"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.ln_1p()
    }

    fn first<R: Real>(&self, x: R) -> R {
        x.affine(1.0, 1.0).recip()
    }

    fn second<R: Real>(&self, x: R) -> R {
        let r = x.affine(1.0, 1.0).recip();
        (r.clone() * r).affine(-1.0, 0.0)
    }
}

/// sin x, with f' = cos x, f'' = −sin x.
#[derive(Debug)]
pub struct Sine;

impl Scalar for Sine {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "sin"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.sin()
    }

    fn first<R: Real>(&self, x: R) -> R {
        x.cos()
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.sin().affine(-1.0, 0.0)
    }
}

/// cos x, with f' = −sin x, f'' = −cos x.
#[derive(Debug)]
pub struct Cosine;

impl Scalar for Cosine {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "cos"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.cos()
    }

    fn first<R: Real>(&self, x: R) -> R {
        x.sin().affine(-1.0, 0.0)
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.cos().affine(-1.0, 0.0)
    }
}

/// xᵖ, with f' = p xᵖ⁻¹, f'' = p (p − 1) xᵖ⁻².
#[derive(Debug)]
pub struct Power {
    /// p.
    pub exponent: f64,
}

impl Power {
    /// c xᵖ, and 0 where c is: there the power may be infinite.
    fn term<R: Real>(c: f64, x: R, p: f64) -> R {
        if c == 0.0 { x.affine(0.0, 0.0) } else { x.powf(p).affine(c, 0.0) }
    }
}

impl Scalar for Power {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "pow"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.powf(self.exponent)
    }

    fn first<R: Real>(&self, x: R) -> R {
        Self::term(self.exponent, x, self.exponent - 1.0)
    }

    fn second<R: Real>(&self, x: R) -> R {
        Self::term(self.exponent * (self.exponent - 1.0), x, self.exponent - 2.0)
    }
}

/// The error function, with f' = (2/√π) e^(−x²), f'' = −2x f'.
#[derive(Debug)]
pub struct Erf;

impl Scalar for Erf {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "erf"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.erf()
    }

    fn first<R: Real>(&self, x: R) -> R {
        (x.clone() * x).affine(-1.0, 0.0).exp().affine(std::f64::consts::FRAC_2_SQRT_PI, 0.0)
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.clone().affine(-2.0, 0.0) * self.first(x)
    }
}

#[cfg(test)]
mod tests {
    use super::super::elementwise::Elementwise;
    use super::*;
    use crate::derivative_check::{check, check_unary, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        let shapes: &[&[usize]] = &[&[7], &[2, 3, 2], &[0, 4], &[1, 1]];
        check_unary(&Elementwise(Exp), shapes);
        check_unary(&Elementwise(Sine), shapes);
        check_unary(&Elementwise(Cosine), shapes);
        check_unary(&Elementwise(Erf), shapes);
        check_unary(&Elementwise(Power { exponent: 2.0 }), shapes);
        check_unary(&Elementwise(Power { exponent: 3.0 }), shapes);
        check_unary(&Elementwise(Power { exponent: 1.0 }), shapes);
        let positive = [normal(&[3, 4], 1).abs().and_then(|x| x + 0.5).expect("positive numbers")];
        check(&Elementwise(Log), &positive, &[true]);
        check(&Elementwise(Log1p), &positive, &[true]);
        for exponent in [0.5, -0.5, -1.0, 1.7] {
            check(&Elementwise(Power { exponent }), &positive, &[true]);
        }
    }

    #[test]
    fn powers_of_zero_have_the_derivatives_of_polynomials() {
        assert_eq!(Power { exponent: 1.0 }.second(0.0_f64), 0.0);
        assert_eq!(Power { exponent: 2.0 }.second(0.0_f64), 2.0);
        assert_eq!(Power { exponent: 3.0 }.value(-2.0_f64), -8.0);
    }
}
