//! Keskar's measure against closed forms, brute force and values of SciPy (`tests/goldens/lbfgsb.py`).
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{Dataset, Targets};
use basin_objective::models::{BatchNorm, Model};
use basin_objective::{Error, Evaluation, Linearized, LossSpec, Network, NetworkOptions, Objective, Quadratic, Result};
use basin_records::keskar::{Columns, Subspace};
use basin_sharpness::{KeskarOptions, Manifold, Maximum, Neighbourhood, Search, keskar};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use serde::Deserialize;

/// Relative error where the maximiser stands in a corner of the box: rounding alone.
const ROUNDING: f64 = 1e-12;
/// Relative error against SciPy after ten iterations in f64.
const GOLDEN: f64 = 1e-8;

fn tensor(elements: &[f64]) -> Tensor {
    Tensor::new(elements, &Device::Cpu).unwrap()
}

fn diagonal(curvatures: &[f64], centre: &[f64]) -> Quadratic {
    let n = curvatures.len();
    let matrix: Vec<f64> = (0..n * n).map(|k| if k / n == k % n { curvatures[k / n] } else { 0.0 }).collect();
    Quadratic::new(tensor(&matrix).reshape((n, n)).unwrap(), tensor(centre)).unwrap()
}

fn maximize(objective: &dyn Objective, theta: &[f64], epsilon: f64, manifold: Option<&Manifold>) -> Maximum {
    let theta = tensor(theta).to_dtype(objective.dtype()).unwrap();
    let neighbourhood = Neighbourhood::new(objective, &theta).unwrap();
    neighbourhood.maximize(epsilon, manifold, &Search::default(), &mut || Ok(())).unwrap()
}

/// max of ½ h (d + y)² over |y| ≤ r.
fn separable_maximum(curvature: f64, distance: f64, half: f64) -> f64 {
    let inside = (-distance).clamp(-half, half);
    [-half, half, inside].map(|y| 0.5 * curvature * (distance + y).powi(2)).into_iter().fold(f64::MIN, f64::max)
}

fn separable_value(curvatures: &[f64], centre: &[f64], theta: &[f64], epsilon: f64) -> f64 {
    let sum = |half: &dyn Fn(f64) -> f64| -> f64 {
        (0..theta.len()).map(|i| separable_maximum(curvatures[i], theta[i] - centre[i], half(theta[i]))).sum()
    };
    let (loss, largest) = (sum(&|_| 0.0), sum(&|theta| epsilon * (theta.abs() + 1.0)));
    100.0 * (largest - loss) / (1.0 + loss)
}

#[track_caller]
fn assert_near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs().max(1e-3), "{found} instead of {expected}");
}

#[test]
fn separable_quadratics_reach_their_maximum_in_ten_iterations() {
    let curvatures = [1.0, 30.0, 0.2, -2.0, 5.0, -0.5];
    let (centre, theta) = ([0.0, 1.0, -2.0, 0.3, 0.1, 0.0], [0.5, 0.7, -1.0, 0.6, 0.1001, -0.2]);
    for epsilon in [1e-3, 5e-4, 0.1, 1.0] {
        let quadratic = diagonal(&curvatures, &centre);
        let found = maximize(&quadratic, &theta, epsilon, None);
        assert_near(found.value, separable_value(&curvatures, &centre, &theta, epsilon), 1e-9);
        assert!(found.iterations <= 10 && found.evaluations > found.iterations);
    }
}

#[test]
fn a_stationary_start_is_left_and_says_so() {
    // A minimum, a saddle and a valley; the gradient is exactly zero.
    for curvatures in [[2.0, 4.0, 1.0], [2.0, -4.0, 1.0], [1.0, 0.0, 0.0]] {
        for epsilon in [1e-3, 1e-6, 1.0] {
            let centre = [0.5, -1.0, 0.0];
            let found = maximize(&diagonal(&curvatures, &centre), &centre, epsilon, None);
            assert_near(
                found.value / (epsilon * epsilon),
                separable_value(&curvatures, &centre, &centre, epsilon) / (epsilon * epsilon),
                1e-6,
            );
            assert!(found.reason.contains("random point"), "{}", found.reason);
        }
    }
}

#[test]
fn a_maximum_is_zero_and_says_why() {
    let found = maximize(&diagonal(&[-1.0, -2.0], &[0.0, 0.0]), &[0.0, 0.0], 1e-3, None);
    assert_eq!((found.value, found.loss, &found.y[..]), (0.0, 0.0, &[0.0, 0.0][..]));
    assert!(found.reason.starts_with("nothing above the loss at θ was found"), "{}", found.reason);
    let found = maximize(&diagonal(&[0.0], &[0.0]), &[1.0], 1e-3, None);
    assert_eq!(found.value, 0.0);
}

/// Another objective whose loss is L + offset, rounded to a step: as a network in few digits shows it.
struct Coarse {
    inner: Quadratic,
    step: f64,
    /// From which distance of θ₀ on the loss is infinite.
    wall: f64,
}

impl Objective for Coarse {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }
    fn samples(&self) -> usize {
        1
    }
    fn device(&self) -> &Device {
        self.inner.device()
    }
    fn dtype(&self) -> DType {
        self.inner.dtype()
    }
    fn evaluate(&self, theta: &Tensor) -> Result<Evaluation> {
        Ok(Evaluation { loss: self.gradient(theta)?.0, accuracy: None })
    }
    fn gradient(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
        let (loss, gradient) = self.inner.gradient(theta)?;
        if theta.get(0)?.to_dtype(DType::F64)?.to_scalar::<f64>()?.abs() > self.wall {
            return Ok((f64::INFINITY, (gradient * f64::NAN)?));
        }
        Ok((1.0 + (loss / self.step).round() * self.step, gradient))
    }
    fn sample_losses(&self, theta: &Tensor) -> Result<Vec<f64>> {
        Ok(vec![self.gradient(theta)?.0])
    }
    fn linearize<'a>(&'a self, theta: &Tensor) -> Result<Box<dyn Linearized + 'a>> {
        self.inner.linearize(theta)
    }
}

#[test]
fn a_line_search_that_drowns_in_rounding_starts_again_at_random() {
    // First order and curvature are both far below a step of the loss near θ, and above it at the edge of the box.
    let hessian = Tensor::eye(50, DType::F32, &Device::Cpu).unwrap();
    let centre = Tensor::zeros(50, DType::F32, &Device::Cpu).unwrap();
    let inner = Quadratic::new((hessian * 1e-2).unwrap(), centre).unwrap();
    let coarse = Coarse { inner, step: f64::from(f32::EPSILON), wall: f64::INFINITY };
    let found = maximize(&coarse, &[1e-4; 50], 1e-2, None);
    let largest = 100.0 * 0.5 * 1e-2 * 50.0 * 1e-4 / 2.0;
    assert!(found.value > 0.4 * largest, "{found:?}");
    assert!(found.reason.contains("stalled"), "{}", found.reason);
}

#[test]
fn losses_that_are_not_finite_are_backed_off_from_and_counted() {
    let walled = Coarse { inner: diagonal(&[1.0, 1.0], &[0.0, 0.0]), step: 1e-12, wall: 0.15 };
    let found = maximize(&walled, &[0.1, 0.1], 0.1, None);
    assert!(found.value > 0.0 && found.loss.is_finite(), "{found:?}");
    assert!(found.reason.contains("not finite"), "{}", found.reason);
}

#[test]
fn a_start_that_is_not_finite_is_no_maximum() {
    // The random starts lie behind the wall, where the loss is infinite.
    let walled = Coarse { inner: diagonal(&[1.0], &[0.0]), step: 1e-12, wall: 1e-9 };
    let found = maximize(&walled, &[0.0], 1e-3, None);
    assert_eq!((found.value, found.loss), (0.0, 1.0));
    assert!(found.reason.starts_with("nothing above") && found.reason.contains("not finite"), "{}", found.reason);
}

#[test]
fn a_gain_that_may_be_rounding_is_marked() {
    let coarse = Coarse { inner: diagonal(&[1.0], &[0.0]), step: 1e-17, wall: f64::INFINITY };
    let found = maximize(&coarse, &[0.0], 1e-8, None);
    assert!(found.value < 1e-13 && (found.value == 0.0 || found.reason.contains("within the rounding")), "{found:?}");
}

#[test]
fn manifolds_agree_with_brute_force() {
    let n = 6;
    let entries: Vec<f64> = (0..n * n).map(|k| ((k * k) as f64 * 0.37).sin()).collect();
    let root = tensor(&entries).reshape((n, n)).unwrap();
    let hessian = root.matmul(&root.t().unwrap()).unwrap();
    let quadratic = Quadratic::new(hessian, tensor(&[0.0; 6])).unwrap();
    let theta = [1.0, -0.5, 0.3, 0.8, -1.2, 0.4];
    for columns in [Columns::Gaussian, Columns::Uniform, Columns::Orthonormal] {
        for p in [1, 3, n] {
            let manifold = Manifold::draw(n, p, columns, 5, 0).unwrap();
            let neighbourhood = Neighbourhood::new(&quadratic, &tensor(&theta)).unwrap();
            let half = neighbourhood.half_widths(1e-3, Some(&manifold));
            let corner = |signs: usize| {
                let y: Vec<f64> =
                    half.iter().enumerate().map(|(i, r)| if signs >> i & 1 == 1 { *r } else { -r }).collect();
                let moved: Vec<f64> = theta.iter().zip(manifold.apply(&y)).map(|(a, b)| a + b).collect();
                quadratic.evaluate(&tensor(&moved)).unwrap().loss
            };
            let largest = (0..1 << p).map(corner).fold(f64::MIN, f64::max);
            let found = maximize(&quadratic, &theta, 1e-3, Some(&manifold));
            assert_near(found.loss, largest, ROUNDING);
        }
    }
}

#[derive(Deserialize)]
struct Golden {
    sizes: Vec<usize>,
    inputs: Vec<Vec<f64>>,
    labels: Vec<i64>,
    theta: Vec<f64>,
    loss: f64,
    columns: Vec<Vec<f64>>,
    measurements: Vec<GoldenMeasurement>,
}

#[derive(Deserialize)]
struct GoldenMeasurement {
    subspace: Subspace,
    epsilon: f64,
    half_widths: Vec<f64>,
    y: Vec<f64>,
    max_loss: f64,
    value: f64,
    iterations: usize,
    evaluations: usize,
    last_gain: f64,
}

impl Golden {
    fn read() -> Self {
        serde_json::from_str(include_str!("../../../tests/goldens/keskar.json")).unwrap()
    }

    fn model(&self) -> Model {
        let sizes: Vec<String> = self.sizes.iter().map(ToString::to_string).collect();
        let spec = format!("mlp:{}:tanh", sizes.join("-")).parse().unwrap();
        Model::new(&spec, &self.sizes[..1], 3).unwrap()
    }

    fn data(&self) -> Dataset {
        let inputs = tensor(&self.inputs.concat()).reshape((self.inputs.len(), self.sizes[0])).unwrap();
        let labels = Tensor::new(&self.labels[..], &Device::Cpu).unwrap();
        Dataset::from_tensors("golden", inputs, Targets::classes(labels, 3)).unwrap()
    }

    fn options(dtype: DType) -> NetworkOptions {
        NetworkOptions { dtype, batch_norm: BatchNorm::Stored, ..NetworkOptions::default() }
    }
}

#[test]
fn a_network_agrees_with_scipy() {
    let golden = Golden::read();
    let (model, data) = (golden.model(), golden.data());
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let network =
        Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, Golden::options(DType::F64)).unwrap();
    let neighbourhood = Neighbourhood::new(&network, &tensor(&golden.theta)).unwrap();
    assert_near(neighbourhood.loss(), golden.loss, ROUNDING);
    let manifold = Manifold::from_columns(&golden.columns).unwrap();
    for expected in &golden.measurements {
        let manifold = (expected.subspace == Subspace::Manifold).then_some(&manifold);
        let half = neighbourhood.half_widths(expected.epsilon, manifold);
        half.iter().zip(&expected.half_widths).for_each(|(a, b)| assert_near(*a, *b, ROUNDING));
        let mut evaluated = 0;
        let search = Search::default();
        let found = neighbourhood
            .maximize(expected.epsilon, manifold, &search, &mut || {
                evaluated += 1;
                Ok(())
            })
            .unwrap();
        assert_near(found.loss, expected.max_loss, ROUNDING);
        assert_near(found.value, expected.value, GOLDEN);
        // Once iterations gain nothing but rounding, its digits decide how often a line search evaluates.
        if expected.last_gain > ROUNDING {
            assert_eq!((found.iterations, found.evaluations), (expected.iterations, expected.evaluations));
        }
        // The loss at θ is evaluated once for all.
        assert_eq!(evaluated + 1, found.evaluations);
        for ((found, expected), half) in found.y.iter().zip(&expected.y).zip(&half) {
            assert!((found - expected).abs() <= GOLDEN * half, "{found} instead of {expected}");
        }
    }
}

#[test]
fn single_precision_agrees_to_its_digits() {
    let golden = Golden::read();
    let (model, data) = (golden.model(), golden.data());
    let buffers = model.initial_buffers(DType::F32).unwrap();
    let network =
        Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, Golden::options(DType::F32)).unwrap();
    for expected in golden.measurements.iter().filter(|expected| expected.subspace == Subspace::Full) {
        let found = maximize(&network, &golden.theta, expected.epsilon, None);
        assert_near(found.value, expected.value, 1e-3);
    }
}

#[test]
fn the_record_holds_every_setting_and_does_not_depend_on_threads() {
    let golden = Golden::read();
    let (model, data) = (golden.model(), golden.data());
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let network =
        Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, Golden::options(DType::F64)).unwrap();
    let options = KeskarOptions { dimension: 4, draws: 3, seed: 7, ..KeskarOptions::default() };
    let theta = tensor(&golden.theta);
    let measure = |threads: usize| {
        let mut evaluations = 0;
        let mut seen = Vec::new();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let result = pool.install(|| {
            keskar(&network, &theta, &options, &mut |progress| {
                assert_eq!(progress.total, 8);
                evaluations = progress.evaluations;
                seen.extend(progress.measurement.cloned());
                Ok(())
            })
        });
        let result = result.unwrap();
        assert_eq!(seen, result.measurements);
        // The starts at θ are counted by each search and evaluated once in all.
        let counted: u64 = result.measurements.iter().map(|measurement| measurement.evaluations).sum();
        assert_eq!(evaluations, counted - 8 + 1);
        result
    };
    let result = measure(1);
    assert_eq!(result, measure(2));
    let rows: Vec<_> =
        result.summary.iter().map(|row| (row.epsilon, row.subspace, row.columns, row.dimension, row.draws)).collect();
    let (full, manifold) = (Subspace::Full, Subspace::Manifold);
    let gaussian = Some(Columns::Gaussian);
    assert_eq!(
        rows,
        [
            (1e-3, full, None, 43, 1),
            (5e-4, full, None, 43, 1),
            (1e-3, manifold, gaussian, 4, 3),
            (5e-4, manifold, gaussian, 4, 3)
        ]
    );
    assert!(result.measurements.iter().all(|measurement| measurement.value > 0.0));
    assert!(result.summary[2].std.unwrap() > 0.0, "draws differ");
}

#[test]
fn an_observer_interrupts() {
    let quadratic = diagonal(&[1.0, 2.0], &[0.0, 0.0]);
    let options = KeskarOptions { dimension: 2, ..KeskarOptions::default() };
    let mut calls = 0;
    let stopped = keskar(&quadratic, &tensor(&[1.0, 1.0]), &options, &mut |_| {
        calls += 1;
        if calls == 3 { Err(Error::Interrupted) } else { Ok(()) }
    });
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(calls, 3);
}

#[test]
fn what_cannot_be_measured_is_refused_with_a_hint() {
    let ok = KeskarOptions { dimension: 2, ..KeskarOptions::default() };
    let wrong = [
        KeskarOptions { epsilons: vec![0.0], ..ok.clone() },
        KeskarOptions { epsilons: vec![1e-3, -1.0], ..ok.clone() },
        KeskarOptions { epsilons: vec![f64::NAN], ..ok.clone() },
        KeskarOptions { epsilons: vec![f64::INFINITY], ..ok.clone() },
        KeskarOptions { epsilons: vec![1e-3, 5e-4, 1e-3], ..ok.clone() },
        KeskarOptions { subspaces: vec![Subspace::Full, Subspace::Manifold, Subspace::Full], ..ok.clone() },
        KeskarOptions { draws: usize::MAX, ..ok.clone() },
        KeskarOptions { epsilons: vec![], ..ok.clone() },
        KeskarOptions { subspaces: vec![], ..ok.clone() },
        KeskarOptions { draws: 0, ..ok.clone() },
        KeskarOptions { iterations: 0, ..ok.clone() },
        KeskarOptions { memory: 0, ..ok.clone() },
        KeskarOptions { dimension: 0, ..ok.clone() },
        KeskarOptions { dimension: 3, ..ok.clone() },
    ];
    for options in wrong {
        let error = options.check(2).unwrap_err();
        assert!(error.is_bad_input() && error.hint().is_some(), "{options:?}: {error}");
    }
    KeskarOptions { subspaces: vec![Subspace::Full], dimension: 3, draws: 0, ..ok.clone() }.check(2).unwrap();

    let quadratic = diagonal(&[-2.0, 1.0], &[0.0, 0.0]);
    for theta in [&[1.0][..], &[f64::NAN, 0.0], &[2.0, 0.0]] {
        let error = keskar(&quadratic, &tensor(theta), &ok, &mut |_| Ok(())).unwrap_err();
        assert!(error.is_bad_input() && error.hint().is_some(), "{theta:?}: {error}");
    }
    let neighbourhood = Neighbourhood::new(&quadratic, &tensor(&[0.0, 1.0])).unwrap();
    let other = Manifold::from_columns(&[vec![1.0; 3]]).unwrap();
    assert!(neighbourhood.maximize(1e-3, Some(&other), &Search::default(), &mut || Ok(())).unwrap_err().is_bad_input());
    assert!(neighbourhood.maximize(-1e-3, None, &Search::default(), &mut || Ok(())).unwrap_err().is_bad_input());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn separable_convex_quadratics_have_the_value_of_their_corner(
        terms in prop::collection::vec((0.1..10.0, -1.0..1.0, -1.0..1.0), 1..12),
        epsilon in 1e-4..1.0,
        more in 1.0..3.0,
    ) {
        let curvatures: Vec<f64> = terms.iter().map(|term| term.0).collect();
        let centre: Vec<f64> = terms.iter().map(|term| term.1).collect();
        let theta: Vec<f64> = terms.iter().map(|term| term.2).collect();
        let quadratic = diagonal(&curvatures, &centre);
        let neighbourhood = Neighbourhood::new(&quadratic, &tensor(&theta)).unwrap();
        let found = maximize(&quadratic, &theta, epsilon, None);
        let expected = separable_value(&curvatures, &centre, &theta, epsilon);
        prop_assert!((found.value - expected).abs() <= 1e-9 * expected.max(1e-3), "{} {expected}", found.value);
        let half = neighbourhood.half_widths(epsilon, None);
        prop_assert!(found.y.iter().zip(&half).all(|(y, half)| y.abs() <= *half));
        let wider = maximize(&quadratic, &theta, epsilon * more, None);
        prop_assert!(wider.value >= found.value);
    }

    #[test]
    fn any_quadratic_has_a_lower_bound_of_its_maximum(
        curvatures in prop::collection::vec(-1.0..1.0, 8),
        theta in prop::collection::vec(-0.3..0.3, 8),
        epsilon in 1e-4..0.3,
        orthonormal in any::<bool>(),
        p in 1_usize..8,
    ) {
        let centre = vec![0.0; 8];
        let quadratic = diagonal(&curvatures, &centre);
        let full = maximize(&quadratic, &theta, epsilon, None);
        prop_assert!((0.0..=separable_value(&curvatures, &centre, &theta, epsilon) + 1e-9).contains(&full.value));
        let columns = if orthonormal { Columns::Orthonormal } else { Columns::Gaussian };
        let manifold = Manifold::draw(8, p, columns, 0, 0).unwrap();
        let found = maximize(&quadratic, &theta, epsilon, Some(&manifold));
        let half = Neighbourhood::new(&quadratic, &tensor(&theta)).unwrap().half_widths(epsilon, Some(&manifold));
        prop_assert!(found.value >= 0.0 && found.y.iter().zip(&half).all(|(y, half)| y.abs() <= *half));
    }
}
