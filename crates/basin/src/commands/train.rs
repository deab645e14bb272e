//! `basin train`: one run.

use std::path::Path;
use std::time::Instant;

use basin_objective::Error;
use basin_objective::weights::Weights;
use basin_records::{Outcome, Provenance, Record};
use basin_training::{Adversarial, CheckpointMetadata, Discard, Event, Run, Schedule, Settings};
use candle_core::Device;

use super::optimizer;
use crate::arguments::{Machine, Train, TrainingSettings};
use crate::device;
use crate::evaluation;
use crate::exit::{self, Ended};
use crate::interruption;
use crate::output::print;
use crate::progress::Progress;
use crate::subject::dtype_name;
use crate::table::{number, percent, table};

pub(crate) fn run(arguments: &Train) -> anyhow::Result<Ended> {
    let settings = Settings {
        batch_size: arguments.batch_size,
        seed: arguments.seed,
        checkpoint_every: arguments.checkpoint_every,
        ..settings(&arguments.settings, &arguments.machine, base(arguments)?)?
    };
    let device = device::named(&arguments.machine.device)?;
    let started = Instant::now();
    let mut progress = Progress::new("train", 0, arguments.machine.quiet);
    let run = basin_training::train_on(&device, &settings, &arguments.out, &mut |event| {
        if let Event::Step { step, steps, loss } = event {
            progress.set_of(*step, *steps, format!("batch loss {}", number(*loss)));
        }
        interruption::check()
    })?;
    drop(progress);
    let path = arguments.out.join("training.json");
    let record = match run.steps_taken {
        // A run that was finished before keeps the record of its own time.
        0 if path.exists() => Record::read(&path)?,
        _ => record(&settings, &run, &device, started),
    };
    record.write(&path)?;
    let text =
        if arguments.json { record.to_json_line()? } else { readable(&record, &run.checkpoint.display().to_string()) };
    print(&text)?;
    match run.diverged {
        Some(error) => {
            exit::tell(&format!("error: {error}"));
            exit::tell(&format!("hint: {}", error.hint().unwrap_or_default()));
            Ok(Ended::NotConverged)
        }
        None => Ok(Ended::Done),
    }
}

/// The defaults, or what the checkpoint says that is started from.
fn base(arguments: &Train) -> Result<Settings, Error> {
    let (start, defaults) = (arguments.start.clone(), Settings::default());
    let Some(path) = &start else { return Ok(defaults) };
    let known = CheckpointMetadata::read(&Weights::read(Path::new(path))?);
    Ok(Settings {
        model: known.model.unwrap_or(defaults.model),
        data: known.data.unwrap_or(defaults.data),
        loss: known.loss.or(defaults.loss),
        inputs: known.inputs.as_deref().unwrap_or_default().parse()?,
        start,
        rename: arguments.rename.clone(),
        ..Settings::default()
    })
}

/// Settings of what was typed over those of a study file or the defaults.
pub(super) fn settings(typed: &TrainingSettings, machine: &Machine, base: Settings) -> Result<Settings, Error> {
    let schedule = Schedule {
        decay: typed.schedule.as_deref().map(str::parse).transpose()?.unwrap_or(base.schedule.decay),
        warmup_epochs: typed.warmup.unwrap_or(base.schedule.warmup_epochs),
        scaling: typed.scaling.unwrap_or(base.schedule.scaling),
        reference_batch_size: typed.reference_batch_size.or(base.schedule.reference_batch_size),
    };
    Ok(Settings {
        model: typed.model.clone().unwrap_or(base.model),
        data: typed.inputs.named(typed.data.clone().unwrap_or(base.data))?,
        loss: typed.loss.clone().or(base.loss),
        samples: typed.samples.or(base.samples),
        inputs: typed.inputs.over(base.inputs)?,
        batch_schedule: typed.batch_schedule.unwrap_or(base.batch_schedule),
        micro_batch: typed.micro_batch.or(base.micro_batch),
        ghost_batch: typed.ghost_batch.or(base.ghost_batch),
        epochs: typed.epochs.unwrap_or(base.epochs),
        patience: typed.patience.or(base.patience),
        augmentation: typed.augment.unwrap_or(base.augmentation),
        discard: Discard {
            share: typed.discard.unwrap_or(base.discard.share),
            epochs: typed.discard_epochs.or(base.discard.epochs),
        },
        label_noise: typed.label_noise.unwrap_or(base.label_noise),
        dropout: typed.dropout.unwrap_or(base.dropout),
        adversarial: Adversarial {
            radius: typed.adversarial.unwrap_or(base.adversarial.radius),
            steps: typed.adversarial_steps.unwrap_or(base.adversarial.steps),
        },
        observe: typed.observe.clone().unwrap_or(base.observe),
        observe_every: typed.observe_every.unwrap_or(base.observe_every),
        optimizer: optimizer::resolved(&typed.optimizer, base.optimizer)?,
        schedule,
        dtype: machine.dtype.map_or(base.dtype, |dtype| dtype_name(dtype.into()).into()),
        ..base
    })
}

/// The history as a record.
pub(super) fn record(settings: &Settings, run: &Run, device: &Device, started: Instant) -> Record {
    let provenance = Provenance {
        data: Some(basin_records::Data {
            spec: settings.data.clone(),
            split: "train".into(),
            samples: run.samples as u64,
            blake3: Some(run.fingerprint.clone()),
        }),
        inputs: Some(evaluation::recorded_inputs(&settings.inputs)),
        evaluation: run.history.epochs.last().filter(|_| run.diverged.is_none()).map(|last| {
            basin_records::Evaluation {
                loss: last.train_loss,
                accuracy: last.train_accuracy,
                samples: run.samples as u64,
            }
        }),
        model: Some(settings.model.clone()),
        loss: Some(run.loss.to_string()),
        batch_size: Some(settings.batch_size as u64),
        optimizer: Some(settings.optimizer.name().into()),
        training_seed: Some(settings.seed),
        device: Some(device::name(device)),
        dtype: Some(settings.dtype.clone()),
        seed: Some(settings.seed),
        seconds: Some(started.elapsed().as_secs_f64()),
        ..Provenance::now()
    };
    Record::new(provenance, Outcome::Training(run.history.clone()))
}

fn readable(record: &Record, checkpoint: &str) -> String {
    let Outcome::Training(history) = &record.outcome else { return String::new() };
    let every = history.epochs.len().div_ceil(10).max(1);
    let shown = history.epochs.iter().filter(|epoch| {
        epoch.epoch.is_multiple_of(every as u64) || Some(epoch.epoch) == history.epochs.last().map(|last| last.epoch)
    });
    let rows = shown.map(|epoch| {
        vec![
            epoch.epoch.to_string(),
            number(epoch.train_loss),
            percent(epoch.train_accuracy),
            number(epoch.test_loss),
            percent(epoch.test_accuracy),
            epoch.batch_size.to_string(),
            number(epoch.learning_rate),
        ]
    });
    let head = ["epoch", "train loss", "train accuracy", "test loss", "test accuracy", "batch size", "learning rate"];
    format!("{}\nended: {}\n{checkpoint}", table(&head, rows.collect()), history.reason)
}
