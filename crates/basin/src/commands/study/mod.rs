//! `basin study`: train at each batch size and seed, measure, report.

mod advance;
mod record;
mod runs;
mod settings;
mod side_by_side;
mod units;
mod variants;

use std::fs;
use std::path::Path;

use basin_objective::Error;
use basin_records::file;
use basin_training::Error as TrainingError;

use crate::arguments::Study;
use crate::device;
use crate::exit::Ended;
use crate::output::print;
use settings::StudySettings;
use units::Units;

pub(crate) fn run(arguments: &Study) -> anyhow::Result<Ended> {
    let device = device::named(&arguments.machine.device)?;
    let settings = StudySettings::resolve(arguments)?;
    settings.check()?;
    claim(&arguments.out, &settings)?;
    let units = Units::new(&settings, arguments, device)?;
    let ended = units.work()?;
    record::write(&settings, &arguments.out, &units)?;
    basin_reporting::draw(&arguments.out)?;
    print(&arguments.out.join("index.html").display().to_string())?;
    Ok(ended)
}

/// Makes the directory this study's: its settings are written first, and another study's are refused.
fn claim(directory: &Path, settings: &StudySettings) -> anyhow::Result<()> {
    fs::create_dir_all(directory.join("records")).map_err(|cause| {
        Error::input(
            format!("cannot create the directory `{}`: {cause}", directory.display()),
            "name a directory that can be written with `--out`",
        )
    })?;
    let path = directory.join("study.toml");
    if let Ok(text) = fs::read_to_string(&path) {
        let found = StudySettings::parse(&text, &path)?;
        let difference = basin_training::differences(&serde_json::to_value(&found)?, &serde_json::to_value(settings)?);
        if !difference.is_empty() {
            let directory = directory.display().to_string();
            return Err(TrainingError::OtherSettings { directory, difference: difference.join(", ") }.into());
        }
        for written in [directory.to_owned(), directory.join("records"), directory.join("figures")] {
            if written.is_dir() {
                file::remove_leftovers(&written)?;
            }
        }
        return Ok(());
    }
    file::replace(&path, toml::to_string_pretty(settings)?.as_bytes())?;
    Ok(())
}
