//! Means over the steps of an epoch.

use std::collections::BTreeMap;

use basin_sharpness::ParameterGroup;
use basin_tape::{Layout, vector};
use candle_core::Tensor;

use super::Observable;
use crate::Result;

/// Sums over the steps of the current epoch; part of the state of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AlongSteps {
    /// Steps that were observed.
    pub(crate) steps: u64,
    pub(crate) sums: BTreeMap<String, f64>,
}

/// One step of the optimizer.
pub(crate) struct Update<'a> {
    /// Of the batch.
    pub(crate) gradient: &'a Tensor,
    pub(crate) before: &'a Tensor,
    pub(crate) after: &'a Tensor,
    pub(crate) learning_rate: f64,
}

impl AlongSteps {
    /// Adds what `observables` say of a step.
    pub(crate) fn add(&mut self, observables: &[Observable], layout: &Layout, update: &Update) -> Result<()> {
        let mut add = |name: &str, value: f64| *self.sums.entry(name.to_owned()).or_default() += value;
        for observable in observables {
            match observable {
                Observable::Gradient => {
                    for layer in ParameterGroup::layers(layout) {
                        let mean = vector::total(&layer.gather(update.gradient)?.abs()?)? / layer.len() as f64;
                        add(&format!("gradient.{}", layer.name), mean);
                    }
                }
                Observable::Stride => {
                    let change = (update.after - update.before)?.abs()?;
                    let mean = vector::total(&change)? / change.elem_count() as f64;
                    add("stride", mean);
                    add("stride_over_rate", mean / update.learning_rate);
                }
                Observable::LossStride => {
                    let fall = -vector::dot(update.gradient, &(update.after - update.before)?)?;
                    add("loss_stride", fall);
                    add("loss_stride_over_rate", fall / update.learning_rate);
                }
                _ => {}
            }
        }
        self.steps += 1;
        Ok(())
    }

    /// The means of the epoch that ends, after which the next one begins with nothing.
    pub(crate) fn take(&mut self) -> BTreeMap<String, f64> {
        let Self { steps, sums } = std::mem::take(self);
        sums.into_iter().map(|(name, sum)| (name, sum / steps as f64)).collect()
    }
}
