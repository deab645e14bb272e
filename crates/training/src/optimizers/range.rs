//! Ranges of settings.

use basin_objective::Error;

use crate::Result;

pub(super) fn positive(name: &str, x: f64) -> Result<()> {
    ranged(name, x, "a positive number", x > 0.0 && x.is_finite())
}

pub(super) fn not_negative(name: &str, x: f64) -> Result<()> {
    ranged(name, x, "0 or a positive number", x >= 0.0 && x.is_finite())
}

pub(super) fn below_one(name: &str, x: f64) -> Result<()> {
    ranged(name, x, "at least 0 and below 1", (0.0..1.0).contains(&x))
}

fn ranged(name: &str, x: f64, range: &str, fits: bool) -> Result<()> {
    if fits {
        return Ok(());
    }
    Err(Error::input(format!("the {name} is {x}, expected {range}"), "see `basin train --help` for defaults").into())
}
