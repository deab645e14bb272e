//! Work on the points of a grid: which they are, what is found there, and what is kept of it while it goes on.

mod gathering;
mod region;
mod statistics;
mod unfinished;
mod values;

pub(super) use gathering::{Gathering, Keep};
pub(super) use region::{Region, require_plain, span};
pub(super) use statistics::{Measured, Networks, Point};
pub(super) use values::Values;
