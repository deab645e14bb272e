//! Numbers as people read them.

/// Three significant digits, without an exponent where that is short.
pub(crate) fn significant(value: f64) -> String {
    if !value.is_finite() {
        return not_finite(value);
    }
    if value == 0.0 {
        return "0".into();
    }
    let exponent = value.abs().log10().floor() as i32;
    if !(-4..6).contains(&exponent) {
        return tidy(&format!("{value:.2e}"));
    }
    let decimals = (2 - exponent).max(0) as usize;
    tidy(&format!("{value:.decimals$}"))
}

/// Up to five significant digits, without zeros at the end.
pub(crate) fn precise(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return significant(value);
    }
    let exponent = value.abs().log10().floor() as i32;
    if !(-4..7).contains(&exponent) {
        return tidy(&format!("{value:.3e}"));
    }
    let decimals = (4 - exponent).max(0) as usize;
    let text = format!("{value:.decimals$}");
    let short = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    tidy(short)
}

/// `mean ± std` with unbreakable spaces, with as many digits as the spread gives sense to; the spread of one value is unknown.
pub(crate) fn with_spread(mean: f64, std: Option<f64>) -> String {
    let Some(std) = std else {
        return significant(mean);
    };
    if !mean.is_finite() || !std.is_finite() {
        return format!("{}\u{a0}±\u{a0}{}", significant(mean), significant(std));
    }
    let exponent = if std > 0.0 { std.log10().floor() as i32 } else { mean.abs().max(1e-300).log10().floor() as i32 };
    if !(-5..7).contains(&exponent) || mean.abs() >= 1e7 {
        return format!("{}\u{a0}±\u{a0}{}", significant(mean), significant(std));
    }
    let decimals = (1 - exponent).max(0) as usize;
    tidy(&format!("{mean:.decimals$}\u{a0}±\u{a0}{std:.decimals$}"))
}

/// A count with its thousands apart.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A step such as ε in the way papers write it: `1e-3`.
pub(crate) fn step(value: f64) -> String {
    tidy(&format!("{value:e}"))
}

/// A list as in a sentence: `1, 2 and 3`.
pub(crate) fn enumerate(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [head @ .., last] => format!("{} and {last}", head.join(", ")),
    }
}

/// `1 seed`, `3 seeds`.
pub(crate) fn plural(number: usize, noun: &str) -> String {
    if number == 1 { format!("{number} {noun}") } else { format!("{number} {noun}s") }
}

fn not_finite(value: f64) -> String {
    if value.is_nan() { "NaN".into() } else { tidy(if value > 0.0 { "∞" } else { "-∞" }) }
}

fn tidy(text: &str) -> String {
    text.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::{count, enumerate, significant, step, with_spread};

    #[test]
    fn numbers_keep_the_digits_that_mean_something() {
        assert_eq!(significant(12.345), "12.3");
        assert_eq!(significant(-0.001234), "−0.00123");
        assert_eq!(significant(123_456.0), "123456");
        assert_eq!(significant(1.5e-7), "1.50e−7");
        assert_eq!(significant(f64::NAN), "NaN");
        assert_eq!(with_spread(12.123, Some(0.8123)), "12.12\u{a0}±\u{a0}0.81");
        assert_eq!(with_spread(707.23, Some(43.04)), "707\u{a0}±\u{a0}43");
        assert_eq!(with_spread(0.11, Some(0.0)), "0.11\u{a0}±\u{a0}0.00");
        assert_eq!(with_spread(3.5, None), "3.50");
        assert_eq!(count(17_226), "17,226");
        assert_eq!(step(5e-4), "5e−4");
    }

    #[test]
    fn lists_read_as_in_a_sentence() {
        let words = |list: &[&str]| enumerate(&list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&[]), "");
        assert_eq!(words(&["a"]), "a");
        assert_eq!(words(&["a", "b", "c"]), "a, b and c");
    }
}
