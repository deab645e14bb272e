//! Single operations: value, gradient and Hessian product of the squared distance of the output to a target.

use basin_tape::losses::SquaredError;
use basin_tape::ops::{Conv2d, Gelu, GeluTanh, LeakyRelu, Mean, Pool2d, Relu, Reshape, Sigmoid, Silu, Softplus, Tanh};
use basin_tape::{Linearization, Program, ProgramBuilder, Value};
use candle_core::{Device, Tensor};
use serde::Deserialize;

use super::golden::{Golden, numbers};
use super::{TOLERANCES, assert_close};

#[derive(Deserialize)]
struct Notes {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    operation: Operation,
    /// The shapes of what the operation acts on, all of it differentiable.
    shapes: Vec<Vec<usize>>,
    scale: f64,
    grid: bool,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Operation {
    Conv2d {
        stride: (usize, usize),
        padding: (usize, usize),
        dilation: (usize, usize),
        groups: usize,
    },
    MaxPool2d(Windows),
    AvgPool2d {
        #[serde(flatten)]
        windows: Windows,
        count_include_pad: bool,
    },
    GlobalAverage,
    LayerNorm {
        axes: Vec<usize>,
        epsilon: f64,
    },
    BatchNorm {
        training: bool,
        epsilon: f64,
    },
    Activation {
        function: String,
    },
    Softmax,
    Embedding {
        indices: Vec<Vec<u32>>,
    },
    Linear,
    Matmul,
}

#[derive(Debug, Deserialize)]
struct Windows {
    kernel: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
    dilation: (usize, usize),
    ceil_mode: bool,
}

impl Windows {
    fn geometry(&self) -> Pool2d {
        let &Self { kernel, stride, padding, dilation, ceil_mode } = self;
        Pool2d { kernel, stride, padding, dilation, ceil_mode }
    }
}

fn activation(b: &mut ProgramBuilder, function: &str, x: Value) -> Value {
    match function {
        "relu" => b.elementwise(Relu, x),
        "leaky-relu" => b.elementwise(LeakyRelu { slope: 0.01 }, x),
        "tanh" => b.elementwise(Tanh, x),
        "sigmoid" => b.elementwise(Sigmoid, x),
        "gelu" => b.elementwise(Gelu, x),
        "gelu-tanh" => b.elementwise(GeluTanh, x),
        "silu" => b.elementwise(Silu, x),
        "softplus" => b.elementwise(Softplus, x),
        other => panic!("{other}"),
    }
}

impl Case {
    /// The operation of the parameters; indices are an input, running statistics are buffers.
    fn program(&self) -> Program {
        let mut b = ProgramBuilder::default();
        let p: Vec<Value> =
            self.shapes.iter().enumerate().map(|(i, shape)| b.parameter(i.to_string(), shape)).collect();
        let output = match &self.operation {
            &Operation::Conv2d { stride, padding, dilation, groups } => {
                b.conv2d(Conv2d { stride, padding, dilation, groups }, p[0], p[1], p.get(2).copied())
            }
            Operation::MaxPool2d(windows) => b.max_pool2d(windows.geometry(), p[0]),
            Operation::AvgPool2d { windows, count_include_pad } => {
                b.average_pool2d(windows.geometry(), *count_include_pad, p[0])
            }
            Operation::GlobalAverage => b.linear_map(Mean { axes: vec![2, 3] }, p[0]),
            Operation::LayerNorm { axes, epsilon } => {
                let normalized = b.normalize(*epsilon, axes.clone(), p[0]);
                let scaled = b.mul(normalized, p[1]);
                b.add(scaled, p[2])
            }
            Operation::BatchNorm { training: false, epsilon } => {
                let channels = &self.shapes[1];
                let statistics = (b.buffer("mean", channels), b.buffer("variance", channels));
                b.batch_norm(*epsilon, p[0], (p[1], p[2]), statistics)
            }
            Operation::BatchNorm { training: true, epsilon } => {
                let shape = &self.shapes[0];
                let normalized = b.normalize(*epsilon, (0..shape.len()).filter(|&axis| axis != 1).collect(), p[0]);
                let mut spread = vec![1; shape.len() - 1];
                spread[0] = shape[1];
                let scale = b.linear_map(Reshape { keep: 0, tail: spread.clone() }, p[1]);
                let shift = b.linear_map(Reshape { keep: 0, tail: spread }, p[2]);
                let scaled = b.mul(normalized, scale);
                b.add(scaled, shift)
            }
            Operation::Activation { function } => activation(&mut b, function, p[0]),
            Operation::Softmax => b.softmax(p[0]),
            Operation::Embedding { .. } => {
                let indices = b.input();
                b.embedding(p[0], indices)
            }
            Operation::Linear => b.linear(p[0], p[1], p.get(2).copied()),
            Operation::Matmul => b.matmul(p[0], p[1]),
        };
        b.finish(output).unwrap()
    }

    fn parameters(&self, first_stream: u64) -> Tensor {
        let values = self.shapes.iter().zip(first_stream..).map(|(shape, stream)| {
            let values = (numbers(stream, shape) * self.scale).unwrap();
            let values = if self.grid { ((values * 4.0).unwrap().floor().unwrap() / 4.0).unwrap() } else { values };
            values.flatten_all().unwrap()
        });
        Tensor::cat(&values.collect::<Vec<_>>(), 0).unwrap()
    }

    /// Running mean and variance, one behind the other.
    fn buffers(&self, program: &Program, first_stream: u64) -> Tensor {
        let channels = program.buffers().len() / 2;
        let variance = (numbers(first_stream + 11, &[channels]) * 0.5).unwrap() + 1.0;
        Tensor::cat(&[numbers(first_stream + 10, &[channels]), variance.unwrap()], 0).unwrap()
    }

    fn inputs(&self) -> Vec<Tensor> {
        match &self.operation {
            Operation::Embedding { indices } => vec![Tensor::new(indices.clone(), &Device::Cpu).unwrap()],
            _ => vec![],
        }
    }
}

#[test]
fn operations_agree_with_pytorch() {
    let golden = Golden::read("operations.safetensors");
    let notes: Notes = golden.notes();
    for (i, case) in notes.cases.iter().enumerate() {
        let stream = 16 * i as u64;
        let expected = |what: &str| golden.tensor(&format!("{i}.{what}"));
        let program = case.program();
        let (theta, buffers) = (case.parameters(stream), case.buffers(&program, stream));
        let target = numbers(stream + 8, expected("output").dims());
        let v = numbers(stream + 9, &[program.parameters().len()]);
        for (dtype, tolerance) in TOLERANCES {
            let cast = |x: &Tensor| x.to_dtype(dtype).unwrap();
            let point = program.at(&cast(&theta), &cast(&buffers)).unwrap();
            let inputs = case.inputs();
            let batch: Vec<&Tensor> = inputs.iter().collect();
            let at = Linearization::new(&program, &SquaredError, &point, &batch, &cast(&target)).unwrap();
            let close = |what: &str, found: Tensor| {
                let name = format!("{what} of case {i} in {dtype:?}, {:?} {:?}", case.operation, case.shapes);
                assert_close(&name, &found, expected(what), tolerance);
            };
            close("output", at.tape().output().clone());
            close("gradient", at.gradient().unwrap().joined().unwrap());
            close("hessian", at.hessian(&cast(&v)).unwrap().joined().unwrap());
        }
    }
}
