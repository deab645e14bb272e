//! Residual networks (He et al., "Deep residual learning for image recognition", 2016): blocks of two 3×3 convolutions, or
//! bottlenecks of a 1×1, a 3×3 and a 1×1 one.

use std::fmt;

use basin_tape::ops::Pool2d;

use super::image_layout::{ImageLayout, write_option};
use super::initial::{Draw, Initial};
use super::layers::{Convolution, Layer, Layers, image};
use crate::{Error, Result};

/// ResNet-18 and 34, and with bottlenecks 50, 101 and 152, as in torchvision. For small images the stem is a 3×3 convolution
/// without pooling; whole such models are often saved with `shortcut` for `downsample` and `linear` for `fc`, which is
/// understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResNet {
    depth: usize,
    layout: Option<ImageLayout>,
}

/// The paper's networks for CIFAR, of depth 6 n + 2: n blocks of 16, 32 and 64 channels each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CifarResNet {
    depth: usize,
    shortcut: Shortcut,
}

/// How a block's input reaches its sum where channels and size change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shortcut {
    /// Every second pixel, with channels of zeros around its own.
    A,
    /// A 1×1 convolution with batch norm.
    B,
}

const CIFAR_DEPTHS: [usize; 5] = [20, 32, 44, 56, 110];

impl ResNet {
    /// Blocks per stage, by depth.
    fn blocks(depth: usize) -> Option<[usize; 4]> {
        match depth {
            18 => Some([2, 2, 2, 2]),
            34 | 50 => Some([3, 4, 6, 3]),
            101 => Some([3, 4, 23, 3]),
            152 => Some([3, 8, 36, 3]),
            _ => None,
        }
    }

    pub(super) fn parse(name: &str, option: Option<&str>) -> Option<Result<Self>> {
        let depth = name.strip_prefix("resnet")?.parse().ok()?;
        Self::blocks(depth)?;
        Some(ImageLayout::parse(name, option).map(|layout| Self { depth, layout }))
    }

    pub(super) fn build(&self, layers: &mut Layers, x: Layer, outputs: usize) -> Result<Layer> {
        let [_, height, width] = image(&x.shape)?;
        let (weight, bottleneck) = (Initial::kaiming_out, self.depth >= 50);
        let mut network = Residual { layers, weight, bottleneck, second: "downsample", alias: "shortcut" };
        let mut x = match self.layout.unwrap_or(ImageLayout::for_size(height, width)) {
            ImageLayout::Cifar => network.normed_convolution(("conv1", "bn1"), Convolution::same(64, 3), x)?,
            ImageLayout::ImageNet => {
                let stem = Convolution { stride: 2, ..Convolution::same(64, 7) };
                let x = network.normed_convolution(("conv1", "bn1"), stem, x)?;
                let x = network.layers.relu(x);
                let pool = Pool2d { stride: (2, 2), padding: (1, 1), ..Pool2d::square(3) };
                network.layers.max_pool2d(pool, x)?
            }
        };
        x = network.layers.relu(x);
        let stages = Self::blocks(self.depth).into_iter().flatten();
        for ((stage, blocks), channels) in (1..).zip(stages).zip([64, 128, 256, 512]) {
            x = network.stage(stage, blocks, channels, Shortcut::B, x)?;
        }
        network.head(("fc", "linear"), Initial::pytorch, outputs, x)
    }
}

impl CifarResNet {
    pub(super) fn parse(name: &str, option: Option<&str>) -> Option<Result<Self>> {
        let depth = name.strip_prefix("resnet")?.parse().ok().filter(|depth| CIFAR_DEPTHS.contains(depth))?;
        Some(match option {
            None | Some("a") => Ok(Self { depth, shortcut: Shortcut::A }),
            Some("b") => Ok(Self { depth, shortcut: Shortcut::B }),
            Some(other) => Err(Error::input(
                format!("model `{name}` has no shortcut `{other}`"),
                "write `:b` for shortcuts of 1×1 convolutions, or nothing for the paper's, which have no parameters",
            )),
        })
    }

    pub(super) fn build(&self, layers: &mut Layers, x: Layer, outputs: usize) -> Result<Layer> {
        let weight = Initial::kaiming_in;
        let mut network = Residual { layers, weight, bottleneck: false, second: "shortcut", alias: "downsample" };
        let x = network.normed_convolution(("conv1", "bn1"), Convolution::same(16, 3), x)?;
        let mut x = network.layers.relu(x);
        for (stage, channels) in (1..).zip([16, 32, 64]) {
            x = network.stage(stage, (self.depth - 2) / 6, channels, self.shortcut, x)?;
        }
        network.head(("linear", "fc"), Initial::kaiming_in, outputs, x)
    }
}

impl fmt::Display for ResNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resnet{}", self.depth)?;
        write_option(f, self.layout)
    }
}

impl fmt::Display for CifarResNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "resnet{}{}", self.depth, if self.shortcut == Shortcut::B { ":b" } else { "" })
    }
}

/// What the two families share.
struct Residual<'a> {
    layers: &'a mut Layers,
    /// How convolutions are drawn.
    weight: Draw,
    /// Whether blocks have three convolutions, the last one of four times the channels.
    bottleneck: bool,
    /// What the second path of a block is called, and what others call it.
    second: &'static str,
    alias: &'static str,
}

impl Residual<'_> {
    fn normed_convolution(&mut self, (conv, bn): (&str, &str), convolution: Convolution, x: Layer) -> Result<Layer> {
        let x = self.layers.conv2d(conv, Convolution { weight: self.weight, bias: None, ..convolution }, x)?;
        Ok(self.layers.batch_norm(bn, x))
    }

    /// Blocks of one width; the first one halves height and width, unless it is the first of all.
    fn stage(&mut self, stage: usize, blocks: usize, channels: usize, shortcut: Shortcut, x: Layer) -> Result<Layer> {
        let mut x = x;
        for block in 0..blocks {
            let stride = if stage > 1 && block == 0 { 2 } else { 1 };
            x = self.block(&format!("layer{stage}.{block}"), channels, stride, shortcut, x)?;
        }
        Ok(x)
    }

    fn block(&mut self, name: &str, channels: usize, stride: usize, shortcut: Shortcut, x: Layer) -> Result<Layer> {
        let named = |layer: &str| format!("{name}.{layer}");
        let strided = Convolution { stride, ..Convolution::same(channels, 3) };
        let same = Convolution::same;
        let convolutions = match self.bottleneck {
            true => vec![same(channels, 1), strided, same(4 * channels, 1)],
            false => vec![strided, same(channels, 3)],
        };
        let mut y = x.clone();
        for (i, convolution) in (1..).zip(convolutions) {
            y = if i > 1 { self.layers.relu(y) } else { y };
            let (conv, bn) = (named(&format!("conv{i}")), named(&format!("bn{i}")));
            y = self.normed_convolution((&conv, &bn), convolution, y)?;
        }
        let x = match shortcut {
            _ if x.shape == y.shape => x,
            Shortcut::A => {
                let missing = channels - x.shape[0];
                let x = self.layers.subsample(stride, x)?;
                self.layers.pad(x, 0, missing / 2, missing - missing / 2)
            }
            Shortcut::B => {
                let (conv, bn) = (format!("{name}.{}.0", self.second), format!("{name}.{}.1", self.second));
                self.alias(&conv, &format!("{name}.{}.0", self.alias), &["weight"]);
                let normed = ["weight", "bias", "running_mean", "running_var"];
                self.alias(&bn, &format!("{name}.{}.1", self.alias), &normed);
                let convolution = Convolution { stride, ..Convolution::same(y.shape[0], 1) };
                self.normed_convolution((&conv, &bn), convolution, x)?
            }
        };
        let sum = self.layers.add(x, y);
        Ok(self.layers.relu(sum))
    }

    /// The mean of each channel, and a linear layer with its name and another.
    fn head(&mut self, (name, alias): (&str, &str), weight: Draw, outputs: usize, x: Layer) -> Result<Layer> {
        self.alias(name, alias, &["weight", "bias"]);
        let x = self.layers.global_average(x)?;
        Ok(self.layers.linear_drawn(name, outputs, weight, Some(Initial::pytorch), x))
    }

    fn alias(&mut self, name: &str, alias: &str, tensors: &[&str]) {
        for tensor in tensors {
            self.layers.alias(format!("{alias}.{tensor}"), format!("{name}.{tensor}"));
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use candle_core::DType;

    use super::super::Model;
    use crate::weights::Weights;

    #[test]
    fn files_with_the_names_of_other_implementations_load() {
        for (spec, renamed) in [
            ("resnet18:cifar", [("downsample", "shortcut"), ("fc.", "linear.")]),
            ("resnet20:b", [("shortcut", "downsample"), ("linear.", "fc.")]),
        ] {
            let model = Model::new(&spec.parse().unwrap(), &[3, 32, 32], 10).unwrap();
            let theta = model.initial_parameters(0, DType::F32).unwrap();
            let buffers = model.initial_buffers(DType::F32).unwrap();
            let foreign =
                |name: &str| renamed.iter().fold(name.to_owned(), |name, (own, other)| name.replace(own, other));
            let named = [(model.parameters(), &theta), (model.buffers(), &buffers)].map(|(layout, vector)| {
                let names = layout.entries().iter().map(|entry| foreign(&entry.name));
                names.zip(layout.views(vector).unwrap()).collect::<Vec<_>>()
            });
            let tensors = named.concat();
            assert!(tensors.iter().any(|(name, _)| name.contains(renamed[0].1)));
            let weights = Weights {
                tensors: tensors.into_iter().collect(),
                skipped: Default::default(),
                metadata: Default::default(),
                fingerprint: String::new(),
                path: "other.safetensors".into(),
                order: Default::default(),
                notes: Default::default(),
            };
            let gathered = model.gather(&weights, DType::F32).unwrap();
            assert_eq!(gathered.parameters.to_vec1::<f32>().unwrap(), theta.to_vec1::<f32>().unwrap(), "{spec}");
        }
    }
}
