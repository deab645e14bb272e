//! What the numbers say of the largest against the smallest batch size, and no more than they say.

use crate::groups::{Group, Groups};
use crate::minima::{Minima, Way};
use crate::number;
use crate::statistics::Moments;
use crate::variants::{Quantity, quantities};

/// One sentence per quantity that both ends of the batch sizes have, over all variants.
pub(crate) fn smallest_against_largest(minima: &Minima<'_>, groups: &Groups) -> Vec<String> {
    let variants = groups.variants();
    if variants.is_empty() {
        let ends = Ends::of(groups, None);
        return ends.map_or_else(Vec::new, |ends| ends.sentences(minima, &minima.ways()));
    }
    let ends: Vec<Ends> = (0..variants.len()).filter_map(|variant| Ends::of(groups, Some(variant))).collect();
    of_variants(minima, groups, &ends)
}

/// One sentence per quantity, with the variants by what can be told of them.
fn of_variants(minima: &Minima<'_>, groups: &Groups, ends: &[Ends]) -> Vec<String> {
    let sentence = |quantity: &Quantity<'_>| {
        let found: Vec<(String, [Side; 2])> =
            ends.iter().filter_map(|ends| Some((groups.name(ends.small.variant), ends.sides(&quantity.of)?))).collect();
        let with = |verdict: fn(&Side, &Side) -> bool, words: &str| {
            let those = found.iter().filter(|(_, [small, large])| verdict(small, large));
            let those: Vec<String> =
                those.map(|(name, [small, large])| format!("{name} ({})", both(*small, *large))).collect();
            (!those.is_empty()).then(|| format!("{words} {}", number::enumerate(&those)))
        };
        let parts = [
            with(|small, large| large.parts_from(small) && large.moments.mean > small.moments.mean, "higher for"),
            with(|small, large| large.parts_from(small) && large.moments.mean < small.moments.mean, "lower for"),
            with(|small, large| !large.parts_from(small), "no difference can be told for"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| {
            format!("{} at the largest against the smallest batch size: {}.", quantity.title, parts.join("; "))
        })
    };
    let at_unequal_losses = |ends: &&Ends| {
        let sides = ends.sides(|group| minima.train_losses(group));
        sides.is_some_and(|[small, large]| small.moments.overlaps(&large.moments) != Some(true))
    };
    let unequal: Vec<String> =
        ends.iter().filter(at_unequal_losses).map(|ends| groups.name(ends.small.variant)).collect();
    let caution = (!unequal.is_empty()).then(|| {
        format!(
            "Batch sizes ended at different training losses for {}; part of a difference in sharpness is then one in loss.",
            number::enumerate(&unequal)
        )
    });
    quantities(minima, groups).iter().filter_map(sentence).chain(caution).collect()
}

/// The smallest and the largest batch size of a variant.
struct Ends {
    small: Group,
    large: Group,
}

impl Ends {
    /// None of one batch size.
    fn of(groups: &Groups, variant: Option<usize>) -> Option<Self> {
        let sizes = groups.batch_sizes_of(variant);
        let of = |batch_size| Group { variant, batch_size };
        (sizes.len() > 1).then_some(Self { small: of(*sizes.first()?), large: of(*sizes.last()?) })
    }

    fn sides(&self, of: impl Fn(Group) -> Vec<f64>) -> Option<[Side; 2]> {
        let side = |group: Group| Some(Side { batch_size: group.batch_size, moments: Moments::of(&of(group))? });
        Some([side(self.small)?, side(self.large)?])
    }

    fn sentences(&self, minima: &Minima<'_>, ways: &[Way]) -> Vec<String> {
        let mut findings = Vec::new();
        if let Some([small, large]) = self.sides(|group| minima.test_accuracies(group)) {
            findings.push(accuracy(small, large));
        }
        if let Some([small, large]) = self.sides(|group| minima.train_losses(group)) {
            findings.extend(unequal_losses(small, large));
        }
        for &way in ways {
            if let Some([small, large]) = self.sides(|group| minima.sharpness(group, way)) {
                let place = format!("At ε = {} ({})", number::step(way.epsilon), way.setting.words());
                findings.push(sharpness(&place, small, large));
            }
        }
        findings
    }
}

/// What was found at one batch size.
#[derive(Debug, Clone, Copy)]
struct Side {
    batch_size: u64,
    moments: Moments,
}

impl Side {
    /// Whether the intervals mean ± standard deviation are known and do not meet.
    fn parts_from(&self, other: &Self) -> bool {
        self.moments.overlaps(&other.moments) == Some(false)
    }
}

/// Sharpness at the end of training is no fair comparison where the losses differ, and the reader is told so.
fn unequal_losses(small: Side, large: Side) -> Option<String> {
    (small.moments.overlaps(&large.moments) != Some(true)).then(|| {
        format!(
            "The runs ended at different training losses ({}). The curvature of a loss such as cross-entropy fades as \
             the loss falls, so that part of a difference in sharpness at the end of training is a difference in loss; \
             sharpness against loss along training compares weights at equal loss.",
            values(small, large)
        )
    })
}

fn accuracy(small: Side, large: Side) -> String {
    let values = values(small, large);
    match small.moments.overlaps(&large.moments) {
        None => single_runs("Test accuracy", &values),
        Some(true) => format!("Test accuracy: {}", no_difference("test accuracy", &values)),
        Some(false) => {
            let apart = small.moments.mean - large.moments.mean;
            let word = if apart > 0.0 { "lower" } else { "higher" };
            format!(
                "Test accuracy at batch size {} is {} percentage points {word} than at {} ({values}).",
                large.batch_size,
                number::significant(apart.abs()),
                small.batch_size,
            )
        }
    }
}

fn sharpness(place: &str, small: Side, large: Side) -> String {
    let values = values(small, large);
    match small.moments.overlaps(&large.moments) {
        None => format!("{place}: {}", single_runs("sharpness", &values)),
        Some(true) => format!("{place}: {}", no_difference("sharpness", &values)),
        Some(false) => {
            let (sharp, flat) = if large.moments.mean > small.moments.mean { (large, small) } else { (small, large) };
            let ratio = sharp.moments.mean / flat.moments.mean;
            // A ratio to a mean that its own spread half covers is no number to quote.
            let firm = |side: Side| side.moments.std.is_some_and(|std| std < side.moments.mean / 2.0);
            let how = if firm(flat) && firm(sharp) {
                format!("{} times sharper", number::significant(ratio))
            } else {
                "sharper".into()
            };
            format!(
                "{place} the minima of batch size {} are {how} than those of {} ({values}).",
                sharp.batch_size, flat.batch_size,
            )
        }
    }
}

fn no_difference(what: &str, values: &str) -> String {
    format!("no difference in {what} can be told: the intervals mean ± standard deviation overlap ({values}).")
}

fn single_runs(what: &str, values: &str) -> String {
    format!("{what} without a spread, for a batch size has one seed only: no difference can be told ({values}).")
}

/// `batch 144: 12.1 ± 0.8, batch 16: 3.5 ± 0.4; 3 seeds`.
fn values(small: Side, large: Side) -> String {
    let seeds = if small.moments.count == large.moments.count {
        number::plural(small.moments.count, "seed")
    } else {
        format!("{} and {} seeds", large.moments.count, small.moments.count)
    };
    format!("{}; {seeds}", both(small, large))
}

/// `batch 144: 12.1 ± 0.8, batch 16: 3.5 ± 0.4`.
fn both(small: Side, large: Side) -> String {
    let side =
        |side: Side| format!("batch {}: {}", side.batch_size, number::with_spread(side.moments.mean, side.moments.std));
    format!("{}, {}", side(large), side(small))
}

#[cfg(test)]
mod tests {
    use super::{Side, accuracy, sharpness, unequal_losses};
    use crate::statistics::Moments;

    fn side(batch_size: u64, mean: f64, std: Option<f64>) -> Side {
        Side { batch_size, moments: Moments { mean, std, count: if std.is_some() { 3 } else { 1 } } }
    }

    #[test]
    fn a_clear_difference_is_told_with_its_numbers() {
        let text = sharpness("At ε = 1e−3 (full space)", side(16, 3.5, Some(0.4)), side(144, 12.1, Some(0.8)));
        assert_eq!(
            text,
            "At ε = 1e−3 (full space) the minima of batch size 144 are 3.46 times sharper than those of 16 \
             (batch 144: 12.10\u{a0}±\u{a0}0.80, batch 16: 3.50\u{a0}±\u{a0}0.40; 3 seeds)."
        );
    }

    #[test]
    fn unequal_losses_are_told_and_equal_ones_are_not() {
        let told = |a, b| unequal_losses(side(16, a, Some(1e-3)), side(144, b, Some(1e-3))).is_some();
        assert!(told(0.01, 0.1) && told(0.1, 0.01) && told(0.1, 0.11));
        assert!(!told(0.1, 0.101) && !told(1e-4, 2e-4));
    }

    #[test]
    fn a_mean_within_its_own_spread_gives_no_ratio() {
        let text = sharpness("Here", side(16, 0.011, Some(0.012)), side(144, 1.56, Some(0.18)));
        assert!(text.starts_with("Here the minima of batch size 144 are sharper than those of 16"), "{text}");
    }

    #[test]
    fn the_small_batch_may_be_the_sharper_one() {
        let text = sharpness("Here", side(16, 9.0, Some(0.1)), side(144, 3.0, Some(0.1)));
        assert!(
            text.starts_with("Here the minima of batch size 16 are 3.00 times sharper than those of 144"),
            "{text}"
        );
    }

    #[test]
    fn overlapping_or_single_values_claim_nothing() {
        for (a, b) in [(Some(2.0), Some(2.0)), (None, None), (Some(0.1), Some(f64::NAN))] {
            for text in [
                sharpness("Here", side(16, 3.0, a), side(144, 5.0, b)),
                accuracy(side(16, 97.0, a), side(144, 95.0, b)),
            ] {
                assert!(text.contains("no difference"), "{text}");
                assert!(!text.contains("sharper") && !text.contains("lower"), "{text}");
            }
        }
    }
}
