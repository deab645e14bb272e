//! Exit codes, and how an error is told: one line, and a hint below it.

use std::io::Write;
use std::process::ExitCode;

use basin_objective::Error as ObjectiveError;
use basin_training::Error as TrainingError;

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All that was asked for is there.
    Done,
    /// Some result did not converge, or a training run diverged; its record says which.
    NotConverged,
}

impl From<Ended> for ExitCode {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Done => Self::SUCCESS,
            Ended::NotConverged => Self::from(3),
        }
    }
}

/// The exit code of an error: 2 for bad input, 130 when interrupted, 1 for what is our fault.
fn code(error: &anyhow::Error) -> u8 {
    match objective_error(error) {
        Some(ObjectiveError::Interrupted) => return 130,
        Some(error) if error.is_bad_input() => return 2,
        Some(_) => return 1,
        None => {}
    }
    let foreign_file = error.is::<basin_records::Error>() || error.is::<basin_reporting::Error>();
    match error.downcast_ref::<TrainingError>() {
        Some(TrainingError::OtherSettings { .. } | TrainingError::Records(_)) => 2,
        _ if foreign_file => 2,
        _ => 1,
    }
}

fn objective_error(error: &anyhow::Error) -> Option<&ObjectiveError> {
    error.downcast_ref::<ObjectiveError>().or(match error.downcast_ref::<TrainingError>() {
        Some(TrainingError::Objective(error)) => Some(error),
        _ => None,
    })
}

fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(error) = error.downcast_ref::<TrainingError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<basin_records::Error>() {
        return Some(error.hint());
    }
    if let Some(error) = error.downcast_ref::<basin_reporting::Error>() {
        return Some(error.hint());
    }
    match objective_error(error)? {
        ObjectiveError::Interrupted => Some("run the same command again to go on".into()),
        ObjectiveError::Tape(_) | ObjectiveError::Candle(_) => {
            Some("this is a defect of basin or of the device; run again with `--device cpu` and report it".into())
        }
        error => error.hint().map(str::to_owned),
    }
}

/// Tells an error on stderr and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(stderr, "error: {error:#}");
    if let Some(hint) = hint(error) {
        let _ = writeln!(stderr, "hint: {hint}");
    }
    ExitCode::from(code(error))
}
