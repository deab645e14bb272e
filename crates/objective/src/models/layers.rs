//! Layers: operations together with their parameters' names, shapes and initial values.

use basin_tape::ops::{Conv2d, Gelu, LeakyRelu, Pool2d, Relu, Reshape, Sigmoid, Silu, Softplus, Tanh};
use basin_tape::{Program, ProgramBuilder, Value};

use super::BatchNorm;
use super::initial::Initial;
use super::spec::Activation;
use crate::{Error, Result};

/// PyTorch's default ε of batch norm.
const EPSILON: f64 = 1e-5;

/// A value and its shape without the batch axis.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    value: Value,
    pub(super) shape: Vec<usize>,
}

/// Writes the program of a model layer by layer.
#[derive(Debug)]
pub(super) struct Layers {
    builder: ProgramBuilder,
    batch_norm: BatchNorm,
    parameters: Vec<Initial>,
    buffers: Vec<Initial>,
}

impl Layers {
    pub(super) fn new(batch_norm: BatchNorm) -> Self {
        Self { builder: ProgramBuilder::default(), batch_norm, parameters: Vec::new(), buffers: Vec::new() }
    }

    pub(super) fn finish(self, output: Layer) -> Result<(Program, Vec<Initial>, Vec<Initial>)> {
        Ok((self.builder.finish(output.value)?, self.parameters, self.buffers))
    }

    pub(super) fn input(&mut self, shape: &[usize]) -> Layer {
        Layer { value: self.builder.input(), shape: shape.to_vec() }
    }

    fn parameter(&mut self, name: String, shape: &[usize], initial: Initial) -> Value {
        self.parameters.push(initial);
        self.builder.parameter(name, shape)
    }

    fn buffer(&mut self, name: String, shape: &[usize], initial: Initial) -> Value {
        self.buffers.push(initial);
        self.builder.buffer(name, shape)
    }

    /// All axes but the batch's as one.
    pub(super) fn flatten(&mut self, x: Layer) -> Layer {
        if x.shape.len() == 1 {
            return x;
        }
        let shape = vec![x.shape.iter().product()];
        Layer { value: self.builder.linear_map(Reshape { keep: 1, tail: shape.clone() }, x.value), shape }
    }

    /// x Wᵀ + b on the last axis.
    pub(super) fn linear(&mut self, name: &str, outputs: usize, x: Layer) -> Layer {
        let mut shape = x.shape;
        let inputs = shape.pop().unwrap_or(1);
        let initial = Initial::fan_in(inputs);
        let weight = self.parameter(format!("{name}.weight"), &[outputs, inputs], initial);
        let bias = self.parameter(format!("{name}.bias"), &[outputs], initial);
        shape.push(outputs);
        Layer { value: self.builder.linear(x.value, weight, Some(bias)), shape }
    }

    /// A square convolution with bias.
    pub(super) fn conv2d(
        &mut self,
        name: &str,
        channels: usize,
        kernel: usize,
        geometry: Conv2d,
        x: Layer,
    ) -> Result<Layer> {
        let [inputs, height, width] = image(&x.shape)?;
        let weight_shape = [channels, inputs / geometry.groups, kernel, kernel];
        let (rows, columns) = geometry.output_size(&[1, inputs, height, width], &weight_shape)?;
        let initial = Initial::fan_in(weight_shape[1..].iter().product());
        let weight = self.parameter(format!("{name}.weight"), &weight_shape, initial);
        let bias = self.parameter(format!("{name}.bias"), &[channels], initial);
        let value = self.builder.conv2d(geometry, x.value, weight, Some(bias));
        Ok(Layer { value, shape: vec![channels, rows, columns] })
    }

    /// Max pooling.
    pub(super) fn max_pool2d(&mut self, geometry: Pool2d, x: Layer) -> Result<Layer> {
        let [channels, height, width] = image(&x.shape)?;
        let (rows, columns) = geometry.output_size(height, width)?;
        Ok(Layer { value: self.builder.max_pool2d(geometry, x.value), shape: vec![channels, rows, columns] })
    }

    /// Batch norm over the first axis of the sample, with learned scale and shift.
    pub(super) fn batch_norm(&mut self, name: &str, x: Layer) -> Layer {
        let channels = x.shape[0];
        let mut broadcast = vec![1; x.shape.len()];
        broadcast[0] = channels;
        let mean = self.buffer(format!("{name}.running_mean"), &[channels], Initial::Constant(0.0));
        let variance = self.buffer(format!("{name}.running_var"), &[channels], Initial::Constant(1.0));
        let scale = self.parameter(format!("{name}.weight"), &[channels], Initial::Constant(1.0));
        let shift = self.parameter(format!("{name}.bias"), &[channels], Initial::Constant(0.0));
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
        Layer { value, shape: x.shape }
    }

    /// A vector over channels, shaped to broadcast over the axes behind them.
    fn spread(&mut self, vector: Value, shape: &[usize]) -> Value {
        if shape.len() == 1 {
            return vector;
        }
        self.builder.linear_map(Reshape { keep: 0, tail: shape.to_vec() }, vector)
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
            Activation::Silu => b.elementwise(Silu, x.value),
            Activation::Softplus => b.elementwise(Softplus, x.value),
            Activation::Identity => x.value,
        };
        Layer { value, shape: x.shape }
    }
}

fn image(shape: &[usize]) -> Result<[usize; 3]> {
    <[usize; 3]>::try_from(shape).map_err(|_| {
        Error::input(
            format!("a convolution needs samples of shape [channels, height, width], found {shape:?}"),
            "use image data such as `cifar10:DIR`, or a model for vectors such as `f1` or `mlp:…`",
        )
    })
}
