//! placeholder
pub mod lanczos;
mod keskar;
pub mod lbfgsb;
mod manifold;
mod operator;

pub use operator::{Curvature, CurvatureMatrix, SymmetricOperator};
pub use keskar::{KeskarOptions, Maximum, Neighbourhood, Progress, Search, keskar};
pub use lbfgsb::{Bounds, Lbfgsb};
pub use manifold::Manifold;
