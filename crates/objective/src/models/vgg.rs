//! VGG networks (Simonyan and Zisserman, 2015): groups of 3×3 convolutions, a 2×2 max pool behind each.
//!
//! `features.N` counts convolutions, batch norms, relus and pools, as in torchvision. Behind them stand, for ImageNet,
//! torchvision's pool to 7×7 and three linear layers `classifier.0`, `.3`, `.6` with dropout between them; for CIFAR one linear layer `classifier`,
//! as in kuangliu's pytorch-cifar. VGG-9 is that of Li et al., "Visualizing the loss landscape of neural nets" (2018):
//! pools round up, and a linear layer `fc.0`, normed by `fc.1`, stands in front of `classifier`.

use std::fmt;

use basin_tape::ops::Pool2d;

use super::image_layout::{ImageLayout, write_option};
use super::initial::Initial;
use super::layers::{Convolution, Layer, Layers, image};
use crate::{Error, Result};

/// VGG-9, 11, 13, 16 and 19, with or without batch norm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vgg {
    depth: usize,
    batch_norm: bool,
    layout: Option<ImageLayout>,
}

/// Convolutions per group of 64, 128, 256, 512 and 512 channels.
fn groups(depth: usize) -> Option<&'static [usize]> {
    match depth {
        9 => Some(&[2, 2, 3]),
        11 => Some(&[1, 1, 2, 2, 2]),
        13 => Some(&[2, 2, 2, 2, 2]),
        16 => Some(&[2, 2, 3, 3, 3]),
        19 => Some(&[2, 2, 4, 4, 4]),
        _ => None,
    }
}

impl Vgg {
    pub(super) fn parse(name: &str, option: Option<&str>) -> Option<Result<Self>> {
        let rest = name.strip_prefix("vgg")?;
        let (depth, batch_norm) = rest.strip_suffix("-bn").map_or((rest, false), |depth| (depth, true));
        let depth = depth.parse().ok()?;
        groups(depth)?;
        Some(ImageLayout::parse(name, option).and_then(|layout| match (depth, layout) {
            (9, Some(ImageLayout::ImageNet)) => {
                Err(Error::input(format!("model `{name}` has no layout `imagenet`"), format!("write `{name}` alone")))
            }
            (9, _) => Ok(Self { depth, batch_norm, layout: None }),
            _ => Ok(Self { depth, batch_norm, layout }),
        }))
    }

    pub(super) fn build(&self, layers: &mut Layers, x: Layer, outputs: usize) -> Result<Layer> {
        let [_, height, width] = image(&x.shape)?;
        let x = self.features(layers, x)?;
        if self.depth == 9 {
            let x = layers.flatten(x);
            let x = layers.linear("fc.0", 256, x);
            let x = if self.batch_norm { layers.batch_norm("fc.1", x) } else { x };
            let x = layers.relu(x);
            return Ok(layers.linear("classifier", outputs, x));
        }
        match self.layout.unwrap_or(ImageLayout::for_size(height, width)) {
            ImageLayout::Cifar => {
                let x = layers.flatten(x);
                Ok(layers.linear("classifier", outputs, x))
            }
            ImageLayout::ImageNet => {
                let x = layers.adaptive_average_pool2d(7, x)?;
                let mut x = layers.flatten(x);
                let small = |_| Initial::Normal { std: 0.01 };
                for name in ["classifier.0", "classifier.3"] {
                    x = layers.linear_drawn(name, 4096, small, Some(Initial::zero), x);
                    x = layers.relu(x);
                    x = layers.dropout(Some(0.5), x);
                }
                Ok(layers.linear_drawn("classifier.6", outputs, small, Some(Initial::zero), x))
            }
        }
    }

    fn features(&self, layers: &mut Layers, mut x: Layer) -> Result<Layer> {
        let pool = Pool2d { ceil_mode: self.depth == 9, ..Pool2d::square(2) };
        let groups = groups(self.depth).unwrap_or_default();
        let mut index = 0;
        for (&count, channels) in groups.iter().zip([64, 128, 256, 512, 512]) {
            for _ in 0..count {
                let same = Convolution::same(channels, 3);
                let convolution = Convolution { weight: Initial::kaiming_out, bias: Some(Initial::zero), ..same };
                x = layers.conv2d(&format!("features.{index}"), convolution, x)?;
                index += 1;
                if self.batch_norm {
                    x = layers.batch_norm(&format!("features.{index}"), x);
                    index += 1;
                }
                x = layers.relu(x);
                index += 1;
            }
            x = layers.max_pool2d(pool, x)?;
            index += 1;
        }
        Ok(x)
    }
}

impl fmt::Display for Vgg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vgg{}{}", self.depth, if self.batch_norm { "-bn" } else { "" })?;
        write_option(f, self.layout)
    }
}
