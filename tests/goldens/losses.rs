//! Losses at given outputs: of each sample and in the mean, with the gradient and Hessian product of the mean.

use basin_tape::losses::{BinaryCrossEntropy, CrossEntropy, Loss, SquaredError};
use basin_tape::{Linearization, ProgramBuilder};
use candle_core::{DType, Device, Tensor};
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
    kind: Kind,
    shape: Vec<usize>,
    /// Of the second sample's outputs.
    scale: f64,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "loss", rename_all = "kebab-case")]
enum Kind {
    CrossEntropy { label_smoothing: f64, ignored_class: i64, class_weights: Option<Vec<f64>>, classes: Classes },
    Mse { hard: bool },
    Bce { hard: bool },
}

/// One class per sample, or per position of each sample.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Classes {
    Samples(Vec<i64>),
    Positions(Vec<Vec<i64>>),
}

impl Case {
    fn loss(&self) -> Box<dyn Loss> {
        match &self.kind {
            &Kind::CrossEntropy { label_smoothing, ignored_class, ref class_weights, .. } => {
                Box::new(CrossEntropy { label_smoothing, ignored_class, class_weights: class_weights.clone() })
            }
            Kind::Mse { .. } => Box::new(SquaredError),
            Kind::Bce { .. } => Box::new(BinaryCrossEntropy),
        }
    }

    /// The outputs, all in one vector; those of the second sample are `scale` times as large.
    fn outputs(&self, stream: u64) -> Tensor {
        let scales: Vec<f64> = (0..self.shape[0]).map(|sample| if sample == 1 { self.scale } else { 1.0 }).collect();
        let scales = Tensor::new(scales, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
        let samples = (numbers(stream, &self.shape) * 3.0).unwrap().flatten_from(1).unwrap();
        samples.broadcast_mul(&scales).unwrap().flatten_all().unwrap()
    }

    fn targets(&self, stream: u64, dtype: DType) -> Tensor {
        let hard = match &self.kind {
            Kind::CrossEntropy { classes: Classes::Samples(classes), .. } => {
                return Tensor::new(classes.as_slice(), &Device::Cpu).unwrap();
            }
            Kind::CrossEntropy { classes: Classes::Positions(classes), .. } => {
                return Tensor::new(classes.clone(), &Device::Cpu).unwrap();
            }
            Kind::Mse { hard } | Kind::Bce { hard } => *hard,
        };
        let targets = ((numbers(stream, &self.shape) + 1.0).unwrap() / 2.0).unwrap();
        let targets = if hard { targets.round().unwrap() } else { targets };
        targets.to_dtype(dtype).unwrap()
    }
}

#[test]
fn losses_agree_with_pytorch() {
    let golden = Golden::read("losses.safetensors");
    let notes: Notes = golden.notes();
    for (i, case) in notes.cases.iter().enumerate() {
        let stream = 16 * i as u64;
        let loss = case.loss();
        let mut b = ProgramBuilder::default();
        let z = b.parameter("z", &case.shape);
        let program = b.finish(z).unwrap();
        let z = case.outputs(stream);
        let v = numbers(stream + 2, z.dims());
        for (dtype, tolerance) in TOLERANCES {
            let point =
                program.at(&z.to_dtype(dtype).unwrap(), &Tensor::zeros(0, dtype, &Device::Cpu).unwrap()).unwrap();
            let targets = case.targets(stream + 1, dtype);
            let at = Linearization::new(&program, loss.as_ref(), &point, &[], &targets).unwrap();
            let losses = at.losses().unwrap();
            let weight = loss.weights(at.tape().output(), &targets).unwrap().sum_all().unwrap();
            let mean = |sum: Tensor| sum.broadcast_div(&weight).unwrap();
            let close = |what: &str, found: &Tensor| {
                let name = format!("{what} of case {i} in {dtype:?}, {:?} {:?}", case.kind, case.shape);
                assert_close(&name, found, golden.tensor(&format!("{i}.{what}")), tolerance);
            };
            close("losses", &losses);
            close("mean", &mean(losses.sum_all().unwrap()));
            close("gradient", &mean(at.gradient().unwrap().joined().unwrap()));
            close("hessian", &mean(at.hessian(&v.to_dtype(dtype).unwrap()).unwrap().joined().unwrap()));
        }
    }
}
