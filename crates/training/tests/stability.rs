//! Where short runs diverge, on quadratics whose limits are known.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::{Objective, Quadratic, Result, SampledObjective};
use basin_records::batch_hessian::{Descent, Run};
use basin_training::{Descending, DescentRule, StabilityCheck, divergence, divergence_level};
use candle_core::{Device, Tensor};

/// Samples with the curvatures aᵢ along one axis and 1 along the other, all with their minimum at 1, 1.
struct Samples(Vec<f64>);

impl SampledObjective for Samples {
    fn samples(&self) -> usize {
        self.0.len()
    }

    fn side_by_side(&self) -> bool {
        true
    }

    fn on_batch(&self, positions: &[usize], then: &mut dyn FnMut(&dyn Objective) -> Result<()>) -> Result<()> {
        let mean = positions.iter().map(|&position| self.0[position]).sum::<f64>() / positions.len() as f64;
        let matrix = Tensor::new(&[[mean, 0.0], [0.0, 1.0]], &Device::Cpu)?;
        then(&Quadratic::new(matrix, Tensor::new(&[1.0, 1.0], &Device::Cpu)?)?)
    }
}

fn start() -> Tensor {
    Tensor::new(&[1.01, 1.01], &Device::Cpu).unwrap()
}

fn between(samples: &Samples, check: &StabilityCheck, descending: &Descending) -> (Option<f64>, Option<f64>) {
    let (_, level) = divergence_level(samples, &start()).unwrap();
    let found = divergence(&check.run(samples, &start(), descending, level, |_| Ok(())).unwrap()).unwrap();
    (found.stable, found.diverging)
}

fn check(multiples: &[f64]) -> StabilityCheck {
    StabilityCheck { multiples: multiples.to_vec(), steps: 400, ..StabilityCheck::default() }
}

#[test]
fn gradient_descent_diverges_beyond_two_over_the_curvature() {
    let samples = Samples(vec![8.0; 6]);
    for (momentum, limit) in [(0.0, 0.25), (0.5, 0.375), (0.9, 0.475)] {
        let by = DescentRule::HeavyBall { momentum };
        let descending = Descending { batch_size: 2, learning_rate: limit, by };
        let found = between(&samples, &check(&[0.5, 0.95, 1.05, 2.0]), &descending);
        assert_eq!(found, (Some(0.95 * limit), Some(1.05 * limit)), "momentum {momentum}");
    }
}

/// Along one axis E (1 − ηa_B)² = 1 is the exact limit, 2/(λ + Var a_B/λ), at which the logarithm already falls on average: runs hold
/// on up to somewhere between it and the rate at which that begins to rise.
#[test]
fn noise_lowers_the_limit_of_stochastic_descent() {
    let samples = Samples(vec![0.5, 1.0, 2.0, 28.5]);
    let limit = 2.0 / (8.0 + 139.125 / 8.0);
    let by = DescentRule::HeavyBall { momentum: 0.0 };
    let found = between(&samples, &check(&[0.9, 8.0]), &Descending { batch_size: 1, learning_rate: limit, by });
    assert_eq!(found, (Some(0.9 * limit), Some(8.0 * limit)));
}

/// With second moments of s² and running means of gradients, the limit is 2 (1 + β₁)/(1 − β₁) s/λ while these moments last.
#[test]
fn adam_diverges_beyond_the_limit_of_its_preconditioned_matrix() {
    let samples = Samples(vec![8.0; 6]);
    let second_moment = Tensor::new(&[1e8, 1e8], &Device::Cpu).unwrap();
    let limit = 2.0 * 1.9 / 0.1 * 1e4 / 8.0;
    let by = DescentRule::Adam { beta1: 0.9, epsilon: 1e-8, second_moment };
    let check = StabilityCheck { multiples: vec![0.9, 1.2], steps: 200, ..StabilityCheck::default() };
    let descending = Descending { batch_size: 2, learning_rate: limit, by };
    let (_, level) = divergence_level(&samples, &start()).unwrap();
    let runs = check.run(&samples, &start(), &descending, level, |_| Ok(())).unwrap();
    let found = divergence(&runs).unwrap();
    assert_eq!((found.optimizer, found.stable, found.diverging), (Descent::Adam, Some(0.9 * limit), Some(1.2 * limit)));
}

#[test]
fn a_rate_at_which_some_runs_diverge_lies_between() {
    let run = |learning_rate: f64, run: u64, diverged: bool| Run {
        optimizer: Descent::Sgd,
        multiple: learning_rate,
        learning_rate,
        run,
        steps: 1,
        loss: 0.0,
        diverged,
    };
    let runs = [run(1.0, 0, false), run(1.0, 1, false), run(2.0, 0, true), run(2.0, 1, false), run(4.0, 0, true)];
    let found = divergence(&runs).unwrap();
    assert_eq!((found.stable, found.diverging), (Some(1.0), Some(4.0)));
    let found = divergence(&runs[2..4]).unwrap();
    assert_eq!((found.stable, found.diverging), (None, None));
    assert_eq!(divergence(&[]), None);
}

#[test]
fn a_run_ends_where_the_loss_passes_the_level_or_is_no_number() {
    let samples = Samples(vec![8.0; 6]);
    let by = DescentRule::HeavyBall { momentum: 0.0 };
    let descending = Descending { batch_size: 6, learning_rate: 1e200, by };
    let check = StabilityCheck { multiples: vec![1.0], steps: 50, runs: 1, seed: 0 };
    let runs = check.run(&samples, &start(), &descending, 1.0, |_| Ok(())).unwrap();
    assert!(runs[0].diverged && runs[0].steps == 5 && !runs[0].loss.is_finite(), "{runs:?}");
    assert!(check.sample_gradients(&runs[0], 6, 6) == 5.0 * 6.0 + 2.0);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let refused = |check: StabilityCheck| check.check().is_err();
    assert!(refused(check(&[])) && refused(check(&[1.0, 0.5])) && refused(check(&[0.0, 1.0])));
    assert!(refused(check(&[f64::NAN])));
    assert!(
        refused(StabilityCheck { steps: 0, ..check(&[1.0]) }) && refused(StabilityCheck { runs: 0, ..check(&[1.0]) })
    );
    assert!(check(&[0.5, 1.0]).check().is_ok());
}
