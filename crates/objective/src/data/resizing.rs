//! Images of another size, as torchvision resizes them: bilinear with `antialias=True`.
//!
//! Each new pixel is the mean of the old ones around its place, weighted by a triangle that is as wide as the scale when an
//! image shrinks (as in Pillow, whose bytes are rounded after each axis; here nothing is rounded, as with tensors).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::images::Image;
use crate::{Error, Result};

/// More is a slip of the hand.
pub(super) const MOST_PIXELS_OF_A_SIDE: usize = 16_384;

/// The size that images are brought to, as torchvision's `Resize` takes it: that of the shorter side, as in `256`, or height
/// and width, as in `224x224`.
///
/// ```
/// use basin_objective::data::Resize;
///
/// assert_eq!("256".parse::<Resize>()?.size_of(500, 375), (341, 256));
/// assert_eq!("32x48".parse::<Resize>()?.size_of(500, 375), (32, 48));
/// assert!("256 x".parse::<Resize>().is_err());
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Resize {
    /// The shorter side gets this size, the other one keeps the proportion (cut to a whole number).
    Shorter(usize),
    /// Height and width.
    To(usize, usize),
}

impl Resize {
    /// Height and width that an image of this height and width gets.
    pub fn size_of(self, height: usize, width: usize) -> (usize, usize) {
        match self {
            Self::To(height, width) => (height, width),
            Self::Shorter(size) => {
                let (short, long) = (height.min(width).max(1), height.max(width));
                let longer = (size as f64 * long as f64 / short as f64) as usize;
                if height <= width { (size, longer) } else { (longer, size) }
            }
        }
    }

    /// The image in that size.
    pub(super) fn apply(self, image: Image) -> Result<Image> {
        let (height, width) = self.size_of(image.height, image.width);
        if height.max(width) > MOST_PIXELS_OF_A_SIDE {
            return Err(Error::input(
                format!(
                    "`--resize {self}` makes an image of {height}x{width} of one of {}x{}",
                    image.height, image.width
                ),
                format!("give a size of at most {MOST_PIXELS_OF_A_SIDE} pixels a side"),
            ));
        }
        // torchvision resizes rows first, then columns.
        let image = if width == image.width { image } else { with_width(&image, width) };
        Ok(if height == image.height { image } else { with_height(&image, height) })
    }
}

/// Which old pixels a new one is the mean of, and with which weights.
struct Mean {
    first: usize,
    weights: Vec<f32>,
}

/// One for each of `new` pixels along an axis of `old` ones.
fn means(old: usize, new: usize) -> Vec<Mean> {
    let scale = old as f32 / new as f32;
    let support = scale.max(1.0);
    let mean = |place: usize| {
        let center = scale * (place as f32 + 0.5);
        let first = ((center - support + 0.5) as usize).min(old.saturating_sub(1));
        let end = ((center + support + 0.5) as usize).clamp(first + 1, old);
        let triangle = |pixel: usize| (1.0 - ((pixel as f32 - center + 0.5) / support).abs()).max(0.0);
        let weights: Vec<f32> = (first..end).map(triangle).collect();
        let total: f32 = weights.iter().sum();
        Mean { first, weights: weights.iter().map(|weight| weight / total).collect() }
    };
    (0..new).map(mean).collect()
}

fn with_width(image: &Image, width: usize) -> Image {
    let means = means(image.width, width);
    let mut pixels = Vec::with_capacity(image.channels * image.height * width);
    for row in image.pixels.chunks_exact(image.width) {
        pixels.extend(means.iter().map(|Mean { first, weights }| {
            row.iter().skip(*first).zip(weights).map(|(pixel, weight)| pixel * weight).sum::<f32>()
        }));
    }
    Image { width, pixels, ..*image }
}

fn with_height(image: &Image, height: usize) -> Image {
    let means = means(image.height, height);
    let width = image.width;
    let mut pixels = Vec::with_capacity(image.channels * height * width);
    for channel in image.pixels.chunks_exact(image.height * width) {
        for Mean { first, weights } in &means {
            let mut row = vec![0.0; width];
            for (old, weight) in channel.chunks_exact(width).skip(*first).zip(weights) {
                row.iter_mut().zip(old).for_each(|(sum, pixel)| *sum += pixel * weight);
            }
            pixels.extend(row);
        }
    }
    Image { height, pixels, ..*image }
}

impl FromStr for Resize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match sides(text) {
            Some((side, None)) => Ok(Self::Shorter(side)),
            Some((height, Some(width))) => Ok(Self::To(height, width)),
            None => Err(Error::input(
                format!("`{text}` is not a size"),
                format!(
                    "write 256 for the shorter side, or 224x224 for height and width, each up to {MOST_PIXELS_OF_A_SIDE}"
                ),
            )),
        }
    }
}

/// One side, or height and width.
pub(super) fn sides(text: &str) -> Option<(usize, Option<usize>)> {
    let side = |text: &str| text.parse().ok().filter(|side| (1..=MOST_PIXELS_OF_A_SIDE).contains(side));
    match text.split_once('x') {
        None => Some((side(text)?, None)),
        Some((height, width)) => Some((side(height)?, Some(side(width)?))),
    }
}

impl fmt::Display for Resize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shorter(size) => write!(f, "{size}"),
            Self::To(height, width) => write!(f, "{height}x{width}"),
        }
    }
}

impl TryFrom<String> for Resize {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Resize> for String {
    fn from(resize: Resize) -> Self {
        resize.to_string()
    }
}
