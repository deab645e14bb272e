//! The work of a study as units, each of which leaves a file: what is there is not done again.

use std::path::{Path, PathBuf};
use std::time::Instant;

use basin_objective::LossSpec;
use basin_objective::data::Dataset;
use basin_objective::weights::Weights;
use basin_records::keskar::Subspace;
use basin_records::{Outcome, Record};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{CurvatureMatrix, KeskarOptions};
use basin_training::Event;
use candle_core::Device;

use super::settings::StudySettings;
use crate::arguments::{BatchNormArgument, Common, DtypeArgument, Machine, SplitArgument};
use crate::commands::{compare, keskar, line, spectrum, train};
use crate::exit::{self, Ended};
use crate::interruption;
use crate::progress::Progress;
use crate::subject::{Subject, load_data};

/// Progress of one unit.
const UNIT: u64 = 1000;

/// One training run of the study.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrainingRun {
    pub(super) batch_size: usize,
    pub(super) seed: u64,
}

impl TrainingRun {
    fn name(&self) -> String {
        format!("b{}-s{}", self.batch_size, self.seed)
    }

    /// The run's directory inside the study.
    pub(super) fn directory(&self) -> String {
        format!("runs/{}", self.name())
    }
}

/// All units of a study.
pub(super) struct Units<'a> {
    settings: &'a StudySettings,
    directory: &'a Path,
    machine: &'a Machine,
    device: Device,
    /// The training samples, on which every minimum is measured.
    data: Dataset,
}

impl<'a> Units<'a> {
    pub(super) fn new(
        settings: &'a StudySettings,
        directory: &'a Path,
        machine: &'a Machine,
        device: Device,
    ) -> anyhow::Result<Self> {
        let data = load_data(&settings.training.data, SplitArgument::Train, settings.training.samples)?;
        Ok(Self { settings, directory, machine, device, data })
    }

    /// The runs, the small batch sizes first.
    pub(super) fn runs(&self) -> impl Iterator<Item = TrainingRun> {
        let mut sizes = self.settings.batch_sizes.clone();
        sizes.sort_unstable();
        let seeds = self.settings.seeds;
        sizes.into_iter().flat_map(move |batch_size| (0..seeds).map(move |seed| TrainingRun { batch_size, seed }))
    }

    /// The loss of all runs.
    pub(super) fn loss(&self) -> String {
        self.settings.training.loss.clone().unwrap_or_else(|| LossSpec::default_for(&self.data).to_string())
    }

    /// The number of samples trained and measured on.
    pub(super) fn samples(&self) -> usize {
        self.data.samples()
    }

    /// The record files of the study, relative to its directory.
    pub(super) fn records(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if let Ok(entries) = std::fs::read_dir(self.directory.join("records")) {
            let files = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.extend(files.filter(|name| name.ends_with(".json")).map(|name| format!("records/{name}")));
        }
        names.sort();
        names
    }

    /// Does what is not done yet.
    pub(super) fn work(&self) -> anyhow::Result<Ended> {
        let runs: Vec<TrainingRun> = self.runs().collect();
        // Each run is trained, measured along the way, and measured at its end; then there is the line.
        let mut progress = Progress::new("study", (3 * runs.len() as u64 + 1) * UNIT, self.machine.quiet);
        let mut ended = Ended::Done;
        let mut rows = Vec::new();
        for (i, run) in runs.iter().enumerate() {
            let done = 3 * i as u64 * UNIT;
            let Some(along) = self.train(run, done, &mut progress)? else {
                ended = Ended::NotConverged;
                continue;
            };
            self.measure_along(run, &along, done + UNIT, &mut progress)?;
            let subject = self.subject(&self.last_checkpoint(run))?;
            progress.set(done + 2 * UNIT, format!("measuring {}", run.name()));
            let keskar = self.once(&format!("keskar-{}", run.name()), || {
                keskar::measure(&subject, &self.settings.keskar_options(), true)
            })?;
            let spectrum = self.once(&format!("spectrum-{}", run.name()), || {
                Ok(spectrum::measure(&subject, &self.common(), &self.lanczos(), CurvatureMatrix::Hessian)?.0)
            })?;
            if matches!(&spectrum.outcome, Outcome::Spectrum(spectrum) if spectrum.unconverged() > 0) {
                ended = Ended::NotConverged;
            }
            rows.push((compare::row(&subject, &keskar, &spectrum)?, subject.provenance(Instant::now())?));
        }
        progress.set(3 * runs.len() as u64 * UNIT, "line");
        self.line()?;
        self.compare(rows)?;
        Ok(ended)
    }

    /// A record that is read where it exists, and else made and written.
    fn once(&self, name: &str, make: impl FnOnce() -> anyhow::Result<Record>) -> anyhow::Result<Record> {
        interruption::check()?;
        let path = self.directory.join("records").join(format!("{name}.json"));
        if path.exists() {
            return Ok(Record::read(&path)?);
        }
        let record = make()?;
        record.write(&path)?;
        Ok(record)
    }

    fn last_checkpoint(&self, run: &TrainingRun) -> PathBuf {
        self.directory.join(run.directory()).join("checkpoints/last.safetensors")
    }

    /// Trains a run, or finds it done; the checkpoints along the way, none of a run that diverged.
    fn train(&self, run: &TrainingRun, done: u64, progress: &mut Progress) -> anyhow::Result<Option<Vec<PathBuf>>> {
        let started = Instant::now();
        let settings = self.settings.run_settings(run.batch_size, run.seed);
        let name = run.name();
        let directory = self.directory.join(run.directory());
        let trained = basin_training::train_on(&self.device, &settings, &directory, &mut |event| {
            if let Event::Step { step, steps, .. } = event {
                progress.set(done + UNIT * step / (*steps).max(1), format!("training {name}"));
            }
            interruption::check()
        })?;
        let last = trained.history.epochs.last().map_or(0, |epoch| epoch.epoch);
        self.once(&format!("training-{name}"), || Ok(train::record(&settings, &trained, &self.device, started)))?;
        if let Some(error) = trained.diverged {
            exit::tell(&format!("run {name} diverged and is left out: {error}"));
            return Ok(None);
        }
        Ok(Some(trained.along.into_iter().filter(|(epoch, _)| *epoch < last).map(|(_, path)| path).collect()))
    }

    /// Keskar's sharpness in the full space at the largest ε, along the way: how sharpness moves as the loss falls.
    fn measure_along(
        &self,
        run: &TrainingRun,
        checkpoints: &[PathBuf],
        done: u64,
        progress: &mut Progress,
    ) -> anyhow::Result<()> {
        let options = self.settings.keskar_options();
        let largest = options.epsilons.iter().copied().fold(0.0, f64::max);
        let options = KeskarOptions { epsilons: vec![largest], subspaces: vec![Subspace::Full], ..options };
        for (i, path) in checkpoints.iter().enumerate() {
            progress.set(done + UNIT * i as u64 / checkpoints.len() as u64, format!("measuring {}", run.name()));
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            self.once(&format!("keskar-{}-{stem}", run.name()), || {
                keskar::measure(&self.subject(path)?, &options, true)
            })?;
        }
        Ok(())
    }

    /// The line from a minimum of the smallest batch size to one of the largest, of the first seed.
    fn line(&self) -> anyhow::Result<()> {
        let ended_well =
            |run: &TrainingRun| self.directory.join(format!("records/keskar-{}.json", run.name())).exists();
        let first_seed: Vec<TrainingRun> = self.runs().filter(|run| run.seed == 0 && ended_well(run)).collect();
        let [small, .., large] = first_seed.as_slice() else { return Ok(()) };
        let section = &self.settings.line;
        let alphas = line::points(section.range[0], section.range[1], section.points)?;
        self.once(&format!("line-{}-{}", small.name(), large.name()), || {
            let (a, b) = (self.subject(&self.last_checkpoint(small))?, self.subject(&self.last_checkpoint(large))?);
            line::measure(&a, &b, &alphas, true)
        })?;
        Ok(())
    }

    fn compare(&self, rows: Vec<(basin_records::comparison::Row, basin_records::Provenance)>) -> anyhow::Result<()> {
        let provenance = rows.first().map(|(_, provenance)| provenance.clone()).unwrap_or_default();
        let provenance = basin_records::Provenance {
            checkpoint: None,
            batch_size: None,
            training_seed: None,
            epoch: None,
            step: None,
            ..provenance
        };
        let relative = |mut row: basin_records::comparison::Row| {
            let path = Path::new(&row.file);
            row.file = path.strip_prefix(self.directory).unwrap_or(path).display().to_string();
            row
        };
        let rows = rows.into_iter().map(|(row, _)| relative(row)).collect();
        self.once("comparison", || super::comparison(rows, provenance))?;
        Ok(())
    }

    fn lanczos(&self) -> Lanczos {
        let section = &self.settings.spectrum;
        Lanczos {
            top: section.top,
            bottom: section.bottom,
            tolerance: section.tolerance,
            memory: self.machine.memory,
            seed: self.settings.measurement_seed,
            ..Lanczos::default()
        }
    }

    fn subject(&self, checkpoint: &Path) -> anyhow::Result<Subject> {
        Ok(Subject::on(Weights::read(checkpoint)?, self.data.clone(), &self.common())?)
    }

    /// What was trained in f64 is measured in f64; else f32 is used where it suffices.
    fn dtype(&self) -> Option<DtypeArgument> {
        (self.settings.training.dtype == "f64").then_some(DtypeArgument::F64).or(self.machine.dtype)
    }

    /// What the analysing commands would be told; the study has its own progress.
    fn common(&self) -> Common {
        Common {
            model: None,
            data: None,
            split: SplitArgument::Train,
            loss: None,
            samples: self.settings.training.samples,
            micro_batch: None,
            batch_norm: BatchNormArgument::Stored,
            machine: Machine { quiet: true, dtype: self.dtype(), ..self.machine.clone() },
            seed: self.settings.measurement_seed,
            out: None,
            json: false,
        }
    }
}
