//! Ctrl-C: the first one lets the current unit of work be saved, the second one ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

use basin_objective::{Error, Result};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Watches for interruption from now on.
pub(crate) fn watch() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })?;
    Ok(())
}

/// An error once the work has been interrupted.
pub(crate) fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) { Err(Error::Interrupted) } else { Ok(()) }
}
