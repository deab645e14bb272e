//! How the initial values of a tensor are drawn.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::random;

/// The distribution of a tensor's initial values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Initial {
    /// Every element the same.
    Constant(f64),
    /// Uniform in ±bound.
    Uniform {
        /// Largest magnitude.
        bound: f64,
    },
    /// Normal around 0.
    Normal {
        /// The standard deviation.
        std: f64,
    },
    /// Standard normal, but 0 in one row: that of padding in a table.
    NormalButOneRow {
        /// The row.
        row: usize,
        /// The numbers in a row.
        width: usize,
    },
}

/// How many inputs a unit of a layer has, and how many outputs an input has a part in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fan {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

/// The distribution of a weight or bias by the layer's fan.
pub(super) type Draw = fn(Fan) -> Initial;

impl Initial {
    /// All 0.
    pub(super) fn zero(_fan: Fan) -> Self {
        Self::Constant(0.0)
    }

    /// PyTorch's default for weights and biases of linear layers and convolutions.
    pub(super) fn pytorch(fan: Fan) -> Self {
        Self::Uniform { bound: 1.0 / (fan.inputs.max(1) as f64).sqrt() }
    }

    /// He et al.'s for the layer in front of a relu, which keeps the scale of the values.
    pub(super) fn kaiming_in(fan: Fan) -> Self {
        Self::Normal { std: (2.0 / fan.inputs.max(1) as f64).sqrt() }
    }

    /// He et al.'s for the layer behind a relu, which keeps the scale of the gradients.
    pub(super) fn kaiming_out(fan: Fan) -> Self {
        Self::Normal { std: (2.0 / fan.outputs.max(1) as f64).sqrt() }
    }

    /// Glorot and Bengio's.
    pub(super) fn xavier(fan: Fan) -> Self {
        Self::Uniform { bound: (6.0 / (fan.inputs + fan.outputs).max(1) as f64).sqrt() }
    }

    /// Appends `count` values from the stream of this seed and tensor.
    pub(super) fn draw(self, seed: u64, name: &str, count: usize, into: &mut Vec<f64>) {
        let mut rng = random::stream(seed, "initial weights", name);
        match self {
            Self::Constant(value) => into.extend(std::iter::repeat_n(value, count)),
            Self::Uniform { bound } => into.extend((0..count).map(|_| rng.random_range(-bound..bound))),
            Self::Normal { std } => {
                into.extend((0..count).map(|_| -> f64 { StandardNormal.sample(&mut rng) }).map(|x| std * x));
            }
            Self::NormalButOneRow { row, width } => {
                let values = (0..count).map(|_| -> f64 { StandardNormal.sample(&mut rng) });
                let zeroed = |(at, x)| if at / width.max(1) == row { 0.0 } else { x };
                into.extend(values.enumerate().map(zeroed));
            }
        }
    }
}
