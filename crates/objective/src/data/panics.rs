//! Libraries that panic on files which contradict themselves.

use std::cell::Cell;
use std::panic::{self, UnwindSafe};
use std::sync::Once;

thread_local! {
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// What `call` returns, or `None` where it panics. Of such a panic nothing is printed; what is installed to report panics
/// is told of all others.
pub(super) fn caught<T>(call: impl FnOnce() -> T + UnwindSafe) -> Option<T> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // Where a thread ends, its flag is gone; a panic there was not expected.
            if !EXPECTED.try_with(Cell::get).unwrap_or(false) {
                report(info);
            }
        }));
    });
    let before = EXPECTED.replace(true);
    let result = panic::catch_unwind(call).ok();
    EXPECTED.set(before);
    result
}
