//! The Fisher-Rao norm of the weights.

use basin_objective::{Linearized, Result};
use basin_records::sharpness::{Measure, Measurement};
use basin_records::spectrum::Matrix;
use basin_tape::vector;
use candle_core::{DType, Tensor};

/// Which Fisher matrix F.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fisher {
    /// That of targets drawn from the model's own predictions, in expectation over all draws: it equals the generalized
    /// Gauss-Newton matrix for every loss that is a negative log-likelihood of the model's outputs, up to its constant
    /// (Martens, "New insights and perspectives on the natural gradient method", JMLR 2020), so that nothing
    /// needs to be drawn.
    Predictions,
    /// (1/N) Σ gᵢ gᵢᵀ with the gradients gᵢ at the targets of the data.
    Empirical,
}

/// ‖θ‖²_fr = ⟨θ, F θ⟩, the squared Fisher-Rao norm, in units of the loss (Liang et al., "Fisher-Rao metric, geometry, and
/// complexity of neural networks", AISTATS 2019). One product, nothing drawn. It is the mean of (gᵢᵀθ)², and
/// gᵢᵀθ does not change when layers are rescaled. The paper's closed forms, such as (L + 1)² E[⟨∂ℓ/∂f, f⟩²] for a bias-free
/// network of ReLUs with L hidden layers, are of the empirical matrix.
///
/// ```
/// use basin_objective::{Objective, Quadratic};
/// use basin_sharpness::{Fisher, fisher_rao};
/// use candle_core::{Device, Tensor};
///
/// let hessian = Tensor::new(&[[3.0, 0.0], [0.0, 4.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let theta = Tensor::new(&[1.0, 1.0], &Device::Cpu)?;
/// let at = quadratic.linearize(&theta)?;
/// // The gradient is (3, 4), and that of the one sample.
/// assert_eq!(fisher_rao(at.as_ref(), &theta, Fisher::Empirical)?.value, 49.0);
/// assert_eq!(fisher_rao(at.as_ref(), &theta, Fisher::Predictions)?.value, 7.0);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When θ does not have the objective's length, or the device fails.
pub fn fisher_rao(at: &dyn Linearized, theta: &Tensor, fisher: Fisher) -> Result<Measurement> {
    let (measure, matrix, product) = match fisher {
        Fisher::Predictions => (Measure::FisherRao, Matrix::Ggn, at.gauss_newton(theta)?),
        Fisher::Empirical => (Measure::EmpiricalFisherRao, Matrix::EmpiricalFisher, at.empirical_fisher(theta)?),
    };
    let value = vector::dot(&theta.to_dtype(DType::F64)?, &product)?;
    Ok(Measurement { matrix: Some(matrix), ..Measurement::new(measure, value) })
}
