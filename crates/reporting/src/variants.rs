//! What variants change: each against the first one, and along the values of a sweep.

use std::collections::BTreeSet;

use crate::batch_hessian::sizes;
use crate::groups::{Group, Groups};
use crate::minima::Minima;
use crate::number;
use crate::statistics::{Difference, Moments, StraightLine};

/// Standard errors from 0 at which a slope is told.
const STANDARD_ERRORS: f64 = 2.0;

/// A share of steps that makes no difference.
const SAME_STEPS: f64 = 0.01;

/// What is compared.
pub(crate) struct Quantity<'a> {
    pub(crate) title: String,
    /// Behind a difference, with a space before it.
    unit: &'static str,
    pub(crate) of: Box<dyn Fn(Group) -> Vec<f64> + 'a>,
    /// Whether all values are positive and spread by factors, so that their logarithms are compared.
    by_factors: bool,
}

impl<'a> Quantity<'a> {
    /// What was observed on the way, in units of its own.
    pub(crate) fn observed(title: String, of: impl Fn(Group) -> Vec<f64> + 'a) -> Self {
        Self { title, unit: "", of: Box::new(of), by_factors: false }
    }

    /// What is compared of the values of a group.
    fn compared(&self, group: Group) -> Option<Moments> {
        let values = (self.of)(group).into_iter();
        Moments::of(&values.map(|value| if self.by_factors { value.ln() } else { value }).collect::<Vec<_>>())
    }

    /// A difference with its interval, as text.
    fn told(&self, difference: Difference) -> [String; 2] {
        let [low, high] = difference.interval();
        if self.by_factors {
            let [value, low, high] = [difference.value, low, high].map(|x| number::significant(x.exp()));
            [format!("{value} times"), format!("{low} to {high}")]
        } else {
            let [value, low, high] = [difference.value, low, high].map(number::significant);
            let sign = if difference.value > 0.0 { "+" } else { "" };
            [format!("{sign}{value}{}", self.unit), format!("{low} to {high}")]
        }
    }
}

/// Test accuracy, and sharpness where it was measured.
pub(crate) fn quantities<'a>(minima: &'a Minima<'_>, groups: &Groups) -> Vec<Quantity<'a>> {
    let accuracy = Quantity {
        title: "Test accuracy".into(),
        unit: " percentage points",
        of: Box::new(|group| minima.test_accuracies(group)),
        by_factors: false,
    };
    let sharpness = minima.first_way().map(|way| Quantity {
        title: "Sharpness".into(),
        unit: "",
        of: Box::new(move |group| minima.sharpness(group, way)),
        by_factors: groups.all().iter().all(|&group| all_positive(&minima.sharpness(group, way))),
    });
    std::iter::once(accuracy).chain(sharpness).collect()
}

/// One sentence for each quantity of each variant but the first, over the batch sizes; of a sweep the slopes say more.
pub(crate) fn against_first(minima: &Minima<'_>, groups: &Groups) -> Vec<String> {
    if groups.swept().is_some() {
        return Vec::new();
    }
    let quantities = quantities(minima, groups);
    let others = 1..groups.variants().len();
    let told = |variant: usize| quantities.iter().filter_map(move |quantity| sentence(quantity, groups, variant));
    let mut sentences: Vec<String> = others.clone().flat_map(told).collect();
    sentences.extend(others.clone().filter_map(|variant| steps(minima, groups, variant)));
    let unequal = |group: &&Group| lie_apart(&minima.train_losses(first(**group)), &minima.train_losses(**group));
    let of_variant = |variant: usize| {
        let of_variant = groups.all().iter().filter(|group| group.variant == Some(variant));
        let found: Vec<u64> = of_variant.filter(unequal).map(|group| group.batch_size).collect();
        (!found.is_empty()).then(|| format!("{} ({})", groups.name(Some(variant)), sizes(found.into_iter())))
    };
    let unequal: Vec<String> = others.filter_map(of_variant).collect();
    if !unequal.is_empty() {
        sentences.push(format!(
            "Training ended at another loss than that of {} with {}; part of a difference in sharpness is then one in loss.",
            groups.name(Some(0)),
            number::enumerate(&unequal),
        ));
    }
    sentences
}

/// How many steps a variant took of those of the first one, where these are others.
fn steps(minima: &Minima<'_>, groups: &Groups, variant: usize) -> Option<String> {
    let of_size = |&batch_size: &u64| {
        let group = Group { variant: Some(variant), batch_size };
        let [own, of_first] = [group, first(group)].map(|group| Moments::of(&minima.optimizer_steps(group)));
        let share = own?.mean / of_first?.mean;
        ((share - 1.0).abs() > SAME_STEPS)
            .then(|| format!("{} times at batch size {batch_size}", number::significant(share)))
    };
    let found: Vec<String> = groups.batch_sizes_of(Some(variant)).iter().filter_map(of_size).collect();
    let [own, first] = [Some(variant), Some(0)].map(|variant| groups.name(variant));
    (!found.is_empty()).then(|| format!("Optimizer steps, {own} over {first}: {}.", number::enumerate(&found)))
}

/// The runs of the first variant that others are compared with.
fn first(group: Group) -> Group {
    Group { variant: Some(0), ..group }
}

/// `Test accuracy, augmented minus baseline: +0.52 percentage points at batch size 144 (95 % interval 0.11 to 0.93); no difference can
/// be told at batch size 16 (−0.2 to 0.3).`
fn sentence(quantity: &Quantity<'_>, groups: &Groups, variant: usize) -> Option<String> {
    let sizes = groups.batch_sizes_of(Some(variant));
    let [mut told, mut open, mut unknown] = [Vec::new(), Vec::new(), Vec::new()];
    for &batch_size in &sizes {
        let group = Group { variant: Some(variant), batch_size };
        let pair = Moments::of(&(quantity.of)(group)).zip(Moments::of(&(quantity.of)(first(group))));
        let Some((a, b)) = pair else { continue };
        let compared = quantity.compared(group).zip(quantity.compared(first(group)));
        let values = format!("{} against {}", number::with_spread(a.mean, a.std), number::with_spread(b.mean, b.std));
        // Of several batch sizes figure and table have the means.
        let [place, beside] = match sizes.len() {
            1 => [String::new(), format!("; {values}")],
            _ => [format!("at batch size {batch_size} "), String::new()],
        };
        let Some(found) = compared.and_then(|(a, b)| Difference::of(&a, &b)) else {
            unknown.push(format!("{place}({values})"));
            continue;
        };
        let [size, interval] = quantity.told(found);
        match found.is_told() {
            true => told.push(format!("{size} {place}({interval}{beside})")),
            false => open.push(format!("{place}({interval}{beside})")),
        }
    }
    let part = |words: &str, places: Vec<String>| {
        (!places.is_empty()).then(|| format!("{words}{}", number::enumerate(&places)))
    };
    let parts: Vec<String> = [
        part("", told),
        part("no difference can be told ", open),
        part("without a spread over seeds no difference can be told ", unknown),
    ]
    .into_iter()
    .flatten()
    .collect();
    let between = if quantity.by_factors { "over" } else { "minus" };
    let pair = format!("{}, {} {between} {}", quantity.title, groups.name(Some(variant)), groups.name(Some(0)));
    (!parts.is_empty()).then(|| format!("{pair}: {}.", parts.join("; ")))
}

fn all_positive(values: &[f64]) -> bool {
    values.iter().all(|&value| value > 0.0 && value.is_finite())
}

fn lie_apart(a: &[f64], b: &[f64]) -> bool {
    let difference = Moments::of(a).zip(Moments::of(b)).and_then(|(a, b)| Difference::of(&a, &b));
    difference.is_some_and(|difference| difference.is_told())
}

/// One sentence per quantity and batch size on how it goes with the values of a sweep.
pub(crate) fn along_values(minima: &Minima<'_>, groups: &Groups) -> Vec<String> {
    let train_loss = Quantity {
        title: "Train loss".into(),
        unit: "",
        of: Box::new(|group| minima.train_losses(group)),
        by_factors: groups.all().iter().all(|&group| all_positive(&minima.train_losses(group))),
    };
    let all = quantities(minima, groups).into_iter().chain([train_loss]);
    all.flat_map(|quantity| trends(groups, &quantity)).collect()
}

/// How a quantity goes with what is swept, or with its logarithm where that differs by factors, one sentence per batch size; none
/// without a sweep.
pub(crate) fn trends(groups: &Groups, quantity: &Quantity<'_>) -> Vec<String> {
    let Some(swept) = groups.swept() else { return Vec::new() };
    let Quantity { title, unit, by_factors, .. } = quantity;
    let values_by_factors = groups.values_differ_by_factors();
    let step = if values_by_factors { "factor of ten" } else { "unit" };
    let with_value = groups.all().iter().filter(|group| groups.value(**group).is_some());
    let sizes: BTreeSet<u64> = with_value.clone().map(|group| group.batch_size).collect();
    let sentence = |&size: &u64| {
        let of_size = with_value.clone().filter(|group| group.batch_size == size);
        let mut found: Vec<(f64, Vec<f64>)> =
            of_size.filter_map(|&group| Some((groups.value(group)?, (quantity.of)(group)))).collect();
        found.retain(|(_, values)| !values.is_empty());
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let x = |value: f64| if values_by_factors { value.log10() } else { value };
        let y = |value: f64| if *by_factors { value.ln() } else { value };
        let runs = found.iter().flat_map(|(value, values)| values.iter().map(|each| (x(*value), y(*each))));
        let line = StraightLine::fitted(runs)?;
        let told = line.stderr.is_some_and(|stderr| line.slope.abs() > STANDARD_ERRORS * stderr);
        let verdict = match (told, line.slope > 0.0) {
            (true, true) => "rises",
            (true, false) => "falls",
            (false, _) => "shows no change that can be told",
        };
        let end = |end: Option<&(f64, Vec<f64>)>| {
            let (value, values) = end?;
            let moments = Moments::of(values)?;
            Some(format!("{} at {value}", number::with_spread(moments.mean, moments.std)))
        };
        let (first, last) = (end(found.first())?, end(found.last())?);
        let at = if sizes.len() > 1 { format!(" at batch size {size}") } else { String::new() };
        let [of, unit] = if *by_factors { [" of the natural logarithm", ""] } else { ["", *unit] };
        let slope = number::with_spread(line.slope, line.stderr);
        Some(format!(
            "{title}{at} {verdict} as {swept} grows: slope{of} {slope}{unit} per {step}, from {first} to {last}."
        ))
    };
    sizes.iter().filter_map(sentence).collect()
}
