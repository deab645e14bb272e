//! A program: the operations of a model, written down once and run on every micro-batch.

use candle_core::Tensor;

use crate::constants::Constants;
use crate::layout::{Entry, Layout};
use crate::op::{Op, hollow};
use crate::ops::{
    Add, Affine, AveragePool2d, BatchNorm, BilinearRules, Concatenate, Conv2d, Convolution, Div, Elementwise,
    Embedding, Linear, LinearMap, LinearRules, Matmul, MaxPool2d, Mul, Normalize, Pool2d, Relu, Scalar, Softmax, Sub,
};
use crate::tape::Tape;
use crate::{Error, Result};

/// A value computed by a program, or given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value(pub(crate) usize);

/// Where a value comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// The i-th tensor of a batch.
    Input(usize),
    /// The i-th differentiable parameter.
    Parameter(usize),
    /// The i-th constant that travels with the weights, such as a running mean.
    Buffer(usize),
    /// The i-th constant of the program itself.
    Constant(usize),
    /// An operation on earlier values.
    Op { op: Box<dyn Op>, inputs: Vec<Value> },
}

/// What derivative rules read of a value of a run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Read {
    pub(crate) value: bool,
    pub(crate) tangent: bool,
    pub(crate) adjoint: bool,
}

/// A batch norm that uses batch statistics, so that a training loop can update the stored ones.
#[derive(Clone, Copy, Debug)]
pub struct BatchStatistics {
    /// The value normalised by its own mean and variance.
    pub normalized: Value,
    /// The buffer that holds the running mean.
    pub mean: usize,
    /// The buffer that holds the running variance.
    pub variance: usize,
}

/// The operations of a model with its parameters and buffers, in the order in which they run.
#[derive(Debug)]
pub struct Program {
    pub(crate) sources: Vec<Source>,
    pub(crate) parameters: Layout,
    pub(crate) buffers: Layout,
    constants: Constants,
    pub(crate) output: Value,
    /// Whether a value depends on what the program is differentiated in: its parameters, but for an [`InputGradient`].
    ///
    /// [`InputGradient`]: crate::InputGradient
    pub(crate) active: Vec<bool>,
    /// The last step that reads a value.
    pub(crate) last_use: Vec<usize>,
    /// What the derivative rules read of each value.
    pub(crate) read: Vec<Read>,
    statistics: Vec<BatchStatistics>,
    inputs: usize,
}

/// The tensors a program runs at: parameters and buffers, in the order of their layouts, and its constants.
#[derive(Clone, Debug)]
pub struct Point {
    pub(crate) parameters: Vec<Tensor>,
    pub(crate) buffers: Vec<Tensor>,
    constants: Vec<Tensor>,
}

impl Program {
    /// The differentiable parameters.
    pub fn parameters(&self) -> &Layout {
        &self.parameters
    }

    /// The constants that travel with the weights.
    pub fn buffers(&self) -> &Layout {
        &self.buffers
    }

    /// The batch norms that use batch statistics; while there are any, a batch must not be split.
    pub fn batch_statistics(&self) -> &[BatchStatistics] {
        &self.statistics
    }

    /// The program to be continued behind its output, which is the value returned.
    ///
    /// ```
    /// use basin_tape::{ProgramBuilder, ops::Tanh};
    ///
    /// let mut b = ProgramBuilder::default();
    /// let (x, w) = (b.input(), b.parameter("weight", &[2, 3]));
    /// let y = b.linear(x, w, None);
    /// let (mut b, y) = b.finish(y)?.continued();
    /// let y = b.elementwise(Tanh, y);
    /// assert_eq!(b.finish(y)?.parameters().len(), 6);
    /// # Ok::<(), basin_tape::Error>(())
    /// ```
    pub fn continued(self) -> (ProgramBuilder, Value) {
        let Self { sources, parameters, buffers, constants, output, statistics, inputs, .. } = self;
        let constants = constants.into_given();
        (ProgramBuilder { sources, parameters, buffers, constants, statistics, inputs }, output)
    }

    /// The same program with the parameters of some names fixed: they are buffers, behind those that were there.
    ///
    /// ```
    /// use basin_tape::ProgramBuilder;
    ///
    /// let mut b = ProgramBuilder::default();
    /// let (x, first, second) = (b.input(), b.parameter("first", &[2, 3]), b.parameter("second", &[4, 2]));
    /// let h = b.linear(x, first, None);
    /// let y = b.linear(h, second, None);
    /// let program = b.finish(y)?.with_frozen(|name| name == "first")?;
    /// assert_eq!((program.parameters().len(), program.buffers().len()), (8, 6));
    /// # Ok::<(), basin_tape::Error>(())
    /// ```
    ///
    /// # Errors
    /// None where the program was finished before.
    pub fn with_frozen(self, frozen: impl Fn(&str) -> bool) -> Result<Self> {
        let (mut builder, output) = self.continued();
        let entries = std::mem::take(&mut builder.parameters);
        for source in &mut builder.sources {
            if let Source::Parameter(index) = source {
                let Entry { name, shape, .. } = &entries.entries()[*index];
                *source = match frozen(name) {
                    true => Source::Buffer(builder.buffers.push(name, shape)),
                    false => Source::Parameter(builder.parameters.push(name, shape)),
                };
            }
        }
        builder.finish(output)
    }

    /// The input x and the position of the parameter W of a last operation x Wᵀ + b, where the program ends with one.
    pub fn last_linear(&self) -> Option<(Value, usize)> {
        match &self.sources[self.output.0] {
            Source::Op { op, inputs } if op.name() == Linear::NAME => match self.sources[inputs[1].0] {
                Source::Parameter(weight) => Some((inputs[0], weight)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The point at which the parameter vector is `theta` and the buffer vector is `buffers`.
    ///
    /// # Errors
    /// When a vector does not have the length of its layout.
    pub fn at(&self, theta: &Tensor, buffers: &Tensor) -> Result<Point> {
        Ok(Point {
            parameters: self.parameters.views(theta)?,
            buffers: self.buffers.views(buffers)?,
            constants: self.constants.on(theta.dtype(), theta.device())?,
        })
    }

    /// The output on a batch. Each value is dropped after its last use.
    ///
    /// # Errors
    /// When an operation does not fit the tensors that reach it.
    pub fn evaluate(&self, point: &Point, batch: &[&Tensor]) -> Result<Tensor> {
        let mut values: Vec<Option<Tensor>> = vec![None; self.sources.len()];
        let mut saved = Vec::new();
        for (step, source) in self.sources.iter().enumerate() {
            let value = match source {
                Source::Op { op, inputs } => {
                    let x = inputs.iter().map(|x| held(&values, *x)).collect::<Result<Vec<_>>>()?;
                    saved.clear();
                    op.forward(&x, &mut saved)?
                }
                given => self.given(given, point, batch)?,
            };
            values[step] = Some(value);
            if let Source::Op { inputs, .. } = source {
                inputs.iter().filter(|x| self.last_use[x.0] == step).for_each(|x| values[x.0] = None);
            }
        }
        held(&values, self.output).cloned()
    }

    /// Runs the program on a batch and keeps every value, for derivatives.
    ///
    /// # Errors
    /// When an operation does not fit the tensors that reach it.
    pub fn record<'p>(&'p self, point: &Point, batch: &[&Tensor]) -> Result<Tape<'p>> {
        self.recorded(point, batch, false)
    }

    /// As [`record`](Self::record), without the last operation: a linear layer, which is applied by rows.
    pub(crate) fn record_but_last<'p>(&'p self, point: &Point, batch: &[&Tensor]) -> Result<Tape<'p>> {
        self.recorded(point, batch, true)
    }

    fn recorded<'p>(&'p self, point: &Point, batch: &[&Tensor], is_open: bool) -> Result<Tape<'p>> {
        let mut values: Vec<Tensor> = Vec::with_capacity(self.sources.len());
        let mut saved: Vec<Vec<Tensor>> = Vec::with_capacity(self.sources.len());
        for (step, source) in self.sources.iter().enumerate() {
            let mut kept = Vec::new();
            let value = match source {
                Source::Op { inputs, .. } if is_open && step == self.output.0 => {
                    let (x, weight) = (&values[inputs[0].0], &values[inputs[1].0]);
                    let shape = [&x.dims()[..x.rank() - 1], &weight.dims()[..1]].concat();
                    hollow(&x.get(0)?.flatten_all()?.get(0)?.broadcast_as(shape)?)?
                }
                Source::Op { op, inputs } => {
                    let x: Vec<&Tensor> = inputs.iter().map(|x| &values[x.0]).collect();
                    op.forward(&x, &mut kept)?
                }
                given => self.given(given, point, batch)?,
            };
            values.push(value);
            saved.push(kept);
            let Source::Op { inputs, .. } = source else { continue };
            if is_open && step == self.output.0 {
                continue;
            }
            for x in inputs.iter().filter(|x| self.last_use[x.0] == step && !self.read[x.0].value) {
                values[x.0] = hollow(&values[x.0])?;
            }
        }
        Ok(Tape::new(self, values, saved, is_open))
    }

    fn given(&self, source: &Source, point: &Point, batch: &[&Tensor]) -> Result<Tensor> {
        let (what, list, index) = match source {
            Source::Parameter(i) => ("parameters", point.parameters.get(*i), i),
            Source::Buffer(i) => ("buffers", point.buffers.get(*i), i),
            Source::Input(i) => ("inputs", batch.get(*i).copied(), i),
            Source::Constant(i) => ("constants", point.constants.get(*i), i),
            Source::Op { .. } => ("operations", None, &0),
        };
        list.cloned().ok_or(Error::Length { what, expected: self.inputs.max(index + 1), found: *index })
    }
}

fn held(values: &[Option<Tensor>], value: Value) -> Result<&Tensor> {
    values[value.0].as_ref().ok_or_else(|| Error::unsupported("program", "a value is read after its last use"))
}

/// Writes a [`Program`] step by step.
///
/// ```
/// use basin_tape::{ProgramBuilder, ops::Tanh};
/// use candle_core::{DType, Device, Tensor};
///
/// let mut b = ProgramBuilder::default();
/// let x = b.input();
/// let (w, bias) = (b.parameter("fc1.weight", &[2, 3]), b.parameter("fc1.bias", &[2]));
/// let h = b.linear(x, w, Some(bias));
/// let y = b.elementwise(Tanh, h);
/// let program = b.finish(y)?;
///
/// let theta = Tensor::zeros(8, DType::F64, &Device::Cpu)?;
/// let none = Tensor::zeros(0, DType::F64, &Device::Cpu)?;
/// let batch = Tensor::ones((4, 3), DType::F64, &Device::Cpu)?;
/// let output = program.evaluate(&program.at(&theta, &none)?, &[&batch])?;
/// assert_eq!(output.dims(), [4, 2]);
/// # Ok::<(), basin_tape::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ProgramBuilder {
    sources: Vec<Source>,
    parameters: Layout,
    buffers: Layout,
    constants: Vec<Tensor>,
    statistics: Vec<BatchStatistics>,
    inputs: usize,
}

impl ProgramBuilder {
    fn push(&mut self, source: Source) -> Value {
        self.sources.push(source);
        Value(self.sources.len() - 1)
    }

    /// The next tensor of a batch.
    pub fn input(&mut self) -> Value {
        self.inputs += 1;
        self.push(Source::Input(self.inputs - 1))
    }

    /// A differentiable parameter.
    pub fn parameter(&mut self, name: impl Into<String>, shape: &[usize]) -> Value {
        let index = self.parameters.push(name, shape);
        self.push(Source::Parameter(index))
    }

    /// A constant that travels with the weights.
    pub fn buffer(&mut self, name: impl Into<String>, shape: &[usize]) -> Value {
        let index = self.buffers.push(name, shape);
        self.push(Source::Buffer(index))
    }

    /// A tensor that is part of the program, such as a mask. Floating point numbers are computed with in the dtype of the
    /// parameters, integers as they are.
    pub fn constant(&mut self, tensor: Tensor) -> Value {
        self.constants.push(tensor);
        self.push(Source::Constant(self.constants.len() - 1))
    }

    /// Any operation.
    pub fn op(&mut self, op: impl Op + 'static, inputs: &[Value]) -> Value {
        self.push(Source::Op { op: Box::new(op), inputs: inputs.to_vec() })
    }

    /// A linear map of one value, such as [`Reshape`](crate::ops::Reshape) or [`Mean`](crate::ops::Mean).
    pub fn linear_map(&mut self, map: impl LinearMap + 'static, x: Value) -> Value {
        self.op(LinearRules(map), &[x])
    }

    /// A scalar function of each element, such as [`Relu`](crate::ops::Relu).
    pub fn elementwise(&mut self, function: impl Scalar + 'static, x: Value) -> Value {
        self.op(Elementwise(function), &[x])
    }

    /// x Wᵀ + b.
    pub fn linear(&mut self, x: Value, weight: Value, bias: Option<Value>) -> Value {
        let inputs: Vec<Value> = [x, weight].into_iter().chain(bias).collect();
        self.op(BilinearRules(Linear), &inputs)
    }

    /// The product of two batches of matrices.
    pub fn matmul(&mut self, x: Value, y: Value) -> Value {
        self.op(BilinearRules(Matmul), &[x, y])
    }

    /// A convolution with optional bias.
    pub fn conv2d(&mut self, geometry: Conv2d, x: Value, weight: Value, bias: Option<Value>) -> Value {
        let inputs: Vec<Value> = [x, weight].into_iter().chain(bias).collect();
        self.op(BilinearRules(Convolution(geometry)), &inputs)
    }

    /// Max pooling.
    pub fn max_pool2d(&mut self, geometry: Pool2d, x: Value) -> Value {
        self.op(MaxPool2d(geometry), &[x])
    }

    /// Average pooling.
    pub fn average_pool2d(&mut self, geometry: Pool2d, count_padding: bool, x: Value) -> Value {
        self.linear_map(AveragePool2d { geometry, count_padding }, x)
    }

    /// weight·(x − mean)/√(variance + ε) + bias per channel, with stored statistics.
    pub fn batch_norm(
        &mut self,
        epsilon: f64,
        x: Value,
        (weight, bias): (Value, Value),
        (mean, variance): (Value, Value),
    ) -> Value {
        self.op(BatchNorm { epsilon }, &[x, weight, bias, mean, variance])
    }

    /// (x − mean)/√(variance + ε) with the statistics of x over `axes`.
    pub fn normalize(&mut self, epsilon: f64, axes: Vec<usize>, x: Value) -> Value {
        self.op(Normalize { axes, epsilon }, &[x])
    }

    /// Notes that `normalized` uses batch statistics whose running averages are the two buffers.
    pub fn track_statistics(&mut self, normalized: Value, mean: Value, variance: Value) {
        if let (Source::Buffer(mean), Source::Buffer(variance)) = (&self.sources[mean.0], &self.sources[variance.0]) {
            self.statistics.push(BatchStatistics { normalized, mean: *mean, variance: *variance });
        }
    }

    /// a + b with broadcasting.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.op(Add, &[a, b])
    }

    /// a − b with broadcasting.
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        self.op(Sub, &[a, b])
    }

    /// a b, elementwise with broadcasting.
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.op(Mul, &[a, b])
    }

    /// a / b, elementwise with broadcasting.
    pub fn div(&mut self, a: Value, b: Value) -> Value {
        self.op(Div, &[a, b])
    }

    /// scale · x + shift with constants.
    pub fn affine(&mut self, scale: f64, shift: f64, x: Value) -> Value {
        self.op(Affine { scale, shift }, &[x])
    }

    /// Softmax over the last axis.
    pub fn softmax(&mut self, x: Value) -> Value {
        self.op(Softmax, &[x])
    }

    /// The values one behind the other along an axis.
    pub fn concatenate(&mut self, axis: usize, parts: &[Value]) -> Value {
        self.op(Concatenate { axis }, parts)
    }

    /// Rows of a table.
    pub fn embedding(&mut self, table: Value, indices: Value) -> Value {
        self.op(Embedding::default(), &[table, indices])
    }

    /// The program whose output is `output`.
    ///
    /// # Errors
    /// When the output does not depend on one of the parameters, whose gradient would silently be zero.
    pub fn finish(self, output: Value) -> Result<Program> {
        let program = self.finish_in(output, |source| matches!(source, Source::Parameter(_)));
        program.require_reached_parameters()?;
        Ok(program)
    }

    /// The program whose output is `output`, without what that does not depend on; and the names of parameters and buffers
    /// that are left out so.
    ///
    /// ```
    /// use basin_tape::ProgramBuilder;
    ///
    /// let mut b = ProgramBuilder::default();
    /// let (x, used, _) = (b.input(), b.parameter("used", &[2, 3]), b.parameter("unused", &[4]));
    /// let y = b.linear(x, used, None);
    /// let (program, unused) = b.finish_reached(y)?;
    /// assert_eq!((program.parameters().len(), unused), (6, vec!["unused".to_owned()]));
    /// # Ok::<(), basin_tape::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the output is a value of another program.
    pub fn finish_reached(self, output: Value) -> Result<(Program, Vec<String>)> {
        let mut reached = vec![false; self.sources.len()];
        reached[output.0] = true;
        for (step, source) in self.sources.iter().enumerate().rev() {
            if let Source::Op { inputs, .. } = source
                && reached[step]
            {
                inputs.iter().for_each(|x| reached[x.0] = true);
            }
        }
        let mut kept = Self { inputs: self.inputs, ..Self::default() };
        let (mut unused, mut places) = (Vec::new(), vec![None; self.sources.len()]);
        let mut buffers = vec![None; self.buffers.entries().len()];
        for (step, source) in self.sources.into_iter().enumerate() {
            let of = |layout: &Layout, index: usize| {
                (layout.entries()[index].name.clone(), layout.entries()[index].shape.clone())
            };
            let source = match source {
                Source::Parameter(i) => {
                    let (name, shape) = of(&self.parameters, i);
                    if !reached[step] {
                        unused.push(name);
                        continue;
                    }
                    Source::Parameter(kept.parameters.push(name, &shape))
                }
                Source::Buffer(i) => {
                    let (name, shape) = of(&self.buffers, i);
                    if !reached[step] {
                        unused.push(name);
                        continue;
                    }
                    let index = kept.buffers.push(name, &shape);
                    buffers[i] = Some(index);
                    Source::Buffer(index)
                }
                Source::Constant(_) | Source::Op { .. } if !reached[step] => continue,
                Source::Constant(i) => {
                    kept.constants.push(self.constants[i].clone());
                    Source::Constant(kept.constants.len() - 1)
                }
                Source::Op { op, inputs } => {
                    Source::Op { op, inputs: inputs.iter().filter_map(|x| places[x.0]).collect() }
                }
                Source::Input(i) => Source::Input(i),
            };
            places[step] = Some(kept.push(source));
        }
        let moved = |statistics: &BatchStatistics| {
            let (mean, variance) = (buffers[statistics.mean]?, buffers[statistics.variance]?);
            Some(BatchStatistics { normalized: places[statistics.normalized.0]?, mean, variance })
        };
        kept.statistics = self.statistics.iter().filter_map(moved).collect();
        match places[output.0] {
            Some(output) => Ok((kept.finish(output)?, unused)),
            None => Err(Error::unsupported("program", "the output is none of its values")),
        }
    }

    /// The program whose output is `output`, differentiated in the given values that are `variable`.
    pub(crate) fn finish_in(mut self, output: Value, variable: impl Fn(&Source) -> bool) -> Program {
        self.pool_before_relu(output);
        let mut active = vec![false; self.sources.len()];
        let mut last_use: Vec<usize> = (0..self.sources.len()).collect();
        for (step, source) in self.sources.iter().enumerate() {
            match source {
                Source::Op { inputs, .. } => {
                    active[step] = inputs.iter().any(|x| active[x.0]);
                    inputs.iter().for_each(|x| last_use[x.0] = step);
                }
                given => active[step] = variable(given),
            }
        }
        last_use[output.0] = self.sources.len();
        let mut read = vec![Read::default(); self.sources.len()];
        for (step, source) in self.sources.iter().enumerate() {
            match source {
                Source::Op { op, inputs } if active[step] => {
                    let reads = op.reads(&inputs.iter().map(|x| active[x.0]).collect::<Vec<_>>());
                    read[step].value |= reads.output;
                    read[step].adjoint = reads.adjoint;
                    for (x, value) in inputs.iter().zip(reads.inputs) {
                        read[x.0].value |= value;
                        read[x.0].tangent |= reads.tangents;
                    }
                }
                Source::Op { .. } => {}
                // Parameters, buffers, constants and inputs belong to others: dropping them here frees nothing.
                Source::Parameter(_) | Source::Buffer(_) | Source::Input(_) | Source::Constant(_) => {
                    read[step] = Read { value: true, tangent: true, adjoint: true };
                }
            }
        }
        read[output.0].value = true;
        Program {
            sources: self.sources,
            parameters: self.parameters,
            buffers: self.buffers,
            constants: Constants::new(self.constants),
            output,
            active,
            last_use,
            read,
            statistics: self.statistics,
            inputs: self.inputs,
        }
    }
}

impl ProgramBuilder {
    /// Exchanges relu and a max pooling that alone reads it: max(relu(x)) = relu(max(x)), with the same derivatives, on a
    /// fraction of the elements.
    fn pool_before_relu(&mut self, output: Value) {
        let mut readers = vec![0; self.sources.len()];
        readers[output.0] += 1;
        for source in &self.sources {
            if let Source::Op { inputs, .. } = source {
                inputs.iter().for_each(|x| readers[x.0] += 1);
            }
        }
        for pool in 0..self.sources.len() {
            let (before, from) = self.sources.split_at_mut(pool);
            let Source::Op { op, inputs } = &mut from[0] else { continue };
            if op.name() != MaxPool2d::NAME || readers[inputs[0].0] > 1 {
                continue;
            }
            if let Source::Op { op: relu, .. } = &mut before[inputs[0].0]
                && relu.name() == Relu::NAME
            {
                std::mem::swap(op, relu);
            }
        }
    }
}

impl Program {
    fn require_reached_parameters(&self) -> Result<()> {
        let mut reached = vec![false; self.sources.len()];
        reached[self.output.0] = true;
        for (step, source) in self.sources.iter().enumerate().rev() {
            match source {
                Source::Op { inputs, .. } if reached[step] => inputs.iter().for_each(|x| reached[x.0] = true),
                Source::Parameter(i) if !reached[step] => {
                    return Err(Error::UnreachedParameter { name: self.parameters.entries()[*i].name.clone() });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;
    use crate::Linearization;
    use crate::derivative_check::{distance, normal};
    use crate::losses::SquaredError;
    use crate::ops::Reshape;

    /// relu, then max pooling; `kept` lets another operation read the relu too, so that the two stay in this order.
    fn pooled(kept: bool) -> Program {
        let mut b = ProgramBuilder::default();
        let x = b.input();
        let w = b.parameter("w", &[2, 1, 3, 3]);
        let h = b.conv2d(Conv2d { padding: (1, 1), ..Conv2d::default() }, x, w, None);
        let h = b.elementwise(Relu, h);
        let mut y = b.max_pool2d(Pool2d::square(2), h);
        if kept {
            let nothing = b.affine(0.0, 0.0, h);
            let nothing = b.max_pool2d(Pool2d::square(2), nothing);
            y = b.add(y, nothing);
        }
        let y = b.linear_map(Reshape { keep: 1, tail: vec![8] }, y);
        b.finish(y).expect("a program")
    }

    #[test]
    fn a_last_linear_layer_is_found_and_nothing_else() {
        let mut b = ProgramBuilder::default();
        let (x, hidden) = (b.input(), b.parameter("fc1.weight", &[2, 3]));
        let h = b.linear(x, hidden, None);
        let weight = b.parameter("fc2.weight", &[4, 2]);
        let y = b.linear(h, weight, None);
        let program = b.finish(y).expect("a program");
        assert_eq!(program.last_linear(), Some((h, 1)));
        let (mut b, y) = program.continued();
        let y = b.elementwise(Relu, y);
        assert_eq!(b.finish(y).expect("a program").last_linear(), None);
    }

    #[test]
    fn relu_behind_max_pooling_has_the_same_values_and_derivatives() {
        let (x, t, v) = (normal(&[3, 1, 4, 4], 1), normal(&[3, 8], 2), normal(&[18], 3));
        let none = Tensor::zeros(0, DType::F64, &Device::Cpu).expect("zeros");
        let figures = |program: &Program| {
            let point = program.at(&normal(&[18], 4), &none).expect("a point");
            let at = Linearization::new(program, &SquaredError, &point, &[&x], &t).expect("a linearization");
            let products = [at.gradient(), at.hessian(&v), at.gauss_newton(&v)];
            let products = products.map(|product| product.and_then(|product| product.joined()).expect("a product"));
            (at.losses().expect("losses"), products)
        };
        let (exchanged, kept) = (pooled(false), pooled(true));
        let steps = |program: &Program| {
            let names = program.sources.iter().filter_map(|source| match source {
                Source::Op { op, .. } => Some(op.name()),
                _ => None,
            });
            names.take(3).collect::<Vec<_>>()
        };
        assert_eq!(steps(&exchanged)[1..], [MaxPool2d::NAME, Relu::NAME]);
        assert_eq!(steps(&kept)[1..], [Relu::NAME, MaxPool2d::NAME]);
        let ((losses, products), (expected_losses, expected)) = (figures(&exchanged), figures(&kept));
        assert!(distance(&losses, &expected_losses) < 1e-14);
        for (a, b) in products.iter().zip(&expected) {
            assert!(distance(a, b) < 1e-14, "{a} {b}");
        }
    }
}
