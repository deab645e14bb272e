//! Loss and accuracy on a path between two minima.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Alignment, Checkpoint, float};

/// Positions nearer than this are one.
const SAME: f64 = 1e-9;

/// A line and what was found on it, one element per α in every list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Where α = 0: θ_A.
    pub from: Endpoint,
    /// Where α = 1: θ_B.
    pub to: Endpoint,
    /// True displacement ‖θ_B − θ_A‖₂ between α = 0 and α = 1; α · distance is the axis in parameter space.
    #[serde(with = "float")]
    pub distance: f64,
    /// The path from one end to the other.
    #[serde(default, skip_serializing_if = "Path::is_linear")]
    pub path: Path,
    /// Where the hidden units of B were put into the order of A's before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment: Option<Alignment>,
    /// Where the model has batch norm: how its statistics were had at each point, for those of the ends do not belong to
    /// the points between and beyond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_norm: Option<String>,
    /// Positions α, ascending.
    #[serde(with = "float::list")]
    pub alpha: Vec<f64>,
    /// Mean loss on the training split.
    #[serde(with = "float::list")]
    pub train_loss: Vec<f64>,
    /// Fraction of the training split classified rightly, in [0, 1]; empty if the targets are no classes.
    #[serde(default, with = "float::list", skip_serializing_if = "Vec::is_empty")]
    pub train_accuracy: Vec<f64>,
    /// Mean loss on the test split; empty if there is none.
    #[serde(default, with = "float::list", skip_serializing_if = "Vec::is_empty")]
    pub test_loss: Vec<f64>,
    /// As `train_accuracy`, on the test split.
    #[serde(default, with = "float::list", skip_serializing_if = "Vec::is_empty")]
    pub test_accuracy: Vec<f64>,
    /// What stands between the ends, of the training split and of the test split; none where α = 0 or α = 1 was left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub barriers: Vec<Barrier>,
}

/// A path θ(α) with θ(0) = θ_A and θ(1) = θ_B.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// (1 − α) θ_A + α θ_B.
    #[default]
    Linear,
    /// cos(απ/2) θ_A + sin(απ/2) θ_B (Keskar et al. 2017, appendix D).
    Curved,
}

impl Path {
    fn is_linear(&self) -> bool {
        *self == Self::Linear
    }

    /// The weights of θ_A and θ_B at α.
    pub fn weights(self, alpha: f64) -> [f64; 2] {
        match self {
            Self::Linear => [1.0 - alpha, alpha],
            // At the ends exactly the ends: the cosine of π/2 is not 0 in floating point.
            Self::Curved if alpha == 0.0 || alpha == 1.0 => [1.0 - alpha, alpha],
            Self::Curved => {
                let angle = alpha * std::f64::consts::FRAC_PI_2;
                [angle.cos(), angle.sin()]
            }
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linear => "linear",
            Self::Curved => "curved",
        })
    }
}

/// What stands between the ends of a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Barrier {
    /// `train` or `test`.
    pub split: String,
    /// max over 0 ≤ α ≤ 1 of L(α) − ((1 − α) L(0) + α L(1)): how far the loss rises above the straight line between the losses
    /// of the ends; 0 where it does not.
    #[serde(with = "float")]
    pub height: f64,
    /// Where that is.
    #[serde(with = "float")]
    pub alpha: f64,
    /// max over 0 ≤ α ≤ 1 of E(α) − (E(0) + E(1))/2 with the error E, 1 − accuracy: the instability of Frankle et al. ("Linear mode
    /// connectivity and the lottery ticket hypothesis", 2020), who call a pair below 0.02 stable.
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub instability: Option<f64>,
}

impl Barrier {
    /// The barrier of a split, none where an end is missing or a value between them is no number.
    ///
    /// ```
    /// use basin_records::line::Barrier;
    ///
    /// let barrier = Barrier::of("train", &[0.0, 0.5, 1.0], &[1.0, 4.0, 2.0], &[0.9, 0.5, 0.8]);
    /// let barrier = barrier.expect("both ends are there");
    /// assert_eq!((barrier.height, barrier.alpha), (2.5, 0.5));
    /// assert!((barrier.instability.expect("accuracies") - 0.35).abs() < 1e-12);
    /// ```
    pub fn of(split: &str, alpha: &[f64], loss: &[f64], accuracy: &[f64]) -> Option<Self> {
        let at = |end: f64| alpha.iter().position(|alpha| (alpha - end).abs() < SAME);
        let (first, last) = (at(0.0)?, at(1.0)?);
        let between = first..=last;
        let (from, to) = (*loss.get(first)?, *loss.get(last)?);
        let rises = between.clone().map(|i| (loss[i] - ((1.0 - alpha[i]) * from + alpha[i] * to), alpha[i]));
        let (mut height, mut place) = (0.0, alpha[first]);
        for (rise, alpha) in rises {
            if !rise.is_finite() {
                return None;
            }
            if rise > height {
                (height, place) = (rise, alpha);
            }
        }
        let instability = (accuracy.len() == alpha.len()).then(|| {
            let ends = (accuracy[first] + accuracy[last]) / 2.0;
            between.map(|i| ends - accuracy[i]).fold(f64::NEG_INFINITY, f64::max)
        });
        Some(Self { split: split.into(), height, alpha: place, instability })
    }
}

/// An end of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The parameters.
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    /// Batch size that they were trained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// Seed that they were trained with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_seed: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::{Barrier, Path};

    #[test]
    fn paths_begin_and_end_at_the_ends() {
        for path in [Path::Linear, Path::Curved] {
            assert_eq!([path.weights(0.0), path.weights(1.0)], [[1.0, 0.0], [0.0, 1.0]]);
        }
        let [a, b] = Path::Curved.weights(1.0 / 3.0);
        assert!((a - 0.75_f64.sqrt()).abs() < 1e-12 && (b - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_barrier_is_sought_between_the_ends_alone() {
        let alpha = [-1.0, 0.0, 0.25, 0.5, 1.0, 2.0];
        let height =
            |loss: &[f64]| Barrier::of("test", &alpha, loss, &[]).map(|barrier| (barrier.height, barrier.alpha));
        assert_eq!(height(&[99.0, 1.0, 3.0, 2.0, 1.0, 99.0]), Some((2.0, 0.25)));
        assert_eq!(height(&[99.0, 4.0, 3.0, 2.0, 0.0, 99.0]), Some((0.0, 0.0)), "a straight descent");
        assert_eq!(height(&[99.0, 1.0, f64::NAN, 2.0, 1.0, 99.0]), None);
        assert_eq!(Barrier::of("test", &alpha[1..4], &[1.0, 3.0, 2.0], &[]), None, "an end is missing");
    }
}
