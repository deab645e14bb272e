//! What a run is about: model, loss and data, and the weights that it starts from.

use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::{BatchNorm, Model, ModelSpec, TrainingProgram};
use basin_objective::weights::Weights;
use basin_objective::{Error as ObjectiveError, LossSpec, Network, NetworkOptions};
use basin_tape::Layout;
use candle_core::{DType, Device, Tensor};

use crate::Result;
use crate::adversarial::Adversary;
use crate::batch_schedule::BatchSchedule;
use crate::settings::Settings;

/// What is trained on what.
pub(crate) struct Problem {
    pub(crate) model: Model,
    pub(crate) training: TrainingProgram,
    /// Who moves the samples of a batch, where somebody does.
    pub(crate) adversary: Option<Adversary>,
    pub(crate) loss: LossSpec,
    pub(crate) train: Dataset,
    pub(crate) test: Option<Dataset>,
    pub(crate) start: Start,
}

impl Problem {
    pub(crate) fn load(settings: &Settings) -> Result<Self> {
        let data: DataSpec = settings.data.parse()?;
        let weights =
            settings.start.as_deref().map(|path| Weights::read(path)?.renamed(&settings.rename)).transpose()?;
        let spec: ModelSpec = settings.model.parse()?;
        let spec = weights.iter().fold(spec, |spec, weights| spec.sized(weights));
        let mut train = match settings.samples {
            Some(samples) => Dataset::load_first(&data, Split::Train, &settings.inputs, samples)?,
            None => Dataset::load_with(&data, Split::Train, &settings.inputs)?,
        };
        if settings.label_noise != 0.0 {
            train = train.with_label_noise(settings.label_noise, settings.seed)?;
        }
        check_batches(settings, train.samples())?;
        let loss = settings.loss()?.unwrap_or_else(|| LossSpec::default_for(&train));
        let outputs = loss.outputs(&train)?;
        let model = Model::new(&spec, train.input_shapes(), outputs)?;
        let training = || TrainingProgram::new(&spec, train.input_shapes(), outputs, settings.dropout);
        let adversary = match settings.adversarial {
            adversarial if adversarial.is_on() => Some(Adversary::new(adversarial, &model, training()?)?),
            _ => None,
        };
        let training = training()?;
        check_batch_norm(&model, settings)?;
        let test = train.other_if_any(Split::Test)?;
        settings.augmentation.check(train.sample_shape())?;
        let start = Start::new(&model, weights.as_ref(), settings)?;
        Ok(Self { model, training, adversary, loss, train, test, start })
    }

    pub(crate) fn network(
        &self,
        data: &Dataset,
        dtype: DType,
        device: &Device,
        buffers: &Tensor,
    ) -> Result<Network<'_>> {
        Ok(Network::new(&self.model, buffers, self.loss.clone(), data, self.options(dtype, device))?)
    }

    pub(crate) fn options(&self, dtype: DType, device: &Device) -> NetworkOptions {
        NetworkOptions { dtype, device: device.clone(), ..NetworkOptions::default() }
    }
}

/// Refuses batches that so many samples do not make, or the optimizer cannot use.
fn check_batches(settings: &Settings, samples: usize) -> Result<()> {
    let batch_size = settings.batch_schedule.largest(settings.batch_size);
    if batch_size > samples {
        return Err(ObjectiveError::input(
            format!("the batch size is {batch_size}, the data has {samples} samples"),
            "give batch sizes of at most the number of samples",
        )
        .into());
    }
    let varies = settings.batch_schedule != BatchSchedule::Constant || settings.discard.share > 0.0;
    if settings.optimizer.needs_all_samples() && (varies || settings.batch_size < samples) {
        return Err(ObjectiveError::input(
            format!(
                "{} needs all samples in each step: the batch size is {}, the data has {samples} samples",
                settings.optimizer.name(),
                settings.batch_size,
            ),
            format!("give `--batch-size {samples}`, or fewer samples, without a batch schedule and discarded samples"),
        )
        .into());
    }
    Ok(())
}

/// Refuses what does not go with a batch norm, or without one.
fn check_batch_norm(model: &Model, settings: &Settings) -> Result<()> {
    let coupled = !model.program(BatchNorm::Batch).batch_statistics().is_empty();
    let name = model.name();
    let (message, hint) = match (settings.ghost_batch, settings.micro_batch, settings.batch_schedule) {
        (Some(_), _, _) if !coupled => (
            format!("a ghost batch is what batch norm takes its statistics over, and `{name}` has no batch norm"),
            "leave the ghost batch out; `--micro-batch` bounds the memory of a step",
        ),
        (None, Some(size), _) if coupled => (
            format!(
                "the batch norm of `{name}` takes its statistics over the batch: micro-batches of {size} samples would \
                 train another function"
            ),
            "ask for that with `--ghost-batch`, or leave the micro-batch out",
        ),
        (_, _, BatchSchedule::Test { .. }) if coupled => (
            format!("with the batch norm of `{name}` a sample's gradient depends on the others of its batch"),
            "use a model without batch norm, or another batch schedule",
        ),
        _ => return Ok(()),
    };
    Err(ObjectiveError::input(message, hint).into())
}

/// What a run starts from, on the host.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) parameters: Tensor,
    pub(crate) buffers: Tensor,
    /// Of the parameters.
    pub(crate) layout: Layout,
}

impl Start {
    /// The weights of the checkpoint that the settings name, or else drawn ones.
    fn new(model: &Model, weights: Option<&Weights>, settings: &Settings) -> Result<Self> {
        let (dtype, layout) = (settings.dtype()?, model.parameters().clone());
        Ok(match weights {
            Some(weights) => {
                let gathered = model.gather(weights, dtype)?;
                Self { parameters: gathered.parameters, buffers: gathered.buffers, layout }
            }
            None => Self {
                parameters: model.initial_parameters(settings.seed, dtype)?,
                buffers: model.initial_buffers(dtype)?,
                layout,
            },
        })
    }
}
