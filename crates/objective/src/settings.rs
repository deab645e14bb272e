//! Settings of a kind of data, model or schedule as text: `samples=100,seed=1`.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::{Error, Result, suggestion};

/// The settings given for one kind, none twice and none unknown.
///
/// ```
/// use basin_objective::settings::Settings;
///
/// let given = Settings::parse("clusters", "samples=100", &["samples", "spread"])?;
/// assert_eq!(given.value("samples", 1000)?, 100);
/// assert_eq!(given.value("spread", 0.5)?, 0.5);
/// assert!(Settings::parse("clusters", "sampels=100", &["samples", "spread"]).is_err());
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug)]
pub struct Settings<'a> {
    kind: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

impl<'a> Settings<'a> {
    /// Those that `text` gives of the `known` ones of a kind.
    ///
    /// # Errors
    /// When one is unknown, given twice or without a value.
    pub fn parse(kind: &'a str, text: &'a str, known: &[&str]) -> Result<Self> {
        let mut values = BTreeMap::new();
        for setting in text.split(',').filter(|_| !text.is_empty()) {
            let (name, value) = setting.split_once('=').ok_or_else(|| {
                Error::input(format!("`{kind}`: expected `setting=value`, found `{setting}`"), known_settings(known))
            })?;
            if !known.contains(&name) {
                let hint = suggestion::hint(name, known);
                return Err(Error::input(format!("`{kind}` has no setting `{name}`"), hint));
            }
            if values.insert(name, value).is_some() {
                return Err(Error::input(format!("`{kind}`: `{name}` is set twice"), "set it once"));
            }
        }
        Ok(Self { kind, values })
    }

    /// A setting, or its default where it is not given.
    ///
    /// # Errors
    /// When its text is no such value.
    pub fn value<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        match self.values.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| self.invalid(name, text, "a number in range")),
        }
    }

    /// A whole number from 1.
    pub(crate) fn count(&self, name: &str, default: usize) -> Result<usize> {
        match self.value(name, default)? {
            0 => Err(self.invalid(name, "0", "at least 1")),
            count => Ok(count),
        }
    }

    /// A whole number from 1, where it is given.
    ///
    /// # Errors
    /// When its text is none.
    pub fn count_if_any(&self, name: &str) -> Result<Option<usize>> {
        if self.values.contains_key(name) { self.count(name, 1).map(Some) } else { Ok(None) }
    }

    /// A finite number from 0.
    pub(crate) fn amount(&self, name: &str, default: f64) -> Result<f64> {
        let amount: f64 = self.value(name, default)?;
        if amount.is_finite() && amount >= 0.0 {
            Ok(amount)
        } else {
            Err(self.invalid(name, &amount.to_string(), "a finite number from 0"))
        }
    }

    /// `true` or `false`.
    pub(crate) fn switch(&self, name: &str, default: bool) -> Result<bool> {
        match self.values.get(name).copied() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(self.invalid(name, other, "`true` or `false`")),
        }
    }

    /// How many samples to train on and how many to hold back.
    pub(crate) fn sizes(&self) -> Result<(usize, usize)> {
        let samples = self.count("samples", 1000)?;
        Ok((samples, self.count("test", (samples / 5).max(1))?))
    }

    fn invalid(&self, name: &str, found: &str, expected: &str) -> Error {
        Error::input(
            format!("`{}`: `{name}` is `{found}`, expected {expected}", self.kind),
            format!("give `{name}` {expected}"),
        )
    }
}

fn known_settings(known: &[&str]) -> String {
    format!("the settings are {}", known.join(", "))
}
