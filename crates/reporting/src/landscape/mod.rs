//! Pictures of a function on a grid, such as the loss over a plane of parameters, as SVG and PNG.
//!
//! A [`Landscape`] is a [`Grid`] of values with the names of its axes; [`Landscape::contours`],
//! [`Landscape::filled_contours`], [`Landscape::heat_map`] and [`Landscape::surface`] draw it. Points without a finite value
//! stay without one: maps show them hatched and count them, surfaces have a hole there.

use std::path::Path;

mod frame;
mod map;

use crate::chart::color_map::Colors;
use crate::chart::drawing::{Color, Drawing};
pub use crate::chart::grid::Grid;
pub use crate::chart::levels::Spacing;
use crate::chart::readings::{Field, Seen};
use crate::chart::scale::{Scale, TWO_DECADES};
pub use crate::chart::surface_3d::View;
use crate::chart::surface_3d::{self, Side};
use crate::chart::{legend, missing, paint};
use crate::error::{Error, Result};
pub(crate) use frame::Frame;

/// Steps of the colours of a surface that turns.
const COLORS: usize = 64;

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
        Self::fitting_all(&[grid])
    }

    /// The same for the values of several grids.
    pub(crate) fn fitting_all(grids: &[&Grid]) -> Self {
        let (low, high) = ends(grids.iter().flat_map(|grid| grid.known())).unwrap_or((0.0, 0.0));
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
        self.filled_contours_with(&[])
    }

    /// The same with places marked, such as checkpoints on the plane, and their names above the plot; one beyond the grid has
    /// its name alone.
    pub fn filled_contours_with(&self, places: &[Place]) -> Picture {
        self.filled_contours_in(&self.frame(), places)
    }

    /// The same with a path through places, from the first to the last; beside those that have a name stands their name.
    pub fn filled_contours_with_path(&self, path: &[Place]) -> Picture {
        map::filled_contours(self, &self.frame(), &[], path)
    }

    /// The same with the axes, levels and colours of a frame that holds it.
    pub(crate) fn filled_contours_in(&self, frame: &Frame, places: &[Place]) -> Picture {
        map::filled_contours(self, frame, places, &[])
    }

    /// One rectangle per point, reaching half-way to its neighbours.
    pub fn heat_map(&self) -> Picture {
        map::heat_map(self)
    }

    /// The graph of the function in a box, by orthographic projection.
    pub fn surface(&self, view: View) -> Picture {
        self.surface_in(&self.frame(), view)
    }

    /// The same with the axes and colours of a frame that holds it.
    pub(crate) fn surface_in(&self, frame: &Frame, view: View) -> Picture {
        let mut drawing = Drawing::default();
        let region = legend::draw(&mut drawing, &self.missing_key());
        let across = |name, [low, high]: [f64; 2]| Side { name, scale: Scale::between(low, high) };
        let sides =
            [across(&self.x, frame.x), across(&self.y, frame.y), Side { name: &self.value, scale: frame.scale() }];
        surface_3d::draw(&mut drawing, region, &self.grid, view, sides, &frame.colors());
        drawing.marks.field = Some(self.field(frame, [frame.x, frame.y], surface_3d::seen(view)));
        Picture { drawing }
    }

    /// The values with their names, as a page reads them off.
    fn field(&self, frame: &Frame, over: [[f64; 2]; 2], seen: Seen) -> Field {
        let scale = frame.scale();
        let Colors { map, scale: of_colors } = frame.colors();
        let color = |step: usize| {
            let value = scale.value(step as f64 / (COLORS - 1) as f64);
            let Color(red, green, blue) = map.color(of_colors.held_position(value).unwrap_or(0.5));
            format!("#{red:02x}{green:02x}{blue:02x}")
        };
        let grid = &self.grid;
        let row = |j: usize| (0..grid.x().len()).map(|i| grid.value(i, j).map(rounded)).collect();
        Field {
            names: [&self.x, &self.y, &self.value].map(Clone::clone),
            x: grid.x().iter().copied().map(rounded).collect(),
            y: grid.y().iter().copied().map(rounded).collect(),
            values: (0..grid.y().len()).map(row).collect(),
            over,
            ends: scale.ends(),
            logarithmic: scale.is_logarithmic(),
            colors: (0..COLORS).map(color).collect(),
            seen,
        }
    }

    /// Axes, levels and colours of its own.
    fn frame(&self) -> Frame {
        Frame::around(&[&self.grid], self.spacing)
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

/// A coordinate or value in as many digits as a picture can show.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
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
