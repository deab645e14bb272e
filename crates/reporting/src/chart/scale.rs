//! From values to positions along an axis, and the ticks on the way.

/// An axis from `low` to `high`, linear or logarithmic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    Logarithmic,
}

/// A tick; minor ones have no label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: Option<String>,
}

/// Part of the axis left free at each end, so that markers stay inside.
const MARGIN: f64 = 0.04;
/// Past this the ratio of two values could overflow; no loss or eigenvalue lies there.
const EXTREME: f64 = 1e140;
/// Ratio of largest to smallest value past which equal steps would hide the small values.
pub(crate) const TWO_DECADES: f64 = 100.0;

impl Scale {
    /// Equal steps over all finite values.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = range(values.into_iter()).unwrap_or((0.0, 1.0));
        let margin = if high > low { MARGIN * (high - low) } else { (0.05 * low.abs()).max(1e-3) };
        Self { kind: Kind::Linear, low: low - margin, high: high + margin }
    }

    /// Equal ratios over all positive values.
    pub(crate) fn logarithmic(values: impl IntoIterator<Item = f64>) -> Self {
        let positive = values.into_iter().filter(|&value| value > 0.0);
        let (low, high) = range(positive).unwrap_or((1.0, 10.0));
        let [low, high] = [low, high].map(|end| end.clamp(1.0 / EXTREME, EXTREME));
        let margin = if high > low { (high / low).powf(MARGIN) } else { 1.5 };
        Self { kind: Kind::Logarithmic, low: low / margin, high: high * margin }
    }

    /// Logarithmic where the values are all positive and span more than two decades, else linear.
    pub(crate) fn fitting(values: impl IntoIterator<Item = f64> + Clone) -> Self {
        match range(values.clone().into_iter()) {
            Some((low, high)) if low > 0.0 && high / low > TWO_DECADES => Self::logarithmic(values),
            _ => Self::linear(values),
        }
    }

    /// Exactly from `low` to `high`.
    pub(crate) fn between(low: f64, high: f64) -> Self {
        Self { kind: Kind::Linear, low, high }
    }

    /// The same in equal ratios; both ends are positive.
    pub(crate) fn between_in_ratios(low: f64, high: f64) -> Self {
        Self { kind: Kind::Logarithmic, low, high }
    }

    pub(crate) fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    pub(crate) fn is_logarithmic(&self) -> bool {
        self.kind == Kind::Logarithmic
    }

    /// Where a value lies, 0 at the low and 1 at the high end; none for what has no place on this axis.
    pub(crate) fn position(&self, value: f64) -> Option<f64> {
        let position = match self.kind {
            Kind::Linear => (value - self.low) / (self.high - self.low),
            Kind::Logarithmic if value > 0.0 => (value / self.low).ln() / (self.high / self.low).ln(),
            Kind::Logarithmic => return None,
        };
        position.is_finite().then_some(position)
    }

    /// The value at a position: what [`Scale::position`] takes there.
    pub(crate) fn value(&self, position: f64) -> f64 {
        match self.kind {
            Kind::Linear => self.low + position * (self.high - self.low),
            Kind::Logarithmic => self.low * (position * (self.high / self.low).ln()).exp(),
        }
    }

    /// The same with what lies beyond an end moved there; none for no number.
    pub(crate) fn held_position(&self, value: f64) -> Option<f64> {
        let beyond = if value > self.low { 1.0 } else { 0.0 };
        (!value.is_nan()).then(|| self.position(value).unwrap_or(beyond).clamp(0.0, 1.0))
    }

    /// About six ticks at round values.
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        match self.kind {
            Kind::Linear => linear_ticks(self.low, self.high),
            Kind::Logarithmic => logarithmic_ticks(self.low, self.high),
        }
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

fn linear_ticks(low: f64, high: f64) -> Vec<Tick> {
    let step = round_step((high - low) / 7.0);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last)
        .map(|multiple| {
            let value = multiple as f64 * step;
            Tick { value, label: Some(linear_label(value, step)) }
        })
        .collect()
}

/// The number 1, 2 or 5 times a power of ten that is nearest above.
pub(crate) fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= step * 0.999);
    factor.unwrap_or(10.0) * power
}

pub(crate) fn linear_label(value: f64, step: f64) -> String {
    let largest_plain = 1e5;
    if step >= largest_plain || step < 1e-4 {
        return power_label(value);
    }
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let text = format!("{value:.decimals$}");
    text.replace('-', "−")
}

/// A label such as `2e−3`, with as few digits as the value needs.
fn power_label(value: f64) -> String {
    if (1.0..10.0).contains(&value.abs()) || value == 0.0 {
        return value.to_string().replace('-', "−");
    }
    let exact = format!("{value:.3e}");
    let (digits, exponent) = exact.split_once('e').unwrap_or((&exact, "0"));
    let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits}e{exponent}").replace('-', "−")
}

/// A label in full where that is short, else as a power.
pub(crate) fn decimal_label(value: f64) -> String {
    let plain = value == 0.0 || (1e-3..1e5).contains(&value.abs());
    if plain { value.to_string().replace('-', "−") } else { power_label(value) }
}

fn logarithmic_ticks(low: f64, high: f64) -> Vec<Tick> {
    let decades = (high / low).log10();
    // Near one another the round values of a decade are too few, and equal steps read better.
    if decades < 0.5 {
        return linear_ticks(low, high);
    }
    let powers = high.log10().floor() - low.log10().ceil() + 1.0;
    let labelled: &[f64] = if decades < 1.5 || powers < 2.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let stride = ((decades / 6.0).ceil() as i32).max(1);
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let plain = low >= 5e-4 && high <= 2e4;
    let mut ticks = Vec::new();
    for exponent in first..=last {
        for factor in 1..=9 {
            let value = f64::from(factor) * 10f64.powi(exponent);
            if !(low..=high).contains(&value) {
                continue;
            }
            if labelled.contains(&f64::from(factor)) && exponent.rem_euclid(stride) == 0 {
                let label = if plain { linear_label(value, 10f64.powi(exponent)) } else { power_label(value) };
                ticks.push(Tick { value, label: Some(label) });
            } else if stride == 1 {
                ticks.push(Tick { value, label: None });
            }
        }
    }
    // One label alone says nothing of the distance of two ticks.
    if ticks.iter().filter(|tick| tick.label.is_some()).count() < 2 { linear_ticks(low, high) } else { ticks }
}

#[cfg(test)]
mod tests {
    use super::{Scale, power_label};

    fn labels(scale: Scale) -> Vec<String> {
        scale.ticks().into_iter().filter_map(|tick| tick.label).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_share_their_decimals() {
        assert_eq!(labels(Scale::between(-1.1, 2.1)), ["−1.0", "−0.5", "0.0", "0.5", "1.0", "1.5", "2.0"]);
        assert_eq!(labels(Scale::between(0.0, 0.5)), ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(labels(Scale::between(96.0, 101.0)), ["96", "97", "98", "99", "100", "101"]);
    }

    #[test]
    fn logarithmic_ticks_show_two_and_five_only_within_a_decade() {
        assert_eq!(labels(Scale::logarithmic([1.1e-3, 0.9e-2])), ["0.002", "0.005"]);
        assert_eq!(labels(Scale::logarithmic([1e-4, 1e-1])), ["1e−4", "1e−3", "1e−2", "1e−1"]);
        assert_eq!(labels(Scale::logarithmic([1e-5, 3.0])).last().map(String::as_str), Some("1"));
        assert_eq!(labels(Scale::logarithmic([0.5, 200.0])), ["1", "10", "100"]);
        assert_eq!(labels(Scale::logarithmic([0.21, 8.0])), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!(labels(Scale::logarithmic([0.23, 0.93])), ["0.4", "0.6", "0.8"]);
        assert_eq!(labels(Scale::logarithmic([1e-12, 1.0])), ["1e−12", "1e−9", "1e−6", "1e−3", "1"]);
    }

    #[test]
    fn what_is_not_finite_or_not_positive_has_no_place() {
        let scale = Scale::logarithmic([1.0, 100.0]);
        assert_eq!(scale.position(0.0), None);
        assert_eq!(scale.position(-1.0), None);
        assert_eq!(scale.position(f64::NAN), None);
        assert_eq!(Scale::linear([0.0, 1.0]).position(f64::INFINITY), None);
        assert!(scale.position(10.0).is_some_and(|position| (position - 0.5).abs() < 1e-12));
    }

    #[test]
    fn values_come_back_from_their_positions() {
        for scale in [Scale::linear([-3.0, 7.0]), Scale::logarithmic([1e-6, 30.0])] {
            for value in [1e-5, 0.2, 6.0] {
                let back = scale.value(scale.position(value).unwrap_or(f64::NAN));
                assert!((back / value - 1.0).abs() < 1e-9, "{value} {back}");
            }
        }
    }

    #[test]
    fn what_lies_beyond_an_end_can_be_held_there() {
        let held = |value| Scale::logarithmic([1.0, 100.0]).held_position(value);
        assert_eq!([0.0, -1.0, 1e-3].map(held), [Some(0.0); 3]);
        assert_eq!([1e3, f64::INFINITY].map(held), [Some(1.0); 2]);
        assert_eq!(held(f64::NAN), None);
        assert!(held(10.0).is_some_and(|position| (position - 0.5).abs() < 1e-12));
    }

    #[test]
    fn a_range_of_more_than_two_decades_is_logarithmic() {
        assert!(Scale::fitting([1.0, 101.0]).is_logarithmic());
        assert!(!Scale::fitting([1.0, 99.0]).is_logarithmic());
        assert!(!Scale::fitting([0.0, 1e6]).is_logarithmic());
        assert!(!Scale::fitting([f64::NAN]).is_logarithmic());
    }

    #[test]
    fn one_value_alone_still_has_an_axis_around_it() {
        for scale in [Scale::linear([3.0]), Scale::linear([0.0]), Scale::logarithmic([3.0]), Scale::linear([])] {
            assert!(!labels(scale).is_empty(), "{scale:?}");
        }
    }

    #[test]
    fn extreme_values_end_in_few_ticks() {
        for (low, high) in [(5e-324, 1.0), (1e-300, 1e308), (1.0, 1.0 + 1e-15), (-1e308, 1e308)] {
            assert!(Scale::linear([low, high]).ticks().len() < 20);
            assert!(Scale::logarithmic([low, high]).ticks().len() < 60);
        }
    }

    #[test]
    fn powers_keep_no_needless_digits() {
        assert_eq!(power_label(2e-3), "2e−3");
        assert_eq!(power_label(-1.5e6), "−1.5e6");
        assert_eq!(power_label(0.0), "0");
    }
}
