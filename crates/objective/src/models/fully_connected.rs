//! Stacks of linear layers: `mlp:` and Keskar's F1 and F2.

use super::layers::{Layer, Layers};
use super::spec::Activation;

/// Linear layers `fc1`, `fc2`, … with an activation between them and, if asked, batch norm `bn1`, … before it. Dropout
/// has its place behind each activation.
pub(super) fn stack(
    layers: &mut Layers,
    x: Layer,
    hidden: &[usize],
    outputs: usize,
    activation: Activation,
    batch_norm: bool,
) -> Layer {
    let mut x = layers.flatten(x);
    for (i, &width) in hidden.iter().enumerate() {
        x = layers.linear(&format!("fc{}", i + 1), width, x);
        if batch_norm {
            x = layers.batch_norm(&format!("bn{}", i + 1), x);
        }
        x = layers.activation(activation, x);
        x = layers.dropout(None, x);
    }
    layers.linear(&format!("fc{}", hidden.len() + 1), outputs, x)
}
