//! A matrix as a preconditioned descent sees it.

use basin_objective::Result;
use candle_core::{DType, Device, Tensor};

use super::SymmetricOperator;

/// D^{−1/2} A D^{−1/2} with a positive diagonal D: it has the eigenvalues of D⁻¹ A, which decide the stability of the descent
/// θ ← θ − η D⁻¹ ∇L, and is symmetric.
///
/// ```
/// use basin_sharpness::{Preconditioned, SymmetricOperator};
/// use candle_core::{Device, Tensor};
///
/// let matrix = Tensor::new(&[[4.0, 2.0], [2.0, 9.0]], &Device::Cpu)?;
/// let scale = Tensor::new(&[0.5, 1.0], &Device::Cpu)?;
/// let preconditioned = Preconditioned { operator: &matrix, scale: &scale };
/// assert_eq!(preconditioned.apply(&Tensor::new(&[1.0, 0.0], &Device::Cpu)?)?.to_vec1::<f64>()?, [1.0, 1.0]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Preconditioned<'a> {
    /// A.
    pub operator: &'a dyn SymmetricOperator,
    /// The diagonal of D^{−1/2}, in the operator's dtype on its device.
    pub scale: &'a Tensor,
}

impl SymmetricOperator for Preconditioned<'_> {
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
        Ok(self.operator.apply(&v.broadcast_mul(self.scale)?)?.broadcast_mul(self.scale)?)
    }
}
