//! MCLR, the median-curvature learning rate (Gao and Zhong, "Study on the large batch size training of neural networks based on
//! the second order gradient", 2020, equations 20 to 22). Near the minimum of a parabola the radius of curvature of the loss
//! along one weight is about |w/g|, and each tensor w takes the ratio of medians for that of all its elements. With its gradient
//! g and weight decay β:
//!
//! w ← w − γ R (g + β w), R = median |w| / median |g + β w|.
//!
//! - The paper writes medians of w and g, which are about zero in any tensor that is symmetric about it; the medians here are of
//!   absolute values. The median of an even number of values is the mean of the two in the middle.
//! - Where either median is zero, at zero weights or where half of the gradients vanish, there is no radius: R = 1.

use basin_tape::Layout;
use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::range::not_negative;
use super::rule::Resume;
use super::tensors::Tensors;
use super::with_weight_decay;

/// Settings of [`Mclr`]. The paper does not tell its γ; the default is ours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MclrSettings {
    /// γ.
    pub learning_rate: f64,
    /// β.
    pub weight_decay: f64,
}

impl Default for MclrSettings {
    fn default() -> Self {
        Self { learning_rate: 0.01, weight_decay: 0.0 }
    }
}

impl MclrSettings {
    pub(super) fn check(&self) -> crate::Result<()> {
        not_negative("weight decay", self.weight_decay)
    }
}

/// MCLR.
///
/// ```
/// use basin_training::{Mclr, MclrSettings};
/// use candle_core::{Device, Tensor, Var};
/// use candle_nn::Optimizer;
///
/// let theta = Var::from_tensor(&Tensor::new(&[1.0, -2.0, 9.0], &Device::Cpu)?)?;
/// let mut optimizer = Mclr::new(vec![theta.clone()], MclrSettings { learning_rate: 0.1, ..MclrSettings::default() })?;
/// // The gradient is 4 w: R = 2 / 8.
/// optimizer.backward_step(&(theta.sqr()?.sum_all()? * 2.0)?)?;
/// let moved = theta.to_vec1::<f64>()?;
/// assert!((moved[0] - 0.9).abs() < 1e-12 && (moved[2] - 8.1).abs() < 1e-12);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Mclr {
    variables: Vec<Tensors>,
    settings: MclrSettings,
}

impl Mclr {
    /// For a parameter vector in which tensors lie as the layout says; [`new`](candle_nn::Optimizer::new) takes each variable
    /// for one tensor.
    pub fn in_layout(theta: Var, layout: &Layout, settings: MclrSettings) -> Self {
        Self { variables: Tensors::laid_out(theta, layout), settings }
    }
}

impl Resume for Mclr {}

impl candle_nn::Optimizer for Mclr {
    type Config = MclrSettings;

    fn new(vars: Vec<Var>, settings: MclrSettings) -> Result<Self> {
        Ok(Self { variables: Tensors::whole(vars), settings })
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let MclrSettings { learning_rate, weight_decay } = self.settings;
        for tensors in &self.variables {
            let Some(gradient) = gradients.get(&tensors.var) else { continue };
            let step = tensors.map(gradient, |_, w, g| {
                let g = with_weight_decay(&g, &w, weight_decay)?;
                let (weight, slope) = (median_of_sizes(&w)?, median_of_sizes(&g)?);
                let radius = if weight == 0.0 || slope == 0.0 { 1.0 } else { weight / slope };
                g * (learning_rate * radius)
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

/// The median of |xᵢ|, 0 of none.
fn median_of_sizes(x: &Tensor) -> Result<f64> {
    let mut sizes: Vec<f64> = x.abs()?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
    if sizes.is_empty() {
        return Ok(0.0);
    }
    let middle = sizes.len() / 2;
    let odd = sizes.len() % 2 == 1;
    let (below, upper, _) = sizes.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    let lower = if odd { upper } else { below.iter().copied().fold(0.0, f64::max) };
    Ok((lower + upper) / 2.0)
}
