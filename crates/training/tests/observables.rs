//! What is observed while training goes on, against the same computed from dense gradients and Hessians.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::Model;
use basin_objective::weights::Weights;
use basin_objective::{LossSpec, NetworkOptions, Objective, SampledNetwork, SampledObjective, random};
use basin_sharpness::{KeskarOptions, keskar};
use basin_training::{LearningRate, Observable, OptimizerSettings, Settings, SgdSettings, train};
use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, DVector};
use rand::seq::SliceRandom as _;

const N: usize = 40;
const RATE: f64 = 0.05;
/// Rounding of sums in f64, and the residual that eigenvalues are found with.
const ROUNDING: f64 = 1e-9;
const EIGENVALUE: f64 = 1e-3;

fn settings(batch_size: usize, observe: &[Observable]) -> Settings {
    let sgd = SgdSettings { learning_rate: LearningRate::Fixed(RATE), ..SgdSettings::default() };
    Settings {
        model: "mlp:64-3-10:tanh".into(),
        samples: Some(N),
        batch_size,
        epochs: 2,
        optimizer: OptimizerSettings::Sgd(sgd),
        dtype: "f64".into(),
        checkpoint_every: Some(1),
        observe: observe.to_vec(),
        ..Settings::default()
    }
}

/// The model on its data, with dense derivatives at a point.
struct Dense {
    model: Model,
    data: Dataset,
    buffers: Tensor,
}

impl Dense {
    fn new() -> Self {
        let data = Dataset::load(&DataSpec::Digits, Split::Train).unwrap().take(N).unwrap();
        let model = Model::new(&"mlp:64-3-10:tanh".parse().unwrap(), data.sample_shape(), 10).unwrap();
        let buffers = model.initial_buffers(DType::F64).unwrap();
        Self { model, data, buffers }
    }

    fn on<T>(&self, positions: &[usize], of: impl FnMut(&dyn Objective) -> basin_objective::Result<T>) -> T {
        let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
        let Self { model, data, buffers } = self;
        let network = SampledNetwork { model, buffers, loss: LossSpec::cross_entropy(), data, options };
        (&network as &dyn SampledObjective).with_batch(positions, of).unwrap()
    }

    fn all(&self) -> Vec<usize> {
        (0..N).collect()
    }

    fn gradient(&self, theta: &Tensor, positions: &[usize]) -> DVector<f64> {
        DVector::from_vec(self.on(positions, |batch| Ok(batch.gradient(theta)?.1.to_vec1::<f64>()?)))
    }

    fn hessian(&self, theta: &Tensor, positions: &[usize]) -> DMatrix<f64> {
        let size = theta.elem_count();
        let identity = Tensor::eye(size, DType::F64, &Device::Cpu).unwrap();
        let rows = self.on(positions, |batch| batch.linearize(theta)?.hessian(&identity));
        DMatrix::from_row_slice(size, size, &rows.flatten_all().unwrap().to_vec1::<f64>().unwrap())
    }

    fn parameters(&self, file: &Path) -> Tensor {
        self.model.gather(&Weights::read(file).unwrap(), DType::F64).unwrap().parameters
    }
}

/// What was observed in each epoch, and the parameters after them.
fn run(settings: &Settings, dense: &Dense) -> (Vec<BTreeMap<String, f64>>, Vec<Tensor>) {
    let directory = tempfile::tempdir().unwrap();
    let run = train(settings, directory.path(), &mut |_| Ok(())).unwrap();
    let parameters = run.along.iter().map(|(_, file)| dense.parameters(file)).collect();
    (run.history.epochs.into_iter().map(|epoch| epoch.observed).collect(), parameters)
}

fn near(found: f64, expected: f64, relative: f64) {
    assert!((found - expected).abs() <= relative * expected.abs(), "{found}, expected {expected}");
}

#[test]
fn one_step_of_descent_on_all_samples_has_known_strides() {
    let along = [Observable::Gradient, Observable::Stride, Observable::LossStride, Observable::Distance];
    let dense = Dense::new();
    let settings = settings(N, &along);
    let (observed, _) = run(&settings, &dense);
    let theta = dense.model.initial_parameters(settings.seed, DType::F64).unwrap();
    let gradient = dense.gradient(&theta, &dense.all());
    let mean_abs = |g: &[f64]| g.iter().map(|element| element.abs()).sum::<f64>() / g.len() as f64;
    let first = &observed[0];
    let layer = 64 * 3 + 3;
    near(first["gradient.fc1"], mean_abs(&gradient.as_slice()[..layer]), ROUNDING);
    near(first["gradient.fc2"], mean_abs(&gradient.as_slice()[layer..]), ROUNDING);
    near(first["stride"], RATE * mean_abs(gradient.as_slice()), ROUNDING);
    near(first["stride_over_rate"], mean_abs(gradient.as_slice()), ROUNDING);
    near(first["loss_stride"], RATE * gradient.norm_squared(), ROUNDING);
    near(first["loss_stride_over_rate"], gradient.norm_squared(), ROUNDING);
    near(first["distance"], RATE * gradient.norm(), ROUNDING);
    assert_eq!(first.len(), 7);
}

#[test]
fn means_are_over_the_steps_of_an_epoch() {
    let dense = Dense::new();
    let (observed, parameters) = run(&settings(10, &[Observable::LossStride, Observable::Distance]), &dense);
    let start = dense.model.initial_parameters(0, DType::F64).unwrap();
    let mut theta = start.clone();
    for (epoch, after) in parameters.iter().enumerate() {
        let mut order = dense.all();
        order.shuffle(&mut random::stream(0, "shuffle", &epoch.to_string()));
        let mut falls = Vec::new();
        for batch in order.chunks(10) {
            let mut positions = batch.to_vec();
            positions.sort_unstable();
            let gradient = dense.gradient(&theta, &positions) * RATE;
            falls.push(gradient.norm_squared() / RATE);
            theta = (theta - Tensor::from_slice(gradient.as_slice(), gradient.len(), &Device::Cpu).unwrap()).unwrap();
        }
        near(observed[epoch]["loss_stride"], falls.iter().sum::<f64>() / falls.len() as f64, ROUNDING);
        let apart = (after - &start).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
        near(observed[epoch]["distance"], apart, ROUNDING);
    }
}

#[test]
fn curvature_at_the_end_of_an_epoch_is_that_of_dense_matrices() {
    let dense = Dense::new();
    let wanted = [
        Observable::LambdaMax,
        Observable::Alignment,
        Observable::NoiseScale,
        Observable::RadiusEstimate,
        Observable::Radius,
        Observable::BatchSharpness,
        Observable::Keskar,
    ];
    let settings = settings(10, &wanted);
    let (observed, parameters) = run(&settings, &dense);
    let (theta, found) = (&parameters[1], &observed[1]);
    let (hessian, gradient) = (dense.hessian(theta, &dense.all()), dense.gradient(theta, &dense.all()));
    let mut eigen: Vec<(f64, DVector<f64>)> = {
        let eigen = hessian.clone().symmetric_eigen();
        (0..eigen.eigenvalues.len())
            .map(|i| (eigen.eigenvalues[i], eigen.eigenvectors.column(i).into_owned()))
            .collect()
    };
    eigen.sort_by(|a, b| b.0.total_cmp(&a.0));
    near(found["lambda_max"], eigen[0].0, EIGENVALUE);
    assert_eq!(found["two_over_rate"], 2.0 / RATE);
    for rank in 1..=3 {
        let cosine = eigen[rank - 1].1.dot(&gradient).powi(2) / gradient.norm_squared();
        let apart = (found[&format!("alignment.{rank}")] - cosine).abs();
        assert!(apart < 0.02, "{rank}: {apart} of {cosine}");
    }

    let single: Vec<DVector<f64>> = (0..N).map(|i| dense.gradient(theta, &[i]) - &gradient).collect();
    let trace = |of: &dyn Fn(&DVector<f64>) -> f64| single.iter().map(of).sum::<f64>() / (N - 1) as f64;
    near(found["noise_scale_simple"], trace(&|e| e.norm_squared()) / gradient.norm_squared(), ROUNDING);
    let squares: f64 = (0..16)
        .map(|draw| basin_sharpness::batch_hessian::batch(N, 10, draw, settings.seed + 2))
        .map(|positions| dense.gradient(theta, &positions).norm_squared())
        .sum::<f64>()
        / 16.0;
    let (b, n, whole) = (10.0, N as f64, gradient.norm_squared());
    let true_norm = (n * whole - b * squares) / (n - b);
    near(found["noise_scale_two_sizes"], (squares - whole) / (1.0 / b - 1.0 / n) / true_norm, ROUNDING);
    let expected = trace(&|e| (e.transpose() * &hessian * e)[0]) / (gradient.transpose() * &hessian * &gradient)[0];
    let apart = (found["noise_scale"] - expected).abs();
    assert!(apart < 4.0 * found["noise_scale.stderr"], "{apart} of {expected}");

    let values = DVector::from_vec(theta.to_vec1::<f64>().unwrap());
    let layer = 64 * 3 + 3;
    let estimate = median(values.rows(0, layer).iter()) / median(gradient.rows(0, layer).iter());
    near(found["radius_estimate.fc1"], estimate, ROUNDING);
    let radius = |i: usize| (1.0_f64 + gradient[i].powi(2)).powf(1.5) / hessian[(i, i)];
    let radii: Vec<f64> = (layer..values.len()).map(radius).collect();
    // Its diagonal is known to a tenth.
    near(found["radius.fc2"], median(radii.iter()), 0.2);

    let sharpness = |draw: usize| {
        let positions = basin_sharpness::batch_hessian::batch(N, 10, draw, settings.seed + 2);
        let (g, h) = (dense.gradient(theta, &positions), dense.hessian(theta, &positions));
        (g.transpose() * h * &g)[0] / g.norm_squared()
    };
    let mean = (0..16).map(sharpness).sum::<f64>() / 16.0;
    near(found["batch_sharpness"], mean, ROUNDING);

    let options = KeskarOptions {
        epsilons: vec![1e-3],
        subspaces: vec![basin_records::keskar::Subspace::Full],
        seed: settings.seed + 2,
        ..KeskarOptions::default()
    };
    let direct = dense.on(&dense.all(), |all| keskar(all, theta, &options, &mut |_| Ok(())));
    near(found["keskar"], direct.summary[0].mean, ROUNDING);
}

/// The middle of absolute values.
fn median<'a>(values: impl Iterator<Item = &'a f64>) -> f64 {
    let mut values: Vec<f64> = values.map(|value| value.abs()).collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[test]
fn dear_ones_are_taken_every_so_many_epochs() {
    let dense = Dense::new();
    let settings = Settings { observe_every: 2, ..settings(20, &[Observable::LambdaMax, Observable::Distance]) };
    let (observed, _) = run(&settings, &dense);
    assert!(!observed[0].contains_key("lambda_max") && observed[1].contains_key("lambda_max"));
    assert!(observed[0].contains_key("distance"));
}

/// A run that is stopped after every step observes the same.
#[test]
fn what_was_observed_survives_a_stop() {
    let along = [Observable::Gradient, Observable::Stride, Observable::LambdaMax];
    let settings = settings(10, &along);
    let undisturbed = run(&settings, &Dense::new()).0;
    let directory = tempfile::tempdir().unwrap();
    let history = loop {
        let mut steps = 0;
        let stopped = train(&settings, directory.path(), &mut |_| {
            steps += 1;
            if steps == 2 { Err(basin_objective::Error::Interrupted) } else { Ok(()) }
        });
        if let Ok(run) = stopped {
            break run.history;
        }
    };
    let found: Vec<_> = history.epochs.into_iter().map(|epoch| epoch.observed).collect();
    assert_eq!(found, undisturbed);
}
