//! Runs that start from a checkpoint, and on noisy labels.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::path::Path;

use basin_objective::data::{DataSpec, Dataset, Split, Targets};
use basin_objective::models::Model;
use basin_objective::weights::{Gathered, Weights};
use basin_tape::vector;
use basin_training::{CheckpointMetadata, LearningRate, Observable, OptimizerSettings, Settings, SgdSettings, train};
use candle_core::{DType, Tensor};

const MODEL: &str = "mlp:64-8-10:relu:bn";

fn settings(learning_rate: f64) -> Settings {
    let sgd = SgdSettings { learning_rate: LearningRate::Fixed(learning_rate), ..SgdSettings::default() };
    Settings {
        model: MODEL.into(),
        samples: Some(100),
        batch_size: 50,
        epochs: 2,
        optimizer: OptimizerSettings::Sgd(sgd),
        dtype: "f64".into(),
        ..Settings::default()
    }
}

fn gathered(path: &Path) -> Gathered {
    let model = Model::new(&MODEL.parse().unwrap(), &[64], 10).unwrap();
    model.gather(&Weights::read(path).unwrap(), DType::F64).unwrap()
}

fn apart(a: &Tensor, b: &Tensor) -> f64 {
    let difference = (a - b).unwrap();
    vector::dot(&difference, &difference).unwrap().sqrt()
}

#[test]
fn a_run_starts_from_the_weights_and_statistics_of_a_checkpoint() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = train(&settings(0.1), first.path(), &mut |_| Ok(())).unwrap().checkpoint;
    // Steps so small that weights stay; running statistics move on from where they were.
    let still = Settings {
        start: Some(start.to_str().unwrap().into()),
        seed: 9,
        observe: vec![Observable::Distance],
        ..settings(1e-12)
    };
    let run = train(&still, second.path(), &mut |_| Ok(())).unwrap();
    let (before, after) = (gathered(&start), gathered(&run.checkpoint));
    assert!(apart(&before.parameters, &after.parameters) < 1e-9);
    assert!(run.history.epochs[1].observed["distance"] < 1e-9, "the distance is that from the start");
    let fresh = Model::new(&MODEL.parse().unwrap(), &[64], 10).unwrap().initial_buffers(DType::F64).unwrap();
    let moved = apart(&before.buffers, &after.buffers);
    assert!(moved > 0.0 && moved < apart(&before.buffers, &fresh));
    let metadata = CheckpointMetadata::read(&Weights::read(&run.checkpoint).unwrap());
    assert_eq!(metadata.start.as_deref(), start.to_str());
}

#[test]
fn another_models_checkpoint_is_refused() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = train(&settings(0.1), first.path(), &mut |_| Ok(())).unwrap().checkpoint;
    let other =
        Settings { model: "mlp:64-9-10:relu:bn".into(), start: Some(start.to_str().unwrap().into()), ..settings(0.1) };
    assert!(train(&other, second.path(), &mut |_| Ok(())).is_err());
    assert!(std::fs::read_dir(second.path()).unwrap().next().is_none(), "nothing is written before the refusal");
}

#[test]
fn so_many_labels_are_replaced_as_the_share_says() {
    let data = Dataset::load(&DataSpec::Digits, Split::Train).unwrap();
    let labels = |data: &Dataset| match &data.targets {
        Targets::Classes { labels, .. } => labels.tensor().unwrap().to_vec1::<i64>().unwrap(),
        Targets::Real(_) => Vec::new(),
    };
    let clean = labels(&data);
    let wrong = |share: f64| {
        let noisy = labels(&data.with_label_noise(share, 4).unwrap());
        assert!(noisy.iter().all(|label| (0..10).contains(label)));
        noisy.iter().zip(&clean).map(|(a, b)| a != b).collect::<Vec<bool>>()
    };
    let count = |wrong: &[bool]| wrong.iter().filter(|wrong| **wrong).count() as f64;
    let (few, many) = (wrong(0.2), wrong(0.6));
    // Nine of ten replacements change a label; five standard deviations of a binomial count.
    for (share, wrong) in [(0.2, &few), (0.6, &many)] {
        let (mean, n) = (0.9 * share, clean.len() as f64);
        assert!((count(wrong) - mean * n).abs() < 5.0 * (mean * (1.0 - mean) * n).sqrt(), "{share}: {}", count(wrong));
    }
    assert!(few.iter().zip(&many).all(|(few, many)| !few || *many), "a larger share replaces the same labels and more");
    assert_eq!(count(&wrong(0.0)), 0.0);
}

#[test]
fn training_sees_noisy_labels_and_tests_do_not() {
    let run = |label_noise: f64| {
        let directory = tempfile::tempdir().unwrap();
        train(&Settings { label_noise, ..settings(0.1) }, directory.path(), &mut |_| Ok(())).unwrap()
    };
    let (clean, noisy) = (run(0.0), run(1.0));
    assert_ne!(clean.fingerprint, noisy.fingerprint);
    let last = |run: &basin_training::Run| run.history.epochs.last().unwrap().clone();
    assert!(last(&noisy).train_loss > last(&clean).train_loss);
    assert!(last(&noisy).test_accuracy < last(&clean).test_accuracy);
}
