//! Runs that are stopped and continued end with the same bits as runs that are not.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::path::Path;

use basin_objective::weights::Weights;
use basin_training::{AdamSettings, Decay, Error, Event, OptimizerSettings, Schedule, Settings, SgdSettings, train};

fn settings(model: &str, optimizer: OptimizerSettings) -> Settings {
    Settings {
        model: model.into(),
        samples: Some(200),
        batch_size: 48,
        epochs: 4,
        optimizer,
        schedule: Schedule { decay: Decay::Cosine, warmup_epochs: 1.5 },
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
    let flat = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
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
    let wild = OptimizerSettings::Sgd(SgdSettings { learning_rate: 1e30, ..SgdSettings::default() });
    let settings = Settings { schedule: Schedule::default(), ..settings("mlp:64-16-10:relu", wild) };
    let run = train(&settings, directory.path(), &mut |_| Ok(())).unwrap();
    let error = run.diverged.unwrap();
    assert!(matches!(error, Error::Diverged { learning_rate: 1e30, .. }), "{error}");
    assert_eq!(run.history.reason, "diverged");
}

#[test]
fn patience_ends_a_run_whose_loss_no_longer_falls() {
    let directory = tempfile::tempdir().unwrap();
    let still = OptimizerSettings::Sgd(SgdSettings { learning_rate: 1e-12, ..SgdSettings::default() });
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
            optimizer: OptimizerSettings::Sgd(SgdSettings { learning_rate: -1.0, ..Default::default() }),
            ..base
        },
    ] {
        let error = train(&settings, &path, &mut |_| Ok(())).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        assert!(!path.exists(), "{error}");
    }
}
