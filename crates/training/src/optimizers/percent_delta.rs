//! PercentDelta (Abu-El-Haija, "Proportionate gradient updates with PercentDelta", 2017): a step moves each tensor w, of n
//! elements, by the share η of its elements on average. With its gradient g:
//!
//! w ← w − η (n / ‖g/w‖₁) g.
//!
//! Where all of g is zero the tensor stays. One w near zero would stop its whole tensor, so that |w| counts as at least a floor;
//! the authors' code adds 10⁻⁶ to |w|, which leaves 0/0 where w is zero.

use basin_tape::{Layout, vector};
use candle_core::backprop::GradStore;
use candle_core::{Error, Result, Var};
use serde::{Deserialize, Serialize};

use super::range::positive;
use super::rule::Resume;
use super::tensors::Tensors;

/// Settings of [`PercentDelta`]. The paper has η fall linearly from a value that it leaves open; the default is ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PercentDeltaSettings {
    /// η.
    pub learning_rate: f64,
    /// The least |w| in g/w.
    pub floor: f64,
}

impl Default for PercentDeltaSettings {
    fn default() -> Self {
        Self { learning_rate: 0.01, floor: 1e-6 }
    }
}

impl PercentDeltaSettings {
    pub(super) fn check(&self) -> crate::Result<()> {
        positive("floor", self.floor)
    }
}

/// PercentDelta.
///
/// ```
/// use basin_training::{PercentDelta, PercentDeltaSettings};
/// use candle_core::{Device, Tensor, Var};
/// use candle_nn::Optimizer;
///
/// let theta = Var::from_tensor(&Tensor::new(&[3.0, -4.0], &Device::Cpu)?)?;
/// let mut optimizer = PercentDelta::new(vec![theta.clone()], PercentDeltaSettings::default())?;
/// // A gradient along w moves every element by a hundredth.
/// optimizer.backward_step(&theta.sqr()?.sum_all()?)?;
/// let moved = theta.to_vec1::<f64>()?;
/// assert!((moved[0] - 2.97).abs() < 1e-12 && (moved[1] + 3.96).abs() < 1e-12);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct PercentDelta {
    variables: Vec<Tensors>,
    settings: PercentDeltaSettings,
}

impl PercentDelta {
    /// For a parameter vector in which tensors lie as the layout says; [`new`](candle_nn::Optimizer::new) takes each variable
    /// for one tensor.
    pub fn in_layout(theta: Var, layout: &Layout, settings: PercentDeltaSettings) -> Self {
        Self { variables: Tensors::laid_out(theta, layout), settings }
    }
}

impl Resume for PercentDelta {}

impl candle_nn::Optimizer for PercentDelta {
    type Config = PercentDeltaSettings;

    fn new(vars: Vec<Var>, settings: PercentDeltaSettings) -> Result<Self> {
        Ok(Self { variables: Tensors::whole(vars), settings })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let PercentDeltaSettings { learning_rate, floor } = self.settings;
        for tensors in &self.variables {
            let Some(gradient) = gradients.get(&tensors.var) else { continue };
            let step = tensors.map(gradient, |entry, w, g| {
                let shares = (&g / w.abs()?.maximum(floor)?)?.abs()?;
                let sum = vector::total(&shares).map_err(Error::wrap)?;
                if sum == 0.0 { Ok(g) } else { g * (learning_rate * entry.len() as f64 / sum) }
            })?;
            tensors.var.set(&(tensors.var.as_detached_tensor() - step)?)?;
        }
        Ok(())
    }

    fn learning_rate(&self) -> f64 {
        self.settings.learning_rate
    }

    fn set_learning_rate(&mut self, learning_rate: f64) {
        self.settings.learning_rate = learning_rate;
    }
}
