//! Spectral densities of matrices that are known whole.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::random;
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{Deflated, Density, DensityOptions, SymmetricOperator};
use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use rand_distr::{Distribution, StandardNormal};

fn normal(rows: usize, columns: usize, name: &str) -> DMatrix<f64> {
    let mut rng = random::stream(0, "test", name);
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(&mut rng))
}

fn rotated(values: &[f64]) -> DMatrix<f64> {
    let q = normal(values.len(), values.len(), "rotation").qr().q();
    &q * DMatrix::from_diagonal(&DVector::from_row_slice(values)) * q.transpose()
}

fn tensor(matrix: &DMatrix<f64>) -> Tensor {
    Tensor::from_vec(matrix.as_slice().to_vec(), matrix.shape(), &Device::Cpu).unwrap()
}

fn density(matrix: &Tensor, options: &DensityOptions) -> Density {
    options.density(matrix, &Deflated::default(), |_, _| Ok(())).unwrap()
}

fn moment(density: &Density, power: i32) -> f64 {
    density.nodes.iter().zip(&density.weights).map(|(node, weight)| weight * node.powi(power)).sum()
}

/// (1/√P)(Z + Zᵀ)/√2, whose eigenvalues fill [−2, 2].
fn wigner(p: usize) -> DMatrix<f64> {
    let z = normal(p, p, "wigner");
    (&z + z.transpose()) / (2.0 * p as f64).sqrt()
}

/// The largest and smallest eigenvalues with their vectors, to be deflated.
fn extremes(matrix: &Tensor, top: usize, bottom: usize) -> Deflated {
    let found = Lanczos { top, bottom, tolerance: 1e-8, ..Lanczos::default() }.extremes(matrix, |_| Ok(())).unwrap();
    assert!(found.eigenvalues.iter().all(|eigenvalue| eigenvalue.converged));
    Deflated::new(found.eigenvalues.iter().map(|eigenvalue| eigenvalue.value).collect(), &found.eigenvectors).unwrap()
}

/// Over the seeds, the mean of Σ wᵢθᵢᵏ is tr(Aᵏ)/P within what its own spread allows, deflated or not.
#[test]
fn moments_are_those_of_the_matrix() {
    let mut values: Vec<f64> = (0..80).map(|i| 0.3 * (i as f64 * 0.9).sin()).collect();
    values.extend([3.0, 2.0, -1.5]);
    let matrix = tensor(&rotated(&values));
    for deflated in [Deflated::default(), extremes(&matrix, 2, 1)] {
        for power in 0..7 {
            let truth = values.iter().map(|value| value.powi(power)).sum::<f64>() / values.len() as f64;
            let drawn: Vec<f64> = (0..60)
                .map(|seed| {
                    let options = DensityOptions { probes: 2, steps: 8, seed, ..DensityOptions::default() };
                    moment(&options.density(&matrix, &deflated, |_, _| Ok(())).unwrap(), power)
                })
                .collect();
            let mean = drawn.iter().sum::<f64>() / 60.0;
            let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 59.0;
            let allowed = 5.0 * (variance / 60.0).sqrt() + 1e-12;
            assert!((mean - truth).abs() <= allowed, "power {power}: {mean} for {truth}");
        }
    }
}

/// The band holds the density that infinitely many probes would give.
#[test]
fn standard_errors_on_the_grid_are_right() {
    let matrix = wigner(100);
    let eigenvalues = matrix.clone().symmetric_eigenvalues();
    let matrix = tensor(&matrix);
    let (mut squares, mut count) = (0.0, 0.0);
    for seed in 0..60 {
        let options = DensityOptions { probes: 16, steps: 24, kernel_width: Some(0.3), memory: None, seed };
        let found = density(&matrix, &options);
        let stderr = found.stderr.as_ref().unwrap();
        let height = 1.0 / (100.0 * found.sigma * std::f64::consts::TAU.sqrt());
        for t in [-1.5, -0.5, 0.3, 1.2] {
            let nearest =
                (0..found.grid.len()).min_by(|&a, &b| (found.grid[a] - t).abs().total_cmp(&(found.grid[b] - t).abs()));
            let at = nearest.unwrap();
            let gaussian = |value: &f64| (-0.5 * ((found.grid[at] - value) / found.sigma).powi(2)).exp();
            let truth = height * eigenvalues.iter().map(gaussian).sum::<f64>();
            squares += ((found.values[at] - truth) / stderr[at]).powi(2);
            count += 1.0;
        }
    }
    let deviation = f64::sqrt(squares / count);
    eprintln!("density: scores ± {deviation:.3}");
    assert!((0.8..1.25).contains(&deviation), "{deviation}");
}

#[test]
fn the_density_of_a_wigner_matrix_is_a_semicircle() {
    let options = DensityOptions { probes: 4, steps: 60, kernel_width: Some(0.1), ..DensityOptions::default() };
    let found = density(&tensor(&wigner(500)), &options);
    assert!((found.integral() - 1.0).abs() < 1e-6, "{}", found.integral());
    for (&t, &value) in found.grid.iter().zip(&found.values) {
        let semicircle = (4.0 - t * t).max(0.0).sqrt() / std::f64::consts::TAU;
        if t.abs() < 1.7 {
            assert!((value - semicircle).abs() < 0.06, "{value} for {semicircle} at {t}");
        }
    }
}

/// A spike θ above 1 leaves a Wigner bulk on [−2, 2] with an outlier at θ + 1/θ (Péché, 2006), and a Wishart bulk of ratio
/// γ = P/n, whose edge is (1 + √γ)², at ℓ + γℓ/(ℓ − 1) for a population eigenvalue ℓ above 1 + √γ (Baik and Silverstein,
/// 2006), which with ℓ = 1 + θ and γ = 1 is θ + 2 + 1/θ.
#[test]
fn spiked_random_matrices_have_their_outliers() {
    const P: usize = 400;
    // Outliers fluctuate by 1/√P times a number of order 1.
    let close = 6.0 / (P as f64).sqrt();
    let u = normal(P, 1, "spike").normalize();

    let spike = 3.0;
    let matrix = tensor(&(wigner(P) + &u * u.transpose() * spike));
    assert_outlier(&matrix, spike + 1.0 / spike, 2.0, close);

    let samples = 800;
    let gamma: f64 = P as f64 / samples as f64;
    let z = normal(P, samples, "wishart");
    let spike = 6.0;
    let root = DMatrix::identity(P, P) + &u * u.transpose() * (f64::sqrt(spike) - 1.0);
    let x = root * z;
    let matrix = tensor(&(&x * x.transpose() / samples as f64));
    assert_outlier(&matrix, spike + gamma * spike / (spike - 1.0), (1.0 + gamma.sqrt()).powi(2), close * spike);
}

/// One eigenvalue at `outlier`, which enters the density as an atom of weight 1/P above the bulk's edge.
fn assert_outlier(matrix: &Tensor, outlier: f64, edge: f64, close: f64) {
    let deflated = extremes(matrix, 1, 0);
    assert!((deflated.values[0] - outlier).abs() < close, "{:?} for {outlier}", deflated.values);
    let options = DensityOptions { probes: 2, steps: 40, ..DensityOptions::default() };
    let found = options.density(matrix, &deflated, |_, _| Ok(())).unwrap();
    assert_eq!((found.atoms, found.nodes[0], found.weights[0]), (1, deflated.values[0], 1.0 / 400.0));
    let bulk = found.nodes[1..].iter().fold(f64::NEG_INFINITY, |largest, node| largest.max(*node));
    assert!((bulk - edge).abs() < 0.2 * edge, "bulk to {bulk}, edge {edge}");
    let peak = 1.0 / (400.0 * found.sigma * std::f64::consts::TAU.sqrt());
    let at = found.grid.iter().position(|&t| (t - outlier).abs() < close).unwrap();
    let highest = found.values[at..].iter().fold(0.0_f64, |highest, value| highest.max(*value));
    assert!((highest / peak - 1.0).abs() < 0.05, "{highest} for {peak}");
    assert!((found.integral() - 1.0).abs() < 1e-6, "{}", found.integral());
}

/// Regression: eigenvectors of an unsymmetric solver squared made complex or negative weights (PyHessian#17).
#[test]
fn pyhessian_complex_weights_of_an_unsymmetric_solver() {
    let mut values = vec![1.0; 30];
    values.extend([1e-9, 0.0, 0.0, -1e-9, 1e6]);
    let found = density(&tensor(&rotated(&values)), &DensityOptions::default());
    assert!(found.nodes.iter().chain(&found.weights).all(|x| x.is_finite()));
    assert!(found.weights.iter().all(|&weight| weight >= 0.0));
    assert!((found.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
}

/// Regression: one probe meets an outlier with a weight far from 1/P, at times with next to none, so that it is missing
/// from the picture. Deflated, its weight is exact.
#[test]
fn pyhessian_density_with_a_missing_outlier() {
    let mut values: Vec<f64> = (0..300).map(|i| 0.1 * (i as f64 * 0.7).sin()).collect();
    values.push(20.0);
    let matrix = tensor(&rotated(&values));
    let deflated = extremes(&matrix, 1, 0);
    let weights = |deflated: &Deflated| -> Vec<f64> {
        let weight = |seed| {
            let options = DensityOptions { probes: 1, steps: 20, seed, ..DensityOptions::default() };
            let found = options.density(&matrix, deflated, |_, _| Ok(())).unwrap();
            found.nodes.iter().zip(&found.weights).filter(|(node, _)| **node > 10.0).map(|(_, weight)| weight).sum()
        };
        (0..20).map(weight).collect()
    };
    assert!(weights(&Deflated::default()).iter().any(|weight| weight * 301.0 < 0.1));
    assert!(weights(&deflated).iter().all(|weight| (weight * 301.0 - 1.0).abs() < 1e-12));
}

#[test]
fn few_eigenvalues_and_whole_spaces() {
    for values in [vec![2.0], vec![2.0, 2.0, 2.0], vec![0.0; 4], vec![1.0, -1.0]] {
        let matrix = tensor(&rotated(&values));
        let found = density(&matrix, &DensityOptions::default());
        assert!((found.integral() - 1.0).abs() < 1e-6, "{values:?}: {}", found.integral());
        assert!((found.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let all = extremes(&matrix, values.len(), 0);
        let found = DensityOptions::default().density(&matrix, &all, |_, _| Ok(())).unwrap();
        assert_eq!(found.nodes.len(), values.len());
        assert!((found.integral() - 1.0).abs() < 1e-6 && found.products == 0, "{values:?}");
    }
}

#[test]
fn probes_side_by_side_give_what_they_give_one_by_one() {
    let matrix = tensor(&wigner(64));
    let one_basis = (30 * SymmetricOperator::dimension(&matrix) * DType::F64.size_in_bytes()) as u64;
    let options = |memory| DensityOptions { probes: 5, steps: 30, memory, ..DensityOptions::default() };
    let (together, apart) = (density(&matrix, &options(None)), density(&matrix, &options(Some(one_basis))));
    for (a, b) in together.values.iter().zip(&apart.values) {
        assert!((a - b).abs() < 1e-8, "{a} {b}");
    }
    let error = options(Some(one_basis - 1)).density(&matrix, &Deflated::default(), |_, _| Ok(())).unwrap_err();
    assert!(error.is_bad_input(), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nodes_lie_in_the_spectrum_and_weights_add_up(
        values in prop::collection::vec(-10.0_f64..10.0, 1..30), seed in 0_u64..1000, steps in 1_usize..12, probes in 1_usize..4,
    ) {
        let found = density(&tensor(&rotated(&values)), &DensityOptions { probes, steps, seed, ..DensityOptions::default() });
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
        prop_assert!(found.nodes.iter().all(|node| (low - 1e-9..=high + 1e-9).contains(node)), "{:?} {values:?}", found.nodes);
        prop_assert!((moment(&found, 0) - 1.0).abs() < 1e-12, "{:?}", found.weights);
        prop_assert!(found.products <= probes * steps && found.stderr.is_some() == (probes > 1));
    }
}
