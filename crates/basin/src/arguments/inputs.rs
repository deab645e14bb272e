//! What is done to inputs, and how well a checkpoint is expected to do on them.

use std::str::FromStr;

use basin_objective::Error;
use basin_objective::data::{DataSpec, Preprocessing, Tokens};
use clap::Args;

/// What stands for nothing, over what a checkpoint says.
const NONE: &str = "none";

/// What is done to inputs before the model sees them.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct InputArguments {
    /// Subtract the mean of inputs and divide by their standard deviation, as the checkpoint was trained: 0.1307:0.3081, one
    /// number per channel as in 0.485,0.456,0.406:0.229,0.224,0.225, or mnist, fashion-mnist, cifar10, cifar100, imagenet; a
    /// checkpoint of basin says its own, over which `none` wins.
    #[arg(long, value_name = "MEAN:STD", allow_hyphen_values = true)]
    pub(crate) standardize: Option<String>,
    /// Resize images, bilinear and antialiased as torchvision does: the shorter side, as in 256, or height and width, as in
    /// 224x224.
    #[arg(long, value_name = "SIZE")]
    pub(crate) resize: Option<String>,
    /// Then cut out their middle, as in 224 or 224x192.
    #[arg(long, value_name = "SIZE")]
    pub(crate) center_crop: Option<String>,
    /// The tokens of one sample of tokens:FILE.
    #[arg(long, value_name = "T")]
    pub(crate) context: Option<usize>,
}

impl InputArguments {
    /// The data that a text names, in samples of so many tokens where that is asked for.
    pub(crate) fn spec(&self, text: &str) -> Result<DataSpec, Error> {
        match (text.parse()?, self.context) {
            (DataSpec::Tokens(tokens), Some(context)) => {
                DataSpec::Tokens(Tokens { context: Some(context), ..tokens }).to_string().parse()
            }
            (spec, None) => Ok(spec),
            (_, Some(_)) => {
                let message = format!("`--context` cuts tokens into samples, and the data is `{text}`");
                Err(Error::input(message, "leave it out, or name tokens with `--data tokens:FILE`"))
            }
        }
    }

    /// The same as text; without a length of samples the text stays as it was written.
    pub(crate) fn named(&self, text: String) -> Result<String, Error> {
        if self.context.is_some() { Ok(self.spec(&text)?.to_string()) } else { Ok(text) }
    }

    /// What was typed over what a checkpoint or a study file says.
    pub(crate) fn over(&self, base: Preprocessing) -> Result<Preprocessing, Error> {
        Ok(Preprocessing {
            resize: typed(&self.resize, base.resize)?,
            center_crop: typed(&self.center_crop, base.center_crop)?,
            standardize: typed(&self.standardize, base.standardize)?,
        })
    }
}

fn typed<T: FromStr<Err = Error>>(text: &Option<String>, base: Option<T>) -> Result<Option<T>, Error> {
    match text.as_deref() {
        None => Ok(base),
        Some(NONE) => Ok(None),
        Some(text) => text.parse().map(Some),
    }
}

/// What a checkpoint's loss and accuracy must be.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Expected {
    /// Refuse a checkpoint whose loss on the samples is another one than X, to the digits typed.
    #[arg(long, value_name = "X")]
    pub(crate) expect_loss: Option<ExpectedLoss>,
    /// Refuse a checkpoint whose accuracy on the samples is another one than X, to the digits typed, as in 0.9905 or 99.05%.
    #[arg(long, value_name = "X")]
    pub(crate) expect_accuracy: Option<ExpectedAccuracy>,
}

impl Expected {
    pub(crate) fn is_any(&self) -> bool {
        self.expect_loss.is_some() || self.expect_accuracy.is_some()
    }
}

/// A number known to so many digits.
#[derive(Clone, Debug, PartialEq)]
struct Digits {
    value: f64,
    /// Half a unit of the last digit.
    half: f64,
}

/// A loss, known to the digits typed; at most 1 % off.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExpectedLoss {
    digits: Digits,
    text: String,
}

/// A share between 0 and 1, known to the digits typed; at most half a percentage point off.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExpectedAccuracy {
    digits: Digits,
    text: String,
}

impl ExpectedLoss {
    pub(crate) fn allows(&self, loss: f64) -> bool {
        self.digits.allow(loss, 0.01 * self.digits.value.abs())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl ExpectedAccuracy {
    pub(crate) fn allows(&self, accuracy: f64) -> bool {
        self.digits.allow(accuracy, 0.005)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl Digits {
    /// Few digits would allow almost anything: `most` bounds them.
    fn allow(&self, found: f64, most: f64) -> bool {
        // The last bits of the numbers typed are not what is asked about.
        (found - self.value).abs() <= self.half.min(most) * (1.0 + 1e-9) + f64::EPSILON
    }
}

impl FromStr for Digits {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::input(format!("`{text}` is not a number"), "write it like 0.0230");
        let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(wrong)?;
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let exponent: i32 = exponent.parse().map_err(|_| wrong())?;
        let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        let decimals = i32::try_from(decimals).map_err(|_| wrong())?;
        Ok(Self { value, half: 0.5 * 10_f64.powi(exponent.saturating_sub(decimals)) })
    }
}

impl FromStr for ExpectedLoss {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(Self { digits: text.parse()?, text: text.to_owned() })
    }
}

impl FromStr for ExpectedAccuracy {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = match text.strip_suffix('%') {
            None => text.parse::<Digits>()?,
            Some(percent) => {
                let Digits { value, half } = percent.trim_end().parse()?;
                Digits { value: value / 100.0, half: half / 100.0 }
            }
        };
        match (0.0..=1.0).contains(&digits.value) {
            true => Ok(Self { digits, text: text.to_owned() }),
            false => {
                Err(Error::input(format!("the accuracy `{text}` is not between 0 and 1"), "write 0.9905 or 99.05%"))
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn as_many_digits_are_expected_as_were_typed() {
        let loss = |text: &str| text.parse::<ExpectedLoss>().unwrap();
        assert!(loss("0.0230").allows(0.02304) && !loss("0.0230").allows(0.0231));
        assert!(loss("2.3e-2").allows(0.0232) && !loss("2.3e-2").allows(0.0237));
        assert!(loss("2").allows(1.99) && !loss("2").allows(2.4), "one digit does not allow a fourth");
        assert!(!loss("0.5").allows(f64::NAN));
        let accuracy = |text: &str| text.parse::<ExpectedAccuracy>().unwrap();
        for text in ["0.9905", "99.05%", "99.05 %"] {
            assert!(accuracy(text).allows(0.99054) && !accuracy(text).allows(0.9906), "{text}");
        }
        assert!(accuracy("1").allows(1.0) && !accuracy("1").allows(0.6));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "x", "nan", "inf", "1e999", "99.05", "-0.1", "%"] {
            assert!(text.parse::<ExpectedAccuracy>().is_err(), "{text}");
        }
        assert!("0.1e".parse::<ExpectedLoss>().is_err());
    }
}
