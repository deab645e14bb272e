//! The batch of an optimizer step: loss, gradient and curvature of its mean loss, in bounded memory.
//!
//! The mean loss of a batch, Σᵢ ℓᵢ(θ) / Σᵢ wᵢ, is a sum over its samples, so that its derivatives are the sums of those of its
//! parts, divided once by the weight of all. Batch norm takes its statistics over each part, a ghost batch, and its running
//! statistics move with one part after the other, as in algorithm 1 of Hoffer, Hubara and Soudry ("Train longer, generalize
//! better", 2017).

use std::ops::Range;

use basin_objective::models::TrainingProgram;
use basin_objective::{LossSpec, Network, Objective, Result, Samples, batch_statistics};
use basin_tape::losses::{Loss, Targets};
use basin_tape::{Linearization, Point, Sum, Tape, vector};
use candle_core::{DType, Tensor};
use rayon::prelude::*;

use crate::adversarial::Adversary;
use crate::augmentation::Augmentation;
use crate::optimizers::Batch;
use crate::variance_test::GradientMoments;

/// PyTorch's default weight of a batch in running statistics.
const STATISTICS_MOMENTUM: f64 = 0.1;

/// The samples of a step, in parts that are worked on one after the other.
pub(crate) struct TrainingBatch<'a> {
    network: &'a Network<'a>,
    training: &'a TrainingProgram,
    loss: Box<dyn Loss>,
    positions: &'a [u32],
    /// Places in `positions`.
    parts: Vec<Range<usize>>,
    weight: f64,
    drawn: Drawn,
    /// The inputs of the samples where an adversary has moved them.
    moved: Option<Tensor>,
}

/// What is computed with at a time.
struct Part {
    /// `x`, which is augmented and moved.
    first: Tensor,
    /// Further inputs, and the masks of dropout.
    others: Vec<Tensor>,
    targets: Targets,
}

impl Part {
    /// What a training program takes, with `first` as x.
    fn batch<'p>(&'p self, first: &'p Tensor) -> Vec<&'p Tensor> {
        [first].into_iter().chain(&self.others).collect()
    }
}

/// How the samples of an epoch are changed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Drawn {
    pub(crate) augmentation: Augmentation,
    pub(crate) seed: u64,
    pub(crate) epoch: u64,
}

/// What a step follows from.
pub(crate) struct Gradient {
    /// The mean loss.
    pub(crate) loss: f64,
    /// Its gradient, (P).
    pub(crate) gradient: Tensor,
    /// The buffers with the running statistics moved by this batch.
    pub(crate) buffers: Tensor,
}

impl<'a> TrainingBatch<'a> {
    /// The samples of `network` at `positions`, in parts of at most `part` samples that are as equal as possible.
    pub(crate) fn new(
        network: &'a Network<'a>,
        training: &'a TrainingProgram,
        loss: &LossSpec,
        positions: &'a [u32],
        part: usize,
        drawn: Drawn,
    ) -> Result<Self> {
        let (samples, count) = (positions.len(), positions.len().div_ceil(part));
        let bound = |k: usize| k * samples / count;
        Ok(Self {
            network,
            training,
            loss: loss.build(),
            positions,
            parts: (0..count).map(|k| bound(k)..bound(k + 1)).collect(),
            weight: network.weight_of(positions)?,
            drawn,
            moved: None,
        })
    }

    /// The same batch with its samples where an adversary moves them at a point of the parameter space; they stay there when
    /// the batch is asked for at others.
    pub(crate) fn against(mut self, adversary: &Adversary, theta: &Tensor, buffers: &Tensor) -> Result<Self> {
        let point = self.training.program().at(theta, buffers)?;
        let moved = self.parts.iter().map(|part| {
            let part = self.part(part)?;
            adversary.settings.moved(&part.first, |inputs| {
                Ok(adversary.program.gradient(self.loss.as_ref(), &point, &part.batch(inputs), &part.targets)?)
            })
        });
        self.moved = Some(Tensor::cat(&moved.collect::<Result<Vec<_>>>()?, 0)?);
        Ok(self)
    }

    /// What the mean loss divides by.
    pub(crate) fn weight(&self) -> f64 {
        self.weight
    }

    /// The batch at a point of the parameter space.
    pub(crate) fn at<'b>(&'b self, theta: &Tensor, buffers: &Tensor) -> Result<BatchAt<'b>> {
        let point = self.training.program().at(theta, buffers)?;
        let kept = match self.parts.as_slice() {
            [whole] => Some(self.linearize(&point, whole)?),
            _ => None,
        };
        Ok(BatchAt { batch: self, point, kept })
    }

    fn linearize(&self, point: &Point, places: &Range<usize>) -> Result<Linearization<'_>> {
        let part = self.part(places)?;
        let (program, loss) = (self.training.program(), self.loss.as_ref());
        Ok(Linearization::new(program, loss, point, &part.batch(&part.first), &part.targets)?)
    }

    /// The samples at some places of the batch as this step sees them, the same whatever parts they are asked for in.
    fn part(&self, places: &Range<usize>) -> Result<Part> {
        let positions = &self.positions[places.clone()];
        let Samples { mut inputs, targets } = self.network.select(positions)?;
        let first = inputs.remove(0);
        let Drawn { augmentation, seed, epoch } = self.drawn;
        let first = match &self.moved {
            Some(moved) => moved.narrow(0, places.start, places.len())?,
            None if augmentation.is_none() => first,
            None => augmentation.apply(&first, positions, seed, epoch)?,
        };
        let masks = self.training.masks(positions, seed, epoch, (self.network.dtype(), self.network.device()))?;
        Ok(Part { first, others: inputs.into_iter().chain(masks).collect(), targets })
    }
}

/// A batch at a point: linearized once where it has one part, else anew for each sweep.
pub(crate) struct BatchAt<'b> {
    batch: &'b TrainingBatch<'b>,
    point: Point,
    kept: Option<Linearization<'b>>,
}

impl BatchAt<'_> {
    /// The share of the samples whose linearization is kept.
    pub(crate) fn kept_share(&self) -> f64 {
        if self.kept.is_some() { 1.0 } else { 0.0 }
    }

    fn each_part(&self, mut f: impl FnMut(&Linearization) -> Result<()>) -> Result<()> {
        match &self.kept {
            Some(whole) => f(whole),
            None => self.batch.parts.iter().try_for_each(|part| f(&self.batch.linearize(&self.point, part)?)),
        }
    }

    /// The loss of each sample.
    pub(crate) fn losses(&self) -> Result<Vec<f64>> {
        let mut losses = Vec::with_capacity(self.batch.positions.len());
        self.each_part(|part| {
            losses.extend(part.losses()?.to_dtype(DType::F64)?.to_vec1::<f64>()?);
            Ok(())
        })?;
        Ok(losses)
    }

    /// Mean loss and gradient, and what the batch makes of the `buffers`.
    pub(crate) fn gradient(&self, buffers: &Tensor) -> Result<Gradient> {
        let (mut loss, mut gradient, mut buffers) = (0.0, Sum::default(), buffers.clone());
        self.each_part(|part| {
            loss += vector::total(&part.losses()?)?;
            gradient.add_product(part.gradient()?)?;
            buffers = updated_statistics(part.tape(), &buffers)?;
            Ok(())
        })?;
        let TrainingBatch { network, weight, .. } = self.batch;
        Ok(Gradient { loss: loss / weight, gradient: gradient.scaled(1.0 / weight, network.dtype())?, buffers })
    }

    /// The product of the mean loss's Hessian with a vector.
    pub(crate) fn hessian(&self, v: &Tensor) -> Result<Tensor> {
        let mut product = Sum::default();
        self.each_part(|part| Ok(product.add_product(part.hessian(v)?)?))?;
        Ok(product.scaled(1.0 / self.batch.weight, v.dtype())?)
    }

    /// The product of the mean loss's generalized Gauss-Newton matrix with a vector.
    pub(crate) fn gauss_newton(&self, v: &Tensor) -> Result<Tensor> {
        let mut product = Sum::default();
        self.each_part(|part| Ok(product.add_product(part.gauss_newton(v)?)?))?;
        Ok(product.scaled(1.0 / self.batch.weight, v.dtype())?)
    }

    /// The moments of the samples' gradients about their mean ḡ, `mean`, exactly: each gradient is computed from its sample
    /// alone, and as many are held at a time as there are threads. Samples whose labels are all ignored are none. A sample with
    /// several positions has the gradient of its part in the mean times the number of samples, so that ḡ is their mean.
    pub(crate) fn gradient_moments(&self, mean: &Tensor) -> Result<GradientMoments> {
        let TrainingBatch { network, positions, weight, .. } = self.batch;
        let mut counted = Vec::with_capacity(positions.len());
        for (place, position) in positions.iter().enumerate() {
            if network.weight_of(&[*position])? > 0.0 {
                counted.push(place);
            }
        }
        let scale = counted.len() as f64 / weight;
        // A gradient is ‖scale · g − ḡ‖ = scale · ‖g − ḡ/scale‖ away from the mean: no vector has to be scaled.
        let mean = mean.to_dtype(DType::F64)?;
        let scaled_mean = (&mean / scale)?;
        let moments = |&place: &usize| {
            let sample = self.batch.linearize(&self.point, &(place..place + 1))?;
            let gradient = sample.gradient()?.joined()?.to_dtype(DType::F64)?;
            let deviation = vector::total(&(&gradient - &scaled_mean)?.sqr()?)?;
            Ok((deviation * scale.powi(2), vector::total(&(gradient * &mean)?)? * scale))
        };
        let samples: Result<Vec<(f64, f64)>> = match network.device().is_cpu() {
            true => counted.par_iter().map(moments).collect(),
            // On a GPU the thread that calls is the one whose stream is in use.
            false => counted.iter().map(moments).collect(),
        };
        Ok(GradientMoments::new(vector::dot(&mean, &mean)?, &samples?))
    }
}

/// A batch where a step begins, as an optimizer asks for it. At other points a batch norm uses the statistics that the samples have
/// there, and its running ones stay.
pub(crate) struct StepAt<'b> {
    pub(crate) at: &'b BatchAt<'b>,
    pub(crate) buffers: &'b Tensor,
    /// Where the step begins.
    pub(crate) loss: f64,
    pub(crate) gradient: &'b Tensor,
}

impl Batch for StepAt<'_> {
    fn loss(&self) -> f64 {
        self.loss
    }

    fn gradient(&self) -> crate::Result<Tensor> {
        Ok(self.gradient.clone())
    }

    fn hessian(&self, v: &Tensor) -> crate::Result<Tensor> {
        Ok(self.at.hessian(v)?)
    }

    fn at(&self, theta: &Tensor) -> crate::Result<(f64, Tensor)> {
        let there = self.at.batch.at(theta, self.buffers)?.gradient(self.buffers)?;
        Ok((there.loss, there.gradient))
    }
}

/// Running means and variances after a batch, as PyTorch moves them: with the unbiased variance of the batch. A batch
/// of one value per channel has none and leaves them as they are.
fn updated_statistics(tape: &Tape, buffers: &Tensor) -> Result<Tensor> {
    let program = tape.program();
    let mut views: Vec<Option<Tensor>> = program.buffers().views(buffers)?.into_iter().map(Some).collect();
    for (index, batch) in batch_statistics(tape)? {
        if let Some(running) = views[index].take() {
            let moved = ((running * (1.0 - STATISTICS_MOMENTUM))? + (batch * STATISTICS_MOMENTUM)?)?;
            views[index] = Some(moved);
        }
    }
    Ok(program.buffers().join(views, buffers.dtype(), buffers.device())?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use basin_objective::data::{DataSpec, Dataset, Split};
    use basin_objective::models::{BatchNorm, Dropout, Model, ModelSpec};
    use basin_objective::weights;
    use basin_objective::{NetworkOptions, SampledNetwork, SampledObjective};
    use candle_core::Device;

    use super::*;
    use crate::adversarial::Adversarial;

    /// Rounding of sums over hundreds of terms in f64, relative to the largest one.
    const TOLERANCE: f64 = 1e-12;

    struct Problem {
        model: Model,
        training: TrainingProgram,
        adversary: Option<Adversary>,
        data: Dataset,
        loss: LossSpec,
        theta: Tensor,
        buffers: Tensor,
    }

    impl Problem {
        fn new(model: &str, data: &str) -> Self {
            Self::with(model, data, Dropout::None, Adversarial::default())
        }

        fn with(model: &str, data: &str, dropout: Dropout, adversarial: Adversarial) -> Self {
            let data: DataSpec = data.parse().unwrap();
            let data = Dataset::load(&data, Split::Train).unwrap().take(40).unwrap();
            let loss = LossSpec::default_for(&data);
            let (spec, outputs): (ModelSpec, _) = (model.parse().unwrap(), loss.outputs(&data).unwrap());
            let model = Model::new(&spec, data.sample_shape(), outputs).unwrap();
            let training = || TrainingProgram::new(&spec, data.sample_shape(), outputs, dropout).unwrap();
            let adversary = adversarial.is_on().then(|| Adversary::new(adversarial, &model, training()).unwrap());
            let training = training();
            let theta = model.initial_parameters(1, DType::F64).unwrap();
            let buffers = model.initial_buffers(DType::F64).unwrap();
            Self { model, training, adversary, data, loss, theta, buffers }
        }

        fn options(batch_norm: BatchNorm) -> NetworkOptions {
            NetworkOptions { dtype: DType::F64, batch_norm, ..NetworkOptions::default() }
        }

        fn with_batch<T>(&self, positions: &[u32], part: usize, then: impl FnOnce(&BatchAt) -> T) -> T {
            let options = Self::options(BatchNorm::Stored);
            let network = Network::new(&self.model, &self.buffers, self.loss.clone(), &self.data, options).unwrap();
            let drawn = Drawn { seed: 5, epoch: 2, ..Drawn::default() };
            let mut batch = TrainingBatch::new(&network, &self.training, &self.loss, positions, part, drawn).unwrap();
            if let Some(adversary) = &self.adversary {
                batch = batch.against(adversary, &self.theta, &self.buffers).unwrap();
            }
            then(&batch.at(&self.theta, &self.buffers).unwrap())
        }

        fn gradient(&self, positions: &[u32], part: usize) -> Gradient {
            self.with_batch(positions, part, |at| at.gradient(&self.buffers).unwrap())
        }

        /// Loss and gradient on some samples by the objective that measures use.
        fn reference(&self, positions: &[u32]) -> (f64, Vec<f64>) {
            let options = Self::options(BatchNorm::Batch);
            let sampled = SampledNetwork {
                model: &self.model,
                buffers: &self.buffers,
                loss: self.loss.clone(),
                data: &self.data,
                options,
            };
            let positions: Vec<usize> = positions.iter().map(|&position| position as usize).collect();
            let sampled: &dyn SampledObjective = &sampled;
            let (loss, gradient) = sampled.with_batch(&positions, |batch| batch.gradient(&self.theta)).unwrap();
            (loss, elements(&gradient))
        }
    }

    fn elements(x: &Tensor) -> Vec<f64> {
        x.to_vec1().unwrap()
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let error = found.iter().zip(expected).fold(0.0, |error: f64, (a, b)| error.max((a - b).abs()));
        assert!(error <= TOLERANCE * largest, "{error} of {largest}");
    }

    /// A file with labels of which some are ignored.
    fn partly_ignored(directory: &std::path::Path) -> String {
        let file = directory.join("data.safetensors");
        let inputs = (Tensor::arange(0_f32, 160.0, &Device::Cpu).unwrap() * 0.37).unwrap().sin().unwrap();
        let labels: Vec<i64> = (0..40).map(|i| if i % 3 == 0 { -100 } else { i % 2 }).collect();
        let labels = Tensor::new(labels, &Device::Cpu).unwrap();
        let tensors = [("x".into(), inputs.reshape((40, 4)).unwrap()), ("y".into(), labels)];
        weights::write(&file, &tensors, &std::collections::BTreeMap::new()).unwrap();
        format!("safetensors:{}", file.display())
    }

    /// Models with their data: one answer a sample, several, and none for some.
    fn problems(directory: &std::path::Path) -> [Problem; 3] {
        [
            Problem::new("mlp:64-8-10:tanh", "digits"),
            Problem::new("gpt:width=8,depth=1,heads=2", "synthetic:tokens:samples=50,length=6,vocabulary=5"),
            Problem::new("mlp:4-6-2:tanh", &partly_ignored(directory)),
        ]
    }

    #[test]
    fn parts_are_as_equal_as_they_can_be() {
        let problem = Problem::new("mlp:64-8-10:tanh", "digits");
        let positions: Vec<u32> = (0..40).collect();
        let options = Problem::options(BatchNorm::Stored);
        let network =
            Network::new(&problem.model, &problem.buffers, problem.loss.clone(), &problem.data, options).unwrap();
        for (samples, part, sizes) in [
            (40, 40, &[40][..]),
            (40, 100, &[40]),
            (40, 16, &[13, 13, 14]),
            (33, 16, &[11, 11, 11]),
            (3, 1, &[1, 1, 1]),
        ] {
            let batch = TrainingBatch::new(
                &network,
                &problem.training,
                &problem.loss,
                &positions[..samples],
                part,
                Drawn::default(),
            )
            .unwrap();
            assert_eq!(batch.parts.iter().map(Range::len).collect::<Vec<_>>(), sizes);
            assert!(batch.parts.into_iter().flatten().eq(0..samples));
        }
    }

    #[test]
    fn parts_give_the_gradient_and_the_curvature_of_the_whole() {
        let directory = tempfile::tempdir().unwrap();
        let positions: Vec<u32> = (3..40).collect();
        for problem in problems(directory.path()) {
            let (loss, gradient) = problem.reference(&positions);
            let v = problem.model.initial_parameters(7, DType::F64).unwrap();
            let product = |part| problem.with_batch(&positions, part, |at| elements(&at.gauss_newton(&v).unwrap()));
            let whole = product(37);
            for part in [37, 36, 10, 1] {
                let found = problem.gradient(&positions, part);
                assert_close(&[found.loss], &[loss]);
                assert_close(&elements(&found.gradient), &gradient);
                assert_close(&product(part), &whole);
            }
        }
    }

    #[test]
    fn each_ghost_batch_has_statistics_of_its_own() {
        let problem = Problem::new("mlp:64-8-10:tanh:bn", "digits");
        let positions: Vec<u32> = (0..40).collect();
        let found = problem.gradient(&positions, 10);
        let mut mean = vec![0.0; found.gradient.elem_count()];
        let mut losses = 0.0;
        let mut buffers = problem.buffers.clone();
        for ghost in positions.chunks(10) {
            let (loss, gradient) = problem.reference(ghost);
            losses += loss / 4.0;
            mean.iter_mut().zip(gradient).for_each(|(mean, x)| *mean += x / 4.0);
            buffers = problem.with_batch(ghost, 10, |at| at.gradient(&buffers).unwrap().buffers);
        }
        assert_close(&[found.loss], &[losses]);
        assert_close(&elements(&found.gradient), &mean);
        assert_close(&elements(&found.buffers), &elements(&buffers));
        let whole = elements(&problem.gradient(&positions, 40).gradient);
        assert!(whole.iter().zip(&mean).any(|(a, b)| (a - b).abs() > 1e-3), "ghost batches change the gradient");
    }

    #[test]
    fn moments_are_those_of_the_gradients_of_single_samples() {
        let directory = tempfile::tempdir().unwrap();
        let positions: Vec<u32> = (3..40).collect();
        for problem in problems(directory.path()) {
            // A sample whose label is ignored has no loss of its own.
            let ignored = |position: &u32| problem.model.outputs() == 2 && position.is_multiple_of(3);
            let counted = positions.iter().filter(|position| !ignored(position));
            let gradients: Vec<Vec<f64>> = counted.map(|&position| problem.reference(&[position]).1).collect();
            let n = gradients.len() as f64;
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let mean: Vec<f64> =
                (0..gradients[0].len()).map(|j| gradients.iter().map(|g| g[j]).sum::<f64>() / n).collect();
            let squared: f64 = gradients.iter().map(|g| dot(g, g)).sum();
            let squared_norm = dot(&mean, &mean);
            let inner: f64 = gradients.iter().map(|g| dot(g, &mean).powi(2)).sum();
            for part in [37, 5] {
                let found = problem.with_batch(&positions, part, |at| {
                    let gradient = at.gradient(&problem.buffers).unwrap().gradient;
                    at.gradient_moments(&gradient).unwrap()
                });
                assert_close(&[found.squared_norm], &[squared_norm]);
                // The sums below lose digits where variances are small beside squares, those found do not.
                assert_close(&[found.variance], &[(squared - n * squared_norm) / (n - 1.0)]);
                assert_close(&[found.along_mean], &[(inner - n * squared_norm.powi(2)) / (n - 1.0)]);
            }
        }
    }

    const DROPPED: Dropout = Dropout::Rate(0.4);
    const ADVERSARIAL: Adversarial = Adversarial { radius: 0.1, steps: 3 };

    #[test]
    fn parts_see_the_masks_and_the_moved_samples_of_the_whole() {
        let positions: Vec<u32> = (3..40).rev().collect();
        let gpt = "gpt:width=8,depth=1,heads=2";
        for problem in [
            Problem::with("mlp:64-8-6-10:tanh", "digits", DROPPED, ADVERSARIAL),
            Problem::with(gpt, "synthetic:tokens:samples=50,length=6,vocabulary=5", DROPPED, Adversarial::default()),
        ] {
            let v = problem.model.initial_parameters(7, DType::F64).unwrap();
            let products = |part| {
                problem.with_batch(&positions, part, |at| {
                    let Gradient { loss, gradient, .. } = at.gradient(&problem.buffers).unwrap();
                    let moments = at.gradient_moments(&gradient).unwrap();
                    let products = [gradient, at.hessian(&v).unwrap(), at.gauss_newton(&v).unwrap()];
                    (at.losses().unwrap(), [loss, moments.variance], products.map(|product| elements(&product)))
                })
            };
            let (losses, figures, whole) = products(37);
            let plain = Problem::new(problem.model.name(), &problem.data.spec.to_string());
            let plain = elements(&plain.gradient(&positions, 37).gradient);
            assert!(whole[0].iter().zip(&plain).any(|(a, b)| (a - b).abs() > 1e-3), "masks change the gradient");
            for part in [36, 10, 1] {
                let found = products(part);
                assert_close(&found.0, &losses);
                assert_close(&found.1, &figures);
                found.2.iter().zip(&whole).for_each(|(found, whole)| assert_close(found, whole));
            }
        }
    }

    #[test]
    fn an_adversary_raises_the_loss_within_its_box() {
        let positions: Vec<u32> = (0..40).collect();
        for (model, data, dropout) in [
            ("mlp:64-8-10:relu", "digits", Dropout::None),
            ("mlp:64-8-10:tanh:bn", "digits", DROPPED),
            ("wrn10-1", "synthetic:images:samples=50,channels=2,size=8", DROPPED),
        ] {
            let clean = Problem::with(model, data, dropout, Adversarial::default()).gradient(&positions, 40);
            for steps in [1, 5] {
                let adversarial = Adversarial { radius: 0.03, steps };
                let problem = Problem::with(model, data, dropout, adversarial);
                let (moved, there) = problem.with_batch(&positions, 40, |at| {
                    (at.batch.moved.clone().unwrap(), at.gradient(&problem.buffers).unwrap())
                });
                let x = problem.data.inputs.tensor().unwrap().to_dtype(DType::F64).unwrap();
                let farthest = (moved - x).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
                assert!(farthest > 0.01 && farthest <= 0.03 + 1e-15, "{model}: {farthest}");
                assert!(there.loss > clean.loss, "{model}, {steps} steps: {} from {}", there.loss, clean.loss);
            }
        }
    }

    /// The loss of a step is one function of the weights: that of the samples as they were moved where it began.
    #[test]
    fn samples_stay_where_they_were_moved_when_a_step_looks_elsewhere() {
        let positions: Vec<u32> = (0..40).collect();
        let problem = Problem::with("mlp:64-8-10:tanh", "digits", Dropout::None, ADVERSARIAL);
        let elsewhere = problem.model.initial_parameters(2, DType::F64).unwrap();
        for part in [40, 9] {
            let (moved, (loss, gradient)) = problem.with_batch(&positions, part, |at| {
                let Gradient { loss, gradient, .. } = at.gradient(&problem.buffers).unwrap();
                let step = StepAt { at, buffers: &problem.buffers, loss, gradient: &gradient };
                (at.batch.moved.clone().unwrap(), step.at(&elsewhere).unwrap())
            });
            let data = Dataset::from_tensors("moved", moved, problem.data.targets.clone()).unwrap();
            let options = Problem::options(BatchNorm::Stored);
            let network = Network::new(&problem.model, &problem.buffers, problem.loss.clone(), &data, options).unwrap();
            let (expected_loss, expected) = network.gradient(&elsewhere).unwrap();
            assert_close(&[loss], &[expected_loss]);
            assert_close(&elements(&gradient), &elements(&expected));
        }
    }
}
