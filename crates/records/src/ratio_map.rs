//! The extremal eigenvalues of the Hessian over a plane of parameters.

use serde::{Deserialize, Serialize};

use crate::{Surface, float};

/// λ_max and λ_min of the Hessian at the points of a plane: where λ_min/λ_max is near 0 the loss is convex as far as its
/// curvature shows (Li et al. 2018, section 6). The lists have one row per y, ascending, with one element per x, as those of
/// the surface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatioMap {
    /// The largest eigenvalues.
    #[serde(with = "float::rows")]
    pub lambda_max: Vec<Vec<f64>>,
    /// ‖Hv − λv‖ for each of them, which bounds the distance to an eigenvalue.
    #[serde(with = "float::rows")]
    pub lambda_max_residual: Vec<Vec<f64>>,
    /// The smallest eigenvalues.
    #[serde(with = "float::rows")]
    pub lambda_min: Vec<Vec<f64>>,
    /// As `lambda_max_residual`.
    #[serde(with = "float::rows")]
    pub lambda_min_residual: Vec<Vec<f64>>,
    /// λ_min/λ_max.
    #[serde(with = "float::rows")]
    pub ratio: Vec<Vec<f64>>,
    /// An eigenvalue has converged when its residual is at most tolerance · |λ|, or at the rounding of a product.
    #[serde(with = "float")]
    pub tolerance: f64,
    /// Points with an eigenvalue that has not converged.
    pub not_converged: u64,
    /// The loss at the same points.
    pub surface: Surface,
}
