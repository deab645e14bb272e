//! Progress with remaining time on stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::exit::tell;

/// Time between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How much of some work is done.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// Where stderr is not a terminal, when the last line was written.
    last_line: Option<Instant>,
    started: Instant,
    what: String,
}

impl Progress {
    /// Progress of `total` units of `what`; silent where `quiet`.
    pub(crate) fn new(what: impl Into<String>, total: u64, quiet: bool) -> Self {
        let (what, terminal) = (what.into(), std::io::stderr().is_terminal());
        let target = if quiet || !terminal { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = "{prefix} [{bar:30}] {percent:>3} % {msg} ({elapsed} so far, {eta} left)";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what.clone());
        let last_line = (!quiet && !terminal).then(Instant::now);
        Self { bar, last_line, started: Instant::now(), what }
    }

    /// `done` units are done; `message` says where the work stands.
    pub(crate) fn set(&mut self, done: u64, message: impl Into<String>) {
        let message = message.into();
        self.bar.set_position(done);
        if let Some(last) = &mut self.last_line
            && last.elapsed() >= LINE_EVERY
        {
            *last = Instant::now();
            let total = self.bar.length().unwrap_or(done).max(1);
            let share = done as f64 / total as f64;
            let left = self.started.elapsed().as_secs_f64() * (1.0 - share) / share.max(1e-9);
            let left = HumanDuration(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX));
            tell(&format!("{}: {:.0} %, about {left} left, {message}", self.what, 100.0 * share));
        }
        self.bar.set_message(message);
    }

    /// As [`set`](Self::set), where the total becomes known on the way.
    pub(crate) fn set_of(&mut self, done: u64, total: u64, message: impl Into<String>) {
        self.bar.set_length(total);
        self.set(done, message);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
