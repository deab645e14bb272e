//! What the curvature of mini-batches says of the theory: where eigenvalues part from it, how learning rates grow with the
//! batch size, and how far from the limits runs diverge.

use basin_records::batch_hessian::{Descent, Divergence, Draw, Row, Spread};
use basin_records::spectrum::{Eigenvalue, End};
use basin_records::{BatchHessian, Provenance};

use crate::collection::Measured;
use crate::figures::title_of;
use crate::number;
use crate::statistics::PowerLaw;

/// What was measured and what predicted at one end of the spectrum, at one batch size.
pub(crate) struct Extreme<'a> {
    pub(crate) batch_size: u64,
    pub(crate) measured: &'a Spread,
    pub(crate) predicted: Option<f64>,
    pub(crate) predicted_stderr: Option<f64>,
    /// With the noise measured along the top eigenvector.
    pub(crate) predicted_along_top: Option<f64>,
}

impl<'a> Extreme<'a> {
    /// None where this end was not sought.
    pub(crate) fn of(row: &'a Row, end: End) -> Option<Self> {
        let batch_size = row.batch_size;
        Some(match end {
            End::Top => Self {
                batch_size,
                measured: &row.lambda_max,
                predicted: Some(row.predicted_lambda_max),
                predicted_stderr: row.predicted_lambda_max_stderr,
                predicted_along_top: row.predicted_lambda_max_along_top,
            },
            End::Bottom => Self {
                batch_size,
                measured: row.lambda_min.as_ref()?,
                predicted: row.predicted_lambda_min,
                predicted_stderr: row.predicted_lambda_min_stderr,
                predicted_along_top: None,
            },
        })
    }

    /// Measured over predicted.
    fn ratio(&self) -> Option<f64> {
        Some(self.measured.mean / self.predicted?).filter(|ratio| ratio.is_finite())
    }

    fn parts(&self) -> Option<bool> {
        self.measured.parts_from(self.predicted?, self.predicted_stderr)
    }
}

/// The eigenvalue of a batch at one end, where it was sought.
pub(crate) fn at_end(draw: &Draw, end: End) -> Option<&Eigenvalue> {
    draw.eigenvalues.iter().find(|eigenvalue| eigenvalue.end == end)
}

/// The eigenvalue as figures name it.
pub(crate) fn symbol(end: End) -> &'static str {
    match end {
        End::Top => "λ_max",
        End::Bottom => "λ_min",
    }
}

/// What is not the whole: at B = N there is no noise, and nothing to predict.
fn batches(result: &BatchHessian) -> impl Iterator<Item = &Row> + Clone {
    result.rows.iter().filter(|row| row.batch_size < result.samples)
}

/// At which batch sizes measured and predicted eigenvalues part; none where there is no batch but the whole.
pub(crate) fn parting(result: &BatchHessian, end: End) -> Option<String> {
    let extremes: Vec<Extreme<'_>> = batches(result).filter_map(|row| Extreme::of(row, end)).collect();
    if extremes.is_empty() {
        return None;
    }
    let with = |verdict| extremes.iter().filter(move |extreme| extreme.parts() == verdict);
    let sizes_with = |verdict| sizes(with(verdict).map(|extreme| extreme.batch_size));
    let name = symbol(end);
    if with(None).count() == extremes.len() {
        return Some(format!("Single draws leave open whether measured and predicted {name} of mini-batches agree."));
    }
    let place = match with(Some(true)).count() {
        0 => "nowhere".into(),
        _ => format!("at {}", sizes_with(Some(true))),
    };
    let ratios = range(with(Some(true)).filter_map(Extreme::ratio));
    let ratios =
        ratios.map_or_else(String::new, |ratios| format!(": the measured one is {ratios} times the predicted"));
    let open = match with(None).count() {
        0 => String::new(),
        _ => format!(" It stays open at {} (a single draw, or no number).", sizes_with(None)),
    };
    Some(format!(
        "Measured and predicted {name} of mini-batches part, by more than three standard errors and a tenth, \
         {place}{ratios}.{open}"
    ))
}

/// With which powers of the batch size a learning rate grows below and above the crossover, beside what a rule of thumb says.
pub(crate) fn growth(
    result: &BatchHessian,
    name: &str,
    measured: Rate,
    predicted: Option<Rate>,
    rule: &str,
) -> Option<String> {
    let crossover = result.crossover.filter(|size| size.is_finite())?;
    let side = |below: bool, word: &str| {
        let rows = batches(result).filter(move |row| (row.batch_size as f64 <= crossover) == below);
        let power = |rate: Rate| {
            let points = rows.clone().filter_map(|row| Some((row.batch_size as f64, rate(row)?)));
            let power = PowerLaw::fitted(points)?.exponent;
            Some(format!("{power:.2}").replace('-', "−"))
        };
        let predicted = predicted.and_then(power).map_or_else(String::new, |power| format!(" (predicted {power})"));
        Some(format!("{}{predicted} {word} B*", power(measured)?))
    };
    let told: Vec<String> = [side(true, "below"), side(false, "above")].into_iter().flatten().collect();
    let crossover = number::significant(crossover);
    let powers = number::enumerate(&told);
    let told = format!("{name} grows with the batch size B to the power {powers}, where B* = {crossover}; {rule}.");
    (!powers.is_empty()).then_some(told)
}

/// Takes a learning rate from a row.
pub(crate) type Rate = fn(&Row) -> Option<f64>;

/// 2/λ′ with the measured λ′.
pub(crate) const MEASURED: Rate = |row| row.max_learning_rate_measured;
/// The limits that runs are checked against.
pub(crate) const SGD: Rate = |row| row.max_learning_rate_sgd;
pub(crate) const MOMENTUM: Rate = |row| row.max_learning_rate_momentum;
pub(crate) const ADAM: Rate = |row| row.max_learning_rate_adam_measured;

/// Where the runs of one optimizer diverged.
pub(crate) fn brackets(result: &BatchHessian, optimizer: Descent) -> impl Iterator<Item = (&Row, &Divergence)> {
    let of = move |row: &'_ Row| row.divergence.iter().position(|found| found.optimizer == optimizer);
    result.rows.iter().filter_map(move |row| Some((row, &row.divergence[of(row)?])))
}

/// At how many times a limit the runs of an optimizer begin to diverge, over the batch sizes.
pub(crate) fn divergence(result: &BatchHessian, optimizer: Descent, limit: Rate, name: &str) -> Option<String> {
    let times = |rate: fn(&Divergence) -> Option<f64>| {
        range(brackets(result, optimizer).filter_map(|(row, found)| Some(rate(found)? / limit(row)?)))
    };
    let never = |rate: fn(&Divergence) -> Option<f64>| {
        let open: Vec<u64> = brackets(result, optimizer)
            .filter(|(_, found)| rate(found).is_none())
            .map(|(row, _)| row.batch_size)
            .collect();
        (!open.is_empty()).then(|| sizes(open.into_iter()))
    };
    let told = [
        times(|found| found.stable)
            .map(|range| format!("the largest rate at which none diverged is {range} times {name}")),
        times(|found| found.diverging)
            .map(|range| format!("the smallest from which all diverged {range} times {name}")),
        never(|found| found.stable).map(|sizes| format!("at {sizes} some diverged at every rate tried")),
        never(|found| found.diverging).map(|sizes| format!("at {sizes} some never diverged at the rates tried")),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    if told.is_empty() {
        return None;
    }
    Some(format!("Short runs with {optimizer}: {}.", told.join("; ")))
}

/// The least of the rates that are necessary for stability in the mean square.
pub(crate) fn least_mean_square(row: &Row) -> Option<f64> {
    let necessary = [
        &row.max_learning_rate_mean_square,
        &row.max_learning_rate_mean_square_trace,
        &row.max_learning_rate_mean_square_directions,
    ];
    necessary.into_iter().flatten().map(|estimate| estimate.value).filter(|rate| *rate > 0.0).reduce(f64::min)
}

/// Every extremal eigenvalue, those of all samples first.
pub(crate) fn extremes(result: &BatchHessian) -> impl Iterator<Item = &Eigenvalue> {
    result.empirical.eigenvalues.iter().chain(draws(result).flat_map(|draw| &draw.eigenvalues))
}

/// The largest eigenvalues of preconditioned batches.
pub(crate) fn preconditioned(result: &BatchHessian) -> impl Iterator<Item = &Eigenvalue> {
    draws(result).filter_map(|draw| draw.preconditioned.as_ref())
}

fn draws(result: &BatchHessian) -> impl Iterator<Item = &Draw> {
    result.rows.iter().flat_map(|row| &row.values)
}

/// What is worth a reader's first glance, of each record; several records are told apart by what they are of.
pub(crate) fn findings(records: &[Measured<'_, BatchHessian>]) -> Vec<String> {
    let several = records.len() > 1;
    let of_record = |measured: &Measured<'_, BatchHessian>| {
        let result = measured.result;
        let of = || format!("{}, {}: ", capital(title_of(result.matrix)), subject(measured.provenance));
        let of = if several { of() } else { String::new() };
        let told = [
            parting(result, End::Top),
            parting(result, End::Bottom),
            growth(result, "The measured limit of SGD", MEASURED, Some(SGD), "in proportion to B would be the power 1"),
            divergence(result, Descent::Sgd, SGD, "the predicted limit"),
            divergence(result, Descent::Momentum, MOMENTUM, "the predicted limit"),
            divergence(result, Descent::Adam, ADAM, "the measured limit"),
        ];
        told.into_iter().flatten().map(|sentence| format!("{of}{sentence}")).collect::<Vec<_>>()
    };
    records.iter().flat_map(of_record).collect()
}

/// Whose batches these are: the minimum that they were measured at.
pub(crate) fn subject(provenance: &Provenance) -> String {
    let variant = provenance.variant.as_ref().map_or_else(String::new, |variant| format!(", {variant}"));
    match (provenance.batch_size, provenance.training_seed, &provenance.checkpoint) {
        (Some(size), Some(seed), _) => format!("trained at batch size {size}, seed {seed}{variant}"),
        (Some(size), None, _) => format!("trained at batch size {size}{variant}"),
        (None, _, Some(checkpoint)) => checkpoint.path.clone(),
        (None, _, None) => "one checkpoint".into(),
    }
}

/// `batch size 8`, `batch sizes 8, 16 and 32`.
pub(crate) fn sizes(sizes: impl Iterator<Item = u64>) -> String {
    let sizes: Vec<String> = sizes.map(|size| size.to_string()).collect();
    format!("batch {} {}", if sizes.len() == 1 { "size" } else { "sizes" }, number::enumerate(&sizes))
}

/// `1.2`, `1.2 to 3.4`; none of no values.
pub(crate) fn range(values: impl Iterator<Item = f64>) -> Option<String> {
    let (low, high) = values
        .filter(|value| value.is_finite())
        .map(|value| (value, value))
        .reduce(|(low, high), (value, _)| (low.min(value), high.max(value)))?;
    let [low, high] = [low, high].map(number::significant);
    Some(if low == high { low } else { format!("{low} to {high}") })
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::{range, sizes};

    #[test]
    fn ranges_and_sizes_read_as_in_a_sentence() {
        assert_eq!(range([2.0, f64::NAN, 0.5, 1.0].into_iter()).as_deref(), Some("0.500 to 2.00"));
        assert_eq!(range([2.0, 2.001].into_iter()).as_deref(), Some("2.00"));
        assert_eq!(range([f64::INFINITY].into_iter()), None);
        assert_eq!(sizes([8].into_iter()), "batch size 8");
        assert_eq!(sizes([8, 16, 32].into_iter()), "batch sizes 8, 16 and 32");
    }
}
