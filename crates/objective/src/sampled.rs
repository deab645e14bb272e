//! The seam between what is measured on batches and what they are drawn from.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::data::Dataset;
use crate::models::Model;
use crate::network::{Network, NetworkOptions};
use crate::{Error, LossSpec, Objective, Result};

/// Samples of which any may be taken together as an objective of their own: the mean of their losses.
pub trait SampledObjective: Sync {
    /// N.
    fn samples(&self) -> usize;

    /// Whether several batches may be worked on at a time, by different threads.
    fn side_by_side(&self) -> bool;

    /// Hands on the objective of the samples at `positions`, which are ascending and different.
    ///
    /// # Errors
    /// When there is no sample at one of them, the objective cannot be made, or `then` returns an error.
    fn on_batch(&self, positions: &[usize], then: &mut dyn FnMut(&dyn Objective) -> Result<()>) -> Result<()>;
}

impl dyn SampledObjective + '_ {
    /// What `then` makes of the objective of the samples at `positions`, which are ascending and different.
    ///
    /// # Errors
    /// When there is no sample at one of them, the objective cannot be made, or `then` returns an error.
    pub fn with_batch<T>(&self, positions: &[usize], mut then: impl FnMut(&dyn Objective) -> Result<T>) -> Result<T> {
        let mut made = None;
        self.on_batch(positions, &mut |objective| {
            made = Some(then(objective)?);
            Ok(())
        })?;
        made.ok_or_else(|| Error::input("a batch was given no objective", "call `then` in `on_batch`"))
    }

    /// What `then` makes of the objective of all samples.
    ///
    /// # Errors
    /// As [`with_batch`](#method.with_batch).
    pub fn with_all<T>(&self, then: impl FnMut(&dyn Objective) -> Result<T>) -> Result<T> {
        self.with_batch(&(0..self.samples()).collect::<Vec<_>>(), then)
    }

    /// Does `work` for each item, as far as [`side_by_side`](SampledObjective::side_by_side) allows for several at a time: up to
    /// `at_once` of them, and so many that their batches, of the sizes that `samples` gives, hold no more than N samples
    /// together. What it gives stands in the order of the items, so that it does not depend on the number of threads.
    ///
    /// # Errors
    /// The first one that `work` returns.
    pub fn work<T: Sync, R: Send, E: Send>(
        &self,
        items: &[T],
        samples: impl Fn(&T) -> usize,
        at_once: usize,
        work: impl Fn(&T) -> std::result::Result<R, E> + Sync,
    ) -> std::result::Result<Vec<R>, E> {
        if !self.side_by_side() {
            return items.iter().map(work).collect();
        }
        let (mut results, mut rest) = (Vec::with_capacity(items.len()), items);
        while !rest.is_empty() {
            let mut held = 0;
            let fitting = rest.iter().take(at_once.max(1)).take_while(|item| {
                held += samples(item);
                held <= self.samples()
            });
            let (wave, later) = rest.split_at(fitting.count().max(1));
            results.extend(wave.par_iter().map(&work).collect::<std::result::Result<Vec<_>, E>>()?);
            rest = later;
        }
        Ok(results)
    }
}

/// A model with a loss on any samples of a data set.
#[derive(Clone, Debug)]
pub struct SampledNetwork<'m> {
    /// The model.
    pub model: &'m Model,
    /// Its constants, such as running means.
    pub buffers: &'m Tensor,
    /// The loss.
    pub loss: LossSpec,
    /// The samples.
    pub data: &'m Dataset,
    /// How it is evaluated.
    pub options: NetworkOptions,
}

impl SampledObjective for SampledNetwork<'_> {
    fn samples(&self) -> usize {
        self.data.samples()
    }

    fn side_by_side(&self) -> bool {
        self.options.device.is_cpu()
    }

    fn on_batch(&self, positions: &[usize], then: &mut dyn FnMut(&dyn Objective) -> Result<()>) -> Result<()> {
        let network =
            |data: &Dataset| Network::new(self.model, self.buffers, self.loss.clone(), data, self.options.clone());
        match positions.len() == self.samples() {
            true => then(&network(self.data)?),
            false => then(&network(&self.data.select(positions)?)?),
        }
    }
}
