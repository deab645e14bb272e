//! Sharpness in balls: quadratics with a known maximum and mean in every ball, and the standard error's calibration.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::{Objective, Quadratic};
use basin_records::sharpness::{Measurement, Norm};
use basin_sharpness::neighbourhood::{Ball, Centre, WorstCase, asam, average_case, sam, worst_case};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;

/// Relative error where a maximiser must stand in a corner of the box, or a formula is evaluated: rounding alone.
const ROUNDING: f64 = 1e-12;
/// Relative error of a maximum on a sphere after the default iterations, which converge linearly at the eigenvalues' ratio.
const ASCENT: f64 = 1e-4;

fn tensor(elements: &[f64]) -> Tensor {
    Tensor::new(elements, &Device::Cpu).unwrap()
}

/// ½ (θ − c)ᵀ D (θ − c) turned by a reflection I − 2 n nᵀ, so that no eigenvector lies along a weight.
fn turned(curvatures: &[f64], centre: &[f64]) -> Quadratic {
    let p = curvatures.len();
    let normal: Vec<f64> = (0..p).map(|i| ((i + 1) as f64).sin()).collect();
    let length = normal.iter().map(|x| x * x).sum::<f64>();
    let reflect = |i: usize, j: usize| f64::from(i == j) - 2.0 * normal[i] * normal[j] / length;
    let entry = |i: usize, j: usize| (0..p).map(|k| reflect(i, k) * curvatures[k] * reflect(k, j)).sum::<f64>();
    let matrix: Vec<f64> = (0..p * p).map(|k| entry(k / p, k % p)).collect();
    Quadratic::new(tensor(&matrix).reshape((p, p)).unwrap(), tensor(centre)).unwrap()
}

fn diagonal(curvatures: &[f64], centre: &[f64]) -> Quadratic {
    let p = curvatures.len();
    let matrix: Vec<f64> = (0..p * p).map(|k| if k / p == k % p { curvatures[k / p] } else { 0.0 }).collect();
    Quadratic::new(tensor(&matrix).reshape((p, p)).unwrap(), tensor(centre)).unwrap()
}

fn worst(objective: &dyn Objective, theta: &[f64], ball: Ball, search: &WorstCase) -> Measurement {
    let theta = tensor(theta).to_dtype(objective.dtype()).unwrap();
    worst_case(&Centre::new(objective, &theta).unwrap(), &ball, search, &mut |_| Ok(())).unwrap()
}

fn ball(norm: Norm, adaptive: bool, rho: f64) -> Ball {
    Ball { norm, adaptive, rho }
}

#[track_caller]
fn assert_near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{found} instead of {expected}");
}

#[test]
fn at_a_minimum_the_worst_of_an_l2_ball_is_half_the_top_eigenvalue() {
    let centre = [0.3, -1.0, 2.0, 0.0, 0.7, -0.2];
    for rho in [1e-3, 0.1, 3.0] {
        let quadratic = turned(&[5.0, 3.0, 1.0, 0.5, 0.0, -1.0], &centre);
        let found = worst(&quadratic, &centre, ball(Norm::L2, false, rho), &WorstCase::default());
        assert_near(found.value, 0.5 * rho * rho * 5.0, ASCENT);
        assert!(found.lower_bound && found.converged && !found.invariant, "{found:?}");
        assert!(found.reason.contains("all starts are random"), "{}", found.reason);
        assert!(found.spread.unwrap() < ASCENT * found.value, "{found:?}");
    }
}

#[test]
fn in_a_box_the_worst_of_a_separable_loss_is_its_best_corner() {
    let (curvatures, centre, theta) = ([5.0, 3.0, 1.0, 0.5], [0.0, 1.0, -2.0, 0.3], [0.5, 0.7, -1.0, 0.4]);
    for (adaptive, rho) in [(false, 0.1), (true, 0.1), (false, 1.0), (true, 0.01)] {
        let radius = |i: usize| if adaptive { rho * f64::abs(theta[i]) } else { rho };
        let expected: f64 = (0..4)
            .map(|i| {
                let distance = f64::abs(theta[i] - centre[i]);
                0.5 * curvatures[i] * ((distance + radius(i)).powi(2) - distance.powi(2))
            })
            .sum();
        let quadratic = diagonal(&curvatures, &centre);
        let found = worst(&quadratic, &theta, ball(Norm::Linf, adaptive, rho), &WorstCase::default());
        assert_near(found.value, expected, ROUNDING);
        assert_eq!(found.invariant, adaptive);
    }
}

/// An adaptive ball is a plain one of the rescaled problem: H' = diag|θ| H diag|θ|, whose top eigenvalue is known where
/// H = diag|θ|⁻¹ M diag|θ|⁻¹.
#[test]
fn the_worst_of_an_adaptive_l2_ball_is_that_of_the_rescaled_quadratic() {
    let theta = [0.5, -2.0, 1e-2, 30.0];
    let inner = turned(&[4.0, 2.0, 1.0, 0.1], &[0.0; 4]);
    let rows: Vec<f64> = (0..4)
        .flat_map(|i| {
            let unit: Vec<f64> = (0..4).map(|j| f64::from(i == j)).collect();
            inner.gradient(&tensor(&unit)).unwrap().1.to_vec1::<f64>().unwrap()
        })
        .collect();
    let scaled: Vec<f64> = (0..16).map(|k| rows[k] / (f64::abs(theta[k / 4]) * f64::abs(theta[k % 4]))).collect();
    let quadratic = Quadratic::new(tensor(&scaled).reshape((4, 4)).unwrap(), tensor(&theta)).unwrap();
    let found = worst(&quadratic, &theta, ball(Norm::L2, true, 0.2), &WorstCase::default());
    assert_near(found.value, 0.5 * 0.04 * 4.0, ASCENT);
}

/// Regression against a peer whose option for random starts crashed, so that every published run started at δ = 0, where
/// a minimum has no slope.
#[test]
fn random_starts_work_and_are_needed() {
    let quadratic = turned(&[5.0, 1.0, 0.5], &[1.0, 2.0, 3.0]);
    for starts in [1, 2, 5] {
        for norm in [Norm::L2, Norm::Linf] {
            let search = WorstCase { starts, ..WorstCase::default() };
            let found = worst(&quadratic, &[1.0, 2.0, 3.0], ball(norm, false, 0.1), &search);
            assert!(found.value > 0.0, "{found:?}");
            assert_eq!((found.starts, found.spread.is_some()), (Some(starts as u64), starts > 1));
        }
    }
    let other_seed = |seed| {
        let search = WorstCase { seed, iterations: 1, starts: 1 };
        worst(&quadratic, &[1.0, 2.0, 3.0], ball(Norm::L2, false, 0.1), &search).value
    };
    assert!(other_seed(0) != other_seed(1) && other_seed(0) == other_seed(0));
}

#[test]
fn a_search_that_is_cut_short_says_so() {
    let p = 200;
    let curvatures: Vec<f64> = (0..p).map(|i| 1.0 - i as f64 / p as f64).collect();
    let centre = vec![1.0; p];
    let search = WorstCase { iterations: 8, ..WorstCase::default() };
    let found = worst(&turned(&curvatures, &centre), &centre, ball(Norm::L2, false, 1.0), &search);
    assert!(!found.converged && found.reason.contains("still rose"), "{found:?}");
    assert!(found.value < 0.5, "{found:?}");
}

#[test]
fn a_maximum_is_zero_and_says_why() {
    let found =
        worst(&diagonal(&[-1.0, -2.0], &[1.0, 1.0]), &[1.0, 1.0], ball(Norm::L2, false, 0.1), &WorstCase::default());
    assert_eq!(found.value, 0.0);
    assert!(!found.converged && found.reason.contains("nothing above"), "{found:?}");
}

#[test]
fn sam_and_asam_are_the_loss_one_step_up() {
    let (curvatures, theta) = ([2.0, 4.0], [1.0, 0.5]);
    let quadratic = diagonal(&curvatures, &[0.0, 0.0]);
    let centre = Centre::new(&quadratic, &tensor(&theta)).unwrap();
    let rise = |delta: [f64; 2]| {
        (0..2).map(|i| 0.5 * curvatures[i] * ((theta[i] + delta[i]).powi(2) - theta[i].powi(2))).sum::<f64>()
    };
    // g = (2, 2), |θ|∘g = (2, 1).
    let found = sam(&centre, 0.05, &mut |_| Ok(())).unwrap();
    assert_near(found.value, rise([0.05 / 2_f64.sqrt(); 2]), ROUNDING);
    let found = asam(&centre, 0.5, &mut |_| Ok(())).unwrap();
    assert_near(found.value, rise([0.5 * 2.0 / 5_f64.sqrt(), 0.5 * 0.5 / 5_f64.sqrt()]), ROUNDING);
    // No search of the ball may end below its first step.
    for (adaptive, rho, step) in [(false, 0.05, sam(&centre, 0.05, &mut |_| Ok(()))), (true, 0.5, Ok(found))] {
        let search = WorstCase { iterations: 1, starts: 1, seed: 0 };
        assert_near(worst(&quadratic, &theta, ball(Norm::L2, adaptive, rho), &search).value, step.unwrap().value, 1e-9);
    }
    let stationary = Centre::new(&quadratic, &tensor(&[0.0, 0.0])).unwrap();
    assert_eq!(sam(&stationary, 0.05, &mut |_| Ok(())).unwrap().value, 0.0);
}

#[test]
fn averages_of_a_quadratic_and_their_standard_errors() {
    let curvatures: Vec<f64> = (0..20).map(|i| 0.2 * f64::from(i) - 0.5).collect();
    let (theta, minimum) = (vec![1.5; 20], vec![1.0; 20]);
    let quadratic = turned(&curvatures, &minimum);
    let trace: f64 = curvatures.iter().sum();
    let centre = Centre::new(&quadratic, &tensor(&theta)).unwrap();
    let rho = 0.3;
    for (norm, adaptive, variance) in [
        (Norm::L2, false, rho * rho),
        (Norm::Linf, false, rho * rho / 3.0),
        (Norm::L2, true, 2.25 * rho * rho),
        (Norm::Linf, true, 0.75 * rho * rho),
    ] {
        let expected = 0.5 * variance * trace;
        let scores: Vec<f64> = (0..200)
            .map(|seed| {
                let found = average_case(&centre, &ball(norm, adaptive, rho), 20, seed, &mut |_| Ok(())).unwrap();
                (found.value - expected) / found.stderr.unwrap()
            })
            .collect();
        assert_calibrated(&scores);
    }
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

#[test]
fn f32_finds_what_f64_finds() {
    let theta = [0.5, 0.7, -1.0, 0.4];
    let quadratic = turned(&[5.0, 3.0, 1.0, 0.5], &[0.0, 1.0, -2.0, 0.3]);
    let rows: Vec<Vec<f64>> = (0..4)
        .map(|i| {
            let unit: Vec<f64> = (0..4).map(|j| [0.0, 1.0, -2.0, 0.3][j] + f64::from(i == j)).collect();
            quadratic.gradient(&tensor(&unit)).unwrap().1.to_vec1().unwrap()
        })
        .collect();
    let matrix = tensor(&rows.concat()).reshape((4, 4)).unwrap().to_dtype(DType::F32).unwrap();
    let narrow = Quadratic::new(matrix, tensor(&[0.0, 1.0, -2.0, 0.3]).to_dtype(DType::F32).unwrap()).unwrap();
    for adaptive in [false, true] {
        for norm in [Norm::L2, Norm::Linf] {
            let of = |objective| worst(objective, &theta, ball(norm, adaptive, 0.1), &WorstCase::default()).value;
            assert_near(of(&narrow), of(&quadratic), 1e-4);
        }
    }
}

#[test]
fn a_loss_that_is_infinite_beyond_a_wall_is_not_a_maximum() {
    let inner = diagonal(&[2.0, 1.0], &[0.0, 0.0]);
    let walled = Walled { inner, wall: 0.5 };
    let found = worst(&walled, &[0.1, 0.1], ball(Norm::L2, false, 2.0), &WorstCase::default());
    assert!(found.value.is_finite() && found.value > 0.1 && found.reason.contains("not finite"), "{found:?}");
    let centre = Centre::new(&walled, &tensor(&[0.1, 0.1])).unwrap();
    let found = average_case(&centre, &ball(Norm::L2, false, 2.0), 10, 0, &mut |_| Ok(())).unwrap();
    assert!(!found.converged && !found.value.is_finite(), "{found:?}");
}

struct Walled {
    inner: Quadratic,
    wall: f64,
}

impl Objective for Walled {
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
    fn evaluate(&self, theta: &Tensor) -> basin_objective::Result<basin_objective::Evaluation> {
        Ok(basin_objective::Evaluation { loss: self.gradient(theta)?.0, accuracy: None })
    }
    fn gradient(&self, theta: &Tensor) -> basin_objective::Result<(f64, Tensor)> {
        let (loss, gradient) = self.inner.gradient(theta)?;
        let outside = theta.to_vec1::<f64>()?.iter().any(|x| x.abs() > self.wall);
        Ok(if outside { (f64::INFINITY, (gradient * f64::NAN)?) } else { (loss, gradient) })
    }
    fn sample_losses(&self, theta: &Tensor) -> basin_objective::Result<Vec<f64>> {
        Ok(vec![self.gradient(theta)?.0])
    }
    fn linearize<'a>(&'a self, theta: &Tensor) -> basin_objective::Result<Box<dyn basin_objective::Linearized + 'a>> {
        self.inner.linearize(theta)
    }
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let quadratic = diagonal(&[1.0], &[0.0]);
    let centre = Centre::new(&quadratic, &tensor(&[1.0])).unwrap();
    for rho in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let ball = ball(Norm::L2, false, rho);
        assert!(worst_case(&centre, &ball, &WorstCase::default(), &mut |_| Ok(())).unwrap_err().is_bad_input());
        assert!(average_case(&centre, &ball, 10, 0, &mut |_| Ok(())).unwrap_err().is_bad_input());
        assert!(sam(&centre, rho, &mut |_| Ok(())).unwrap_err().is_bad_input());
    }
    let ball = ball(Norm::L2, false, 1.0);
    assert!(average_case(&centre, &ball, 1, 0, &mut |_| Ok(())).unwrap_err().is_bad_input());
    for search in [WorstCase { starts: 0, ..WorstCase::default() }, WorstCase { iterations: 0, ..WorstCase::default() }]
    {
        assert!(worst_case(&centre, &ball, &search, &mut |_| Ok(())).unwrap_err().is_bad_input());
    }
    assert!(Centre::new(&quadratic, &tensor(&[1.0, 2.0])).is_err());
    assert!(Centre::new(&quadratic, &tensor(&[f64::INFINITY])).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Wherever it stands, the maximum of a convex quadratic lies between its value along the gradient and the sum of the
    /// largest slope and curvature, and grows with the ball.
    #[test]
    fn the_worst_case_lies_within_its_bounds(
        curvatures in prop::collection::vec(0.1..5.0, 3..6),
        shift in 0.0..2.0,
        rho in 1e-3..1.0,
    ) {
        let centre = vec![0.5; curvatures.len()];
        let theta = vec![0.5 + shift; curvatures.len()];
        let quadratic = turned(&curvatures, &centre);
        let gradient = quadratic.gradient(&tensor(&theta)).unwrap().1.to_vec1::<f64>().unwrap();
        let slope = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let top = curvatures.iter().copied().fold(0.0, f64::max);
        let of = |rho| worst(&quadratic, &theta, ball(Norm::L2, false, rho), &WorstCase::default()).value;
        let found = of(rho);
        prop_assert!(found <= (rho * slope + 0.5 * rho * rho * top) * (1.0 + 1e-9));
        prop_assert!(found >= rho * slope * (1.0 - 1e-9));
        prop_assert!(of(2.0 * rho) > found);
    }
}
