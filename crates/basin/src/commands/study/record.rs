//! The study's record: what its runs have in common and what they differ in, for people to read.

use std::path::Path;

use basin_records::study::{Run, Setting, Study as StudyRecord, Variant as RecordedVariant};
use basin_records::{Outcome, Provenance, Record};
use basin_training::{Adversarial, Discard, Schedule};

use super::settings::{StudySettings, TrainingSection};
use super::units::Units;
use super::variants::{self, Variant};
use crate::commands::optimizer;

/// Of what is not done to the batches.
const NONE: &str = "none";

/// Writes `study.json`.
pub(super) fn write(settings: &StudySettings, directory: &Path, units: &Units) -> anyhow::Result<()> {
    let variants = variants::all(settings)?;
    let described: Vec<Vec<Setting>> = variants.iter().map(|variant| described(settings, variant)).collect();
    let mut held_equal = vec![
        setting("data", settings.training.data.clone()),
        setting(
            "inputs",
            if settings.training.inputs.is_none() { "as stored".into() } else { settings.training.inputs.to_string() },
        ),
        setting("training samples", units.samples().to_string()),
        setting("loss", units.loss().to_string()),
        setting("seeds", (0..settings.seeds).map(|seed| seed.to_string()).collect::<Vec<_>>().join(", ")),
    ];
    let shared = described[0].iter().filter(|setting| is_shared(&described, setting));
    held_equal.extend(shared.filter(|setting| setting.value != NONE).cloned());
    let recorded = variants.iter().zip(&described).filter_map(|(variant, own)| {
        Some(RecordedVariant {
            name: variant.name.clone()?,
            value: variant.value,
            settings: own.iter().filter(|setting| !is_shared(&described, setting)).cloned().collect(),
        })
    });
    let study = StudyRecord {
        title: settings.title.clone(),
        published: settings.published.clone(),
        held_equal,
        variants: recorded.collect(),
        swept: variants::swept_name(settings),
        runs: units
            .runs()
            .iter()
            .map(|run| Run {
                variant: run.variant.clone(),
                batch_size: run.settings.batch_size as u64,
                seed: run.settings.seed,
                checkpoint: format!("{}/checkpoints/last.safetensors", run.directory()),
                directory: run.directory(),
            })
            .collect(),
        records: units.records(),
    };
    Record::new(Provenance::now(), Outcome::Study(study)).write(&directory.join("study.json"))?;
    Ok(())
}

fn setting(name: &str, value: String) -> Setting {
    Setting { name: name.into(), value }
}

/// Whether all variants have this setting with this value.
fn is_shared(all: &[Vec<Setting>], setting: &Setting) -> bool {
    all.iter().all(|settings| settings.contains(setting))
}

/// How a variant trains, in the same order for each of them.
fn described(study: &StudySettings, variant: &Variant) -> Vec<Setting> {
    let training = &variant.training;
    vec![
        setting("model", training.model.clone()),
        setting("trained for", ending(training)),
        setting("start", start(study, variant)),
        setting("optimizer", optimizer::described(&training.optimizer)),
        setting("schedule", schedule(&training.schedule)),
        setting("batch schedule", training.batch_schedule.to_string()),
        setting("numbers", training.dtype.clone()),
        setting("augmentation", training.augmentation.to_string()),
        setting("discarded", discarded(training)),
        setting("label noise", unless_zero(training.label_noise)),
        setting("dropout", training.dropout.to_string()),
        setting("adversarial samples", adversarial(training)),
    ]
}

fn ending(training: &TrainingSection) -> String {
    match training.patience {
        None => format!("{} epochs", training.epochs),
        Some(patience) => format!(
            "until the train loss has not fallen by 1 % in {patience} epochs, at most {} epochs",
            training.epochs
        ),
    }
}

fn start(study: &StudySettings, variant: &Variant) -> String {
    match (&study.warm_start, variant.warm_epochs) {
        (Some(warm_start), Some(epochs @ 1..)) => {
            format!("the weights after {epochs} epochs at batch size {}", warm_start.batch_size)
        }
        _ => "drawn weights".into(),
    }
}

fn discarded(training: &TrainingSection) -> String {
    let Discard { share, epochs } = training.discard;
    match epochs {
        _ if share == 0.0 => NONE.into(),
        Some(epochs) => format!("the share {share} of each batch, in the first {epochs} epochs"),
        None => format!("the share {share} of each batch"),
    }
}

fn adversarial(training: &TrainingSection) -> String {
    match training.adversarial {
        off if !off.is_on() => NONE.into(),
        Adversarial { radius, steps: 1 } => format!("each number moved by {radius}"),
        Adversarial { radius, steps } => format!("each number moved by at most {radius} in {steps} steps"),
    }
}

fn unless_zero(value: f64) -> String {
    if value == 0.0 { NONE.into() } else { value.to_string() }
}

/// A schedule of the learning rate, as text.
fn schedule(settings: &Schedule) -> String {
    let scaling = match settings.reference_batch_size {
        Some(reference) => format!(", scaling {} from batch size {reference}", settings.scaling),
        None => String::new(),
    };
    format!("{}, {} epochs of warm-up{scaling}", settings.decay, settings.warmup_epochs)
}
