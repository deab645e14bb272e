//! Runs that are stopped and continued end with the same bits as runs that are not.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::models::Model;
use basin_objective::weights::{self, Weights};
use basin_training::{
    AdamSettings, CheckpointMetadata, Decay, Error, Event, LbfgsSettings, LearningRate, OptimizerSettings, SamSettings,
    Schedule, Settings, SgdSettings, train,
};
use candle_core::{DType, Device, Tensor};

fn settings(model: &str, optimizer: OptimizerSettings) -> Settings {
    Settings {
        model: model.into(),
        samples: Some(200),
        batch_size: 48,
        epochs: 4,
        optimizer,
        schedule: Schedule { decay: Decay::Cosine, warmup_epochs: 1.5, ..Schedule::default() },
        checkpoint_every: Some(2),
        seed: 3,
        ..Settings::default()
    }
}

fn sgd() -> OptimizerSettings {
    OptimizerSettings::Sgd(SgdSettings { momentum: 0.9, nesterov: true, weight_decay: 1e-4, ..SgdSettings::default() })
}

fn adam() -> OptimizerSettings {
    OptimizerSettings::AdamW(AdamSettings { weight_decay: 1e-2, ..AdamSettings::default() })
}

fn bits(path: &Path) -> Vec<(String, Vec<u32>)> {
    let weights = Weights::read(path).unwrap();
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    weights.tensors.iter().map(|(name, t)| (name.clone(), flat(t).into_iter().map(f32::to_bits).collect())).collect()
}

#[test]
fn a_run_stopped_at_any_step_continues_to_the_same_bits() {
    for (model, optimizer) in [("mlp:64-16-10:relu", sgd()), ("mlp:64-16-10:tanh:bn", adam())] {
        let settings = settings(model, optimizer);
        let whole = tempfile::tempdir().unwrap();
        let expected = train(&settings, whole.path(), &mut |_| Ok(())).unwrap();
        for stop in [1_u64, 5, 7, 11, 20] {
            let parts = tempfile::tempdir().unwrap();
            let mut stopped = |event: &Event| match event {
                Event::Step { step, .. } if *step == stop => Err(basin_objective::Error::Interrupted),
                _ => Ok(()),
            };
            let interrupted = train(&settings, parts.path(), &mut stopped);
            assert!(matches!(interrupted, Err(Error::Objective(basin_objective::Error::Interrupted))));
            let found = train(&settings, parts.path(), &mut |_| Ok(())).unwrap();
            assert_eq!(bits(&found.checkpoint), bits(&expected.checkpoint), "{model} stopped at {stop}");
            assert_eq!(found.history, expected.history);
        }
    }
}

/// Training that sees some batches of digits, or all of them in each step where the optimizer needs that.
fn by(optimizer: OptimizerSettings) -> Settings {
    let all = matches!(optimizer, OptimizerSettings::Lbfgs(_));
    Settings {
        batch_size: if all { 200 } else { 48 },
        epochs: if all { 12 } else { 3 },
        ..settings("mlp:64-16-10:tanh:bn", optimizer)
    }
}

#[test]
fn every_optimizer_continues_to_the_same_bits_and_files() {
    let sam_of_adam = OptimizerSettings::Sam(SamSettings { base: Box::new(adam()), ..SamSettings::default() });
    for optimizer in OptimizerSettings::all().into_iter().chain([sam_of_adam]) {
        let name = optimizer.name();
        let settings = by(optimizer);
        let whole = tempfile::tempdir().unwrap();
        let expected = train(&settings, whole.path(), &mut |_| Ok(())).unwrap();
        assert!(expected.diverged.is_none(), "{name}");
        let first = expected.history.epochs[0].train_loss;
        let last = expected.history.epochs.last().unwrap().train_loss;
        assert!(last < first, "{name}: {first} to {last}");
        for stop in [1_u64, 2, 6, 11] {
            let parts = tempfile::tempdir().unwrap();
            let mut stopped = |event: &Event| match event {
                Event::Step { step, .. } if *step == stop => Err(basin_objective::Error::Interrupted),
                _ => Ok(()),
            };
            assert!(train(&settings, parts.path(), &mut stopped).is_err());
            train(&settings, parts.path(), &mut |_| Ok(())).unwrap();
            for file in ["checkpoints/last.safetensors", "history.jsonl", "state.safetensors"] {
                let bytes = |directory: &tempfile::TempDir| std::fs::read(directory.path().join(file)).unwrap();
                assert!(bytes(&parts) == bytes(&whole), "{name} stopped at {stop}: {file}");
            }
        }
    }
}

#[test]
fn lbfgs_needs_all_samples_in_a_step() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { batch_size: 199, ..by(OptimizerSettings::Lbfgs(LbfgsSettings::default())) };
    let error = train(&settings, &directory.path().join("run"), &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("lbfgs needs all samples in each step"), "{error}");
    assert!(error.hint().unwrap().contains("--batch-size 200") && !directory.path().join("run").exists());
}

#[test]
fn a_kill_between_history_and_state_repeats_the_epoch_once() {
    let settings = settings("mlp:64-16-10:relu", adam());
    let whole = tempfile::tempdir().unwrap();
    let expected = train(&settings, whole.path(), &mut |_| Ok(())).unwrap();

    let killed = tempfile::tempdir().unwrap();
    let early = Settings { epochs: 4, ..settings.clone() };
    let mut state_after_two = None;
    train(&early, killed.path(), &mut |event| {
        if let Event::Epoch(epoch) = event
            && epoch.epoch == 2
        {
            state_after_two = Some(std::fs::read(killed.path().join("state.safetensors")).unwrap());
        }
        Ok(())
    })
    .unwrap();
    // As a kill leaves it: three and four epochs are in the history, the last line torn, the state is after two.
    std::fs::write(killed.path().join("state.safetensors"), state_after_two.unwrap()).unwrap();
    let history = killed.path().join("history.jsonl");
    let text = std::fs::read(&history).unwrap();
    std::fs::write(&history, &text[..text.len() - 20]).unwrap();
    let found = train(&early, killed.path(), &mut |_| Ok(())).unwrap();
    assert_eq!(found.history, expected.history);
    assert_eq!(bits(&found.checkpoint), bits(&expected.checkpoint));
}

#[test]
fn other_settings_in_the_same_directory_are_refused_with_the_difference() {
    let directory = tempfile::tempdir().unwrap();
    let first = Settings { epochs: 1, ..settings("mlp:64-16-10:relu", adam()) };
    train(&first, directory.path(), &mut |_| Ok(())).unwrap();
    let error = train(&Settings { batch_size: 32, ..first }, directory.path(), &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("batch_size is 48 there and 32 now"), "{error}");
}

#[test]
fn a_loss_that_leaves_the_numbers_names_step_and_rate() {
    let directory = tempfile::tempdir().unwrap();
    let wild = OptimizerSettings::Sgd(SgdSettings { learning_rate: 1e30.into(), ..SgdSettings::default() });
    let settings = Settings { schedule: Schedule::default(), ..settings("mlp:64-16-10:relu", wild) };
    let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    let error = run.diverged.unwrap();
    assert!(matches!(error, Error::Diverged { learning_rate: 1e30, .. }), "{error}");
    assert_eq!(run.history.reason, "diverged");
}

#[test]
fn patience_ends_a_run_whose_loss_no_longer_falls() {
    let directory = tempfile::tempdir().unwrap();
    let still = OptimizerSettings::Sgd(SgdSettings { learning_rate: 1e-12.into(), ..SgdSettings::default() });
    let settings = Settings { patience: Some(2), epochs: 50, ..settings("mlp:64-16-10:relu", still) };
    let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    assert_eq!(run.history.reason, "loss stopped improving");
    assert_eq!(run.history.epochs.len(), 3);
}

#[test]
fn a_damaged_state_is_bad_input() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { epochs: 1, ..settings("mlp:64-16-10:relu", adam()) };
    train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    std::fs::write(directory.path().join("state.safetensors"), b"torn").unwrap();
    assert!(train(&settings, directory.path(), &mut |_| Ok(())).is_err());
}

#[test]
fn impossible_settings_are_refused_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run");
    let base = settings("mlp:64-16-10:relu", adam());
    for settings in [
        Settings { batch_size: 0, ..base.clone() },
        Settings { batch_size: 201, ..base.clone() },
        Settings { epochs: 0, ..base.clone() },
        Settings { samples: Some(0), ..base.clone() },
        Settings { model: "mlp:63-10".into(), ..base.clone() },
        Settings { data: "digit".into(), ..base.clone() },
        Settings { dtype: "f16".into(), ..base.clone() },
        Settings {
            optimizer: OptimizerSettings::Sgd(SgdSettings { learning_rate: (-1.0).into(), ..Default::default() }),
            ..base
        },
    ] {
        let error = train(&settings, &path, &mut |_| Ok(())).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        assert!(!path.exists(), "{error}");
    }
}

fn diverging() -> Settings {
    let wild = OptimizerSettings::Sgd(SgdSettings { learning_rate: 1e30.into(), ..SgdSettings::default() });
    Settings { schedule: Schedule::default(), batch_size: 200, epochs: 1, ..settings("mlp:64-16-10:relu", wild) }
}

#[test]
fn a_last_step_that_diverges_is_noticed_and_leaves_the_weights_before_it() {
    let settings = diverging();
    let directory = tempfile::tempdir().unwrap();
    let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    let diverged = run.diverged.unwrap();
    assert!(matches!(diverged, Error::Diverged { step: 1, epoch: 1, learning_rate: 1e30, .. }), "{diverged}");
    assert_eq!((run.history.reason.as_str(), run.history.epochs.len(), run.steps_taken), ("diverged", 0, 1));
    let model = Model::new(&settings.model.parse().unwrap(), &[64], 10).unwrap();
    let initial = model.initial_parameters(settings.seed, DType::F32).unwrap().to_vec1::<f32>().unwrap();
    let initial: Vec<u32> = initial.into_iter().map(f32::to_bits).collect();
    let found: BTreeMap<String, Vec<u32>> = bits(&run.checkpoint).into_iter().collect();
    for entry in model.parameters().entries() {
        assert_eq!(found[&entry.name], initial[entry.offset..entry.offset + entry.len()], "{}", entry.name);
    }
    let metadata = CheckpointMetadata::read(&Weights::read(&run.checkpoint).unwrap());
    assert_eq!((metadata.step, metadata.epoch, metadata.samples), (Some(0), Some(0), Some(200)));
}

#[test]
fn a_diverging_run_stopped_before_it_is_noticed_ends_with_the_same_weights() {
    let directory = tempfile::tempdir().unwrap();
    let mut stop = |event: &Event| match event {
        Event::Step { .. } => Err(basin_objective::Error::Interrupted),
        Event::Epoch(_) => Ok(()),
    };
    assert!(train(&diverging(), directory.path(), &mut stop).is_err());
    let found = train(&diverging(), directory.path(), &mut |_| Ok(())).unwrap();
    assert!(found.diverged.is_some());
    let whole = tempfile::tempdir().unwrap();
    let expected = train(&diverging(), whole.path(), &mut |_| Ok(())).unwrap();
    assert_eq!(bits(&found.checkpoint), bits(&expected.checkpoint));
}

#[test]
fn weights_that_leave_the_numbers_end_the_run_with_finite_ones() {
    let wild = OptimizerSettings::Sgd(SgdSettings { learning_rate: 1e300.into(), ..SgdSettings::default() });
    let settings = Settings { schedule: Schedule::default(), ..settings("mlp:64-16-10:relu:bn", wild) };
    let directory = tempfile::tempdir().unwrap();
    let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    assert!(matches!(run.diverged, Some(Error::Diverged { step: 1, epoch: 1, .. })), "{:?}", run.diverged);
    let finite = |bits: &u32| f32::from_bits(*bits).is_finite();
    assert!(bits(&run.checkpoint).iter().all(|(_, values)| values.iter().all(finite)));
}

#[test]
fn a_finished_run_takes_no_steps() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { epochs: 1, ..settings("mlp:64-16-10:relu", adam()) };
    assert_eq!(train(&settings, directory.path(), &mut |_| Ok(())).unwrap().steps_taken, 5);
    assert_eq!(train(&settings, directory.path(), &mut |_| Ok(())).unwrap().steps_taken, 0);
}

/// Seven samples, the labels of all but two of which are ignored.
fn mostly_ignored(directory: &Path, loss: Option<&str>) -> Settings {
    let file = directory.join("data.safetensors");
    let inputs = Tensor::arange(0_f32, 21.0, &Device::Cpu).unwrap().reshape((7, 3)).unwrap();
    let labels = Tensor::new(&[0_i64, -100, -100, 1, -100, -100, -100], &Device::Cpu).unwrap();
    weights::write(&file, &[("x".into(), (inputs / 21.0).unwrap()), ("y".into(), labels)], &BTreeMap::new()).unwrap();
    Settings {
        model: "mlp:3-4-2:tanh".into(),
        data: format!("safetensors:{}", file.display()),
        loss: loss.map(str::to_owned),
        batch_size: 1,
        epochs: 3,
        optimizer: adam(),
        ..Settings::default()
    }
}

#[test]
fn a_batch_of_ignored_labels_is_a_step_that_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let settings = mostly_ignored(directory.path(), None);
    let mut losses = Vec::new();
    let whole = train(&settings, &directory.path().join("whole"), &mut |event| {
        if let Event::Step { loss, .. } = event {
            losses.push(*loss);
        }
        Ok(())
    })
    .unwrap();
    assert!(whole.diverged.is_none());
    assert_eq!((whole.steps_taken, losses.iter().filter(|loss| loss.is_nan()).count()), (21, 15));
    // The optimizer's own count of updates is continued, not the count of steps.
    for stop in 1..21 {
        let parts = directory.path().join(stop.to_string());
        let mut stopped = |event: &Event| match event {
            Event::Step { step, .. } if *step == stop => Err(basin_objective::Error::Interrupted),
            _ => Ok(()),
        };
        assert!(train(&settings, &parts, &mut stopped).is_err());
        let found = train(&settings, &parts, &mut |_| Ok(())).unwrap();
        assert_eq!(bits(&found.checkpoint), bits(&whole.checkpoint), "stopped at {stop}");
    }
}

#[test]
fn losses_without_an_ignored_class_refuse_ignored_labels() {
    let directory = tempfile::tempdir().unwrap();
    for loss in ["mse", "bce"] {
        let settings = mostly_ignored(directory.path(), Some(loss));
        let error = train(&settings, &directory.path().join("run"), &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("5 labels of"), "{error}");
        assert!(error.hint().unwrap().contains("--loss cross-entropy"), "{error}");
    }
}

#[test]
fn unreadable_or_missing_settings_of_a_run_are_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { epochs: 1, ..settings("mlp:64-16-10:relu", adam()) };
    train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    let file = directory.path().join("settings.json");
    std::fs::remove_file(&file).unwrap();
    let error = train(&settings, directory.path(), &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("not its settings") && error.hint().is_some(), "{error}");
    assert!(!file.exists());
    // A directory cannot be read as a file, and is there all the same.
    std::fs::create_dir(&file).unwrap();
    let error = train(&settings, directory.path(), &mut |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("cannot read the settings") && error.hint().is_some(), "{error}");
    assert!(file.is_dir());
}

#[test]
fn a_state_without_the_optimizers_vectors_is_damaged() {
    for (optimizer, names) in [(adam(), &["first_moment", "second_moment"][..]), (sgd(), &["velocity"])] {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { epochs: 1, ..settings("mlp:64-16-10:relu", optimizer) };
        train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
        let path = directory.path().join("state.safetensors");
        let whole = Weights::read(&path).unwrap();
        for name in names {
            let name = format!("optimizer.{name}");
            let misshapen = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
            for replacement in [None, Some(misshapen)] {
                let mut tensors = whole.tensors.clone();
                assert!(tensors.remove(&name).is_some());
                tensors.extend(replacement.map(|tensor| (name.clone(), tensor)));
                let tensors: Vec<(String, Tensor)> = tensors.into_iter().collect();
                weights::write(&path, &tensors, &whole.metadata).unwrap();
                let error = train(&settings, directory.path(), &mut |_| Ok(())).unwrap_err();
                assert!(error.to_string().contains(&format!("`{name}` is missing or misshapen")), "{error}");
            }
        }
    }
}

#[test]
fn descent_without_momentum_needs_no_velocity_to_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings("mlp:64-16-10:relu", OptimizerSettings::Sgd(SgdSettings::default()));
    let mut stop = |_: &Event| Err(basin_objective::Error::Interrupted);
    assert!(train(&settings, directory.path(), &mut stop).is_err());
    assert!(train(&settings, directory.path(), &mut |_| Ok(())).unwrap().diverged.is_none());
}

fn automatic() -> OptimizerSettings {
    OptimizerSettings::Sgd(SgdSettings { learning_rate: LearningRate::Automatic, ..SgdSettings::default() })
}

#[test]
fn an_automatic_learning_rate_continues_to_the_same_bits_and_files() {
    // Fourteen epochs of five steps: measured before steps 1 and 51.
    let settings = |model| Settings { epochs: 14, ..settings(model, automatic()) };
    for model in ["mlp:64-16-10:relu", "mlp:64-16-10:tanh:bn"] {
        let settings = settings(model);
        let whole = tempfile::tempdir().unwrap();
        let expected = train(&settings, whole.path(), &mut |_| Ok(())).unwrap();
        assert!(expected.diverged.is_none());
        for stop in [1_u64, 3, 5, 49, 50, 51, 60] {
            let parts = tempfile::tempdir().unwrap();
            let mut stopped = |event: &Event| match event {
                Event::Step { step, .. } if *step == stop => Err(basin_objective::Error::Interrupted),
                _ => Ok(()),
            };
            assert!(train(&settings, parts.path(), &mut stopped).is_err());
            let found = train(&settings, parts.path(), &mut |_| Ok(())).unwrap();
            assert_eq!(found.history.epochs, expected.history.epochs, "{model} stopped at {stop}");
            for file in ["checkpoints/last.safetensors", "history.jsonl", "state.safetensors"] {
                let bytes = |directory: &tempfile::TempDir| std::fs::read(directory.path().join(file)).unwrap();
                assert!(bytes(&parts) == bytes(&whole), "{model} stopped at {stop}: {file}");
            }
        }
        let cost = |epoch: usize| expected.history.epochs[epoch].observed["controller_gradient_equivalents"];
        // Ten products of 4/3 gradients.
        assert!((cost(0) - 40.0 / 3.0).abs() < 1e-12 && cost(1) == 0.0 && (cost(10) - 40.0 / 3.0).abs() < 1e-12);
    }
}

#[test]
fn an_automatic_learning_rate_brings_its_own_momentum() {
    let directory = tempfile::tempdir().unwrap();
    let OptimizerSettings::Sgd(sgd) = automatic() else { unreachable!() };
    for sgd in [SgdSettings { momentum: 0.9, ..sgd }, SgdSettings { nesterov: true, momentum: 0.0, ..sgd }] {
        let settings = settings("mlp:64-16-10:relu", OptimizerSettings::Sgd(sgd));
        let error = train(&settings, &directory.path().join("run"), &mut |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("the momentum that belongs to it") && error.hint().is_some(), "{error}");
    }
}
