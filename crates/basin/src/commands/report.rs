//! `basin report`: figures and page from the records of a directory.

use crate::arguments::Report;
use crate::exit::Ended;
use crate::output::print;

pub(crate) fn run(arguments: &Report) -> anyhow::Result<Ended> {
    for path in basin_reporting::draw(&arguments.directory)? {
        print(&path.display().to_string())?;
    }
    Ok(Ended::Done)
}
