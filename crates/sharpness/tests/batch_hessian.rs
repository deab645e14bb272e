//! Batches of samples whose matrices are known whole.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::Model;
use basin_objective::{
    LossSpec, NetworkOptions, Objective, Quadratic, Result, SampledNetwork, SampledObjective, random,
};
use basin_records::BatchHessian;
use basin_records::batch_hessian::Theory;
use basin_records::spectrum::Estimate;
use basin_sharpness::batch_hessian::{
    AdamOptions, BatchHessianOptions, Pairs, SecondMoment, batch, inverse_effective_batch,
    max_learning_rate_mean_square, merged, spiked_wigner,
};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{CurvatureMatrix, DensityOptions};
use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, DVector};
use rand_distr::{Distribution, StandardNormal};

/// Seeds over which a standard error is compared with the spread it should describe.
const SEEDS: u64 = 200;

/// Samples with a quadratic loss ½ (θ − cᵢ)ᵀ Hᵢ (θ − cᵢ) each, of which the matrices are known; θ is 0.
struct Samples {
    matrices: Vec<DMatrix<f64>>,
    centres: Vec<DVector<f64>>,
}

impl Samples {
    fn mean(&self, positions: &[usize]) -> DMatrix<f64> {
        let sum = positions.iter().fold(DMatrix::zeros(self.size(), self.size()), |sum, &i| sum + &self.matrices[i]);
        sum / positions.len() as f64
    }

    /// P.
    fn size(&self) -> usize {
        self.matrices[0].nrows()
    }

    fn theta(&self) -> Tensor {
        Tensor::zeros(self.size(), DType::F64, &Device::Cpu).unwrap()
    }

    /// ∇ at θ = 0 of each sample.
    fn gradients(&self) -> Vec<DVector<f64>> {
        self.matrices.iter().zip(&self.centres).map(|(matrix, centre)| -(matrix * centre)).collect()
    }

    fn all(&self) -> DMatrix<f64> {
        self.mean(&(0..self.matrices.len()).collect::<Vec<_>>())
    }

    /// Pσ²: Σ ‖H_i − H‖_F²/(P (N − 1)).
    fn noise(&self) -> f64 {
        let mean = self.all();
        let squares: f64 = self.matrices.iter().map(|matrix| (matrix - &mean).norm_squared()).sum();
        squares / (mean.nrows() * (self.matrices.len() - 1)) as f64
    }
}

impl SampledObjective for Samples {
    fn samples(&self) -> usize {
        self.matrices.len()
    }

    fn side_by_side(&self) -> bool {
        true
    }

    fn on_batch(&self, positions: &[usize], then: &mut dyn FnMut(&dyn Objective) -> Result<()>) -> Result<()> {
        // A mean of quadratics is one about the point where their gradients cancel, but for a constant.
        let matrix = self.mean(positions);
        let gradients = self.gradients();
        let gradient = positions.iter().fold(DVector::zeros(self.size()), |sum, &i| sum + &gradients[i]);
        let centre = match gradient.norm() {
            0.0 => gradient,
            _ => -matrix.clone().pseudo_inverse(1e-12).unwrap() * gradient / positions.len() as f64,
        };
        let centre = Tensor::from_vec(centre.as_slice().to_vec(), self.size(), &Device::Cpu)?;
        then(&Quadratic::new(tensor(&matrix), centre)?)
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

/// (xᵀθ − y)² of each sample: linear regression, with the Hessians 2 x xᵀ.
fn regression(samples: usize, size: usize) -> Samples {
    let inputs = normal(size, samples, "inputs");
    let input = |i: usize| DVector::from_fn(size, |row, _| inputs[(row, i)] / (1.0 + row as f64));
    let matrices = (0..samples).map(|i| input(i) * input(i).transpose() * 2.0).collect();
    // About x/‖x‖², where the answer is the target 1.
    let centres = (0..samples).map(|i| input(i) / input(i).norm_squared()).collect();
    Samples { matrices, centres }
}

/// Indefinite, with one direction of strong curvature.
fn indefinite(samples: usize, size: usize) -> Samples {
    let spike = DMatrix::from_fn(size, size, |i, j| if i == 0 && j == 0 { 4.0 } else { 0.0 });
    let matrix = |i: usize| &spike + gaussian_orthogonal(size, &format!("sample {i}")) * 0.5;
    let centres = normal(size, samples, "centres");
    Samples {
        matrices: (0..samples).map(matrix).collect(),
        centres: (0..samples).map(|i| centres.column(i).into_owned()).collect(),
    }
}

fn measure(samples: &Samples, options: &BatchHessianOptions, matrix: CurvatureMatrix) -> BatchHessian {
    options.measure(samples, &samples.theta(), matrix, &(), |_| Ok(())).unwrap().result
}

fn options(batch_sizes: &[usize], draws: usize) -> BatchHessianOptions {
    BatchHessianOptions {
        batch_sizes: batch_sizes.to_vec(),
        draws,
        momentum: 0.9,
        adam: None,
        density: None,
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
    let found = measure(&samples, &options(&[4, 12], 3), CurvatureMatrix::Hessian);
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
    let adam = AdamOptions { beta1: 0.5, epsilon: 1e-3 };
    for (samples, matrix) in
        [(indefinite(20, 8), CurvatureMatrix::Hessian), (regression(20, 6), CurvatureMatrix::GaussNewton)]
    {
        let options = BatchHessianOptions { adam: Some(adam), ..options(&[5, 10, 20], 4) };
        let found = measure(&samples, &options, matrix);
        assert!(found.converged() && found.samples == 20);
        let expected = if matrix == CurvatureMatrix::Hessian { Theory::Wigner } else { Theory::MarchenkoPastur };
        assert_eq!(found.theory, expected);
        for row in &found.rows {
            let (mut tops, mut preconditioned) = (Vec::new(), Vec::new());
            let size = row.batch_size as usize;
            let scale = dense_second_moment(&samples, size).map(|moment| 1.0 / (moment.sqrt() + 1e-3).sqrt());
            let scale = DMatrix::from_diagonal(&scale);
            for draw in &row.values {
                let dense = samples.mean(&batch(20, size, draw.draw as usize, 0));
                let (top, bottom) = ends(&dense);
                assert!((draw.eigenvalues[0].value - top).abs() < 1e-8);
                assert!((draw.eigenvalues[1].value - bottom).abs() < 1e-8);
                assert!((0.0..=1.0 + 1e-12).contains(&draw.overlap));
                let largest = ends(&(&scale * &dense * &scale)).0;
                assert!((draw.preconditioned.unwrap().value - largest).abs() < 1e-8 * largest);
                tops.push(top);
                preconditioned.push(largest);
            }
            let draws = tops.len() as f64;
            let mean = tops.iter().sum::<f64>() / draws;
            assert!((row.lambda_max.mean - mean).abs() < 1e-8);
            if size < 20 {
                let std = (tops.iter().map(|top| (top - mean).powi(2)).sum::<f64>() / (draws - 1.0)).sqrt();
                assert!((row.lambda_max.std.unwrap() - std).abs() < 1e-8);
                assert!((row.lambda_max.stderr.unwrap() - std / 2.0).abs() < 1e-8);
            }
            let sgd = row.max_learning_rate_sgd.unwrap();
            assert!((sgd * row.predicted_lambda_max - 2.0).abs() < 1e-12);
            assert!((row.max_learning_rate_momentum.unwrap() / sgd - 1.9).abs() < 1e-12);
            let limit = 2.0 * 1.5 / 0.5 / (preconditioned.iter().sum::<f64>() / draws);
            assert!((row.max_learning_rate_adam_measured.unwrap() / limit - 1.0).abs() < 1e-8);
        }
    }
}

/// E[g_B²] at θ = 0 over batches of a size, from every sample's gradient.
fn dense_second_moment(samples: &Samples, size: usize) -> DVector<f64> {
    let gradients = samples.gradients();
    let count = gradients.len() as f64;
    let mean = gradients.iter().fold(DVector::zeros(samples.size()), |sum, gradient| sum + gradient) / count;
    let apart = |gradient: &DVector<f64>| (gradient - &mean).map(|element| element * element);
    let squares = gradients.iter().fold(DVector::zeros(samples.size()), |sum, gradient| sum + apart(gradient));
    let share = inverse_effective_batch(size, gradients.len());
    mean.map(|element| element * element) + squares * (share / (count - 1.0))
}

/// Over every batch of 2 of 6 the elementwise mean of g_B² is what Adam is said to divide by.
#[test]
fn the_second_moment_is_that_over_all_batches() {
    let samples = indefinite(6, 4);
    let gradients = samples.gradients();
    let pairs: Vec<(usize, usize)> = (0..6).flat_map(|i| (0..i).map(move |j| (j, i))).collect();
    let squares = pairs.iter().map(|&(i, j)| ((&gradients[i] + &gradients[j]) / 2.0).map(|element| element * element));
    let mean = squares.fold(DVector::zeros(4), |sum, square| sum + square) / pairs.len() as f64;
    let (moment, _) = SecondMoment::measure(&samples, &samples.theta(), 0, |_| Ok(())).unwrap();
    let found = moment.at(inverse_effective_batch(2, 6)).unwrap().to_vec1::<f64>().unwrap();
    assert!(found.iter().zip(&mean).all(|(found, expected)| (found - expected).abs() < 1e-12), "{found:?}, {mean}");
}

/// More samples than groups: the estimate over seeds is centred on the variance of all samples.
#[test]
fn the_second_moment_of_many_samples_is_unbiased() {
    let samples = regression(2100, 3);
    let expected = dense_second_moment(&samples, 10);
    let estimates = (0..40).map(|seed| {
        let (moment, _) = SecondMoment::measure(&samples, &samples.theta(), seed, |_| Ok(())).unwrap();
        moment.at(inverse_effective_batch(10, 2100)).unwrap().to_vec1::<f64>().unwrap()
    });
    let estimates: Vec<Vec<f64>> = estimates.collect();
    for (element, expected) in expected.iter().enumerate() {
        let values: Vec<f64> = estimates.iter().map(|estimate| estimate[element]).collect();
        let mean = values.iter().sum::<f64>() / 40.0;
        let std = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 39.0).sqrt();
        assert!((mean - expected).abs() < 4.0 * std / 40.0_f64.sqrt(), "{mean}, {expected}, {std}");
        assert!(std > 0.0 && std < 0.2 * expected, "{std} of {expected}");
    }
}

#[test]
fn densities_stand_beside_the_first_batch_of_each_size() {
    let samples = indefinite(20, 8);
    let density = DensityOptions { probes: 3, steps: 8, ..DensityOptions::default() };
    let options = BatchHessianOptions { density: Some(density), ..options(&[5, 20], 2) };
    let found = measure(&samples, &options, CurvatureMatrix::Hessian);
    let of_batch = found.rows[0].density.as_ref().unwrap();
    // The whole space is spanned, so that the mean of all nodes is the trace over P.
    let mean = |density: &basin_records::spectrum::Density| -> f64 {
        density.nodes.iter().zip(&density.weights).map(|(node, weight)| node * weight).sum()
    };
    assert_eq!((of_batch.atoms, of_batch.probes, of_batch.steps), (2, 3, 8));
    let first = samples.mean(&batch(20, 5, 0, 0));
    let (low, high) =
        of_batch.nodes.iter().fold((f64::MAX, f64::MIN), |(low, high), &node| (low.min(node), high.max(node)));
    let (top, bottom) = ends(&first);
    assert!((low - bottom).abs() < 1e-8 && (high - top).abs() < 1e-8);
    assert!((mean(of_batch) - first.trace() / 8.0).abs() < 0.5);
    assert_eq!(found.empirical.density, found.rows[1].density);
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
    let samples = Samples { centres: vec![DVector::zeros(30); 40], ..indefinite(40, 30) };
    let (mean, size) = (samples.all(), 30);
    let v = mean.clone().symmetric_eigen();
    let v = v.eigenvectors.column(v.eigenvalues.imax()).into_owned();
    let along = Tensor::from_vec(v.as_slice().to_vec(), (1, size), &Device::Cpu).unwrap();
    let over_samples = |figure: &dyn Fn(&DMatrix<f64>) -> f64| {
        samples.matrices.iter().map(|matrix| figure(&(matrix - &mean))).sum::<f64>()
            / (samples.matrices.len() - 1) as f64
    };
    let truths = [
        ("total", samples.noise()),
        ("curvature", over_samples(&|apart| (v.transpose() * apart * &v)[0].powi(2))),
        ("product", over_samples(&|apart| (apart * &v).norm_squared())),
        ("trace", mean.trace()),
        ("squared Frobenius norm", mean.norm_squared()),
    ];
    let measure = |seed: u64| {
        Pairs::measure(&samples, &samples.theta(), CurvatureMatrix::Hessian, &along, seed, |_| Ok(())).unwrap().0
    };
    let found: Vec<Pairs> = (0..SEEDS).map(measure).collect();
    for (what, truth) in truths {
        let scores: Vec<f64> = found
            .iter()
            .map(|pairs| match what {
                "total" => pairs.noise().total,
                "curvature" => pairs.noise().curvature_along_top.unwrap(),
                "product" => pairs.noise().product_along_top.unwrap(),
                "trace" => pairs.trace(),
                _ => pairs.squared_frobenius(),
            })
            .map(|estimate| (estimate.value - truth) / estimate.stderr.unwrap())
            .collect();
        assert_calibrated(what, &scores);
    }
}

/// The mean-square limits of a record lie within four standard errors of those of the dense matrices, and are no larger than the exact
/// one allows: 2/λ_max of the operator on P² elements (Mulayoff and Michaeli, theorem 1).
#[test]
fn mean_square_limits_are_those_of_the_dense_matrices() {
    let samples = regression(24, 4);
    let found = measure(&samples, &options(&[3, 24], 2), CurvatureMatrix::GaussNewton);
    let mean = samples.all();
    let v = mean.clone().symmetric_eigen();
    let v = v.eigenvectors.column(v.eigenvalues.imax()).into_owned();
    let lambda = ends(&mean).0;
    for row in &found.rows {
        let size = row.batch_size as f64;
        let p = (24.0 - size) / (size * 23.0);
        let over_samples =
            |figure: &dyn Fn(&DMatrix<f64>) -> f64| samples.matrices.iter().map(figure).sum::<f64>() / 24.0;
        let variance = over_samples(&|matrix| ((v.transpose() * matrix * &v)[0] - lambda).powi(2));
        let along = 2.0 * lambda / (lambda * lambda + p * variance);
        let squares = (1.0 - p) * mean.norm_squared() + p * over_samples(&|matrix| matrix.norm_squared());
        let trace = 2.0 * mean.trace() / squares;
        let close = |estimate: &Option<Estimate>, expected: f64| {
            let estimate = estimate.as_ref().unwrap();
            let apart = (estimate.value - expected).abs();
            assert!(apart <= 4.0 * estimate.stderr.unwrap() + 1e-8, "{estimate:?}, expected {expected}");
        };
        close(&row.max_learning_rate_mean_square, along);
        close(&row.max_learning_rate_mean_square_trace, trace);
        // E (I − ηH_B) ⊗ (I − ηH_B) contracts up to the exact limit, where all of these are necessary.
        let exact = exact_mean_square_limit(&samples, p);
        assert!(exact <= along + 1e-9 && exact <= trace + 1e-9, "{exact}, {along}, {trace}");
        let directions = row.max_learning_rate_mean_square_directions.as_ref().unwrap();
        assert!(directions.value + 4.0 * directions.stderr.unwrap() + 1e-9 >= exact, "{directions:?}, {exact}");
    }
}

/// 2/λ_max(C† D) with C = (H ⊕ H)/2 and D = (1 − p) H ⊗ H + p (1/N) Σ H_i ⊗ H_i.
fn exact_mean_square_limit(samples: &Samples, p: f64) -> f64 {
    let (mean, identity) = (samples.all(), DMatrix::<f64>::identity(samples.size(), samples.size()));
    let c = (mean.kronecker(&identity) + identity.kronecker(&mean)) / 2.0;
    let square = mean.nrows() * mean.nrows();
    let pairs =
        samples.matrices.iter().fold(DMatrix::zeros(square, square), |sum, matrix| sum + matrix.kronecker(matrix));
    let d = mean.kronecker(&mean) * (1.0 - p) + pairs * (p / samples.matrices.len() as f64);
    // Similar to a symmetric matrix by the root of C.
    let root = c.symmetric_eigen();
    let scale = DMatrix::from_diagonal(&root.eigenvalues.map(|value| 1.0 / value.sqrt()));
    let half = &root.eigenvectors * scale * root.eigenvectors.transpose();
    2.0 / (&half * d * &half).symmetric_eigenvalues().max()
}

/// Every figure that a record of a network has, from the dense Hessians of its batches and of its single samples.
#[test]
fn figures_of_a_network_are_those_of_its_dense_hessians() {
    const N: usize = 24;
    const B: usize = 6;
    let data = Dataset::load(&DataSpec::Digits, Split::Train).unwrap().take(N).unwrap();
    let model = Model::new(&"mlp:64-3-10:tanh".parse().unwrap(), data.sample_shape(), 10).unwrap();
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let theta = model.initial_parameters(3, DType::F64).unwrap();
    let options_of_network = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let (model, loss) = (&model, LossSpec::cross_entropy());
    let network = SampledNetwork { model, buffers: &buffers, loss, data: &data, options: options_of_network };
    let batches: &dyn SampledObjective = &network;
    let size = theta.elem_count();
    let identity = Tensor::eye(size, DType::F64, &Device::Cpu).unwrap();
    let dense = |positions: &[usize]| {
        let rows = batches.with_batch(positions, |batch| batch.linearize(&theta)?.hessian(&identity)).unwrap();
        DMatrix::from_row_slice(size, size, &rows.flatten_all().unwrap().to_vec1::<f64>().unwrap())
    };
    let options = BatchHessianOptions { adam: Some(AdamOptions::default()), ..options(&[B, N], 3) };
    let measured = options.measure(batches, &theta, CurvatureMatrix::Hessian, &(), |_| Ok(())).unwrap();
    let (found, work, moment) = (measured.result, measured.work, measured.second_moment.unwrap());
    assert!(found.converged() && work.products > 0);

    let all = dense(&(0..N).collect::<Vec<_>>());
    let eigen = all.clone().symmetric_eigen();
    let v = eigen.eigenvectors.column(eigen.eigenvalues.imax()).into_owned();
    let lambda = eigen.eigenvalues.max();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-7 * lambda, "{found}, {expected}");
    near(found.empirical.lambda_max, lambda);
    near(found.empirical.lambda_min.unwrap(), eigen.eigenvalues.min());
    for draw in &found.rows[0].values {
        let of_batch = dense(&batch(N, B, draw.draw as usize, 0)).symmetric_eigen();
        near(draw.eigenvalues[0].value, of_batch.eigenvalues.max());
        near(draw.eigenvalues[1].value, of_batch.eigenvalues.min());
        let w = of_batch.eigenvectors.column(of_batch.eigenvalues.imax());
        assert!((draw.overlap - w.dot(&v).powi(2)).abs() < 1e-6, "{draw:?}");
    }

    let single: Vec<DMatrix<f64>> = (0..N).map(|i| dense(&[i]) - &all).collect();
    let variance = |of: &dyn Fn(&DMatrix<f64>) -> f64| single.iter().map(of).sum::<f64>() / (N - 1) as f64;
    let within = |estimate: &Estimate, expected: f64| {
        let apart = (estimate.value - expected).abs();
        assert!(apart < 4.0 * estimate.stderr.unwrap(), "{estimate:?}, expected {expected}");
    };
    let total = variance(&|apart| apart.norm_squared()) / size as f64;
    within(&found.noise.total, total);
    within(
        found.noise.curvature_along_top.as_ref().unwrap(),
        variance(&|apart| (v.transpose() * apart * &v)[0].powi(2)),
    );
    within(found.noise.product_along_top.as_ref().unwrap(), variance(&|apart| (apart * &v).norm_squared()));
    within(found.empirical.trace.as_ref().unwrap(), all.trace());
    within(found.empirical.squared_frobenius.as_ref().unwrap(), all.norm_squared());

    let row = &found.rows[0];
    let predicted = spiked_wigner(lambda, total * inverse_effective_batch(B, N), true);
    let error = 4.0 * row.predicted_lambda_max_stderr.unwrap() + 1e-7 * lambda;
    assert!((row.predicted_lambda_max - predicted).abs() < error, "{row:?}, {predicted}");
    let scale = moment.at(inverse_effective_batch(B, N)).unwrap().to_vec1::<f64>().unwrap();
    let scale = DVector::from_vec(scale).map(|moment| 1.0 / (moment.sqrt() + 1e-8).sqrt());
    let scale = DMatrix::from_diagonal(&scale);
    for draw in &row.values {
        let largest = ends(&(&scale * dense(&batch(N, B, draw.draw as usize, 0)) * &scale)).0;
        let found = draw.preconditioned.unwrap().value;
        assert!((found - largest).abs() < 1e-6 * largest, "{found}, {largest}");
    }
}

#[test]
fn parts_of_the_draws_make_the_whole() {
    let samples = indefinite(16, 6);
    let all = BatchHessianOptions { adam: Some(AdamOptions::default()), ..options(&[4, 8, 16], 3) };
    let measure = |options: &BatchHessianOptions| measure(&samples, options, CurvatureMatrix::Hessian);
    let whole = measure(&all);
    let parts = [2, 1, 3].map(|part| measure(&BatchHessianOptions { shard: Some((part, 3)), ..all.clone() }));
    let mut together = merged(&parts).unwrap();
    // Directions are the first batches' that a part has.
    for (row, other) in together.rows.iter_mut().zip(&whole.rows) {
        row.max_learning_rate_mean_square_directions = other.max_learning_rate_mean_square_directions.clone();
    }
    assert_eq!(together, whole);
    for wrong in [&parts[..2], &[], &[parts[0].clone(), parts[1].clone(), parts[1].clone()]] {
        assert!(merged(wrong).is_err());
    }
    let other = measure(&BatchHessianOptions { shard: Some((3, 3)), momentum: 0.5, ..all });
    assert!(merged(&[parts[0].clone(), parts[1].clone(), other]).is_err());
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
    let adam = |beta1, epsilon| BatchHessianOptions { adam: Some(AdamOptions { beta1, epsilon }), ..options(&[4], 2) };
    assert!(refused(adam(1.0, 1e-8)) && refused(adam(0.9, 0.0)) && !refused(adam(0.0, 1e-8)));
    let density = DensityOptions { probes: 0, ..DensityOptions::default() };
    assert!(refused(BatchHessianOptions { density: Some(density), ..options(&[4], 2) }));
    assert!(refused(BatchHessianOptions { shard: Some((3, 2)), ..options(&[4], 2) }));
    assert!(options(&[4, 16], 2).check(16).is_ok() && options(&[1], 2).check(1).is_err());
}
