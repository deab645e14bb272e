//! How the initial values of a tensor are drawn.

use rand::Rng;

use crate::random;

/// The distribution of a tensor's initial values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Initial {
    /// Every element the same.
    Constant(f64),
    /// Uniform in ±bound; PyTorch's default for linear and convolution weights and biases is 1/√(fan in).
    Uniform {
        /// Largest magnitude.
        bound: f64,
    },
}

impl Initial {
    /// PyTorch's default for a layer whose units have `fan_in` inputs each.
    pub(super) fn fan_in(fan_in: usize) -> Self {
        Self::Uniform { bound: 1.0 / (fan_in.max(1) as f64).sqrt() }
    }

    /// Appends `count` values from the stream of this seed and tensor.
    pub(super) fn draw(self, seed: u64, name: &str, count: usize, into: &mut Vec<f64>) {
        match self {
            Self::Constant(value) => into.extend(std::iter::repeat_n(value, count)),
            Self::Uniform { bound } => {
                let mut rng = random::stream(seed, "initial weights", name);
                into.extend((0..count).map(|_| rng.random_range(-bound..bound)));
            }
        }
    }
}
