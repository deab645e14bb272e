//! Colours, markers and dashes: apart for colour-blind eyes and in grey print.

use super::drawing::Color;

/// Text, frames and ticks.
pub(crate) const INK: Color = Color(0x1A, 0x1A, 0x1A);
/// What is secondary: legends' keys that stand for no group of runs, reference lines.
pub(crate) const MUTED: Color = Color(0x6B, 0x6B, 0x6B);
/// Lines behind the data.
pub(crate) const GRID: Color = Color(0xDD, 0xDD, 0xDD);
/// Areas behind the data.
pub(crate) const AREA: Color = Color(0xB5, 0xB5, 0xB5);
/// The background, and the inside of hollow markers.
pub(crate) const PAPER: Color = Color(0xFF, 0xFF, 0xFF);

/// How the data of one group of runs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) color: Color,
    pub(crate) marker: Marker,
    pub(crate) dash: Dash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    TriangleDown,
    Hexagon,
    /// A single value among many.
    Dot,
    /// An upright bar, for what reaches from one value to another.
    Bar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dash {
    Solid,
    Dashed,
    Dotted,
    Alternating,
}

/// Okabe and Ito's colours without yellow, which is too pale on paper; ordered so that neighbours differ in grey too.
const LOOKS: [Look; 6] = [
    Look { color: Color(0x00, 0x72, 0xB2), marker: Marker::Circle, dash: Dash::Solid },
    Look { color: Color(0xD5, 0x5E, 0x00), marker: Marker::Square, dash: Dash::Dashed },
    Look { color: Color(0x00, 0x9E, 0x73), marker: Marker::Triangle, dash: Dash::Alternating },
    Look { color: Color(0xCC, 0x79, 0xA7), marker: Marker::Diamond, dash: Dash::Dotted },
    Look { color: Color(0xE6, 0x9F, 0x00), marker: Marker::TriangleDown, dash: Dash::Solid },
    Look { color: Color(0x56, 0xB4, 0xE9), marker: Marker::Hexagon, dash: Dash::Dashed },
];

/// The look of the batch size, counted from the smallest, or of the variant with this number.
pub(crate) fn look(index: usize) -> Look {
    let mut look = LOOKS[index % LOOKS.len()];
    // Past the last colour dashes and markers move on, so that a look comes back only after many batch sizes.
    let round = index / LOOKS.len();
    look.marker = LOOKS[(index + round) % LOOKS.len()].marker;
    if round % 2 == 1 {
        look.dash = if look.dash == Dash::Solid { Dash::Dotted } else { Dash::Solid };
    }
    look
}

/// The look of what differs in two ways: one has the colour, the other the marker and the dash.
pub(crate) fn paired(color: usize, shape: usize) -> Look {
    // Where colours come back, they come with another marker.
    Look { color: look(color).color, marker: look(shape + color / LOOKS.len()).marker, dash: look(shape).dash }
}

impl Dash {
    /// Lengths of strokes and gaps in pixels, in turn; empty for an unbroken line.
    pub(crate) fn pattern(self) -> &'static [f64] {
        match self {
            Self::Solid => &[],
            Self::Dashed => &[20.0, 12.0],
            Self::Dotted => &[5.0, 10.0],
            Self::Alternating => &[22.0, 9.0, 5.0, 9.0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LOOKS, look};

    #[test]
    fn no_two_of_many_batch_sizes_look_alike_even_where_lines_are_solid() {
        let looks: Vec<_> =
            (0..LOOKS.len() * LOOKS.len()).map(|index| (look(index).color, look(index).marker)).collect();
        let repeats = |(index, look)| looks[..index].contains(look);
        assert!(!looks.iter().enumerate().any(repeats));
    }
}
