//! What an analysing command looks at: a checkpoint with its model, data and loss, ready to be evaluated.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;

use basin_landscape::align;
use basin_objective::data::{DataSpec, Dataset, HELD, Preprocessing, Split};
use basin_objective::models::{BatchNorm, Model, ModelSpec};
use basin_objective::weights::Weights;
use basin_objective::{Error, Evaluation, LossSpec, Network, NetworkOptions, Objective, Result, SampledNetwork};
use basin_records::{Alignment, Checkpoint, Data, Provenance};
use basin_sharpness::ParameterGroup;
use basin_training::CheckpointMetadata;
use candle_core::{DType, Tensor};

use crate::arguments::{BatchNormArgument, Common, DtypeArgument, Machine, SplitArgument};
use crate::device;
use crate::evaluation::{self, Evaluated};
use crate::exit::tell;
use crate::interruption;
use crate::misfit;

/// A checkpoint with everything its figures depend on.
pub(crate) struct Subject {
    pub(crate) path: PathBuf,
    pub(crate) metadata: CheckpointMetadata,
    pub(crate) model: Model,
    pub(crate) loss: LossSpec,
    pub(crate) data: Dataset,
    /// The parameter vector, on the device.
    pub(crate) theta: Tensor,
    /// How its hidden units were put into the order of another's.
    pub(crate) alignment: Option<Alignment>,
    buffers: Tensor,
    fingerprint: String,
    /// Of the model's own outputs on the data, once it is known.
    evaluation: OnceLock<Evaluation>,
    /// What the file says, whatever the command line does.
    noted: CheckpointMetadata,
    /// How many of the first samples the data is, where it is not all of them.
    first: Option<usize>,
    options: NetworkOptions,
    seed: u64,
    normalizes_outputs: bool,
    /// The patterns of the parameters that are measured; all where there are none.
    parameters: Vec<String>,
}

impl Subject {
    /// Reads a checkpoint; what the command line does not name is taken from its metadata.
    pub(crate) fn load(path: &Path, common: &Common) -> Result<Self> {
        let weights = Weights::read(path)?.renamed(&common.rename)?;
        let metadata = CheckpointMetadata::read(&weights);
        named("model", &common.model, &metadata.model, path)?;
        // A checkpoint that was trained on the first samples only is analysed on these.
        let own = common.data.is_none() && common.split == SplitArgument::Train;
        let samples = common.samples.or(metadata.samples.filter(|_| own).map(|samples| samples as usize));
        let inputs = inputs(common, &metadata)?;
        let spec = common.inputs.spec(named("data", &common.data, &metadata.data, path)?)?;
        let data = load_data(&spec, common.split, samples, &inputs, common.machine.memory)?;
        Self { first: samples, ..Self::on(weights, data, common)? }.evaluated(common)
    }

    /// Another checkpoint on the same data, which is not read again.
    pub(crate) fn beside(&self, path: &Path, common: &Common) -> Result<Self> {
        let weights = Weights::read(path)?.renamed(&common.rename)?;
        let metadata = CheckpointMetadata::read(&weights);
        let own = metadata.data.as_ref().filter(|_| common.data.is_none());
        if own.is_some_and(|own| Some(own) != self.metadata.data.as_ref())
            || inputs(common, &metadata)? != self.data.preprocessing
        {
            // With data of its own it is one of those that cannot be compared.
            return Self::load(path, common);
        }
        Self { first: self.first, ..Self::on(weights, self.data.clone(), common)? }.evaluated(common)
    }

    /// A checkpoint on data that is already there.
    pub(crate) fn on(weights: Weights, data: Dataset, common: &Common) -> Result<Self> {
        let path = weights.path.as_path();
        let metadata = CheckpointMetadata::read(&weights);
        let spec = named("model", &common.model, &metadata.model, path)?;
        let loss = common.loss.as_ref().or(metadata.loss.as_ref());

        let spec = spec.parse::<ModelSpec>()?.sized(&weights);
        let loss: Option<LossSpec> = loss.map(|loss| loss.parse()).transpose()?;
        let loss = loss.unwrap_or_else(|| LossSpec::default_for(&data));
        let model = Model::new(&spec, data.input_shapes(), loss.outputs(&data)?)?;
        let model = measured(model, &common.parameters)?;
        let options =
            NetworkOptions { batch_norm: common.batch_norm.into(), ..options(&common.machine, common.micro_batch)? };
        let gathered = misfit::gather(&model, &weights, &data, &loss, options.dtype)?;
        if !common.machine.quiet {
            model
                .notes()
                .iter()
                .chain(&gathered.notes)
                .for_each(|note| tell(&format!("note: {}: {note}", path.display())));
        }
        if common.machine.verbose {
            tell(&format!(
                "{}: {spec}, {} parameters, {} samples of {} ({}), {loss}, {} on {}",
                path.display(),
                model.parameters().len(),
                data.samples(),
                data.spec,
                data.split,
                dtype_name(options.dtype),
                device::name(&options.device),
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            theta: gathered.parameters.to_device(&options.device)?,
            alignment: None,
            buffers: gathered.buffers,
            fingerprint: weights.fingerprint,
            evaluation: OnceLock::new(),
            noted: metadata.clone(),
            first: None,
            metadata: CheckpointMetadata {
                model: Some(spec.to_string()),
                data: Some(data.spec.to_string()),
                loss: Some(loss.to_string()),
                ..metadata
            },
            model,
            loss,
            data,
            options,
            seed: common.seed,
            normalizes_outputs: false,
            parameters: common.parameters.clone(),
        })
    }

    /// Says how well it does on its data before anything is measured, and refuses it where that is not as expected.
    fn evaluated(self, common: &Common) -> Result<Self> {
        let evaluated = Evaluated {
            path: &self.path,
            metadata: &self.noted,
            data: &self.data,
            loss: &self.loss,
            first: self.first,
            batch_statistics: self.uses_batch_statistics(),
            found: self.evaluation()?,
        };
        if !common.machine.quiet {
            tell(&format!("{}: {}", self.path.display(), evaluated.line()));
        }
        evaluated.check(&common.expected)?;
        Ok(self)
    }

    /// Loss and accuracy on its data.
    fn evaluation(&self) -> Result<Evaluation> {
        if let Some(&known) = self.evaluation.get() {
            return Ok(known);
        }
        let found = self.network()?.evaluate(&self.theta)?;
        Ok(*self.evaluation.get_or_init(|| found))
    }

    /// The same checkpoint with its model's outputs normalised before the loss.
    pub(crate) fn with_normalized_outputs(self) -> Result<Self> {
        Ok(Self { model: self.model.with_normalized_outputs()?, normalizes_outputs: true, ..self })
    }

    /// The same function with its hidden units in the order in which its parameters are nearest to those of another checkpoint.
    pub(crate) fn aligned_with(self, other: &Self) -> Result<Self> {
        other.require_same_model(&self)?;
        let found = align(&self.model, &other.theta, &self.theta, self.seed, |_, _| interruption::check())?;
        Ok(Self {
            theta: found.permutation.parameters(&self.model, &self.theta)?,
            buffers: found.permutation.buffers(&self.model, &self.buffers)?,
            alignment: Some(found.alignment),
            ..self
        })
    }

    /// Between checkpoints of different models there is no path.
    pub(crate) fn require_same_model(&self, other: &Self) -> Result<()> {
        if self.model.name() == other.model.name() {
            return Ok(());
        }
        let [(a, of_a), (b, of_b)] = [self, other].map(|subject| (subject.path.display(), subject.model.name()));
        Err(Error::input(format!("`{a}` is a {of_a}, `{b}` a {of_b}"), "name two checkpoints of one model"))
    }

    /// Whether batch norm uses the statistics of the samples analysed.
    pub(crate) fn uses_batch_statistics(&self) -> bool {
        self.options.batch_norm == BatchNorm::Batch
    }

    /// Whether the model's outputs are normalised before the loss.
    pub(crate) fn normalizes_outputs(&self) -> bool {
        self.normalizes_outputs
    }

    /// The same checkpoint and data in f64, read from the file again so that no digit of it is lost.
    pub(crate) fn in_f64(&self, common: &Common) -> Result<Self> {
        let machine = Machine { dtype: Some(DtypeArgument::F64), ..common.machine.clone() };
        self.again(self.data.clone(), &Common { machine, ..common.clone() })
    }

    /// The same checkpoint on the samples at some positions.
    pub(crate) fn on_samples(&self, positions: &[usize], common: &Common) -> Result<Self> {
        self.again(self.data.select(positions)?, common)
    }

    /// The same checkpoint read again, of which all has been said.
    fn again(&self, data: Dataset, common: &Common) -> Result<Self> {
        let machine = Machine { quiet: true, verbose: false, ..common.machine.clone() };
        let again =
            Self::on(Weights::read(&self.path)?.renamed(&common.rename)?, data, &Common { machine, ..common.clone() })?;
        if self.normalizes_outputs { again.with_normalized_outputs() } else { Ok(again) }
    }

    /// The checkpoint's network on its data.
    pub(crate) fn network(&self) -> Result<Network<'_>> {
        self.network_on(&self.data)
    }

    /// The checkpoint's network on other data, such as the test split.
    pub(crate) fn network_on(&self, data: &Dataset) -> Result<Network<'_>> {
        Network::new(&self.model, &self.buffers, self.loss.clone(), data, self.options.clone())
    }

    /// The checkpoint's network on any of its samples.
    pub(crate) fn batches(&self) -> SampledNetwork<'_> {
        let Self { model, buffers, loss, data, options, .. } = self;
        SampledNetwork { model, buffers, loss: loss.clone(), data, options: options.clone() }
    }

    /// The checkpoint in a record.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            path: self.path.display().to_string(),
            blake3: Some(self.fingerprint.clone()),
            parameters: self.theta.elem_count() as u64,
        }
    }

    /// What tells values at this checkpoint from others: the checkpoint, the data, the loss and the numbers computed in.
    pub(crate) fn measured_on(&self) -> Result<String> {
        let of = match self.parameters.as_slice() {
            [] => String::new(),
            patterns => format!("{} of ", patterns.join(",")),
        };
        Ok(format!(
            "{of}the checkpoint {:.8} on the data {:.8}, {}, {} on {}",
            self.fingerprint,
            self.data.fingerprint()?,
            self.loss,
            dtype_name(self.options.dtype),
            device::name(&self.options.device),
        ))
    }

    /// Where a result measured since `started` comes from.
    pub(crate) fn provenance(&self, started: Instant) -> Result<Provenance> {
        Ok(Provenance {
            checkpoint: Some(self.checkpoint()),
            data: Some(Data {
                spec: self.data.spec.to_string(),
                split: self.data.split.to_string(),
                samples: self.data.samples() as u64,
                blake3: Some(self.data.fingerprint()?),
            }),
            inputs: Some(evaluation::recorded_inputs(&self.data.preprocessing)),
            evaluation: Some(evaluation::recorded(self.evaluation()?, &self.data)),
            model: self.metadata.model.clone(),
            parameters: (!self.parameters.is_empty()).then(|| self.parameters.join(",")),
            loss: self.metadata.loss.clone(),
            batch_size: self.metadata.batch_size,
            epoch: self.metadata.epoch,
            step: self.metadata.step,
            optimizer: self.metadata.optimizer.clone(),
            training_seed: self.metadata.seed,
            batch_norm: self.uses_batch_statistics().then(|| "batch".into()),
            device: Some(device::name(&self.options.device)),
            dtype: Some(dtype_name(self.options.dtype).into()),
            seed: Some(self.seed),
            seconds: Some(started.elapsed().as_secs_f64()),
            ..Provenance::now()
        })
    }
}

/// The model in the parameters whose names match alone.
fn measured(model: Model, patterns: &[String]) -> Result<Model> {
    if patterns.is_empty() {
        return Ok(model);
    }
    let layout = model.parameters().clone();
    let group = ParameterGroup::matching(&layout, patterns)?;
    let inside = |offset: usize| group.ranges.iter().any(|range| range.contains(&offset));
    let chosen: HashSet<&str> =
        layout.entries().iter().filter(|entry| inside(entry.offset)).map(|entry| entry.name.as_str()).collect();
    model.with_parameters(|name| chosen.contains(name))
}

/// What the option or else the checkpoint names.
fn named<'a>(what: &str, option: &'a Option<String>, metadata: &'a Option<String>, path: &Path) -> Result<&'a str> {
    option.as_deref().or(metadata.as_deref()).ok_or_else(|| {
        Error::input(
            format!("`{}` does not name its {what}: it was not written by basin", path.display()),
            format!("give `--{what}`, see `basin keskar --help`"),
        )
    })
}

/// What is done to the inputs: as the command line says, or else as the checkpoint was trained.
fn inputs(common: &Common, metadata: &CheckpointMetadata) -> Result<Preprocessing> {
    common.inputs.over(metadata.inputs.as_deref().unwrap_or_default().parse()?)
}

/// One split of the data, or its first samples; inputs that take more than the memory stay in their files where they can.
pub(crate) fn load_data(
    spec: &DataSpec,
    split: SplitArgument,
    samples: Option<usize>,
    inputs: &Preprocessing,
    memory: Option<u64>,
) -> Result<Dataset> {
    Dataset::load_within(spec, split.into(), inputs, samples, memory.unwrap_or(HELD))
}

/// How networks are evaluated on this machine.
pub(crate) fn options(machine: &Machine, micro_batch: Option<usize>) -> Result<NetworkOptions> {
    Ok(NetworkOptions {
        device: device::named(&machine.device)?,
        dtype: machine.dtype.unwrap_or(DtypeArgument::F32).into(),
        micro_batch,
        memory: machine.memory,
        ..NetworkOptions::default()
    })
}

pub(crate) fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F64 => "f64",
        _ => "f32",
    }
}

impl From<BatchNormArgument> for BatchNorm {
    fn from(batch_norm: BatchNormArgument) -> Self {
        match batch_norm {
            BatchNormArgument::Stored => Self::Stored,
            BatchNormArgument::Batch => Self::Batch,
        }
    }
}

impl From<DtypeArgument> for DType {
    fn from(dtype: DtypeArgument) -> Self {
        match dtype {
            DtypeArgument::F32 => Self::F32,
            DtypeArgument::F64 => Self::F64,
        }
    }
}

impl From<SplitArgument> for Split {
    fn from(split: SplitArgument) -> Self {
        match split {
            SplitArgument::Train => Self::Train,
            SplitArgument::Test => Self::Test,
        }
    }
}
