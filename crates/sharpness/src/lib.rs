//! How sharp a minimum is: Keskar's measure, and the eigenvalues, density, trace and diagonal of its curvature.
//!
//! Measures see an [`Objective`](basin_objective::Objective) and nothing of networks; what concerns a spectrum sees a
//! [`SymmetricOperator`] and nothing of objectives.
mod basis;
mod density;
mod determinism;
mod diagonal;
mod keskar;
pub mod lanczos;
pub mod lbfgsb;
mod manifold;
mod operator;
mod precision;
mod probes;
mod sketch;
mod statistics;
mod subsets;
mod trace;
mod xtrace;

use candle_core::DType;

pub use density::{Deflated, Density, DensityOptions};
pub use determinism::deterministic_gradient;
pub use diagonal::{Diagonal, diagonal};
pub use keskar::{KeskarOptions, Maximum, Neighbourhood, Progress, Search, keskar};
pub use lbfgsb::{Bounds, Lbfgsb};
pub use manifold::Manifold;
pub use operator::{Block, Curvature, CurvatureMatrix, ParameterGroup, Shifted, SymmetricOperator};
pub use precision::{EstimateProgress, Precision, Stop};
pub use subsets::disjoint_subsets;
pub use trace::{Estimated, TraceMethod, effective_rank, first_product, frobenius_norm, intrinsic_dimension, trace};

/// Rounding error of a product relative to the largest eigenvalue: what residuals cannot fall below, and what a vector is
/// when nothing is left of it. Sums of thousands of terms round to a few ε.
fn rounding(dtype: DType) -> f64 {
    const UNITS: f64 = 4.0;
    UNITS
        * match dtype {
            DType::F64 => f64::EPSILON,
            _ => f64::from(f32::EPSILON),
        }
}
