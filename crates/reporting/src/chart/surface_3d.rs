//! A function on a grid as a surface seen from afar: orthographic projection, painted from back to front.
//!
//! The grid is a box with corners (±1, ±1, ±[`HEIGHT`]). Seen from azimuth φ and elevation θ, the eye lies in the direction
//! e = (cos θ cos φ, cos θ sin φ, sin θ); a point p is drawn at (p·r, p·u) with r = (−sin φ, cos φ, 0) and u = e × r.

use super::axes::Region;
use super::color_map::Colors;
use super::drawing::{Align, Drawing, Point, TEXT};
use super::font;
use super::grid::{Cell, Grid};
use super::palette::{GRID, INK};
use super::readings::Seen;
use super::scale::Scale;
use crate::error::{Error, Result};

/// From where a surface is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    azimuth: f64,
    elevation: f64,
}

impl View {
    /// A direction in degrees: the azimuth counterclockwise from the x axis, the elevation above the plane.
    ///
    /// # Errors
    /// When the azimuth is not finite, or the elevation not from 0 to 90.
    pub fn from_degrees(azimuth: f64, elevation: f64) -> Result<Self> {
        if azimuth.is_finite() && (0.0..=90.0).contains(&elevation) {
            return Ok(Self { azimuth: azimuth.to_radians(), elevation: elevation.to_radians() });
        }
        let message = format!("no view from azimuth {azimuth}° and elevation {elevation}°");
        Err(Error::input(message, "elevations go from 0 (from the side) to 90 (from above)"))
    }
}

/// Azimuth −60° and elevation 30°: from where y is least, a little towards greater x.
impl Default for View {
    fn default() -> Self {
        Self { azimuth: -60f64.to_radians(), elevation: 30f64.to_radians() }
    }
}

/// A point of the box.
type Place = [f64; 3];

/// Half the height of the box, whose base is 2 by 2.
const HEIGHT: f64 = 0.6;
const TICK: f64 = 0.03;
const GAP: f64 = 8.0;
const LINE_HEIGHT: f64 = 1.25 * TEXT;
/// Brightness of the lines between cells beside that of the cells.
const MESH: f64 = 0.8;
/// Cells narrower than so many pixels have no lines between them.
const MESH_FROM: f64 = 5.0;
/// Brightness of what is turned away from the light.
const SHADE: f64 = 0.45;
/// Where the light comes from, seen from the eye: right, up, towards it.
const LIGHT: [f64; 3] = [-0.5, 0.6, 0.62];

/// Right, up and towards the eye.
#[derive(Debug, Clone, Copy)]
struct Projection {
    right: Place,
    up: Place,
    eye: Place,
}

/// A name and the values along an edge of the box, from end to end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Side<'a> {
    pub(crate) name: &'a str,
    pub(crate) scale: Scale,
}

/// The box on paper.
struct Canvas {
    projection: Projection,
    /// Pixels per unit.
    unit: f64,
    /// Where the box's middle lies.
    middle: Point,
    region: Region,
}

/// From where, for what turns it further.
pub(crate) fn seen(View { azimuth, elevation }: View) -> Seen {
    Seen::Aslant { azimuth, elevation, height: HEIGHT }
}

/// Draws the surface in its box. Cells with a missing corner are left out.
pub(crate) fn draw(
    drawing: &mut Drawing,
    region: Region,
    grid: &Grid,
    view: View,
    sides: [Side<'_>; 3],
    colors: &Colors,
) {
    let canvas = Canvas::fitting(Projection::of(view), region, &sides);
    canvas.draw_box(drawing, &sides);
    // Lines between cells that are hardly wider than these would cover them; in the cell's colour they close its seams.
    let mesh = if canvas.cell_width(grid) < MESH_FROM { 1.0 } else { MESH };
    let quads = back_to_front(grid.cell_counts(), canvas.projection.eye);
    for quad in quads.into_iter().filter_map(|cell| Quad::of(grid, cell, &sides, &colors.scale)) {
        let brightness = canvas.projection.brightness(quad.normal());
        let outline: Vec<Point> = quad.corners.iter().map(|&corner| canvas.point(corner)).collect();
        let closed = outline.iter().chain(outline.first()).copied().collect();
        drawing.polygon(outline, colors.map.lit(quad.color, brightness));
        drawing.path(closed, colors.map.lit(quad.color, mesh * brightness), 1);
    }
}

/// Cells in an order in which none is painted before one that it may hide. A line towards the eye passes over a height
/// field's cells in one direction along each axis, so that both axes are run through in these.
fn back_to_front((columns, rows): (usize, usize), eye: Place) -> Vec<Cell> {
    let ordered = |count: usize, towards: f64| -> Vec<usize> {
        if towards > 0.0 { (0..count).collect() } else { (0..count).rev().collect() }
    };
    let columns = ordered(columns, eye[0]);
    ordered(rows, eye[1]).into_iter().flat_map(|j| columns.iter().map(move |&i| (i, j))).collect()
}

/// A cell of the surface.
struct Quad {
    corners: [Place; 4],
    /// The mean place of its corners among the colours, from 0 to 1.
    color: f64,
}

impl Quad {
    fn of(grid: &Grid, (i, j): Cell, [x, y, z]: &[Side<'_>; 3], colors: &Scale) -> Option<Self> {
        let values = grid.corners((i, j))?;
        let mut corners = [[0.0; 3]; 4];
        let mut color = 0.0;
        for (corner, ((i, j), value)) in
            corners.iter_mut().zip([(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)].into_iter().zip(values))
        {
            let position = z.scale.held_position(value)?;
            *corner = in_box([x.scale.position(grid.x()[i])?, y.scale.position(grid.y()[j])?, position]);
            color += colors.held_position(value)? / 4.0;
        }
        Some(Self { corners, color })
    }

    /// Upwards, of length 1: of a quad that is not flat, of its diagonals.
    fn normal(&self) -> Place {
        let [a, b, c, d] = self.corners;
        let normal = cross(minus(c, a), minus(d, b));
        let length = dot(normal, normal).sqrt();
        normal.map(|part| part / length)
    }
}

/// From positions along the three sides to the box.
fn in_box([x, y, z]: [f64; 3]) -> Place {
    [2.0 * x - 1.0, 2.0 * y - 1.0, HEIGHT * (2.0 * z - 1.0)]
}

impl Projection {
    fn of(View { azimuth, elevation }: View) -> Self {
        let ((sin, cos), (rise, run)) = (azimuth.sin_cos(), elevation.sin_cos());
        Self { right: [-sin, cos, 0.0], up: [-rise * cos, -rise * sin, run], eye: [run * cos, run * sin, rise] }
    }

    /// To the right and upwards.
    fn project(&self, place: Place) -> (f64, f64) {
        (dot(place, self.right), dot(place, self.up))
    }

    /// Of a surface with this normal, from [`SHADE`] to 1.
    fn brightness(&self, normal: Place) -> f64 {
        let seen = [self.right, self.up, self.eye].map(|direction| dot(normal, direction));
        SHADE + (1.0 - SHADE) * dot(seen, LIGHT).clamp(0.0, 1.0)
    }
}

impl Canvas {
    /// As large as the labels around the box leave room for.
    fn fitting(projection: Projection, region: Region, sides: &[Side<'_>; 3]) -> Self {
        let [beside_x, beside_y, beside_z] = sides.map(|side| widest_label(&side));
        let inner = Region {
            left: region.left + f64::max(beside_z + 4.0 * GAP + LINE_HEIGHT, f64::max(beside_x, beside_y)),
            top: region.top + 0.5 * LINE_HEIGHT,
            right: region.right - f64::max(beside_x, beside_y),
            bottom: region.bottom - 2.0 * LINE_HEIGHT - 2.0 * GAP,
        };
        let corners = CORNERS.map(|[x, y, z]| projection.project([x, y, HEIGHT * z]));
        let reach = |part: fn(&(f64, f64)) -> f64| {
            corners.iter().map(part).fold((f64::MAX, f64::MIN), |(low, high), at| (low.min(at), high.max(at)))
        };
        let (across, along) = (reach(|corner| corner.0), reach(|corner| corner.1));
        let unit = f64::min(
            (inner.right - inner.left) / (across.1 - across.0),
            (inner.bottom - inner.top) / (along.1 - along.0),
        );
        // The box is symmetric about its middle, and so is its projection.
        let middle = ((inner.left + inner.right) / 2.0, (inner.top + inner.bottom) / 2.0);
        Self { projection, unit, middle, region }
    }

    /// The mean width of a cell along the axis with more of them, before it is shortened by the view.
    fn cell_width(&self, grid: &Grid) -> f64 {
        let (columns, rows) = grid.cell_counts();
        2.0 * self.unit / columns.max(rows) as f64
    }

    fn point(&self, place: Place) -> Point {
        let (right, up) = self.projection.project(place);
        (self.middle.0 + self.unit * right, self.middle.1 - self.unit * up)
    }

    /// The floor and the two walls behind the surface, with their lines, ticks and names.
    fn draw_box(&self, drawing: &mut Drawing, [x, y, z]: &[Side<'_>; 3]) {
        let near = |towards: f64| if towards > 0.0 { 1.0 } else { -1.0 };
        let [near_x, near_y] = [near(self.projection.eye[0]), near(self.projection.eye[1])];
        let line = |drawing: &mut Drawing, places: &[Place]| {
            drawing.path(places.iter().map(|&place| self.point(place)).collect(), GRID, 2);
        };
        let lines = |side: &Side<'_>| labelled(side).map(|(at, _)| at).chain([-1.0, 1.0]);
        for at in lines(x) {
            line(drawing, &[[at, near_y, -HEIGHT], [at, -near_y, -HEIGHT], [at, -near_y, HEIGHT]]);
        }
        for at in lines(y) {
            line(drawing, &[[near_x, at, -HEIGHT], [-near_x, at, -HEIGHT], [-near_x, at, HEIGHT]]);
        }
        for at in lines(z).map(|at| HEIGHT * at) {
            line(drawing, &[[near_x, -near_y, at], [-near_x, -near_y, at], [-near_x, near_y, at]]);
        }
        // Of the two upright edges beside the surface the left one.
        let upright = [[-near_x, near_y], [near_x, -near_y]];
        let left = |&[x, y]: &[f64; 2]| self.point([x, y, 0.0]).0;
        let [edge_x, edge_y] = if left(&upright[0]) <= left(&upright[1]) { upright[0] } else { upright[1] };
        let edges = [
            Edge { side: x, ends: [[-1.0, near_y, -HEIGHT], [1.0, near_y, -HEIGHT]], outward: [0.0, near_y, 0.0] },
            Edge { side: y, ends: [[near_x, -1.0, -HEIGHT], [near_x, 1.0, -HEIGHT]], outward: [near_x, 0.0, 0.0] },
            Edge {
                side: z,
                ends: [[edge_x, edge_y, -HEIGHT], [edge_x, edge_y, HEIGHT]],
                outward: if edge_x == near_x { [near_x, 0.0, 0.0] } else { [0.0, near_y, 0.0] },
            },
        ];
        let mut taken = Vec::new();
        for edge in edges {
            self.draw_edge(drawing, &edge, &mut taken);
        }
    }

    /// The edge, its ticks with those of their labels that do not come too near to others, and its name.
    fn draw_edge(&self, drawing: &mut Drawing, edge: &Edge<'_>, taken: &mut Vec<Region>) {
        let [from, to] = edge.ends.map(|end| self.point(end));
        drawing.path(vec![from, to], INK, 2);
        // Seen end on it has no room for its scale.
        if (to.0 - from.0).hypot(to.1 - from.1) < 2.0 * TEXT {
            return;
        }
        let away = self.away(&edge.ends);
        for (at, label) in labelled(edge.side) {
            let foot = edge.place(at);
            let tip = self.point(std::array::from_fn(|axis| foot[axis] + TICK * edge.outward[axis]));
            drawing.path(vec![self.point(foot), tip], INK, 2);
            let width = font::width(&label);
            let at = moved(tip, away, GAP + reach(away, (width, TEXT)));
            let place = Region::around(at, width + GAP, TEXT);
            if taken.iter().all(|other| !other.overlaps(&place)) {
                taken.push(place);
                drawing.text(label, at, Align::Center, INK);
            }
        }
        self.draw_name(drawing, edge, away);
    }

    /// The name beyond the labels; that of the upright edge runs upwards.
    fn draw_name(&self, drawing: &mut Drawing, edge: &Edge<'_>, away: (f64, f64)) {
        let width = font::width(edge.side.name);
        let upright = edge.ends[0][2] != edge.ends[1][2];
        let size = if upright { (TEXT, width) } else { (width, TEXT) };
        let labels = 2.0 * reach(away, (widest_label(edge.side), TEXT));
        let distance = TICK * self.unit + 2.0 * GAP + labels + reach(away, size);
        let (x, y) = moved(self.point(edge.place(0.0)), away, distance);
        if upright {
            drawing.climbing_text(edge.side.name, (x, y), INK);
        } else {
            let on_paper = x.max(self.region.left + width / 2.0).min(self.region.right - width / 2.0);
            drawing.text(edge.side.name, (on_paper, y), Align::Center, INK);
        }
    }

    /// The direction on paper that points away from the box, square to an edge.
    fn away(&self, ends: &[Place; 2]) -> (f64, f64) {
        let [from, to] = ends.map(|end| self.point(end));
        let (across, down) = (to.1 - from.1, from.0 - to.0);
        let length = across.hypot(down);
        let middle = ((from.0 + to.0) / 2.0 - self.middle.0, (from.1 + to.1) / 2.0 - self.middle.1);
        let sign = if across * middle.0 + down * middle.1 < 0.0 { -1.0 } else { 1.0 };
        (sign * across / length, sign * down / length)
    }
}

/// An edge of the box with a scale along it.
struct Edge<'a> {
    side: &'a Side<'a>,
    ends: [Place; 2],
    outward: Place,
}

impl Edge<'_> {
    /// From −1 at the one end to 1 at the other.
    fn place(&self, at: f64) -> Place {
        let [from, to] = self.ends;
        std::array::from_fn(|axis| (from[axis] + to[axis] + at * (to[axis] - from[axis])) / 2.0)
    }
}

const CORNERS: [Place; 8] = [
    [-1.0, -1.0, -1.0],
    [1.0, -1.0, -1.0],
    [1.0, 1.0, -1.0],
    [-1.0, 1.0, -1.0],
    [-1.0, -1.0, 1.0],
    [1.0, -1.0, 1.0],
    [1.0, 1.0, 1.0],
    [-1.0, 1.0, 1.0],
];

/// Ticks from −1 to 1 with their labels.
fn labelled(side: &Side<'_>) -> impl Iterator<Item = (f64, String)> + use<> {
    let scale = side.scale;
    let place = move |tick: super::scale::Tick| {
        let position = scale.position(tick.value).filter(|position| (0.0..=1.0).contains(position))?;
        Some((2.0 * position - 1.0, tick.label?))
    };
    scale.ticks().into_iter().filter_map(place)
}

fn widest_label(side: &Side<'_>) -> f64 {
    labelled(side).map(|(_, label)| font::width(&label)).fold(0.0, f64::max)
}

/// How far a rectangle reaches from its middle in a direction.
fn reach((x, y): (f64, f64), (width, height): (f64, f64)) -> f64 {
    (x.abs() * width + y.abs() * height) / 2.0
}

fn moved((x, y): Point, direction: (f64, f64), distance: f64) -> Point {
    (x + distance * direction.0, y + distance * direction.1)
}

fn dot(one: Place, other: Place) -> f64 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

fn minus(one: Place, other: Place) -> Place {
    std::array::from_fn(|axis| one[axis] - other[axis])
}

fn cross([a, b, c]: Place, [d, e, f]: Place) -> Place {
    [b * f - c * e, c * d - a * f, a * e - b * d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::color_map::ColorMap;
    use crate::chart::drawing::Shape;

    fn projection(azimuth: f64, elevation: f64) -> Projection {
        Projection::of(View::from_degrees(azimuth, elevation).expect("a view"))
    }

    #[test]
    fn from_the_corner_at_a_cube_s_angle_the_axes_are_a_third_of_a_turn_apart() {
        // The isometric view: all three axes are shortened alike, by √(2/3).
        let isometric = projection(45.0, (1.0f64 / 2.0f64.sqrt()).atan().to_degrees());
        for (axis, angle) in [([1.0, 0.0, 0.0], 210.0f64), ([0.0, 1.0, 0.0], 330.0), ([0.0, 0.0, 1.0], 90.0)] {
            let (right, up) = isometric.project(axis);
            let length = (2.0f64 / 3.0).sqrt();
            let (sin, cos) = angle.to_radians().sin_cos();
            assert!((right - length * cos).abs() < 1e-12 && (up - length * sin).abs() < 1e-12, "{axis:?}");
        }
    }

    #[test]
    fn from_the_front_from_the_side_and_from_above_one_axis_vanishes() {
        let corner = [1.0, 1.0, HEIGHT];
        let close = |(one, other): ((f64, f64), (f64, f64))| {
            assert!((one.0 - other.0).abs() < 1e-12 && (one.1 - other.1).abs() < 1e-12, "{one:?} {other:?}");
        };
        close((projection(-90.0, 0.0).project(corner), (1.0, HEIGHT)));
        close((projection(0.0, 0.0).project(corner), (1.0, HEIGHT)));
        close((projection(180.0, 0.0).project(corner), (-1.0, HEIGHT)));
        close((projection(-90.0, 90.0).project(corner), (1.0, 1.0)));
    }

    #[test]
    fn a_cell_is_painted_after_every_cell_behind_it() {
        let (columns, rows) = (7, 5);
        for azimuth in [-170.0f64, -120.0, -90.0, -60.0, -30.0, 0.0, 20.0, 45.0, 90.0, 135.0, 180.0] {
            let eye = projection(azimuth, 30.0).eye;
            let order = back_to_front((columns, rows), eye);
            let turn = |cell: (usize, usize)| order.iter().position(|&other| other == cell).expect("every cell");
            assert_eq!(order.len(), columns * rows);
            // Walks towards the eye over the ground from many points, noting the cells that are passed.
            for start in 0..100 {
                let (mut x, mut y) = (0.05 + (start % 10) as f64 * 0.7, 0.03 + (start / 10) as f64 * 0.5);
                let mut last = None;
                while (0.0..columns as f64).contains(&x) && (0.0..rows as f64).contains(&y) {
                    let now = turn((x as usize, y as usize));
                    assert!(last.is_none_or(|last| last <= now), "{azimuth}: at {x}, {y}");
                    last = Some(now);
                    (x, y) = (x + 0.01 * eye[0], y + 0.01 * eye[1]);
                }
            }
        }
    }

    #[test]
    fn corners_lie_at_their_coordinates_and_heights() {
        let grid = Grid::new(vec![0.0, 1.0, 4.0], vec![-1.0, 1.0], vec![0.01, 1.0, 0.1, 0.1, 100.0, f64::NAN])
            .expect("a grid");
        let side = |low, high| Side { name: "", scale: Scale::between(low, high) };
        let linear = [side(0.0, 4.0), side(-1.0, 1.0), side(0.01, 100.0)];
        let logarithmic = [linear[0], linear[1], Side { name: "", scale: Scale::between_in_ratios(0.01, 100.0) }];
        let corners =
            |sides: &[Side<'_>; 3], cell: Cell| Quad::of(&grid, cell, sides, &sides[2].scale).map(|quad| quad.corners);
        let found = corners(&logarithmic, (0, 0)).expect("a cell");
        let expected = [[-1.0, -1.0, -HEIGHT], [-0.5, -1.0, 0.0], [-0.5, 1.0, HEIGHT], [-1.0, 1.0, -HEIGHT / 2.0]];
        for (one, other) in found.iter().flatten().zip(expected.iter().flatten()) {
            assert!((one - other).abs() < 1e-12, "{found:?}");
        }
        let flat = corners(&linear, (0, 0)).expect("a cell");
        assert!((flat[1][2] - HEIGHT * (2.0 * 0.99 / 99.99 - 1.0)).abs() < 1e-12);
        assert_eq!(corners(&linear, (1, 0)), None, "a missing corner");
    }

    #[test]
    fn slopes_towards_the_light_are_brighter() {
        let projection = Projection::of(View::default());
        let level = projection.brightness([0.0, 0.0, 1.0]);
        let lit = projection.brightness(std::array::from_fn(|axis| {
            LIGHT[0] * projection.right[axis] + LIGHT[1] * projection.up[axis] + LIGHT[2] * projection.eye[axis]
        }));
        let away = projection.brightness(projection.right);
        assert!(away < level && level < lit && (lit - 1.0).abs() < 0.01, "{away} {level} {lit}");
    }

    #[test]
    fn an_axis_seen_end_on_has_no_words_and_others_have() {
        let grid = Grid::new(vec![0.0, 1.0], vec![0.0, 1.0], vec![0.0, 1.0, 2.0, 3.0]).expect("a grid");
        let side = |name| Side { name, scale: Scale::between(0.0, 3.0) };
        let colors = Colors { map: ColorMap::Sequential, scale: Scale::between(0.0, 3.0) };
        let names = |azimuth, elevation| -> Vec<String> {
            let mut drawing = Drawing::default();
            let region = Region { left: 0.0, top: 0.0, right: 1000.0, bottom: 740.0 };
            let view = View::from_degrees(azimuth, elevation).expect("a view");
            draw(&mut drawing, region, &grid, view, [side("a"), side("b"), side("c")], &colors);
            let text = |shape| if let Shape::Text { text, .. } = shape { Some(text) } else { None };
            let texts = drawing.shapes.into_iter().filter_map(text);
            texts.filter(|text| ["a", "b", "c"].contains(&text.as_str())).collect()
        };
        assert_eq!(names(-60.0, 30.0), ["a", "b", "c"]);
        assert_eq!(names(-90.0, 0.0), ["a", "c"]);
        assert_eq!(names(0.0, 0.0), ["b", "c"]);
        assert_eq!(names(-60.0, 90.0), ["a", "b"]);
    }

    #[test]
    fn views_from_below_are_refused() {
        for (azimuth, elevation) in [(0.0, -1.0), (0.0, 91.0), (f64::NAN, 30.0), (0.0, f64::NAN)] {
            assert!(View::from_degrees(azimuth, elevation).is_err());
        }
    }
}
