//! A model with a loss on data, as an objective.

mod at_point;
mod division;

use std::ops::Range;
use std::time::{Duration, Instant};

use basin_tape::losses::{Loss, Targets};
use basin_tape::{Footprint, Linearization, Point, Program, Sum, vector};
use candle_core::{D, DType, Device, Tensor};
use rayon::prelude::*;

use crate::batch_statistics::batch_statistics;
use crate::data::{Dataset, IGNORED};
use crate::loss_spec::{LossSpec, Outputs};
use crate::models::{BatchNorm, Model};
use crate::objective::{Evaluation, Linearized, Objective};
use crate::{Error, Result};
use at_point::AtPoint;
use division::Division;

/// Bytes of linearizations that are kept when no budget is given.
const DEFAULT_MEMORY: u64 = 4 << 30;
/// Samples that are weighed at a time.
const WEIGHED_AT_A_TIME: usize = 4096;
/// Samples of one batch whose statistics are averaged: fixed, because the average depends on it.
const STATISTICS_BATCH: usize = 256;

/// How a network is evaluated.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Where to compute.
    pub device: Device,
    /// f32 or f64.
    pub dtype: DType,
    /// Samples per sweep; when absent chosen so that what is swept at a time fits into `memory`. No figure depends on it.
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

/// Some of a network's samples, on its device.
#[derive(Debug)]
pub struct Samples {
    /// The inputs as the model's program takes them.
    pub inputs: Vec<Tensor>,
    /// The targets as the loss takes them.
    pub targets: Targets,
}

impl Samples {
    /// The inputs, as a program takes them.
    fn inputs(&self) -> Vec<&Tensor> {
        self.inputs.iter().collect()
    }

    fn map(&self, change: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Result<Self> {
        let weights = self.targets.weights().map(&change).transpose()?;
        Ok(Self {
            inputs: self.inputs.iter().map(&change).collect::<candle_core::Result<_>>()?,
            targets: Targets::weighted(&change(self.targets.values())?, weights.as_ref()),
        })
    }
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
/// let network = Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, NetworkOptions::default())?;
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
    spec: LossSpec,
    loss: Box<dyn Loss>,
    data: Dataset,
    /// All samples on the device, where the data is held.
    held: Option<Samples>,
    /// sᵢ wᵢ of each sample.
    weights: Vec<f64>,
    division: Division,
    /// The micro-batches.
    batches: Vec<Range<usize>>,
    /// Of one sample.
    footprint: Footprint,
    samples: usize,
    /// Σᵢ sᵢ wᵢ: what the mean loss divides by.
    weight: f64,
    /// How many answers count: as many as samples, or as their positions that have a label.
    answers: f64,
    /// The samples that count over Σᵢ sᵢ wᵢ, which makes L the mean of ℓᵢ where samples have many positions: with T of them
    /// each, ℓᵢ is their mean.
    share: f64,
    accuracy: Accuracy,
    device: Device,
    dtype: DType,
    memory: u64,
}

/// A last layer z = W φ + b at one θ.
#[derive(Clone, Debug)]
pub struct LastLayer {
    /// The name of W.
    pub name: String,
    /// φ of each sample, (N, M).
    pub features: Tensor,
    /// z of each sample, (N, C).
    pub logits: Tensor,
    /// W, (C, M).
    pub weights: Tensor,
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
    /// The most that is held at a time while products are computed: besides linearizations and sweeps the parameters and a
    /// vector.
    pub fn peak(&self) -> u64 {
        self.kept + self.product + 2 * self.vector
    }
}

/// What counts as classified right.
#[derive(Clone, Copy, Debug)]
enum Accuracy {
    /// The largest output is the class, or the largest target where classes are one-hot; at each position where there
    /// are several.
    LargestOutput,
    /// Each output is positive where its target is 1, else it is not.
    Sign,
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
        check_positions(model, &loss, data)?;
        let program = model.program(batch_norm);
        let buffers = placed(buffers, dtype, &device)?;
        let samples = data.samples();
        let mut network = Self {
            model,
            program,
            buffers,
            accuracy: accuracy(&loss, model, data)?,
            loss: loss.build(),
            spec: loss,
            data: data.clone(),
            held: None,
            weights: Vec::with_capacity(samples),
            division: Division::whole(samples),
            batches: Vec::new(),
            footprint: Footprint { kept: 0, sweep: 0 },
            samples,
            weight: 0.0,
            answers: 0.0,
            share: 0.0,
            device,
            dtype,
            memory: memory.unwrap_or(DEFAULT_MEMORY),
        };
        network.weigh()?;
        if network.data.is_held() {
            network.held = Some(network.placed(&network.data)?);
        }
        network.footprint = network.footprint_of_one()?;
        network.division = network.division(micro_batch)?;
        network.batches = network.division.ranges().collect();
        Ok(network)
    }

    /// Finds what each sample counts.
    fn weigh(&mut self) -> Result<()> {
        let outputs = self.model.outputs();
        let (unweighted, cpu) = (LossSpec::cross_entropy(), Device::Cpu);
        for start in (0..self.samples).step_by(WEIGHED_AT_A_TIME) {
            let part = self.data.part(start..(start + WEIGHED_AT_A_TIME).min(self.samples))?;
            let targets = self.spec.targets(&part, outputs, DType::F64, &cpu)?;
            self.weights.extend(self.spec.sample_weights(&targets, outputs)?);
            self.answers += match self.spec.is_cross_entropy() {
                true => unweighted.sample_weights(&targets.values().into(), outputs)?.iter().sum(),
                false => part.samples() as f64,
            };
        }
        self.weight = self.weights.iter().sum();
        if self.answers == 0.0 || self.weight == 0.0 {
            let (of, what, hint) = match self.answers == 0.0 {
                true => ("labels", IGNORED, "label at least one of the analysed samples"),
                false => ("weights", 0, "give at least one of the analysed samples a weight"),
            };
            return Err(Error::input(
                format!("all {} {of} of `{}` are {what}, so that no sample counts", self.samples, self.data.spec),
                hint,
            ));
        }
        self.share = self.weights.iter().filter(|&&weight| weight > 0.0).count() as f64 / self.weight;
        Ok(())
    }

    /// Samples on the device.
    fn placed(&self, data: &Dataset) -> Result<Samples> {
        Ok(Samples {
            inputs: self.model.inputs(data, self.dtype, &self.device)?,
            targets: self.spec.targets(data, self.model.outputs(), self.dtype, &self.device)?,
        })
    }

    /// Consecutive samples, which are read where they are not held.
    fn batch(&self, range: &Range<usize>) -> Result<Samples> {
        match &self.held {
            Some(all) => all.map(|all| all.narrow(0, range.start, range.len())),
            None => self.placed(&self.data.part(range.clone())?),
        }
    }

    /// What the mean loss of the samples at these positions divides by.
    ///
    /// # Errors
    /// When there is no sample at one of them.
    pub fn weight_of(&self, positions: &[u32]) -> Result<f64> {
        let weights = positions.iter().map(|&position| self.weights.get(position as usize));
        weights.sum::<Option<f64>>().ok_or_else(|| {
            Error::input("a position is none of a sample", format!("give positions below {}", self.samples))
        })
    }

    /// The samples at these positions, gathered on the device.
    ///
    /// # Errors
    /// When there is no sample at one of them, or the device fails.
    pub fn select(&self, positions: &[u32]) -> Result<Samples> {
        self.weight_of(positions)?;
        match &self.held {
            Some(all) => {
                let positions = Tensor::new(positions, &self.device)?;
                all.map(|all| all.index_select(&positions, 0))
            }
            None => {
                let positions: Vec<usize> = positions.iter().map(|&position| position as usize).collect();
                self.placed(&self.data.select(&positions)?)
            }
        }
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
        let mut sums: Vec<(f64, Sum)> = views.iter().map(|_| (0.0, Sum::default())).collect();
        for start in (0..self.samples).step_by(STATISTICS_BATCH) {
            let samples = STATISTICS_BATCH.min(self.samples - start);
            let batch = self.batch(&(start..start + samples))?;
            let tape = program.record(&point, &batch.inputs())?;
            for (index, statistics) in batch_statistics(&tape)? {
                let (weight, sum) = &mut sums[index];
                *weight += samples as f64;
                sum.add((statistics.to_dtype(DType::F64)? * samples as f64)?)?;
            }
        }
        let recomputed = views.into_iter().zip(sums).map(|(view, (weight, sum))| match weight {
            0.0 => Ok(Some(view)),
            weight => Ok(Some(sum.scaled(1.0 / weight, self.dtype)?)),
        });
        Ok(program.buffers().join(recomputed.collect::<Result<_>>()?, self.dtype, &self.device)?)
    }

    /// Loss and accuracy at θ with other constants than the network's, such as the statistics of batch norm that were
    /// [recomputed](Self::recomputed_statistics) there.
    ///
    /// # Errors
    /// When θ or the constants do not have the model's length, or the device fails.
    pub fn evaluate_with(&self, theta: &Tensor, buffers: &Tensor) -> Result<Evaluation> {
        let point = self.program.at(theta, &placed(buffers, self.dtype, &self.device)?)?;
        let evaluate = |range: &Range<usize>| {
            let samples = self.batch(range)?;
            let (mut total, mut correct) = (Sum::default(), Sum::default());
            self.each_output(&point, &samples, |output, targets| {
                total.add(vector::sum(&targets.losses(self.loss.as_ref(), output)?)?)?;
                self.correct(output, targets.values())?.map_or(Ok(()), |right| correct.add(right))
            })?;
            let number = |sum: Sum| sum.scaled(1.0, DType::F64);
            Ok((
                number(total)?,
                matches!(self.accuracy, Accuracy::LargestOutput | Accuracy::Sign)
                    .then(|| number(correct))
                    .transpose()?,
            ))
        };
        let (mut total, mut correct) = (Sum::default(), Sum::default());
        self.in_waves(&self.batches, evaluate, |(loss, right)| {
            total.add(loss)?;
            Ok(right.map_or(Ok(()), |right| correct.add(right))?)
        })?;
        let total = number(total)?;
        let accuracy = match self.accuracy {
            Accuracy::None => None,
            // The largest of outputs that are NaN would be the first class.
            _ if total.is_nan() => Some(f64::NAN),
            _ => Some(number(correct)? / self.answers),
        };
        Ok(Evaluation { loss: total / self.weight, accuracy })
    }

    fn division(&self, asked: Option<usize>) -> Result<Division> {
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
            _ if coupled => Ok(Division::whole(self.samples)),
            asked => {
                let (vector, on_cpu) = (self.vector_bytes(), self.device.is_cpu());
                Ok(Division::new(self.samples, asked, self.footprint, vector, self.memory, on_cpu))
            }
        }
    }

    /// Bytes of a vector of the parameters' length.
    fn vector_bytes(&self) -> u64 {
        (self.program.parameters().len() * self.dtype.size_in_bytes()) as u64
    }

    /// What linearizing the first sample takes.
    fn footprint_of_one(&self) -> Result<Footprint> {
        let theta = Tensor::zeros(self.program.parameters().len(), self.dtype, &self.device)?;
        Ok(self.linearize_batch(&self.at(&theta)?, &(0..1))?.footprint())
    }

    /// The micro-batches whose linearizations fit into the memory, beside the sweeps over those that are worked on at a
    /// time and, where not all fit, their linearizations.
    fn kept_batches(&self) -> usize {
        let bytes = |samples: usize, per_sample: usize| (samples * per_sample) as u64;
        let at_a_time = self.division.samples_at_a_time();
        let sweep = bytes(at_a_time, self.footprint.sweep);
        if bytes(self.samples, self.footprint.kept).saturating_add(sweep) <= self.memory {
            return self.batches.len();
        }
        let anew = bytes(at_a_time, self.footprint.kept);
        let one = bytes(self.division.size, self.footprint.kept).max(1);
        (self.memory.saturating_sub(sweep + anew) / one).min(self.batches.len() as u64 - 1) as usize
    }

    /// What Hessian products take.
    pub fn memory(&self) -> Memory {
        let bytes = |samples: usize, per_sample: usize| (samples * per_sample) as u64;
        let (at_a_time, kept) = (self.division.samples_at_a_time(), self.kept_batches());
        // Each thread is in one sweep at a time.
        let swept = (self.division.size * rayon::current_num_threads()).min(at_a_time);
        let anew = if kept < self.batches.len() { bytes(swept, self.footprint.kept) } else { 0 };
        let vector = self.vector_bytes();
        // Each micro-batch has a product of its own, and its parts before they are joined.
        let products = 2 * at_a_time.div_ceil(self.division.size) as u64 * vector;
        Memory {
            kept: bytes(self.samples.min(kept * self.division.size), self.footprint.kept),
            all: bytes(self.samples, self.footprint.kept),
            product: bytes(swept, self.footprint.sweep) + anew + products,
            vector,
        }
    }

    /// The samples of one sweep.
    pub fn micro_batch_samples(&self) -> usize {
        self.division.size
    }

    /// The samples that are swept over at a time, in micro-batches side by side.
    pub fn samples_at_a_time(&self) -> usize {
        self.division.samples_at_a_time()
    }

    /// Does `work` for each item, as many side by side as there are micro-batches in the division, and hands over what it
    /// gives in the order of the items.
    fn in_waves<T: Sync, R: Send>(
        &self,
        items: &[T],
        work: impl Fn(&T) -> Result<R> + Sync,
        mut take: impl FnMut(R) -> Result<()>,
    ) -> Result<()> {
        for wave in items.chunks(self.division.side_by_side) {
            let results: Vec<Result<R>> = match wave {
                // On a GPU the thread that calls is the one whose stream is in use.
                [one] => vec![work(one)],
                several => several.par_iter().map(&work).collect(),
            };
            results.into_iter().try_for_each(|result| take(result?))?;
        }
        Ok(())
    }

    /// What a gradient and a Hessian product on all samples cost, measured on the first micro-batches.
    ///
    /// # Errors
    /// When θ does not have the network's length, or the device fails.
    pub fn cost(&self, theta: &Tensor) -> Result<Cost> {
        let point = self.at(theta)?;
        let first = &self.batches[..self.division.side_by_side.min(self.batches.len())];
        let share = self.samples as f64 / self.division.samples_at_a_time() as f64;
        let mut linearizations = Vec::with_capacity(first.len());
        let timed = |work: &mut dyn FnMut() -> Result<()>| {
            let started = Instant::now();
            work()?;
            self.device.synchronize()?;
            Ok::<_, Error>(started.elapsed().mul_f64(share))
        };
        let mut differentiate = || {
            linearizations.clear();
            let linearize = |range: &Range<usize>| {
                let linearization = self.linearize_batch(&point, range)?;
                linearization.gradient()?;
                Ok(linearization)
            };
            self.in_waves(first, linearize, |linearization| {
                linearizations.push(linearization);
                Ok(())
            })
        };
        // A first gradient finds caches, threads and memory cold.
        timed(&mut differentiate)?;
        let gradient = timed(&mut differentiate)?;
        let mut multiply = || self.in_waves(&linearizations, |at| Ok(at.hessian(theta)?), |_| Ok(()));
        // The first product computes what is kept for the others.
        timed(&mut multiply)?;
        let product = timed(&mut multiply)?;
        Ok(Cost { gradient, product })
    }

    /// The last layer at θ, where the model ends with a linear one, gives one answer per sample, and all samples count alike.
    ///
    /// # Errors
    /// When θ does not have the network's length, or the device fails.
    pub fn last_layer(&self, theta: &Tensor) -> Result<Option<LastLayer>> {
        let last = self.program.last_linear().filter(|_| self.model.positions().is_none());
        let Some((features, weight)) = last.filter(|_| self.weights.iter().all(|&weight| weight == 1.0)) else {
            return Ok(None);
        };
        let point = self.at(theta)?;
        let record = |range: &Range<usize>| {
            let tape = self.program.record(&point, &self.batch(range)?.inputs())?;
            Ok((tape.value(features).clone(), tape.output().clone()))
        };
        let (mut all_features, mut all_logits) = (Vec::new(), Vec::new());
        self.in_waves(&self.batches, record, |(features, logits)| {
            all_features.push(features);
            all_logits.push(logits);
            Ok(())
        })?;
        let entry = &self.program.parameters().entries()[weight];
        Ok(Some(LastLayer {
            features: Tensor::cat(&all_features, 0)?,
            logits: Tensor::cat(&all_logits, 0)?,
            weights: theta.narrow(0, entry.offset, entry.len())?.reshape(entry.shape.as_slice())?,
            name: entry.name.clone(),
        }))
    }

    fn at(&self, theta: &Tensor) -> Result<Point> {
        Ok(self.program.at(theta, &self.buffers)?)
    }

    /// Hands on the outputs of samples with their targets, some positions at a time where these are many.
    fn each_output(
        &self,
        point: &Point,
        samples: &Samples,
        take: impl FnMut(&Tensor, &Targets) -> basin_tape::Result<()>,
    ) -> Result<()> {
        Ok(self.program.each_output(point, &samples.inputs(), (self.loss.as_ref(), &samples.targets), take)?)
    }

    fn linearize_batch(&self, point: &Point, range: &Range<usize>) -> Result<Linearization<'_>> {
        let samples = self.batch(range)?;
        Ok(Linearization::new(self.program, self.loss.as_ref(), point, &samples.inputs(), &samples.targets)?)
    }

    /// How many answers of a batch are right; a sample of several outputs that are right or wrong each counts by their share.
    fn correct(&self, output: &Tensor, targets: &Tensor) -> basin_tape::Result<Option<Tensor>> {
        match self.accuracy {
            Accuracy::None => Ok(None),
            Accuracy::Sign => {
                let right = output.gt(0.0)?.eq(&targets.gt(0.5)?)?.to_dtype(DType::F64)?;
                let outputs = right.elem_count() / right.dims()[0].max(1);
                Ok(Some((vector::sum(&right)? / outputs.max(1) as f64)?))
            }
            Accuracy::LargestOutput => {
                let predicted = output.argmax(D::Minus1)?.to_dtype(DType::I64)?;
                let classes = match targets.dtype() {
                    DType::I64 => targets.clone(),
                    _ => targets.argmax(D::Minus1)?.to_dtype(DType::I64)?,
                };
                Ok(Some(vector::sum(&predicted.eq(&classes)?)?))
            }
        }
    }
}

fn accuracy(loss: &LossSpec, model: &Model, data: &Dataset) -> Result<Accuracy> {
    Ok(match (loss.answers_yes_or_no(data, model.outputs())?, data.classes()) {
        (true, _) => Accuracy::Sign,
        (false, Some(_)) => Accuracy::LargestOutput,
        (false, None) => Accuracy::None,
    })
}

/// A model answers per sample or per position, as the targets ask.
fn check_positions(model: &Model, loss: &LossSpec, data: &Dataset) -> Result<()> {
    let asked = match loss.outputs(data)? {
        Outputs::EachPosition { positions, .. } => Some(positions),
        Outputs::AtLeast(_) | Outputs::Exactly(_) | Outputs::Binary => None,
    };
    if asked == model.positions() {
        return Ok(());
    }
    let answers = model.positions().map_or("one answer".to_owned(), |positions| format!("{positions} answers"));
    let shape = data.targets.rows().dims();
    Err(Error::input(
        format!(
            "the targets of `{}` have shape {shape:?}, model `{}` gives {answers} per sample",
            data.spec,
            model.name()
        ),
        "give one target for each answer",
    ))
}

/// A tensor in a dtype on a device. CUDA has no empty memory: a vector without elements stays on the host.
fn placed(x: &Tensor, dtype: DType, device: &Device) -> Result<Tensor> {
    let x = x.to_dtype(dtype)?;
    Ok(if x.elem_count() == 0 { x } else { x.to_device(device)? })
}

/// The sum of numbers that wait on the device.
fn number(sum: Sum) -> Result<f64> {
    Ok(sum.scaled(1.0, DType::F64)?.to_scalar::<f64>()?)
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
        self.evaluate_with(theta, &self.buffers)
    }

    fn gradient(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
        let point = self.at(theta)?;
        let differentiate = |range: &Range<usize>| {
            let linearization = self.linearize_batch(&point, range)?;
            Ok((vector::sum(&linearization.losses()?)?, linearization.gradient()?))
        };
        let (mut total, mut gradient) = (Sum::default(), Sum::default());
        self.in_waves(&self.batches, differentiate, |(loss, part)| {
            total.add(loss)?;
            Ok(gradient.add_product(part)?)
        })?;
        Ok((number(total)? / self.weight, gradient.scaled(1.0 / self.weight, self.dtype)?))
    }

    fn sample_losses(&self, theta: &Tensor) -> Result<Vec<f64>> {
        let point = self.at(theta)?;
        let evaluate = |range: &Range<usize>| {
            let samples = self.batch(range)?;
            let mut losses = Vec::new();
            self.each_output(&point, &samples, |output, targets| {
                losses.push(targets.losses(self.loss.as_ref(), output)?.to_dtype(DType::F64)?);
                Ok(())
            })?;
            // Those of the positions of a sample stand one behind the other.
            let of_positions = Tensor::cat(&losses, 0)?;
            let of_samples = of_positions.reshape((range.len(), ()))?.sum(1)?;
            Ok((of_samples * self.share)?.to_vec1::<f64>()?)
        };
        let mut all = Vec::with_capacity(self.samples);
        self.in_waves(&self.batches, evaluate, |losses| {
            all.extend(losses);
            Ok(())
        })?;
        Ok(all)
    }

    fn linearize<'a>(&'a self, theta: &Tensor) -> Result<Box<dyn Linearized + 'a>> {
        let point = self.at(theta)?;
        let mut kept = Vec::with_capacity(self.kept_batches());
        let linearize = |range: &Range<usize>| self.linearize_batch(&point, range);
        self.in_waves(&self.batches[..self.kept_batches()], linearize, |linearization| {
            kept.push(linearization);
            Ok(())
        })?;
        Ok(Box::new(AtPoint { network: self, point, kept }))
    }
}
