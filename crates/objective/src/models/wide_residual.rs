//! Wide residual networks (Zagoruyko and Komodakis, 2016): depth 6 n + 4, three stages of n blocks with 16 K, 32 K and
//! 64 K channels, batch norm and relu in front of each convolution. Names as in xternalz' WideResNet-pytorch.

use std::fmt;

use super::initial::Initial;
use super::layers::{Convolution, Layer, Layers};
use crate::{Error, Result};

/// Largest depth and width: more is a slip of the hand.
const MOST: usize = 1000;

/// The paper's rate of dropout between the convolutions of a block on CIFAR; on SVHN it is 0.4.
const CIFAR_DROPOUT: f64 = 0.3;

/// WRN-D-K.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WideResNet {
    depth: usize,
    width: usize,
}

impl WideResNet {
    pub(super) fn parse(name: &str, option: Option<&str>) -> Option<Result<Self>> {
        let (depth, width) = name.strip_prefix("wrn")?.split_once('-')?;
        let (depth, width) = (depth.parse::<usize>().ok()?, width.parse::<usize>().ok()?);
        let fits = (10..=MOST).contains(&depth) && depth % 6 == 4 && (1..=MOST).contains(&width);
        Some(if fits && option.is_none() {
            Ok(Self { depth, width })
        } else {
            Err(Error::input(
                format!("model `{name}` is no wide residual network, whose depth is 10, 16, 22, 28, …"),
                "write depth and width like `wrn28-10` or `wrn16-4`, without options",
            ))
        })
    }

    pub(super) fn build(&self, layers: &mut Layers, x: Layer, outputs: usize) -> Result<Layer> {
        let mut x = layers.conv2d("conv1", convolution(16, 3, 1), x)?;
        for (stage, channels) in (1..).zip([16, 32, 64]) {
            for i in 0..(self.depth - 4) / 6 {
                let stride = if stage > 1 && i == 0 { 2 } else { 1 };
                x = block(layers, &format!("block{stage}.layer.{i}"), channels * self.width, stride, x)?;
            }
        }
        x = layers.batch_norm("bn1", x);
        x = layers.relu(x);
        x = layers.global_average(x)?;
        Ok(layers.linear_drawn("fc", outputs, Initial::pytorch, Some(Initial::zero), x))
    }
}

fn convolution(channels: usize, kernel: usize, stride: usize) -> Convolution {
    Convolution { stride, weight: Initial::kaiming_out, bias: None, ..Convolution::same(channels, kernel) }
}

/// The sum of two convolutions of the normed input and of the input, which is normed too where a convolution fits it.
fn block(layers: &mut Layers, name: &str, channels: usize, stride: usize, x: Layer) -> Result<Layer> {
    let same = x.shape[0] == channels;
    let normed = layers.batch_norm(&format!("{name}.bn1"), x.clone());
    let normed = layers.relu(normed);
    let y = layers.conv2d(&format!("{name}.conv1"), convolution(channels, 3, stride), normed.clone())?;
    let y = layers.batch_norm(&format!("{name}.bn2"), y);
    let y = layers.relu(y);
    let y = layers.dropout(Some(CIFAR_DROPOUT), y);
    let y = layers.conv2d(&format!("{name}.conv2"), convolution(channels, 3, 1), y)?;
    let x = if same {
        x
    } else {
        layers.conv2d(&format!("{name}.convShortcut"), convolution(channels, 1, stride), normed)?
    };
    Ok(layers.add(x, y))
}

impl fmt::Display for WideResNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wrn{}-{}", self.depth, self.width)
    }
}
