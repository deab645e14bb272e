//! L-BFGS-B against iterates of SciPy (`tests/goldens/lbfgsb.py`) and at the edges of its input.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::{Error, Result};
use basin_sharpness::lbfgsb::{Bounds, Iterate, Lbfgsb, Minimum, Reason};
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
        let observe = |iterate: Iterate<'_>| iterates.push((iterate.value, iterate.x.to_vec()));
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
        println!("{name}: {compared} of {} iterates within {worst:.1e}", problem.iterates.len());
        if compared == problem.iterates.len() {
            assert_eq!((found.iterations, found.evaluations), (problem.iterations, problem.evaluations), "{name}");
        }
        assert!(
            (found.value - problem.value).abs() <= ITERATE_TOLERANCE * problem.value.abs().max(1.0),
            "{name}: {}",
            found.value
        );
    }
}

const FREE: Bounds<'_> = Bounds { lower: &[f64::NEG_INFINITY; 2], upper: &[f64::INFINITY; 2] };

fn minimize(solver: &Lbfgsb, start: &[f64], bounds: &Bounds<'_>, f: impl Fn(&[f64]) -> (f64, Vec<f64>)) -> Minimum {
    solver.minimize(start.to_vec(), bounds, |x| Ok(f(x)), |_| {}).unwrap()
}

/// ½ ‖x‖².
fn bowl(x: &[f64]) -> (f64, Vec<f64>) {
    (0.5 * dot(x, x), x.to_vec())
}

#[test]
fn limits_are_kept() {
    for limit in 0..8 {
        let solver = Lbfgsb { max_iterations: limit, ..Lbfgsb::default() };
        let found = minimize(&solver, &[-1.2, 1.0], &FREE, rosenbrock);
        assert_eq!((found.iterations, found.reason), (limit, Reason::IterationLimit));
        let solver = Lbfgsb { max_evaluations: limit, ..Lbfgsb::default() };
        let found = minimize(&solver, &[-1.2, 1.0], &FREE, rosenbrock);
        assert_eq!((found.evaluations, found.reason), (limit.max(1), Reason::EvaluationLimit));
    }
    let solver = Lbfgsb { gradient_tolerance: Some(1e-6), ..Lbfgsb::default() };
    let found = minimize(&solver, &[-1.2, 1.0], &FREE, rosenbrock);
    assert!(found.reason == Reason::GradientTolerance && found.gradient_norm <= 1e-6);
    let solver = Lbfgsb { value_tolerance: Some(1e-6), ..Lbfgsb::default() };
    assert_eq!(minimize(&solver, &[-1.2, 1.0], &FREE, rosenbrock).reason, Reason::ValueTolerance);
}

#[test]
fn without_tolerances_it_ends_where_no_descent_is_left() {
    let found = minimize(&Lbfgsb::default(), &[-1.2, 1.0], &FREE, rosenbrock);
    assert!(matches!(found.reason, Reason::Stationary | Reason::LineSearch), "{found:?}");
    assert!(found.value < 1e-20 && found.evaluations < 100, "{found:?}");
    let found = minimize(&Lbfgsb::default(), &[0.0, 0.0], &FREE, bowl);
    assert_eq!((found.reason, found.iterations, found.evaluations), (Reason::Stationary, 0, 1));
    let fixed = Bounds { lower: &[1.0, 2.0], upper: &[1.0, 2.0] };
    let found = minimize(&Lbfgsb::default(), &[0.0, 0.0], &fixed, bowl);
    assert_eq!((found.x, found.reason), (vec![1.0, 2.0], Reason::Stationary));
}

#[test]
fn a_start_outside_is_projected() {
    let bounds = Bounds { lower: &[1.0, -1.0], upper: &[2.0, 0.5] };
    let found = minimize(&Lbfgsb::default(), &[-7.0, 7.0], &bounds, |x| {
        assert!(x[0] >= 1.0 && x[1] <= 0.5, "{x:?} is outside");
        bowl(x)
    });
    assert_eq!(found.x, [1.0, 0.0]);
}

#[test]
fn a_gradient_of_the_wrong_sign_is_a_failed_line_search() {
    let found = minimize(&Lbfgsb::default(), &[1.0, 2.0], &FREE, |x| (bowl(x).0, x.iter().map(|x| -x).collect()));
    assert_eq!((found.reason, found.value), (Reason::LineSearch, 2.5));
}

#[test]
fn values_that_are_not_finite_are_backed_off_from() {
    // −log(1 − x) − x² has no value beyond 1; a step from 0.5 along the gradient leads there.
    let barrier = |x: &[f64]| {
        let value = x.iter().map(|x| 1e-3 * -(1.0 - x).ln() - 2.0 * x).sum();
        (value, x.iter().map(|x| if *x < 1.0 { 1e-3 / (1.0 - x) - 2.0 } else { f64::NAN }).collect())
    };
    let bounds = Bounds { lower: &[0.0, 0.0], upper: &[5.0, 9.0] };
    let found = minimize(&Lbfgsb { max_iterations: 40, ..Lbfgsb::default() }, &[0.5, 0.1], &bounds, barrier);
    assert!(found.non_finite > 0 && found.value.is_finite(), "{found:?}");
    assert!(found.x.iter().all(|x| (x - 0.9995).abs() < 1e-6), "{found:?}");
    let found = minimize(&Lbfgsb::default(), &[2.0, 2.0], &bounds, barrier);
    assert_eq!((found.reason, found.evaluations, found.non_finite), (Reason::NonFinite, 1, 1));
}

#[test]
fn input_that_makes_no_sense_is_refused() {
    let refused = |start: &[f64], lower: &[f64], upper: &[f64], memory| {
        let solver = Lbfgsb { memory, ..Lbfgsb::default() };
        let bounds = Bounds { lower, upper };
        let error = solver.minimize(start.to_vec(), &bounds, |x| Ok(bowl(x)), |_| {}).unwrap_err();
        assert!(error.is_bad_input() && error.hint().is_some(), "{error}");
    };
    refused(&[0.0], &[1.0], &[0.0], 10);
    refused(&[0.0], &[f64::NAN], &[0.0], 10);
    refused(&[0.0], &[0.0], &[f64::NAN], 10);
    refused(&[0.0], &[0.0, 0.0], &[1.0], 10);
    refused(&[f64::NAN], &[0.0], &[1.0], 10);
    refused(&[0.0], &[0.0], &[1.0], 0);
    let short = |_: &[f64]| Ok((1.0, vec![1.0]));
    assert!(Lbfgsb::default().minimize(vec![0.0; 2], &FREE, short, |_| {}).unwrap_err().is_bad_input());
    let interrupted = |_: &[f64]| -> Result<(f64, Vec<f64>)> { Err(Error::Interrupted) };
    let stopped = Lbfgsb::default().minimize(vec![0.0; 2], &FREE, interrupted, |_| {});
    assert!(matches!(stopped, Err(Error::Interrupted)));
}

#[test]
fn long_vectors_give_the_same_bits_on_any_number_of_threads() {
    let n = 50_001;
    let (lower, upper) = (vec![-0.9; n], vec![0.9; n]);
    let start: Vec<f64> = (0..n).map(|i| (i as f64).sin()).collect();
    let solver = Lbfgsb { max_iterations: 8, ..Lbfgsb::default() };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| minimize(&solver, &start, &Bounds { lower: &lower, upper: &upper }, rosenbrock))
    };
    let found = run(1);
    assert!(found.iterations == 8 && found.x.iter().all(|x| x.abs() <= 0.9));
    assert_eq!(found, run(2));
    assert_eq!(found, run(5));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn points_stay_in_the_box_and_values_fall(
        variables in prop::collection::vec((-2.0..2.0, -2.0..2.0, 0.0..2.0, any::<bool>()), 1..20),
        entries in prop::collection::vec(-1.0..1.0, 400),
        memory in 1_usize..5,
    ) {
        let n = variables.len();
        let start: Vec<f64> = variables.iter().map(|v| v.0).collect();
        let lower: Vec<f64> = variables.iter().map(|v| v.1).collect();
        let upper: Vec<f64> = variables.iter().map(|v| v.1 + if v.3 { v.2 } else { 0.0 }).collect();
        // An indefinite quadratic with a quartic: several minima.
        let function = |x: &[f64]| {
            assert!(x.iter().zip(&lower).zip(&upper).all(|((x, l), u)| l <= x && x <= u), "{x:?} is outside");
            let product: Vec<f64> = (0..n)
                .map(|i| (0..n).map(|j| (entries[20 * i + j] + entries[20 * j + i]) * x[j]).sum())
                .collect();
            let quartic: f64 = x.iter().map(|x| 0.1 * x.powi(4)).sum();
            (0.5 * dot(x, &product) + quartic, product.iter().zip(x).map(|(p, x)| p + 0.4 * x.powi(3)).collect())
        };
        let mut values = vec![f64::INFINITY];
        let solver = Lbfgsb { memory, max_iterations: 200, ..Lbfgsb::default() };
        let bounds = Bounds { lower: &lower, upper: &upper };
        let found = solver
            .minimize(start, &bounds, |x| Ok(function(x)), |iterate| values.push(iterate.value))
            .unwrap();
        prop_assert!(values.windows(2).all(|pair| pair[1] <= pair[0]));
        prop_assert!(found.value <= *values.last().unwrap());
        prop_assert!(found.gradient_norm < 1e-5, "{found:?}");
    }
}
