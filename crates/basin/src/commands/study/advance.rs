//! How far the runs of a study are, told from several threads.

use std::sync::Mutex;

use crate::progress::Progress;

/// The progress of one step of a run; a run has three: it is trained, measured along the way, and measured at its end.
pub(super) const UNIT: u64 = 1000;
const STEPS: u64 = 3;

/// How far each run is.
pub(super) struct Advance {
    shown: Mutex<(Progress, Vec<u64>)>,
}

impl Advance {
    pub(super) fn new(runs: usize, quiet: bool) -> Self {
        let progress = Progress::new("study", STEPS * UNIT * runs as u64, quiet);
        Self { shown: Mutex::new((progress, vec![0; runs])) }
    }

    /// The run at a place is so far, and busy with `what`.
    pub(super) fn set(&self, place: usize, done: u64, what: String) {
        // That another thread panicked is told elsewhere.
        if let Ok(mut shown) = self.shown.lock() {
            let (progress, runs) = &mut *shown;
            if let Some(run) = runs.get_mut(place) {
                *run = done;
            }
            progress.set(runs.iter().sum(), what);
        }
    }
}
