//! What is observed while training goes on, beside losses and accuracies.

mod along_steps;
mod at_epochs;

use std::fmt;
use std::str::FromStr;

use basin_objective::{Error, nearest};
use serde::{Deserialize, Serialize};

pub(crate) use along_steps::{AlongSteps, Update};
pub(crate) use at_epochs::AtEpoch;

/// A quantity that can be observed. Those along the steps are means over the steps of an epoch, of the gradient g of each batch and
/// the change Δθ that the optimizer makes of it; the others are taken at the end of an epoch, on all training samples, with the
/// stored statistics of a batch norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Observable {
    /// `gradient.LAYER`: the mean |gᵢ| of a layer (Gao and Zhong, figures 3 and 9).
    Gradient,
    /// `stride`, the mean |Δθᵢ|, and `stride_over_rate`, that over the learning rate (figures 4 and 5).
    Stride,
    /// `loss_stride`, the fall −gᵀΔθ of the loss to first order, and `loss_stride_over_rate` (equation 7, figure 7).
    LossStride,
    /// `distance`: ‖θ − θ₀‖ from the initial parameters.
    Distance,
    /// `radius_estimate.LAYER`: median |θᵢ| over median |gᵢ| of all samples, the radius of curvature of a loss whose minimum is
    /// near 0 (equation 17, with medians as in 20 but of absolute values, since signed ones are near 0).
    RadiusEstimate,
    /// `radius.LAYER`: the median of (1 + gᵢ²)^{3/2}/|Hᵢᵢ| (equation 9), with the diagonal by XDiag.
    Radius,
    /// `noise_scale_simple` = tr Σ/‖G‖² and `noise_scale` = tr(HΣ)/(GᵀHG), with the covariance Σ of single samples' gradients
    /// about their mean G (McCandlish and others, "An empirical model of large-batch training", 2018), `noise_scale.stderr` of
    /// tr(HΣ) over GᵀHG, and `noise_scale_two_sizes`, what tr Σ/‖G‖² is by their appendix A from the norms of gradients at two batch
    /// sizes, the training one and all samples.
    NoiseScale,
    /// `lambda_max`, the largest eigenvalue of the Hessian, with `lambda_max.residual`, and `two_over_rate` = 2/η (Cohen and
    /// others, "Gradient descent on neural networks typically occurs at the edge of stability", 2021).
    LambdaMax,
    /// `batch_sharpness`: the mean of gᵀH_B g/‖g‖² over batches, with `batch_sharpness.stderr` ("Edge of stochastic stability",
    /// 2024).
    BatchSharpness,
    /// `alignment.1` to `alignment.3`: squared cosines of the gradient and the eigenvectors of the largest eigenvalues.
    Alignment,
    /// `keskar`: Keskar's sharpness in the full space at ε = 10⁻³.
    Keskar,
}

impl Observable {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Gradient,
        Self::Stride,
        Self::LossStride,
        Self::Distance,
        Self::RadiusEstimate,
        Self::Radius,
        Self::NoiseScale,
        Self::LambdaMax,
        Self::BatchSharpness,
        Self::Alignment,
        Self::Keskar,
    ];

    /// Its name, as in `--observe`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gradient => "gradient",
            Self::Stride => "stride",
            Self::LossStride => "loss-stride",
            Self::Distance => "distance",
            Self::RadiusEstimate => "radius-estimate",
            Self::Radius => "radius",
            Self::NoiseScale => "noise-scale",
            Self::LambdaMax => "lambda-max",
            Self::BatchSharpness => "batch-sharpness",
            Self::Alignment => "alignment",
            Self::Keskar => "keskar",
        }
    }

    /// Whether it takes curvature products or many gradients, and is taken only every few epochs.
    pub fn is_dear(self) -> bool {
        !matches!(self, Self::Gradient | Self::Stride | Self::LossStride | Self::Distance | Self::RadiusEstimate)
    }
}

impl fmt::Display for Observable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Observable {
    type Err = Error;

    /// ```
    /// use basin_training::Observable;
    ///
    /// assert_eq!("lambda-max".parse::<Observable>()?, Observable::LambdaMax);
    /// assert!("lambda".parse::<Observable>().is_err());
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|observable| observable.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            let hint = match nearest(text, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", names.join(", ")),
            };
            Error::input(format!("unknown observable `{text}`"), hint)
        })
    }
}
