//! Traces, norms and diagonals of matrices that are known whole, and whether standard errors are right.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::random;
use basin_sharpness::{Precision, Stop, TraceMethod, diagonal, frobenius_norm, trace};
use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, DVector};
use proptest::prelude::*;
use rand_distr::{Distribution, StandardNormal};

const METHODS: [TraceMethod; 3] = [TraceMethod::Hutchinson, TraceMethod::HutchPlusPlus, TraceMethod::XTrace];
/// Seeds over which a standard error is compared with the spread it should describe.
const SEEDS: u64 = 200;

/// Q diag(values) Qᵀ with a random orthogonal Q.
fn rotated(values: &[f64]) -> DMatrix<f64> {
    let p = values.len();
    let mut rng = random::stream(0, "test", "rotation");
    let normal: Vec<f64> = (0..p * p).map(|_| StandardNormal.sample(&mut rng)).collect();
    let q = DMatrix::from_vec(p, p, normal).qr().q();
    &q * DMatrix::from_diagonal(&DVector::from_row_slice(values)) * q.transpose()
}

fn tensor(matrix: &DMatrix<f64>) -> Tensor {
    Tensor::from_vec(matrix.as_slice().to_vec(), matrix.shape(), &Device::Cpu).unwrap()
}

/// As a trained network's: a few outliers above a bulk about 0.
fn outliers(p: usize) -> DMatrix<f64> {
    let value = |i: usize| if i < 5 { 10.0 / (1.0 + i as f64) } else { 0.2 * (i as f64 * 1.7).sin() + 0.05 };
    rotated(&(0..p).map(value).collect::<Vec<_>>())
}

/// No decay that a sketch could use.
fn flat(p: usize) -> DMatrix<f64> {
    rotated(&(0..p).map(|i| 1.0 + 0.5 * (i as f64 * 1.3).cos()).collect::<Vec<_>>())
}

/// Mean and standard deviation.
fn spread(samples: &[f64]) -> (f64, f64) {
    let mean = samples.iter().sum::<f64>() / samples.len() as f64;
    let squares: f64 = samples.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (squares / (samples.len() - 1) as f64).sqrt())
}

/// (estimate − truth)/stderr over the seeds has mean 0 and standard deviation 1.
fn assert_calibrated(what: &str, scores: &[f64]) {
    let (mean, deviation) = spread(scores);
    eprintln!("{what}: scores {mean:.3} ± {deviation:.3}");
    assert!(mean.abs() < 0.35, "{what}: biased by {mean} standard errors");
    assert!((0.75..1.3).contains(&deviation), "{what}: standard errors are off by a factor {deviation}");
}

#[test]
fn standard_errors_of_traces_are_right() {
    for (name, matrix) in [("outliers", outliers(200)), ("flat", flat(200))] {
        let (truth, dense) = (matrix.trace(), tensor(&matrix));
        for method in METHODS {
            let mut products = 0;
            let scores: Vec<f64> = (0..SEEDS)
                .map(|seed| {
                    let precision = Precision { standard_error: 0.01, max_products: 160, memory: None, seed };
                    let found = trace(&dense, method, precision, |_| Ok(())).unwrap();
                    products += found.products;
                    (found.value - truth) / found.stderr
                })
                .collect();
            assert_calibrated(&format!("{method:?} {name} ({} products)", products as u64 / SEEDS), &scores);
        }
    }
}

#[test]
fn standard_errors_of_norms_are_right() {
    for (name, matrix) in [("outliers", outliers(200)), ("flat", flat(200))] {
        let (truth, dense) = (matrix.norm(), tensor(&matrix));
        let scores: Vec<f64> = (0..SEEDS)
            .map(|seed| {
                let precision = Precision { standard_error: 0.002, max_products: 120, memory: None, seed };
                let found = frobenius_norm(&dense, precision, |_| Ok(())).unwrap();
                (found.value - truth) / found.stderr
            })
            .collect();
        assert_calibrated(&format!("norm {name}"), &scores);
    }
}

#[test]
fn standard_errors_of_diagonals_are_right() {
    for (name, matrix) in [("outliers", outliers(120)), ("flat", flat(120))] {
        let dense = tensor(&matrix);
        let mut scores = Vec::new();
        for seed in 0..SEEDS {
            let precision = Precision { standard_error: 1e-6, max_products: 60, memory: None, seed };
            let found = diagonal(&dense, precision, |_| Ok(())).unwrap();
            let (value, stderr) = (found.value.to_vec1::<f64>().unwrap(), found.stderr.to_vec1::<f64>().unwrap());
            scores.extend((0..120).map(|i| (value[i] - matrix[(i, i)]) / stderr[i]));
        }
        assert_calibrated(&format!("diagonal {name}"), &scores);
    }
}

/// The samples of XTrace and XDiag share their probes, and how much they share depends on the spectrum.
#[test]
fn standard_errors_of_shared_probes_are_right_on_further_spectra() {
    const P: usize = 100;
    let spectrum = |eigenvalue: &dyn Fn(f64) -> f64| (0..P).map(|i| eigenvalue(i as f64)).collect::<Vec<_>>();
    for (name, eigenvalues) in [
        ("1/i", spectrum(&|i| 1.0 / (1.0 + i))),
        ("geometric", spectrum(&|i| 0.9_f64.powf(i))),
        ("indefinite", spectrum(&|i| (1.0 + i / 20.0) * (i * 2.1).sin() + 0.5)),
    ] {
        let matrix = rotated(&eigenvalues);
        let (truth, dense) = (matrix.trace(), tensor(&matrix));
        let (mut traces, mut diagonals) = (Vec::new(), Vec::new());
        for seed in 0..SEEDS {
            let precision = Precision { standard_error: 1e-6, max_products: 50, memory: None, seed };
            let found = trace(&dense, TraceMethod::XTrace, precision, |_| Ok(())).unwrap();
            traces.push((found.value - truth) / found.stderr);
            let found = diagonal(&dense, precision, |_| Ok(())).unwrap();
            let (value, stderr) = (found.value.to_vec1::<f64>().unwrap(), found.stderr.to_vec1::<f64>().unwrap());
            diagonals.extend((0..P).map(|i| (value[i] - matrix[(i, i)]) / stderr[i]));
        }
        assert_calibrated(&format!("XTrace {name}"), &traces);
        assert_calibrated(&format!("XDiag {name}"), &diagonals);
    }
}

#[test]
fn matrices_of_low_rank_are_known_exactly() {
    let mut values = vec![0.0; 60];
    values[..3].copy_from_slice(&[4.0, -3.0, 0.5]);
    let matrix = rotated(&values);
    for dtype in [DType::F64, DType::F32] {
        let dense = tensor(&matrix).to_dtype(dtype).unwrap();
        let close = if dtype == DType::F64 { 1e-10 } else { 1e-4 };
        for method in [TraceMethod::HutchPlusPlus, TraceMethod::XTrace] {
            let found = trace(&dense, method, Precision::default(), |_| Ok(())).unwrap();
            assert!((found.value - 1.5).abs() < close, "{method:?} {dtype:?} {found:?}");
            assert!(found.stderr < close && found.stop.converged() && found.products < 60, "{method:?} {found:?}");
        }
        let found = frobenius_norm(&dense, Precision::default(), |_| Ok(())).unwrap();
        assert!((found.value - 25.25_f64.sqrt()).abs() < close, "{found:?}");
        let found = diagonal(&dense, Precision::default(), |_| Ok(())).unwrap();
        for (i, value) in found.value.to_vec1::<f64>().unwrap().into_iter().enumerate() {
            assert!((value - matrix[(i, i)]).abs() < close);
        }
    }
}

/// Few sign vectors can depend on each other by chance, which must not be taken for a range that is known.
#[test]
fn tiny_matrices_and_those_of_few_coordinates() {
    for p in 1..6 {
        let matrix = rotated(&(0..p).map(|i| i as f64 - 1.5).collect::<Vec<_>>());
        let sparse = {
            let mut sparse = DMatrix::zeros(50, 50);
            sparse.view_mut((7, 7), (p, p)).copy_from(&matrix);
            sparse
        };
        for (matrix, seed) in [&matrix, &sparse].into_iter().flat_map(|matrix| (0..5).map(move |seed| (matrix, seed))) {
            let precision = Precision { seed, ..Precision::default() };
            for method in [TraceMethod::HutchPlusPlus, TraceMethod::XTrace] {
                let found = trace(&tensor(matrix), method, precision, |_| Ok(())).unwrap();
                assert!((found.value - matrix.trace()).abs() < 1e-9, "{method:?} {p} {found:?}");
            }
            let found = diagonal(&tensor(matrix), precision, |_| Ok(())).unwrap().value.to_vec1::<f64>().unwrap();
            assert!(found.iter().enumerate().all(|(i, value)| (value - matrix[(i, i)]).abs() < 1e-9));
        }
    }
}

#[test]
fn a_matrix_of_zeros() {
    let zeros = Tensor::zeros((20, 20), DType::F64, &Device::Cpu).unwrap();
    for method in METHODS {
        let found = trace(&zeros, method, Precision::default(), |_| Ok(())).unwrap();
        assert_eq!((found.value, found.stderr), (0.0, 0.0), "{method:?}");
        assert!(found.stop.converged());
    }
    assert_eq!(frobenius_norm(&zeros, Precision::default(), |_| Ok(())).unwrap().value, 0.0);
    assert_eq!(diagonal(&zeros, Precision::default(), |_| Ok(())).unwrap().relative_error, 0.0);
}

#[test]
fn sketches_pay_where_the_spectrum_decays() {
    let dense = tensor(&outliers(300));
    let products = |method| {
        let precision = Precision { standard_error: 0.01, max_products: 100_000, ..Precision::default() };
        let found = trace(&dense, method, precision, |_| Ok(())).unwrap();
        assert!(found.stop.converged() && found.stderr <= 0.01 * found.value.abs());
        found.products
    };
    let [hutchinson, hutch_plus_plus, xtrace] = METHODS.map(products);
    assert!(hutch_plus_plus < hutchinson / 4 && xtrace < hutchinson / 4, "{hutchinson} {hutch_plus_plus} {xtrace}");
}

/// Regression: a trace that stops as soon as two estimates are similar stops by luck (PyHessian, nncf#2155). Here almost all
/// probes agree with each other to the last digit, and a mean of them is far from what the precision promises.
#[test]
fn pyhessian_trace_that_stops_after_two_similar_estimates() {
    let mut matrix = DMatrix::identity(64, 64);
    matrix[(0, 1)] = 40.0;
    matrix[(1, 0)] = 40.0;
    for seed in 0..40 {
        let precision = Precision { seed, standard_error: 0.05, ..Precision::default() };
        let found = trace(&tensor(&matrix), TraceMethod::Hutchinson, precision, |_| Ok(())).unwrap();
        assert!(found.products > 100, "{found:?}");
        assert!((found.value - 64.0).abs() < 5.0 * 0.05 * 64.0, "{found:?}");
    }
}

#[test]
fn what_is_not_reached_is_not_called_converged() {
    let dense = tensor(&flat(300));
    for method in METHODS {
        let precision = Precision { standard_error: 1e-9, max_products: 50, ..Precision::default() };
        let found = trace(&dense, method, precision, |_| Ok(())).unwrap();
        assert_eq!(found.stop, Stop::ProductLimit, "{method:?}");
        assert!(found.products <= 50 && found.stderr > 0.0, "{method:?} {found:?}");
    }
    let precision = Precision { standard_error: 1e-9, memory: Some(20 * 3 * 300 * 8), ..Precision::default() };
    let found = trace(&dense, TraceMethod::XTrace, precision, |_| Ok(())).unwrap();
    assert_eq!((found.stop, found.products), (Stop::MemoryLimit, 40));
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let dense = tensor(&flat(10));
    for standard_error in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let precision = Precision { standard_error, ..Precision::default() };
        assert!(trace(&dense, TraceMethod::Hutchinson, precision, |_| Ok(())).unwrap_err().is_bad_input());
    }
    let precision = Precision { max_products: 3, ..Precision::default() };
    assert!(diagonal(&dense, precision, |_| Ok(())).unwrap_err().is_bad_input());
    let overflowing = (&dense * f64::INFINITY).unwrap();
    for method in METHODS {
        let error = trace(&overflowing, method, Precision::default(), |_| Ok(())).unwrap_err();
        assert!(error.is_bad_input(), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// A sketch of a small matrix spans its range, whatever its eigenvalues, so that nothing is left to chance.
    #[test]
    fn small_matrices_are_known_exactly(values in prop::collection::vec(-10.0_f64..10.0, 1..13), seed in 0_u64..1000) {
        let matrix = rotated(&values);
        let precision = Precision { standard_error: 1e-9, seed, ..Precision::default() };
        for method in [TraceMethod::HutchPlusPlus, TraceMethod::XTrace] {
            let found = trace(&tensor(&matrix), method, precision, |_| Ok(())).unwrap();
            prop_assert!((found.value - matrix.trace()).abs() < 1e-8, "{method:?} {found:?} {}", matrix.trace());
        }
        let found = frobenius_norm(&tensor(&matrix), precision, |_| Ok(())).unwrap();
        prop_assert!((found.value - matrix.norm()).abs() < 1e-8, "{found:?} {}", matrix.norm());
        let found = diagonal(&tensor(&matrix), precision, |_| Ok(())).unwrap().value.to_vec1::<f64>().unwrap();
        prop_assert!(found.iter().enumerate().all(|(i, value)| (value - matrix[(i, i)]).abs() < 1e-8), "{found:?}");
    }
}
