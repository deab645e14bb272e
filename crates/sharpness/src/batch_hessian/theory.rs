//! What random matrix theory and linear stability say of a batch size.
//!
//! A batch of B of N samples, drawn without replacement, has the mean matrix H_B = H + ε with the variance of ε 1/𝔟 times that
//! of one sample (with N − 1), where exactly 1/𝔟 = 1/B − 1/N. If H has low rank and the elements of ε are independent of variance
//! σ²/𝔟, then for P → ∞ an eigenvalue λ of H that lies beyond √(P/𝔟) σ becomes λ + (P/𝔟) σ²/λ, and others drown in a bulk that
//! ends at ±2 √(P/𝔟) σ (Granziol, Zohren, Roberts, "Learning rates as a function of batch size", 2022). Noise in a network is
//! neither independent nor isotropic: this is a model to be compared with what is measured.

/// 1/𝔟 = 1/B − 1/N, the variance of the mean of B of N samples in units of that of one.
///
/// ```
/// use basin_sharpness::batch_hessian::inverse_effective_batch;
///
/// assert_eq!(inverse_effective_batch(20, 20), 0.0);
/// assert_eq!(inverse_effective_batch(2, 4), 0.25);
/// ```
pub fn inverse_effective_batch(batch_size: usize, samples: usize) -> f64 {
    if batch_size == samples { 0.0 } else { 1.0 / batch_size as f64 - 1.0 / samples as f64 }
}

/// λ' of an extremal eigenvalue λ under Wigner noise of which Pσ²/𝔟 is `noise`: λ + noise/λ where |λ| > √noise, else the end
/// ±2√noise of the bulk on the side of `upper`.
///
/// ```
/// use basin_sharpness::batch_hessian::spiked_wigner;
///
/// // P = 400, σ = 0.5, 𝔟 = 16.
/// let noise = 400.0 * 0.25 / 16.0;
/// assert!((spiked_wigner(6.0, noise, true) - 7.0417).abs() < 1e-4);
/// assert_eq!(spiked_wigner(2.0, noise, true), 5.0);
/// assert_eq!(spiked_wigner(2.0, noise, false), -5.0);
/// assert_eq!(spiked_wigner(2.0, 0.0, false), 2.0);
/// ```
pub fn spiked_wigner(lambda: f64, noise: f64, upper: bool) -> f64 {
    let outward = if upper { lambda } else { -lambda };
    let moved = if noise == 0.0 || outward > noise.sqrt() { outward + noise / outward } else { 2.0 * noise.sqrt() };
    match (noise == 0.0, upper) {
        (true, _) => lambda,
        (false, true) => moved,
        (false, false) => -moved,
    }
}

/// λ' of the largest eigenvalue ℓ of a positive semidefinite matrix under the noise of a sample covariance: with γ = P/𝔟 and the
/// level σ² of the bulk, ℓ (1 + γσ²/(ℓ − σ²)) where ℓ > σ² (1 + √γ), else σ² (1 + √γ)².
///
/// The spiked covariance model of Baik and Silverstein (2006), with σ² = √(Pσ²_el/P) so that the elements of the noise have the
/// variance measured. That Gauss-Newton matrices follow it is our assumption.
///
/// ```
/// use basin_sharpness::batch_hessian::spiked_marchenko_pastur;
///
/// // Level 1: elements of variance 1, and as many parameters as samples.
/// assert_eq!(spiked_marchenko_pastur(1.5, 100.0, 100, 0.01), 4.0);
/// assert_eq!(spiked_marchenko_pastur(3.0, 100.0, 100, 0.01), 4.5);
/// assert_eq!(spiked_marchenko_pastur(3.0, 100.0, 100, 0.0), 3.0);
/// ```
pub fn spiked_marchenko_pastur(lambda: f64, total: f64, dimension: usize, inverse_batch: f64) -> f64 {
    if inverse_batch == 0.0 {
        return lambda;
    }
    let level = (total.max(0.0) / dimension as f64).sqrt();
    let ratio = dimension as f64 * inverse_batch;
    if lambda > level * (1.0 + ratio.sqrt()) {
        lambda * (1.0 + ratio * level / (lambda - level))
    } else {
        level * (1.0 + ratio.sqrt()).powi(2)
    }
}

/// Squared cosine between the eigenvectors of λ before and after Wigner noise: 1 − noise/λ², and 0 below the threshold.
///
/// ```
/// assert_eq!(basin_sharpness::batch_hessian::overlap(2.0, 1.0), 0.75);
/// assert_eq!(basin_sharpness::batch_hessian::overlap(1.0, 2.0), 0.0);
/// ```
pub fn overlap(lambda: f64, noise: f64) -> f64 {
    if noise == 0.0 { 1.0 } else { (1.0 - noise / lambda.powi(2)).max(0.0) }
}

/// The batch size at which the noise doubles λ: 1/B* = λ²/(Pσ²) + 1/N. Above it 2/λ' saturates at 2/λ. Below it λ drowns in the
/// bulk and 2/λ' grows as √𝔟; the formula beyond the bulk, continued, grows as 𝔟, which is the linear regime of the paper. None
/// where λ is not positive.
///
/// ```
/// let crossover = basin_sharpness::batch_hessian::crossover(2.0, 400.0, 100);
/// assert_eq!(crossover, Some(50.0));
/// ```
pub fn crossover(lambda: f64, total: f64, samples: usize) -> Option<f64> {
    (lambda > 0.0).then(|| 1.0 / (lambda.powi(2) / total.max(0.0) + 1.0 / samples as f64))
}

/// 2 (1 + β)/λ, up to which heavy-ball descent with momentum β is stable on a quadratic of curvature λ (Polyak, 1964); none
/// where λ is not positive.
///
/// ```
/// assert_eq!(basin_sharpness::batch_hessian::max_learning_rate(4.0, 0.0), Some(0.5));
/// ```
pub fn max_learning_rate(lambda: f64, momentum: f64) -> Option<f64> {
    (lambda > 0.0).then(|| 2.0 * (1.0 + momentum) / lambda)
}

/// 2/√λ, the limit where the preconditioner of an adaptive method equals the root of the batch's curvature, so that √λ is left
/// of it; its dependence on the batch size is the point, its scale rests on that assumption. None where λ is not positive.
///
/// ```
/// assert_eq!(basin_sharpness::batch_hessian::max_learning_rate_adaptive(4.0), Some(1.0));
/// ```
pub fn max_learning_rate_adaptive(lambda: f64) -> Option<f64> {
    (lambda > 0.0).then(|| 2.0 / lambda.sqrt())
}

/// 2 c/(c² + s), above which SGD is unstable in the mean square at an interpolating minimum, where c = vᵀHv and s = Var(vᵀH_Bv)
/// for any unit vector v (Mulayoff and Michaeli, "Exact mean-square linear stability analysis for SGD", 2024, equation 24); with
/// the top eigenvector of H it is their equation 15. None where c is not positive.
///
/// ```
/// use basin_sharpness::batch_hessian::max_learning_rate_mean_square;
///
/// assert_eq!(max_learning_rate_mean_square(2.0, 0.0), Some(1.0));
/// assert_eq!(max_learning_rate_mean_square(2.0, 4.0), Some(0.5));
/// ```
pub fn max_learning_rate_mean_square(curvature: f64, batch_variance: f64) -> Option<f64> {
    (curvature > 0.0).then(|| 2.0 * curvature / (curvature.powi(2) + batch_variance.max(0.0)))
}

/// 2 tr H/(‖H‖_F² + P Pσ²/𝔟), with Pσ²/𝔟 as `noise`: necessary for mean-square stability as well (equation 16 there, with
/// ‖H‖_F² + p (mean ‖H_i‖_F² − ‖H‖_F²) in the denominator). None where the trace is not positive.
///
/// ```
/// // H = 2 I of three parameters, without noise: 2/λ.
/// let limit = basin_sharpness::batch_hessian::max_learning_rate_mean_square_trace(6.0, 12.0, 3, 0.0);
/// assert_eq!(limit, Some(1.0));
/// ```
pub fn max_learning_rate_mean_square_trace(
    trace: f64,
    squared_frobenius: f64,
    dimension: usize,
    noise: f64,
) -> Option<f64> {
    let squares = squared_frobenius + dimension as f64 * noise.max(0.0);
    (trace > 0.0 && squares > 0.0).then(|| 2.0 * trace / squares)
}

/// 2 (1 + β₁)/((1 − β₁) λ), up to which Adam with its preconditioner P held fixed is stable on a quadratic, where λ is the largest
/// eigenvalue of P⁻¹ H: heavy-ball descent in the metric P whose gradients are averaged with weight 1 − β₁ (Cohen and others,
/// "Adaptive gradient methods at the edge of stability", 2022). None where λ is not positive.
///
/// ```
/// let limit = basin_sharpness::batch_hessian::max_learning_rate_preconditioned(2.0, 0.9);
/// assert!((limit.unwrap_or_default() - 19.0).abs() < 1e-12);
/// ```
pub fn max_learning_rate_preconditioned(lambda: f64, beta1: f64) -> Option<f64> {
    max_learning_rate(lambda, beta1).map(|rate| rate / (1.0 - beta1))
}
