//! Optimizers against trajectories of `torch.optim`, which `tests/goldens/pytorch.py` writes, against candle-nn, and on
//! quadratics whose minimum is known.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

#[path = "../../../tests/goldens/golden.rs"]
mod golden;

use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::Model;
use basin_objective::weights::Weights;
use basin_objective::{LossSpec, Network, NetworkOptions, Quadratic};
use basin_tape::Layout;
use basin_training::{
    Adam, AdamSettings, Batch, LearningRate, ObjectiveAt, Optimizer, OptimizerSettings, Settings, train,
};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use golden::{Golden, distance, numbers};
use serde::Deserialize;

/// Relative error allowed after each step: twenty steps round some hundred times in f64.
const TOLERANCE: f64 = 1e-12;

/// Relative error allowed where samples were added in another order. The first steps of Adam's kind have the size of the rate even
/// where a gradient is only rounding.
const SHUFFLED: f64 = 1e-9;
/// Steps towards the minimum of a quadratic: AdaGrad with its default rate needs most.
const STEPS: usize = 6_000;
/// What may be left of the distance to it: weight decay, which some have by default, moves the minimum by about its share of the
/// curvature.
const NEAR: f64 = 0.02;

#[derive(Deserialize)]
struct Notes {
    settings: Vec<OptimizerSettings>,
}

/// Σ c x²/2 + x⁴/4 + 0.3 x x₊ with c = 1, 2, … and the next element x₊, cyclic.
fn loss(x: &Tensor) -> Result<Tensor> {
    let c = (Tensor::arange(0_u32, x.elem_count() as u32, &Device::Cpu)?.to_dtype(DType::F64)? + 1.0)?;
    let terms = (((c * x.sqr()?)? / 2.0)? + (x.sqr()?.sqr()? / 4.0)?)?;
    (terms + ((x * x.roll(-1, 0)?)? * 0.3)?)?.sum_all()
}

/// The loss above where a step begins.
struct LossAt(Tensor);

impl Batch for LossAt {
    fn loss(&self) -> f64 {
        loss(&self.0).unwrap().to_scalar().unwrap()
    }

    fn gradient(&self) -> basin_training::Result<Tensor> {
        Ok(self.at(&self.0)?.1)
    }

    fn hessian(&self, _v: &Tensor) -> basin_training::Result<Tensor> {
        unreachable!("no optimizer of PyTorch asks for the Hessian")
    }

    fn at(&self, theta: &Tensor) -> basin_training::Result<(f64, Tensor)> {
        let theta = Var::from_tensor(theta)?;
        let loss = loss(&theta)?;
        Ok((loss.to_scalar()?, loss.backward()?.get(&theta).unwrap().clone()))
    }
}

/// Tensors of these shapes one behind the other.
fn layout(shapes: &[&[usize]]) -> Layout {
    let mut layout = Layout::default();
    for (index, shape) in shapes.iter().enumerate() {
        layout.push(index.to_string(), shape);
    }
    layout
}

fn full_rate(settings: &OptimizerSettings) -> f64 {
    let LearningRate::Fixed(full) = settings.learning_rate() else { panic!("the rates are fixed") };
    full
}

#[test]
fn trajectories_agree_with_torch() {
    let golden = Golden::read("optimizers.safetensors");
    let notes: Notes = golden.notes();
    for (i, settings) in notes.settings.iter().enumerate() {
        let trajectory = golden.tensor(&format!("{i}.trajectory"));
        let theta = Var::from_tensor(&numbers(0, &trajectory.dims()[1..])).unwrap();
        let mut optimizer = Optimizer::new(&theta, &layout(&[theta.dims()]), 0, settings).unwrap();
        for step in 0..trajectory.dims()[0] {
            let learning_rate = full_rate(settings) * if step < 10 { 1.0 } else { 0.5 };
            let batch = LossAt(theta.as_detached_tensor().copy().unwrap());
            optimizer.step(&theta, &batch, learning_rate).unwrap();
            let error = distance(&theta, &trajectory.get(step).unwrap());
            assert!(error <= TOLERANCE, "{settings:?}: off by {error:e} after step {}", step + 1);
        }
    }
}

#[test]
fn adamw_agrees_with_candle() {
    let variables = || [3, 5].map(|size| Var::from_tensor(&numbers(size as u64, &[size])).unwrap());
    let (ours, theirs) = (variables(), variables());
    let settings = AdamSettings {
        learning_rate: 0.03,
        beta1: 0.8,
        beta2: 0.95,
        epsilon: 1e-4,
        weight_decay: 0.2,
        decoupled: true,
    };
    let mut our_adam = Adam::new(ours.to_vec(), settings).unwrap();
    let parameters = ParamsAdamW { lr: 0.03, beta1: 0.8, beta2: 0.95, eps: 1e-4, weight_decay: 0.2 };
    let mut their_adam = AdamW::new(theirs.to_vec(), parameters).unwrap();
    let loss = |variables: &[Var; 2]| (loss(&variables[0]).unwrap() * loss(&variables[1]).unwrap()).unwrap();
    for step in 1..=20 {
        our_adam.backward_step(&loss(&ours)).unwrap();
        their_adam.backward_step(&loss(&theirs)).unwrap();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let error = distance(ours, theirs);
            assert!(error <= TOLERANCE, "off by {error:e} after step {step}");
        }
    }
}

/// A convex quadratic in tensors of several ranks, of which each optimizer with its default settings finds the minimum.
#[test]
fn every_optimizer_finds_the_minimum_of_a_quadratic() {
    let layout = layout(&[&[2, 2], &[3]]);
    let size = layout.len();
    let element = |i: usize| match (i / size, i % size) {
        (row, column) if row == column => 1.0 + row as f64 / 4.0,
        (row, column) if row.abs_diff(column) == 1 => 0.25,
        _ => 0.0,
    };
    let hessian = Tensor::from_vec((0..size * size).map(element).collect::<Vec<f64>>(), (size, size), &Device::Cpu);
    let minimum = numbers(1, &[size]);
    let quadratic = Quadratic::new(hessian.unwrap(), minimum.clone()).unwrap();
    for settings in OptimizerSettings::all() {
        // Not far: the steps of CBLR grow with the fourth power of gradients above 1, which diverges.
        let theta = Var::from_tensor(&(&minimum + (numbers(2, &[size]) / 2.0).unwrap()).unwrap()).unwrap();
        let start = distance(&theta, &minimum);
        let mut optimizer = Optimizer::new(&theta, &layout, 0, &settings).unwrap();
        for step in 0..STEPS {
            // Rules of steps of a given size, and those with noise, come to rest only as the rate falls.
            let rate = full_rate(&settings) * (1.0 - step as f64 / STEPS as f64);
            let batch = ObjectiveAt::new(&quadratic, theta.as_detached_tensor().copy().unwrap()).unwrap();
            optimizer.step(&theta, &batch, rate).unwrap();
        }
        let end = distance(&theta, &minimum);
        println!("{}: {start:e} to {end:e}", settings.name());
        assert!(end <= NEAR * start, "{}: {start:e} to {end:e}", settings.name());
    }
}

#[test]
fn training_takes_the_steps_of_the_optimizer() {
    let data = Dataset::load(&DataSpec::Digits, Split::Train).unwrap().take(100).unwrap();
    let model = Model::new(&"mlp:64-8-10:tanh".parse().unwrap(), data.sample_shape(), 10).unwrap();
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let network = Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, options).unwrap();
    for optimizer in OptimizerSettings::all() {
        let name = optimizer.name();
        let settings = Settings {
            model: "mlp:64-8-10:tanh".into(),
            samples: Some(100),
            batch_size: 100,
            epochs: 3,
            optimizer,
            seed: 5,
            dtype: "f64".into(),
            ..Settings::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
        let found = Weights::read(&run.checkpoint).unwrap().tensors;

        let theta = Var::from_tensor(&model.initial_parameters(5, DType::F64).unwrap()).unwrap();
        let mut optimizer = Optimizer::new(&theta, model.parameters(), 5, &settings.optimizer).unwrap();
        for _ in 0..3 {
            let batch = ObjectiveAt::new(&network, theta.as_detached_tensor().copy().unwrap()).unwrap();
            optimizer.step(&theta, &batch, full_rate(&settings.optimizer)).unwrap();
        }
        for (entry, expected) in model.parameters().entries().iter().zip(model.parameters().views(&theta).unwrap()) {
            let error = distance(&found[&entry.name], &expected);
            assert!(error <= SHUFFLED, "{name}: {} is off by {error:e}", entry.name);
        }
    }
}
