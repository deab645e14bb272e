//! Standardized inputs: (x − mean) / std, per channel.

use std::fmt;
use std::str::FromStr;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, suggestion};

const HOW: &str = "write one number each, like 0.1307:0.3081, one per channel, like \
                   0.485,0.456,0.406:0.229,0.224,0.225, or a preset: mnist, fashion-mnist, cifar10, cifar100, imagenet";

/// Published statistics of pixels between 0 and 1.
#[derive(Debug, PartialEq)]
struct Preset {
    name: &'static str,
    mean: &'static [f64],
    std: &'static [f64],
}

/// Those of the training sets, as they are used with torchvision: of `mnist` in PyTorch's examples
/// (`examples/mnist/main.py`), of `imagenet` in the weights of torchvision's models (`torchvision/transforms/_presets.py`), of
/// the others over all pixels of the training images.
static PRESETS: [Preset; 5] = [
    Preset { name: "mnist", mean: &[0.1307], std: &[0.3081] },
    Preset { name: "fashion-mnist", mean: &[0.2860], std: &[0.3530] },
    Preset { name: "cifar10", mean: &[0.4914, 0.4822, 0.4465], std: &[0.2470, 0.2435, 0.2616] },
    Preset { name: "cifar100", mean: &[0.5071, 0.4865, 0.4409], std: &[0.2673, 0.2564, 0.2762] },
    Preset { name: "imagenet", mean: &[0.485, 0.456, 0.406], std: &[0.229, 0.224, 0.225] },
];

/// Mean and standard deviation that inputs are standardized with, as torchvision's `Normalize` does: one number each for all
/// inputs, or one for each channel.
///
/// As text it is `MEAN:STD`, or the name of a preset:
///
/// | preset | mean | std |
/// |---|---|---|
/// | `mnist` | 0.1307 | 0.3081 |
/// | `fashion-mnist` | 0.2860 | 0.3530 |
/// | `cifar10` | 0.4914, 0.4822, 0.4465 | 0.2470, 0.2435, 0.2616 |
/// | `cifar100` | 0.5071, 0.4865, 0.4409 | 0.2673, 0.2564, 0.2762 |
/// | `imagenet` | 0.485, 0.456, 0.406 | 0.229, 0.224, 0.225 |
///
/// Presets are of pixels between 0 and 1, and of so many channels.
///
/// ```
/// use basin_objective::data::Standardization;
///
/// let mnist: Standardization = "mnist".parse()?;
/// assert_eq!((mnist.mean(), mnist.std()), (&[0.1307][..], &[0.3081][..]));
/// assert_eq!("0.5,0.4:1".parse::<Standardization>()?.std(), [1.0, 1.0]);
/// assert!("0.5".parse::<Standardization>().is_err());
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Standardization {
    preset: Option<&'static Preset>,
    mean: Vec<f64>,
    std: Vec<f64>,
}

impl Standardization {
    /// One mean for all inputs, or one per channel.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// As many standard deviations.
    pub fn std(&self) -> &[f64] {
        &self.std
    }

    /// Standardizes inputs of shape (N, C, …), in their own numbers.
    pub(super) fn apply(&self, inputs: &Tensor) -> Result<Tensor> {
        self.check(inputs)?;
        let shape: Vec<usize> = match (self.mean.len(), inputs.rank()) {
            (1, _) | (_, 0 | 1) => vec![1; inputs.rank()],
            (channels, rank) => [&[1, channels][..], &vec![1; rank - 2]].concat(),
        };
        let row = |numbers: &[f64]| -> Result<Tensor> {
            Ok(Tensor::new(numbers, inputs.device())?.to_dtype(inputs.dtype())?.reshape(&shape[..])?)
        };
        Ok(inputs.broadcast_sub(&row(&self.mean)?)?.broadcast_div(&row(&self.std)?)?)
    }

    fn check(&self, inputs: &Tensor) -> Result<()> {
        let dims = inputs.dims();
        if !matches!(inputs.dtype(), DType::F32 | DType::F64) {
            return Err(Error::input(
                format!("`--standardize {self}` needs inputs of floats, found {}", inputs.dtype().as_str()),
                "store pixels as f32 between 0 and 1 (bytes / 255); tokens are not standardized",
            ));
        }
        let channels = self.mean.len();
        // One number goes with any shape, but one of a preset is of images of one channel.
        let fits = match (channels, self.preset, dims) {
            (1, Some(_), [_, found, _, _]) => *found == 1,
            (1, _, _) => true,
            (_, Some(_), [_, found, _, _]) | (_, None, [_, found, ..]) => *found == channels,
            _ => false,
        };
        if !fits {
            return Err(Error::input(
                format!(
                    "`--standardize {self}` is of {channels} channel{}, found inputs of shape {:?}",
                    if channels == 1 { "" } else { "s" },
                    dims.get(1..).unwrap_or_default()
                ),
                "give as many numbers as the inputs (C, H, W) have channels, or one mean and one std for all",
            ));
        }
        if self.preset.is_some() {
            let wide = inputs.to_dtype(DType::F64)?.flatten_all()?;
            let (least, most): (f64, f64) = (wide.min(0)?.to_scalar()?, wide.max(0)?.to_scalar()?);
            if least < 0.0 || most > 1.0 {
                return Err(Error::input(
                    format!("the preset `{self}` is of pixels between 0 and 1, found inputs from {least} to {most}"),
                    "divide pixels of bytes by 255; leave `--standardize` out where they are standardized already",
                ));
            }
        }
        Ok(())
    }
}

impl FromStr for Standardization {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(preset) = PRESETS.iter().find(|preset| preset.name == text) {
            return Ok(Self { preset: Some(preset), mean: preset.mean.to_vec(), std: preset.std.to_vec() });
        }
        let Some((mean, std)) = text.split_once(':') else {
            let hint = match suggestion::nearest(text, &PRESETS.each_ref().map(|preset| preset.name)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => HOW.to_owned(),
            };
            return Err(Error::input(format!("`{text}` is no mean and standard deviation"), hint));
        };
        let (mut mean, mut std) = (numbers(text, mean)?, numbers(text, std)?);
        match (mean.len(), std.len()) {
            (means, 1) => std = vec![std[0]; means],
            (1, stds) => mean = vec![mean[0]; stds],
            (means, stds) if means == stds => {}
            (means, stds) => return Err(Error::input(format!("`{text}` has {means} means and {stds} std"), HOW)),
        }
        match std.iter().find(|std| **std <= 0.0) {
            None => Ok(Self { preset: None, mean, std }),
            Some(std) => Err(Error::input(format!("`{text}`: the standard deviation {std} is not above 0"), HOW)),
        }
    }
}

fn numbers(whole: &str, text: &str) -> Result<Vec<f64>> {
    let number = |part: &str| part.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    text.split(',')
        .map(|part| number(part).ok_or_else(|| Error::input(format!("`{whole}`: `{part}` is not a number"), HOW)))
        .collect()
}

impl fmt::Display for Standardization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        match self.preset {
            Some(preset) => f.write_str(preset.name),
            None => write!(f, "{}:{}", row(&self.mean), row(&self.std)),
        }
    }
}

impl TryFrom<String> for Standardization {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Standardization> for String {
    fn from(standardization: Standardization) -> Self {
        standardization.to_string()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use candle_core::Device;

    fn apply(text: &str, inputs: &Tensor) -> Result<Tensor> {
        text.parse::<Standardization>().unwrap().apply(inputs)
    }

    #[test]
    fn text_and_back() {
        for text in ["mnist", "imagenet", "0.5:2", "0.1,0.2,0.3:1,2,3", "-1:0.25"] {
            assert_eq!(text.parse::<Standardization>().unwrap().to_string(), text);
        }
        assert_eq!("0,1:2".parse::<Standardization>().unwrap().to_string(), "0,1:2,2");
    }

    #[test]
    fn slips_are_refused_with_what_to_write() {
        for (text, message) in [
            ("minst", "is no mean"),
            ("0.5", "is no mean"),
            ("0.5:0", "is not above 0"),
            ("0.5:-1", "is not above 0"),
            ("a:1", "`a` is not a number"),
            ("nan:1", "`nan` is not a number"),
            ("1,2:1,2,3", "2 means and 3 std"),
            (":", "`` is not a number"),
        ] {
            let error = text.parse::<Standardization>().unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
        assert_eq!("mnists".parse::<Standardization>().unwrap_err().hint(), Some("did you mean `mnist`?"));
    }

    #[test]
    fn each_channel_has_its_own_numbers_and_one_number_goes_with_any_shape() {
        let images = Tensor::new(&[[[[1.0_f32], [3.0]], [[5.0], [9.0]]]], &Device::Cpu).unwrap();
        let found = apply("1,5:2,4", &images).unwrap();
        assert_eq!(found.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [0.0, 1.0, 0.0, 1.0]);
        let vectors = Tensor::new(&[[1.0_f64, 3.0]], &Device::Cpu).unwrap();
        assert_eq!(apply("1:2", &vectors).unwrap().to_vec2::<f64>().unwrap(), [[0.0, 1.0]]);
        assert_eq!(apply("1,3:2,2", &vectors).unwrap().to_vec2::<f64>().unwrap(), [[0.0, 0.0]]);
    }

    #[test]
    fn inputs_that_do_not_fit_are_refused() {
        let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        for (text, inputs, message) in [
            ("mnist", zeros(&[2, 3, 4, 4], DType::F32), "1 channel, found inputs of shape [3, 4, 4]"),
            ("cifar10", zeros(&[2, 1, 4, 4], DType::F32), "3 channels, found inputs of shape [1, 4, 4]"),
            ("cifar10", zeros(&[2, 48], DType::F32), "found inputs of shape [48]"),
            ("mnist", (zeros(&[1, 4], DType::F32) + 255.0).unwrap(), "found inputs from 255 to 255"),
            ("0.5:1", zeros(&[1, 4], DType::U8), "needs inputs of floats, found u8"),
        ] {
            let error = apply(text, &inputs).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
        assert!(apply("mnist", &zeros(&[2, 784], DType::F32)).is_ok());
    }
}
