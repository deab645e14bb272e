//! What is done to inputs before the model sees them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::images::Image;
use super::rows::Source;
use super::{CenterCrop, Resize, Rows, Standardization};
use crate::{Error, Result, suggestion};

const STEPS: [&str; 3] = ["resize", "center-crop", "standardize"];

/// What is done to inputs before the model sees them, in torchvision's order: images are resized, their middle is cut out, and
/// numbers are standardized. Pixels are between 0 and 1 throughout.
///
/// As text, it is the steps as the command line names them.
///
/// ```
/// use basin_objective::data::{DataSpec, Dataset, Preprocessing, Split};
///
/// let inputs: Preprocessing = "resize=16;center-crop=12;standardize=0.5:0.5".parse()?;
/// let data = Dataset::load_with(&"digits:images".parse()?, Split::Test, &inputs)?;
/// assert_eq!(data.sample_shape(), [1, 12, 12]);
/// assert_eq!(inputs.to_string(), "resize=16;center-crop=12;standardize=0.5:0.5");
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocessing {
    /// The size that images are brought to.
    pub resize: Option<Resize>,
    /// The middle of them.
    pub center_crop: Option<CenterCrop>,
    /// Mean and standard deviation.
    pub standardize: Option<Standardization>,
}

impl Preprocessing {
    /// Whether inputs are left as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// An image resized and cut.
    pub(super) fn fit(&self, image: Image) -> Result<Image> {
        let image = match self.resize {
            Some(resize) => resize.apply(image)?,
            None => image,
        };
        Ok(match self.center_crop {
            Some(crop) => crop.apply(image),
            None => image,
        })
    }

    /// Images of shape (N, C, H, W) resized and cut.
    pub(super) fn fitted(&self, inputs: Rows) -> Result<Rows> {
        match self.resize.is_some() || self.center_crop.is_some() {
            true => self.each(inputs, Self::fit_all),
            false => Ok(inputs),
        }
    }

    /// Inputs standardized.
    pub(super) fn standardized(&self, inputs: Rows) -> Result<Rows> {
        match self.standardize {
            Some(_) => self.each(inputs, Self::standardize_all),
            None => Ok(inputs),
        }
    }

    /// Rows that are changed now, or when they are read.
    fn each(&self, rows: Rows, change: fn(&Self, Tensor) -> Result<Tensor>) -> Result<Rows> {
        if rows.are_held() {
            return Ok(change(self, rows.tensor()?)?.into());
        }
        let samples = rows.samples();
        Rows::stored(Arc::new(Changed { rows, preprocessing: self.clone(), change }), samples)
    }

    fn fit_all(&self, inputs: Tensor) -> Result<Tensor> {
        let name = match (self.resize, self.center_crop) {
            (Some(resize), _) => format!("--resize {resize}"),
            (None, Some(crop)) => format!("--center-crop {crop}"),
            (None, None) => return Ok(inputs),
        };
        let (&[samples, channels, height, width], DType::F32) = (inputs.dims(), inputs.dtype()) else {
            let (dtype, shape) = (inputs.dtype().as_str(), inputs.dims().get(1..).unwrap_or_default());
            return Err(Error::input(
                format!("`{name}` needs images: f32 of shape (C, H, W), found {dtype} of shape {shape:?}"),
                "leave it out, or store the inputs as f32 of shape (N, C, H, W), pixels between 0 and 1",
            ));
        };
        if channels * height * width == 0 {
            return Err(Error::input(
                format!("`{name}` needs images: those of shape {:?} have no pixels", [channels, height, width]),
                "check that the data was stored completely",
            ));
        }
        let pixels = inputs.flatten_all()?.to_vec1::<f32>()?;
        let fitted = pixels
            .par_chunks_exact(channels * height * width)
            .map(|pixels| self.fit(Image { channels, height, width, pixels: pixels.to_vec() }))
            .collect::<Result<Vec<Image>>>()?;
        let (height, width) = fitted.first().map_or((height, width), |image| (image.height, image.width));
        let pixels: Vec<f32> = fitted.into_iter().flat_map(|image| image.pixels).collect();
        Ok(Tensor::from_vec(pixels, (samples, channels, height, width), &Device::Cpu)?)
    }

    fn standardize_all(&self, inputs: Tensor) -> Result<Tensor> {
        match &self.standardize {
            Some(standardization) => standardization.apply(&inputs),
            None => Ok(inputs),
        }
    }
}

/// Rows that are changed when they are read.
#[derive(Debug)]
struct Changed {
    rows: Rows,
    preprocessing: Preprocessing,
    change: fn(&Preprocessing, Tensor) -> Result<Tensor>,
}

impl Source for Changed {
    fn read(&self, positions: &[usize]) -> Result<Tensor> {
        (self.change)(&self.preprocessing, self.rows.select(positions)?.tensor()?)
    }
}

impl FromStr for Preprocessing {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut inputs = Self::default();
        for step in text.split(';').filter(|step| !step.is_empty()) {
            match step.split_once('=') {
                Some(("resize", value)) => inputs.resize = Some(value.parse()?),
                Some(("center-crop", value)) => inputs.center_crop = Some(value.parse()?),
                Some(("standardize", value)) => inputs.standardize = Some(value.parse()?),
                _ => {
                    let name = step.split('=').next().unwrap_or_default();
                    let hint = suggestion::hint(name, &STEPS);
                    return Err(Error::input(format!("`{step}` is nothing that is done to inputs"), hint));
                }
            }
        }
        Ok(inputs)
    }
}

impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = [
            self.resize.map(|resize| format!("resize={resize}")),
            self.center_crop.map(|crop| format!("center-crop={crop}")),
            self.standardize.as_ref().map(|standardization| format!("standardize={standardization}")),
        ];
        f.write_str(&steps.into_iter().flatten().collect::<Vec<_>>().join(";"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn images_without_pixels_are_refused_and_not_divided_into() {
        let resized: Preprocessing = "resize=4x4".parse().unwrap();
        for shape in [(2, 1, 0, 3), (2, 1, 3, 0), (2, 0, 3, 3), (0, 0, 3, 3)] {
            let images = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            assert!(resized.fit_all(images).unwrap_err().to_string().contains("have no pixels"));
        }
    }
}
