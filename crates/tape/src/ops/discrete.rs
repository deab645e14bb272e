//! Operations without a derivative: comparisons, logic, whole numbers. Nothing flows through them, as in PyTorch.

use candle_core::{DType, Tensor};

use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Error, Result};

/// What two numbers are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// a = b.
    Equal,
    /// a ≠ b.
    NotEqual,
    /// a < b.
    Less,
    /// a ≤ b.
    LessOrEqual,
    /// a > b.
    Greater,
    /// a ≥ b.
    GreaterOrEqual,
}

/// An operation whose result is constant almost everywhere, or whose inputs are whole numbers or truth values. Truth values
/// are u8, whole numbers i64.
#[derive(Clone, Debug)]
pub enum Discrete {
    /// The truth value of a comparison of two tensors, broadcast.
    Compare(Comparison),
    /// Both of two truth values.
    And,
    /// One at least of two truth values.
    Or,
    /// Not a truth value.
    Not,
    /// a b⁻¹ of whole numbers, rounded down.
    FloorDivide,
    /// Cumulative sums of whole numbers along an axis.
    CumulativeSum(usize),
    /// The position of the largest element along an axis, which stays with extent 1.
    ArgMax(usize),
    /// A number as a truth value: whether it is not 0.
    ToBoolean,
    /// A number as a whole number, cut off.
    ToInteger,
    /// A number in the dtype of a second input.
    ToFloat,
    /// A number itself, through which no derivative flows.
    Detach,
    /// Rounded down.
    Floor,
    /// The sign.
    Sign,
}

impl Op for Discrete {
    fn name(&self) -> &'static str {
        match self {
            Self::Compare(_) => "compare",
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
            Self::FloorDivide => "floor_divide",
            Self::CumulativeSum(_) => "cumulative_sum",
            Self::ArgMax(_) => "argmax",
            Self::ToBoolean => "to_boolean",
            Self::ToInteger => "to_integer",
            Self::ToFloat => "to_float",
            Self::Detach => "detach",
            Self::Floor => "floor",
            Self::Sign => "sign",
        }
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads::shapes(active.len())
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        let (Some(&a), b) = (x.first(), x.get(1).copied()) else {
            return Err(Error::unsupported(self.name(), "it needs an input"));
        };
        let b = || b.ok_or_else(|| Error::unsupported(self.name(), "it needs two inputs"));
        Ok(match self {
            Self::Compare(comparison) => match comparison {
                Comparison::Equal => a.broadcast_eq(b()?)?,
                Comparison::NotEqual => a.broadcast_ne(b()?)?,
                Comparison::Less => a.broadcast_lt(b()?)?,
                Comparison::LessOrEqual => a.broadcast_le(b()?)?,
                Comparison::Greater => a.broadcast_gt(b()?)?,
                Comparison::GreaterOrEqual => a.broadcast_ge(b()?)?,
            },
            Self::And => a.broadcast_minimum(b()?)?,
            Self::Or => a.broadcast_maximum(b()?)?,
            Self::Not => a.eq(&a.zeros_like()?)?,
            Self::FloorDivide => {
                let quotient = a.to_dtype(DType::F64)?.broadcast_div(&b()?.to_dtype(DType::F64)?)?;
                quotient.floor()?.to_dtype(DType::I64)?
            }
            Self::CumulativeSum(axis) => a.to_dtype(DType::F64)?.contiguous()?.cumsum(*axis)?.to_dtype(DType::I64)?,
            Self::ArgMax(axis) => a.contiguous()?.argmax_keepdim(*axis)?.to_dtype(DType::I64)?,
            Self::ToBoolean => a.ne(&a.zeros_like()?)?,
            Self::ToInteger => a.to_dtype(DType::I64)?,
            Self::ToFloat => a.to_dtype(b()?.dtype())?,
            Self::Detach => a.clone(),
            Self::Floor => a.floor()?,
            Self::Sign => a.sign()?,
        })
    }

    fn tangent(&self, _at: &Node, _dx: &Tangents) -> Result<Option<Tensor>> {
        Ok(None)
    }

    fn adjoint(&self, _at: &Node, _y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![None; wanted.len()])
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn apply(op: Discrete, x: &[&Tensor]) -> Vec<i64> {
        let y = op.forward(x, &mut Vec::new()).expect("a result");
        y.flatten_all().and_then(|y| y.to_dtype(DType::I64)?.to_vec1()).expect("numbers")
    }

    #[test]
    fn results_are_those_of_numpy() {
        let whole = |x: &[i64]| Tensor::new(x, &Device::Cpu).expect("a new tensor");
        let truth = |x: &[u8]| Tensor::new(x, &Device::Cpu).expect("a new tensor");
        let (a, b) = (whole(&[-3, 0, 7]), whole(&[2, 0, 7]));
        for (comparison, expected) in [
            (Comparison::Equal, [0, 1, 1]),
            (Comparison::NotEqual, [1, 0, 0]),
            (Comparison::Less, [1, 0, 0]),
            (Comparison::LessOrEqual, [1, 1, 1]),
            (Comparison::Greater, [0, 0, 0]),
            (Comparison::GreaterOrEqual, [0, 1, 1]),
        ] {
            assert_eq!(apply(Discrete::Compare(comparison), &[&a, &b]), expected);
        }
        let (p, q) = (truth(&[0, 0, 1, 1]), truth(&[0, 1, 0, 1]));
        assert_eq!(apply(Discrete::And, &[&p, &q]), [0, 0, 0, 1]);
        assert_eq!(apply(Discrete::Or, &[&p, &q]), [0, 1, 1, 1]);
        assert_eq!(apply(Discrete::Not, &[&p]), [1, 1, 0, 0]);
        assert_eq!(apply(Discrete::FloorDivide, &[&a, &whole(&[2])]), [-2, 0, 3]);
        assert_eq!(apply(Discrete::CumulativeSum(0), &[&a]), [-3, -3, 4]);
        assert_eq!(apply(Discrete::ArgMax(0), &[&a]), [2]);
        assert_eq!(apply(Discrete::ToBoolean, &[&a]), [1, 0, 1]);
        let reals = Tensor::new(&[-1.5, 0.0, 2.7], &Device::Cpu).expect("a new tensor");
        assert_eq!(apply(Discrete::ToInteger, &[&reals]), [-1, 0, 2]);
        assert_eq!(apply(Discrete::Floor, &[&reals]), [-2, 0, 2]);
        assert_eq!(apply(Discrete::Sign, &[&reals]), [-1, 0, 1]);
    }
}
