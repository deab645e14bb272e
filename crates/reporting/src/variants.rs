//! What variants change: each against the first one, and along the values of a sweep.

use crate::groups::{Group, Groups};
use crate::minima::Minima;
use crate::number;
use crate::statistics::{Difference, Moments, StraightLine};

/// Standard errors from 0 at which a slope is told.
const STANDARD_ERRORS: f64 = 2.0;

/// What is compared.
struct Quantity<'a> {
    name: &'static str,
    /// Behind a difference, with a space before it.
    unit: &'static str,
    of: Box<dyn Fn(Group) -> Vec<f64> + 'a>,
}

/// Test accuracy, and sharpness where it was measured.
fn quantities<'a>(minima: &'a Minima<'_>) -> Vec<Quantity<'a>> {
    let accuracy = Quantity {
        name: "test accuracy",
        unit: " percentage points",
        of: Box::new(|group| minima.test_accuracies(group)),
    };
    let sharpness = minima.first_way().map(|way| Quantity {
        name: "sharpness",
        unit: "",
        of: Box::new(move |group| minima.sharpness(group, way)),
    });
    std::iter::once(accuracy).chain(sharpness).collect()
}

/// One sentence for each variant but the first at each batch size; of a sweep the slopes say more.
pub(crate) fn against_first(minima: &Minima<'_>, groups: &Groups) -> Vec<String> {
    if groups.swept().is_some() {
        return Vec::new();
    }
    let quantities = quantities(minima);
    let several_sizes = groups.batch_sizes().len() > 1;
    let others = groups.all().iter().filter(|group| group.variant.is_some_and(|variant| variant > 0));
    let mut of_unequal_losses = Vec::new();
    let told = |&group: &Group| {
        let first = Group { variant: Some(0), ..group };
        let told: Vec<String> = quantities.iter().filter_map(|quantity| between(quantity, first, group)).collect();
        let at = if several_sizes { format!(" at batch size {}", group.batch_size) } else { String::new() };
        if lie_apart(&minima.train_losses(first), &minima.train_losses(group)) {
            of_unequal_losses.push(groups.words(group));
        }
        let pair = format!("{} against {}{at}", groups.name(group.variant), groups.name(first.variant));
        (!told.is_empty()).then(|| format!("{pair}: {}.", told.join("; ")))
    };
    let mut sentences: Vec<String> = others.filter_map(told).collect();
    if !of_unequal_losses.is_empty() {
        sentences.push(format!(
            "Training ended at another loss than that of {} with {}; part of a difference in sharpness is then one in loss.",
            groups.name(Some(0)),
            number::enumerate(&of_unequal_losses),
        ));
    }
    sentences
}

/// `test accuracy is 0.52 percentage points higher (95 % interval 0.11 to 0.93; 98.1 ± 0.2 against 97.6 ± 0.1)`.
fn between(quantity: &Quantity<'_>, first: Group, other: Group) -> Option<String> {
    let Quantity { name, unit, .. } = quantity;
    let (a, b) = (Moments::of(&(quantity.of)(other))?, Moments::of(&(quantity.of)(first))?);
    let values = format!("{} against {}", number::with_spread(a.mean, a.std), number::with_spread(b.mean, b.std));
    let Some(difference) = Difference::of(&a, &b) else {
        return Some(format!("no difference in {name} can be told, for no spread over seeds is known ({values})"));
    };
    let [low, high] = difference.interval();
    if !difference.is_told() {
        let interval = format!("95 % interval {} to {}{unit}", number::significant(low), number::significant(high));
        return Some(format!("no difference in {name} can be told ({interval}; {values})"));
    }
    let (word, [near, far]) = if difference.value > 0.0 { ("higher", [low, high]) } else { ("lower", [-high, -low]) };
    let [size, near, far] = [difference.value.abs(), near, far].map(number::significant);
    Some(format!("{name} is {size}{unit} {word} (95 % interval {near} to {far}; {values})"))
}

fn lie_apart(a: &[f64], b: &[f64]) -> bool {
    let difference = Moments::of(a).zip(Moments::of(b)).and_then(|(a, b)| Difference::of(&a, &b));
    difference.is_some_and(|difference| difference.is_told())
}

/// One sentence per quantity on the largest against the smallest batch size, of `[smallest, largest]` for each variant.
pub(crate) fn between_batch_sizes(minima: &Minima<'_>, groups: &Groups, ends: &[[Group; 2]]) -> Vec<String> {
    let sentence = |quantity: &Quantity<'_>| {
        let of = |[small, large]: &[Group; 2]| {
            let at = |group: &Group| Moments::of(&(quantity.of)(*group));
            Some((groups.name(small.variant), [*small, *large], at(small)?, at(large)?))
        };
        let found: Vec<_> = ends.iter().filter_map(of).collect();
        let told = |verdict: fn(&Moments, &Moments) -> bool, words: &str| {
            let those = found.iter().filter(|(_, _, small, large)| verdict(small, large));
            let those: Vec<String> = those
                .map(|(name, [at_small, at_large], small, large)| {
                    let value = |moments: &Moments| number::with_spread(moments.mean, moments.std);
                    let sizes = [at_large, at_small].map(|group| group.batch_size);
                    format!("{name} (batch {}: {}, batch {}: {})", sizes[0], value(large), sizes[1], value(small))
                })
                .collect();
            (!those.is_empty()).then(|| format!("{words} {}", number::enumerate(&those)))
        };
        let parts = [
            told(|small, large| parts(small, large) && large.mean > small.mean, "higher of"),
            told(|small, large| parts(small, large) && large.mean < small.mean, "lower of"),
            told(|small, large| !parts(small, large), "no difference can be told of"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| {
            let name = quantity.name;
            format!("At the largest against the smallest batch size {name} is {}.", parts.join("; "))
        })
    };
    quantities(minima).iter().filter_map(sentence).collect()
}

/// Whether the intervals mean ± standard deviation are known and do not meet.
fn parts(small: &Moments, large: &Moments) -> bool {
    small.overlaps(large) == Some(false)
}

/// One sentence per quantity and batch size on how it goes with the values of a sweep.
pub(crate) fn along_values(minima: &Minima<'_>, groups: &Groups) -> Vec<String> {
    let Some(swept) = groups.swept() else { return Vec::new() };
    let mut sizes: Vec<u64> =
        groups.all().iter().filter(|group| groups.value(**group).is_some()).map(|g| g.batch_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let sentence = |quantity: &Quantity<'_>, size: u64| {
        let of_size = groups.all().iter().filter(|group| group.batch_size == size);
        let points = of_size.filter_map(|&group| Some((groups.value(group)?, (quantity.of)(group))));
        let points = points.flat_map(|(value, found)| found.into_iter().map(move |y| (value, y)));
        let line = StraightLine::fitted(points)?;
        let slope = format!("{}{}", number::with_spread(line.slope, line.stderr), quantity.unit);
        let verdict = match line.stderr {
            Some(stderr) if line.slope.abs() > STANDARD_ERRORS * stderr => {
                if line.slope > 0.0 {
                    "rises"
                } else {
                    "falls"
                }
            }
            _ => "neither rises nor falls to be told",
        };
        let at = if sizes.len() > 1 { format!(" at batch size {size}") } else { String::new() };
        Some(format!("With {swept}{at} {} {verdict}: slope {slope} per unit.", quantity.name))
    };
    let quantities = quantities(minima);
    quantities.iter().flat_map(|quantity| sizes.iter().filter_map(move |&size| sentence(quantity, size))).collect()
}
