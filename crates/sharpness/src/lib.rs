//! How sharp a minimum is: Keskar's measure, worst and average cases in balls around it and what else the field measures,
//! and the extremal eigenvalues of its curvature.
//!
//! Measures see an [`Objective`](basin_objective::Objective) and nothing of networks; eigenvalues see a
//! [`SymmetricOperator`] and nothing of objectives.
mod critical_sharpness;
mod fisher_rao;
mod gradient_norm;
mod keskar;
pub mod lanczos;
pub mod lbfgsb;
mod manifold;
mod moments;
pub mod neighbourhood;
mod operator;
mod pac_bayes;
mod rank_correlation;
mod relative_flatness;

pub use critical_sharpness::{Direction, critical_sharpness};
pub use fisher_rao::{Fisher, fisher_rao};
pub use gradient_norm::gradient_norm;
pub use keskar::{KeskarOptions, Maximum, Neighbourhood, Progress, Search, keskar};
pub use lbfgsb::{Bounds, Lbfgsb};
pub use manifold::Manifold;
pub use operator::{Curvature, CurvatureMatrix, SymmetricOperator};
pub use pac_bayes::{ACCURACY_DROP, MAGNITUDE_FLOOR, Noise, pac_bayes};
pub use rank_correlation::{EXACT_UP_TO, RankCorrelation, kendall};
pub use relative_flatness::{relative_flatness, softmax_relative_flatness};
