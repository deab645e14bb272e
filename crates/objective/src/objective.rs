//! The seam between what is measured and what it is measured on.

use candle_core::{DType, Device, Tensor};

use crate::Result;

/// Loss and accuracy at one point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// L(θ): the mean loss over the analysed samples.
    pub loss: f64,
    /// The share of samples classified right, where the targets are classes.
    pub accuracy: Option<f64>,
}

/// A function L of a parameter vector θ ∈ R^P: the mean of per-sample losses over N samples.
///
/// Measures see only this, so a quadratic with a known Hessian, a user's own function and a network are the same to
/// them. Vectors are one-dimensional tensors of length P, of the objective's dtype, on its device.
pub trait Objective: Sync {
    /// P, the number of parameters.
    fn dimension(&self) -> usize;

    /// N, the number of analysed samples.
    fn samples(&self) -> usize;

    /// Where the vectors live.
    fn device(&self) -> &Device;

    /// In which numbers is computed.
    fn dtype(&self) -> DType;

    /// L(θ) and, for classes, the accuracy.
    ///
    /// # Errors
    /// When θ does not have length P, or the device fails.
    fn evaluate(&self, theta: &Tensor) -> Result<Evaluation>;

    /// L(θ) and ∇L(θ).
    ///
    /// # Errors
    /// When θ does not have length P, or the device fails.
    fn gradient(&self, theta: &Tensor) -> Result<(f64, Tensor)>;

    /// ℓᵢ(θ) for each of the N samples, whose mean is L(θ); samples that a loss leaves out have 0 and do not count.
    ///
    /// # Errors
    /// When θ does not have length P, or the device fails.
    fn sample_losses(&self, theta: &Tensor) -> Result<Vec<f64>>;

    /// Fixes θ for many products.
    ///
    /// # Errors
    /// When θ does not have length P, or the device fails.
    fn linearize<'a>(&'a self, theta: &Tensor) -> Result<Box<dyn Linearized + 'a>>;
}

/// Targets drawn from the model's own predictions: the same for every product, whatever the micro-batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawnLabels {
    /// Which targets are drawn.
    pub seed: u64,
    /// How many for each sample.
    pub draws: usize,
}

/// The derivatives of an objective at a fixed θ. Products are those of the mean over all samples.
///
/// A vector v has the shape (P), or (K, P) for K of them at once, and so has its product. Several at once cost no more than
/// one after the other, and less where sweeps can be shared.
pub trait Linearized: Send + Sync {
    /// The share of samples whose linearization is kept, from 0 to 1: the forward sweep and the first adjoints of the
    /// others are computed anew for each product. It says what a product costs.
    fn kept_share(&self) -> f64;

    /// ∇L.
    ///
    /// # Errors
    /// When the device fails.
    fn gradient(&self) -> Result<Tensor>;

    /// ∇²L v.
    ///
    /// # Errors
    /// When v does not have length P, or the device fails.
    fn hessian(&self, v: &Tensor) -> Result<Tensor>;

    /// G v with the generalized Gauss-Newton matrix G = (1/N) Σ Jᵢᵀ (∇²_z ℓᵢ) Jᵢ.
    ///
    /// # Errors
    /// When v does not have length P, or the device fails.
    fn gauss_newton(&self, v: &Tensor) -> Result<Tensor>;

    /// F v with the Fisher matrix of drawn labels, F = (1/ND) Σᵢ Σ_d gᵢ_d gᵢ_dᵀ with the gradients gᵢ_d of sample i's loss at
    /// its d-th drawn target; its expectation over the draws is G.
    ///
    /// # Errors
    /// When v does not have length P, there are no draws, the objective has no predictions to draw from, or the device
    /// fails.
    fn fisher(&self, v: &Tensor, labels: DrawnLabels) -> Result<Tensor>;

    /// F v with the empirical Fisher matrix, the uncentred second moment F = (1/N) Σ gᵢ gᵢᵀ of per-sample gradients.
    ///
    /// # Errors
    /// When v does not have length P, or the device fails.
    fn empirical_fisher(&self, v: &Tensor) -> Result<Tensor>;
}
