//! Extents of axes while a network is read: numbers, or multiples of the number of samples.

use std::fmt;

/// The extent of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The same whatever the samples.
    Fixed(usize),
    /// So many for each sample, sample after sample.
    Samples(usize),
}

impl Extent {
    /// The extent where there is one sample.
    pub(crate) fn of_one_sample(self) -> usize {
        match self {
            Self::Fixed(extent) | Self::Samples(extent) => extent,
        }
    }

    /// The number, unless it depends on the samples.
    pub(crate) fn fixed(self) -> Option<usize> {
        match self {
            Self::Fixed(extent) => Some(extent),
            Self::Samples(_) => None,
        }
    }

    pub(crate) fn depends_on_samples(self) -> bool {
        matches!(self, Self::Samples(_))
    }

    /// The product, unless it grows with the square of the samples or beyond any memory.
    pub(crate) fn times(self, other: Self) -> Option<Self> {
        let product = self.of_one_sample().checked_mul(other.of_one_sample())?;
        match (self, other) {
            (Self::Fixed(_), Self::Fixed(_)) => Some(Self::Fixed(product)),
            (Self::Samples(_), Self::Samples(_)) => None,
            _ => Some(Self::Samples(product)),
        }
    }

    /// The quotient where it is whole.
    pub(crate) fn divided_by(self, other: Self) -> Option<Self> {
        let (a, b) = (self.of_one_sample(), other.of_one_sample());
        let quotient = a.checked_div(b).filter(|quotient| quotient * b == a)?;
        match (self, other) {
            (Self::Samples(_), Self::Fixed(_)) => Some(Self::Samples(quotient)),
            (Self::Fixed(_), Self::Samples(_)) => None,
            _ => Some(Self::Fixed(quotient)),
        }
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(extent) => write!(f, "{extent}"),
            Self::Samples(1) => write!(f, "N"),
            Self::Samples(times) => write!(f, "{times}N"),
        }
    }
}

/// A shape as people read it, such as `[N, 3, 32, 32]`.
pub(crate) fn shape_text(shape: &[Extent]) -> String {
    let extents: Vec<String> = shape.iter().map(Extent::to_string).collect();
    format!("[{}]", extents.join(", "))
}
