//! Chart furniture shared by the figures: from numbers to shapes, from shapes to SVG and PNG.

pub(crate) mod axes;
pub(crate) mod drawing;
pub(crate) mod font;
pub(crate) mod legend;
pub(crate) mod paint;
pub(crate) mod palette;
pub(crate) mod scale;
pub(crate) mod series;
