//! The commands: each turns what was typed into checked settings, calls the library, and prints.

mod compare;
mod inspect;
mod keskar;
mod line;
mod report;
mod spectrum;
mod study;
mod train;

use basin_objective::Error;

use crate::arguments::{Arguments, Command, Landscape, Machine};
use crate::exit::Ended;
use crate::interruption;

/// Runs the command that was typed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Ended> {
    interruption::watch()?;
    match &arguments.command {
        Command::Study(study) => on_threads(&study.machine, || study::run(study)),
        Command::Train(train) => on_threads(&train.machine, || train::run(train)),
        Command::Keskar(keskar) => on_threads(&keskar.common.machine, || keskar::run(keskar)),
        Command::Spectrum(spectrum) => on_threads(&spectrum.common.machine, || spectrum::run(spectrum)),
        Command::Compare(compare) => on_threads(&compare.common.machine, || compare::run(compare)),
        Command::Landscape(Landscape::Line(line)) => on_threads(&line.common.machine, || line::run(line)),
        Command::Report(report) => report::run(report),
        Command::Inspect(inspect) => inspect::run(inspect),
    }
}

/// Runs a command in a pool of as many threads as asked for.
fn on_threads(machine: &Machine, command: impl FnOnce() -> anyhow::Result<Ended> + Send) -> anyhow::Result<Ended> {
    match machine.threads {
        None => command(),
        Some(0) => Err(Error::input("the number of threads is 0", "give at least 1, or leave it out").into()),
        Some(threads) => rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(command),
    }
}
