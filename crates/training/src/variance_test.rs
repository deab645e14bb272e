//! How large a batch should be for its gradient to be trusted, from the gradients gᵢ of its samples.
//!
//! With ḡ the mean and Var the variance of the b samples of the batch (with b − 1), all over the whole parameter vector:
//!
//! - norm test (Byrd, Chin, Nocedal and Wu, 2012): b' = tr Var(gᵢ) / (η² ‖ḡ‖²);
//! - inner-product test (Bollapragada, Byrd and Nocedal, 2018): b' = Var(⟨gᵢ, ḡ⟩) / (θ² ‖ḡ‖⁴);
//! - augmented inner-product test: the larger of that and of the orthogonality test,
//!   b' = tr Var(gᵢ − ⟨gᵢ, ḡ⟩ ḡ/‖ḡ‖²) / (ν² ‖ḡ‖²).
//!
//! AdAdaGrad (Lau, Liu and Kolar, "AdAdaGrad: adaptive batch size schemes for adaptive gradient methods", 2024) makes the next
//! batch of size ⌈max(b, b')⌉. The published program applies the last two tests tensor by tensor and adds the variances, which
//! leaves out the covariance between tensors; here they are those of the paper. ‖ḡ‖² is on average larger than the squared norm
//! of the true gradient by tr Var/b, so that b' is too small rather than too large.

/// Which test, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum VarianceTest {
    /// The norm test.
    Norm {
        /// η.
        eta: f64,
    },
    /// The inner-product test.
    InnerProduct {
        /// θ.
        theta: f64,
    },
    /// The augmented inner-product test.
    Augmented {
        /// θ.
        theta: f64,
        /// ν.
        nu: f64,
    },
}

/// What the tests ask of the gradients gᵢ of a batch's samples.
///
/// ```
/// use basin_training::{GradientMoments, VarianceTest};
///
/// // g₁ = (3, 1), g₂ = (1, −1): ḡ = (2, 0).
/// let moments = GradientMoments::new(4.0, &[(2.0, 6.0), (2.0, 2.0)]);
/// assert_eq!((moments.variance, moments.along_mean), (4.0, 8.0));
/// assert_eq!(VarianceTest::Norm { eta: 0.5 }.batch_size(&moments), 4.0);
/// assert_eq!(VarianceTest::InnerProduct { theta: 0.5 }.batch_size(&moments), 2.0);
/// assert_eq!(VarianceTest::Augmented { theta: 0.5, nu: 0.25 }.batch_size(&moments), 8.0);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientMoments {
    /// ‖ḡ‖².
    pub squared_norm: f64,
    /// tr Var(gᵢ).
    pub variance: f64,
    /// Var(⟨gᵢ, ḡ⟩).
    pub along_mean: f64,
}

impl GradientMoments {
    /// From ‖ḡ‖² and, for each sample, ‖gᵢ − ḡ‖² and ⟨gᵢ, ḡ⟩; NaN for fewer than two samples, which have no variance.
    pub fn new(squared_norm: f64, samples: &[(f64, f64)]) -> Self {
        let degrees = samples.len() as f64 - 1.0;
        if degrees < 1.0 {
            return Self { squared_norm, variance: f64::NAN, along_mean: f64::NAN };
        }
        let variance = samples.iter().map(|(deviation, _)| deviation).sum::<f64>() / degrees;
        // The mean of ⟨gᵢ, ḡ⟩ is ‖ḡ‖².
        let along_mean = samples.iter().map(|(_, inner)| (inner - squared_norm).powi(2)).sum::<f64>() / degrees;
        Self { squared_norm, variance, along_mean }
    }
}

impl VarianceTest {
    /// b', NaN where there is no gradient or no variance.
    pub fn batch_size(&self, moments: &GradientMoments) -> f64 {
        let GradientMoments { squared_norm, variance, along_mean } = *moments;
        let inner_product = |theta: f64| along_mean / (theta * squared_norm).powi(2);
        match *self {
            Self::Norm { eta } => variance / (eta.powi(2) * squared_norm),
            Self::InnerProduct { theta } => inner_product(theta),
            Self::Augmented { theta, nu } => {
                // gᵢ − ⟨gᵢ, ḡ⟩ ḡ/‖ḡ‖² has lost the variance along ḡ. Rounding may leave less than none.
                let orthogonal = (variance - along_mean / squared_norm).max(0.0);
                inner_product(theta).max(orthogonal / (nu.powi(2) * squared_norm))
            }
        }
    }

    /// The size ⌈max(b, b')⌉ of the next batch, at most `largest`.
    pub fn next_batch_size(&self, moments: &GradientMoments, batch_size: usize, largest: usize) -> usize {
        // A number beyond all sizes becomes the largest one, NaN becomes 0.
        batch_size.max(self.batch_size(moments).ceil() as usize).min(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORM: VarianceTest = VarianceTest::Norm { eta: 0.5 };

    fn moments(squared_norm: f64, variance: f64) -> GradientMoments {
        GradientMoments { squared_norm, variance, along_mean: 0.0 }
    }

    #[test]
    fn a_batch_grows_to_the_whole_number_above_up_to_the_largest() {
        assert_eq!(NORM.next_batch_size(&moments(4.0, 10.5), 8, 100), 11);
        assert_eq!(NORM.next_batch_size(&moments(4.0, 4.0), 8, 100), 8);
        assert_eq!(NORM.next_batch_size(&moments(4.0, 1e9), 8, 100), 100);
    }

    #[test]
    fn a_vanished_gradient_asks_for_the_largest_batch_and_a_sample_alone_for_none() {
        assert_eq!(NORM.next_batch_size(&moments(0.0, 1.0), 8, 100), 100);
        assert_eq!(NORM.next_batch_size(&moments(0.0, 0.0), 8, 100), 8);
        assert_eq!(NORM.next_batch_size(&GradientMoments::new(1.0, &[(0.0, 1.0)]), 8, 100), 8);
    }
}
