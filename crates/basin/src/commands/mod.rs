//! The commands: each turns what was typed into checked settings, calls the library, and prints.

mod batch_hessian;
mod compare;
mod grid;
mod inspect;
mod iterates;
mod keskar;
mod line;
mod optimizer;
mod path;
mod plane;
mod ratio;
mod report;
mod sharpness;
mod spectrum;
mod study;
mod train;
mod trajectory;

use crate::arguments::{Arguments, Command, Common, Landscape, Machine};
use crate::exit::Ended;
use crate::{interruption, memory, output};

/// Runs the command that was typed.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Ended> {
    interruption::watch()?;
    match &arguments.command {
        Command::Study(study) => on_threads(&study.machine, || study::run(study)),
        Command::Train(train) => on_threads(&train.machine, || train::run(train)),
        Command::Keskar(keskar) => analyse(&keskar.common, || keskar::run(keskar)),
        Command::Sharpness(sharpness) => analyse(&sharpness.common, || sharpness::run(sharpness)),
        Command::Spectrum(spectrum) => analyse(&spectrum.common, || spectrum::run(spectrum)),
        Command::BatchHessian(batch) => analyse(&batch.common, || batch_hessian::run(batch)),
        Command::Compare(compare) => {
            compare::check(&compare.common)?;
            measure(&compare.common, || compare::run(compare))
        }
        Command::Landscape(Landscape::Line(line)) => analyse(&line.common, || line::run(line)),
        Command::Landscape(Landscape::Plane(plane)) => analyse(&plane.common, || plane::run(plane)),
        Command::Landscape(Landscape::Trajectory(way)) => analyse(&way.common, || trajectory::run(way)),
        Command::Landscape(Landscape::Ratio(ratio)) => analyse(&ratio.common, || ratio::run(ratio)),
        Command::Landscape(Landscape::Path(path)) => analyse(&path.common, || path::run(path)),
        Command::Report(report) => report::run(report),
        Command::Inspect(inspect) => inspect::run(inspect),
    }
}

/// Runs an analysing command, once it is sure that its record will find its place.
fn analyse(common: &Common, command: impl FnOnce() -> anyhow::Result<Ended> + Send) -> anyhow::Result<Ended> {
    if let Some(path) = &common.out {
        output::check(path)?;
    }
    measure(common, command)
}

/// Runs a command on the threads asked for.
fn measure(common: &Common, command: impl FnOnce() -> anyhow::Result<Ended> + Send) -> anyhow::Result<Ended> {
    let ended = on_threads(&common.machine, command)?;
    if common.machine.verbose {
        memory::tell_peak();
    }
    Ok(ended)
}

/// Runs a command in a pool of as many threads as asked for.
fn on_threads(machine: &Machine, command: impl FnOnce() -> anyhow::Result<Ended> + Send) -> anyhow::Result<Ended> {
    match machine.threads {
        None => command(),
        Some(threads) => rayon::ThreadPoolBuilder::new().num_threads(threads).build()?.install(command),
    }
}
