//! A model with a loss on data, as an objective.

mod at_point;

use std::time::{Duration, Instant};

use basin_tape::losses::Loss;
use basin_tape::{Footprint, Linearization, Point, Program, vector};
use candle_core::{D, DType, Device, Tensor};

use crate::batch_statistics::batch_statistics;
use crate::data::{Dataset, IGNORED, Targets};
use crate::loss_spec::{LossSpec, Outputs};
use crate::models::{BatchNorm, Model};
use crate::objective::{Evaluation, Linearized, Objective};
use crate::{Error, Result};

/// Samples that one micro-batch holds at most when none is given: beyond, nothing gets faster.
const MICRO_BATCH_SAMPLES: usize = 1024;
/// Bytes of linearizations that are kept when no budget is given.
const DEFAULT_MEMORY: u64 = 4 << 30;
/// Samples of one batch whose statistics are averaged: fixed, because the average depends on it.
const STATISTICS_BATCH: usize = 256;

/// How a network is evaluated.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Where to compute.
    pub device: Device,
    /// f32 or f64.
    pub dtype: DType,
    /// Samples per sweep; when absent as many as fit into `memory`, at most 1024. No figure depends on it.
    pub micro_batch: Option<usize>,
    /// Bytes that linearizations and the sweeps over them may take; what does not fit is recomputed for each product.
    pub memory: Option<u64>,
    /// Which statistics batch norm uses.
    pub batch_norm: BatchNorm,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self { device: Device::Cpu, dtype: DType::F32, micro_batch: None, memory: None, batch_norm: BatchNorm::Stored }
    }
}

/// Consecutive samples on the device.
#[derive(Debug)]
struct Batch {
    /// The position of the first one.
    start: usize,
    inputs: Tensor,
    targets: Tensor,
}

/// Some of a network's samples, on its device.
#[derive(Debug)]
pub struct Samples {
    /// The inputs as the model's program takes them.
    pub inputs: Tensor,
    /// The targets as the loss takes them.
    pub targets: Tensor,
    /// What the mean of their losses divides by.
    pub weight: f64,
}

/// The mean loss of a model over a data set, as a function of its parameter vector.
///
/// ```
/// use basin_objective::data::{DataSpec, Dataset, Split};
/// use basin_objective::models::Model;
/// use basin_objective::{LossSpec, Network, NetworkOptions, Objective};
///
/// let data = Dataset::load(&DataSpec::Digits, Split::Train)?;
/// let model = Model::new(&"mlp:64-10".parse()?, data.sample_shape(), 10)?;
/// let buffers = model.initial_buffers(candle_core::DType::F32)?;
/// let network = Network::new(&model, &buffers, LossSpec::CrossEntropy, &data, NetworkOptions::default())?;
/// let zero = candle_core::Tensor::zeros(650, candle_core::DType::F32, network.device())?;
/// let evaluation = network.evaluate(&zero)?;
/// assert!((evaluation.loss - 10_f64.ln()).abs() < 1e-6);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug)]
pub struct Network<'m> {
    model: &'m Model,
    program: &'m Program,
    buffers: Tensor,
    loss: Box<dyn Loss>,
    /// All samples; the batches are parts of them.
    whole: Batch,
    /// wᵢ of each sample.
    weights: Vec<f64>,
    batches: Vec<Batch>,
    /// Of one sample.
    footprint: Footprint,
    samples: usize,
    /// Σᵢ wᵢ: what the mean loss divides by.
    weight: f64,
    /// The samples that count over Σᵢ wᵢ, which makes L the mean of ℓᵢ where samples have many positions: with T of them
    /// each, ℓᵢ is their mean.
    share: f64,
    accuracy: Accuracy,
    device: Device,
    dtype: DType,
    memory: u64,
}

/// How long derivatives on all samples take.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Time of one gradient.
    pub gradient: Duration,
    /// Time of one Hessian product on a kept linearization.
    pub product: Duration,
}

/// Bytes that Hessian products on all samples take beside the data; predicted from the shapes of one sample's values.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Linearizations that are kept from product to product.
    pub kept: u64,
    /// Linearizations of all samples: as large as `kept` unless the budget is smaller.
    pub all: u64,
    /// What one product takes beyond what is kept.
    pub product: u64,
    /// One vector of the parameters' length.
    pub vector: u64,
}

impl Memory {
    /// The most that is held at a time while products are computed: besides linearizations the parameters, a vector, its
    /// product, and the product's parts before they are joined.
    pub fn peak(&self) -> u64 {
        self.kept + self.product + 4 * self.vector
    }
}

/// What counts as classified right.
#[derive(Clone, Copy, Debug)]
enum Accuracy {
    /// The largest output is the class, or the largest target where classes are one-hot; at each position where there
    /// are several.
    LargestOutput,
    /// There are no classes.
    None,
}

impl<'m> Network<'m> {
    /// A model with a loss on a data set; `buffers` are the model's constants such as running means.
    ///
    /// # Errors
    /// When data, loss and model do not belong together, all samples are ignored, or the micro-batch is 0 or not the
    /// whole data although batch norm uses batch statistics.
    pub fn new(
        model: &'m Model,
        buffers: &Tensor,
        loss: LossSpec,
        data: &Dataset,
        options: NetworkOptions,
    ) -> Result<Self> {
        let NetworkOptions { device, dtype, micro_batch, memory, batch_norm } = options;
        check_positions(model, loss, data)?;
        let program = model.program(batch_norm);
        let buffers = placed(buffers, dtype, &device)?;
        let samples = data.samples();
        let whole = Batch {
            start: 0,
            inputs: model.inputs(&data.inputs, dtype, &device)?,
            targets: loss.targets(data, model.outputs(), dtype, &device)?,
        };
        let weights = loss.sample_weights(&whole.targets, model.outputs())?;
        let weight: f64 = weights.iter().sum();
        if weight == 0.0 {
            return Err(Error::input(
                format!("all {samples} labels of `{}` are {IGNORED}, so that no sample counts", data.spec),
                "label at least one of the analysed samples",
            ));
        }
        let mut network = Self {
            model,
            program,
            buffers,
            loss: loss.build(),
            whole,
            batches: Vec::new(),
            footprint: Footprint { kept: 0, sweep: 0 },
            samples,
            weight,
            share: weights.iter().filter(|&&weight| weight > 0.0).count() as f64 / weight,
            weights,
            accuracy: match data.targets {
                Targets::Classes { .. } => Accuracy::LargestOutput,
                Targets::Real(_) => Accuracy::None,
            },
            device,
            dtype,
            memory: memory.unwrap_or(DEFAULT_MEMORY),
        };
        network.footprint = network.footprint_of_one()?;
        let micro_batch = network.micro_batch(micro_batch)?;
        network.batches = split(&network.whole, samples, micro_batch)?;
        Ok(network)
    }

    /// The samples at these positions, gathered on the device.
    ///
    /// # Errors
    /// When there is no sample at one of them, or the device fails.
    pub fn select(&self, positions: &[u32]) -> Result<Samples> {
        let weights = positions.iter().map(|&position| self.weights.get(position as usize));
        let weight = weights.sum::<Option<f64>>().ok_or_else(|| {
            Error::input("a position is none of a sample", format!("give positions below {}", self.samples))
        })?;
        let positions = Tensor::new(positions, &self.device)?;
        let gathered = |all: &Tensor| all.index_select(&positions, 0);
        Ok(Samples { inputs: gathered(&self.whole.inputs)?, targets: gathered(&self.whole.targets)?, weight })
    }

    /// Replaces the model's constants, such as running means after more training.
    ///
    /// # Errors
    /// When their number is not the model's.
    pub fn set_buffers(&mut self, buffers: &Tensor) -> Result<()> {
        self.program.buffers().views(buffers)?;
        self.buffers = placed(buffers, self.dtype, &self.device)?;
        Ok(())
    }

    /// The model's constants with the statistics of its batch norms computed at θ on all samples, as PyTorch's
    /// `torch.optim.swa_utils.update_bn` does: averages over consecutive batches of 256 samples, each normalised by its
    /// own statistics, of the batch's mean and unbiased variance. Batches count by their samples, so a short last one
    /// counts less (PyTorch counts all alike). Other constants stay, as do the statistics where no batch has a variance.
    ///
    /// # Errors
    /// When θ does not have the network's length, or the device fails.
    pub fn recomputed_statistics(&self, theta: &Tensor) -> Result<Tensor> {
        let program = self.model.program(BatchNorm::Batch);
        if program.batch_statistics().is_empty() {
            return Ok(self.buffers.clone());
        }
        let point = program.at(theta, &self.buffers)?;
        let views = program.buffers().views(&self.buffers)?;
        let mut sums: Vec<(f64, VectorSum)> = views.iter().map(|_| (0.0, VectorSum::default())).collect();
        for start in (0..self.samples).step_by(STATISTICS_BATCH) {
            let samples = STATISTICS_BATCH.min(self.samples - start);
            let tape = program.record(&point, &[&self.whole.inputs.narrow(0, start, samples)?])?;
            for (index, statistics) in batch_statistics(&tape)? {
                let (weight, sum) = &mut sums[index];
                *weight += samples as f64;
                sum.add((statistics.to_dtype(DType::F64)? * samples as f64)?)?;
            }
        }
        let recomputed = views.into_iter().zip(sums).map(|(view, (weight, sum))| match weight {
            0.0 => Ok(Some(view)),
            weight => Ok(Some(sum.divided_by(weight, self.dtype)?)),
        });
        Ok(program.buffers().join(recomputed.collect::<Result<_>>()?, self.dtype, &self.device)?)
    }

    fn micro_batch(&self, asked: Option<usize>) -> Result<usize> {
        let coupled = !self.program.batch_statistics().is_empty();
        match asked {
            Some(0) => Err(Error::input("the micro-batch holds 0 samples", "give at least 1, or leave it out")),
            Some(size) if coupled && size < self.samples => Err(Error::input(
                format!(
                    "batch norm uses the statistics of the batch, so a sample's loss depends on the {} others: \
                     micro-batches of {size} would be another function",
                    self.samples - 1
                ),
                "leave the micro-batch out, analyse fewer samples with `--samples`, or use stored statistics",
            )),
            Some(size) => Ok(size.min(self.samples)),
            None if coupled => Ok(self.samples),
            None => {
                let per_sample = (self.footprint.kept + self.footprint.sweep) as u64;
                let fitting = usize::try_from(self.memory / per_sample.max(1)).unwrap_or(MICRO_BATCH_SAMPLES);
                Ok(fitting.clamp(1, MICRO_BATCH_SAMPLES).min(self.samples))
            }
        }
    }

    /// What linearizing the first sample takes.
    fn footprint_of_one(&self) -> Result<Footprint> {
        let theta = Tensor::zeros(self.program.parameters().len(), self.dtype, &self.device)?;
        let tape = self.program.record(&self.at(&theta)?, &[&self.whole.inputs.narrow(0, 0, 1)?])?;
        Ok(tape.footprint())
    }

    /// The micro-batches whose linearizations fit into the memory, beside a sweep over one of them and, where not all
    /// fit, one that is made anew.
    fn kept_batches(&self) -> usize {
        let bytes = |samples: usize, per_sample: usize| (samples * per_sample) as u64;
        let size = self.micro_batch_samples();
        let sweep = bytes(size, self.footprint.sweep);
        if bytes(self.samples, self.footprint.kept).saturating_add(sweep) <= self.memory {
            return self.batches.len();
        }
        let one = bytes(size, self.footprint.kept);
        (self.memory.saturating_sub(sweep + one) / one.max(1)).min(self.batches.len() as u64 - 1) as usize
    }

    /// What Hessian products take.
    pub fn memory(&self) -> Memory {
        let bytes = |samples: usize, per_sample: usize| (samples * per_sample) as u64;
        let (size, kept) = (self.micro_batch_samples(), self.kept_batches());
        let anew = if kept < self.batches.len() { bytes(size, self.footprint.kept) } else { 0 };
        Memory {
            kept: bytes(self.samples.min(kept * size), self.footprint.kept),
            all: bytes(self.samples, self.footprint.kept),
            product: bytes(size, self.footprint.sweep) + anew,
            vector: (self.program.parameters().len() * self.dtype.size_in_bytes()) as u64,
        }
    }

    /// The samples of one sweep.
    pub fn micro_batch_samples(&self) -> usize {
        self.batches.first().map_or(0, |batch| batch.inputs.dims()[0])
    }

    /// What a gradient and a Hessian product on all samples cost, measured on the first micro-batch.
    ///
    /// # Errors
    /// When θ does not have the network's length, or the device fails.
    pub fn cost(&self, theta: &Tensor) -> Result<Cost> {
        let point = self.at(theta)?;
        let first = &self.batches[0];
        let share = self.samples as f64 / first.inputs.dims()[0] as f64;
        let started = Instant::now();
        let linearization = self.linearize_batch(&point, first)?;
        linearization.gradient()?;
        let gradient = started.elapsed().mul_f64(share);
        linearization.hessian(theta)?;
        let started = Instant::now();
        linearization.hessian(theta)?;
        let product = started.elapsed().mul_f64(share);
        Ok(Cost { gradient, product })
    }

    fn at(&self, theta: &Tensor) -> Result<Point> {
        Ok(self.program.at(theta, &self.buffers)?)
    }

    fn linearize_batch(&self, point: &Point, batch: &Batch) -> Result<Linearization<'_>> {
        let loss = self.loss.as_ref();
        Ok(Linearization::new(self.program, loss, point, &[&batch.inputs], &batch.targets)?)
    }

    /// The number of samples of a batch that are classified right.
    fn correct(&self, output: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let predicted = output.argmax(D::Minus1)?.to_dtype(DType::I64)?;
        let classes = match targets.dtype() {
            DType::I64 => targets.clone(),
            _ => targets.argmax(D::Minus1)?.to_dtype(DType::I64)?,
        };
        Ok(vector::sum(&predicted.eq(&classes)?)?)
    }
}

/// A model answers per sample or per position, as the targets ask.
fn check_positions(model: &Model, loss: LossSpec, data: &Dataset) -> Result<()> {
    let asked = match loss.outputs(data)? {
        Outputs::EachPosition { positions, .. } => Some(positions),
        Outputs::AtLeast(_) | Outputs::Exactly(_) => None,
    };
    if asked == model.positions() {
        return Ok(());
    }
    let answers = model.positions().map_or("one answer".to_owned(), |positions| format!("{positions} answers"));
    let shape = match &data.targets {
        Targets::Classes { labels: targets, .. } | Targets::Real(targets) => targets.dims(),
    };
    Err(Error::input(
        format!(
            "the targets of `{}` have shape {shape:?}, model `{}` gives {answers} per sample",
            data.spec,
            model.spec()
        ),
        "give one target for each answer",
    ))
}

/// A tensor in a dtype on a device. CUDA has no empty memory: a vector without elements stays on the host.
fn placed(x: &Tensor, dtype: DType, device: &Device) -> Result<Tensor> {
    let x = x.to_dtype(dtype)?;
    Ok(if x.elem_count() == 0 { x } else { x.to_device(device)? })
}

fn split(whole: &Batch, samples: usize, size: usize) -> Result<Vec<Batch>> {
    let batch = |start: usize| {
        let length = size.min(samples - start);
        let part = |all: &Tensor| all.narrow(0, start, length);
        Ok(Batch { start, inputs: part(&whole.inputs)?, targets: part(&whole.targets)? })
    };
    (0..samples).step_by(size).map(batch).collect()
}

/// The sum of vectors or numbers over micro-batches, in f64 so that many small parts lose no digits. It stays on the
/// device, which need not be waited for before the last micro-batch.
#[derive(Default)]
struct VectorSum(Option<Tensor>);

impl VectorSum {
    fn add(&mut self, part: Tensor) -> Result<()> {
        self.0 = Some(match self.0.take() {
            None => part,
            Some(sum) => (sum.to_dtype(DType::F64)? + part.to_dtype(DType::F64)?)?,
        });
        Ok(())
    }

    /// The sum of numbers, 0 of none.
    fn number(self) -> Result<f64> {
        Ok(self.0.map(|sum| sum.to_scalar::<f64>()).transpose()?.unwrap_or(0.0))
    }

    fn divided_by(self, weight: f64, dtype: DType) -> Result<Tensor> {
        let sum = self.0.ok_or_else(|| Error::input("there are no samples", "give data with at least one sample"))?;
        Ok((sum / weight)?.to_dtype(dtype)?)
    }
}

impl Objective for Network<'_> {
    fn dimension(&self) -> usize {
        self.program.parameters().len()
    }

    fn samples(&self) -> usize {
        self.samples
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn evaluate(&self, theta: &Tensor) -> Result<Evaluation> {
        let point = self.at(theta)?;
        let (mut total, mut correct) = (VectorSum::default(), VectorSum::default());
        for batch in &self.batches {
            let output = self.program.evaluate(&point, &[&batch.inputs])?;
            total.add(vector::sum(&self.loss.losses(&output, &batch.targets)?)?)?;
            if matches!(self.accuracy, Accuracy::LargestOutput) {
                correct.add(self.correct(&output, &batch.targets)?)?;
            }
        }
        let (total, correct) = (total.number()?, correct.number()?);
        let accuracy = match self.accuracy {
            // The largest of outputs that are NaN would be the first class.
            Accuracy::LargestOutput if total.is_nan() => Some(f64::NAN),
            Accuracy::LargestOutput => Some(correct / self.weight),
            Accuracy::None => None,
        };
        Ok(Evaluation { loss: total / self.weight, accuracy })
    }

    fn gradient(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
        let point = self.at(theta)?;
        let (mut total, mut gradient) = (VectorSum::default(), VectorSum::default());
        for batch in &self.batches {
            let linearization = self.linearize_batch(&point, batch)?;
            total.add(vector::sum(&linearization.losses()?)?)?;
            gradient.add(linearization.gradient()?)?;
        }
        Ok((total.number()? / self.weight, gradient.divided_by(self.weight, self.dtype)?))
    }

    fn sample_losses(&self, theta: &Tensor) -> Result<Vec<f64>> {
        let point = self.at(theta)?;
        let mut losses = Vec::with_capacity(self.samples);
        for batch in &self.batches {
            let output = self.program.evaluate(&point, &[&batch.inputs])?;
            let batch = self.loss.losses(&output, &batch.targets)?.to_dtype(DType::F64)?;
            losses.extend((batch * self.share)?.to_vec1::<f64>()?);
        }
        Ok(losses)
    }

    fn linearize<'a>(&'a self, theta: &Tensor) -> Result<Box<dyn Linearized + 'a>> {
        let point = self.at(theta)?;
        let kept = self.batches[..self.kept_batches()].iter().map(|batch| self.linearize_batch(&point, batch));
        let kept = kept.collect::<Result<Vec<_>>>()?;
        Ok(Box::new(at_point::AtPoint { network: self, point, kept }))
    }
}
