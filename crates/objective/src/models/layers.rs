//! Layers: operations together with their parameters' names, shapes and initial values.

use basin_tape::ops::{
    AdaptiveAveragePool2d, CausalSoftmax, Conv2d, Gelu, GeluTanh, LeakyRelu, LinearMap, Mean, Narrow, Pad, Pool2d,
    Relu, Reshape, Sigmoid, Silu, Softplus, Tanh, Transpose,
};
use basin_tape::{Program, ProgramBuilder, Value};

use super::BatchNorm;
use super::dropout::{Dropout, Site};
use super::hidden_units::{ExchangeableUnits, UnitTensor, Units, Wiring};
use super::initial::{Draw, Fan, Initial};
use super::spec::Activation;
use crate::weights::ForeignNames;
use crate::{Error, Result};

/// PyTorch's default ε of batch norm and layer norm.
pub(super) const EPSILON: f64 = 1e-5;

/// A value and its shape without the batch axis.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    value: Value,
    pub(super) shape: Vec<usize>,
    /// Of the first axis of the shape.
    units: Units,
}

/// A model as its layers were written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) program: Program,
    /// The shape of a sample's output.
    pub(super) output: Vec<usize>,
    pub(super) parameters: Vec<Initial>,
    pub(super) buffers: Vec<Initial>,
    pub(super) foreign: ForeignNames,
    /// How many tokens there are, where the samples are sequences of them.
    pub(super) vocabulary: Option<usize>,
    /// The places of dropout, in the order of the program's inputs behind the samples.
    pub(super) sites: Vec<Site>,
    /// The hidden units that may change places, where that is known.
    pub(super) exchangeable: Option<Vec<ExchangeableUnits>>,
}

/// A convolution with a square kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Convolution {
    pub(super) channels: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    pub(super) weight: Draw,
    /// Absent where there is no bias.
    pub(super) bias: Option<Draw>,
}

impl Convolution {
    /// PyTorch's convolution with padding that keeps height and width, for an odd kernel.
    pub(super) fn same(channels: usize, kernel: usize) -> Self {
        let (weight, bias) = (Initial::pytorch as Draw, Some(Initial::pytorch as Draw));
        Self { channels, kernel, stride: 1, padding: kernel / 2, weight, bias }
    }
}

/// Writes the program of a model layer by layer.
#[derive(Debug)]
pub(super) struct Layers {
    builder: ProgramBuilder,
    batch_norm: BatchNorm,
    dropout: Dropout,
    parameters: Vec<Initial>,
    buffers: Vec<Initial>,
    foreign: ForeignNames,
    vocabulary: Option<usize>,
    sites: Vec<Site>,
    wiring: Wiring,
}

impl Layers {
    pub(super) fn new(batch_norm: BatchNorm, dropout: Dropout) -> Self {
        Self {
            builder: ProgramBuilder::default(),
            batch_norm,
            dropout,
            parameters: Vec::new(),
            buffers: Vec::new(),
            foreign: ForeignNames::default(),
            vocabulary: None,
            sites: Vec::new(),
            wiring: Wiring::default(),
        }
    }

    pub(super) fn finish(mut self, output: Layer) -> Result<Written> {
        self.wiring.fix(&output.units);
        Ok(Written {
            program: self.builder.finish(output.value)?,
            output: output.shape,
            parameters: self.parameters,
            buffers: self.buffers,
            foreign: self.foreign,
            vocabulary: self.vocabulary,
            sites: self.sites,
            exchangeable: self.wiring.finish(),
        })
    }

    pub(super) fn input(&mut self, shape: &[usize]) -> Layer {
        let units = self.wiring.make(shape.first().copied().unwrap_or(0));
        self.wiring.fix(&units);
        Layer { value: self.builder.input(), shape: shape.to_vec(), units }
    }

    /// The input is a sequence of tokens, each below `vocabulary`.
    pub(super) fn tokens(&mut self, vocabulary: usize) {
        self.vocabulary = Some(vocabulary);
    }

    /// The tensor that others call `alias` is the model's `name`.
    pub(super) fn alias(&mut self, alias: String, name: String) {
        self.foreign.aliases.push((alias, name));
    }

    /// Files of others hold a constant of this name.
    pub(super) fn constant(&mut self, name: String) {
        self.foreign.constants.push(name);
    }

    /// A parameter which is no layer's weight or bias; its first axis stands for the batch where it meets samples.
    pub(super) fn parameter(&mut self, name: impl Into<String>, shape: &[usize], initial: Initial) -> Layer {
        let value = self.new_parameter(name.into(), shape, initial);
        self.mixed(value, shape[1..].to_vec())
    }

    /// A value of which it is not known what is whose along its first axis.
    fn mixed(&mut self, value: Value, shape: Vec<usize>) -> Layer {
        Layer { value, shape, units: self.wiring.mix() }
    }

    fn new_parameter(&mut self, name: String, shape: &[usize], initial: Initial) -> Value {
        self.parameters.push(initial);
        self.builder.parameter(name, shape)
    }

    /// A parameter whose first axes are those of some units.
    fn tied_parameter(&mut self, name: String, shape: &[usize], initial: Initial, axes: &[&Units]) -> Value {
        for (axis, units) in axes.iter().enumerate() {
            self.wiring.tie(UnitTensor::Parameter(self.parameters.len()), axis, units);
        }
        self.new_parameter(name, shape, initial)
    }

    /// A number for each of some units that travels with the weights.
    fn tied_buffer(&mut self, name: String, initial: Initial, units: &Units, count: usize) -> Value {
        self.wiring.tie(UnitTensor::Buffer(self.buffers.len()), 0, units);
        self.buffers.push(initial);
        self.builder.buffer(name, &[count])
    }

    /// A linear map that leaves channels where they are.
    fn map(&mut self, map: impl LinearMap + 'static, x: Layer, shape: Vec<usize>) -> Layer {
        Layer { value: self.builder.linear_map(map, x.value), shape, units: x.units }
    }

    /// A linear map that does not.
    fn mixing_map(&mut self, map: impl LinearMap + 'static, x: Layer, shape: Vec<usize>) -> Layer {
        let value = self.builder.linear_map(map, x.value);
        self.mixed(value, shape)
    }

    /// All axes but the batch's as one.
    pub(super) fn flatten(&mut self, x: Layer) -> Layer {
        if x.shape.len() == 1 {
            return x;
        }
        let (shape, each) = (vec![x.shape.iter().product()], x.shape.iter().skip(1).product());
        let units = x.units.iter().flat_map(|unit| std::iter::repeat_n(*unit, each)).collect();
        Layer { units, ..self.map(Reshape { keep: 1, tail: shape.clone() }, x, shape) }
    }

    /// Another shape of as many elements.
    pub(super) fn reshape(&mut self, x: Layer, shape: Vec<usize>) -> Layer {
        self.mixing_map(Reshape { keep: 1, tail: shape.clone() }, x, shape)
    }

    /// Two axes of the sample exchanged.
    pub(super) fn transpose(&mut self, x: Layer, a: usize, b: usize) -> Layer {
        let mut shape = x.shape.clone();
        shape.swap(a, b);
        self.mixing_map(Transpose(a + 1, b + 1), x, shape)
    }

    /// The positions `start..start + length` of an axis of the sample.
    pub(super) fn narrow(&mut self, x: Layer, axis: usize, start: usize, length: usize) -> Layer {
        let mut shape = x.shape.clone();
        shape[axis] = length;
        self.mixing_map(Narrow { axis: axis + 1, start, length }, x, shape)
    }

    /// Zeros around an axis of the sample.
    pub(super) fn pad(&mut self, x: Layer, axis: usize, before: usize, behind: usize) -> Layer {
        let mut shape = x.shape.clone();
        shape[axis] += before + behind;
        let units = match axis {
            0 => [vec![None; before], x.units.clone(), vec![None; behind]].concat(),
            _ => x.units.clone(),
        };
        Layer { units, ..self.map(Pad { axis: axis + 1, before, behind }, x, shape) }
    }

    /// The sum of two values of one shape.
    pub(super) fn add(&mut self, a: Layer, b: Layer) -> Layer {
        let units = self.wiring.add(&a.units, &b.units);
        Layer { value: self.builder.add(a.value, b.value), shape: a.shape, units }
    }

    /// A multiple.
    pub(super) fn scale(&mut self, factor: f64, x: Layer) -> Layer {
        Layer { value: self.builder.affine(factor, 0.0, x.value), ..x }
    }

    /// The products of the matrices of two samples, (…, m, k) and (…, k, n).
    pub(super) fn matmul(&mut self, x: Layer, y: Layer) -> Layer {
        let mut shape = x.shape;
        shape.pop();
        shape.extend(y.shape.last());
        let value = self.builder.matmul(x.value, y.value);
        self.mixed(value, shape)
    }

    /// Softmax over the last axis; if causal, over the positions up to the own one.
    pub(super) fn softmax(&mut self, causal: bool, x: Layer) -> Layer {
        let value = if causal { self.builder.op(CausalSoftmax, &[x.value]) } else { self.builder.softmax(x.value) };
        self.mixed(value, x.shape)
    }

    /// A new table of rows.
    pub(super) fn table(&mut self, name: &str, rows: usize, width: usize, initial: Initial) -> Table {
        Table { value: self.new_parameter(format!("{name}.weight"), &[rows, width], initial), rows, width }
    }

    /// The rows of a table which a sample's tokens number.
    pub(super) fn embedding(&mut self, table: Table, x: Layer) -> Layer {
        let mut shape = x.shape;
        shape.push(table.width);
        let value = self.builder.embedding(table.value, x.value);
        self.mixed(value, shape)
    }

    /// The first rows of a table, the same for every sample.
    pub(super) fn first_rows(&mut self, table: Table, count: usize) -> Layer {
        let value = self.builder.linear_map(Reshape { keep: 0, tail: vec![1, table.rows, table.width] }, table.value);
        let rows = self.mixed(value, vec![table.rows, table.width]);
        if count == table.rows { rows } else { self.narrow(rows, 0, 0, count) }
    }

    /// x Wᵀ with the rows of a table as weights.
    pub(super) fn tied_linear(&mut self, table: Table, x: Layer) -> Layer {
        let mut shape = x.shape;
        shape.pop();
        shape.push(table.rows);
        let value = self.builder.linear(x.value, table.value, None);
        self.mixed(value, shape)
    }

    /// x Wᵀ + b on the last axis.
    pub(super) fn linear(&mut self, name: &str, outputs: usize, x: Layer) -> Layer {
        self.linear_drawn(name, outputs, Initial::pytorch, Some(Initial::pytorch), x)
    }

    /// As [`linear`](Self::linear), with other initial values, or without bias.
    pub(super) fn linear_drawn(
        &mut self,
        name: &str,
        outputs: usize,
        weight: impl Fn(Fan) -> Initial,
        bias: Option<Draw>,
        x: Layer,
    ) -> Layer {
        self.linear_named((format!("{name}.weight"), format!("{name}.bias")), outputs, weight, bias, x)
    }

    /// As [`linear_drawn`](Self::linear_drawn), with the names of weight and bias.
    pub(super) fn linear_named(
        &mut self,
        (weight_name, bias_name): (String, String),
        outputs: usize,
        weight: impl Fn(Fan) -> Initial,
        bias: Option<Draw>,
        x: Layer,
    ) -> Layer {
        let mut shape = x.shape;
        let fan = Fan { inputs: shape.pop().unwrap_or(1), outputs };
        let units = if shape.is_empty() { self.wiring.make(outputs) } else { self.wiring.mix() };
        let weight = self.tied_parameter(weight_name, &[outputs, fan.inputs], weight(fan), &[&units, &x.units]);
        let bias = bias.map(|bias| self.tied_parameter(bias_name, &[outputs], bias(fan), &[&units]));
        shape.push(outputs);
        Layer { value: self.builder.linear(x.value, weight, bias), shape, units }
    }

    /// x W + b on the last axis, where W is inputs × outputs: what Hugging Face calls `Conv1D`.
    pub(super) fn conv1d(&mut self, name: &str, outputs: usize, weight: Initial, bias: Initial, x: Layer) -> Layer {
        let mut shape = x.shape;
        let inputs = shape.pop().unwrap_or(1);
        let weight = self.new_parameter(format!("{name}.weight"), &[inputs, outputs], weight);
        let bias = self.new_parameter(format!("{name}.bias"), &[outputs], bias);
        let transposed = self.builder.linear_map(Transpose(0, 1), weight);
        shape.push(outputs);
        let value = self.builder.linear(x.value, transposed, Some(bias));
        self.mixed(value, shape)
    }

    /// A convolution.
    pub(super) fn conv2d(&mut self, name: &str, convolution: Convolution, x: Layer) -> Result<Layer> {
        let Convolution { channels, kernel, stride, padding, weight, bias } = convolution;
        let [inputs, height, width] = image(&x.shape)?;
        let geometry = Conv2d { stride: (stride, stride), padding: (padding, padding), ..Conv2d::default() };
        let weight_shape = [channels, inputs, kernel, kernel];
        let (rows, columns) = geometry.output_size(&[1, inputs, height, width], &weight_shape)?;
        let fan = Fan { inputs: inputs * kernel * kernel, outputs: channels * kernel * kernel };
        let units = self.wiring.make(channels);
        let axes = [&units, &x.units];
        let weight = self.tied_parameter(format!("{name}.weight"), &weight_shape, weight(fan), &axes);
        let bias = bias.map(|bias| self.tied_parameter(format!("{name}.bias"), &[channels], bias(fan), &[&units]));
        let value = self.builder.conv2d(geometry, x.value, weight, bias);
        Ok(Layer { value, shape: vec![channels, rows, columns], units })
    }

    /// Every `stride`-th row and column, from the first on.
    pub(super) fn subsample(&mut self, stride: usize, x: Layer) -> Result<Layer> {
        let [channels, height, width] = image(&x.shape)?;
        let geometry = Pool2d { stride: (stride, stride), ..Pool2d::square(1) };
        let (rows, columns) = geometry.output_size(height, width)?;
        let value = self.builder.average_pool2d(geometry, true, x.value);
        Ok(Layer { value, shape: vec![channels, rows, columns], units: x.units })
    }

    /// The mean of each channel.
    pub(super) fn global_average(&mut self, x: Layer) -> Result<Layer> {
        let [channels, ..] = image(&x.shape)?;
        Ok(self.map(Mean { axes: vec![2, 3] }, x, vec![channels]))
    }

    /// Averages of `size`×`size` windows that cover the image, whatever its size.
    pub(super) fn adaptive_average_pool2d(&mut self, size: usize, x: Layer) -> Result<Layer> {
        let [channels, height, width] = image(&x.shape)?;
        if (height, width) == (size, size) {
            return Ok(x);
        }
        Ok(self.map(AdaptiveAveragePool2d { rows: size, columns: size }, x, vec![channels, size, size]))
    }

    /// Max pooling.
    pub(super) fn max_pool2d(&mut self, geometry: Pool2d, x: Layer) -> Result<Layer> {
        let [channels, height, width] = image(&x.shape)?;
        let (rows, columns) = geometry.output_size(height, width)?;
        let value = self.builder.max_pool2d(geometry, x.value);
        Ok(Layer { value, shape: vec![channels, rows, columns], units: x.units })
    }

    /// Batch norm over the first axis of the sample, with learned scale and shift.
    pub(super) fn batch_norm(&mut self, name: &str, x: Layer) -> Layer {
        let channels = x.shape[0];
        let mut broadcast = vec![1; x.shape.len()];
        broadcast[0] = channels;
        let (zero, one, axes) = (Initial::Constant(0.0), Initial::Constant(1.0), [&x.units]);
        let mean = self.tied_buffer(format!("{name}.running_mean"), zero, &x.units, channels);
        let variance = self.tied_buffer(format!("{name}.running_var"), one, &x.units, channels);
        let scale = self.tied_parameter(format!("{name}.weight"), &[channels], one, &axes);
        let shift = self.tied_parameter(format!("{name}.bias"), &[channels], zero, &axes);
        let value = match self.batch_norm {
            BatchNorm::Stored => self.builder.batch_norm(EPSILON, x.value, (scale, shift), (mean, variance)),
            BatchNorm::Batch => {
                let axes = (0..=x.shape.len()).filter(|&axis| axis != 1).collect();
                let normalized = self.builder.normalize(EPSILON, axes, x.value);
                self.builder.track_statistics(normalized, mean, variance);
                let (scale, shift) = (self.spread(scale, &broadcast), self.spread(shift, &broadcast));
                let scaled = self.builder.mul(normalized, scale);
                self.builder.add(scaled, shift)
            }
        };
        Layer { value, ..x }
    }

    /// Layer norm over the last axis, with learned scale and, if asked, shift.
    pub(super) fn layer_norm(&mut self, name: &str, epsilon: f64, bias: bool, x: Layer) -> Layer {
        let (axis, width) = (x.shape.len(), x.shape.last().copied().unwrap_or(1));
        let normalized = self.builder.normalize(epsilon, vec![axis], x.value);
        let scale = self.new_parameter(format!("{name}.weight"), &[width], Initial::Constant(1.0));
        let mut value = self.builder.mul(normalized, scale);
        if bias {
            let shift = self.new_parameter(format!("{name}.bias"), &[width], Initial::Constant(0.0));
            value = self.builder.add(value, shift);
        }
        self.mixed(value, x.shape)
    }

    /// A vector over channels, shaped to broadcast over the axes behind them.
    fn spread(&mut self, vector: Value, shape: &[usize]) -> Value {
        if shape.len() == 1 {
            return vector;
        }
        self.builder.linear_map(Reshape { keep: 0, tail: shape.to_vec() }, vector)
    }

    /// A place of dropout with the rate of the model's paper, if there is one: x ∘ m with a mask m that is an input of the
    /// program, or x where nothing is dropped.
    pub(super) fn dropout(&mut self, published: Option<f64>, x: Layer) -> Layer {
        let Some(rate) = self.dropout.rate(published) else { return x };
        let mask = self.builder.input();
        self.sites.push(Site { shape: x.shape.clone(), rate });
        Layer { value: self.builder.mul(x.value, mask), ..x }
    }

    /// max(x, 0).
    pub(super) fn relu(&mut self, x: Layer) -> Layer {
        self.activation(Activation::Relu, x)
    }

    /// An elementwise function.
    pub(super) fn activation(&mut self, activation: Activation, x: Layer) -> Layer {
        let b = &mut self.builder;
        let value = match activation {
            Activation::Relu => b.elementwise(Relu, x.value),
            Activation::LeakyRelu => b.elementwise(LeakyRelu { slope: 0.01 }, x.value),
            Activation::Tanh => b.elementwise(Tanh, x.value),
            Activation::Sigmoid => b.elementwise(Sigmoid, x.value),
            Activation::Gelu => b.elementwise(Gelu, x.value),
            Activation::GeluTanh => b.elementwise(GeluTanh, x.value),
            Activation::Silu => b.elementwise(Silu, x.value),
            Activation::Softplus => b.elementwise(Softplus, x.value),
            Activation::Identity => x.value,
        };
        Layer { value, ..x }
    }
}

/// A parameter whose rows are numbered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    value: Value,
    rows: usize,
    width: usize,
}

/// Channels, height and width of a sample.
pub(super) fn image(shape: &[usize]) -> Result<[usize; 3]> {
    <[usize; 3]>::try_from(shape).map_err(|_| {
        Error::input(
            format!("a convolution needs samples of shape [channels, height, width], found {shape:?}"),
            "use image data such as `cifar10:DIR`, or a model for vectors such as `f1` or `mlp:…`",
        )
    })
}
