//! How sharp a minimum is: Keskar's measure, worst and average cases in balls around it and what else the field measures, and
//! the eigenvalues, density, trace and diagonal of its curvature.
//!
//! Measures see an [`Objective`](basin_objective::Objective) and nothing of networks; what concerns a spectrum sees a
//! [`SymmetricOperator`] and nothing of objectives.

mod basis;
pub mod batch_hessian;
mod critical_sharpness;
mod density;
mod determinism;
mod diagonal;
mod fisher_rao;
mod gradient_norm;
mod keskar;
pub mod lanczos;
pub mod lbfgsb;
mod manifold;
pub mod neighbourhood;
mod operator;
mod pac_bayes;
mod precision;
mod probes;
mod rank_correlation;
mod relative_flatness;
mod sketch;
mod statistics;
mod subsets;
mod trace;
mod xtrace;

use candle_core::DType;

pub use critical_sharpness::{Direction, critical_sharpness};
pub use density::{Deflated, Density, DensityOptions};
pub use determinism::deterministic_gradient;
pub use diagonal::{Diagonal, diagonal};
pub use fisher_rao::{Fisher, fisher_rao};
pub use gradient_norm::gradient_norm;
pub use keskar::{KeskarOptions, Maximum, Neighbourhood, Progress, Search, keskar};
pub use lbfgsb::{Bounds, Lbfgsb};
pub use manifold::Manifold;
pub use operator::{Block, Curvature, CurvatureMatrix, ParameterGroup, Preconditioned, Shifted, SymmetricOperator};
pub use pac_bayes::{ACCURACY_DROP, MAGNITUDE_FLOOR, Noise, pac_bayes};
pub use precision::{EstimateProgress, Precision, Stop};
pub use rank_correlation::{EXACT_UP_TO, RankCorrelation, kendall};
pub use relative_flatness::{relative_flatness, softmax_relative_flatness};
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
