//! Functions of each element.

use basin_tape::ops::{
    Abs, Comparison, Elementwise, Elu, Exp, Gelu, GeluTanh, Hardsigmoid, Hardswish, Hardtanh, LeakyRelu, Log, Power,
    Relu, Scalar, Sigmoid, Silu, Softplus, Tanh,
};

use super::{Arithmetic, Array, Graph, Kind, Number, Read};

impl Graph {
    /// f(x) of each element as a floating point number.
    pub(crate) fn elementwise(&mut self, function: impl Scalar + 'static, x: &Array) -> Read<Array> {
        let x = self.cast(x, Kind::Float)?;
        self.apply(Elementwise(function), &[&x], x.shape.clone(), Kind::Float)
    }

    /// An activation by its name in PyTorch's functional module, at its default settings.
    pub(crate) fn activation(&mut self, name: &str, x: &Array) -> Read<Option<Array>> {
        Ok(Some(match name {
            "relu" => self.elementwise(Relu, x)?,
            "leaky_relu" => self.elementwise(LeakyRelu { slope: 0.01 }, x)?,
            "relu6" => self.elementwise(Hardtanh { low: 0.0, high: 6.0 }, x)?,
            "gelu" => self.elementwise(Gelu, x)?,
            "gelu_tanh" => self.elementwise(GeluTanh, x)?,
            "silu" => self.elementwise(Silu, x)?,
            "sigmoid" => self.elementwise(Sigmoid, x)?,
            "tanh" => self.elementwise(Tanh, x)?,
            "softplus" => self.elementwise(Softplus, x)?,
            "selu" => {
                const ALPHA: f64 = 1.673_263_242_354_377_2;
                const SCALE: f64 = 1.050_700_987_355_480_5;
                self.elementwise(Elu { alpha: ALPHA, scale: SCALE, rate: 1.0 }, x)?
            }
            "mish" => {
                let soft = self.elementwise(Softplus, x)?;
                let gate = self.elementwise(Tanh, &soft)?;
                self.multiply(x, &gate)?
            }
            "hardswish" => self.elementwise(Hardswish, x)?,
            "hardsigmoid" => self.elementwise(Hardsigmoid, x)?,
            "softsign" => {
                let size = self.elementwise(Abs, x)?;
                let divisor = self.affine(&size, 1.0, 1.0)?;
                self.divide(x, &divisor)?
            }
            "log_sigmoid" => {
                let turned = self.affine(x, -1.0, 0.0)?;
                let soft = self.elementwise(Softplus, &turned)?;
                self.affine(&soft, -1.0, 0.0)?
            }
            "tanhshrink" => {
                let y = self.elementwise(Tanh, x)?;
                self.subtract(x, &y)?
            }
            "expm1" => {
                let y = self.elementwise(Exp, x)?;
                self.affine(&y, 1.0, -1.0)?
            }
            "sinh" | "cosh" => {
                let turned = self.affine(x, -1.0, 0.0)?;
                let (up, down) = (self.elementwise(Exp, x)?, self.elementwise(Exp, &turned)?);
                let operation = if name == "sinh" { Arithmetic::Subtract } else { Arithmetic::Add };
                let twice = self.arithmetic(operation, &up, &down)?;
                self.affine(&twice, 0.5, 0.0)?
            }
            "square" => self.power(x, 2.0)?,
            "sqrt" => self.elementwise(Power { exponent: 0.5 }, x)?,
            "rsqrt" => self.elementwise(Power { exponent: -0.5 }, x)?,
            "reciprocal" => self.elementwise(Power { exponent: -1.0 }, x)?,
            _ => return Ok(None),
        }))
    }

    /// log(1 + e^(βx))/β, and x itself where βx exceeds the threshold, as PyTorch.
    pub(crate) fn softplus(&mut self, x: &Array, beta: f64, threshold: f64) -> Read<Array> {
        let scaled = self.affine(x, beta, 0.0)?;
        let soft = self.elementwise(Softplus, &scaled)?;
        let soft = self.affine(&soft, 1.0 / beta, 0.0)?;
        let limit = Number::Float(threshold).array(Kind::Float)?;
        let linear = self.compare(Comparison::Greater, &scaled, &limit)?;
        self.choose(&linear, x, &soft)
    }

    /// x where x > threshold, else a number.
    pub(crate) fn threshold(&mut self, x: &Array, threshold: f64, otherwise: f64) -> Read<Array> {
        let limit = Number::Float(threshold).array(Kind::Float)?;
        let above = self.compare(Comparison::Greater, x, &limit)?;
        let otherwise = Number::Float(otherwise).array(Kind::Float)?;
        self.choose(&above, x, &otherwise)
    }

    /// x where x > 0, else w x with a weight for all channels or one for each.
    pub(crate) fn prelu(&mut self, x: &Array, weight: &Array) -> Read<Array> {
        let mut shape = vec![1; x.rank()];
        if let (Some(channels), Some(extent)) = (weight.shape.first(), shape.get_mut(1)) {
            *extent = channels.of_one_sample();
        }
        let weight = self.reshape_fixed(weight, &shape)?;
        let scaled = self.multiply(x, &weight)?;
        let zero = Number::Float(0.0).array(Kind::Float)?;
        let positive = self.compare(Comparison::Greater, x, &zero)?;
        self.choose(&positive, x, &scaled)
    }

    /// bˣ = e^(x log b) for a number b.
    pub(crate) fn exponential_of_base(&mut self, base: f64, x: &Array) -> Read<Array> {
        if base <= 0.0 {
            return Err(format!("powers of {base} have no derivative").into());
        }
        let scaled = self.affine(x, base.ln(), 0.0)?;
        self.elementwise(Exp, &scaled)
    }

    /// aᵇ of two arrays, for positive a.
    pub(crate) fn power_of_two(&mut self, a: &Array, b: &Array) -> Read<Array> {
        let log = self.elementwise(Log, a)?;
        let product = self.multiply(&log, b)?;
        self.elementwise(Exp, &product)
    }
}
