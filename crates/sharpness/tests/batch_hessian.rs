//! Batches of samples whose matrices are known whole.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::{Result, random};
use basin_records::batch_hessian::Theory;
use basin_records::spectrum::Matrix;
use basin_sharpness::SymmetricOperator;
use basin_sharpness::batch_hessian::{
    BatchHessianOptions, SampledMatrix, Work, batch, inverse_effective_batch, max_learning_rate_mean_square, noise,
    spiked_wigner,
};
use basin_sharpness::lanczos::Lanczos;
use candle_core::{Device, Tensor};
use nalgebra::{DMatrix, DVector};
use rand_distr::{Distribution, StandardNormal};

/// Seeds over which a standard error is compared with the spread it should describe.
const SEEDS: u64 = 200;

/// Samples with a matrix each.
struct Samples(Vec<DMatrix<f64>>);

impl Samples {
    fn mean(&self, positions: &[usize]) -> DMatrix<f64> {
        let size = self.0[0].nrows();
        positions.iter().fold(DMatrix::zeros(size, size), |sum, &i| sum + &self.0[i]) / positions.len() as f64
    }

    fn all(&self) -> DMatrix<f64> {
        self.mean(&(0..self.0.len()).collect::<Vec<_>>())
    }

    /// Pσ²: Σ ‖H_i − H‖_F²/(P (N − 1)).
    fn noise(&self) -> f64 {
        let mean = self.all();
        let squares: f64 = self.0.iter().map(|matrix| (matrix - &mean).norm_squared()).sum();
        squares / (mean.nrows() * (self.0.len() - 1)) as f64
    }
}

impl SampledMatrix for Samples {
    fn samples(&self) -> usize {
        self.0.len()
    }

    fn on_batch(&self, positions: &[usize], then: &mut dyn FnMut(&dyn SymmetricOperator) -> Result<()>) -> Result<()> {
        then(&tensor(&self.mean(positions)))
    }
}

fn tensor(matrix: &DMatrix<f64>) -> Tensor {
    Tensor::from_vec(matrix.as_slice().to_vec(), matrix.shape(), &Device::Cpu).unwrap()
}

fn normal(rows: usize, columns: usize, name: &str) -> DMatrix<f64> {
    let mut rng = random::stream(0, "test", name);
    DMatrix::from_fn(rows, columns, |_, _| StandardNormal.sample(&mut rng))
}

/// Symmetric with independent elements of variance 1, twice that on the diagonal.
fn gaussian_orthogonal(size: usize, name: &str) -> DMatrix<f64> {
    let square = normal(size, size, name);
    (&square + square.transpose()) / 2.0_f64.sqrt()
}

/// x xᵀ · 2 of each sample x: the Hessians of linear regression.
fn regression(samples: usize, size: usize) -> Samples {
    let scale = |i: usize| 1.0 / (1.0 + i as f64);
    let inputs = normal(size, samples, "inputs");
    Samples(
        (0..samples)
            .map(|i| {
                let x = DVector::from_fn(size, |row, _| inputs[(row, i)] * scale(row));
                &x * x.transpose() * 2.0
            })
            .collect(),
    )
}

/// Indefinite, with one direction of strong curvature.
fn indefinite(samples: usize, size: usize) -> Samples {
    let spike = DMatrix::from_fn(size, size, |i, j| if i == 0 && j == 0 { 4.0 } else { 0.0 });
    Samples((0..samples).map(|i| &spike + gaussian_orthogonal(size, &format!("sample {i}")) * 0.5).collect())
}

fn options(batch_sizes: &[usize], draws: usize) -> BatchHessianOptions {
    BatchHessianOptions {
        batch_sizes: batch_sizes.to_vec(),
        draws,
        momentum: 0.9,
        shard: None,
        lanczos: Lanczos { tolerance: 1e-10, ..Lanczos::default() },
    }
}

fn ends(matrix: &DMatrix<f64>) -> (f64, f64) {
    let values = matrix.clone().symmetric_eigenvalues();
    (values.max(), values.min())
}

/// P = 400, B = 16, σ = 0.5: the bulk ends at 5, and spikes stand beyond it as the theorem says.
#[test]
fn a_spike_in_wigner_noise_moves_as_predicted() {
    const P: usize = 400;
    // Three standard deviations √2 σ/√B of vᵀεv, by which a single draw differs.
    const TOLERANCE: f64 = 0.53;
    let noise = gaussian_orthogonal(P, "noise") * (0.5 / 4.0);
    let total = 0.25 * P as f64 / 16.0;
    for (lambda, predicted) in [(6.0, 7.042), (12.0, 12.521), (3.0, 5.083)] {
        assert!((spiked_wigner(lambda, total, true) - predicted).abs() < 1e-3);
        assert!((spiked_wigner(-lambda, total, false) + predicted).abs() < 1e-3);
        let mut matrix = noise.clone();
        matrix[(0, 0)] += lambda;
        let found = Lanczos { tolerance: 1e-8, ..Lanczos::default() }.extremes(&tensor(&matrix), |_| Ok(())).unwrap();
        let (top, bottom) = (found.eigenvalues[0].value, found.eigenvalues[1].value);
        assert!((top - predicted).abs() < TOLERANCE, "{lambda}: {top}, predicted {predicted}");
        assert!((bottom + 5.0).abs() < TOLERANCE, "{bottom}");
    }
}

/// Over every batch of 2 of 6 the mean of ‖H_B − H‖_F² is (1/B − 1/N) P · Pσ² exactly.
#[test]
fn batches_without_replacement_have_the_finite_variance() {
    let samples = indefinite(6, 4);
    let mean = samples.all();
    let pairs: Vec<[usize; 2]> = (0..6).flat_map(|i| (0..i).map(move |j| [j, i])).collect();
    let squares: f64 = pairs.iter().map(|pair| (samples.mean(pair) - &mean).norm_squared()).sum();
    let expected = inverse_effective_batch(2, 6) * 4.0 * samples.noise();
    assert!((squares / pairs.len() as f64 - expected).abs() < 1e-12);
    let fraction: f64 = (6.0 - 2.0) / (2.0 * (6.0 - 1.0));
    assert!((inverse_effective_batch(2, 6) * 6.0 / 5.0 - fraction).abs() < 1e-12);
}

#[test]
fn a_batch_has_no_sample_twice_and_every_sample_as_often() {
    let mut counts = [0_u32; 10];
    for draw in 0..2000 {
        let positions = batch(10, 3, draw, 1);
        assert!(positions.len() == 3 && positions.is_sorted_by(|a, b| a < b));
        positions.iter().for_each(|&position| counts[position] += 1);
    }
    // Six standard deviations of a binomial count of mean 600.
    assert!(counts.iter().all(|&count| count.abs_diff(600) < 123), "{counts:?}");
}

#[test]
fn all_samples_are_the_empirical_matrix_without_noise() {
    let samples = indefinite(12, 10);
    let (found, _) = options(&[4, 12], 3).measure(&samples, Matrix::Hessian, |_| Ok(())).unwrap();
    let whole = &found.rows[1];
    assert_eq!((whole.draws, whole.lambda_max.std, whole.lambda_max.stderr), (1, Some(0.0), Some(0.0)));
    assert!(whole.lambda_max.mean == found.empirical.lambda_max && whole.predicted_lambda_max == whole.lambda_max.mean);
    assert_eq!(whole.lambda_min.as_ref().map(|spread| spread.mean), found.empirical.lambda_min);
    assert_eq!((whole.predicted_lambda_min, whole.predicted_overlap), (found.empirical.lambda_min, 1.0));
    assert!((whole.overlap.mean - 1.0).abs() < 1e-12);
    let (top, bottom) = ends(&samples.all());
    assert!((found.empirical.lambda_max - top).abs() < 1e-8);
    assert!((found.empirical.lambda_min.unwrap() - bottom).abs() < 1e-8);
}

/// Every figure of a record against dense linear algebra.
#[test]
fn figures_are_those_of_the_dense_matrices() {
    for (samples, name) in [(indefinite(20, 8), Matrix::Hessian), (regression(20, 6), Matrix::Ggn)] {
        let options = options(&[5, 10], 4);
        let (found, work) = options.measure(&samples, name, |_| Ok(())).unwrap();
        assert!(found.converged() && work.products > 0);
        assert_eq!(found.theory, if name == Matrix::Ggn { Theory::MarchenkoPastur } else { Theory::Wigner });
        for row in &found.rows {
            let mut tops = Vec::new();
            for draw in &row.values {
                let positions = batch(20, row.batch_size as usize, draw.draw as usize, 0);
                let (top, bottom) = ends(&samples.mean(&positions));
                assert!((draw.eigenvalues[0].value - top).abs() < 1e-8);
                assert!((draw.eigenvalues[1].value - bottom).abs() < 1e-8);
                assert!((0.0..=1.0 + 1e-12).contains(&draw.overlap));
                tops.push(top);
            }
            let mean = tops.iter().sum::<f64>() / 4.0;
            let std = (tops.iter().map(|top| (top - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
            assert!((row.lambda_max.mean - mean).abs() < 1e-8);
            assert!((row.lambda_max.std.unwrap() - std).abs() < 1e-8);
            assert!((row.lambda_max.stderr.unwrap() - std / 2.0).abs() < 1e-8);
            let sgd = row.max_learning_rate_sgd.unwrap();
            assert!((sgd * row.predicted_lambda_max - 2.0).abs() < 1e-12);
            assert!((row.max_learning_rate_momentum.unwrap() / sgd - 1.9).abs() < 1e-12);
        }
    }
}

/// (estimate − truth)/stderr over the seeds has mean 0 and standard deviation 1.
fn assert_calibrated(what: &str, scores: &[f64]) {
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let squares: f64 = scores.iter().map(|score| (score - mean).powi(2)).sum();
    let deviation = (squares / (scores.len() - 1) as f64).sqrt();
    eprintln!("{what}: scores {mean:.3} ± {deviation:.3}");
    assert!(mean.abs() < 0.35, "{what}: biased by {mean} standard errors");
    assert!((0.75..1.3).contains(&deviation), "{what}: standard errors are off by a factor {deviation}");
}

#[test]
fn standard_errors_of_the_noise_are_right() {
    let samples = indefinite(40, 30);
    let (mean, size) = (samples.all(), 30);
    let v = mean.clone().symmetric_eigen();
    let v = v.eigenvectors.column(v.eigenvalues.imax()).into_owned();
    let along = Tensor::from_vec(v.as_slice().to_vec(), size, &Device::Cpu).unwrap();
    let over_samples = |figure: &dyn Fn(&DMatrix<f64>) -> f64| {
        samples.0.iter().map(|matrix| figure(&(matrix - &mean))).sum::<f64>() / (samples.0.len() - 1) as f64
    };
    let truths = [
        ("total", samples.noise()),
        ("curvature", over_samples(&|apart| (v.transpose() * apart * &v)[0].powi(2))),
        ("product", over_samples(&|apart| (apart * &v).norm_squared())),
    ];
    let found: Vec<_> =
        (0..SEEDS).map(|seed| noise(&samples, &along, seed, &mut Work::default(), |_, _| Ok(())).unwrap()).collect();
    for (what, truth) in truths {
        let scores: Vec<f64> = found
            .iter()
            .map(|noise| match what {
                "total" => noise.total.clone(),
                "curvature" => noise.curvature_along_top.clone().unwrap(),
                _ => noise.product_along_top.clone().unwrap(),
            })
            .map(|estimate| (estimate.value - truth) / estimate.stderr.unwrap())
            .collect();
        assert_calibrated(what, &scores);
    }
}

#[test]
fn parts_of_the_draws_make_the_whole() {
    let samples = indefinite(16, 6);
    let all = options(&[4, 8, 16], 3);
    let measure = |options: &BatchHessianOptions| options.measure(&samples, Matrix::Hessian, |_| Ok(())).unwrap().0;
    let whole = measure(&all);
    let parts = [1, 2].map(|part| measure(&BatchHessianOptions { shard: Some((part, 2)), ..all.clone() }));
    for row in &whole.rows {
        let rows = parts.iter().flat_map(|part| &part.rows).filter(|other| other.batch_size == row.batch_size);
        let mut draws: Vec<_> = rows.flat_map(|row| row.values.clone()).collect();
        draws.sort_by_key(|draw| draw.draw);
        assert_eq!(draws, row.values);
    }
}

/// Without noise the limit is gradient descent's 2/λ.
#[test]
fn noise_only_lowers_the_mean_square_limit() {
    let limit = |variance| max_learning_rate_mean_square(3.0, variance).unwrap();
    assert!((limit(0.0) - 2.0 / 3.0).abs() < 1e-15 && limit(1.0) < limit(0.5));
    assert_eq!(max_learning_rate_mean_square(-1.0, 0.0), None);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let refused = |options: BatchHessianOptions| options.check(16).is_err();
    assert!(refused(options(&[0, 4], 2)) && refused(options(&[17], 2)) && refused(options(&[8, 4], 2)));
    assert!(refused(options(&[], 2)) && refused(options(&[4], 0)));
    assert!(refused(BatchHessianOptions { momentum: 1.0, ..options(&[4], 2) }));
    assert!(refused(BatchHessianOptions { shard: Some((3, 2)), ..options(&[4], 2) }));
    assert!(options(&[4, 16], 2).check(16).is_ok());
}
