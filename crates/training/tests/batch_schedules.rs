//! Runs whose batch size changes, and batches that are worked on in parts.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::path::Path;

use basin_objective::Error as ObjectiveError;
use basin_objective::weights::Weights;
use basin_training::{
    Decay, Event, LearningRate, OptimizerSettings, Run, Scaling, Schedule, Settings, SgdSettings, train,
};
use candle_core::DType;

fn sgd(learning_rate: impl Into<LearningRate>) -> OptimizerSettings {
    OptimizerSettings::Sgd(SgdSettings { learning_rate: learning_rate.into(), ..SgdSettings::default() })
}

/// Two hundred digits in batches of fifty, in f64.
fn settings(batch_schedule: &str) -> Settings {
    Settings {
        model: "mlp:64-16-10:tanh".into(),
        samples: Some(200),
        batch_size: 50,
        batch_schedule: batch_schedule.parse().unwrap(),
        epochs: 3,
        optimizer: sgd(0.1),
        dtype: "f64".into(),
        ..Settings::default()
    }
}

fn trained(settings: &Settings) -> Run {
    let directory = tempfile::tempdir().unwrap();
    train(settings, &directory.path().join("run"), &mut |_| Ok(())).unwrap()
}

/// Steps done, batch size and learning rate after each epoch.
fn history(settings: &Settings) -> Vec<(u64, u64, f64)> {
    let epochs = trained(settings).history.epochs;
    epochs.iter().map(|epoch| (epoch.step, epoch.batch_size, epoch.learning_rate)).collect()
}

fn files(directory: &Path) -> [Vec<u8>; 3] {
    ["checkpoints/last.safetensors", "history.jsonl", "state.safetensors"]
        .map(|file| std::fs::read(directory.join(file)).unwrap())
}

#[test]
fn first_epochs_have_a_batch_size_and_a_rate_of_their_own() {
    let settings = settings("first:epochs=2,batch-size=20,learning-rate=0.02");
    assert_eq!(history(&settings), [(10, 20, 0.02), (20, 20, 0.02), (24, 50, 0.1)]);
    let halved = Schedule { decay: Decay::Step { epochs: 1, factor: 0.5 }, ..Schedule::default() };
    let scaled = Schedule { scaling: Scaling::Linear, reference_batch_size: Some(25), ..halved };
    // The rate that belongs to a batch size is not scaled with it; decay holds for all.
    assert_eq!(history(&Settings { schedule: scaled, ..settings }), [(10, 20, 0.02), (20, 20, 0.01), (24, 50, 0.05)]);
}

#[test]
fn batches_grow_after_epochs_and_then_the_rate_falls() {
    let smith = settings("grow:epochs=1,factor=2,rate=1,largest=100");
    assert_eq!(history(&smith), [(4, 50, 0.1), (6, 100, 0.1), (8, 100, 0.05)]);
    let adabatch = settings("grow:epochs=1,factor=2,rate=0.5");
    assert_eq!(history(&adabatch), [(4, 50, 0.1), (6, 100, 0.05), (7, 200, 0.025)]);
}

#[test]
fn a_test_enlarges_batches_within_an_epoch() {
    for test in ["norm-test:eta=0.2", "inner-product-test:theta=0.05", "augmented-test:theta=0.05,nu=0.2"] {
        let settings = Settings { batch_size: 10, ..settings(test) };
        let run = trained(&settings);
        let first = &run.history.epochs[0];
        assert!(first.step < 20 && first.step > 1, "{test}: {} steps in place of 20", first.step);
        assert_eq!(first.observed["batch_test_sample_gradients"], 200.0, "each sample was in one batch");
        let sizes: Vec<u64> = run.history.epochs.iter().map(|epoch| epoch.batch_size).collect();
        assert!(sizes.is_sorted() && sizes[0] > 10, "{test}: {sizes:?}");
        let capped = Settings { batch_schedule: format!("{test},largest=12").parse().unwrap(), ..settings.clone() };
        assert!(history(&capped).iter().all(|epoch| epoch.1 == 12), "{test}");
        let seldom = Settings { batch_schedule: format!("{test},interval=10,largest=10").parse().unwrap(), ..settings };
        let observed = &trained(&seldom).history.epochs[1].observed;
        assert_eq!(observed["batch_test_sample_gradients"], 20.0, "{test}: tests before steps 21 and 31");
    }
}

#[test]
fn an_undemanding_test_leaves_the_weights_as_they_are() {
    let weights = |schedule| {
        let directory = tempfile::tempdir().unwrap();
        let run = train(&settings(schedule), directory.path(), &mut |_| Ok(())).unwrap();
        std::fs::read(run.checkpoint).unwrap()
    };
    assert!(weights("norm-test:eta=1000") == weights("constant"));
}

#[test]
fn every_schedule_continues_to_the_same_bytes_from_any_step() {
    for schedule in [
        "first:epochs=1,batch-size=30,learning-rate=0.02",
        "grow:epochs=1,factor=2",
        "norm-test:eta=0.5,interval=2,largest=90",
        "inner-product-test:theta=0.1",
        "augmented-test:theta=0.1,nu=0.5,interval=3",
    ] {
        let decay = Schedule { decay: Decay::Poly { power: 2.0 }, warmup_epochs: 1.5, ..Schedule::default() };
        let settings = Settings { schedule: decay, micro_batch: Some(16), ..settings(schedule) };
        let whole = tempfile::tempdir().unwrap();
        let steps = train(&settings, whole.path(), &mut |_| Ok(())).unwrap().steps_taken;
        for stop in 1..=steps {
            let parts = tempfile::tempdir().unwrap();
            let mut stopped = |event: &Event| match event {
                Event::Step { step, .. } if *step == stop => Err(ObjectiveError::Interrupted),
                _ => Ok(()),
            };
            assert!(train(&settings, parts.path(), &mut stopped).is_err());
            train(&settings, parts.path(), &mut |_| Ok(())).unwrap();
            assert!(files(parts.path()) == files(whole.path()), "{schedule} stopped at {stop}");
        }
    }
}

#[test]
fn the_steps_of_a_run_are_told_before_they_are_done() {
    let directory = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    let run = train(&settings("grow:epochs=1,factor=2,rate=0.5"), directory.path(), &mut |event| {
        if let Event::Step { steps, .. } = event {
            told.push(*steps);
        }
        Ok(())
    });
    assert_eq!((run.unwrap().steps_taken, told), (7, vec![7; 7]));
}

/// What rounding in f64 may become in twelve steps.
const TOLERANCE: f64 = 1e-12;

#[test]
fn micro_batches_train_as_whole_batches() {
    let weights = |micro_batch, learning_rate: LearningRate| {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { micro_batch, optimizer: sgd(learning_rate), ..settings("constant") };
        let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
        let tensors = Weights::read(&run.checkpoint).unwrap().tensors;
        let flat = tensors.values().flat_map(|tensor| tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap());
        flat.collect::<Vec<_>>()
    };
    for learning_rate in [LearningRate::Fixed(0.1), LearningRate::Automatic] {
        let whole = weights(None, learning_rate);
        for size in [1, 7, 25, 1000] {
            let parts = weights(Some(size), learning_rate);
            assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() <= TOLERANCE), "{size}, {learning_rate}");
        }
    }
}

#[test]
fn an_automatic_rate_pays_for_linearizing_micro_batches_anew() {
    let cost = |micro_batch| {
        let settings = Settings { micro_batch, optimizer: sgd(LearningRate::Automatic), ..settings("constant") };
        trained(&settings).history.epochs[0].observed["controller_gradient_equivalents"]
    };
    // Ten products of 4/3 gradients, or of 5/3 with another forward sweep.
    assert!((cost(None) - 40.0 / 3.0).abs() < 1e-12 && (cost(Some(25)) - 50.0 / 3.0).abs() < 1e-12);
}

#[test]
fn ghost_batches_train_a_model_with_batch_norm_to_the_same_bytes_when_stopped() {
    let settings =
        Settings { model: "mlp:64-16-10:tanh:bn".into(), ghost_batch: Some(16), epochs: 1, ..settings("constant") };
    let whole = tempfile::tempdir().unwrap();
    train(&settings, whole.path(), &mut |_| Ok(())).unwrap();
    let parts = tempfile::tempdir().unwrap();
    let mut stop = |event: &Event| match event {
        Event::Step { step: 2, .. } => Err(ObjectiveError::Interrupted),
        _ => Ok(()),
    };
    assert!(train(&settings, parts.path(), &mut stop).is_err());
    train(&settings, parts.path(), &mut |_| Ok(())).unwrap();
    assert!(files(parts.path()) == files(whole.path()));
    // A micro-batch that holds a whole ghost batch changes nothing.
    let bounded = tempfile::tempdir().unwrap();
    train(&Settings { micro_batch: Some(20), ..settings }, bounded.path(), &mut |_| Ok(())).unwrap();
    assert!(files(bounded.path())[0] == files(whole.path())[0]);
}

#[test]
fn impossible_settings_are_refused_with_the_reason() {
    let base = settings("constant");
    let normalised = Settings { model: "mlp:64-16-10:tanh:bn".into(), ..base.clone() };
    let scaled = Schedule { scaling: Scaling::Sqrt, reference_batch_size: Some(16), ..Schedule::default() };
    for (settings, reason) in [
        (Settings { micro_batch: Some(0), ..base.clone() }, "micro-batch is 0"),
        (Settings { ghost_batch: Some(0), ..base.clone() }, "ghost batch is 0"),
        (Settings { ghost_batch: Some(10), ..base.clone() }, "has no batch norm"),
        (Settings { micro_batch: Some(10), ..normalised.clone() }, "would train another function"),
        (Settings { micro_batch: Some(10), ghost_batch: Some(11), ..normalised.clone() }, "would divide the ghost"),
        (Settings { batch_schedule: "norm-test".parse().unwrap(), ..normalised }, "depends on the others"),
        (settings("first:batch-size=201"), "batch size is 201"),
        (settings("grow:largest=201"), "batch size is 201"),
        (settings("norm-test:largest=49"), "start with 50"),
        (Settings { batch_size: 1, ..settings("norm-test") }, "single sample"),
        (Settings { optimizer: sgd(LearningRate::Automatic), ..settings("first:batch-size=20") }, "at hand"),
        (Settings { optimizer: sgd(LearningRate::Automatic), schedule: scaled, ..base }, "at hand"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run");
        let error = train(&settings, &path, &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains(reason) && error.hint().is_some(), "{error}");
        assert!(!path.exists(), "{error}");
    }
}

#[test]
fn a_state_whose_batches_have_shrunk_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings("norm-test");
    train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    let path = directory.path().join("state.safetensors");
    let Weights { tensors, mut metadata, .. } = Weights::read(&path).unwrap();
    assert!(tensors.values().all(|tensor| tensor.dtype() == DType::F64));
    metadata.insert("tested_batch_size".into(), "0".into());
    let tensors: Vec<_> = tensors.into_iter().collect();
    basin_objective::weights::write(&path, &tensors, &metadata).unwrap();
    let error = train(&settings, directory.path(), &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("have shrunk"), "{error}");
}
