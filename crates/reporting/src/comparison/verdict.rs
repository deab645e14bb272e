//! Which minimum is the flattest by each measure, and whether the measures agree.

use basin_records::comparison::{Correlation, Scale};

use super::{Compared, Flatter, Measure, Value, shown};
use crate::collection::Collection;
use crate::figure::distinct;
use crate::findings::Findings;
use crate::number;

/// Ratio of training losses from which they are part of a difference in sharpness.
const UNLIKE_LOSSES: f64 = 1.5;
/// A probability that one measure in twenty has by chance.
const SMALL: f64 = 0.05;

/// The minima in the order that one measure gives them.
pub(crate) struct Verdict<'a> {
    pub(crate) measure: &'a Measure,
    /// From the flattest to the sharpest: rows and their values.
    pub(crate) order: Vec<(usize, Value)>,
}

impl<'a> Verdict<'a> {
    /// None of what does not say how flat minima are, or says it of fewer than two.
    pub(crate) fn of(measure: &'a Measure) -> Option<Self> {
        let flatter = measure.flatter?;
        let known = measure.values.iter().enumerate().filter_map(|(row, value)| Some((row, (*value)?)));
        let mut order: Vec<(usize, Value)> = known.filter(|(_, value)| value.value.is_finite()).collect();
        order.sort_by(|(_, one), (_, other)| match flatter {
            Flatter::Lesser => one.value.total_cmp(&other.value),
            Flatter::Greater => other.value.total_cmp(&one.value),
        });
        (order.len() > 1).then_some(Self { measure, order })
    }

    pub(crate) fn flattest(&self) -> (usize, Value) {
        self.order[0]
    }

    pub(crate) fn sharpest(&self) -> (usize, Value) {
        self.order[self.order.len() - 1]
    }

    /// The rows that cannot be told from the flattest one within their errors, itself among them.
    pub(crate) fn flattest_within_errors(&self) -> Vec<usize> {
        let (_, least) = self.flattest();
        self.order.iter().filter(|(_, value)| value.overlaps(&least)).map(|(row, _)| *row).collect()
    }

    /// Kendall's τ-a of the two orders over the minima that both know: 1 where they are alike, −1 where one is the other
    /// turned round.
    fn agreement(&self, other: &Self) -> Option<f64> {
        let place = |verdict: &Self, row: usize| verdict.order.iter().position(|(known, _)| *known == row);
        let both: Vec<(usize, usize)> =
            self.order.iter().filter_map(|(row, _)| Some((place(self, *row)?, place(other, *row)?))).collect();
        let mut pairs = Vec::new();
        for (index, one) in both.iter().enumerate() {
            pairs.extend(both[..index].iter().map(|two| if (one.0 < two.0) == (one.1 < two.1) { 1.0 } else { -1.0 }));
        }
        (!pairs.is_empty()).then(|| pairs.iter().sum::<f64>() / pairs.len() as f64)
    }
}

/// What each comparison says, apart for measures that a rescaling changes and those that it leaves.
pub(crate) fn findings(collection: &Collection) -> Vec<Findings> {
    let of = |compared: &Compared<'_>| {
        let kinds = [Scale::ScaleDependent, Scale::ScaleInvariant];
        let measures = kinds.map(|scale| compared.measures(scale));
        let verdicts: Vec<Verdict<'_>> = measures.iter().flatten().filter_map(Verdict::of).collect();
        let mut sentences: Vec<String> =
            kinds.into_iter().filter_map(|scale| flattest(&compared.names, &verdicts, scale)).collect();
        sentences.extend(agreement(&verdicts));
        sentences.extend(losses(compared));
        sentences.extend(correlations(&compared.measured.result.correlations));
        let rule = "A smaller value is flatter, of a PAC-Bayesian noise scale a larger one. Minima are told apart where their \
                    intervals value ± error do not meet; the error is the standard deviation over random manifolds, the standard \
                    error over other draws, or the residual of an iteration. Measures that a rescaling of layers changes rank two \
                    networks with the same function apart."
            .into();
        Findings { sentences, rule }
    };
    shown(collection).iter().map(of).collect()
}

/// Which minima are the flattest by the measures of one kind, with the clearest of them in numbers.
fn flattest(names: &[String], verdicts: &[Verdict<'_>], scale: Scale) -> Option<String> {
    let verdicts: Vec<&Verdict<'_>> = verdicts.iter().filter(|verdict| verdict.measure.scale == scale).collect();
    let first = verdicts.first()?;
    let kind = match (scale, verdicts.len()) {
        (Scale::ScaleDependent, 1) => "changes when layers are rescaled",
        (Scale::ScaleDependent, _) => "change when layers are rescaled",
        (Scale::ScaleInvariant, 1) => "stays when layers are rescaled",
        (Scale::ScaleInvariant, _) => "stay when layers are rescaled",
    };
    let winners = distinct(verdicts.iter().map(|verdict| verdict.flattest().0));
    let by = |winner: usize| verdicts.iter().filter(move |verdict| verdict.flattest().0 == winner);
    let told = |winner: usize| {
        let count = by(winner).count();
        let which = if count <= 3 {
            let listed: Vec<String> = by(winner).map(|verdict| verdict.measure.name.clone()).collect();
            format!(" ({})", listed.join("; "))
        } else {
            String::new()
        };
        format!("{} by {count}{which}", names[winner])
    };
    let mut winners = winners.clone();
    winners.sort_by_key(|&winner| std::cmp::Reverse(by(winner).count()));
    let count = verdicts.len();
    let told = match winners.as_slice() {
        [only] if count > 1 => format!("By all {count} measures that {kind} {} is the flattest", names[*only]),
        [only] => format!("By the one measure that {kind} {} is the flattest", names[*only]),
        several => {
            let each: Vec<String> = several.iter().map(|&winner| told(winner)).collect();
            format!("Of the {count} measures that {kind} the flattest is {}", number::enumerate(&each))
        }
    };
    let open = match verdicts.iter().filter(|verdict| verdict.flattest_within_errors().len() > 1).count() {
        0 => String::new(),
        open => format!("; by {open} of them it cannot be told from the next within errors"),
    };
    let ((flat, least), (sharp, most)) = (first.flattest(), first.sharpest());
    Some(format!(
        "{told}{open}. {}: {} for {}, {} for {}.",
        first.measure.name,
        least.words(),
        names[flat],
        most.words(),
        names[sharp],
    ))
}

fn agreement(verdicts: &[Verdict<'_>]) -> Option<String> {
    let mut pairs = Vec::new();
    for (index, one) in verdicts.iter().enumerate() {
        pairs.extend(verdicts[..index].iter().filter_map(|other| Some((one.agreement(other)?, other, one))));
    }
    let (least, one, other) = pairs.iter().min_by(|one, other| one.0.total_cmp(&other.0))?;
    if *least == 1.0 {
        return Some(format!("All {} measures rank the minima alike.", verdicts.len()));
    }
    let mean = pairs.iter().map(|(found, _, _)| found).sum::<f64>() / pairs.len() as f64;
    Some(format!(
        "The measures do not all rank the minima alike: Kendall’s τ of two of them is {} in the mean and least, {}, between {} \
         and {}.",
        number::significant(mean),
        number::significant(*least),
        one.measure.name,
        other.measure.name,
    ))
}

fn losses(compared: &Compared<'_>) -> Option<String> {
    let known = compared.rows().iter().zip(&compared.names).filter_map(|(row, name)| Some((row.loss?, name)));
    let mut known: Vec<(f64, &String)> = known.filter(|(loss, _)| loss.is_finite()).collect();
    known.sort_by(|one, other| one.0.total_cmp(&other.0));
    let ((low, least), (high, most)) = (known.first()?, known.last()?);
    (*low > 0.0 && high / low > UNLIKE_LOSSES).then(|| {
        format!(
            "Training losses differ: {} of {least}, {} of {most}. The curvature of a loss such as cross-entropy fades with it, so \
             that part of a difference in sharpness is one in loss.",
            number::significant(*low),
            number::significant(*high),
        )
    })
}

fn correlations(found: &[Correlation]) -> Option<String> {
    let strongest = found.iter().max_by(|one, other| one.tau.abs().total_cmp(&other.tau.abs()))?;
    let small = match found.iter().filter(|found| found.p_value < SMALL).count() {
        0 => "None".to_owned(),
        small => small.to_string(),
    };
    Some(format!(
        "With the generalization gap over {} minima the strongest rank correlation (Kendall’s τ-b) is that of {}: {}, p = {}. {small} \
         of {} measures came below p = {SMALL}.",
        strongest.checkpoints,
        strongest.measure,
        number::with_spread(strongest.tau, strongest.stderr),
        number::significant(strongest.p_value),
        found.len(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(name: &str, scale: Scale, flatter: Flatter, values: &[(f64, f64)]) -> Measure {
        let value = |&(value, error): &(f64, f64)| Some(Value { value, error: Some(error), converged: true });
        Measure { name: name.into(), scale, flatter: Some(flatter), values: values.iter().map(value).collect() }
    }

    fn names() -> Vec<String> {
        ["a", "b", "c"].map(String::from).to_vec()
    }

    #[test]
    fn of_noise_scales_the_largest_is_the_flattest() {
        let values = [(3.0, 0.1), (1.0, 0.1), (2.0, 0.1)];
        let order = |flatter| {
            let measure = measure("m", Scale::ScaleDependent, flatter, &values);
            let verdict = Verdict::of(&measure).expect("three minima");
            verdict.order.iter().map(|(row, _)| *row).collect::<Vec<_>>()
        };
        assert_eq!(order(Flatter::Lesser), [1, 2, 0]);
        assert_eq!(order(Flatter::Greater), [0, 2, 1]);
    }

    #[test]
    fn minima_whose_intervals_meet_are_not_told_apart() {
        let measure = measure("m", Scale::ScaleDependent, Flatter::Lesser, &[(1.0, 0.3), (1.5, 0.3), (1.5, 0.1)]);
        assert_eq!(Verdict::of(&measure).map(|verdict| verdict.flattest_within_errors()), Some(vec![0, 1]));
    }

    #[test]
    fn what_is_no_number_is_not_ranked() {
        let one = measure("m", Scale::ScaleDependent, Flatter::Lesser, &[(f64::NAN, 0.0), (1.0, 0.0), (2.0, 0.0)]);
        assert_eq!(Verdict::of(&one).map(|verdict| verdict.flattest().0), Some(1));
        let two =
            measure("m", Scale::ScaleDependent, Flatter::Lesser, &[(f64::NAN, 0.0), (1.0, 0.0), (f64::INFINITY, 0.0)]);
        assert!(Verdict::of(&two).is_none());
    }

    #[test]
    fn ranks_agree_disagree_or_are_turned_round() {
        let of =
            |values: [f64; 3]| measure("m", Scale::ScaleDependent, Flatter::Lesser, &values.map(|value| (value, 0.0)));
        let (up, same, turned, half) =
            (of([1.0, 2.0, 3.0]), of([4.0, 5.0, 9.0]), of([3.0, 2.0, 1.0]), of([2.0, 1.0, 3.0]));
        let [up, same, turned, half] = [&up, &same, &turned, &half].map(|measure| Verdict::of(measure).expect("three"));
        assert_eq!([&same, &turned, &half].map(|other| up.agreement(other)), [Some(1.0), Some(-1.0), Some(1.0 / 3.0)]);
        assert_eq!(agreement(&[up, same]).as_deref(), Some("All 2 measures rank the minima alike."));
    }

    #[test]
    fn each_kind_names_its_winners_and_the_first_measure_in_numbers() {
        let measures = [
            measure("φ", Scale::ScaleDependent, Flatter::Lesser, &[(1.0, 0.1), (2.0, 0.1), (9.0, 0.1)]),
            measure("λ", Scale::ScaleDependent, Flatter::Lesser, &[(2.0, 0.0), (1.0, 0.0), (3.0, 0.0)]),
            measure("f", Scale::ScaleInvariant, Flatter::Lesser, &[(1.0, 0.0), (2.0, 0.0), (3.0, 0.0)]),
        ];
        let verdicts: Vec<Verdict<'_>> = measures.iter().filter_map(Verdict::of).collect();
        let told = |scale| flattest(&names(), &verdicts, scale).expect("a sentence").replace('\u{a0}', " ");
        assert_eq!(
            told(Scale::ScaleDependent),
            "Of the 2 measures that change when layers are rescaled the flattest is a by 1 (φ) and b by 1 (λ). φ: 1.00 ± 0.10 for \
             a, 9.00 ± 0.10 for c."
        );
        assert_eq!(
            told(Scale::ScaleInvariant),
            "By the one measure that stays when layers are rescaled a is the flattest. f: 1.00 for a, 3.00 for c."
        );
    }
}
