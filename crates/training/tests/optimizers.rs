//! Optimizers against trajectories of `torch.optim`, which `tests/goldens/pytorch.py` writes, and against candle-nn.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

#[path = "../../../tests/goldens/golden.rs"]
mod golden;

use basin_training::{Adam, AdamSettings, LearningRate, Optimizer, OptimizerSettings};
use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW};
use golden::{Golden, distance, numbers};
use serde::Deserialize;

/// Relative error allowed after each step: twenty steps round some hundred times in f64.
const TOLERANCE: f64 = 1e-12;

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

#[test]
fn trajectories_agree_with_torch() {
    let golden = Golden::read("optimizers.safetensors");
    let notes: Notes = golden.notes();
    for (i, settings) in notes.settings.iter().enumerate() {
        let trajectory = golden.tensor(&format!("{i}.trajectory"));
        let theta = Var::from_tensor(&numbers(0, &trajectory.dims()[1..])).unwrap();
        let mut optimizer = Optimizer::new(&theta, settings).unwrap();
        for step in 0..trajectory.dims()[0] {
            let gradient = loss(&theta).unwrap().backward().unwrap().get(&theta).unwrap().clone();
            let LearningRate::Fixed(full) = settings.learning_rate() else { panic!("the rates are fixed") };
            let learning_rate = full * if step < 10 { 1.0 } else { 0.5 };
            optimizer.step(&theta, gradient, learning_rate).unwrap();
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
