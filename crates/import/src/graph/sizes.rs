//! Whole numbers that a network computes of its shapes. Where the number of samples is among them, they are known but for it.

use basin_tape::ops::Comparison;
use candle_core::{DType, Device, Tensor};

use super::{Array, Content, Extent, Fault, Graph, Kind, Read, Size};

/// What is computed of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SizeOperation {
    Add,
    Subtract,
    Multiply,
    /// Rounded towards zero.
    Divide,
    /// With the sign of the divisor.
    Remainder,
    Largest,
    Smallest,
}

impl Size {
    /// A number wherever it is one.
    fn plain(self) -> Self {
        match self {
            Self::Extent(Extent::Fixed(number)) => i64::try_from(number).map_or(self, Self::Number),
            other => other,
        }
    }

    /// a ∘ b, unless it is neither a number nor a multiple of the number of samples N ≥ 1.
    pub(crate) fn computed(operation: SizeOperation, a: Self, b: Self) -> Option<Self> {
        use Size::{Extent as Of, Number};
        let samples = |times: usize| Some(Of(Extent::Samples(times)));
        match (operation, a.plain(), b.plain()) {
            (SizeOperation::Add, Number(a), Number(b)) => a.checked_add(b).map(Number),
            (SizeOperation::Subtract, Number(a), Number(b)) => a.checked_sub(b).map(Number),
            (SizeOperation::Multiply, Number(a), Number(b)) => a.checked_mul(b).map(Number),
            (SizeOperation::Divide, Number(a), Number(b)) => a.checked_div(b).map(Number),
            (SizeOperation::Remainder, Number(a), Number(b)) => {
                let rest = a.checked_rem(b)?;
                Some(Number(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }))
            }
            (SizeOperation::Largest, Number(a), Number(b)) => Some(Number(a.max(b))),
            (SizeOperation::Smallest, Number(a), Number(b)) => Some(Number(a.min(b))),
            (operation, Of(Extent::Samples(a)), Of(Extent::Samples(b))) => match operation {
                SizeOperation::Add => samples(a.checked_add(b)?),
                SizeOperation::Subtract if a == b => Some(Number(0)),
                SizeOperation::Subtract => samples(a.checked_sub(b)?),
                SizeOperation::Divide => {
                    let quotient = a.checked_div(b).filter(|quotient| quotient * b == a)?;
                    i64::try_from(quotient).ok().map(Number)
                }
                SizeOperation::Remainder if a.checked_rem(b)? == 0 => Some(Number(0)),
                SizeOperation::Largest => samples(a.max(b)),
                SizeOperation::Smallest => samples(a.min(b)),
                _ => None,
            },
            (operation, Of(Extent::Samples(times)), Number(number)) => match operation {
                SizeOperation::Add | SizeOperation::Subtract if number == 0 => samples(times),
                SizeOperation::Multiply if number == 0 => Some(Number(0)),
                SizeOperation::Multiply => samples(times.checked_mul(usize::try_from(number).ok()?)?),
                SizeOperation::Divide => {
                    let divisor = usize::try_from(number).ok()?;
                    samples(times.checked_div(divisor).filter(|quotient| quotient * divisor == times)?)
                }
                SizeOperation::Remainder if times.checked_rem(usize::try_from(number).ok()?)? == 0 => Some(Number(0)),
                SizeOperation::Largest if i64::try_from(times).is_ok_and(|times| times >= number) => samples(times),
                SizeOperation::Smallest if i64::try_from(times).is_ok_and(|times| times >= number) => {
                    Some(Number(number))
                }
                _ => None,
            },
            (operation, a @ Number(_), b @ Of(_)) => match operation {
                SizeOperation::Add | SizeOperation::Multiply | SizeOperation::Largest | SizeOperation::Smallest => {
                    Self::computed(operation, b, a)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether a comparison holds for every number of samples N ≥ 1, or for none; absent where that depends on N.
    pub(crate) fn compared(comparison: Comparison, a: Self, b: Self) -> Option<bool> {
        use std::cmp::Ordering;
        let holds = |ordering: Ordering| match comparison {
            Comparison::Equal => ordering.is_eq(),
            Comparison::NotEqual => ordering.is_ne(),
            Comparison::Less => ordering.is_lt(),
            Comparison::LessOrEqual => ordering.is_le(),
            Comparison::Greater => ordering.is_gt(),
            Comparison::GreaterOrEqual => ordering.is_ge(),
        };
        match (a.plain(), b.plain()) {
            (Self::Number(a), Self::Number(b)) => Some(holds(a.cmp(&b))),
            (Self::Extent(Extent::Samples(a)), Self::Extent(Extent::Samples(b))) => Some(holds(a.cmp(&b))),
            (Self::Extent(Extent::Samples(times)), Self::Number(number)) => {
                i64::try_from(times).is_ok_and(|times| times > number).then(|| holds(Ordering::Greater))
            }
            (Self::Number(number), Self::Extent(Extent::Samples(times))) => {
                i64::try_from(times).is_ok_and(|times| times > number).then(|| holds(Ordering::Less))
            }
            _ => None,
        }
    }
}

impl Array {
    /// Whether the number of samples is among its numbers.
    pub(crate) fn is_of_sizes(&self) -> bool {
        matches!(self.content, Content::Sizes(_))
    }

    /// The whole numbers of a known array, row by row.
    pub(crate) fn sizes(&self) -> Read<Vec<Size>> {
        match &self.content {
            Content::Sizes(sizes) => Ok(sizes.clone()),
            Content::Constant(tensor) if self.kind != Kind::Float && self.sample_axis().is_none() => {
                let numbers = tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
                Ok(numbers.into_iter().map(Size::Number).collect())
            }
            _ => Err("whole numbers that are known only where the samples are".into()),
        }
    }

    /// The same where the number of samples is not among them.
    pub(crate) fn integers(&self) -> Read<Vec<i64>> {
        let number = |size: Size| match size.plain() {
            Size::Number(number) => Ok(number),
            Size::Extent(_) => Err("a number that depends on the number of samples".into()),
        };
        self.sizes()?.into_iter().map(number).collect()
    }

    fn fixed_shape(&self) -> Read<Vec<usize>> {
        (0..self.rank()).map(|axis| self.fixed(axis)).collect()
    }
}

impl Graph {
    /// Whole numbers as an array.
    pub(crate) fn of_sizes(&self, sizes: &[Size], shape: &[usize]) -> Read<Array> {
        let sizes: Vec<Size> = sizes.iter().map(|size| size.plain()).collect();
        let number = |size: &Size| match size {
            Size::Number(number) => Some(*number),
            Size::Extent(_) => None,
        };
        if let Some(numbers) = sizes.iter().map(number).collect::<Option<Vec<i64>>>() {
            return Array::constant(Tensor::from_vec(numbers, shape, &Device::Cpu)?);
        }
        let shape = shape.iter().map(|&extent| Extent::Fixed(extent)).collect();
        Ok(Array { content: Content::Sizes(sizes), shape, kind: Kind::Integer, uniform: true })
    }

    /// The extents of some axes.
    pub(crate) fn extents(&self, shape: &[Extent]) -> Read<Array> {
        let sizes: Vec<Size> = shape.iter().map(|&extent| Size::Extent(extent)).collect();
        self.of_sizes(&sizes, &[sizes.len()])
    }

    /// a ∘ b with broadcasting.
    pub(crate) fn size_arithmetic(&self, operation: SizeOperation, a: &Array, b: &Array) -> Read<Array> {
        let reason = "it is no multiple of the number of samples";
        let computed = |a, b| Size::computed(operation, a, b).ok_or(Fault::from(reason));
        let (computed, shape) = self.of_pairs(a, b, computed)?;
        self.of_sizes(&computed, &shape)
    }

    /// The truth values of a comparison, with broadcasting.
    pub(crate) fn size_comparison(&self, comparison: Comparison, a: &Array, b: &Array) -> Read<Array> {
        let reason = "it depends on how many samples there are";
        let holds = |a, b| Size::compared(comparison, a, b).map(u8::from).ok_or(Fault::from(reason));
        let (holds, shape) = self.of_pairs(a, b, holds)?;
        Array::constant(Tensor::from_vec(holds, shape, &Device::Cpu)?)
    }

    /// Something of the sizes of two arrays that meet when they are broadcast, and the common shape.
    fn of_pairs<T>(
        &self,
        a: &Array,
        b: &Array,
        operation: impl Fn(Size, Size) -> Read<T>,
    ) -> Read<(Vec<T>, Vec<usize>)> {
        let common = self.broadcast_shape(&[&a.shape, &b.shape])?;
        let common = common.iter().map(|extent| extent.fixed()).collect::<Option<Vec<usize>>>();
        let common = common.ok_or("sizes that depend on the samples")?;
        super::bounded(&common)?;
        let (of_a, of_b) = (a.sizes()?, b.sizes()?);
        let (a, b) = (places(&a.fixed_shape()?, &common)?, places(&b.fixed_shape()?, &common)?);
        let results = a.into_iter().zip(b).map(|(i, j)| operation(of_a[i], of_b[j])).collect::<Read<Vec<T>>>()?;
        Ok((results, common))
    }
}

/// For each place of the common shape the place in a shape that is broadcast to it.
fn places(shape: &[usize], common: &[usize]) -> Read<Vec<usize>> {
    let own: usize = shape.iter().product();
    let positions = Tensor::arange(0, own as i64, &Device::Cpu)?.reshape(shape)?.broadcast_as(common)?;
    Ok(positions.flatten_all()?.to_vec1::<i64>()?.into_iter().map(|place| place as usize).collect())
}

/// Sizes on their way through an operation that only moves numbers: it is done to their positions, and each size goes where
/// its position went.
#[derive(Debug, Default)]
pub(crate) struct Moving(Vec<Size>);

impl Moving {
    /// The positions of an array's sizes, all arrays counted through.
    pub(crate) fn positions(&mut self, x: &Array) -> Read<Array> {
        let sizes = x.sizes()?;
        let first = self.0.len() as i64;
        let positions: Vec<i64> = (first..first + sizes.len() as i64).collect();
        self.0.extend(sizes);
        Array::constant(Tensor::from_vec(positions, x.fixed_shape()?, &Device::Cpu)?)
    }

    /// The sizes at positions.
    pub(crate) fn arrived(&self, graph: &Graph, positions: &Array) -> Read<Array> {
        let at = |position: i64| usize::try_from(position).ok().and_then(|position| self.0.get(position).copied());
        let sizes = positions.integers()?.into_iter().map(at).collect::<Option<Vec<Size>>>();
        graph.of_sizes(&sizes.ok_or("sizes that were not only moved")?, &positions.fixed_shape()?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sizes() -> impl Strategy<Value = Size> {
        prop_oneof![
            (-3_i64..9).prop_map(Size::Number),
            (1_usize..7).prop_map(|times| Size::Extent(Extent::Samples(times))),
        ]
    }

    fn at(size: Size, samples: i64) -> i64 {
        match size {
            Size::Number(number) => number,
            Size::Extent(Extent::Samples(times)) => times as i64 * samples,
            Size::Extent(Extent::Fixed(extent)) => extent as i64,
        }
    }

    proptest! {
        #[test]
        fn what_is_computed_holds_for_every_number_of_samples(a in sizes(), b in sizes(), samples in 1_i64..6) {
            use SizeOperation::*;
            for operation in [Add, Subtract, Multiply, Divide, Remainder, Largest, Smallest] {
                let Some(found) = Size::computed(operation, a, b) else { continue };
                let (a, b) = (at(a, samples), at(b, samples));
                let expected = match operation {
                    Add => a + b,
                    Subtract => a - b,
                    Multiply => a * b,
                    Divide => a / b,
                    Remainder => a - (a as f64 / b as f64).floor() as i64 * b,
                    Largest => a.max(b),
                    Smallest => a.min(b),
                };
                prop_assert_eq!(at(found, samples), expected, "{:?}", operation);
            }
        }

        #[test]
        fn comparisons_hold_for_every_number_of_samples(a in sizes(), b in sizes(), samples in 1_i64..6) {
            use Comparison::*;
            for (comparison, holds) in [
                (Equal, at(a, samples) == at(b, samples)),
                (Less, at(a, samples) < at(b, samples)),
                (LessOrEqual, at(a, samples) <= at(b, samples)),
                (Greater, at(a, samples) > at(b, samples)),
                (GreaterOrEqual, at(a, samples) >= at(b, samples)),
            ] {
                prop_assert!(Size::compared(comparison, a, b).is_none_or(|found| found == holds));
            }
        }
    }
}
