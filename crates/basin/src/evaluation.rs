//! How well a checkpoint does on the samples at hand, said before anything is measured: nothing else shows as surely that
//! model and inputs are those it was trained with.

use std::path::Path;

use basin_objective::Error;
use basin_objective::data::{Dataset, Split};
use basin_objective::{Evaluation, LossSpec};
use basin_records as records;
use basin_training::CheckpointMetadata;

use crate::arguments::Expected;
use crate::exit::tell;
use crate::table::{number, percent};

const HINT: &str = "give the inputs as trained with `--standardize`, `--resize` and `--center-crop`, and check `--model` and \
                    `--data`; `--expect-accuracy` refuses such a checkpoint";
/// Loss and accuracy that differ by no more agree: other devices and number formats differ by less.
const RELATIVE_LOSS: f64 = 0.01;
const LOSS: f64 = 1e-3;
const ACCURACY: f64 = 2e-3;
/// The share of log(classes) by which smoothed labels and the like may raise a loss.
const DOUBT: f64 = 0.1;

/// A checkpoint evaluated on some samples, with what it says of itself.
pub(crate) struct Evaluated<'a> {
    pub(crate) path: &'a Path,
    pub(crate) metadata: &'a CheckpointMetadata,
    pub(crate) data: &'a Dataset,
    pub(crate) loss: &'a LossSpec,
    /// How many of the first samples these are, where they are not all.
    pub(crate) first: Option<usize>,
    /// Whether batch norm used the statistics of the samples, as it does not when a run notes its loss.
    pub(crate) batch_statistics: bool,
    pub(crate) found: Evaluation,
}

impl Evaluated<'_> {
    /// Warns of what looks wrong, and refuses what is not as expected.
    pub(crate) fn check(&self, expected: &Expected) -> Result<(), Error> {
        self.refuse_unexpected(expected)?;
        for warning in self.warnings() {
            tell(&format!("warning: {}: {warning}", self.path.display()));
            tell(&format!("hint: {HINT}"));
        }
        Ok(())
    }

    /// Loss and accuracy, and on what.
    pub(crate) fn line(&self) -> String {
        let accuracy =
            self.found.accuracy.map_or_else(String::new, |share| format!(", accuracy {}", percent(Some(share))));
        format!("loss {}{accuracy} on {}", number(self.found.loss), self.samples())
    }

    fn samples(&self) -> String {
        format!("{} samples of {} ({})", self.data.samples(), self.data.spec, self.data.split)
    }

    fn refuse_unexpected(&self, expected: &Expected) -> Result<(), Error> {
        let refused = |what: &str, found: String, wanted: &str| {
            let (path, samples) = (self.path.display(), self.samples());
            let hint = "give the inputs as trained with `--standardize`, `--resize` and `--center-crop`, and check `--model`, \
                        `--data`, `--split` and `--samples`";
            Err(Error::input(format!("`{path}` has the {what} {found} on {samples}, expected {wanted}"), hint))
        };
        if let Some(wanted) = expected.expect_loss.as_ref().filter(|wanted| !wanted.allows(self.found.loss)) {
            return refused("loss", self.found.loss.to_string(), wanted.text());
        }
        let Some(wanted) = &expected.expect_accuracy else { return Ok(()) };
        match self.found.accuracy {
            Some(accuracy) if wanted.allows(accuracy) => Ok(()),
            Some(accuracy) => refused("accuracy", format!("{accuracy:.6}"), wanted.text()),
            None => Err(Error::input(
                format!("`--expect-accuracy` needs classes, and the targets of {} are numbers", self.data.spec),
                "give `--expect-loss`",
            )),
        }
    }

    /// What says that the model or the inputs are not those of the training.
    fn warnings(&self) -> Vec<String> {
        match self.noted() {
            Some((loss, accuracy)) => self.far_from(loss, accuracy).into_iter().collect(),
            None if self.metadata.epoch == Some(0) => Vec::new(),
            None => self.like_guessing(),
        }
    }

    /// Loss and accuracy that the checkpoint notes of the very samples.
    fn noted(&self) -> Option<(f64, Option<f64>)> {
        let CheckpointMetadata { data, loss, samples, .. } = self.metadata;
        let first = self.first.map(|first| first as u64);
        let same_loss = loss.as_ref().is_some_and(|loss| *loss == self.loss.to_string());
        let same_data = data.as_ref().is_some_and(|data| *data == self.data.spec.to_string());
        if !same_loss || !same_data || self.batch_statistics {
            return None;
        }
        match self.data.split {
            Split::Train if *samples == first => Some((self.metadata.train_loss?, self.metadata.train_accuracy)),
            Split::Test if first.is_none() => Some((self.metadata.test_loss?, self.metadata.test_accuracy)),
            _ => None,
        }
    }

    fn far_from(&self, loss: f64, accuracy: Option<f64>) -> Option<String> {
        let found = self.found;
        let near = (found.loss - loss).abs() <= LOSS.max(RELATIVE_LOSS * loss.abs())
            && found.accuracy.zip(accuracy).is_none_or(|(found, noted)| (found - noted).abs() <= ACCURACY);
        let told = |loss, accuracy: Option<f64>| match accuracy {
            Some(_) => format!("loss {} and accuracy {}", number(loss), percent(accuracy)),
            None => format!("loss {}", number(loss)),
        };
        (!near).then(|| {
            format!(
                "{} on {}, where the checkpoint notes {}: inputs, samples or architecture are not those of the training",
                told(found.loss, found.accuracy),
                self.samples(),
                told(loss, accuracy),
            )
        })
    }

    /// A classifier that does no better than one that looks at nothing.
    fn like_guessing(&self) -> Vec<String> {
        let Some(classes) = self.data.classes().filter(|&classes| classes > 1) else { return Vec::new() };
        let classes = classes as f64;
        let mut warnings = Vec::new();
        let (loss, guessing) = (self.found.loss, classes.ln());
        if self.loss.is_cross_entropy() && (loss > guessing || loss.is_nan()) {
            warnings.push(format!(
                "loss {} is above that of guessing, log({classes}) = {}: inputs or architecture are not those of the training",
                number(loss),
                number(guessing),
            ));
        }
        let chance = 1.0 / classes;
        let near = chance + (0.5 * chance).min(0.05);
        match self.found.accuracy {
            Some(accuracy) if accuracy < near => warnings.push(format!(
                "accuracy {} is near that of guessing, {}: inputs or architecture are not those of the training",
                percent(Some(accuracy)),
                percent(Some(chance)),
            )),
            Some(accuracy) if warnings.is_empty() && self.is_doubtful(accuracy, classes) => warnings.push(format!(
                "loss {} is more than goes with accuracy {}, at most {} of a network fitted to these samples: inputs or \
                 architecture are not those of the training",
                number(loss),
                percent(Some(accuracy)),
                number(largest_loss(accuracy, classes)),
            )),
            _ => {}
        }
        warnings
    }

    /// Whether the outputs are far less sure than they are right, as on inputs of another scale. On the test split a network
    /// may be surer than it is right, which costs as much.
    fn is_doubtful(&self, accuracy: f64, classes: f64) -> bool {
        *self.loss == LossSpec::cross_entropy()
            && self.data.split == Split::Train
            && self.found.loss > largest_loss(accuracy, classes) + DOUBT * classes.ln()
    }
}

/// The largest cross-entropy of a classifier that is as sure as it is right: by Fano's inequality h(a) + (1 − a) log(K − 1) at
/// accuracy a among K classes.
fn largest_loss(accuracy: f64, classes: f64) -> f64 {
    let entropy = |share: f64| if share > 0.0 { -share * share.ln() } else { 0.0 };
    let wrong = 1.0 - accuracy;
    entropy(accuracy) + entropy(wrong) + wrong * (classes - 1.0).ln()
}

/// An evaluation in a record.
pub(crate) fn recorded(found: Evaluation, data: &Dataset) -> records::Evaluation {
    records::Evaluation { loss: found.loss, accuracy: found.accuracy, samples: data.samples() as u64 }
}

/// What was done to inputs, in a record.
pub(crate) fn recorded_inputs(preprocessing: &basin_objective::data::Preprocessing) -> records::Inputs {
    records::Inputs {
        mean: preprocessing.standardize.as_ref().map(|standardization| standardization.mean().to_vec()),
        std: preprocessing.standardize.as_ref().map(|standardization| standardization.std().to_vec()),
        resize: preprocessing.resize.map(|resize| resize.to_string()),
        crop: preprocessing.center_crop.map(|crop| crop.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_that_is_never_wrong_has_no_loss_and_one_that_guesses_that_of_guessing() {
        assert_eq!(largest_loss(1.0, 10.0), 0.0);
        assert!((largest_loss(0.1, 10.0) - 10_f64.ln()).abs() < 1e-12);
        assert!((largest_loss(0.5, 2.0) - 2_f64.ln()).abs() < 1e-12);
    }
}
