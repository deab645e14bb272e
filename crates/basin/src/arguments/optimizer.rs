//! What can be typed about an optimizer.

use basin_training::{LearningRate, OptimizerSettings};
use clap::Args;
use clap::builder::PossibleValuesParser;

/// An optimizer and those of its settings that are not the default. A setting that the optimizer does not have is refused.
#[derive(Clone, Debug, Args)]
pub(crate) struct OptimizerArguments {
    /// Optimizer.
    #[arg(long, value_name = "NAME", value_parser = names())]
    pub(crate) optimizer: Option<String>,
    /// Full learning rate; the optimizer's own default when absent, 0.1 for sgd and 0.001 for adam and adamw. `auto` chooses it
    /// with the momentum from the curvature of the training batch, for sgd.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) learning_rate: Option<LearningRate>,
    /// Momentum of sgd, rmsprop and lars.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) momentum: Option<f64>,
    /// Take sgd's gradient after Nesterov.
    #[arg(long)]
    pub(crate) nesterov: bool,
    /// Weight decay.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) weight_decay: Option<f64>,
    /// Memory of the mean gradient, of adam, adamw and lamb.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) beta1: Option<f64>,
    /// Memory of the mean squared gradient, of adam, adamw and lamb.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) beta2: Option<f64>,
    /// Trust coefficient of lars.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) trust: Option<f64>,
    /// Let lars clip its rates to the learning rate, as LARC.
    #[arg(long)]
    pub(crate) clip: bool,
    /// Distance of sam, relative distance of asam.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) rho: Option<f64>,
    /// Half the width of smoothout's noise.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) noise: Option<f64>,
    /// Proximal term of proximal.
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) penalty: Option<f64>,
    /// Inner steps of proximal.
    #[arg(long, value_name = "N")]
    pub(crate) inner: Option<u32>,
    /// Optimizer that takes the steps of sam, asam and smoothout, sgd with momentum 0.9 when absent, and of proximal, adam when
    /// absent. Its settings are typed as
    /// if it stood alone.
    #[arg(long, value_name = "NAME", value_parser = names())]
    pub(crate) base: Option<String>,
    /// Hessian products of a step of cblr.
    #[arg(long, value_name = "N")]
    pub(crate) probes: Option<u32>,
    /// Steps that lbfgs remembers.
    #[arg(long, value_name = "N")]
    pub(crate) history: Option<u32>,
}

fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(OptimizerSettings::all().iter().map(OptimizerSettings::name))
}
