//! What a picture's axes, levels and colours reach over: one landscape, or several that are drawn alike.

use super::{Grid, Spacing, ends};
use crate::chart::color_map::{ColorMap, Colors};
use crate::chart::levels::{self, Level};
use crate::chart::scale::Scale;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Frame {
    /// The ends of the horizontal axis.
    pub(super) x: [f64; 2],
    /// The ends of the vertical axis.
    pub(super) y: [f64; 2],
    /// The lowest and the highest value that the spacing has a place for.
    pub(super) range: Option<(f64, f64)>,
    spacing: Spacing,
}

impl Frame {
    /// As large as it takes to hold the grids, of which there is one at least.
    pub(crate) fn around(grids: &[&Grid], spacing: Spacing) -> Self {
        let known = grids.iter().flat_map(|grid| grid.known());
        let range = match spacing {
            Spacing::Linear => ends(known),
            Spacing::Logarithmic => ends(known.filter(|&value| value > 0.0)),
        };
        let over = |axis: fn(&Grid) -> &[f64]| {
            let coordinates = grids.iter().flat_map(|grid| axis(grid).iter().copied());
            ends(coordinates).map_or([0.0, 1.0], |(low, high)| [low, high])
        };
        Self { x: over(Grid::x), y: over(Grid::y), range, spacing }
    }

    pub(super) fn levels(&self) -> Vec<Level> {
        self.range.map(|(low, high)| levels::levels(low, high, self.spacing)).unwrap_or_default()
    }

    /// Colours and heights from the lowest to the highest value; with room around where they are one.
    pub(super) fn scale(&self) -> Scale {
        match (self.range, self.spacing) {
            (Some((low, high)), Spacing::Linear) if low < high => Scale::between(low, high),
            (Some((low, high)), Spacing::Logarithmic) if low < high => Scale::between_in_ratios(low, high),
            (range, _) => Scale::linear(range.map(|(low, _)| low)),
        }
    }

    /// Of values of both signs diverging colours with their middle at zero, as far to the one side as to the other.
    pub(super) fn colors(&self) -> Colors {
        match self.range {
            Some((low, high)) if low < 0.0 && high > 0.0 => {
                let reach = f64::max(-low, high);
                Colors { map: ColorMap::Diverging, scale: Scale::between(-reach, reach) }
            }
            _ => Colors { map: ColorMap::Sequential, scale: self.scale() },
        }
    }
}
