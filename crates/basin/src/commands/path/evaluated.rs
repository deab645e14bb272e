//! What is known of a curve and of the straight line.

use basin_landscape::Curve;
use basin_objective::Error;
use basin_records::connection::Profile;
use serde::{Deserialize, Serialize};

use crate::commands::grid::{Networks, Point};
use crate::interruption;
use crate::progress::Progress;

/// Losses and accuracies at the first of some positions on both, as far as they are known.
#[derive(Serialize, Deserialize)]
pub(super) struct Evaluated {
    pub(super) t: Vec<f64>,
    pub(super) curve: Profile,
    pub(super) line: Profile,
}

impl Evaluated {
    pub(super) fn none(t: Vec<f64>) -> Self {
        Self { t, curve: Profile::default(), line: Profile::default() }
    }

    /// Whether these are values at the first of those positions.
    pub(super) fn is_of(&self, t: &[f64]) -> bool {
        self.t == t && [&self.curve, &self.line].iter().all(|profile| profile.train_loss.len() <= t.len())
    }

    /// Evaluates what is missing; an error leaves what was done.
    pub(super) fn complete(
        &mut self,
        networks: &Networks<'_>,
        [curve, line]: [&Curve; 2],
        quiet: bool,
    ) -> Result<(), Error> {
        let Self { t, curve: on_curve, line: on_line } = self;
        let mut progress = Progress::new("path", 2 * t.len() as u64, quiet);
        let mut done = (on_curve.train_loss.len() + on_line.train_loss.len()) as u64;
        for (curve, profile) in [(curve, on_curve), (line, on_line)] {
            for &at in &t[profile.train_loss.len()..] {
                interruption::check()?;
                let Point { train, test } = networks.evaluate(&curve.at(at)?)?;
                profile.train_loss.push(train.loss);
                profile.train_accuracy.extend(train.accuracy);
                profile.test_loss.extend(test.map(|test| test.loss));
                profile.test_accuracy.extend(test.and_then(|test| test.accuracy));
                done += 1;
                progress.set(done, format!("t = {at:.3}"));
            }
        }
        Ok(())
    }
}
