//! Tables for people to read.

use comfy_table::{CellAlignment, Table, presets};

/// A table with a head whose columns but the first are aligned right.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().copied());
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// A number with four significant digits; absent as a dash.
pub(crate) fn number(x: impl Into<Option<f64>>) -> String {
    match x.into() {
        None => "–".into(),
        Some(0.0) => "0".into(),
        Some(x) if !x.is_finite() => x.to_string(),
        Some(x) if (1e-3..1e5).contains(&x.abs()) => {
            let digits = (3 - x.abs().log10().floor() as i64).max(0);
            format!("{x:.*}", digits as usize)
        }
        Some(x) => format!("{x:.3e}"),
    }
}

/// A share in percent.
pub(crate) fn percent(x: Option<f64>) -> String {
    x.map_or_else(|| "–".into(), |x| format!("{:.2} %", 100.0 * x))
}

/// mean ± standard deviation, or the mean of a single draw.
pub(crate) fn spread(mean: f64, std: Option<f64>) -> String {
    match std {
        Some(std) => format!("{} ± {}", number(mean), number(std)),
        None => number(mean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        assert_eq!(number(12.3456), "12.35");
        assert_eq!(number(-0.0123456), "-0.01235");
        assert_eq!(number(1.5e-9), "1.500e-9");
        assert_eq!(number(12345.6), "12346");
        assert_eq!(number(f64::NAN), "NaN");
        assert_eq!(number(None), "–");
    }
}
