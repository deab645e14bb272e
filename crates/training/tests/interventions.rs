//! What is done to the batches of a run.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{Dataset, Split};
use basin_objective::models::Model;
use basin_objective::weights::Weights;
use basin_objective::{LossSpec, NetworkOptions, SampledNetwork, SampledObjective, random};
use basin_tape::vector;
use basin_training::{Discard, LearningRate, OptimizerSettings, Run, Settings, SgdSettings, train};
use candle_core::DType;
use rand::seq::SliceRandom as _;

const RATE: f64 = 0.05;
/// Rounding of a few steps in f64.
const ROUNDING: f64 = 1e-10;

fn settings(model: &str, data: &str) -> Settings {
    let sgd = SgdSettings { learning_rate: LearningRate::Fixed(RATE), ..SgdSettings::default() };
    Settings {
        model: model.into(),
        data: data.into(),
        samples: Some(60),
        batch_size: 20,
        epochs: 2,
        optimizer: OptimizerSettings::Sgd(sgd),
        dtype: "f64".into(),
        ..Settings::default()
    }
}

/// A run and the bytes of its last checkpoint.
fn run(settings: &Settings) -> (Run, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let run = train(settings, directory.path(), &mut |_| Ok(())).unwrap();
    let bytes = std::fs::read(&run.checkpoint).unwrap();
    (run, bytes)
}

/// Three of ten are left out of each batch in the first epoch: plain descent on the others.
#[test]
fn steps_are_taken_on_the_samples_with_the_largest_losses() {
    let settings =
        Settings { discard: Discard { share: 0.3, epochs: Some(1) }, ..settings("mlp:64-4-10:tanh", "digits") };
    let data = Dataset::load(&settings.data.parse().unwrap(), Split::Train).unwrap().take(60).unwrap();
    let model = Model::new(&settings.model.parse().unwrap(), data.sample_shape(), 10).unwrap();
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let network =
        SampledNetwork { model: &model, buffers: &buffers, loss: LossSpec::CrossEntropy, data: &data, options };
    let batches: &dyn SampledObjective = &network;
    let mut theta = model.initial_parameters(settings.seed, DType::F64).unwrap();
    for epoch in 0..2 {
        let mut order: Vec<usize> = (0..60).collect();
        order.shuffle(&mut random::stream(settings.seed, "shuffle", &epoch.to_string()));
        for batch in order.chunks(20) {
            let mut ranked: Vec<(f64, usize)> = batch
                .iter()
                .map(|&sample| (batches.with_batch(&[sample], |one| Ok(one.evaluate(&theta)?.loss)).unwrap(), sample))
                .collect();
            ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
            let left_out = if epoch == 0 { 6 } else { 0 };
            let mut kept: Vec<usize> = ranked[left_out..].iter().map(|(_, sample)| *sample).collect();
            kept.sort_unstable();
            let gradient = batches.with_batch(&kept, |batch| Ok(batch.gradient(&theta)?.1)).unwrap();
            theta = (theta - (gradient * RATE).unwrap()).unwrap();
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    let found = model.gather(&Weights::read(&run.checkpoint).unwrap(), DType::F64).unwrap().parameters;
    let apart = (found - &theta).unwrap();
    assert!(vector::dot(&apart, &apart).unwrap().sqrt() < ROUNDING);
}

#[test]
fn images_are_changed_in_training_and_nowhere_else() {
    let data = "synthetic:images:samples=80,channels=2,size=6";
    let plain = settings("resnet20", data);
    let plain = Settings { samples: None, epochs: 1, ..plain };
    let augmented = Settings { augmentation: "flip,rotate:10,translate:0.2".parse().unwrap(), ..plain.clone() };
    let (plain, augmented) = (run(&plain).0, run(&augmented).0);
    assert_ne!(plain.history.epochs[0].train_loss, augmented.history.epochs[0].train_loss);
    assert_eq!(plain.fingerprint, augmented.fingerprint, "the data are the same");
}

#[test]
fn a_run_with_interventions_goes_on_to_the_same_bits() {
    let settings = Settings {
        samples: None,
        augmentation: "flip,translate:0.2".parse().unwrap(),
        discard: Discard { share: 0.5, epochs: Some(1) },
        label_noise: 0.3,
        ..settings("resnet20", "synthetic:images:samples=60,channels=1,size=6")
    };
    let expected = run(&settings).1;
    let directory = tempfile::tempdir().unwrap();
    let found = loop {
        let mut steps = 0;
        let stopped = train(&settings, directory.path(), &mut |_| {
            steps += 1;
            if steps == 2 { Err(basin_objective::Error::Interrupted) } else { Ok(()) }
        });
        if let Ok(run) = stopped {
            break std::fs::read(run.checkpoint).unwrap();
        }
    };
    assert!(found == expected);
}
