//! Which optimizer, with its settings.

use basin_tape::Layout;
use candle_core::Var;
use candle_nn::Optimizer as _;
use serde::{Deserialize, Serialize};

use super::cblr::Cblr;
use super::lbfgs::Lbfgs;
use super::proximal::Proximal;
use super::range::positive;
use super::rule::{BatchRule, GradientRule, Rule};
use super::sam::Sam;
use super::smooth_out::SmoothOut;
use super::{
    AdaGrad, AdaGradNorm, AdaGradNormSettings, AdaGradSettings, Adam, AdamSettings, AsamSettings, CblrSettings, Lamb,
    LambSettings, Lars, LarsSettings, LbfgsSettings, Mclr, MclrSettings, PercentDelta, PercentDeltaSettings,
    ProximalSettings, RmsProp, RmsPropSettings, SamSettings, Sgd, SgdSettings, SmoothOutSettings,
};
use crate::{Error, LearningRate, Result};

/// Which optimizer, with all its settings but the learning rate's schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerSettings {
    /// Stochastic gradient descent.
    Sgd(SgdSettings),
    /// Adam with weight decay added to the gradient.
    Adam(AdamSettings),
    /// Adam with decoupled weight decay.
    AdamW(AdamSettings),
    /// RMSprop.
    RmsProp(RmsPropSettings),
    /// AdaGrad.
    AdaGrad(AdaGradSettings),
    /// AdaGrad with one number for all parameters.
    #[serde(rename = "adagrad-norm")]
    AdaGradNorm(AdaGradNormSettings),
    /// LARS, clipped or not.
    Lars(LarsSettings),
    /// LAMB.
    Lamb(LambSettings),
    /// PercentDelta.
    PercentDelta(PercentDeltaSettings),
    /// MCLR.
    Mclr(MclrSettings),
    /// SAM on another optimizer.
    Sam(SamSettings),
    /// ASAM on another optimizer.
    Asam(AsamSettings),
    /// SmoothOut on another optimizer.
    SmoothOut(SmoothOutSettings),
    /// Conservative training by inner steps of another optimizer.
    Proximal(ProximalSettings),
    /// CBLR.
    Cblr(CblrSettings),
    /// L-BFGS on all samples.
    Lbfgs(LbfgsSettings),
}

impl OptimizerSettings {
    /// Every optimizer with its default settings. AdamW's weight decay is 0.01, as in PyTorch.
    ///
    /// ```
    /// use basin_training::OptimizerSettings;
    ///
    /// let names: Vec<_> = OptimizerSettings::all().iter().map(OptimizerSettings::name).collect();
    /// assert_eq!(names[..3], ["sgd", "adam", "adamw"]);
    /// ```
    pub fn all() -> Vec<Self> {
        vec![
            Self::Sgd(SgdSettings::default()),
            Self::Adam(AdamSettings::default()),
            Self::AdamW(AdamSettings { weight_decay: 0.01, ..AdamSettings::default() }),
            Self::RmsProp(RmsPropSettings::default()),
            Self::AdaGrad(AdaGradSettings::default()),
            Self::AdaGradNorm(AdaGradNormSettings::default()),
            Self::Lars(LarsSettings::default()),
            Self::Lamb(LambSettings::default()),
            Self::PercentDelta(PercentDeltaSettings::default()),
            Self::Mclr(MclrSettings::default()),
            Self::Sam(SamSettings::default()),
            Self::Asam(AsamSettings::default()),
            Self::SmoothOut(SmoothOutSettings::default()),
            Self::Proximal(ProximalSettings::default()),
            Self::Cblr(CblrSettings::default()),
            Self::Lbfgs(LbfgsSettings::default()),
        ]
    }

    /// The optimizer's name as on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
            Self::RmsProp(_) => "rmsprop",
            Self::AdaGrad(_) => "adagrad",
            Self::AdaGradNorm(_) => "adagrad-norm",
            Self::Lars(_) => "lars",
            Self::Lamb(_) => "lamb",
            Self::PercentDelta(_) => "percentdelta",
            Self::Mclr(_) => "mclr",
            Self::Sam(_) => "sam",
            Self::Asam(_) => "asam",
            Self::SmoothOut(_) => "smoothout",
            Self::Proximal(_) => "proximal",
            Self::Cblr(_) => "cblr",
            Self::Lbfgs(_) => "lbfgs",
        }
    }

    /// The full learning rate.
    pub fn learning_rate(&self) -> LearningRate {
        match self {
            Self::Sgd(settings) => settings.learning_rate,
            Self::Adam(settings) | Self::AdamW(settings) => settings.learning_rate.into(),
            Self::RmsProp(settings) => settings.learning_rate.into(),
            Self::AdaGrad(settings) => settings.learning_rate.into(),
            Self::AdaGradNorm(settings) => settings.learning_rate.into(),
            Self::Lars(settings) => settings.learning_rate.into(),
            Self::Lamb(settings) => settings.learning_rate.into(),
            Self::PercentDelta(settings) => settings.learning_rate.into(),
            Self::Mclr(settings) => settings.learning_rate.into(),
            Self::Sam(settings) => settings.base.learning_rate(),
            Self::Asam(settings) => settings.base.learning_rate(),
            Self::SmoothOut(settings) => settings.base.learning_rate(),
            Self::Proximal(settings) => settings.base.learning_rate(),
            Self::Cblr(settings) => settings.learning_rate.into(),
            Self::Lbfgs(settings) => settings.learning_rate.into(),
        }
    }

    /// Refuses settings outside their ranges.
    ///
    /// # Errors
    /// Names the setting, its range and its value.
    pub fn check(&self) -> Result<()> {
        if let LearningRate::Fixed(learning_rate) = self.learning_rate() {
            positive("learning rate", learning_rate)?;
        }
        if let Some(base) = self.base() {
            base.check_as_base()?;
        }
        match self {
            Self::Sgd(settings) => settings.check(),
            Self::Adam(settings) | Self::AdamW(settings) => settings.check(),
            Self::RmsProp(settings) => settings.check(),
            Self::AdaGrad(settings) => settings.check(),
            Self::AdaGradNorm(settings) => settings.check(),
            Self::Lars(settings) => settings.check(),
            Self::Lamb(settings) => settings.check(),
            Self::PercentDelta(settings) => settings.check(),
            Self::Mclr(settings) => settings.check(),
            Self::Sam(settings) => settings.check(),
            Self::Asam(settings) => settings.check(),
            Self::SmoothOut(settings) => settings.check(),
            Self::Proximal(settings) => settings.check(),
            Self::Cblr(settings) => settings.check(),
            Self::Lbfgs(settings) => settings.check(),
        }
    }

    fn check_as_base(&self) -> Result<()> {
        if self.base().is_some() || matches!(self, Self::Cblr(_) | Self::Lbfgs(_)) {
            return Err(not_a_base(self));
        }
        if self.learning_rate() == LearningRate::Automatic {
            let message = "an automatic learning rate is that of stochastic gradient descent by itself";
            return Err(basin_objective::Error::input(message, "give the base a number such as 0.1").into());
        }
        self.check()
    }

    /// The optimizer that this one is built on.
    fn base(&self) -> Option<&Self> {
        match self {
            Self::Sam(settings) => Some(&settings.base),
            Self::Asam(settings) => Some(&settings.base),
            Self::SmoothOut(settings) => Some(&settings.base),
            Self::Proximal(settings) => Some(&settings.base),
            _ => None,
        }
    }

    /// Whether a step must see all samples.
    pub(crate) fn needs_all_samples(&self) -> bool {
        matches!(self, Self::Lbfgs(_))
    }

    /// The rule over a vector in which tensors lie as the layout says.
    pub(super) fn rule(&self, theta: &Var, layout: &Layout, seed: u64) -> Result<Rule> {
        let vars = || vec![theta.clone()];
        let base = |base: &Self| match base.rule(theta, layout, seed)? {
            Rule::Gradient(rule) => Ok(rule),
            Rule::Batch(_) => Err(not_a_base(base)),
        };
        Ok(match self {
            Self::Sgd(settings) => gradient(Sgd::new(vars(), *settings)?),
            Self::Adam(settings) => gradient(Adam::new(vars(), AdamSettings { decoupled: false, ..*settings })?),
            Self::AdamW(settings) => gradient(Adam::new(vars(), AdamSettings { decoupled: true, ..*settings })?),
            Self::RmsProp(settings) => gradient(RmsProp::new(vars(), *settings)?),
            Self::AdaGrad(settings) => gradient(AdaGrad::new(vars(), *settings)?),
            Self::AdaGradNorm(settings) => gradient(AdaGradNorm::new(vars(), *settings)?),
            Self::Lars(settings) => gradient(Lars::in_layout(theta.clone(), layout, *settings)?),
            Self::Lamb(settings) => gradient(Lamb::in_layout(theta.clone(), layout, *settings)?),
            Self::PercentDelta(settings) => gradient(PercentDelta::in_layout(theta.clone(), layout, *settings)),
            Self::Mclr(settings) => gradient(Mclr::in_layout(theta.clone(), layout, *settings)),
            Self::Sam(settings) => batch(Sam::plain(settings, base(&settings.base)?)),
            Self::Asam(settings) => batch(Sam::adaptive(settings, base(&settings.base)?)),
            Self::SmoothOut(settings) => batch(SmoothOut::new(settings, seed, base(&settings.base)?)),
            Self::Proximal(settings) => batch(Proximal::new(settings, base(&settings.base)?)),
            Self::Cblr(settings) => batch(Cblr::new(*settings, seed)),
            Self::Lbfgs(settings) => batch(Lbfgs::new(*settings, theta)),
        })
    }
}

fn gradient(rule: impl GradientRule + 'static) -> Rule {
    Rule::Gradient(Box::new(rule))
}

fn batch(rule: impl BatchRule + 'static) -> Rule {
    Rule::Batch(Box::new(rule))
}

fn not_a_base(settings: &OptimizerSettings) -> Error {
    let message =
        format!("{} cannot take the steps of another optimizer: it asks for more than a gradient", settings.name());
    basin_objective::Error::input(message, "give a base such as sgd or adam").into()
}
