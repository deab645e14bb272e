//! A study file, and the options that win over it.

use std::fs;
use std::path::Path;

use basin_objective::Error;
use basin_objective::data::Preprocessing;
use basin_objective::models::Dropout;
use basin_records::keskar::{Columns, Subspace};
use basin_sharpness::KeskarOptions;
use basin_sharpness::lanczos::Lanczos;
use basin_training::{
    Adversarial, Augmentation, BatchSchedule, Discard, Observable, OptimizerSettings, Schedule, Settings,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::runs::{self, TrainingRun};
use crate::arguments::Study;
use crate::commands::{line, train};

/// More is a slip of the hand.
const MOST_SEEDS: u64 = 10_000;

/// Everything that determines a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StudySettings {
    /// The page's title.
    pub(super) title: Option<String>,
    /// What others found in this experiment, each a sentence with its source.
    pub(super) published: Vec<String>,
    /// Batch sizes to compare.
    pub(super) batch_sizes: Vec<usize>,
    /// Seeds 0 to seeds − 1 for each batch size.
    pub(super) seeds: u64,
    /// Points measured along each run, evenly spread over its epochs, beside the last one.
    pub(super) along: u64,
    /// Seed of the measurements' random directions.
    pub(super) measurement_seed: u64,
    pub(super) training: TrainingSection,
    pub(super) keskar: KeskarSection,
    pub(super) spectrum: SpectrumSection,
    pub(super) line: LineSection,
    /// Ways to train that are compared.
    pub(super) variants: Vec<VariantSection>,
    /// Ways to train that differ in one number.
    pub(super) sweep: Option<SweepSection>,
    /// Runs that start from weights along another one.
    pub(super) warm_start: Option<WarmStartSection>,
}

impl Default for StudySettings {
    fn default() -> Self {
        Self {
            title: None,
            published: Vec::new(),
            batch_sizes: vec![16, 144],
            seeds: 3,
            along: 10,
            measurement_seed: 0,
            training: TrainingSection::default(),
            keskar: KeskarSection::default(),
            spectrum: SpectrumSection::default(),
            line: LineSection::default(),
            variants: Vec::new(),
            sweep: None,
            warm_start: None,
        }
    }
}

/// How every run is trained; batch size and seed are the study's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TrainingSection {
    pub(super) model: String,
    pub(super) data: String,
    pub(super) loss: Option<String>,
    pub(super) samples: Option<usize>,
    pub(super) inputs: Preprocessing,
    pub(super) augmentation: Augmentation,
    pub(super) discard: Discard,
    pub(super) label_noise: f64,
    pub(super) dropout: Dropout,
    pub(super) adversarial: Adversarial,
    pub(super) batch_schedule: BatchSchedule,
    pub(super) micro_batch: Option<usize>,
    pub(super) ghost_batch: Option<usize>,
    pub(super) epochs: u64,
    pub(super) patience: Option<u64>,
    pub(super) optimizer: OptimizerSettings,
    pub(super) schedule: Schedule,
    pub(super) dtype: String,
    pub(super) observe: Vec<Observable>,
    pub(super) observe_every: u64,
}

impl Default for TrainingSection {
    fn default() -> Self {
        Settings::default().into()
    }
}

impl From<Settings> for TrainingSection {
    fn from(settings: Settings) -> Self {
        Self {
            model: settings.model,
            data: settings.data,
            loss: settings.loss,
            samples: settings.samples,
            inputs: settings.inputs,
            augmentation: settings.augmentation,
            discard: settings.discard,
            label_noise: settings.label_noise,
            dropout: settings.dropout,
            adversarial: settings.adversarial,
            batch_schedule: settings.batch_schedule,
            micro_batch: settings.micro_batch,
            ghost_batch: settings.ghost_batch,
            epochs: settings.epochs,
            patience: settings.patience,
            optimizer: settings.optimizer,
            schedule: settings.schedule,
            dtype: settings.dtype,
            observe: settings.observe,
            observe_every: settings.observe_every,
        }
    }
}

impl TrainingSection {
    pub(super) fn settings(&self) -> Settings {
        let section = self.clone();
        Settings {
            model: section.model,
            data: section.data,
            loss: section.loss,
            samples: section.samples,
            inputs: section.inputs,
            augmentation: section.augmentation,
            discard: section.discard,
            label_noise: section.label_noise,
            dropout: section.dropout,
            adversarial: section.adversarial,
            batch_schedule: section.batch_schedule,
            micro_batch: section.micro_batch,
            ghost_batch: section.ghost_batch,
            epochs: section.epochs,
            patience: section.patience,
            optimizer: section.optimizer,
            schedule: section.schedule,
            dtype: section.dtype,
            observe: section.observe,
            observe_every: section.observe_every,
            ..Settings::default()
        }
    }
}

/// How Keskar's neighbourhood is searched at the end of each run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct KeskarSection {
    pub(super) epsilon: Vec<f64>,
    pub(super) subspace: Vec<Subspace>,
    pub(super) dimension: usize,
    pub(super) columns: Columns,
    pub(super) draws: usize,
    pub(super) iterations: usize,
}

impl Default for KeskarSection {
    fn default() -> Self {
        let KeskarOptions { epsilons, subspaces, dimension, columns, draws, iterations, .. } = KeskarOptions::default();
        Self { epsilon: epsilons, subspace: subspaces, dimension, columns, draws, iterations }
    }
}

/// Which eigenvalues of the Hessian are sought at the end of each run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SpectrumSection {
    pub(super) top: usize,
    pub(super) bottom: usize,
    pub(super) tolerance: f64,
}

impl Default for SpectrumSection {
    fn default() -> Self {
        Self { top: 1, bottom: 1, tolerance: 1e-4 }
    }
}

/// The line from the smallest batch size's minimum to the largest one's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LineSection {
    pub(super) range: [f64; 2],
    pub(super) points: usize,
}

impl Default for LineSection {
    fn default() -> Self {
        Self { range: [-1.0, 2.0], points: 61 }
    }
}

/// One way to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VariantSection {
    pub(super) name: String,
    /// What it sets otherwise than the study's `training`, as that is written.
    #[serde(default)]
    pub(super) training: Map<String, Value>,
}

/// A way to train for each value of one setting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SweepSection {
    /// Its name within `training`, such as `discard.share`.
    pub(super) setting: String,
    pub(super) values: Vec<Number>,
}

/// Runs that start from the weights which runs at another batch size had on the way (Keskar and others, 2017, figure 5).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WarmStartSection {
    /// Of the runs that give the weights; they end with the last of the `epochs`.
    pub(super) batch_size: usize,
    /// After which of their epochs; 0 is the weights that are drawn.
    pub(super) epochs: Vec<u64>,
}

impl StudySettings {
    /// The study file, or the defaults, with what was typed over it.
    pub(super) fn resolve(arguments: &Study) -> anyhow::Result<Self> {
        let mut settings = match &arguments.file {
            None => Self::default(),
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|cause| {
                    Error::input(
                        format!("cannot read the study file `{}`: {cause}", path.display()),
                        "check the path; without a file the defaults are studied",
                    )
                })?;
                Self::parse(&text, path)?
            }
        };
        settings.training =
            train::settings(&arguments.settings, &arguments.machine, settings.training.settings())?.into();
        settings.batch_sizes = arguments.batch_sizes.clone().unwrap_or(settings.batch_sizes);
        settings.seeds = arguments.seeds.unwrap_or(settings.seeds);
        Ok(settings)
    }

    /// The settings that a study file holds.
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| {
            Error::input(
                format!("`{}` is not a study: {}", path.display(), error.to_string().trim_end()),
                "see docs/reference/study-file.md for the fields",
            )
        })
    }

    /// Refuses what cannot be run, before anything is written.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !(1..=MOST_SEEDS).contains(&self.seeds) {
            let message = format!("the number of seeds is {}", self.seeds);
            return Err(Error::input(message, format!("give 1 to {MOST_SEEDS}; 3 show the spread")).into());
        }
        let mut sizes = self.batch_sizes.clone();
        sizes.sort_unstable();
        if sizes.is_empty() || sizes.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(
                Error::input("the batch sizes must be different, at least one", "like `--batch-sizes 16,144`").into()
            );
        }
        line::points(self.line.range[0], self.line.range[1], self.line.points)?;
        let SpectrumSection { top, bottom, tolerance, .. } = self.spectrum;
        Lanczos { top, bottom, tolerance, ..Lanczos::default() }.check()?;
        let runs = runs::all(self, Path::new(""))?;
        for run in &runs {
            run.settings.check()?;
        }
        // The largest batch size asks most of the data.
        let largest = |run: &&TrainingRun| {
            run.settings.seed == 0 && (run.is_start || run.settings.batch_size == sizes[sizes.len() - 1])
        };
        for run in runs.iter().filter(largest) {
            // Weights to start from are not there yet.
            let parameters = basin_training::check(&Settings { start: None, ..run.settings.clone() })?;
            self.keskar_options().check(parameters)?;
        }
        Ok(())
    }

    pub(super) fn keskar_options(&self) -> KeskarOptions {
        KeskarOptions {
            epsilons: self.keskar.epsilon.clone(),
            subspaces: self.keskar.subspace.clone(),
            dimension: self.keskar.dimension,
            columns: self.keskar.columns,
            draws: self.keskar.draws,
            iterations: self.keskar.iterations,
            seed: self.measurement_seed,
            ..KeskarOptions::default()
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use basin_objective::models::Model;

    use super::*;

    /// The paper's data and time are at few hands: that the studies on CIFAR-10 can begin is shown without them.
    #[test]
    fn the_studies_of_cifar_that_ship_can_be_trained() {
        let studies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/studies");
        let of_digits = fs::read_dir(&studies).unwrap().map(|file| file.unwrap().path());
        let shipped = of_digits.filter(|path| path.is_file() && !path.ends_with("digits-small.toml"));
        let mut count = 0;
        for path in shipped {
            let path = studies.join("cifar").join(path.file_name().unwrap());
            let study = StudySettings::parse(&fs::read_to_string(&path).unwrap(), &path).unwrap();
            assert!(study.training.data.starts_with("cifar10:"), "{}", path.display());
            assert!(!study.published.is_empty(), "{}", path.display());
            for run in runs::all(&study, Path::new("study")).unwrap() {
                run.settings.check().unwrap();
                Model::new(&run.settings.model.parse().unwrap(), &[3, 32, 32], 10).unwrap();
            }
            count += 1;
        }
        assert!(count >= 14, "{count}");
    }
}
