//! Independent work on several threads, each with its share of the machine's.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The results of `work` on each item, in the order of the items, of which so many are worked on at a time by equal shares of the
/// threads at hand. After a failure no more are begun; the first item's that failed is the error.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    at_a_time: NonZeroUsize,
    work: impl Fn(&T) -> anyhow::Result<R> + Sync,
) -> anyhow::Result<Vec<R>> {
    let at_a_time = at_a_time.get().min(items.len());
    if at_a_time <= 1 {
        return items.iter().map(work).collect();
    }
    let threads = rayon::current_num_threads();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Vec<Mutex<Option<anyhow::Result<R>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let take_turns = || {
        while !failed.load(Ordering::Relaxed) {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let (Some(item), Some(place)) = (items.get(turn), results.get(turn)) else { break };
            let result = work(item);
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
            if let Ok(mut place) = place.lock() {
                *place = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..at_a_time {
            let share = (threads + worker) / at_a_time;
            let pool = rayon::ThreadPoolBuilder::new().num_threads(share.max(1)).build()?;
            scope.spawn(move || pool.install(take_turns));
        }
        anyhow::Ok(())
    })?;
    // Items behind a failure may have no result; the failure comes before them.
    results.into_iter().filter_map(|place| place.into_inner().ok().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

    #[test]
    fn results_are_in_order_however_many_are_worked_on_at_a_time() {
        let items: Vec<u64> = (0..20).collect();
        for at_a_time in [NonZeroUsize::MIN, TWO, TWO.saturating_add(40)] {
            let found = each(&items, at_a_time, |x| Ok(x * x)).unwrap_or_default();
            assert_eq!(found, items.iter().map(|x| x * x).collect::<Vec<_>>());
        }
        assert!(each(&[], TWO, |x: &u64| Ok(*x)).is_ok_and(|found| found.is_empty()));
    }

    #[test]
    fn a_failure_is_the_result_and_ends_the_work() {
        let items: Vec<u64> = (0..1000).collect();
        let begun = AtomicUsize::new(0);
        let result = each(&items, TWO, |&x| {
            begun.fetch_add(1, Ordering::Relaxed);
            anyhow::ensure!(x != 3, "three");
            std::thread::sleep(std::time::Duration::from_millis(1));
            Ok(x)
        });
        assert!(result.is_err_and(|error| error.to_string() == "three"));
        assert!(begun.into_inner() < items.len());
    }
}
