//! The middle of images, as torchvision's `CenterCrop` cuts it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::images::Image;
use super::resizing::{MOST_PIXELS_OF_A_SIDE, sides};
use crate::{Error, Result};

/// Height and width of the middle that is cut out of images; as text `224` or `224x192`. Where an image is smaller, black is
/// put around it, as torchvision does.
///
/// ```
/// use basin_objective::data::CenterCrop;
///
/// assert_eq!("224".parse::<CenterCrop>()?, CenterCrop { height: 224, width: 224 });
/// assert!("0".parse::<CenterCrop>().is_err());
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CenterCrop {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

impl CenterCrop {
    pub(super) fn apply(self, image: Image) -> Image {
        let Self { height, width } = self;
        if (height, width) == (image.height, image.width) {
            return image;
        }
        let (rows, columns) = (cut(image.height, height), cut(image.width, width));
        let mut pixels = vec![0.0; image.channels * height * width];
        let old = image.pixels.chunks_exact(image.height * image.width);
        for (new, old) in pixels.chunks_exact_mut(height * width).zip(old) {
            let old = old.chunks_exact(image.width).skip(rows.skipped);
            for (new, old) in new.chunks_exact_mut(width).skip(rows.padded).zip(old) {
                new.iter_mut().skip(columns.padded).zip(&old[columns.skipped..]).for_each(|(new, old)| *new = *old);
            }
        }
        Image { height, width, pixels, ..image }
    }
}

/// What is left out before the middle of an axis, or put before it.
struct Cut {
    skipped: usize,
    padded: usize,
}

/// The middle starts at half of what is too many, where a half goes to the even number as in Python's `round`.
fn cut(old: usize, new: usize) -> Cut {
    let half = |surplus: usize| (surplus as f64 / 2.0).round_ties_even() as usize;
    Cut { skipped: half(old.saturating_sub(new)), padded: new.saturating_sub(old) / 2 }
}

impl FromStr for CenterCrop {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (height, width) = sides(text).ok_or_else(|| {
            Error::input(
                format!("`{text}` is not a size"),
                format!("write 224 for a square, or 224x192 for height and width, each up to {MOST_PIXELS_OF_A_SIDE}"),
            )
        })?;
        Ok(Self { height, width: width.unwrap_or(height) })
    }
}

impl fmt::Display for CenterCrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { height, width } if height == width => write!(f, "{height}"),
            Self { height, width } => write!(f, "{height}x{width}"),
        }
    }
}

impl TryFrom<String> for CenterCrop {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<CenterCrop> for String {
    fn from(crop: CenterCrop) -> Self {
        crop.to_string()
    }
}
