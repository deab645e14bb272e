//! What transformers share.

use super::layers::{Layer, Layers};
use crate::{Error, Result};

/// The longest sequence: attention holds the square of it, for each sample, head and layer.
pub(super) const LONGEST: usize = 8192;

/// The size of a transformer's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) width: usize,
    pub(super) depth: usize,
    pub(super) heads: usize,
}

impl Blocks {
    /// Refuses heads that do not share the width evenly, and sizes beyond any that is trained.
    pub(super) fn check(self, model: &str) -> Result<Self> {
        let Self { width, depth, heads } = self;
        if width % heads != 0 {
            return Err(Error::input(
                format!("`{model}`: {heads} heads cannot share a width of {width} evenly"),
                format!("give a `width` that is a multiple of {heads}, or other `heads`"),
            ));
        }
        if width > 1 << 16 || depth > 1000 {
            return Err(Error::input(
                format!("`{model}`: a width of {width} and a depth of {depth} are beyond any that is trained"),
                "give a `width` of at most 65536 and a `depth` of at most 1000",
            ));
        }
        Ok(self)
    }
}

/// Self-attention by scaled products: each position's queries, keys and values, (positions, 3 width), become the values'
/// average by softmax(q kᵀ/√d) for each head of width d, (positions, width). If causal, over earlier positions alone. The
/// shares of softmax are a place of dropout where there is a published rate for them.
pub(super) fn attend(layers: &mut Layers, heads: usize, causal: bool, dropout: Option<f64>, x: Layer) -> Layer {
    let (positions, width) = (x.shape[0], x.shape[1] / 3);
    let share = width / heads;
    let [queries, keys, values] = [0, 1, 2].map(|part| {
        let part = layers.narrow(x.clone(), 1, part * width, width);
        let by_head = layers.reshape(part, vec![positions, heads, share]);
        layers.transpose(by_head, 0, 1)
    });
    let queries = layers.scale(1.0 / (share as f64).sqrt(), queries);
    let keys = layers.transpose(keys, 1, 2);
    let scores = layers.matmul(queries, keys);
    let shares = layers.softmax(causal, scores);
    let shares = if dropout.is_some() { layers.dropout(dropout, shares) } else { shares };
    let averages = layers.matmul(shares, values);
    let by_position = layers.transpose(averages, 0, 1);
    layers.reshape(by_position, vec![positions, width])
}
