//! Lanczos on matrices whose spectrum is known.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::Model;
use basin_objective::{LossSpec, Network, NetworkOptions, random};
use basin_sharpness::lanczos::{Extremes, Lanczos, Reason};
use basin_sharpness::{Curvature, CurvatureMatrix, SymmetricOperator};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// Absolute error, relative to the largest |λ|, where the whole spectrum is found in f64.
const EXACT: f64 = 1e-10;

fn diagonal(values: &[f64]) -> Tensor {
    let p = values.len();
    let mut matrix = vec![0.0; p * p];
    (0..p).for_each(|i| matrix[i * p + i] = values[i]);
    Tensor::from_vec(matrix, (p, p), &Device::Cpu).unwrap()
}

fn normal(rows: usize, columns: usize, name: &str) -> Tensor {
    let mut rng = random::stream(0, "test", name);
    let elements: Vec<f64> = (0..rows * columns).map(|_| StandardNormal.sample(&mut rng)).collect();
    Tensor::from_vec(elements, (rows, columns), &Device::Cpu).unwrap()
}

/// Q diag(values) Qᵀ with a random orthogonal Q.
fn rotated(values: &[f64]) -> Tensor {
    let p = values.len();
    let columns = normal(p, p, "rotation").to_vec2::<f64>().unwrap().concat();
    let q = nalgebra::DMatrix::from_vec(p, p, columns).qr().q();
    let product = &q * nalgebra::DMatrix::from_diagonal(&nalgebra::DVector::from_row_slice(values)) * q.transpose();
    Tensor::from_vec(product.as_slice().to_vec(), (p, p), &Device::Cpu).unwrap()
}

fn extremes(matrix: &Tensor, top: usize, bottom: usize) -> Extremes {
    Lanczos { top, bottom, tolerance: 1e-10, ..Lanczos::default() }.extremes(matrix, |_| Ok(())).unwrap()
}

fn assert_values(found: &Extremes, expected: &[f64]) {
    let values: Vec<f64> = found.eigenvalues.iter().map(|e| e.value).collect();
    let scale = expected.iter().fold(1e-300_f64, |s, x| s.max(x.abs()));
    assert_eq!(values.len(), expected.len(), "{values:?} for {expected:?}");
    for (value, expected) in values.iter().zip(expected) {
        assert!((value - expected).abs() <= EXACT * scale, "{values:?} for {expected:?}");
    }
    assert!(found.eigenvalues.iter().all(|e| e.converged), "{found:?}");
}

#[test]
fn both_ends_of_a_small_indefinite_matrix() {
    let matrix = diagonal(&[3.0, -3.0, 1.0, 0.0, 0.0]);
    assert_values(&extremes(&matrix, 1, 1), &[3.0, -3.0]);
    assert_values(&extremes(&matrix, 2, 2), &[3.0, 1.0, 0.0, -3.0]);
    assert_values(&extremes(&matrix, 3, 2), &[3.0, 1.0, 0.0, 0.0, -3.0]);
    assert_values(&extremes(&matrix, 9, 9), &[3.0, 1.0, 0.0, 0.0, -3.0]);
}

#[test]
fn all_eigenvalues_equal() {
    assert_values(&extremes(&diagonal(&[2.5; 6]), 1, 1), &[2.5, 2.5]);
    assert_values(&extremes(&diagonal(&[2.5; 6]), 3, 2), &[2.5; 5]);
    assert_values(&extremes(&diagonal(&[0.0; 6]), 2, 1), &[0.0; 3]);
}

#[test]
fn copies_of_a_multiple_eigenvalue() {
    let matrix = rotated(&[5.0, 5.0, 5.0, 2.0, 1.0, 0.5, -1.0, -4.0, -4.0]);
    assert_values(&extremes(&matrix, 4, 3), &[5.0, 5.0, 5.0, 2.0, -1.0, -4.0, -4.0]);
}

/// A linear layer with squared error has the Hessian I ⊗ XᵀX: every eigenvalue occurs once per output.
#[test]
fn copies_in_a_matrix_much_larger_than_its_krylov_spaces() {
    let values: Vec<f64> = (0..300).map(|i| 1.0 + 5.0 * (-0.05 * i as f64).exp()).collect();
    let twice: Vec<f64> = values.iter().flat_map(|&value| [value, value]).collect();
    let expected = [values[0], values[0], values[1], values[1], values[298], values[299], values[299]];
    let found = Lanczos { top: 4, bottom: 3, tolerance: 1e-9, ..Lanczos::default() };
    let found = found.extremes(&rotated(&twice), |_| Ok(())).unwrap();
    for (eigenvalue, expected) in found.eigenvalues.iter().zip(expected) {
        assert!((eigenvalue.value - expected).abs() < 1e-8 && eigenvalue.converged, "{eigenvalue:?} for {expected}");
    }
}

#[test]
fn a_basis_too_small_for_what_is_asked_is_refused() {
    let lanczos = Lanczos { top: 3, bottom: 2, memory: Some(1), ..Lanczos::default() };
    assert!(lanczos.extremes(&diagonal(&[1.0; 10]), |_| Ok(())).unwrap_err().is_bad_input());
    let lanczos = Lanczos { top: usize::MAX, bottom: usize::MAX, ..Lanczos::default() };
    assert_eq!(lanczos.extremes(&diagonal(&[3.0, 2.0, 1.0]), |_| Ok(())).unwrap().eigenvalues.len(), 3);
}

#[test]
fn rank_one() {
    let u = normal(40, 1, "u");
    let matrix = u.matmul(&u.t().unwrap()).unwrap();
    let square = u.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    assert_values(&extremes(&matrix, 1, 1), &[square, 0.0]);
    assert_values(&extremes(&matrix, 3, 2), &[square, 0.0, 0.0, 0.0, 0.0]);
    assert_values(&extremes(&matrix.neg().unwrap(), 1, 1), &[0.0, -square]);
}

#[test]
fn one_parameter() {
    assert_values(&extremes(&diagonal(&[-7.0]), 1, 1), &[-7.0]);
    assert_values(&extremes(&diagonal(&[-7.0]), 0, 1), &[-7.0]);
    assert_values(&extremes(&diagonal(&[2.0, -7.0]), 1, 1), &[2.0, -7.0]);
}

#[test]
fn clustered_ends_come_out_to_the_tolerance() {
    // A bulk whose lower end is dense, as a trained network's: gaps of 1e-5 at −0.05 under a largest eigenvalue of 50.
    let values: Vec<f64> =
        (0..600).map(|i| if i < 10 { 50.0 / (1.0 + i as f64) } else { -0.05 + 1e-5 * (600 - i) as f64 }).collect();
    let found = Lanczos { top: 3, bottom: 2, ..Lanczos::default() }.extremes(&rotated(&values), |_| Ok(())).unwrap();
    for (eigenvalue, expected) in found.eigenvalues.iter().zip([50.0, 25.0, 50.0 / 3.0, -0.05 + 2e-5, -0.05 + 1e-5]) {
        assert!(eigenvalue.converged && eigenvalue.residual <= 1e-4 * eigenvalue.value.abs(), "{eigenvalue:?}");
        assert!((eigenvalue.value - expected).abs() <= 1e-4 * expected.abs(), "{eigenvalue:?} for {expected}");
    }
}

#[test]
fn a_run_out_of_products_is_not_called_converged() {
    let matrix = normal(200, 200, "wigner");
    let matrix = (&matrix + matrix.t().unwrap()).unwrap();
    for max_basis in [6, 1000] {
        let found =
            Lanczos { max_basis, max_products: 12, ..Lanczos::default() }.extremes(&matrix, |_| Ok(())).unwrap();
        assert_eq!(found.reason, Reason::ProductLimit);
        assert!(found.products <= 12 && found.eigenvalues.iter().all(|e| !e.converged && e.residual > 1e-4));
    }
}

/// A basis of a few vectors reaches by restarts what one long basis reaches.
#[test]
fn restarts_find_the_same_ends_as_a_long_basis() {
    let wigner = normal(300, 300, "wigner");
    let wigner = (&wigner + wigner.t().unwrap()).unwrap();
    let values: Vec<f64> =
        (0..400).map(|i| if i < 10 { 50.0 / (1.0 + i as f64) } else { -0.05 + 1e-4 * (400 - i) as f64 }).collect();
    for (matrix, top, bottom) in [(&wigner, 1, 1), (&wigner, 3, 2), (&rotated(&values), 3, 1), (&wigner, 0, 2)] {
        let long = Lanczos { top, bottom, ..Lanczos::default() }.extremes(matrix, |_| Ok(())).unwrap();
        for max_basis in [12, 30] {
            let short = Lanczos { top, bottom, max_basis, max_products: 20_000, ..Lanczos::default() };
            let short = short.extremes(matrix, |_| Ok(())).unwrap();
            eprintln!(
                "top {top} bottom {bottom} basis {max_basis}: {} products against {}",
                short.products, long.products
            );
            assert!(short.basis <= max_basis && short.reason == Reason::Converged, "{short:?}");
            for (short, long) in short.eigenvalues.iter().zip(&long.eigenvalues) {
                let apart = (short.value - long.value).abs();
                assert!(apart <= short.residual + long.residual, "{short:?} {long:?}");
            }
        }
    }
}

#[test]
fn copies_come_out_of_a_restarted_basis() {
    let matrix = rotated(&[5.0, 5.0, 5.0, 2.0, 1.0, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, -0.5, -0.6, -1.0, -4.0, -4.0]);
    let found = Lanczos { top: 4, bottom: 3, max_basis: 9, tolerance: 1e-10, ..Lanczos::default() };
    let found = found.extremes(&matrix, |_| Ok(())).unwrap();
    assert_values(&found, &[5.0, 5.0, 5.0, 2.0, -1.0, -4.0, -4.0]);
}

/// Regression: power iteration by magnitude never settles on λ and −λ of like size, and returns the negative one as the
/// largest (PyHessian).
#[test]
fn pyhessian_magnitude_ordering_of_opposite_eigenvalues() {
    let mut values: Vec<f64> = (0..40).map(|i| -1.0 + 0.05 * i as f64).collect();
    values.extend([10.0, -10.0, -10.0000001, 3.0]);
    let found = extremes(&rotated(&values), 2, 2);
    assert_values(&found, &[10.0, 3.0, -10.0, -10.0000001]);
    assert_values(&extremes(&rotated(&[1.0, 0.5, -7.0]), 1, 0), &[1.0]);
}

#[test]
fn residuals_are_those_of_the_eigenvectors_returned() {
    let matrix = normal(60, 60, "wigner");
    let matrix = (&matrix + matrix.t().unwrap()).unwrap();
    let found = Lanczos { top: 2, bottom: 2, ..Lanczos::default() }.extremes(&matrix, |_| Ok(())).unwrap();
    for (i, eigenvalue) in found.eigenvalues.iter().enumerate() {
        let x = found.eigenvectors.get(i).unwrap();
        let rest = (SymmetricOperator::apply(&matrix, &x).unwrap() - (&x * eigenvalue.value).unwrap()).unwrap();
        let residual = rest.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
        assert!((residual - eigenvalue.residual).abs() < 1e-12);
    }
    let gram = found.eigenvectors.matmul(&found.eigenvectors.t().unwrap()).unwrap();
    let error = (gram - Tensor::eye(4, DType::F64, &Device::Cpu).unwrap()).unwrap().abs().unwrap().max_all().unwrap();
    assert!(error.to_scalar::<f64>().unwrap() < 1e-8);
}

#[test]
fn products_that_are_not_finite_are_bad_input() {
    let error = Lanczos::default().extremes(&diagonal(&[1.0, f64::NAN]), |_| Ok(())).unwrap_err();
    assert!(error.is_bad_input(), "{error}");
    assert!(Lanczos { tolerance: 0.0, ..Lanczos::default() }.extremes(&diagonal(&[1.0]), |_| Ok(())).is_err());
    assert!(Lanczos { top: 0, bottom: 0, ..Lanczos::default() }.extremes(&diagonal(&[1.0]), |_| Ok(())).is_err());
}

/// A digits network of 3,500 parameters whose two ends must come out to a relative residual of 1e-4 in f32.
#[test]
fn both_ends_of_a_digits_network() {
    let data = Dataset::load(&DataSpec::Digits, Split::Train).unwrap();
    let model = Model::new(&"mlp:64-46-10:relu".parse().unwrap(), &[64], 10).unwrap();
    let buffers = model.initial_buffers(DType::F32).unwrap();
    let network = Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, NetworkOptions::default()).unwrap();
    let mut theta = model.initial_parameters(0, DType::F32).unwrap();
    for _ in 0..300 {
        let (_, gradient) = basin_objective::Objective::gradient(&network, &theta).unwrap();
        theta = (theta - (gradient * 0.5).unwrap()).unwrap();
    }
    let matrix = Curvature::new(&network, &theta, CurvatureMatrix::Hessian).unwrap();
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let started = std::time::Instant::now();
        let found = pool.install(|| Lanczos::default().extremes(&matrix, |_| Ok(()))).unwrap();
        eprintln!(
            "{:?} basis {} products {} {:?} {:?}",
            found.reason,
            found.basis,
            found.products,
            found.eigenvalues,
            started.elapsed()
        );
        assert_eq!(found.reason, Reason::Converged);
        for eigenvalue in &found.eigenvalues {
            assert!(eigenvalue.residual <= 1e-4 * eigenvalue.value.abs(), "{eigenvalue:?}");
        }
        found.eigenvalues.iter().map(|e| e.value.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(bits(1), bits(2));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whole_spectra_are_found(mut values in prop::collection::vec(-10.0_f64..10.0, 1..12), top in 1_usize..5, bottom in 0_usize..5) {
        let found = extremes(&rotated(&values), top, bottom);
        values.sort_by(|a, b| b.total_cmp(a));
        for eigenvalue in &found.eigenvalues {
            let nearest = values.iter().map(|v| (v - eigenvalue.value).abs()).fold(f64::INFINITY, f64::min);
            prop_assert!(nearest < 1e-8, "{eigenvalue:?} in {values:?}");
        }
        prop_assert!((found.eigenvalues[0].value - values[0]).abs() < 1e-8, "{:?} in {values:?}", found.eigenvalues);
    }
}

/// A neighbour's eigenvectors may be eigenvectors here too, but no longer the extreme ones: the search must not stop at them.
#[test]
fn a_warm_start_among_other_eigenvectors_still_finds_the_extremes() {
    let n = 60;
    let values: Vec<f64> = (0..n).map(|i| 10.0 * (0.1 * i as f64).cos()).collect();
    let matrix = diagonal(&values);
    let unit = |place: usize| {
        let elements = (0..n).map(|i| if i == place { 1.0 } else { 0.0 });
        Tensor::from_vec(elements.collect::<Vec<f64>>(), n, &Device::Cpu).unwrap()
    };
    let near = Tensor::stack(&[unit(5), unit(25)], 0).unwrap();
    let lanczos = Lanczos { tolerance: 1e-8, ..Lanczos::default() };
    let found = lanczos.extremes_near(&matrix, Some(&near), |_| Ok(())).unwrap();
    let (largest, smallest) = (values[0], values.iter().copied().fold(f64::INFINITY, f64::min));
    assert!((found.eigenvalues[0].value - largest).abs() < 1e-8, "{:?}", found.eigenvalues);
    assert!((found.eigenvalues[1].value - smallest).abs() < 1e-8, "{:?}", found.eigenvalues);
    // From the eigenvectors themselves it takes fewer products than from a random vector.
    let cold = lanczos.extremes(&matrix, |_| Ok(())).unwrap();
    let warm = lanczos.extremes_near(&matrix, Some(&cold.eigenvectors), |_| Ok(())).unwrap();
    assert!(warm.products <= cold.products, "{} and {}", warm.products, cold.products);
    assert!(cold.eigenvalues.iter().zip(&warm.eigenvalues).all(|(a, b)| (a.value - b.value).abs() < 1e-8));
}
