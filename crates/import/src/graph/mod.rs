//! Networks while they are read: arrays that are known or will be computed, and what is done with them.
//!
//! Each operation is known to its readers by what it does, not by a file format's name for it. What depends on neither
//! samples nor weights is computed at once, everything else becomes a step of a [`Program`](basin_tape::Program).

mod arithmetic;
mod attention;
mod convolution;
mod creation;
mod elementwise;
mod extent;
mod indexing;
mod layout;
mod linear;
mod normalization;
mod pooling;
mod recurrent;
mod reduction;
mod resampling;
mod sizes;

use std::collections::HashMap;

use basin_tape::ops::{BroadcastOverSamples, Discrete, LinearMap, LinearRules};
use basin_tape::{Op, ProgramBuilder, Value};
use candle_core::{DType, Device, Tensor, TensorId};

pub(crate) use arithmetic::{Arithmetic, Number};
pub(crate) use attention::Attention;
pub(crate) use convolution::{ConvolutionGeometry, Padding};
pub(crate) use extent::{Extent, shape_text};
pub(crate) use layout::Size;
pub(crate) use pooling::Windows;
pub(crate) use recurrent::Cell;
pub(crate) use resampling::Interpolation;
pub(crate) use sizes::{Moving, SizeOperation};

/// The most elements of an array for one sample: several times those of a large vocabulary at each of thousands of positions.
const MOST_ELEMENTS: usize = 1 << 28;

/// Why an operation cannot be read.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<&str> for Fault {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl From<candle_core::Error> for Fault {
    fn from(error: candle_core::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<basin_tape::Error> for Fault {
    fn from(error: basin_tape::Error) -> Self {
        Self(error.to_string())
    }
}

pub(crate) type Read<T> = std::result::Result<T, Fault>;

/// What kind of numbers an array holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Truth values, u8.
    Boolean,
    /// Whole numbers, i64.
    Integer,
    /// Floating point numbers: f64 while a network is read, in a program those of its parameters.
    Float,
}

impl Kind {
    fn of(tensor: &Tensor) -> Self {
        match tensor.dtype() {
            DType::U8 => Self::Boolean,
            DType::I64 => Self::Integer,
            _ => Self::Float,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Known.
    Constant(Tensor),
    /// Computed by a step of the program.
    Step(Value),
    /// The number of the sample at each place: an array that says "each sample itself" where it is an index.
    SampleNumbers,
    /// Whole numbers among which is the number of samples, row by row.
    Sizes(Vec<Size>),
    /// Arrays beside each other on a last axis that they do not have, some of them numbers of samples: an index.
    Columns(Vec<Array>),
    /// Computed from the numbers of the samples: what is asked of it is its shape.
    Unknown,
}

/// An array of a network.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) content: Content,
    pub(crate) shape: Vec<Extent>,
    pub(crate) kind: Kind,
    /// Whether all samples have the same: then the axis that depends on them has extent 1 and broadcasts.
    pub(crate) uniform: bool,
}

impl Array {
    /// A known array of i64, u8 (truth values) or floating point numbers.
    pub(crate) fn constant(tensor: Tensor) -> Read<Self> {
        let tensor = match tensor.dtype() {
            DType::U8 | DType::I64 => tensor,
            dtype if dtype.is_int() => tensor.to_dtype(DType::I64)?,
            _ => tensor.to_dtype(DType::F64)?,
        };
        let shape = tensor.dims().iter().map(|&extent| Extent::Fixed(extent)).collect();
        Ok(Self { kind: Kind::of(&tensor), content: Content::Constant(tensor), shape, uniform: true })
    }

    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The axis that depends on the samples.
    pub(crate) fn sample_axis(&self) -> Option<usize> {
        self.shape.iter().position(|extent| extent.depends_on_samples())
    }

    /// The extent of an axis that must not depend on the samples.
    pub(crate) fn fixed(&self, axis: usize) -> Read<usize> {
        match self.shape.get(axis) {
            Some(Extent::Fixed(extent)) => Ok(*extent),
            Some(Extent::Samples(_)) => Err(format!("it works along axis {axis}, on which the samples are").into()),
            None => Err(format!("there is no axis {axis} in the shape {}", shape_text(&self.shape)).into()),
        }
    }

    /// An axis counted from the front, or from the end where it is negative.
    pub(crate) fn axis(&self, axis: i64) -> Read<usize> {
        place(axis, self.rank())
            .ok_or_else(|| format!("there is no axis {axis} in the shape {}", shape_text(&self.shape)).into())
    }

    /// Several such axes.
    pub(crate) fn axes(&self, axes: &[i64]) -> Read<Vec<usize>> {
        axes.iter().map(|&axis| self.axis(axis)).collect()
    }

    /// The tensor of a known array.
    pub(crate) fn known(&self) -> Option<&Tensor> {
        match &self.content {
            Content::Constant(tensor) => Some(tensor),
            _ => None,
        }
    }
}

/// A position counted from the front, or from the end where it is negative.
pub(crate) fn place(position: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let position = if position < 0 { position.checked_add(length)? } else { position };
    usize::try_from(position).ok().filter(|_| position < length)
}

/// A program while it is written.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    pub(crate) builder: ProgramBuilder,
    /// An input whose first axis is that of the samples.
    samples: Option<Value>,
    /// The number of samples where the file has it as a number, so that extents equal to it may stand for it.
    pub(crate) traced_samples: Option<usize>,
    constants: HashMap<TensorId, Value>,
    unit: Option<Value>,
    /// The tables in which steps of the program are looked up as indices, with their numbers of entries.
    pub(crate) tables: Vec<(Value, usize)>,
}

impl Graph {
    /// The next tensor of a batch, with the samples on its first axis.
    pub(crate) fn input(&mut self, sample_shape: &[usize], kind: Kind) -> Array {
        let value = self.builder.input();
        self.samples.get_or_insert(value);
        let shape = [Extent::Samples(1)].into_iter().chain(sample_shape.iter().map(|&extent| Extent::Fixed(extent)));
        Array { content: Content::Step(value), shape: shape.collect(), kind, uniform: false }
    }

    /// A parameter.
    pub(crate) fn parameter(&mut self, name: &str, shape: &[usize]) -> Array {
        let value = self.builder.parameter(name, shape);
        Self::given(value, shape)
    }

    /// A buffer of floating point numbers.
    pub(crate) fn buffer(&mut self, name: &str, shape: &[usize]) -> Array {
        let value = self.builder.buffer(name, shape);
        Self::given(value, shape)
    }

    fn given(value: Value, shape: &[usize]) -> Array {
        let shape = shape.iter().map(|&extent| Extent::Fixed(extent)).collect();
        Array { content: Content::Step(value), shape, kind: Kind::Float, uniform: true }
    }

    /// An array as a value of the program; one that is known becomes a constant of it.
    pub(crate) fn value(&mut self, x: &Array) -> Read<Value> {
        match &x.content {
            Content::Step(value) => Ok(*value),
            Content::Constant(tensor) => {
                let builder = &mut self.builder;
                Ok(*self.constants.entry(tensor.id()).or_insert_with(|| builder.constant(tensor.clone())))
            }
            Content::SampleNumbers | Content::Columns(_) | Content::Unknown => {
                Err("the network computes with the numbers of the samples in their batch".into())
            }
            Content::Sizes(_) => Err("the network computes with the number of samples".into()),
        }
    }

    /// An array with all samples, though they be the same: what does not broadcast needs it.
    pub(crate) fn whole(&mut self, x: &Array) -> Read<Array> {
        match x.sample_axis().filter(|_| x.uniform) {
            Some(axis) => self.over_samples(x, axis, x.shape[axis].of_one_sample()),
            None => Ok(x.clone()),
        }
    }

    /// x repeated along an axis of extent 1, so often for each sample.
    fn over_samples(&mut self, x: &Array, axis: usize, times: usize) -> Read<Array> {
        let samples = self.samples.ok_or("there is no input to take the number of samples from")?;
        let value = self.value(x)?;
        let content = Content::Step(self.builder.op(BroadcastOverSamples { axis, times }, &[value, samples]));
        let mut shape = x.shape.clone();
        shape[axis] = Extent::Samples(times);
        Ok(Array { content, shape, kind: x.kind, uniform: false })
    }

    /// An operation on arrays, whose result has a shape and kind known beforehand.
    pub(crate) fn apply(
        &mut self,
        op: impl Op + 'static,
        inputs: &[&Array],
        shape: Vec<Extent>,
        kind: Kind,
    ) -> Read<Array> {
        bounded(&shape.iter().map(|extent| extent.of_one_sample()).collect::<Vec<_>>())?;
        let known: Option<Vec<&Tensor>> = inputs.iter().map(|x| x.known()).collect();
        let Some(known) = known else {
            let values = inputs.iter().map(|x| self.value(x)).collect::<Read<Vec<_>>>()?;
            let uniform = inputs.iter().all(|x| x.uniform || x.sample_axis().is_none());
            return Ok(Array { content: Content::Step(self.builder.op(op, &values)), shape, kind, uniform });
        };
        let expected: Vec<usize> = shape.iter().map(|extent| extent.fixed().unwrap_or(1)).collect();
        let tensor = op.forward(&known, &mut Vec::new())?;
        if tensor.dims() != expected {
            return Err(
                format!("{} gives a shape {:?} where {expected:?} was expected", op.name(), tensor.dims()).into()
            );
        }
        Ok(Array { content: Content::Constant(tensor), shape, kind, uniform: true })
    }

    /// A linear map of one array.
    pub(crate) fn map(&mut self, map: impl LinearMap + 'static, x: &Array, shape: Vec<Extent>) -> Read<Array> {
        self.apply(LinearRules(map), &[x], shape, x.kind)
    }

    /// What was made for the number of samples that a network was traced with, as one for any number of them: known arrays
    /// that are the same for all samples, beside others that depend on the samples.
    pub(crate) fn freed_of_tracing(&mut self, arrays: &mut [Array]) -> Read<()> {
        let Some(traced) = self.traced_samples.filter(|&traced| traced > 1) else { return Ok(()) };
        let from_end = |x: &Array| x.sample_axis().map(|axis| x.rank() - axis);
        let Some(place) = arrays.iter().find_map(from_end) else { return Ok(()) };
        for x in arrays {
            let Some(axis) = x.rank().checked_sub(place) else { continue };
            let Some(tensor) = x.known().filter(|_| x.shape[axis] == Extent::Fixed(traced)) else { continue };
            let first = tensor.narrow(axis, 0, 1)?;
            let differing = tensor.broadcast_ne(&first)?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
            if differing == 0.0 {
                x.content = Content::Constant(first.contiguous()?);
                x.shape[axis] = Extent::Samples(1);
            }
        }
        Ok(())
    }

    /// The array in another kind of numbers.
    pub(crate) fn cast(&mut self, x: &Array, kind: Kind) -> Read<Array> {
        if x.kind == kind {
            return Ok(x.clone());
        }
        let shape = x.shape.clone();
        match kind {
            Kind::Boolean => self.apply(Discrete::ToBoolean, &[x], shape, kind),
            Kind::Integer => self.apply(Discrete::ToInteger, &[x], shape, kind),
            Kind::Float => {
                let unit = Array::constant(Tensor::new(1.0_f64, &Device::Cpu)?)?;
                if x.known().is_some() {
                    return self.apply(Discrete::ToFloat, &[x, &unit], shape, kind);
                }
                let unit = match self.unit {
                    Some(unit) => unit,
                    None => *self.unit.insert(self.builder.constant(Tensor::new(1.0_f64, &Device::Cpu)?)),
                };
                let value = self.value(x)?;
                let content = Content::Step(self.builder.op(Discrete::ToFloat, &[value, unit]));
                Ok(Array { content, shape, kind, uniform: x.uniform })
            }
        }
    }
}

/// An array must fit the memory.
pub(crate) fn bounded(shape: &[usize]) -> Read<usize> {
    let elements = shape.iter().try_fold(1_usize, |product, &extent| product.checked_mul(extent));
    elements
        .filter(|&elements| elements <= MOST_ELEMENTS)
        .ok_or_else(|| format!("an array of shape {shape:?} for a sample is beyond any network's").into())
}
