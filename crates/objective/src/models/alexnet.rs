//! AlexNet (Krizhevsky, 2014): five convolutions, three linear layers, dropout in front of the first two, under
//! torchvision's names.
//!
//! For ImageNet as in torchvision. For CIFAR the first convolution is 3×3 of stride 2, the second 3×3, pools are 2×2, and
//! what the last one leaves (2×2 of 32×32 pixels) goes into the linear layers as it is.

use std::fmt;

use basin_tape::ops::Pool2d;

use super::image_layout::{ImageLayout, write_option};
use super::layers::{Convolution, Layer, Layers, image};
use crate::Result;

/// AlexNet for small or for large images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlexNet {
    layout: Option<ImageLayout>,
}

impl AlexNet {
    pub(super) fn parse(name: &str, option: Option<&str>) -> Option<Result<Self>> {
        (name == "alexnet").then(|| ImageLayout::parse(name, option).map(|layout| Self { layout }))
    }

    pub(super) fn build(&self, layers: &mut Layers, x: Layer, outputs: usize) -> Result<Layer> {
        let [_, height, width] = image(&x.shape)?;
        let layout = self.layout.unwrap_or(ImageLayout::for_size(height, width));
        let (first, second, pool) = match layout {
            ImageLayout::Cifar => {
                let first = Convolution { stride: 2, ..Convolution::same(64, 3) };
                (first, Convolution::same(192, 3), Pool2d::square(2))
            }
            ImageLayout::ImageNet => {
                let first = Convolution { stride: 4, padding: 2, ..Convolution::same(64, 11) };
                (first, Convolution::same(192, 5), Pool2d { stride: (2, 2), ..Pool2d::square(3) })
            }
        };
        let third = [384, 256, 256].map(|channels| Convolution::same(channels, 3));
        let convolutions = [(0, first), (3, second), (6, third[0]), (8, third[1]), (10, third[2])];
        let mut x = x;
        for (index, convolution) in convolutions {
            x = layers.conv2d(&format!("features.{index}"), convolution, x)?;
            x = layers.relu(x);
            if [0, 3, 10].contains(&index) {
                x = layers.max_pool2d(pool, x)?;
            }
        }
        if layout == ImageLayout::ImageNet {
            x = layers.adaptive_average_pool2d(6, x)?;
        }
        x = layers.flatten(x);
        for name in ["classifier.1", "classifier.4"] {
            x = layers.dropout(Some(0.5), x);
            x = layers.linear(name, 4096, x);
            x = layers.relu(x);
        }
        Ok(layers.linear("classifier.6", outputs, x))
    }
}

impl fmt::Display for AlexNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("alexnet")?;
        write_option(f, self.layout)
    }
}
