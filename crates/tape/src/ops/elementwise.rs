//! Elementwise functions y = f(x), each written once as three scalar formulas f, f', f'':
//!
//! | rule | |
//! |---|---|
//! | tangent | ẏ = f'(x) ẋ |
//! | adjoint | x̄ = f'(x) ȳ |
//! | adjoint tangent | f''(x) ẋ ȳ + f'(x) ȳ̇ |

use std::ops::{Add, Mul, Sub};

use candle_core::Tensor;

use crate::op::{Adjoints, Node, Op, Reads, Tangents, accumulate};
use crate::{Result, kernels};

/// What a scalar formula is written in: a number on the CPU, a tensor expression elsewhere.
pub trait Real: Clone + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// scale · x + shift.
    fn affine(self, scale: f64, shift: f64) -> Self;
    /// eˣ.
    fn exp(self) -> Self;
    /// log(1 + x).
    fn ln_1p(self) -> Self;
    /// log x.
    fn ln(self) -> Self;
    /// xᵖ.
    fn powf(self, p: f64) -> Self;
    /// sin x.
    fn sin(self) -> Self;
    /// cos x.
    fn cos(self) -> Self;
    /// 1/x.
    fn recip(self) -> Self;
    /// tanh x.
    fn tanh(self) -> Self;
    /// The error function 2/√π ∫₀ˣ e^(−t²) dt.
    fn erf(self) -> Self;
    /// min(max(x, low), high), and x itself in between, to the last bit.
    fn clamp(self, low: f64, high: f64) -> Self;
    /// max(x, 0).
    fn positive_part(self) -> Self;
    /// 1 where x > 0, else 0.
    fn step(self) -> Self;
}

macro_rules! real_number {
    ($type:ty, $erf:path) => {
        impl Real for $type {
            #[inline]
            fn affine(self, scale: f64, shift: f64) -> Self {
                self * scale as $type + shift as $type
            }
            #[inline]
            fn exp(self) -> Self {
                <$type>::exp(self)
            }
            #[inline]
            fn ln_1p(self) -> Self {
                <$type>::ln_1p(self)
            }
            #[inline]
            fn ln(self) -> Self {
                <$type>::ln(self)
            }
            #[inline]
            fn powf(self, p: f64) -> Self {
                <$type>::powf(self, p as $type)
            }
            #[inline]
            fn sin(self) -> Self {
                <$type>::sin(self)
            }
            #[inline]
            fn cos(self) -> Self {
                <$type>::cos(self)
            }
            #[inline]
            fn recip(self) -> Self {
                <$type>::recip(self)
            }
            #[inline]
            fn tanh(self) -> Self {
                <$type>::tanh(self)
            }
            #[inline]
            fn erf(self) -> Self {
                $erf(self)
            }
            #[inline]
            fn clamp(self, low: f64, high: f64) -> Self {
                let (low, high) = (low as $type, high as $type);
                // As below, NaN stays NaN.
                if self < low {
                    low
                } else if self > high {
                    high
                } else {
                    self
                }
            }
            #[inline]
            fn positive_part(self) -> Self {
                // Written so that NaN stays NaN: a diverged value must not be hidden.
                if self < 0.0 { 0.0 } else { self }
            }
            #[inline]
            fn step(self) -> Self {
                if self > 0.0 { 1.0 } else { 0.0 }
            }
        }
    };
}

real_number!(f32, libm::erff);
real_number!(f64, libm::erf);

/// A scalar function with its first two derivatives.
pub trait Scalar: std::fmt::Debug + Send + Sync {
    /// Whether f'' is anything but zero. Where it is not, f(x) must have the sign of x, so that f' can be had from the
    /// output and the input need not be kept.
    const CURVED: bool;

    /// The function's name in error messages.
    fn name(&self) -> &'static str;

    /// f(x).
    fn value<R: Real>(&self, x: R) -> R;

    /// f'(x).
    fn first<R: Real>(&self, x: R) -> R;

    /// f''(x).
    fn second<R: Real>(&self, x: R) -> R;
}

/// The four rules of a [`Scalar`] function applied to each element.
#[derive(Debug)]
pub struct Elementwise<F>(pub F);

impl<F: Scalar> Elementwise<F> {
    /// Where f' is taken.
    fn place<'a>(at: &Node<'a>) -> &'a Tensor {
        if F::CURVED { at.input(0) } else { at.output() }
    }
}

impl<F: Scalar> Op for Elementwise<F> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads { inputs: vec![F::CURVED; active.len()], output: !F::CURVED, tangents: F::CURVED, adjoint: F::CURVED }
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        kernels::map(&self.0, x[0])
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dx| kernels::map_first(&self.0, Self::place(at), dx)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![Some(kernels::map_first(&self.0, Self::place(at), y_bar)?)])
    }

    fn adjoint_tangent(
        &self,
        at: &Node,
        dx: &Tangents,
        y_bar: &Tensor,
        dy_bar: Option<&Tensor>,
        _wanted: &[bool],
    ) -> Result<Adjoints> {
        let x = Self::place(at);
        let bent = dx[0].filter(|_| F::CURVED).map(|dx| kernels::map_second(&self.0, x, dx, y_bar)).transpose()?;
        let carried = dy_bar.map(|dy_bar| kernels::map_first(&self.0, x, dy_bar)).transpose()?;
        Ok(vec![accumulate(bent, carried)?])
    }
}

/// Rectified linear unit max(x, 0), with derivative 0 at 0 as in PyTorch.
#[derive(Debug)]
pub struct Relu;

impl Relu {
    pub(crate) const NAME: &str = "relu";
}

impl Scalar for Relu {
    const CURVED: bool = false;

    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.positive_part()
    }

    fn first<R: Real>(&self, x: R) -> R {
        x.step()
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.affine(0.0, 0.0)
    }
}

/// x where x > 0, slope · x elsewhere; the derivative at 0 is the slope, as in PyTorch.
#[derive(Debug)]
pub struct LeakyRelu {
    /// The derivative on the negative side; PyTorch's default is 0.01.
    pub slope: f64,
}

impl Scalar for LeakyRelu {
    const CURVED: bool = false;

    fn name(&self) -> &'static str {
        "leaky_relu"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.clone() * self.first(x)
    }

    fn first<R: Real>(&self, x: R) -> R {
        x.step().affine(1.0 - self.slope, self.slope)
    }

    fn second<R: Real>(&self, x: R) -> R {
        x.affine(0.0, 0.0)
    }
}

/// tanh x, with f' = 1 − tanh², f'' = −2 tanh (1 − tanh²).
#[derive(Debug)]
pub struct Tanh;

impl Scalar for Tanh {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "tanh"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.tanh()
    }

    fn first<R: Real>(&self, x: R) -> R {
        let y = x.tanh();
        (y.clone() * y).affine(-1.0, 1.0)
    }

    fn second<R: Real>(&self, x: R) -> R {
        let y = x.tanh();
        y.clone() * (y.clone() * y).affine(2.0, -2.0)
    }
}

/// σ(x) = 1/(1 + e^(−x)), with σ' = σ(1 − σ), σ'' = σ(1 − σ)(1 − 2σ).
#[derive(Debug)]
pub struct Sigmoid;

/// |x|.
fn magnitude<R: Real>(x: R) -> R {
    x.clone().positive_part() + x.affine(-1.0, 0.0).positive_part()
}

/// With e = e^(−|x|): σ(x) = 1/(1 + e) where x > 0 and e/(1 + e) elsewhere, which overflows nowhere and keeps its digits
/// where it is tiny.
fn sigmoid<R: Real>(x: R) -> R {
    let e = magnitude(x.clone()).affine(-1.0, 0.0).exp();
    (e.clone() + x.step() * e.clone().affine(-1.0, 1.0)) * e.affine(1.0, 1.0).recip()
}

/// σ'(x) = e/(1 + e)².
fn sigmoid_first<R: Real>(x: R) -> R {
    let e = magnitude(x).affine(-1.0, 0.0).exp();
    let rate = e.clone().affine(1.0, 1.0).recip();
    e * rate.clone() * rate
}

/// σ''(x) = −tanh(x/2) σ'(x).
fn sigmoid_second<R: Real>(x: R) -> R {
    x.clone().affine(0.5, 0.0).tanh().affine(-1.0, 0.0) * sigmoid_first(x)
}

impl Scalar for Sigmoid {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "sigmoid"
    }

    fn value<R: Real>(&self, x: R) -> R {
        sigmoid(x)
    }

    fn first<R: Real>(&self, x: R) -> R {
        sigmoid_first(x)
    }

    fn second<R: Real>(&self, x: R) -> R {
        sigmoid_second(x)
    }
}

/// x σ(x), with f' = σ + x σ', f'' = 2σ' + x σ''.
#[derive(Debug)]
pub struct Silu;

impl Scalar for Silu {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "silu"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.clone() * sigmoid(x)
    }

    fn first<R: Real>(&self, x: R) -> R {
        sigmoid(x.clone()) + x.clone() * sigmoid_first(x)
    }

    fn second<R: Real>(&self, x: R) -> R {
        sigmoid_first(x.clone()).affine(2.0, 0.0) + x.clone() * sigmoid_second(x)
    }
}

/// log(1 + eˣ), with f' = σ, f'' = σ'.
#[derive(Debug)]
pub struct Softplus;

impl Scalar for Softplus {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "softplus"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.clone().positive_part() + magnitude(x).affine(-1.0, 0.0).exp().ln_1p()
    }

    fn first<R: Real>(&self, x: R) -> R {
        sigmoid(x)
    }

    fn second<R: Real>(&self, x: R) -> R {
        sigmoid_first(x)
    }
}

/// x Φ(x) with the normal distribution function Φ(x) = (1 + erf(x/√2))/2 and density φ:
/// f' = Φ + x φ, f'' = (2 − x²) φ.
#[derive(Debug)]
pub struct Gelu;

fn normal_distribution<R: Real>(x: R) -> R {
    x.affine(std::f64::consts::FRAC_1_SQRT_2, 0.0).erf().affine(0.5, 0.5)
}

fn normal_density<R: Real>(x: R) -> R {
    let scale = 0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
    (x.clone() * x).affine(-0.5, 0.0).exp().affine(scale, 0.0)
}

impl Scalar for Gelu {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "gelu"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.clone() * normal_distribution(x)
    }

    fn first<R: Real>(&self, x: R) -> R {
        normal_distribution(x.clone()) + x.clone() * normal_density(x)
    }

    fn second<R: Real>(&self, x: R) -> R {
        (x.clone() * x.clone()).affine(-1.0, 2.0) * normal_density(x)
    }
}

/// x (1 + tanh u)/2 with u = √(2/π) (x + 0.044715 x³), the approximation that PyTorch calls `tanh`.
/// With t = tanh u and s = 1 − t²: f' = (1 + t)/2 + x s u'/2, f'' = s u' + x s (u'' − 2 t u'²)/2.
#[derive(Debug)]
pub struct GeluTanh;

impl GeluTanh {
    const CUBIC: f64 = 0.044715;

    fn rate() -> f64 {
        std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2
    }

    fn tanh_u<R: Real>(x: R) -> R {
        let cubic = (x.clone() * x.clone()).affine(Self::CUBIC, 1.0);
        (x * cubic).affine(Self::rate(), 0.0).tanh()
    }

    fn u_first<R: Real>(x: R) -> R {
        (x.clone() * x).affine(3.0 * Self::CUBIC * Self::rate(), Self::rate())
    }
}

impl Scalar for GeluTanh {
    const CURVED: bool = true;

    fn name(&self) -> &'static str {
        "gelu_tanh"
    }

    fn value<R: Real>(&self, x: R) -> R {
        x.clone() * Self::tanh_u(x).affine(0.5, 0.5)
    }

    fn first<R: Real>(&self, x: R) -> R {
        let t = Self::tanh_u(x.clone());
        let s = (t.clone() * t.clone()).affine(-0.5, 0.5);
        t.affine(0.5, 0.5) + x.clone() * s * Self::u_first(x)
    }

    fn second<R: Real>(&self, x: R) -> R {
        let t = Self::tanh_u(x.clone());
        let s = (t.clone() * t.clone()).affine(-1.0, 1.0);
        let u_first = Self::u_first(x.clone());
        let u_second = x.clone().affine(6.0 * Self::CUBIC * Self::rate(), 0.0);
        let bend = u_second - t.affine(2.0, 0.0) * u_first.clone() * u_first.clone();
        s.clone() * u_first + x.affine(0.5, 0.0) * s * bend
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::derivative_check::{check_unary, distance, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        let shapes: &[&[usize]] = &[&[7], &[2, 3, 2], &[0, 4], &[1, 1]];
        check_unary(&Elementwise(Relu), shapes);
        check_unary(&Elementwise(LeakyRelu { slope: 0.01 }), shapes);
        check_unary(&Elementwise(Tanh), shapes);
        check_unary(&Elementwise(Sigmoid), shapes);
        check_unary(&Elementwise(Silu), shapes);
        check_unary(&Elementwise(Softplus), shapes);
        check_unary(&Elementwise(Gelu), shapes);
        check_unary(&Elementwise(GeluTanh), shapes);
    }

    #[test]
    fn formulas_give_the_same_as_tensor_expressions() {
        fn same<F: Scalar>(function: F) {
            let (x, s, t) = (normal(&[50], 1), normal(&[50], 2), normal(&[50], 3));
            let pairs = [
                (kernels::map(&function, &x), kernels::portable::map(&function, &x)),
                (kernels::map_first(&function, &x, &t), kernels::portable::map_first(&function, &x, &t)),
                (kernels::map_second(&function, &x, &s, &t), kernels::portable::map_second(&function, &x, &s, &t)),
            ];
            for (number, expression) in pairs {
                let error = distance(&number.expect("numbers"), &expression.expect("expressions"));
                assert!(error < 1e-14, "{}: {error:e}", function.name());
            }
        }
        same(Relu);
        same(LeakyRelu { slope: 0.2 });
        same(Tanh);
        same(Sigmoid);
        same(Silu);
        same(Softplus);
        same(Gelu);
        same(GeluTanh);
    }

    #[test]
    fn tensor_expressions_of_softplus_keep_a_tiny_tail() {
        let x = Tensor::new(&[-20.0_f32, -80.0], &Device::Cpu).expect("a new tensor");
        let y = kernels::portable::map(&Softplus, &x).and_then(|y| Ok(y.to_vec1::<f32>()?)).expect("softplus");
        assert!(
            (y[0] / (-20.0_f32).exp() - 1.0).abs() < 1e-6 && (y[1] / (-80.0_f32).exp() - 1.0).abs() < 1e-6,
            "{y:?}"
        );
    }

    #[test]
    fn derivative_of_relu_at_zero_is_zero() {
        assert_eq!(Relu.first(0.0_f64), 0.0);
        assert_eq!(LeakyRelu { slope: 0.25 }.first(0.0_f64), 0.25);
    }

    #[test]
    fn a_tiny_sigmoid_keeps_its_digits() {
        // (1 + tanh(x/2))/2 is 0 in f32 from −17.4 on, where confident logits still have a gradient.
        for x in [-1.0_f32, -10.0, -20.0, -60.0] {
            let (exact, wide) = (f64::from(x).exp(), f64::from(x));
            let (sigma, slope) = (exact / (1.0 + exact), exact / (1.0 + exact).powi(2));
            for (found, expected) in [(Sigmoid.value(x), sigma), (Sigmoid.first(x), slope), (Sigmoid.first(-x), slope)]
            {
                assert!((f64::from(found) / expected - 1.0).abs() < 1e-6, "at {x}: {found} for {expected}");
            }
            for (found, expected) in [(Sigmoid.value(wide), sigma), (Sigmoid.first(wide), slope)] {
                assert!((found / expected - 1.0).abs() < 1e-14, "at {x}: {found} for {expected}");
            }
        }
    }

    #[test]
    fn saturated_inputs_stay_finite_and_nan_stays_nan() {
        for x in [-1000.0_f32, 1000.0] {
            for y in [Sigmoid.value(x), Softplus.value(x), Silu.value(x), Gelu.value(x), GeluTanh.value(x)] {
                assert!(y.is_finite(), "at {x}: {y}");
            }
        }
        assert!(Relu.value(f64::NAN).is_nan());
        let x = Tensor::new(&[f64::NAN, f64::NEG_INFINITY], &Device::Cpu).expect("a new tensor");
        let y = kernels::portable::map(&Relu, &x).and_then(|y| Ok(y.to_vec1::<f64>()?)).expect("relu");
        assert!(y[0].is_nan() && y[1] == 0.0, "{y:?}");
        assert!(Sigmoid.value(f64::NAN).is_nan() && Sigmoid.first(f64::NAN).is_nan());
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let x = Tensor::from_vec((0..50_000).map(|i| (i as f32).sin()).collect::<Vec<_>>(), 50_000, &Device::Cpu)
            .expect("a new tensor");
        let with_threads = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| kernels::map(&Gelu, &x)).expect("gelu").to_vec1::<f32>().expect("f32")
        };
        assert_eq!(with_threads(1), with_threads(2));
    }
}
