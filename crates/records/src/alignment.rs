//! How the hidden units of one network were put into the order of another's.

use serde::{Deserialize, Serialize};

use crate::float;

/// Weight matching of two networks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alignment {
    /// Times that every layer was gone through, the last one without gain.
    pub sweeps: u64,
    /// ‖θ_B − θ_A‖₂ with the hidden units of B as they are.
    #[serde(with = "float")]
    pub distance_before: f64,
    /// ‖π(θ_B) − θ_A‖₂ with the hidden units of B in the order π that was found.
    #[serde(with = "float")]
    pub distance_after: f64,
}
