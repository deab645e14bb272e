//! The running statistics of a batch norm move as PyTorch moves them.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

#[path = "../../../tests/goldens/golden.rs"]
mod golden;

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::models::Model;
use basin_objective::weights::{self, Weights};
use basin_training::{OptimizerSettings, SamSettings, Settings, SgdSettings, train};
use candle_core::{DType, Device, Result, Tensor};
use golden::{Golden, distance, numbers};
use serde::Deserialize;

/// Relative error allowed to a few sums in f64.
const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Notes {
    batch_sizes: Vec<usize>,
    channels: usize,
}

/// Mean and unbiased variance of each batch, with weight 0.1 against what was before.
fn running_statistics(batches: &[Tensor]) -> Result<[Tensor; 2]> {
    let channels = batches[0].dim(1)?;
    let mut mean = Tensor::zeros(channels, DType::F64, &Device::Cpu)?;
    let mut variance = Tensor::ones(channels, DType::F64, &Device::Cpu)?;
    for batch in batches {
        mean = ((mean * 0.9)? + (batch.mean(0)? * 0.1)?)?;
        variance = ((variance * 0.9)? + (batch.var(0)? * 0.1)?)?;
    }
    Ok([mean, variance])
}

#[test]
fn the_formula_is_pytorchs() {
    let golden = Golden::read("running_statistics.safetensors");
    let Notes { batch_sizes, channels } = golden.notes();
    let batches = batch_sizes.iter().zip(0..).map(|(&size, stream)| numbers(stream, &[size, channels]));
    let batches: Vec<Tensor> = batches.map(|batch| batch.affine(2.0, 1.0).unwrap()).collect();
    let found = running_statistics(&batches).unwrap();
    for (found, name) in found.iter().zip(["running_mean", "running_var"]) {
        let error = distance(found, golden.tensor(name));
        assert!(error <= TOLERANCE, "{name} is off by {error:e}");
    }
}

/// What the first linear layer of a checkpoint gives.
fn first_layer(checkpoint: &Path, inputs: &Tensor) -> Tensor {
    let weights = Weights::read(checkpoint).unwrap().tensors;
    inputs.matmul(&weights["fc1.weight"].t().unwrap()).unwrap().broadcast_add(&weights["fc1.bias"]).unwrap()
}

#[test]
fn training_moves_them_with_each_batch() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data.safetensors");
    let inputs = numbers(0, &[7, 3]);
    let labels = Tensor::new(&[0_i64, 1, 1, 0, 1, 0, 0], &Device::Cpu).unwrap();
    weights::write(&file, &[("x".into(), inputs.clone()), ("y".into(), labels)], &BTreeMap::new()).unwrap();
    let sgd = SgdSettings { learning_rate: 0.5.into(), ..SgdSettings::default() };
    // The second one evaluates the batch at moved weights too, which leaves the statistics alone.
    let sam = SamSettings { rho: 0.3, base: Box::new(OptimizerSettings::Sgd(sgd)) };
    for optimizer in [OptimizerSettings::Sgd(sgd), OptimizerSettings::Sam(sam)] {
        let run = directory.path().join(optimizer.name());
        let settings = Settings {
            model: "mlp:3-4-2:tanh:bn".into(),
            data: format!("safetensors:{}", file.display()),
            // One batch an epoch, so that the weights at each batch are those of the checkpoint before it.
            batch_size: 7,
            epochs: 3,
            optimizer,
            dtype: "f64".into(),
            checkpoint_every: Some(1),
            ..Settings::default()
        };
        let run = train(&settings, &run, &mut |_| Ok(())).unwrap();

        let model = Model::new(&settings.model.parse().unwrap(), &[3], 2).unwrap();
        let initial = model.parameters().views(&model.initial_parameters(settings.seed, DType::F64).unwrap()).unwrap();
        let first = inputs.matmul(&initial[0].t().unwrap()).unwrap().broadcast_add(&initial[1]).unwrap();
        let later = run.along[..2].iter().map(|(_, checkpoint)| first_layer(checkpoint, &inputs));
        let batches: Vec<Tensor> = [first].into_iter().chain(later).collect();
        let expected = running_statistics(&batches).unwrap();
        let found = Weights::read(&run.checkpoint).unwrap().tensors;
        for (expected, name) in expected.iter().zip(["bn1.running_mean", "bn1.running_var"]) {
            let error = distance(&found[name], expected);
            assert!(error <= TOLERANCE, "{name} is off by {error:e}");
        }
    }
}
