//! `basin`: sharpness and loss landscapes of saved checkpoints.

mod allocator;
mod arguments;
mod commands;
mod device;
mod evaluation;
mod exit;
mod interruption;
mod memory;
mod misfit;
mod output;
mod progress;
mod subject;
mod table;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = match arguments::Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::usage(&error),
    };
    match commands::run(&arguments) {
        Ok(ended) => ended.into(),
        Err(error) => exit::report(&error),
    }
}
