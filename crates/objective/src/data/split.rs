//! Holding samples back so that every class keeps its share.

use rand::Rng;
use rand::seq::SliceRandom;

/// Splits the positions of `labels` at random into `held_back` of them and the others (these first). Each class gives its
/// proportional number, rounded up or down. Both parts are in random order.
pub(super) fn stratified(labels: &[i64], held_back: usize, rng: &mut impl Rng) -> (Vec<usize>, Vec<usize>) {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.shuffle(rng);
    let mut shares = shares(labels, held_back);
    let (mut kept, mut held) = (Vec::new(), Vec::new());
    for position in order {
        let share = labels.get(position).and_then(|label| shares.get_mut(label));
        match share {
            Some(share) if *share > 0 => {
                *share -= 1;
                held.push(position);
            }
            _ => kept.push(position),
        }
    }
    (kept, held)
}

/// How many samples of each class to hold back: proportional, and the largest remainders are rounded up.
fn shares(labels: &[i64], held_back: usize) -> std::collections::BTreeMap<i64, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for &label in labels {
        *counts.entry(label).or_insert(0_usize) += 1;
    }
    let total = labels.len().max(1);
    let held_back = held_back.min(labels.len());
    let mut by_remainder: Vec<(usize, i64)> =
        counts.iter().map(|(&label, count)| (count * held_back % total, label)).collect();
    by_remainder.sort_by_key(|&(remainder, label)| (std::cmp::Reverse(remainder), label));
    for count in counts.values_mut() {
        *count = *count * held_back / total;
    }
    let missing = held_back - counts.values().sum::<usize>();
    for (_, label) in by_remainder.into_iter().take(missing) {
        *counts.entry(label).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_partition_with_proportional_classes(
            labels in proptest::collection::vec(0..5_i64, 1..200),
            fraction in 0.0..1.0,
            seed: u64,
        ) {
            let held_back = (labels.len() as f64 * fraction) as usize;
            let (kept, held) = stratified(&labels, held_back, &mut stream(seed, "test", "split"));
            prop_assert_eq!(held.len(), held_back);
            let mut all = [kept, held.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            for class in 0..5 {
                let of_class = |label: &i64| *label == class;
                let share = labels.iter().filter(|label| of_class(label)).count() * held_back;
                let found = held.iter().filter(|&&position| labels[position] == class).count() * labels.len();
                prop_assert!(share.abs_diff(found) < labels.len(), "class {}", class);
            }
        }
    }
}
