//! Learning rates that mini-batches allow against their size, and where short runs diverged.
//!
//! Three figures, for one would be too crowded: the limits of SGD without and with momentum, those of stability in the mean
//! square, those of Adam.

mod plot;

use basin_records::BatchHessian;
use basin_records::batch_hessian::{Check, Descent, Draw, Row, Spread};
use basin_records::spectrum::{Eigenvalue, End, Estimate};

use self::plot::{Limit, Plot, Point, Runs, Style};
use super::eigenvalues::title_of;
use crate::batch_hessian::{
    ADAM, MEASURED, MOMENTUM, Rate, SGD, at_end, divergence, growth, least_mean_square, range, sizes, subject,
};
use crate::chart::palette::look;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, numbered, settings};
use crate::number;
use crate::statistics::Moments;

/// Up to three figures for each record.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let records = collection.batch_hessians();
    let of_record = |(index, measured): (usize, &Measured<'_, BatchHessian>)| {
        let figure =
            |stem: &str, chosen: Option<Chosen>| Some(chosen?.figure(numbered(stem, index, records.len()), measured));
        [
            figure("batch-learning-rates", gradient_descent(measured.result)),
            figure("batch-mean-square-limits", mean_square(measured.result)),
            figure("batch-adam-learning-rates", adam(measured.result)),
        ]
    };
    records.iter().enumerate().flat_map(of_record).flatten().collect()
}

/// What one of the figures shows, and what it says of it.
struct Chosen {
    title: &'static str,
    shown: String,
    plot: Plot,
    found: Vec<Option<String>>,
}

impl Chosen {
    fn figure(self, stem: String, measured: &Measured<'_, BatchHessian>) -> Figure {
        let Measured { provenance, result, .. } = measured;
        let guide = self.plot.guide.as_ref().map(|guide| format!("The thin dotted line is {}.", guide.words));
        let runs = (!self.plot.runs.is_empty()).then(|| bars(result.check.as_ref()));
        let hollow = self
            .plot
            .has_hollow_markers()
            .then(|| "Markers are hollow where an eigenvalue behind them did not reach the tolerance.".to_owned());
        let sentences = [Some(self.shown), guide, runs].into_iter().chain(self.found).chain([hollow]);
        Figure {
            stem,
            title: format!("{}, {}", self.title, subject(provenance)),
            caption: sentences.flatten().collect::<Vec<_>>().join(" ") + &settings([*provenance]),
            drawing: self.plot.draw(result),
            numbers: self.plot.numbers(),
        }
    }
}

/// What the bars of the runs mean.
fn bars(check: Option<&Check>) -> String {
    let settings = check.map_or_else(String::new, |check| {
        let runs = number::plural(check.runs as usize, "run");
        let steps = number::plural(check.steps as usize, "step");
        let [level, loss] = [check.level, check.loss].map(number::significant);
        format!(" ({runs} of {steps} at each rate; diverged: a loss of all samples above {level}, at the start {loss})")
    });
    format!(
        "Thick bars reach from the largest rate at which no short run diverged to the smallest from which all did{settings}; \
         an arrow is an end beyond the rates tried."
    )
}

fn gradient_descent(result: &BatchHessian) -> Option<Chosen> {
    let mut limits = vec![
        predicted(result, "SGD, predicted", "sgd", 0, SGD),
        measured(
            result,
            "SGD, measured",
            "sgd_measured",
            MEASURED,
            |row| Some(&row.lambda_max),
            |draw| at_end(draw, End::Top),
        ),
    ];
    // Without momentum the two limits are one.
    let heavy = result.momentum > 0.0;
    if heavy {
        limits.push(predicted(result, &format!("momentum {}", result.momentum), "momentum", 1, MOMENTUM));
    }
    let momentum = format!(", and 2(1 + β)/λ′ with momentum β = {} (dashed)", result.momentum);
    let runs = [Runs::of(result, Descent::Sgd, look(0)), Runs::of(result, Descent::Momentum, look(1))];
    Some(Chosen {
        title: "Learning rates that mini-batches allow",
        shown: format!(
            "The largest stable learning rate η of SGD against the batch size B, from the {} of the batch: 2/λ′ with the \
             predicted λ′ (line, ± standard error) and with the measured one (markers, ± standard error){}.",
            title_of(result.matrix),
            if heavy { &momentum } else { "" },
        ),
        plot: Plot::new(limits, runs)?.with_guide(1.0, "∝ B", result),
        found: vec![
            growth(result, "The measured limit of SGD", MEASURED, Some(SGD), "in proportion to B would be the power 1"),
            divergence(result, Descent::Sgd, SGD, "2/λ′"),
            divergence(result, Descent::Momentum, MOMENTUM, "2(1 + β)/λ′"),
        ],
    })
}

fn mean_square(result: &BatchHessian) -> Option<Chosen> {
    let estimates = vec![
        estimated(result, "(15) along v", "mean_square", 1, |row| row.max_learning_rate_mean_square.as_ref()),
        estimated(result, "(16) trace", "mean_square_trace", 2, |row| row.max_learning_rate_mean_square_trace.as_ref()),
        estimated(result, "(24) batches", "mean_square_directions", 3, |row| {
            row.max_learning_rate_mean_square_directions.as_ref()
        }),
    ];
    if estimates.iter().all(|limit| limit.points.is_empty()) {
        return None;
    }
    let limits = [predicted(result, "2/λ′", "sgd", 0, SGD)].into_iter().chain(estimates).collect();
    let ratio = |row: &Row| Some(least_mean_square(row)? / row.max_learning_rate_sgd?);
    let share = range(result.rows.iter().filter_map(ratio));
    let share = share.map(|share| format!("The least of the three is {share} times 2/λ′."));
    let survives = |row: &&Row| {
        let stable = row.divergence.iter().find(|found| found.optimizer == Descent::Sgd).and_then(|found| found.stable);
        stable.zip(least_mean_square(row)).is_some_and(|(stable, limit)| stable > limit)
    };
    let surviving: Vec<u64> = result.rows.iter().filter(survives).map(|row| row.batch_size).collect();
    let surviving = (!surviving.is_empty())
        .then(|| format!("At {} no short run of SGD diverged even at a rate above it.", sizes(surviving.into_iter())));
    Some(Chosen {
        title: "Mean-square limits on the learning rate",
        shown: "Learning rates η necessary for stability of SGD in the mean square at an interpolating minimum, against the \
                batch size B: equations (15) along the top eigenvector, (16) by trace and Frobenius norm and (24) the least \
                along the top eigenvectors of single batches, of Mulayoff and Michaeli (2024), ± standard error; beside them \
                2/λ′ with the predicted λ′."
            .into(),
        plot: Plot::new(limits, [Runs::of(result, Descent::Sgd, look(0))])?,
        found: vec![share, surviving],
    })
}

fn adam(result: &BatchHessian) -> Option<Chosen> {
    let preconditioned = measured(
        result,
        "measured",
        "adam_measured",
        ADAM,
        |row| row.preconditioned_lambda_max.as_ref(),
        |draw| draw.preconditioned.as_ref(),
    );
    if preconditioned.points.is_empty() {
        return None;
    }
    let scale = mean_ratio(result, ADAM, |row| row.max_learning_rate_adam);
    let scaled = limit(result, "∝ 1/√λ′", "adam", 1, Style::Line, |row| {
        Some(Point::exact(scale? * row.max_learning_rate_adam?))
    });
    let limits = vec![preconditioned, scaled];
    let settings = result.adam.map_or_else(String::new, |adam| {
        format!(" (β₁ = {}, ε = {}, E[g²] from {} groups)", adam.beta1, number::step(adam.epsilon), adam.groups)
    });
    let scale = scale.map_or_else(String::new, |scale| {
        let scale = number::significant(scale);
        format!(", and 2/√λ′ with the predicted λ′, times {scale} to meet it on average (dashed): its slope is the prediction")
    });
    Some(Chosen {
        title: "Learning rates of Adam that mini-batches allow",
        shown: format!(
            "The largest stable learning rate η of Adam against the batch size B: 2(1 + β₁)/((1 − β₁)λ) with the largest \
             eigenvalue λ measured of batches preconditioned as Adam does{settings} (markers, ± standard error){scale}."
        ),
        plot: Plot::new(limits, [Runs::of(result, Descent::Adam, look(0))])?.with_guide(0.5, "∝ √B", result),
        found: vec![
            growth(result, "The measured limit of Adam", ADAM, None, "in proportion to √B would be the power 0.5"),
            divergence(result, Descent::Adam, ADAM, "the measured limit"),
        ],
    })
}

/// The geometric mean of one rate over another at the batch sizes that have both. That of the whole counts only where there is
/// no other: Adam's preconditioner is another there, for gradients have no noise.
fn mean_ratio(result: &BatchHessian, rate: Rate, other: Rate) -> Option<f64> {
    let logarithms = |whole: bool| {
        let rows = result.rows.iter().filter(|row| (row.batch_size == result.samples) == whole);
        let logarithms: Vec<f64> = rows.filter_map(|row| Some((rate(row)? / other(row)?).ln())).collect();
        Moments::of(&logarithms)
    };
    let moments = logarithms(false).or_else(|| logarithms(true))?;
    Some(moments.mean.exp()).filter(|ratio| ratio.is_finite())
}

/// 2/λ′ and its kin, with what the standard error of the predicted λ′ makes of it.
fn predicted(result: &BatchHessian, words: &str, quantity: &'static str, index: usize, rate: Rate) -> Limit {
    limit(result, words, quantity, index, Style::Line, |row| {
        Some(Point::inverse(rate(row)?, row.predicted_lambda_max, row.predicted_lambda_max_stderr))
    })
}

/// A rate that follows from an eigenvalue found on each batch.
fn measured(
    result: &BatchHessian,
    words: &str,
    quantity: &'static str,
    rate: Rate,
    spread: fn(&Row) -> Option<&Spread>,
    eigenvalue: fn(&Draw) -> Option<&Eigenvalue>,
) -> Limit {
    limit(result, words, quantity, 0, Style::Markers, |row| {
        let spread = spread(row)?;
        let converged = row.values.iter().filter_map(eigenvalue).all(|eigenvalue| eigenvalue.converged);
        Some(Point { converged, ..Point::inverse(rate(row)?, spread.mean, spread.stderr) })
    })
}

fn estimated(
    result: &BatchHessian,
    words: &str,
    quantity: &'static str,
    index: usize,
    estimate: fn(&Row) -> Option<&Estimate>,
) -> Limit {
    limit(result, words, quantity, index, Style::LineAndMarkers, |row| {
        let Estimate { value, stderr, .. } = *estimate(row)?;
        Some(Point { error: stderr.map(|stderr| [value - stderr, value + stderr]), ..Point::exact(value) })
    })
}

fn limit(
    result: &BatchHessian,
    words: &str,
    quantity: &'static str,
    index: usize,
    style: Style,
    point: impl Fn(&Row) -> Option<Point>,
) -> Limit {
    let points = result.rows.iter().filter_map(|row| Some((row.batch_size, point(row)?)));
    Limit { words: words.into(), quantity, look: look(index), style, points: points.collect() }
}
