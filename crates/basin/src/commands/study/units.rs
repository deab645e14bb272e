//! The work of a study as units, each of which leaves a file: what is there is not done again.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use basin_objective::data::Dataset;
use basin_objective::models::Model;
use basin_objective::weights::Weights;
use basin_objective::{Error, LossSpec, Network};
use basin_records::comparison::Row;
use basin_records::keskar::Subspace;
use basin_records::line::Path as LinePath;
use basin_records::{Comparison, Outcome, Provenance, Record};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{CurvatureMatrix, KeskarOptions};
use basin_training::{Event, Settings};
use candle_core::Device;

use super::advance::{Advance, UNIT};
use super::runs::{self, TrainingRun};
use super::settings::StudySettings;
use super::side_by_side;
use crate::arguments::{
    BatchNormArgument, Common, DtypeArgument, Expected, InputArguments, Machine, SplitArgument, Study,
};
use crate::commands::{compare, keskar, line, spectrum, train};
use crate::exit::{self, Ended};
use crate::subject::{self, Subject, load_data};
use crate::{interruption, memory};

/// What ended the history of a run that is not measured.
const DIVERGED: &str = "diverged";
/// Vectors of the parameters' length that a run holds about: a Lanczos basis, pairs of L-BFGS-B, an optimizer's state.
const VECTORS: u64 = 32;

/// All units of a study.
pub(super) struct Units<'a> {
    settings: &'a StudySettings,
    directory: &'a Path,
    machine: &'a Machine,
    device: Device,
    /// The training samples, on which every minimum is measured.
    data: Dataset,
    runs: Vec<TrainingRun>,
    shard: Option<(usize, usize)>,
}

/// What a run came to.
struct Ending {
    /// None of a run that diverged or only served others as their start.
    minimum: Option<Minimum>,
    converged: bool,
}

/// The end of a run beside the others'.
struct Minimum {
    row: Row,
    provenance: Provenance,
}

impl<'a> Units<'a> {
    pub(super) fn new(settings: &'a StudySettings, arguments: &'a Study, device: Device) -> anyhow::Result<Self> {
        let section = &settings.training;
        let data = load_data(&section.data.parse()?, SplitArgument::Train, section.samples, &section.inputs, None)?;
        let directory = arguments.out.as_path();
        let runs = runs::all(settings, directory)?;
        Ok(Self { settings, directory, machine: &arguments.machine, device, data, runs, shard: arguments.shard })
    }

    /// All runs of the study, those of other shards among them.
    pub(super) fn runs(&self) -> &[TrainingRun] {
        &self.runs
    }

    /// The loss of all runs.
    pub(super) fn loss(&self) -> LossSpec {
        let named = self.settings.training.loss.as_deref().and_then(|loss| loss.parse().ok());
        named.unwrap_or_else(|| LossSpec::default_for(&self.data))
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

    /// Does what is not done yet: the runs, several at a time, and what needs several runs once all are there.
    pub(super) fn work(&self) -> anyhow::Result<Ended> {
        let runs = match self.shard {
            Some(shard) => runs::of_shard(self.runs.clone(), shard),
            None => self.runs.clone(),
        };
        let at_a_time = self.at_a_time()?;
        let advance = Advance::new(runs.len(), self.machine.quiet);
        let numbered: Vec<(usize, TrainingRun)> = runs.into_iter().enumerate().collect();
        let (starts, others): (Vec<_>, Vec<_>) = numbered.into_iter().partition(|(_, run)| run.is_start);
        let mut endings = Vec::new();
        for runs in [starts, others] {
            let run =
                |(place, run): &(usize, TrainingRun)| self.run(run, &|done, what| advance.set(*place, done, what));
            endings.extend(side_by_side::each(&runs, at_a_time, run)?);
        }
        let converged = endings.iter().all(|ending| ending.converged);
        if endings.len() == self.runs.len() {
            self.line()?;
            self.compare(endings)?;
        }
        Ok(if converged { Ended::Done } else { Ended::NotConverged })
    }

    /// How many runs are worked on at a time: as many as there are threads, while the memory lasts; one on a GPU.
    fn at_a_time(&self) -> anyhow::Result<NonZeroUsize> {
        if !self.device.is_cpu() {
            return Ok(NonZeroUsize::MIN);
        }
        let models: BTreeSet<&str> = self.runs.iter().map(|run| run.settings.model.as_str()).collect();
        let needed = models.into_iter().map(|model| self.memory(model)).collect::<anyhow::Result<Vec<_>>>()?;
        let largest = needed.into_iter().max().unwrap_or_default().max(1);
        let fitting = memory::available().map_or(u64::MAX, |available| available / largest);
        let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
        Ok(NonZeroUsize::new(rayon::current_num_threads().min(fitting)).unwrap_or(NonZeroUsize::MIN))
    }

    /// Bytes that a run of a model takes at most, in a step or when it is measured.
    fn memory(&self, model: &str) -> anyhow::Result<u64> {
        let loss = self.loss();
        let model = Model::new(&model.parse()?, self.data.input_shapes(), loss.outputs(&self.data)?)?;
        let options = subject::options(&self.common().machine, None)?;
        let buffers = model.initial_buffers(options.dtype)?;
        let measured = Network::new(&model, &buffers, loss, &self.data, options)?.memory();
        let parts = self.runs.iter().map(|run| {
            let Settings { batch_size, ghost_batch, micro_batch, .. } = run.settings;
            ghost_batch.or(micro_batch).unwrap_or(batch_size)
        });
        // A step keeps the linearization of a part of its batch, and sweeps over it.
        let step = 2 * measured.all / self.data.samples().max(1) as u64 * parts.max().unwrap_or_default() as u64;
        Ok(measured.peak().max(step) + VECTORS * measured.vector)
    }

    /// Trains a run and measures it along the way and at its end.
    fn run(&self, run: &TrainingRun, advance: &dyn Fn(u64, String)) -> anyhow::Result<Ending> {
        let name = run.name();
        let is_trained = self.record_file(&format!("training-{name}")).exists();
        if let Some(start) = run.settings.start.as_deref()
            && !is_trained
            && !Path::new(start).exists()
        {
            exit::tell(&format!("run {name} is left out: there are no weights `{start}` to start from"));
            return Ok(Ending { minimum: None, converged: false });
        }
        let Some(epochs) = self.train(run, advance)? else {
            return Ok(Ending { minimum: None, converged: false });
        };
        if run.is_start {
            return Ok(Ending { minimum: None, converged: true });
        }
        self.measure_along(run, epochs, advance)?;
        advance(2 * UNIT, format!("measuring {name}"));
        let subject = self.subject(run, &self.last_checkpoint(run))?;
        let keskar = self.once(&format!("keskar-{name}"), run, || {
            keskar::measure(&subject, &self.settings.keskar_options(), true)
        })?;
        let spectrum = self.once(&format!("spectrum-{name}"), run, || {
            Ok(spectrum::measure(&subject, &self.common(), &self.lanczos(), CurvatureMatrix::Hessian)?.0)
        })?;
        let row = Row { variant: run.variant.clone(), ..compare::row(&subject, &keskar, &spectrum)? };
        advance(3 * UNIT, format!("measured {name}"));
        Ok(Ending {
            minimum: Some(Minimum { row, provenance: subject.provenance(Instant::now())? }),
            converged: !matches!(&spectrum.outcome, Outcome::Spectrum(found) if found.unconverged() > 0),
        })
    }

    /// Trains a run, or finds it done; the epochs it lasted, none of a run that diverged.
    fn train(&self, run: &TrainingRun, advance: &dyn Fn(u64, String)) -> anyhow::Result<Option<u64>> {
        let (name, started) = (run.name(), Instant::now());
        let record = self.once(&format!("training-{name}"), run, || {
            let directory = self.directory.join(run.directory());
            let trained = basin_training::train_on(&self.device, &run.settings, &directory, &mut |event| {
                if let Event::Step { step, steps, .. } = event {
                    advance(UNIT * step / (*steps).max(1), format!("training {name}"));
                }
                interruption::check()
            })?;
            Ok(train::record(&run.settings, &trained, &self.device, started))
        })?;
        let Outcome::Training(history) = &record.outcome else {
            return Err(Error::input(
                format!("`records/training-{name}.json` holds a record of the kind {}", record.outcome.kind()),
                "remove the file to train the run again",
            )
            .into());
        };
        let epochs = history.epochs.last().map_or(0, |epoch| epoch.epoch);
        if history.reason == DIVERGED {
            exit::tell(&format!("run {name} diverged in epoch {} and is left out of what is measured", epochs + 1));
            return Ok(None);
        }
        Ok(Some(epochs))
    }

    /// Keskar's sharpness in the full space at the largest ε, along the way: how sharpness moves as the loss falls.
    fn measure_along(&self, run: &TrainingRun, epochs: u64, advance: &dyn Fn(u64, String)) -> anyhow::Result<()> {
        let name = run.name();
        let options = self.settings.keskar_options();
        let largest = options.epsilons.iter().copied().fold(0.0, f64::max);
        let options = KeskarOptions { epsilons: vec![largest], subspaces: vec![Subspace::Full], ..options };
        let checkpoints = run.checkpoints_along(self.directory, epochs);
        for (i, path) in checkpoints.iter().enumerate() {
            advance(UNIT + UNIT * i as u64 / checkpoints.len() as u64, format!("measuring {name}"));
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            self.once(&format!("keskar-{name}-{stem}"), run, || {
                keskar::measure(&self.subject(run, path)?, &options, true)
            })?;
        }
        Ok(())
    }

    /// The line from a minimum of the smallest batch size to one of the largest, of the first variant's first seed.
    fn line(&self) -> anyhow::Result<()> {
        let variant = self.runs.iter().find(|run| !run.is_start).and_then(|run| run.variant.as_ref());
        let ended_well =
            |run: &&TrainingRun| self.directory.join(format!("records/keskar-{}.json", run.name())).exists();
        let first =
            self.runs.iter().filter(|run| !run.is_start && run.settings.seed == 0 && run.variant.as_ref() == variant);
        let first: Vec<&TrainingRun> = first.filter(ended_well).collect();
        let [small, .., large] = first.as_slice() else { return Ok(()) };
        let section = &self.settings.line;
        let alphas = line::points(section.range[0], section.range[1], section.points)?;
        self.once(&format!("line-{}-{}", small.name(), large.name()), small, || {
            let [a, b] = [small, large].map(|run| self.subject(run, &self.last_checkpoint(run)));
            line::measure(&a?, &b?, LinePath::Linear, &alphas)
        })?;
        Ok(())
    }

    /// All minima side by side.
    fn compare(&self, endings: Vec<Ending>) -> anyhow::Result<()> {
        let path = self.record_file("comparison");
        if path.exists() {
            return Ok(());
        }
        let minima: Vec<Minimum> = endings.into_iter().filter_map(|ending| ending.minimum).collect();
        let provenance = minima.first().map(|minimum| minimum.provenance.clone()).unwrap_or_default();
        let provenance = Provenance {
            checkpoint: None,
            batch_size: None,
            training_seed: None,
            epoch: None,
            step: None,
            ..provenance
        };
        let relative = |row: Row| {
            let path = Path::new(&row.file);
            Row { file: path.strip_prefix(self.directory).unwrap_or(path).display().to_string(), ..row }
        };
        let rows = minima.into_iter().map(|minimum| relative(minimum.row)).collect();
        let comparison = compare::correlated(Comparison::new(rows))?;
        Ok(Record::new(provenance, Outcome::Comparison(comparison)).write(&path)?)
    }

    /// A record of a run that is read where it exists, and else made and written.
    fn once(
        &self,
        name: &str,
        run: &TrainingRun,
        make: impl FnOnce() -> anyhow::Result<Record>,
    ) -> anyhow::Result<Record> {
        interruption::check()?;
        let path = self.record_file(name);
        if path.exists() {
            return Ok(Record::read(&path)?);
        }
        let mut record = make()?;
        record.provenance.variant.clone_from(&run.variant);
        record.write(&path)?;
        Ok(record)
    }

    fn record_file(&self, name: &str) -> PathBuf {
        self.directory.join("records").join(format!("{name}.json"))
    }

    fn last_checkpoint(&self, run: &TrainingRun) -> PathBuf {
        self.directory.join(run.directory()).join("checkpoints/last.safetensors")
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

    /// A checkpoint of a run on what the run was trained on.
    fn subject(&self, run: &TrainingRun, checkpoint: &Path) -> anyhow::Result<Subject> {
        let Settings { label_noise, seed, .. } = run.settings;
        let data = match label_noise {
            0.0 => self.data.clone(),
            noise => self.data.with_label_noise(noise, seed)?,
        };
        Ok(Subject::on(Weights::read(checkpoint)?, data, &self.common())?)
    }

    /// What was trained in f64 is measured in f64; else f32 is used where it suffices.
    fn dtype(&self) -> Option<DtypeArgument> {
        (self.settings.training.dtype == "f64").then_some(DtypeArgument::F64).or(self.machine.dtype)
    }

    /// What the analysing commands would be told; the study has its own progress.
    fn common(&self) -> Common {
        Common {
            parameters: Vec::new(),
            rename: vec![],
            model: None,
            data: None,
            inputs: InputArguments::default(),
            expected: Expected::default(),
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
