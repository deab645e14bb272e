//! Measures of sharpness other than Keskar's and the spectrum, each with its error and with what a rescaling of the
//! weights does to it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::comparison::Scale;
use crate::float;
use crate::spectrum::{Matrix, Spread};

/// The measures taken at one θ; in JSON the list itself.
///
/// ```
/// use basin_records::Sharpness;
/// use basin_records::sharpness::{Measure, Measurement};
///
/// let sharpness = Sharpness { measurements: vec![Measurement::new(Measure::GradientNorm, 0.25)] };
/// let json = serde_json::to_value(&sharpness)?;
/// assert_eq!((json[0]["measure"].as_str(), json[0]["invariant"].as_bool()), (Some("gradient-norm"), Some(false)));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sharpness {
    /// Every measurement.
    pub measurements: Vec<Measurement>,
}

/// One measure at one θ, and how far to trust it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured.
    pub measure: Measure,
    /// Radius of the neighbourhood in its own norm: a distance, or relative to |θᵢ| where the measure is adaptive.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub rho: Option<f64>,
    /// Norm of the neighbourhood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// The layer, where the measure is of one layer: the name of its weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// The curvature matrix, where the measure is of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix: Option<Matrix>,
    /// Whether the outputs were normalised, (z − mean z)/‖z − mean z‖, before the loss.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub normalized_logits: bool,
    /// The value.
    #[serde(with = "float")]
    pub value: f64,
    /// Standard error of the value over its random draws; none where nothing is drawn.
    #[serde(default, with = "float::optional")]
    pub stderr: Option<f64>,
    /// What bounds the error of an iteration: ‖Hv − λv‖ of an eigenvalue, half the last bracket of a bisection.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub residual: Option<f64>,
    /// Standard deviation over the starts of a maximisation.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
    /// Whether it stays when layers are rescaled so that the network computes the same function (Dinh et al. 2017).
    pub invariant: bool,
    /// Whether the value only bounds the measure from below.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lower_bound: bool,
    /// Whether the iteration came to its end.
    pub converged: bool,
    /// How the value was had, and why the iteration ended.
    pub reason: String,
    /// Iterations of each start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iterations: Option<u64>,
    /// Starts of a maximisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<u64>,
    /// Independent random draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draws: Option<u64>,
    /// The value computed again in f64.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub value_f64: Option<f64>,
    /// The values on disjoint random subsets of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsets: Option<OnSubsets>,
}

/// One measure on disjoint random subsets of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OnSubsets {
    /// Samples in each.
    pub samples: u64,
    /// The values, their mean and their standard deviation.
    #[serde(flatten)]
    pub spread: Spread,
}

impl Measurement {
    /// A value in closed form, to which an estimator adds its errors.
    pub fn new(measure: Measure, value: f64) -> Self {
        Self {
            measure,
            rho: None,
            norm: measure.norm(),
            layer: None,
            matrix: None,
            normalized_logits: false,
            value,
            stderr: None,
            residual: None,
            spread: None,
            invariant: measure.scale() == Scale::ScaleInvariant,
            lower_bound: false,
            converged: true,
            reason: "computed without iteration".into(),
            iterations: None,
            starts: None,
            draws: None,
            value_f64: None,
            subsets: None,
        }
    }

    /// The measure with its radius, its layer and what was done to the outputs: what tells columns of a comparison apart.
    ///
    /// ```
    /// use basin_records::sharpness::{Measure, Measurement};
    ///
    /// let worst = Measurement { rho: Some(0.5), ..Measurement::new(Measure::AdaptiveWorstL2, 1.0) };
    /// assert_eq!(worst.column(), "adaptive-worst-l2, rho 0.5");
    /// ```
    pub fn column(&self) -> String {
        let rho = self.rho.map(|rho| format!(", rho {rho}")).unwrap_or_default();
        let layer = self.layer.as_ref().map(|layer| format!(", {layer}")).unwrap_or_default();
        let logits = if self.normalized_logits { ", normalized logits" } else { "" };
        format!("{}{rho}{layer}{logits}", self.measure)
    }
}

/// The norm in which a neighbourhood is a ball.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// √(Σ δᵢ²).
    L2,
    /// max |δᵢ|.
    Linf,
}

/// What is measured. With the mean loss L over the analysed samples, its gradient g and Hessian H at the weights θ, and
/// c = 1, or c = |θ| elementwise where the measure is adaptive:
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Measure {
    /// max L(θ + δ) − L(θ) over ‖δ‖₂ ≤ ρ.
    WorstL2,
    /// max L(θ + δ) − L(θ) over ‖δ‖_∞ ≤ ρ.
    WorstLinf,
    /// max L(θ + δ) − L(θ) over ‖δ∘c⁻¹‖₂ ≤ ρ.
    AdaptiveWorstL2,
    /// max L(θ + δ) − L(θ) over ‖δ∘c⁻¹‖_∞ ≤ ρ.
    AdaptiveWorstLinf,
    /// E[L(θ + δ)] − L(θ), δ normal with standard deviation ρ.
    AverageL2,
    /// E[L(θ + δ)] − L(θ), δ uniform in ±ρ.
    AverageLinf,
    /// E[L(θ + δ)] − L(θ), δ normal with standard deviation ρ c.
    AdaptiveAverageL2,
    /// E[L(θ + δ)] − L(θ), δ uniform in ±ρ c.
    AdaptiveAverageLinf,
    /// L(θ + ρ g/‖g‖) − L(θ), the loss that sharpness-aware minimisation sees.
    Sam,
    /// L(θ + ρ c²∘g/‖c∘g‖) − L(θ), that of adaptive sharpness-aware minimisation.
    Asam,
    /// ‖g‖₂.
    GradientNorm,
    /// ⟨θ, F θ⟩ with the Fisher matrix of the model's own predictions.
    FisherRao,
    /// ⟨θ, F θ⟩ with the empirical Fisher matrix.
    EmpiricalFisherRao,
    /// Σ ⟨w_s, w_t⟩ tr H_{s,t} over the rows w_s of a layer's weights.
    RelativeFlatness,
    /// The noise scale σ at which the expected accuracy has dropped by a stated amount, δ normal with standard deviation σ.
    PacBayes,
    /// The same with standard deviations √(σ² θᵢ² + ε²).
    AdaptivePacBayes,
    /// 2/η with the smallest step η > 0 along −g at which the loss no longer decreases.
    Critical,
    /// 2/η with the smallest share η > 0 of the way to another checkpoint at which the loss no longer decreases.
    CriticalUpdate,
    /// The largest eigenvalue of H.
    #[serde(rename = "lambda_max")]
    LambdaMax,
    /// tr H.
    Trace,
    /// ‖H‖_F.
    Frobenius,
}

impl Measure {
    /// What a rescaling of layers that leaves the network's function as it is does to the measure.
    pub fn scale(self) -> Scale {
        match self {
            Self::AdaptiveWorstL2
            | Self::AdaptiveWorstLinf
            | Self::AdaptiveAverageL2
            | Self::AdaptiveAverageLinf
            | Self::Asam
            | Self::FisherRao
            | Self::EmpiricalFisherRao
            | Self::RelativeFlatness => Scale::ScaleInvariant,
            // The floor ε of the adaptive noise is a length, so that even it is not quite invariant.
            _ => Scale::ScaleDependent,
        }
    }

    /// The norm of the neighbourhood, where there is one.
    pub fn norm(self) -> Option<Norm> {
        match self {
            Self::WorstL2
            | Self::AdaptiveWorstL2
            | Self::AverageL2
            | Self::AdaptiveAverageL2
            | Self::Sam
            | Self::Asam => Some(Norm::L2),
            Self::WorstLinf | Self::AdaptiveWorstLinf | Self::AverageLinf | Self::AdaptiveAverageLinf => {
                Some(Norm::Linf)
            }
            _ => None,
        }
    }
}

/// The name in JSON.
impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}
