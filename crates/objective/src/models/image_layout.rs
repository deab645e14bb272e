//! Networks that are laid out in one way for small images and in another for large ones.

use std::fmt;

use crate::{Error, Result, suggestion};

/// Which images a network is laid out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ImageLayout {
    /// CIFAR's 32×32 pixels and their like.
    Cifar,
    /// ImageNet's 224×224 pixels and their like.
    ImageNet,
}

/// The largest extent of images that are taken for CIFAR's like: Tiny ImageNet's.
const SMALL: usize = 64;

const NAMES: [&str; 2] = ["cifar", "imagenet"];

impl ImageLayout {
    /// What stands behind the colon of `model`.
    pub(super) fn parse(model: &str, option: Option<&str>) -> Result<Option<Self>> {
        match option {
            None => Ok(None),
            Some("cifar") => Ok(Some(Self::Cifar)),
            Some("imagenet") => Ok(Some(Self::ImageNet)),
            Some(other) => Err(Error::input(
                format!("model `{model}` has no layout `{other}`"),
                format!("{}; without one it goes by the size of the images", suggestion::hint(other, &NAMES)),
            )),
        }
    }

    /// The layout for images of a size when none is asked for.
    pub(super) fn for_size(height: usize, width: usize) -> Self {
        if height.min(width) <= SMALL { Self::Cifar } else { Self::ImageNet }
    }
}

impl fmt::Display for ImageLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[*self as usize])
    }
}

/// Writes `:layout` behind a name where there is one.
pub(super) fn write_option(f: &mut fmt::Formatter<'_>, layout: Option<ImageLayout>) -> fmt::Result {
    layout.map_or(Ok(()), |layout| write!(f, ":{layout}"))
}
