//! Short runs that say where descent diverges.

use std::sync::{Mutex, PoisonError};

use basin_objective::{SampledNetwork, SampledObjective as _};
use basin_records::BatchHessian as Measured;
use basin_records::batch_hessian::{Check, Row};
use basin_sharpness::batch_hessian::{AdamOptions, BatchHessianOptions, SecondMoment, inverse_effective_batch};
use basin_training::{Descending, DescentRule, StabilityCheck, divergence, divergence_level};

use crate::interruption;
use crate::progress::Progress;
use crate::subject::Subject;

/// Puts the runs into the rows of this part, and says how many gradients of single samples they took.
pub(super) fn run(
    subject: &Subject,
    batches: &SampledNetwork,
    (options, second_moment): (&BatchHessianOptions, Option<&SecondMoment>),
    check: &StabilityCheck,
    measured: &mut Measured,
    quiet: bool,
) -> anyhow::Result<f64> {
    let (loss, level) = divergence_level(batches, &subject.theta)?;
    measured.check = Some(Check { steps: check.steps as u64, runs: check.runs as u64, loss, level });
    // One part has the first batch of a size, and makes the runs at it.
    let ours = measured.rows.iter().filter(|row| row.values.iter().any(|draw| draw.draw == 0));
    let mut todo = Vec::new();
    for row in ours {
        todo.extend(descents(row, options, second_moment, batches.samples())?);
    }
    let total = (todo.len() * check.total_steps()) as u64;
    let progress = Mutex::new((0, Progress::new(format!("runs {}", subject.path.display()), total, quiet)));
    let observe = |steps: usize| {
        let (done, progress) = &mut *progress.lock().unwrap_or_else(PoisonError::into_inner);
        *done += steps as u64;
        progress.set(*done, format!("{done} of {total} steps"));
        interruption::check()
    };
    let mut sample_gradients = 0.0;
    for descending in &todo {
        let runs = check.run(batches, &subject.theta, descending, level, observe)?;
        let of_one = |run| check.sample_gradients(run, descending.batch_size, batches.samples());
        sample_gradients += runs.iter().map(of_one).sum::<f64>();
        if let Some(row) = measured.rows.iter_mut().find(|row| row.batch_size == descending.batch_size as u64) {
            row.divergence.extend(divergence(&runs));
            row.runs.extend(runs);
        }
    }
    Ok(sample_gradients)
}

/// What is tried at a batch size: gradient descent, momentum where there is one, and Adam where its matrices were measured.
fn descents(
    row: &Row,
    options: &BatchHessianOptions,
    second_moment: Option<&SecondMoment>,
    samples: usize,
) -> basin_objective::Result<Vec<Descending>> {
    let batch_size = row.batch_size as usize;
    let descending = |learning_rate: Option<f64>, by: DescentRule| {
        learning_rate.map(|learning_rate| Descending { batch_size, learning_rate, by })
    };
    let momentum = options.momentum;
    let mut found = vec![descending(row.max_learning_rate_sgd, DescentRule::HeavyBall { momentum: 0.0 })];
    if momentum > 0.0 {
        found.push(descending(row.max_learning_rate_momentum, DescentRule::HeavyBall { momentum }));
    }
    if let Some((moment, AdamOptions { beta1, epsilon })) = second_moment.zip(options.adam) {
        let second_moment = moment.at(inverse_effective_batch(batch_size, samples))?;
        found
            .push(descending(row.max_learning_rate_adam_measured, DescentRule::Adam { beta1, epsilon, second_moment }));
    }
    Ok(found.into_iter().flatten().collect())
}
