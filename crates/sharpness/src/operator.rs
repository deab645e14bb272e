//! The seam between a curvature matrix and what is computed from it.

mod block;
mod curvature;
mod preconditioned;
mod shifted;

use basin_objective::Result;
use candle_core::{DType, Device, Tensor};

pub use block::{Block, ParameterGroup};
pub use curvature::{Curvature, CurvatureMatrix};
pub use preconditioned::Preconditioned;
pub use shifted::Shifted;

/// A symmetric matrix of which only products with vectors are known.
///
/// Eigenvalues, densities and traces see only this. Vectors are one-dimensional tensors of the operator's length and
/// dtype, on its device; several at once are the rows of a matrix.
pub trait SymmetricOperator: Sync {
    /// The number of rows.
    fn dimension(&self) -> usize;

    /// Where the vectors live.
    fn device(&self) -> &Device;

    /// The numbers in which a product is computed, which set its rounding error.
    fn dtype(&self) -> DType;

    /// The product with a vector (P), or with each row of (K, P), which is faster than one after the other where sweeps can
    /// be shared.
    ///
    /// # Errors
    /// When the vector does not have the operator's length, or the device fails.
    fn apply(&self, v: &Tensor) -> Result<Tensor>;
}

/// A symmetric matrix that is known whole: the test of every solver.
impl SymmetricOperator for Tensor {
    fn dimension(&self) -> usize {
        self.dims()[0]
    }

    fn device(&self) -> &Device {
        Tensor::device(self)
    }

    fn dtype(&self) -> DType {
        Tensor::dtype(self)
    }

    fn apply(&self, v: &Tensor) -> Result<Tensor> {
        match v.rank() {
            1 => Ok(self.matmul(&v.unsqueeze(1)?)?.squeeze(1)?),
            _ => Ok(v.matmul(self)?),
        }
    }
}
