//! Learning rates from curvature that is zero or not finite.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::weights::{self, Weights};
use basin_training::{Error, Event, LearningRate, OptimizerSettings, Settings, SgdSettings, train};
use candle_core::{Device, Tensor};

/// One epoch of single samples.
fn settings(directory: &Path, model: &str, inputs: Vec<Vec<f32>>, targets: Tensor) -> Settings {
    let file = directory.join("data.safetensors");
    let inputs = Tensor::new(inputs, &Device::Cpu).unwrap();
    weights::write(&file, &[("x".into(), inputs), ("y".into(), targets)], &BTreeMap::new()).unwrap();
    Settings {
        model: model.into(),
        data: format!("safetensors:{}", file.display()),
        batch_size: 1,
        epochs: 1,
        optimizer: OptimizerSettings::Sgd(SgdSettings {
            learning_rate: LearningRate::Automatic,
            ..SgdSettings::default()
        }),
        ..Settings::default()
    }
}

/// Of eight samples, seven drive the softmax so far into saturation that their matrix is exactly zero.
fn mostly_saturated(directory: &Path) -> Settings {
    let inputs: Vec<Vec<f32>> =
        (0..8).map(|sample| if sample == 5 { vec![1.0, -0.5] } else { vec![1e6, 1e6] }).collect();
    settings(directory, "mlp:2-2", inputs, Tensor::new(&[0_i64, 1, 0, 1, 0, 1, 0, 1], &Device::Cpu).unwrap())
}

#[test]
fn training_begins_with_the_first_batch_whose_matrix_is_not_zero() {
    let directory = tempfile::tempdir().unwrap();
    let settings = mostly_saturated(directory.path());
    let whole = directory.path().join("whole");
    let run = train(&settings, &whole, &mut |_| Ok(())).unwrap();
    let epoch = &run.history.epochs[0];
    assert!(epoch.learning_rate > 0.0 && epoch.observed["ritz_largest"] > 0.0, "{epoch:?}");
    for stop in 1..8 {
        let parts = directory.path().join(stop.to_string());
        let mut stopped = |event: &Event| match event {
            Event::Step { step, .. } if *step == stop => Err(basin_objective::Error::Interrupted),
            _ => Ok(()),
        };
        assert!(train(&settings, &parts, &mut stopped).is_err());
        if stop == 1 {
            let state = Weights::read(parts.join("state.safetensors")).unwrap();
            assert_eq!(state.metadata["controller.largest"], 0.0_f64.to_bits().to_string());
        }
        train(&settings, &parts, &mut |_| Ok(())).unwrap();
        for file in ["checkpoints/last.safetensors", "history.jsonl", "state.safetensors"] {
            let bytes = |directory: &Path| std::fs::read(directory.join(file)).unwrap();
            assert!(bytes(&parts) == bytes(&whole), "stopped at {stop}: {file}");
        }
    }
}

#[test]
fn a_product_that_is_not_finite_is_divergence() {
    let directory = tempfile::tempdir().unwrap();
    // Weights are at most 1/√100 and one feature counts: the output is at most 1e19, its square a number in f32, but the
    // matrix has the eigenvalue 2e40.
    let mut input = vec![0.0; 100];
    input[0] = 1e20;
    let targets = Tensor::new(&[[0_f32]], &Device::Cpu).unwrap();
    let settings = settings(directory.path(), "mlp:100-1", vec![input], targets);
    let run = train(&settings, &directory.path().join("run"), &mut |_| Ok(())).unwrap();
    let error = run.diverged.unwrap();
    assert!(matches!(error, Error::Diverged { loss, step: 1, epoch: 1, .. } if loss.is_nan()), "{error}");
    assert_eq!((run.history.reason.as_str(), run.steps_taken), ("diverged", 0));
}
