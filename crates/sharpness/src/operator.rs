//! The seam between a curvature matrix and what is computed from it.

use basin_objective::{Linearized, Objective, Result};
use basin_records::spectrum::Matrix;
use candle_core::{DType, Device, Tensor};

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

/// A curvature matrix of an objective at a point.
pub struct Curvature<'a> {
    at: Box<dyn Linearized + 'a>,
    matrix: CurvatureMatrix,
    dimension: usize,
    device: Device,
    dtype: DType,
}

/// The curvature matrices an objective gives products of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurvatureMatrix {
    /// ∇²L.
    Hessian,
    /// The generalized Gauss-Newton matrix.
    GaussNewton,
    /// The uncentred second moment of per-sample gradients.
    EmpiricalFisher,
}

impl From<CurvatureMatrix> for Matrix {
    fn from(matrix: CurvatureMatrix) -> Self {
        match matrix {
            CurvatureMatrix::Hessian => Self::Hessian,
            CurvatureMatrix::GaussNewton => Self::Ggn,
            CurvatureMatrix::EmpiricalFisher => Self::EmpiricalFisher,
        }
    }
}

impl CurvatureMatrix {
    /// What one product costs in gradients on the same samples, by the matrix products of a linear layer (gradient = 3):
    /// on a kept linearization 6 for the Hessian and 4 for the others; elsewhere forward sweep (1) and, for the Hessian,
    /// first adjoints (2) come on top.
    fn gradient_equivalents(self, kept_share: f64) -> f64 {
        let (kept, anew) = match self {
            Self::Hessian => (6.0, 3.0),
            Self::GaussNewton | Self::EmpiricalFisher => (4.0, 1.0),
        };
        (kept + (1.0 - kept_share) * anew) / 3.0
    }
}

impl<'a> Curvature<'a> {
    /// The matrix of `objective` at `theta`.
    ///
    /// ```
    /// use basin_objective::Quadratic;
    /// use basin_sharpness::{Curvature, CurvatureMatrix, SymmetricOperator};
    /// use candle_core::{Device, Tensor};
    ///
    /// let hessian = Tensor::new(&[[2.0, 1.0], [1.0, 0.0]], &Device::Cpu)?;
    /// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
    /// let theta = Tensor::new(&[5.0, 7.0], &Device::Cpu)?;
    /// let matrix = Curvature::new(&quadratic, &theta, CurvatureMatrix::Hessian)?;
    /// assert_eq!(matrix.apply(&Tensor::new(&[1.0, 0.0], &Device::Cpu)?)?.to_vec1::<f64>()?, [2.0, 1.0]);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When θ does not have the objective's length, or the device fails.
    pub fn new(objective: &'a dyn Objective, theta: &Tensor, matrix: CurvatureMatrix) -> Result<Self> {
        Ok(Self {
            at: objective.linearize(theta)?,
            matrix,
            dimension: objective.dimension(),
            device: objective.device().clone(),
            dtype: objective.dtype(),
        })
    }
}

impl Curvature<'_> {
    /// What one product costs, in gradients on the same samples.
    pub fn gradient_equivalents(&self) -> f64 {
        self.matrix.gradient_equivalents(self.at.kept_share())
    }
}

impl SymmetricOperator for Curvature<'_> {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn apply(&self, v: &Tensor) -> Result<Tensor> {
        match self.matrix {
            CurvatureMatrix::Hessian => self.at.hessian(v),
            CurvatureMatrix::GaussNewton => self.at.gauss_newton(v),
            CurvatureMatrix::EmpiricalFisher => self.at.empirical_fisher(v),
        }
    }
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
