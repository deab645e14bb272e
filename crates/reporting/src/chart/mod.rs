//! Chart furniture shared by the figures: from numbers to shapes, from shapes to SVG and PNG.

pub(crate) mod axes;
pub(crate) mod color_bar;
pub(crate) mod color_map;
pub(crate) mod contour;
pub(crate) mod contour_labels;
pub(crate) mod drawing;
pub(crate) mod font;
pub(crate) mod grid;
pub(crate) mod legend;
pub(crate) mod levels;
pub(crate) mod missing;
pub(crate) mod paint;
pub(crate) mod palette;
pub(crate) mod pdf;
pub(crate) mod readings;
pub(crate) mod scale;
pub(crate) mod series;
pub(crate) mod surface_3d;
