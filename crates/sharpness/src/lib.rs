//! placeholder
pub mod lanczos;
mod operator;

pub use operator::{Curvature, CurvatureMatrix, SymmetricOperator};
