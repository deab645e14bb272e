//! The handwritten digits that ship with basin: 1797 images of 8×8 pixels, one vector of 64 values each.

use std::io::Read;

use candle_core::{Device, Tensor};
use flate2::read::GzDecoder;

use super::{Samples, Split, Targets, split};
use crate::random::stream;
use crate::{Error, Result};

/// Rows of 64 pixels from 0 to 16 and a label, separated by commas.
static FILE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/digits/digits.csv.gz"));

const SIDE: usize = 8;
const PIXELS: usize = SIDE * SIDE;
const CLASSES: usize = 10;
const HELD_BACK: usize = 360;

pub(super) fn read(split: Split) -> Result<Samples> {
    let (pixels, labels) = parse()?;
    // The split is part of the data: it is the same whatever the seed of a run.
    let (train, test) = split::stratified(&labels, HELD_BACK, &mut stream(0, "digits", "split"));
    let positions = match split {
        Split::Train => train,
        Split::Test => test,
    };
    let positions =
        Tensor::new(positions.into_iter().map(|position| position as i64).collect::<Vec<_>>(), &Device::Cpu)?;
    let pixels = Tensor::from_vec(pixels, (labels.len(), PIXELS), &Device::Cpu)?.index_select(&positions, 0)?;
    let labels = Tensor::new(labels, &Device::Cpu)?.index_select(&positions, 0)?;
    Ok((pixels, Targets::classes(labels, CLASSES)).into())
}

/// The same as images of one channel.
pub(super) fn read_images(split: Split) -> Result<Samples> {
    let Samples { inputs, targets, .. } = read(split)?;
    Ok((inputs.tensor()?.reshape(((), 1, SIDE, SIDE))?, targets).into())
}

fn parse() -> Result<(Vec<f32>, Vec<i64>)> {
    let damaged = || Error::input("the digits inside this program are damaged", "build basin again");
    let mut text = String::new();
    GzDecoder::new(FILE).read_to_string(&mut text).map_err(|_| damaged())?;
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let (row, label) = line.rsplit_once(',').ok_or_else(damaged)?;
        for pixel in row.split(',') {
            pixels.push(pixel.parse::<f32>().map_err(|_| damaged())? / 16.0);
        }
        labels.push(label.parse().map_err(|_| damaged())?);
    }
    Ok((pixels, labels))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::data::{DataSpec, Dataset};

    fn load(split: Split) -> Dataset {
        Dataset::load(&DataSpec::Digits, split).unwrap()
    }

    fn labels(data: &Dataset) -> Vec<i64> {
        match &data.targets {
            Targets::Classes { labels, .. } => labels.tensor().unwrap().to_vec1().unwrap(),
            Targets::Real(_) => vec![],
        }
    }

    #[test]
    fn images_are_the_same_pixels_in_rows_of_8() {
        for split in [Split::Train, Split::Test] {
            let [vectors, images] =
                [DataSpec::Digits, DataSpec::DigitImages].map(|spec| Dataset::load(&spec, split).unwrap());
            assert_eq!(images.sample_shape(), [1, 8, 8]);
            let pixels =
                |data: &Dataset| data.inputs.tensor().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(pixels(&vectors), pixels(&images));
        }
    }

    #[test]
    fn both_splits_have_their_size_and_keep_the_shares_of_the_classes() {
        let (train, test) = (load(Split::Train), load(Split::Test));
        assert_eq!((train.inputs.dims(), test.inputs.dims()), (&[1437, 64][..], &[360, 64][..]));
        let all = parse().unwrap().1;
        let count = |labels: &[i64], class| labels.iter().filter(|&&label| label == class).count();
        for class in 0..10 {
            let share = count(&all, class) as f64 * 360.0 / 1797.0;
            assert!((count(&labels(&test), class) as f64 - share).abs() < 1.0, "class {class}");
        }
    }

    #[test]
    fn pixels_lie_between_0_and_1_and_none_is_lost() {
        let sum = |data: &Dataset| {
            let pixels: Vec<f32> = data.inputs.tensor().unwrap().flatten_all().unwrap().to_vec1().unwrap();
            assert!(pixels.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
            pixels.iter().map(|&pixel| f64::from(pixel)).sum::<f64>()
        };
        // The sum of scikit-learn's load_digits().data is 561718.
        assert_eq!((sum(&load(Split::Train)) + sum(&load(Split::Test))) * 16.0, 561_718.0);
    }

    /// Every record names this data by its fingerprint: it must not change between versions.
    #[test]
    fn fingerprints_stay() {
        assert_eq!(
            load(Split::Train).fingerprint().unwrap(),
            "76679fff61743c78b10553c5da4c10d27f1d365c39a2459a44080e11ea1bce3f"
        );
        assert_eq!(
            load(Split::Test).fingerprint().unwrap(),
            "dd785325345f2244fe5ccb083f413d488eb7a9e257dd34d2fba391b7bc1b0b16"
        );
    }
}
