//! How sharp a minimum is: Keskar's measure, and the extremal eigenvalues of its curvature.
//!
//! Measures see an [`Objective`](basin_objective::Objective) and nothing of networks; eigenvalues see a
//! [`SymmetricOperator`] and nothing of objectives.
mod keskar;
pub mod lanczos;
pub mod lbfgsb;
mod manifold;
mod operator;

pub use keskar::{KeskarOptions, Maximum, Neighbourhood, Progress, Search, keskar};
pub use lbfgsb::{Bounds, Lbfgsb};
pub use manifold::Manifold;
pub use operator::{Block, Curvature, CurvatureMatrix, ParameterGroup, Shifted, SymmetricOperator};
