//! An invented but plausible record of the curvature of mini-batches, with everything that such a record may hold.

use basin_records::BatchHessian;
use basin_records::batch_hessian::{
    Adam, Check, Descent, Divergence, Draw, Empirical, Noise, Row, Run, Spread, Theory,
};
use basin_records::spectrum::{Density, Eigenvalue, End, Estimate, Matrix};

const SAMPLES: u64 = 1437;
const PARAMETERS: f64 = 17_226.0;
const LAMBDA_MAX: f64 = 24.0;
const LAMBDA_MIN: f64 = -1.2;
/// Pσ².
const NOISE: f64 = 55_300.0;
const MOMENTUM: f64 = 0.9;
const DRAWS: u64 = 10;
const BATCH_SIZES: [u64; 10] = [4, 8, 16, 32, 64, 128, 256, 512, 1024, SAMPLES];
/// Learning rates of the runs over the predicted one.
const MULTIPLES: [f64; 9] = [0.25, 0.35, 0.5, 0.71, 1.0, 1.41, 2.0, 2.83, 4.0];

/// What `basin batch-hessian` would find with every option given.
pub(crate) fn batch_hessian() -> BatchHessian {
    let estimate = |value: f64| Estimate { stderr: Some(0.08 * value), ..estimate(value) };
    BatchHessian {
        matrix: Matrix::Hessian,
        theory: Theory::Wigner,
        samples: SAMPLES,
        empirical: Empirical {
            lambda_max: LAMBDA_MAX,
            lambda_min: Some(LAMBDA_MIN),
            eigenvalues: vec![eigenvalue(LAMBDA_MAX, End::Top, true), eigenvalue(LAMBDA_MIN, End::Bottom, true)],
            trace: Some(estimate(160.0)),
            squared_frobenius: Some(estimate(1500.0)),
            density: Some(Box::new(density(LAMBDA_MAX, LAMBDA_MIN, 0.0))),
        },
        noise: Noise {
            total: estimate(NOISE),
            curvature_along_top: Some(estimate(3200.0)),
            product_along_top: Some(estimate(9000.0)),
            batch_size: 8,
            groups: 64,
            probes: 7,
        },
        momentum: MOMENTUM,
        crossover: Some(1.0 / (LAMBDA_MAX.powi(2) / NOISE + 1.0 / SAMPLES as f64)),
        adam: Some(Adam { beta1: 0.9, epsilon: 1e-8, groups: 64 }),
        check: Some(Check { steps: 100, runs: 3, loss: 0.0123, level: 2.3 }),
        shard: None,
        rows: BATCH_SIZES.map(row).to_vec(),
    }
}

fn row(size: u64) -> Row {
    let whole = size == SAMPLES;
    let inverse = if whole { 0.0 } else { 1.0 / size as f64 - 1.0 / SAMPLES as f64 };
    let noise = NOISE * inverse;
    let predicted = if LAMBDA_MAX > noise.sqrt() { LAMBDA_MAX + noise / LAMBDA_MAX } else { 2.0 * noise.sqrt() };
    let predicted_min = if noise == 0.0 { LAMBDA_MIN } else { -2.0 * noise.sqrt() };
    let anisotropic = if whole { 1.0 } else { 1.0 + 0.8 / (1.0 + size as f64 / 20.0) };
    let values: Vec<Draw> = (0..if whole { 1 } else { DRAWS })
        .map(|draw| batch(size, draw, predicted * anisotropic, predicted_min))
        .collect();
    let of_end = |end| {
        let found = values.iter().flat_map(|draw| &draw.eigenvalues).filter(|eigenvalue| eigenvalue.end == end);
        spread(&found.map(|eigenvalue| eigenvalue.value).collect::<Vec<_>>(), whole)
    };
    let preconditioned: Vec<f64> = values.iter().filter_map(|draw| Some(draw.preconditioned?.value)).collect();
    let (lambda_max, preconditioned) = (of_end(End::Top), spread(&preconditioned, whole));
    let mean_square = |variance: f64| {
        let value = 2.0 * LAMBDA_MAX / (LAMBDA_MAX.powi(2) + variance * inverse);
        Some(Estimate { stderr: Some(if whole { 0.0 } else { 0.1 * value }), ..estimate(value) })
    };
    let (sgd, adam) = (2.0 / predicted, 38.0 / preconditioned.mean);
    Row {
        batch_size: size,
        draws: values.len() as u64,
        lambda_min: Some(of_end(End::Bottom)),
        predicted_lambda_max: predicted,
        predicted_lambda_max_stderr: Some(0.04 * (predicted - LAMBDA_MAX)),
        predicted_lambda_min: Some(predicted_min),
        predicted_lambda_min_stderr: Some(0.04 * (LAMBDA_MIN - predicted_min)),
        predicted_lambda_max_along_top: Some(LAMBDA_MAX + 30_000.0 * inverse / LAMBDA_MAX),
        overlap: spread(&values.iter().map(|draw| draw.overlap).collect::<Vec<_>>(), whole),
        predicted_overlap: (1.0 - noise / LAMBDA_MAX.powi(2)).max(0.0),
        max_learning_rate_sgd: Some(sgd),
        max_learning_rate_momentum: Some((1.0 + MOMENTUM) * sgd),
        max_learning_rate_adam: Some(2.0 / predicted.sqrt()),
        max_learning_rate_measured: Some(2.0 / lambda_max.mean),
        max_learning_rate_adam_measured: Some(adam),
        max_learning_rate_mean_square: mean_square(12_000.0),
        max_learning_rate_mean_square_trace: mean_square(90_000.0),
        max_learning_rate_mean_square_directions: mean_square(30_000.0),
        density: (!whole)
            .then(|| Box::new(density(values[0].eigenvalues[0].value, values[0].eigenvalues[1].value, inverse))),
        divergence: vec![
            Divergence { optimizer: Descent::Sgd, stable: Some(0.71 * sgd), diverging: Some(1.41 * sgd) },
            Divergence {
                optimizer: Descent::Momentum,
                stable: Some(1.9 * sgd),
                diverging: (size > 4).then_some(1.9 * 2.83 * sgd),
            },
            Divergence {
                optimizer: Descent::Adam,
                stable: (size > 8).then_some(0.5 * adam),
                diverging: Some(2.0 * adam),
            },
        ],
        runs: MULTIPLES
            .into_iter()
            .flat_map(|multiple| (0..3).map(move |run| sgd_run(multiple, multiple * sgd, run)))
            .collect(),
        lambda_max,
        preconditioned_lambda_max: Some(preconditioned),
        values,
    }
}

fn batch(size: u64, draw: u64, lambda_max: f64, lambda_min: f64) -> Draw {
    let whole = size == SAMPLES;
    let about = |mean: f64, share: f64| {
        mean * (1.0
            + if whole { 0.0 } else { share * super::wobble(size, draw, mean.abs() as u64) / (size as f64).powf(0.3) })
    };
    let lowest = if whole { lambda_min } else { about(LAMBDA_MIN + 0.3 * (lambda_min - LAMBDA_MIN), 0.4) };
    Draw {
        draw,
        eigenvalues: vec![
            eigenvalue(about(lambda_max, 0.5), End::Top, true),
            eigenvalue(lowest, End::Bottom, (size, draw) != (32, 3)),
        ],
        preconditioned: Some(eigenvalue(about(900.0 * (1.0 + 60.0 / size as f64), 0.5), End::Top, true)),
        overlap: if whole { 1.0 } else { 1.0 / (1.0 + 40.0 / size as f64) },
        products: 40,
    }
}

fn sgd_run(multiple: f64, learning_rate: f64, run: u64) -> Run {
    let diverged = multiple > 1.0 || (multiple > 0.8 && run == 0);
    Run {
        optimizer: Descent::Sgd,
        multiple,
        learning_rate,
        run,
        steps: if diverged { 20 } else { 100 },
        loss: if diverged { 7.0 } else { 0.02 },
        diverged,
    }
}

/// Two eigenvalues known exactly over a bulk that noise broadens.
fn density(lambda_max: f64, lambda_min: f64, inverse_batch: f64) -> Density {
    let atom = 1.0 / PARAMETERS;
    let width = 0.05 + 0.1 * (NOISE * inverse_batch).sqrt();
    let outliers = (1..10).map(|rank| (lambda_max / (1.0 + 0.5 * f64::from(rank)), atom));
    let bulk = (0..80).map(|index| {
        let at = (f64::from(index) - 39.5) / 39.5;
        (width * at * at.abs() * if at > 0.0 { 3.0 } else { 1.0 }, (-4.0 * at.abs()).exp())
    });
    let mass: f64 = bulk.clone().map(|(_, weight)| weight).sum();
    let bulk = bulk.map(|(node, weight)| (node, weight / mass * (1.0 - 11.0 * atom)));
    let (nodes, weights): (Vec<f64>, Vec<f64>) =
        [(lambda_max, atom), (lambda_min, atom)].into_iter().chain(outliers).chain(bulk).unzip();
    let sigma = 0.01 * (lambda_max - lambda_min);
    let steps = 600;
    let (low, high) = (lambda_min - 6.0 * sigma, lambda_max + 6.0 * sigma);
    let grid: Vec<f64> = (0..=steps).map(|step| low + (high - low) * f64::from(step) / f64::from(steps)).collect();
    let gaussian = |t: f64| (-0.5 * (t / sigma).powi(2)).exp() / (sigma * std::f64::consts::TAU.sqrt());
    let value = |t: &f64| nodes.iter().zip(&weights).map(|(node, weight)| weight * gaussian(t - node)).sum::<f64>();
    let values: Vec<f64> = grid.iter().map(value).collect();
    Density {
        stderr: values.iter().map(|value| 0.15 * value).collect(),
        nodes,
        weights,
        grid,
        values,
        sigma,
        atoms: 2,
        probes: 2,
        steps: 80,
    }
}

fn estimate(value: f64) -> Estimate {
    Estimate { value, stderr: None, method: None, products: None, converged: None, reason: None }
}

fn eigenvalue(value: f64, end: End, converged: bool) -> Eigenvalue {
    Eigenvalue { value, residual: 1e-3 * value.abs(), converged, end }
}

fn spread(values: &[f64], whole: bool) -> Spread {
    if whole { Spread::exact(values[0]) } else { Spread::of(values) }
}
