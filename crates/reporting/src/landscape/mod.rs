//! Pictures of a function on a grid, such as the loss over a plane of parameters, as SVG and PNG.
//!
//! A [`Landscape`] is a [`Grid`] of values with the names of its axes; [`Landscape::contours`],
//! [`Landscape::filled_contours`], [`Landscape::heat_map`] and [`Landscape::surface`] draw it. Points without a finite value
//! stay without one: maps show them hatched and count them, surfaces have a hole there.

use std::path::Path;

mod map;

use crate::chart::color_map::{ColorMap, Colors};
use crate::chart::drawing::Drawing;
pub use crate::chart::grid::Grid;
pub use crate::chart::levels::Spacing;
use crate::chart::levels::{self, Level};
use crate::chart::scale::{Scale, TWO_DECADES};
pub use crate::chart::surface_3d::View;
use crate::chart::surface_3d::{self, Side};
use crate::chart::{legend, missing, paint};
use crate::error::{Error, Result};

/// A function on a grid with the names of its axes.
///
/// ```
/// use basin_reporting::landscape::{Grid, Landscape, Spacing, View};
///
/// let x: Vec<f64> = (0..31).map(|i| -1.5 + 0.1 * f64::from(i)).collect();
/// let values = x.iter().flat_map(|y| x.iter().map(move |x| (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2)));
/// let grid = Grid::new(x.clone(), x.clone(), values.collect())?;
/// let landscape = Landscape { grid, x: "x".into(), y: "y".into(), value: "f".into(), spacing: Spacing::Logarithmic };
///
/// let directory = tempfile::tempdir()?;
/// landscape.filled_contours().write_png(&directory.path().join("rosenbrock.png"))?;
/// let svg = landscape.surface(View::from_degrees(-120.0, 35.0)?).svg()?;
/// assert!(svg.starts_with("<svg"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Landscape {
    /// The values.
    pub grid: Grid,
    /// Name of the horizontal axis.
    pub x: String,
    /// Name of the vertical axis.
    pub y: String,
    /// Name of what is drawn over them.
    pub value: String,
    /// How levels, colours and heights follow the values. [`Spacing::Logarithmic`] takes what is not positive as lowest.
    pub spacing: Spacing,
}

/// A place on a landscape that has a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Its name.
    pub name: String,
    /// Its horizontal coordinate.
    pub x: f64,
    /// Its vertical coordinate.
    pub y: f64,
}

/// A picture that can be written as SVG or PNG.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    drawing: Drawing,
}

impl Spacing {
    /// Logarithmic where all values are positive and span more than two decades, else linear.
    pub fn fitting(grid: &Grid) -> Self {
        let (low, high) = ends(grid.known()).unwrap_or((0.0, 0.0));
        if low > 0.0 && high / low > TWO_DECADES { Self::Logarithmic } else { Self::Linear }
    }
}

impl Landscape {
    /// Contour lines by marching squares at round levels, with the levels written on them.
    ///
    /// At most twelve levels: multiples of 1, 2 or 5 times a power of ten, or as many of each decade
    /// ([`Spacing::Logarithmic`]). Lines end at missing cells.
    pub fn contours(&self) -> Picture {
        map::contours(self)
    }

    /// The regions between the levels in colours of their own, with a bar of the levels beside the plot.
    pub fn filled_contours(&self) -> Picture {
        map::filled_contours(self, &[], &[])
    }

    /// The same with places marked, such as checkpoints on the plane, and their names above the plot; one beyond the grid has
    /// its name alone.
    pub fn filled_contours_with(&self, places: &[Place]) -> Picture {
        map::filled_contours(self, places, &[])
    }

    /// The same with a path through places, from the first to the last; beside those that have a name stands their name.
    pub fn filled_contours_with_path(&self, path: &[Place]) -> Picture {
        map::filled_contours(self, &[], path)
    }

    /// One rectangle per point, reaching half-way to its neighbours.
    pub fn heat_map(&self) -> Picture {
        map::heat_map(self)
    }

    /// The graph of the function in a box, by orthographic projection.
    pub fn surface(&self, view: View) -> Picture {
        let mut drawing = Drawing::default();
        let region = legend::draw(&mut drawing, &self.missing_key());
        let across = |name, axis: &[f64]| Side { name, scale: Scale::between(axis[0], axis[axis.len() - 1]) };
        let sides = [
            across(&self.x, self.grid.x()),
            across(&self.y, self.grid.y()),
            Side { name: &self.value, scale: self.scale() },
        ];
        surface_3d::draw(&mut drawing, region, &self.grid, view, sides, &self.colors());
        Picture { drawing }
    }

    /// The values that the spacing has a place for, from end to end.
    fn range(&self) -> Option<(f64, f64)> {
        let known = self.grid.known();
        match self.spacing {
            Spacing::Linear => ends(known),
            Spacing::Logarithmic => ends(known.filter(|&value| value > 0.0)),
        }
    }

    fn levels(&self) -> Vec<Level> {
        self.range().map(|(low, high)| levels::levels(low, high, self.spacing)).unwrap_or_default()
    }

    /// Colours and heights from the lowest to the highest value; with room around where they are one.
    fn scale(&self) -> Scale {
        match (self.range(), self.spacing) {
            (Some((low, high)), Spacing::Linear) if low < high => Scale::between(low, high),
            (Some((low, high)), Spacing::Logarithmic) if low < high => Scale::between_in_ratios(low, high),
            (range, _) => Scale::linear(range.map(|(low, _)| low)),
        }
    }

    /// Of values of both signs diverging colours with their middle at zero, as far to the one side as to the other.
    fn colors(&self) -> Colors {
        match self.range() {
            Some((low, high)) if low < 0.0 && high > 0.0 => {
                let reach = f64::max(-low, high);
                Colors { map: ColorMap::Diverging, scale: Scale::between(-reach, reach) }
            }
            _ => Colors { map: ColorMap::Sequential, scale: self.scale() },
        }
    }

    fn missing_key(&self) -> Vec<legend::Key> {
        missing::key(self.grid.missing(), self.grid.points()).into_iter().collect()
    }
}

impl Picture {
    /// The picture as SVG text.
    ///
    /// # Errors
    /// When it cannot be drawn, which is a defect.
    pub fn svg(&self) -> Result<String> {
        paint::svg(&self.drawing).map_err(|reason| Error::figure("landscape", reason))
    }

    pub(crate) fn drawing(self) -> Drawing {
        self.drawing
    }

    /// Writes the picture as a PNG file; the path ends in `.png`.
    ///
    /// # Errors
    /// When the path has another ending, or the file cannot be written.
    pub fn write_png(&self, path: &Path) -> Result<()> {
        // Plotters would choose another format by another ending.
        if path.extension().is_none_or(|ending| ending != "png") {
            return Err(Error::input(
                format!("{} does not end in .png", path.display()),
                "give the picture such a name",
            ));
        }
        paint::png(&self.drawing, path).map_err(|reason| {
            let message = format!("failed to write {}: {reason}", path.display());
            Error::input(message, "check that its directory exists and may be written to")
        })
    }
}

/// The least and the greatest.
fn ends(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |ends, value| match ends {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

#[cfg(test)]
mod tests {
    use super::{Grid, Landscape, Spacing};

    #[test]
    fn spacing_follows_the_decades_of_positive_values() {
        let of = |values: [f64; 4]| {
            Spacing::fitting(&Grid::new(vec![0.0, 1.0], vec![0.0, 1.0], values.to_vec()).expect("a grid"))
        };
        assert_eq!(of([0.1, 5.0, 20.0, f64::NAN]), Spacing::Logarithmic);
        assert_eq!(of([1.0, 5.0, 20.0, 100.0]), Spacing::Linear);
        assert_eq!(of([0.0, 5.0, 20.0, 1e6]), Spacing::Linear);
        assert_eq!(of([f64::NAN; 4]), Spacing::Linear);
    }

    #[test]
    fn a_picture_goes_where_it_can_be_written_and_nowhere_else() {
        let grid = Grid::new(vec![0.0, 1.0], vec![0.0, 1.0], vec![0.0, 1.0, 2.0, 3.0]).expect("a grid");
        let landscape =
            Landscape { grid, x: "a".into(), y: "b".into(), value: "loss".into(), spacing: Spacing::Linear };
        let picture = landscape.heat_map();
        let directory = tempfile::tempdir().expect("a directory");
        assert!(picture.write_png(&directory.path().join("map.png")).is_ok());
        for (name, message) in [("map.jpg", "does not end in .png"), ("missing/map.png", "failed to write")] {
            let error = picture.write_png(&directory.path().join(name)).expect_err("no such file");
            assert!(error.to_string().contains(message) && !error.hint().contains("defect"), "{error}");
        }
    }
}
