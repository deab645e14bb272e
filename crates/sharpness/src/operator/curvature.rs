//! The curvature matrices of an objective.

use basin_objective::{DrawnLabels, Linearized, Objective, Result};
use basin_records::spectrum::Matrix;
use candle_core::{DType, Device, Tensor};

use super::SymmetricOperator;

/// The curvature matrices an objective gives products of, each the mean over all N samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CurvatureMatrix {
    /// H = ∇²L.
    Hessian,
    /// The generalized Gauss-Newton matrix G = (1/N) Σ Jᵢᵀ (∇²_z ℓᵢ) Jᵢ (Schraudolph, "Fast curvature matrix-vector
    /// products", 2002).
    GaussNewton,
    /// The Fisher matrix of labels drawn from the model's predictions, an unbiased estimate of G where the loss is the
    /// negative log-likelihood of an exponential family (Martens, "New insights and perspectives on the natural gradient
    /// method", 2020, section 5).
    Fisher(DrawnLabels),
    /// The uncentred second moment F = (1/N) Σ gᵢ gᵢᵀ of per-sample gradients.
    EmpiricalFisher,
    /// The covariance F − g gᵀ of per-sample gradients about their mean g = ∇L: the noise of one sample's gradient.
    GradientCovariance,
    /// The residual H − G of the Gauss-Newton approximation, which is what the curvature of the model itself contributes:
    /// (1/N) Σᵢ Σ_c (∂ℓᵢ/∂z_c) ∇²z_c.
    Residual,
}

impl From<CurvatureMatrix> for Matrix {
    fn from(matrix: CurvatureMatrix) -> Self {
        match matrix {
            CurvatureMatrix::Hessian => Self::Hessian,
            CurvatureMatrix::GaussNewton => Self::Ggn,
            CurvatureMatrix::Fisher(_) => Self::Fisher,
            CurvatureMatrix::EmpiricalFisher => Self::EmpiricalFisher,
            CurvatureMatrix::GradientCovariance => Self::GradientCovariance,
            CurvatureMatrix::Residual => Self::Residual,
        }
    }
}

impl CurvatureMatrix {
    /// What one product costs in gradients on the same samples, by the matrix products of a linear layer (gradient = 3):
    /// on a kept linearization 6 for the Hessian, 4 for the Gauss-Newton and Fisher matrices, however many labels are
    /// drawn, and 10 for the difference of the first two; elsewhere each forward sweep (1) and, for the Hessian, first
    /// adjoints (2) come on top.
    ///
    /// ```
    /// use basin_sharpness::CurvatureMatrix;
    ///
    /// assert_eq!(CurvatureMatrix::Hessian.gradient_equivalents(1.0), 2.0);
    /// assert_eq!(CurvatureMatrix::Hessian.gradient_equivalents(0.0), 3.0);
    /// ```
    pub fn gradient_equivalents(self, kept_share: f64) -> f64 {
        let (kept, anew) = match self {
            Self::Hessian => (6.0, 3.0),
            Self::GaussNewton | Self::Fisher(_) | Self::EmpiricalFisher | Self::GradientCovariance => (4.0, 1.0),
            Self::Residual => (10.0, 4.0),
        };
        (kept + (1.0 - kept_share) * anew) / 3.0
    }
}

/// A curvature matrix of an objective at a point.
pub struct Curvature<'a> {
    at: Box<dyn Linearized + 'a>,
    matrix: CurvatureMatrix,
    /// ∇L in f64, where the matrix is centred.
    mean_gradient: Option<Tensor>,
    dimension: usize,
    device: Device,
    dtype: DType,
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
        let at = objective.linearize(theta)?;
        let mean_gradient = match matrix {
            CurvatureMatrix::GradientCovariance => Some(at.gradient()?.to_dtype(DType::F64)?),
            _ => None,
        };
        Ok(Self {
            at,
            matrix,
            mean_gradient,
            dimension: objective.dimension(),
            device: objective.device().clone(),
            dtype: objective.dtype(),
        })
    }

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
            CurvatureMatrix::Fisher(labels) => self.at.fisher(v, labels),
            CurvatureMatrix::EmpiricalFisher => self.at.empirical_fisher(v),
            CurvatureMatrix::GradientCovariance => {
                let second_moment = self.at.empirical_fisher(v)?;
                match &self.mean_gradient {
                    Some(gradient) => Ok((second_moment - along(gradient, v)?)?),
                    None => Ok(second_moment),
                }
            }
            CurvatureMatrix::Residual => Ok((self.at.hessian(v)? - self.at.gauss_newton(v)?)?),
        }
    }
}

/// (gᵀv) g for a vector or each row of a matrix, in the dtype of v.
fn along(gradient: &Tensor, v: &Tensor) -> Result<Tensor> {
    let slopes = v.to_dtype(DType::F64)?.broadcast_mul(gradient)?.sum_keepdim(candle_core::D::Minus1)?;
    Ok(slopes.broadcast_mul(gradient)?.to_dtype(v.dtype())?)
}
