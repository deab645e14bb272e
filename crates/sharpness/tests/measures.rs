//! Gradient norm to critical sharpness: closed forms, dense references, calibrated errors, and the rescaling of layers that
//! leaves a network's function as it is.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::data::{Dataset, Targets};
use basin_objective::models::Model;
use basin_objective::random::stream;
use basin_objective::{Evaluation, Linearized, LossSpec, Network, NetworkOptions, Objective, Quadratic, Result};
use basin_records::sharpness::{Measure, Measurement, Norm};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::neighbourhood::{Ball, Centre, WorstCase, asam, average_case, sam, worst_case};
use basin_sharpness::{
    ACCURACY_DROP, Curvature, CurvatureMatrix, Direction, Fisher, MAGNITUDE_FLOOR, Noise, critical_sharpness,
    fisher_rao, gradient_norm, pac_bayes, relative_flatness, softmax_relative_flatness,
};
use basin_tape::Layout;
use candle_core::{DType, Device, Tensor};
use rand_distr::{Distribution, StandardNormal};

/// Relative error of what is computed in another order: f64 rounding over some thousand terms.
const ROUNDING: f64 = 1e-10;

fn tensor(elements: &[f64]) -> Tensor {
    Tensor::new(elements, &Device::Cpu).unwrap()
}

fn normal(count: usize, name: &str) -> Vec<f64> {
    StandardNormal.sample_iter(stream(0, "test", name)).take(count).collect()
}

fn matrix(rows: usize, columns: usize, name: &str) -> Tensor {
    tensor(&normal(rows * columns, name)).reshape((rows, columns)).unwrap()
}

fn symmetric(p: usize) -> Tensor {
    let a = matrix(p, p, "hessian");
    (&a + a.t().unwrap()).unwrap().contiguous().unwrap()
}

#[track_caller]
fn assert_near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{found} instead of {expected}");
}

/// The bounds are four standard errors of the two moments of 200 numbers of standard deviation 1, and the seeds are fixed.
#[track_caller]
fn assert_calibrated(scores: &[f64]) {
    let n = scores.len() as f64;
    let mean = scores.iter().sum::<f64>() / n;
    let std = (scores.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    assert!(mean.abs() < 4.0 / n.sqrt(), "mean {mean}");
    assert!((std - 1.0).abs() < 4.0 / (2.0 * n).sqrt(), "standard deviation {std}");
}

/// Features of the hidden layer, and logits.
fn layers(model: &Model, theta: &Tensor, inputs: &Tensor) -> [Tensor; 2] {
    let views = model.parameters().views(theta).unwrap();
    let affine = |x: &Tensor, w: &Tensor, b: &Tensor| x.matmul(&w.t().unwrap()).unwrap().broadcast_add(b).unwrap();
    let features = affine(inputs, &views[0], &views[1]).relu().unwrap();
    let logits = affine(&features, &views[2], &views[3]);
    [features, logits]
}

/// 40 random points, and a network with one hidden layer of ReLUs whose own answers are their classes.
struct Problem {
    model: Model,
    buffers: Tensor,
    data: Dataset,
    theta: Tensor,
}

impl Problem {
    fn new() -> Self {
        let inputs = matrix(40, 4, "inputs");
        let model = Model::new(&"mlp:4-6-3:relu".parse().unwrap(), &[4], 3).unwrap();
        let buffers = model.initial_buffers(DType::F64).unwrap();
        let theta = tensor(&normal(model.parameters().len(), "theta"));
        let labels = layers(&model, &theta, &inputs)[1].argmax(1).unwrap().to_dtype(DType::I64).unwrap();
        let data = Dataset::from_tensors("test", inputs, Targets::classes(labels, 3)).unwrap();
        Self { model, buffers, data, theta }
    }

    fn network(&self) -> Network<'_> {
        let options = NetworkOptions { dtype: DType::F64, micro_batch: Some(16), ..NetworkOptions::default() };
        Network::new(&self.model, &self.buffers, LossSpec::cross_entropy(), &self.data, options).unwrap()
    }

    /// The weights and biases of the hidden layer by α and the last weights by 1/α: the same function (Dinh et al. 2017).
    fn rescaled(&self, alpha: f64) -> Tensor {
        let layout = self.model.parameters();
        let views = layout.views(&self.theta).unwrap();
        let scaled = layout.entries().iter().zip(views).map(|(entry, view)| {
            let factor = match entry.name.as_str() {
                "fc1.weight" | "fc1.bias" => alpha,
                "fc2.weight" => 1.0 / alpha,
                _ => 1.0,
            };
            Some((view * factor).unwrap())
        });
        layout.join(scaled.collect(), DType::F64, &Device::Cpu).unwrap()
    }

    /// Every measure at θ.
    fn measured(&self, theta: &Tensor) -> Vec<Measurement> {
        let network = self.network();
        let centre = Centre::new(&network, theta).unwrap();
        let at = network.linearize(theta).unwrap();
        let search = WorstCase { iterations: 20, starts: 2, seed: 0 };
        let mut go = |_| Ok(());
        let mut found = Vec::new();
        for norm in [Norm::L2, Norm::Linf] {
            for adaptive in [false, true] {
                let ball = Ball { norm, adaptive, rho: 0.05 };
                found.push(worst_case(&centre, &ball, &search, &mut go).unwrap());
                found.push(average_case(&centre, &ball, 8, 0, &mut go).unwrap());
            }
        }
        found.push(sam(&centre, 0.05, &mut go).unwrap());
        found.push(asam(&centre, 0.5, &mut go).unwrap());
        found.push(gradient_norm(&centre).unwrap());
        found.push(fisher_rao(at.as_ref(), theta, Fisher::Predictions).unwrap());
        found.push(fisher_rao(at.as_ref(), theta, Fisher::Empirical).unwrap());
        found.extend(relative_flatness(at.as_ref(), theta, self.model.parameters(), 4, 0, &mut go).unwrap());
        for noise in [Noise::Equal, Noise::Magnitude] {
            found.push(pac_bayes(&centre, noise, 4, 0, &mut go).unwrap());
        }
        found.push(critical_sharpness(&centre, &Direction::Gradient, &mut go).unwrap());
        let lanczos = Lanczos { top: 1, bottom: 0, ..Lanczos::default() };
        let hessian = Curvature::new(&network, theta, CurvatureMatrix::Hessian).unwrap();
        let largest = lanczos.extremes(&hessian, |_| Ok(())).unwrap().eigenvalues[0];
        found.push(Measurement::new(Measure::LambdaMax, largest.value));
        found
    }
}

#[test]
fn measures_are_invariant_to_rescaled_layers_as_they_say() {
    let problem = Problem::new();
    let (before, after) = (problem.measured(&problem.theta), problem.measured(&problem.rescaled(3.0)));
    assert!(before.iter().filter(|found| found.invariant).count() >= 9);
    for (a, b) in before.iter().zip(&after) {
        let change = (a.value - b.value).abs() / a.value.abs();
        if a.invariant {
            assert!(change < 1e-8, "{}: {} and {}", a.column(), a.value, b.value);
        } else if a.measure == Measure::AdaptivePacBayes {
            // Its floor alone changes with the scale.
            assert!(change < 0.1, "{}: {} and {}", a.column(), a.value, b.value);
        } else {
            assert!(change > 0.02, "{}: {} and {}", a.column(), a.value, b.value);
        }
    }
}

/// Regression against means of batch means: 40 samples in micro-batches of 16, 16 and 8 are one mean.
#[test]
fn an_uneven_last_batch_changes_no_measure() {
    let problem = Problem::new();
    let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let whole =
        Network::new(&problem.model, &problem.buffers, LossSpec::cross_entropy(), &problem.data, options).unwrap();
    let uneven = problem.network();
    for norm in [Norm::L2, Norm::Linf] {
        let of = |network: &Network<'_>| {
            let centre = Centre::new(network, &problem.theta).unwrap();
            let ball = Ball { norm, adaptive: true, rho: 0.05 };
            let search = WorstCase { iterations: 10, starts: 1, seed: 0 };
            [
                worst_case(&centre, &ball, &search, &mut |_| Ok(())).unwrap().value,
                average_case(&centre, &ball, 4, 0, &mut |_| Ok(())).unwrap().value,
                gradient_norm(&centre).unwrap().value,
            ]
        };
        of(&whole).into_iter().zip(of(&uneven)).for_each(|(a, b)| assert_near(a, b, 1e-9));
    }
}

#[test]
fn the_fisher_rao_norm_is_the_mean_squared_slope_along_the_weights() {
    let problem = Problem::new();
    let network = problem.network();
    let theta = &problem.theta;
    let at = network.linearize(theta).unwrap();
    // gᵢᵀθ by central differences of each sample's loss.
    let h = 1e-5;
    let [ahead, behind] = [1.0 + h, 1.0 - h].map(|scale| network.sample_losses(&(theta * scale).unwrap()).unwrap());
    let expected: f64 =
        ahead.iter().zip(&behind).map(|(a, b)| ((a - b) / (2.0 * h)).powi(2)).sum::<f64>() / ahead.len() as f64;
    assert_near(fisher_rao(at.as_ref(), theta, Fisher::Empirical).unwrap().value, expected, 1e-7);
    // Drawn labels estimate the other one: 400 draws of 40 samples.
    let product =
        at.fisher(theta, basin_objective::DrawnLabels { seed: 0, draws: 400 }).unwrap().to_vec1::<f64>().unwrap();
    let drawn: f64 = product.iter().zip(theta.to_vec1::<f64>().unwrap()).map(|(a, b)| a * b).sum();
    assert_near(drawn, fisher_rao(at.as_ref(), theta, Fisher::Predictions).unwrap().value, 0.1);
}

/// κ of a layer by its definition, from the dense Hessian.
fn dense_relative_flatness(at: &dyn Linearized, theta: &Tensor, offset: usize, rows: usize, columns: usize) -> f64 {
    let p = theta.elem_count();
    let unit = |i: usize| tensor(&(0..p).map(|j| f64::from(i == j)).collect::<Vec<_>>());
    let weights = theta.to_vec1::<f64>().unwrap();
    let row = |s: usize| &weights[offset + s * columns..offset + (s + 1) * columns];
    let mut kappa = 0.0;
    for t in 0..rows {
        for m in 0..columns {
            let column = at.hessian(&unit(offset + t * columns + m)).unwrap().to_vec1::<f64>().unwrap();
            for s in 0..rows {
                let inner: f64 = row(s).iter().zip(row(t)).map(|(a, b)| a * b).sum();
                kappa += inner * column[offset + s * columns + m];
            }
        }
    }
    kappa
}

#[test]
fn relative_flatness_in_closed_form_is_that_of_the_dense_hessian() {
    let problem = Problem::new();
    let network = problem.network();
    let at = network.linearize(&problem.theta).unwrap();
    let views = problem.model.parameters().views(&problem.theta).unwrap();
    let [features, logits] = layers(&problem.model, &problem.theta, &problem.data.inputs.tensor().unwrap());
    let found = softmax_relative_flatness(&features, &logits, &views[2]).unwrap();
    let offset = problem.model.parameters().entries()[2].offset;
    assert_near(found, dense_relative_flatness(at.as_ref(), &problem.theta, offset, 3, 6), ROUNDING);
    assert!(softmax_relative_flatness(&features, &logits, &views[0]).is_err());
}

#[test]
fn relative_flatness_by_products_is_that_of_the_dense_hessian_within_its_error() {
    let mut layout = Layout::default();
    layout.push("fc1.weight", &[3, 4]);
    layout.push("fc1.bias", &[3]);
    layout.push("conv.weight", &[2, 3, 1, 2]);
    let p = layout.len();
    let quadratic = Quadratic::new(symmetric(p), tensor(&vec![0.0; p])).unwrap();
    let theta = tensor(&normal(p, "theta"));
    let at = quadratic.linearize(&theta).unwrap();
    let expected =
        [dense_relative_flatness(at.as_ref(), &theta, 0, 3, 4), dense_relative_flatness(at.as_ref(), &theta, 15, 2, 6)];
    let found: Vec<Vec<Measurement>> = (0..200)
        .map(|seed| relative_flatness(at.as_ref(), &theta, &layout, 30, seed, &mut |_| Ok(())).unwrap())
        .collect();
    for (layer, expected) in expected.into_iter().enumerate() {
        let score = |found: &Vec<Measurement>| (found[layer].value - expected) / found[layer].stderr.unwrap();
        assert_calibrated(&found.iter().map(score).collect::<Vec<_>>());
    }
    let layers: Vec<_> = found[0].iter().map(|found| found.layer.clone().unwrap()).collect();
    assert_eq!(layers, ["fc1.weight", "conv.weight"]);
    let mut vectors = Layout::default();
    vectors.push("bias", &[p]);
    let refused = |layout, probes| relative_flatness(at.as_ref(), &theta, layout, probes, 0, &mut |_| Ok(())).is_err();
    assert!(refused(&vectors, 8) && refused(&layout, 1));
}

#[test]
fn critical_sharpness_of_a_quadratic_is_a_rayleigh_quotient() {
    let a = matrix(6, 6, "root");
    let hessian = a.matmul(&a.t().unwrap()).unwrap();
    let quadratic = Quadratic::new(hessian, tensor(&normal(6, "minimum"))).unwrap();
    let theta = tensor(&normal(6, "theta"));
    let centre = Centre::new(&quadratic, &theta).unwrap();
    let at = quadratic.linearize(&theta).unwrap();
    let dot = |a: &Tensor, b: &Tensor| basin_tape::vector::dot(a, b).unwrap();
    let g = centre.gradient();
    let found = critical_sharpness(&centre, &Direction::Gradient, &mut |_| Ok(())).unwrap();
    assert_near(found.value, dot(g, &at.hessian(g).unwrap()) / dot(g, g), 2e-5);
    assert!(found.converged && found.residual.unwrap() <= 2e-5 * found.value, "{found:?}");

    let d = (g.neg().unwrap() + tensor(&normal(6, "aside"))).unwrap();
    let found = critical_sharpness(&centre, &Direction::Update(&(&theta + &d).unwrap()), &mut |_| Ok(())).unwrap();
    assert_near(found.value, -dot(&d, &at.hessian(&d).unwrap()) / dot(g, &d), 2e-5);
    assert_eq!(found.measure, Measure::CriticalUpdate);

    for (other, reason) in [((&theta - &d).unwrap(), "does not lead down"), (theta.clone(), "it is zero")] {
        let found = critical_sharpness(&centre, &Direction::Update(&other), &mut |_| Ok(())).unwrap();
        assert!(!found.converged && found.value.is_nan() && found.reason.contains(reason), "{found:?}");
    }
    assert!(critical_sharpness(&centre, &Direction::Update(&tensor(&[1.0])), &mut |_| Ok(())).is_err());
}

#[test]
fn critical_sharpness_without_an_answer_says_why() {
    let unit = |h: f64| Quadratic::new(tensor(&[h]).reshape((1, 1)).unwrap(), tensor(&[0.0])).unwrap();
    // A minimum, and a hill down which the loss falls for ever.
    for (h, theta) in [(2.0, 0.0), (-2.0, 1.0)] {
        let quadratic = unit(h);
        let centre = Centre::new(&quadratic, &tensor(&[theta])).unwrap();
        let found = critical_sharpness(&centre, &Direction::Gradient, &mut |_| Ok(())).unwrap();
        assert!(!found.converged && found.value.is_nan() && !found.reason.is_empty(), "{found:?}");
    }
}

/// Accuracy falls with the squared distance: 1 − mean (θ − θ₀)².
struct Falling {
    inner: Quadratic,
    origin: Tensor,
}

impl Falling {
    fn new(origin: Tensor) -> Self {
        let p = origin.elem_count();
        let inner = Quadratic::new(Tensor::eye(p, DType::F64, &Device::Cpu).unwrap(), origin.clone()).unwrap();
        Self { inner, origin }
    }
}

impl Objective for Falling {
    fn dimension(&self) -> usize {
        self.inner.dimension()
    }
    fn samples(&self) -> usize {
        1
    }
    fn device(&self) -> &Device {
        &Device::Cpu
    }
    fn dtype(&self) -> DType {
        DType::F64
    }
    fn evaluate(&self, theta: &Tensor) -> Result<Evaluation> {
        let loss = self.inner.evaluate(theta)?.loss;
        Ok(Evaluation { loss, accuracy: Some(1.0 - 2.0 * loss / self.origin.elem_count() as f64) })
    }
    fn gradient(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
        self.inner.gradient(theta)
    }
    fn sample_losses(&self, theta: &Tensor) -> Result<Vec<f64>> {
        self.inner.sample_losses(theta)
    }
    fn linearize<'a>(&'a self, theta: &Tensor) -> Result<Box<dyn Linearized + 'a>> {
        self.inner.linearize(theta)
    }
}

/// Regression against a peer that passed the variance where its random generator wants the standard deviation: the noise
/// scale is known where accuracy falls by the mean square of the noise.
#[test]
fn pac_bayes_finds_a_known_standard_deviation_within_its_error() {
    let origin = tensor(&normal(60, "origin").iter().map(|x| 1.0 + 0.5 * x).collect::<Vec<_>>());
    let falling = Falling::new(origin.clone());
    let mean_square = origin.sqr().unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
    let centre = Centre::new(&falling, &origin).unwrap();
    for (noise, expected) in [
        (Noise::Equal, ACCURACY_DROP.sqrt()),
        (Noise::Magnitude, ((ACCURACY_DROP - MAGNITUDE_FLOOR * MAGNITUDE_FLOOR) / mean_square).sqrt()),
    ] {
        let scores: Vec<f64> = (0..200)
            .map(|seed| {
                let found = pac_bayes(&centre, noise, 14, seed, &mut |_| Ok(())).unwrap();
                assert!(found.converged && found.residual.unwrap() < 0.01 * found.value, "{found:?}");
                (found.value - expected) / found.stderr.unwrap()
            })
            .collect();
        assert_calibrated(&scores);
    }
}

#[test]
fn pac_bayes_without_a_crossing_says_so() {
    let zero = tensor(&[0.0; 3]);
    let falling = Falling::new(zero.clone());
    let centre = Centre::new(&falling, &zero).unwrap();
    // Noise in proportion to weights that are zero is only the floor.
    let found = pac_bayes(&centre, Noise::Magnitude, 4, 0, &mut |_| Ok(())).unwrap();
    assert!(!found.converged && found.lower_bound && found.reason.contains("no noise"), "{found:?}");
    assert!(pac_bayes(&centre, Noise::Equal, 1, 0, &mut |_| Ok(())).unwrap_err().is_bad_input());
    let quadratic = Quadratic::new(Tensor::eye(3, DType::F64, &Device::Cpu).unwrap(), zero.clone()).unwrap();
    let centre = Centre::new(&quadratic, &zero).unwrap();
    assert!(pac_bayes(&centre, Noise::Equal, 4, 0, &mut |_| Ok(())).unwrap_err().is_bad_input());
}

/// An error of the observer, such as an interruption, ends every measure.
#[test]
fn an_interruption_ends_every_measure() {
    let problem = Problem::new();
    let network = problem.network();
    let centre = Centre::new(&network, &problem.theta).unwrap();
    let ball = Ball { norm: Norm::L2, adaptive: false, rho: 0.1 };
    let at = network.linearize(&problem.theta).unwrap();
    let mut stop = |_| Err(basin_objective::Error::Interrupted);
    assert!(worst_case(&centre, &ball, &WorstCase::default(), &mut stop).is_err());
    assert!(average_case(&centre, &ball, 4, 0, &mut stop).is_err());
    assert!(sam(&centre, 0.1, &mut stop).is_err());
    assert!(pac_bayes(&centre, Noise::Equal, 4, 0, &mut stop).is_err());
    assert!(critical_sharpness(&centre, &Direction::Gradient, &mut stop).is_err());
    let layout = problem.model.parameters();
    assert!(relative_flatness(at.as_ref(), &problem.theta, layout, 4, 0, &mut stop).is_err());
}
