//! Exit codes, and how an error is told: one line, and a hint below it.

use std::io::Write as _;
use std::process::ExitCode;

use basin_objective::Error as ObjectiveError;
use basin_training::Error as TrainingError;
use clap::error::ErrorKind;

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
    if let Some(ObjectiveError::Interrupted) = objective_error(error) {
        return Some(
            "run the same command again: studies, training runs, `batch-hessian --out` and `landscape … --out` go on where they stopped, other measurements start anew"
                .into(),
        );
    }
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
        ObjectiveError::Tape(_) | ObjectiveError::Candle(_) => {
            Some("this is a defect of basin or of the device; run again with `--device cpu` and report it".into())
        }
        error => error.hint().map(str::to_owned),
    }
}

/// Tells an error on stderr and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    tell(&format!("error: {}", message(error)));
    if let Some(hint) = hint(error) {
        tell(&format!("hint: {hint}"));
    }
    ExitCode::from(code(error))
}

/// The message with its causes; a cause that the message already quotes is not said twice.
fn message(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |message, cause| {
        if message.contains(&cause) { message } else { format!("{message}: {cause}") }
    })
}

/// Prints a line to stderr. Where that is closed there is nobody to tell.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Tells what is wrong with what was typed, in the form of every other error; or prints the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let asked_for_help = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if asked_for_help {
        // As everywhere, a reader that went away is no error.
        let _ = error.print();
    } else {
        let (fault, hint) = fault_and_hint(error);
        tell(&format!("error: {fault}"));
        tell(&format!("hint: {hint}"));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Clap says what is wrong in its first paragraph, and below it tips and the usage.
fn fault_and_hint(error: &clap::Error) -> (String, String) {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut paragraphs = text.split("\n\n");
    let on_one_line = |paragraph: &str| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let fault = on_one_line(paragraphs.next().unwrap_or_default());
    let ours = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<ObjectiveError>()?.hint());
    let clap_s = paragraphs.find_map(|paragraph| {
        let paragraph = on_one_line(paragraph);
        let usage = || paragraph.strip_prefix("Usage: ").map(|usage| format!("write `{usage}`"));
        paragraph.strip_prefix("tip: ").map(str::to_owned).or_else(usage)
    });
    let hint = ours.map(str::to_owned).or(clap_s).unwrap_or_else(|| "see `--help` of the command".into());
    (fault, hint)
}
