//! A matrix with a multiple of the identity added.

use basin_objective::Result;
use candle_core::{DType, Device, Tensor};

use super::SymmetricOperator;

/// A + c I: the curvature of L(θ) + (c/2) ‖θ‖², which is what PyTorch's optimizers call weight decay c.
///
/// Every eigenvalue rises by c, so that a trace rises by c P.
///
/// ```
/// use basin_sharpness::{Shifted, SymmetricOperator};
/// use candle_core::{Device, Tensor};
///
/// let matrix = Tensor::new(&[[2.0, 1.0], [1.0, 0.0]], &Device::Cpu)?;
/// let decayed = Shifted { operator: &matrix, shift: 0.5 };
/// assert_eq!(decayed.apply(&Tensor::new(&[1.0, 0.0], &Device::Cpu)?)?.to_vec1::<f64>()?, [2.5, 1.0]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Shifted<'a> {
    /// A.
    pub operator: &'a dyn SymmetricOperator,
    /// c.
    pub shift: f64,
}

impl SymmetricOperator for Shifted<'_> {
    fn dimension(&self) -> usize {
        self.operator.dimension()
    }

    fn device(&self) -> &Device {
        self.operator.device()
    }

    fn dtype(&self) -> DType {
        self.operator.dtype()
    }

    fn apply(&self, v: &Tensor) -> Result<Tensor> {
        Ok((self.operator.apply(v)? + (v * self.shift)?)?)
    }
}
