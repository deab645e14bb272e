//! L-BFGS-B against iterates of SciPy (`tests/goldens/lbfgsb.py`) and at the edges of its input.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::{Error, Result};
use basin_sharpness::lbfgsb::{Bounds, Lbfgsb, Minimum, Reason};
use proptest::prelude::*;
use serde::Deserialize;

/// Relative distance between our iterates and SciPy's: both round in f64, and each iteration passes its error on.
const ITERATE_TOLERANCE: f64 = 1e-9;
/// Relative decrease below which an iteration moves by rounding alone, so that iterates need not agree any more.
const ROUNDING: f64 = 1e-12;

#[derive(Deserialize)]
struct Golden {
    problems: Vec<Problem>,
}

#[derive(Deserialize)]
struct Problem {
    name: String,
    function: Function,
    start: Vec<f64>,
    lower: Vec<Option<f64>>,
    upper: Vec<Option<f64>>,
    max_iterations: usize,
    memory: usize,
    iterates: Vec<(f64, Vec<f64>)>,
    value: f64,
    iterations: usize,
    evaluations: usize,
    message: String,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Function {
    Rosenbrock,
    Quadratic { matrix: Vec<Vec<f64>>, linear: Vec<f64> },
    Logistic { features: Vec<Vec<f64>>, signs: Vec<f64>, penalty: f64 },
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn rosenbrock(x: &[f64]) -> (f64, Vec<f64>) {
    let mut value = 0.0;
    let mut gradient = vec![0.0; x.len()];
    for i in 0..x.len() - 1 {
        let (bend, off) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
        value += 100.0 * bend * bend + off * off;
        gradient[i] -= 400.0 * x[i] * bend + 2.0 * off;
        gradient[i + 1] += 200.0 * bend;
    }
    (value, gradient)
}

impl Function {
    fn at(&self, x: &[f64]) -> (f64, Vec<f64>) {
        match self {
            Self::Rosenbrock => rosenbrock(x),
            Self::Quadratic { matrix, linear } => {
                let product: Vec<f64> = matrix.iter().map(|row| dot(row, x)).collect();
                let gradient = product.iter().zip(linear).map(|(a, b)| a + b).collect();
                (0.5 * dot(x, &product) + dot(linear, x), gradient)
            }
            Self::Logistic { features, signs, penalty } => {
                let mut value = 0.5 * penalty * dot(x, x);
                let mut gradient: Vec<f64> = x.iter().map(|x| penalty * x).collect();
                let count = signs.len() as f64;
                for (row, sign) in features.iter().zip(signs) {
                    let margin = sign * dot(row, x);
                    value += ((-margin.abs()).exp().ln_1p() + (-margin).max(0.0)) / count;
                    let weight = -sign / (1.0 + margin.exp()) / count;
                    gradient.iter_mut().zip(row).for_each(|(g, row)| *g += weight * row);
                }
                (value, gradient)
            }
        }
    }
}

fn problems() -> Vec<Problem> {
    let text = include_str!("../../../tests/goldens/lbfgsb.json");
    serde_json::from_str::<Golden>(text).unwrap().problems
}

#[test]
fn iterates_agree_with_scipy() {
    for problem in problems() {
        let lower: Vec<f64> = problem.lower.iter().map(|bound| bound.unwrap_or(f64::NEG_INFINITY)).collect();
        let upper: Vec<f64> = problem.upper.iter().map(|bound| bound.unwrap_or(f64::INFINITY)).collect();
        let solver = Lbfgsb {
            memory: problem.memory,
            max_iterations: problem.max_iterations,
            gradient_tolerance: Some(0.0),
            value_tolerance: Some(0.0),
            ..Lbfgsb::default()
        };
        let mut iterates: Vec<(f64, Vec<f64>)> = Vec::new();
        let function = |x: &[f64]| Ok(problem.function.at(x));
        let bounds = Bounds { lower: &lower, upper: &upper };
        let observe = |iterate: basin_sharpness::lbfgsb::Iterate<'_>| iterates.push((iterate.value, iterate.x.to_vec()));
        let found = solver.minimize(problem.start.clone(), &bounds, function, observe).unwrap();

        let name = &problem.name;
        let mut worst: f64 = 0.0;
        let mut last = f64::INFINITY;
        let mut compared = 0;
        for (number, ((_, x), (value, expected))) in iterates.iter().zip(&problem.iterates).enumerate() {
            if last - value < ROUNDING * value.abs().max(1.0) {
                break;
            }
            last = *value;
            compared = number + 1;
            let scale = expected.iter().fold(1e-3, |scale: f64, x| scale.max(x.abs()));
            let distance = x.iter().zip(expected).fold(0.0, |d: f64, (a, b)| d.max((a - b).abs())) / scale;
            worst = worst.max(distance);
            assert!(distance <= ITERATE_TOLERANCE, "{name}: iterate {} is off by {distance:e}", number + 1);
        }
        println!(
            "{name}: {compared} of {} iterates within {worst:.1e}; iterations {} {}, evaluations {} {}; {} | {}",
            problem.iterates.len(), found.iterations, problem.iterations, found.evaluations, problem.evaluations, found.reason, problem.message,
        );
        if compared == problem.iterates.len() {
            assert_eq!((found.iterations, found.evaluations), (problem.iterations, problem.evaluations), "{name}");
        }
        assert!((found.value - problem.value).abs() <= ITERATE_TOLERANCE * problem.value.abs().max(1.0), "{name}: {}", found.value);
    }
}
