//! Random changes of training images.
//!
//! Keskar and others (2017, appendix E.1) ask whether augmentation keeps large batches out of sharp minima: horizontal flips, rotations
//! of up to 10° and translations of up to 0.2 of the size.

use std::fmt;
use std::str::FromStr;

use basin_objective::{Error, random};
use candle_core::{DType, Device, Tensor};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

/// What may be done to an image, drawn anew for each sample in each epoch. Pixels between others are interpolated linearly; those from
/// beyond an edge are the nearest ones of it.
///
/// ```
/// use basin_training::Augmentation;
///
/// let augmentation: Augmentation = "flip,rotate:10,translate:0.2".parse()?;
/// assert_eq!(augmentation, Augmentation { flip: true, rotation: 10.0, translation: 0.2 });
/// assert_eq!(augmentation.to_string(), "flip,rotate:10,translate:0.2");
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Augmentation {
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
    /// The largest angle of rotation about the centre, in degrees.
    pub rotation: f64,
    /// The largest move in each direction, as a share of height and width.
    pub translation: f64,
}

/// One image's change: where a pixel comes from.
struct Change {
    mirrored: bool,
    cosine: f64,
    sine: f64,
    down: f64,
    right: f64,
}

impl Augmentation {
    /// Whether images stay as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses samples that are no images.
    ///
    /// # Errors
    /// When samples are not of the shape (channels, height, width).
    pub fn check(&self, sample_shape: &[usize]) -> Result<(), Error> {
        if self.is_none() || sample_shape.len() == 3 {
            return Ok(());
        }
        Err(Error::input(
            format!(
                "`{self}` changes images of shape [channels, height, width], the samples have the shape {sample_shape:?}"
            ),
            "leave `--augment` out, or train on images",
        ))
    }

    /// The images (N, C, H, W) of the samples at `positions`, changed as `seed` and `epoch` say.
    ///
    /// # Errors
    /// When the device fails.
    pub fn apply(&self, images: &Tensor, positions: &[u32], seed: u64, epoch: u64) -> Result<Tensor, Error> {
        let (count, channels, height, width) = images.dims4()?;
        let pixels = images.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let mut changed = Vec::with_capacity(pixels.len());
        for (&position, image) in positions.iter().zip(pixels.chunks((channels * height * width).max(1))) {
            let change = self.draw((height, width), seed, &format!("{epoch} {position}"));
            for channel in image.chunks(height * width) {
                changed.extend((0..height * width).map(|place| change.pixel(channel, (height, width), place)));
            }
        }
        let changed = Tensor::from_vec(changed, (count, channels, height, width), &Device::Cpu)?;
        Ok(changed.to_dtype(images.dtype())?.to_device(images.device())?)
    }

    fn draw(&self, (height, width): (usize, usize), seed: u64, name: &str) -> Change {
        let mut rng = random::stream(seed, "augmentation", name);
        let mut within = |most: f64| most * (2.0 * rng.random::<f64>() - 1.0);
        let (angle, down, right) = (within(self.rotation), within(self.translation), within(self.translation));
        let (sine, cosine) = angle.to_radians().sin_cos();
        let (down, right) = (down * height as f64, right * width as f64);
        Change { mirrored: self.flip && rng.random::<bool>(), cosine, sine, down, right }
    }
}

impl Change {
    /// The pixel of the changed channel at a place in its rows.
    fn pixel(&self, channel: &[f64], (height, width): (usize, usize), place: usize) -> f64 {
        let centre = ((height as f64 - 1.0) / 2.0, (width as f64 - 1.0) / 2.0);
        let y = (place / width) as f64 - centre.0 - self.down;
        let x = (place % width) as f64 - centre.1 - self.right;
        let (y, x) = (self.cosine * y - self.sine * x, self.sine * y + self.cosine * x);
        let x = if self.mirrored { -x } else { x };
        let y = (y + centre.0).clamp(0.0, height as f64 - 1.0);
        let x = (x + centre.1).clamp(0.0, width as f64 - 1.0);
        let (top, left) = (y.floor(), x.floor());
        let at = |row: f64, column: f64| {
            let (row, column) = (row.min(height as f64 - 1.0) as usize, column.min(width as f64 - 1.0) as usize);
            channel[row * width + column]
        };
        let (below, beside) = (y - top, x - left);
        let upper = at(top, left) * (1.0 - beside) + at(top, left + 1.0) * beside;
        let lower = at(top + 1.0, left) * (1.0 - beside) + at(top + 1.0, left + 1.0) * beside;
        upper * (1.0 - below) + lower * below
    }
}

impl fmt::Display for Augmentation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.flip {
            parts.push("flip".to_owned());
        }
        if self.rotation != 0.0 {
            parts.push(format!("rotate:{}", self.rotation));
        }
        if self.translation != 0.0 {
            parts.push(format!("translate:{}", self.translation));
        }
        if parts.is_empty() { f.write_str("none") } else { f.write_str(&parts.join(",")) }
    }
}

impl FromStr for Augmentation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut augmentation = Self::default();
        if text == "none" {
            return Ok(augmentation);
        }
        for part in text.split(',') {
            let number = |value: &str, most: f64| value.parse().ok().filter(|number| (0.0..=most).contains(number));
            match part.split_once(':') {
                None if part == "flip" => augmentation.flip = true,
                Some(("rotate", degrees)) => {
                    augmentation.rotation = number(degrees, 180.0).ok_or_else(|| unknown(part))?
                }
                Some(("translate", share)) => {
                    augmentation.translation = number(share, 1.0).ok_or_else(|| unknown(part))?
                }
                _ => return Err(unknown(part)),
            }
        }
        Ok(augmentation)
    }
}

fn unknown(part: &str) -> Error {
    Error::input(
        format!("unknown augmentation `{part}`"),
        "give `none`, or some of flip, rotate:DEGREES up to 180 and translate:SHARE up to 1, as in `flip,rotate:10,translate:0.2`",
    )
}

impl Serialize for Augmentation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Augmentation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use super::*;

    /// Rounding of bilinear weights.
    const TOLERANCE: f64 = 1e-12;

    fn image(height: usize, width: usize) -> Vec<f64> {
        (0..height * width).map(|place| ((place * 7) % 11) as f64).collect()
    }

    fn changed(change: &Change, image: &[f64], size: (usize, usize)) -> Vec<f64> {
        (0..image.len()).map(|place| change.pixel(image, size, place)).collect()
    }

    fn change(mirrored: bool, degrees: f64, down: f64, right: f64) -> Change {
        let (sine, cosine) = f64::to_radians(degrees).sin_cos();
        Change { mirrored, cosine, sine, down, right }
    }

    fn assert_close(found: &[f64], expected: &[f64]) {
        let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < TOLERANCE);
        assert!(close && found.len() == expected.len(), "{found:?}, expected {expected:?}");
    }

    #[test]
    fn nothing_changes_nothing() {
        let image = image(3, 4);
        assert_close(&changed(&change(false, 0.0, 0.0, 0.0), &image, (3, 4)), &image);
    }

    #[test]
    fn a_mirrored_row_is_read_backwards() {
        let found = changed(&change(true, 0.0, 0.0, 0.0), &image(2, 3), (2, 3));
        let expected: Vec<f64> =
            image(2, 3).chunks(3).flat_map(|row| row.iter().rev().copied().collect::<Vec<_>>()).collect();
        assert_close(&found, &expected);
    }

    #[test]
    fn moved_pixels_leave_the_nearest_edge_behind() {
        let found = changed(&change(false, 0.0, 1.0, 0.0), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], (3, 2));
        assert_close(&found, &[1.0, 2.0, 1.0, 2.0, 3.0, 4.0]);
        let found = changed(&change(false, 0.0, 0.0, 0.5), &[0.0, 2.0, 4.0], (1, 3));
        assert_close(&found, &[0.0, 1.0, 3.0]);
    }

    #[test]
    fn four_quarter_turns_bring_an_image_back_and_one_turns_it() {
        let image = image(3, 3);
        let quarter = |image: &[f64]| changed(&change(false, 90.0, 0.0, 0.0), image, (3, 3));
        let turned = quarter(&image);
        let expected: Vec<f64> = (0..9).map(|place| image[(2 - place % 3) * 3 + place / 3]).collect();
        assert_close(&turned, &expected);
        assert_close(&quarter(&quarter(&quarter(&turned))), &image);
    }

    #[test]
    fn an_image_depends_on_seed_epoch_and_sample_alone() {
        let images = Tensor::from_vec(image(8, 5).repeat(2), (4, 2, 5, 2), &Device::Cpu).unwrap();
        let augmentation: Augmentation = "flip,rotate:30,translate:0.3".parse().unwrap();
        let apply = |images: &Tensor, positions: &[u32], seed, epoch| {
            augmentation.apply(images, positions, seed, epoch).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap()
        };
        let all = apply(&images, &[3, 0, 9, 4], 1, 2);
        assert_eq!(apply(&images.narrow(0, 1, 2).unwrap(), &[0, 9], 1, 2), all[20..60]);
        assert_ne!(apply(&images, &[3, 0, 9, 4], 1, 3), all);
        assert_ne!(apply(&images, &[3, 0, 9, 4], 2, 2), all);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "turn", "rotate", "rotate:-1", "rotate:181", "translate:2", "translate:nan", "flip:1"] {
            assert!(text.parse::<Augmentation>().is_err(), "{text}");
        }
        let flip: Augmentation = "flip".parse().unwrap();
        assert!(flip.check(&[64]).is_err() && flip.check(&[1, 8, 8]).is_ok());
        assert!(Augmentation::default().check(&[64]).is_ok());
    }
}
