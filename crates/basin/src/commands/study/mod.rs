//! `basin study`: train at each batch size and seed, measure, report.

mod settings;
mod units;

use std::fs;
use std::path::Path;

use basin_objective::Error;
use basin_records::study::{Run, Setting, Study as StudyRecord};
use basin_records::{Comparison, Outcome, Provenance, Record, file};
use basin_training::{Error as TrainingError, Schedule};

use crate::arguments::Study;
use crate::commands::{compare, optimizer};
use crate::device;
use crate::exit::Ended;
use crate::output::print;
use settings::{StudySettings, TrainingSection};
use units::Units;

pub(crate) fn run(arguments: &Study) -> anyhow::Result<Ended> {
    let device = device::named(&arguments.machine.device)?;
    let settings = StudySettings::resolve(arguments)?;
    settings.check()?;
    claim(&arguments.out, &settings)?;
    let units = Units::new(&settings, &arguments.out, &arguments.machine, device)?;
    let ended = units.work()?;
    write_study_record(&settings, &arguments.out, &units)?;
    basin_reporting::draw(&arguments.out)?;
    print(&arguments.out.join("index.html").display().to_string())?;
    Ok(ended)
}

/// Makes the directory this study's: its settings are written first, and another study's are refused.
fn claim(directory: &Path, settings: &StudySettings) -> anyhow::Result<()> {
    fs::create_dir_all(directory.join("records")).map_err(|cause| {
        Error::input(
            format!("cannot create the directory `{}`: {cause}", directory.display()),
            "name a directory that can be written with `--out`",
        )
    })?;
    let path = directory.join("study.toml");
    if let Ok(text) = fs::read_to_string(&path) {
        let found = StudySettings::parse(&text, &path)?;
        let difference = basin_training::differences(&serde_json::to_value(&found)?, &serde_json::to_value(settings)?);
        if !difference.is_empty() {
            let directory = directory.display().to_string();
            return Err(TrainingError::OtherSettings { directory, difference: difference.join(", ") }.into());
        }
        for written in [directory.to_owned(), directory.join("records"), directory.join("figures")] {
            if written.is_dir() {
                file::remove_leftovers(&written)?;
            }
        }
        return Ok(());
    }
    file::replace(&path, toml::to_string_pretty(settings)?.as_bytes())?;
    Ok(())
}

fn write_study_record(settings: &StudySettings, directory: &Path, units: &Units) -> anyhow::Result<()> {
    let setting = |name: &str, value: String| Setting { name: name.into(), value };
    let training = &settings.training;
    let ending = match training.patience {
        None => format!("{} epochs", training.epochs),
        Some(patience) => {
            format!(
                "until the train loss has not fallen by 1 % in {patience} epochs, at most {} epochs",
                training.epochs
            )
        }
    };
    let mut held_equal = vec![
        setting("model", training.model.clone()),
        setting("data", training.data.clone()),
        setting("trained for", ending),
        setting("loss", units.loss()),
        setting("training samples", units.samples().to_string()),
        setting("optimizer", optimizer::described(&training.optimizer)),
        setting("schedule", schedule(&training.schedule)),
        setting("batch schedule", training.batch_schedule.to_string()),
        setting("numbers", training.dtype.clone()),
        setting("seeds", (0..settings.seeds).map(|seed| seed.to_string()).collect::<Vec<_>>().join(", ")),
    ];
    held_equal.extend(interventions(training).into_iter().map(|(name, value)| setting(name, value)));
    let study = StudyRecord {
        title: settings.title.clone(),
        held_equal,
        runs: units
            .runs()
            .map(|run| Run {
                variant: None,
                batch_size: run.batch_size as u64,
                seed: run.seed,
                checkpoint: format!("{}/checkpoints/last.safetensors", run.directory()),
                directory: run.directory(),
            })
            .collect(),
        records: units.records(),
        ..StudyRecord::default()
    };
    Record::new(Provenance::now(), Outcome::Study(study)).write(&directory.join("study.json"))?;
    Ok(())
}

/// What is done to the batches, where something is.
fn interventions(training: &TrainingSection) -> Vec<(&'static str, String)> {
    let discarded = match training.discard.epochs {
        Some(epochs) => format!("the share {} of each batch, in the first {epochs} epochs", training.discard.share),
        None => format!("the share {} of each batch", training.discard.share),
    };
    let adversarial = match (training.adversarial.radius, training.adversarial.steps) {
        (radius, 1) => format!("each number moved by {radius}"),
        (radius, steps) => format!("each number moved by at most {radius} in {steps} steps"),
    };
    let all = [
        ("augmentation", training.augmentation.to_string(), !training.augmentation.is_none()),
        ("discarded", discarded, training.discard.share > 0.0),
        ("label noise", training.label_noise.to_string(), training.label_noise > 0.0),
        ("dropout", training.dropout.to_string(), !training.dropout.is_none()),
        ("adversarial samples", adversarial, training.adversarial.is_on()),
    ];
    all.into_iter().filter(|(.., on)| *on).map(|(name, value, _)| (name, value)).collect()
}

/// A schedule of the learning rate, as text.
fn schedule(settings: &Schedule) -> String {
    let scaling = match settings.reference_batch_size {
        Some(reference) => format!(", scaling {} from batch size {reference}", settings.scaling),
        None => String::new(),
    };
    format!("{}, {} epochs of warm-up{scaling}", settings.decay, settings.warmup_epochs)
}

/// A record of all minima side by side.
fn comparison(rows: Vec<basin_records::comparison::Row>, provenance: Provenance) -> anyhow::Result<Record> {
    let comparison = compare::correlated(Comparison::new(rows))?;
    Ok(Record::new(provenance, Outcome::Comparison(comparison)))
}
