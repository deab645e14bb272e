//! Keskar's convolutional networks, from the released code of "On Large-Batch Training for Deep Learning" (ICLR 2017).
//!
//! Dropout has its places and rates from there too; pools written as 'same' in Keras pad one position on each side,
//! which gives the same size and, at an even height, other windows by one position.

use basin_tape::ops::Pool2d;

use super::layers::{Convolution, Layer, Layers};
use super::spec::Activation;
use crate::Result;

/// C1 and C3: two times (conv 64 5×5, batch norm, relu, max pool 3×3 stride 2), then 384, 192, outputs.
pub(super) fn shallow(layers: &mut Layers, mut x: Layer, outputs: usize) -> Result<Layer> {
    let pool = Pool2d { stride: (2, 2), padding: (1, 1), ..Pool2d::square(3) };
    for i in 1..=2 {
        x = layers.conv2d(&format!("conv{i}"), Convolution::same(64, 5), x)?;
        x = layers.batch_norm(&format!("bn{i}"), x);
        x = layers.activation(Activation::Relu, x);
        x = layers.max_pool2d(pool, x)?;
    }
    Ok(dense(layers, x, &[384, 192], outputs, 3))
}

/// C2 and C4: conv 3×3 with batch norm and relu, widths 64² | 128² | 256³ | 512³ | 512³, max pool 2×2 behind each group,
/// then 512, outputs. Dropout stands behind each convolution that is not the last of its group, and around the layer of 512.
pub(super) fn deep(layers: &mut Layers, mut x: Layer, outputs: usize) -> Result<Layer> {
    let groups: [&[usize]; 5] = [&[64; 2], &[128; 2], &[256; 3], &[512; 3], &[512; 3]];
    let mut index = 0;
    for (group, widths) in groups.into_iter().enumerate() {
        for (i, &width) in widths.iter().enumerate() {
            index += 1;
            x = layers.conv2d(&format!("conv{index}"), Convolution::same(width, 3), x)?;
            x = layers.batch_norm(&format!("bn{index}"), x);
            x = layers.activation(Activation::Relu, x);
            if i + 1 < widths.len() {
                x = layers.dropout(Some(if group == 0 { 0.3 } else { 0.4 }), x);
            }
        }
        x = layers.max_pool2d(Pool2d::square(2), x)?;
    }
    x = layers.flatten(x);
    x = layers.dropout(Some(0.5), x);
    Ok(dense(layers, x, &[512], outputs, index + 1))
}

/// Linear layers with batch norm, whose names go on from `first_norm`, relu and dropout; then the outputs.
fn dense(layers: &mut Layers, x: Layer, hidden: &[usize], outputs: usize, first_norm: usize) -> Layer {
    let mut x = layers.flatten(x);
    for (i, &width) in hidden.iter().enumerate() {
        x = layers.linear(&format!("fc{}", i + 1), width, x);
        x = layers.batch_norm(&format!("bn{}", first_norm + i), x);
        x = layers.activation(Activation::Relu, x);
        x = layers.dropout(Some(0.5), x);
    }
    layers.linear(&format!("fc{}", hidden.len() + 1), outputs, x)
}
