//! Loss and accuracy on the line between two minima (figure 3 of Keskar et al.).

use basin_records::line::{Barrier, Endpoint, Path};
use basin_records::{Alignment, Line, Provenance};

use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::{Color, Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, Marker, look};
use crate::chart::readings::Side;
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, numbered, settings};
use crate::number;

/// The line as it is drawn: from the smaller batch size at α = 0 to the larger one at α = 1.
struct Section {
    from: Endpoint,
    to: Endpoint,
    distance: f64,
    alpha: Vec<f64>,
    curves: Vec<Curve>,
    path: Path,
    alignment: Option<Alignment>,
    barriers: Vec<Barrier>,
}

/// Losses or accuracies, in percent, along a path.
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) values: Vec<f64>,
    pub(super) accuracy: bool,
    pub(super) dash: Dash,
    /// The number of its colour and marker.
    pub(super) look: usize,
}

pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let lines = collection.lines();
    let stem = |index| numbered("line", index, lines.len());
    lines.iter().enumerate().map(|(index, measured)| figure(collection, stem(index), measured)).collect()
}

fn figure(collection: &Collection, stem: String, measured: &Measured<'_, Line>) -> Figure {
    let section = Section::of(measured.result);
    let [from, to] = [&section.from, &section.to].map(|end| name(collection, measured.provenance, end));
    let lost = section.curves.iter().flat_map(|curve| &curve.values).filter(|value| !value.is_finite()).count();
    let gaps = if lost > 0 { format!(" {} not finite and left out.", are(lost, "value")) } else { String::new() };
    let caption = format!(
        "Loss (left axis) and accuracy (right axis) at {}, train solid and test dashed, between {} \
         (α = 0) and {} (α = 1), which lie {} apart in parameter space.{}{}{gaps}{}",
        formula(measured.result.path),
        minimum(&from, &section.from),
        minimum(&to, &section.to),
        number::significant(section.distance),
        section.alignment.as_ref().map_or_else(String::new, aligned),
        section.barriers(),
        settings([&Provenance { training_seed: None, ..measured.provenance.clone() }]),
    );
    Figure {
        stem,
        title: format!("The line between {from} and {to}"),
        caption,
        drawing: draw(
            &section.alpha,
            &section.curves,
            ends(collection, measured.provenance, &section),
            measured.provenance.loss.as_deref(),
        ),
        numbers: section.numbers().of_records([measured.file]),
    }
}

/// The path as the caption has it.
fn formula(path: Path) -> &'static str {
    match path {
        Path::Linear => "(1 − α) θ₀ + α θ₁",
        Path::Curved => "cos(απ/2) θ₀ + sin(απ/2) θ₁",
    }
}

/// A sentence on the order of the hidden units.
pub(super) fn aligned(alignment: &Alignment) -> String {
    format!(
        " The hidden units of one were put into the order of the other's, which changes no function; as they were trained they lie {} apart.",
        number::significant(alignment.distance_before)
    )
}

pub(super) fn are(count: usize, noun: &str) -> String {
    format!("{} {}", number::plural(count, noun), if count == 1 { "is" } else { "are" })
}

pub(super) fn minimum(name: &str, end: &Endpoint) -> String {
    let seed = end.training_seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
    format!("the minimum of {name}{seed}")
}

pub(super) fn name(collection: &Collection, line: &Provenance, end: &Endpoint) -> String {
    let group = collection.group_of(line, end);
    group.map_or_else(|| end.checkpoint.path.clone(), |group| collection.groups.long_words(group))
}

/// The name of the horizontal axis, on which the batch sizes stand where they say which minimum is which.
fn ends(collection: &Collection, line: &Provenance, section: &Section) -> String {
    let groups = [&section.from, &section.to].map(|end| collection.group_of(line, end));
    match groups {
        [Some(from), Some(to)] if from.variant == to.variant || from.batch_size != to.batch_size => {
            format!("α   (0: batch {}, 1: batch {})", from.batch_size, to.batch_size)
        }
        _ => "α   (0: first minimum, 1: second)".into(),
    }
}

impl Section {
    fn of(line: &Line) -> Self {
        let curves = [
            ("train loss", &line.train_loss, false, Dash::Solid),
            ("test loss", &line.test_loss, false, Dash::Dashed),
            ("train accuracy", &line.train_accuracy, true, Dash::Solid),
            ("test accuracy", &line.test_accuracy, true, Dash::Dashed),
        ];
        let curves = curves.into_iter().filter(|(_, values, _, _)| !values.is_empty());
        let curves = curves.map(|(name, values, accuracy, dash)| Curve {
            name,
            values: values.iter().map(|value| if accuracy { 100.0 * value } else { *value }).collect(),
            accuracy,
            dash,
            look: usize::from(accuracy),
        });
        let mut section = Self {
            from: line.from.clone(),
            to: line.to.clone(),
            distance: line.distance,
            alpha: line.alpha.clone(),
            curves: curves.collect(),
            path: line.path,
            alignment: line.alignment,
            barriers: line.barriers.clone(),
        };
        if section.from.batch_size > section.to.batch_size && section.to.batch_size.is_some() {
            section.turn();
        }
        section
    }

    fn turn(&mut self) {
        std::mem::swap(&mut self.from, &mut self.to);
        self.alpha = self.alpha.iter().rev().map(|alpha| 1.0 - alpha).collect();
        for curve in &mut self.curves {
            curve.values.reverse();
        }
        for barrier in &mut self.barriers {
            barrier.alpha = 1.0 - barrier.alpha;
        }
    }

    /// A sentence on each barrier.
    fn barriers(&self) -> String {
        let told = |barrier: &Barrier| {
            let split = &barrier.split;
            let rise = match barrier.height > 0.0 {
                true => format!(
                    " The {split} loss rises by {} above the straight line between its values at the ends (at α = {})",
                    number::significant(barrier.height),
                    number::significant(barrier.alpha)
                ),
                false => {
                    format!(" The {split} loss nowhere rises above the straight line between its values at the ends")
                }
            };
            let instability = barrier.instability.map_or_else(String::new, |instability| {
                format!(
                    "; the instability of the error (Frankle et al.) is {} percentage points",
                    number::significant(100.0 * instability)
                )
            });
            format!("{rise}{instability}.")
        };
        self.barriers.iter().map(told).collect()
    }

    fn numbers(&self) -> Numbers {
        let names = self.curves.iter().map(|curve| match (curve.name, curve.accuracy) {
            ("train accuracy", _) => "train_accuracy_percent",
            ("test accuracy", _) => "test_accuracy_percent",
            ("train loss", _) => "train_loss",
            _ => "test_loss",
        });
        // On a curve α is no length.
        let is_straight = self.path == Path::Linear;
        let header: Vec<&str> =
            ["alpha"].into_iter().chain(is_straight.then_some("displacement")).chain(names).collect();
        let mut numbers = Numbers::new(&header);
        for (index, alpha) in self.alpha.iter().enumerate() {
            let values = self.curves.iter().map(|curve| curve.values.get(index).map_or(f64::NAN, |value| *value));
            let displacement = is_straight.then_some(alpha * self.distance);
            let row = [*alpha].into_iter().chain(displacement).chain(values);
            numbers.push(row.map(|value| value.to_string()).collect());
        }
        numbers
    }
}

/// Losses by the left axis and accuracies by the right one, with the ends of the path, 0 and 1, marked.
pub(super) fn draw(positions: &[f64], curves: &[Curve], ends: String, loss: Option<&str>) -> Drawing {
    let mut drawing = Drawing::default();
    let values = |accuracy: bool| -> Vec<f64> {
        curves.iter().filter(|curve| curve.accuracy == accuracy).flat_map(|curve| curve.values.clone()).collect()
    };
    let keys: Vec<Key> = curves
        .iter()
        .map(|curve| Key {
            words: curve.name.into(),
            color: color(curve),
            line: Some(curve.dash),
            marker: Some((marker(curve), curve.dash == Dash::Solid)),
        })
        .collect();
    let region = legend::draw(&mut drawing, &keys);
    let unit = if loss == Some("cross-entropy") { " / nat" } else { "" };
    let x = Axis::new(ends, Scale::linear(positions.iter().copied()));
    let left = Axis::new(format!("{}{unit}", loss.unwrap_or("loss")), Scale::fitting(values(false)));
    let accuracies = values(true);
    let right = (!accuracies.is_empty()).then(|| Axis::new("accuracy / %", Scale::linear(accuracies)));
    let axes = Axes::draw(&mut drawing, region, &x, &left, right.as_ref());
    for end in [0.0, 1.0] {
        axes.mark(&mut drawing, end);
    }
    for curve in curves {
        draw_curve(&mut drawing, &axes, positions, curve);
    }
    drawing
}

fn draw_curve(drawing: &mut Drawing, axes: &Axes, positions: &[f64], curve: &Curve) {
    let place = |(x, y): (&f64, &f64)| {
        if curve.accuracy { axes.right_point(*x, *y) } else { axes.point(*x, *y) }
    };
    let points: Vec<Option<Point>> = positions.iter().zip(&curve.values).map(place).collect();
    drawing.marks.side = if curve.accuracy { Side::Right } else { Side::Left };
    series::line(drawing, &points, color(curve), 4, curve.dash, 1.0);
    for point in points.iter().step_by(4).flatten() {
        series::marker(drawing, *point, marker(curve), color(curve), curve.dash == Dash::Solid);
    }
}

fn color(curve: &Curve) -> Color {
    look(curve.look).color
}

fn marker(curve: &Curve) -> Marker {
    look(curve.look).marker
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test should say where")]
mod tests {
    use basin_records::line::{Barrier, Endpoint, Path};
    use basin_records::{Checkpoint, Line};

    use super::Section;

    fn end(batch_size: u64) -> Endpoint {
        let checkpoint = Checkpoint { path: format!("{batch_size}.safetensors"), blake3: None, parameters: 2 };
        Endpoint { checkpoint, batch_size: Some(batch_size), training_seed: None }
    }

    #[test]
    fn the_smaller_batch_size_stands_at_zero() {
        let barrier = Barrier { split: "train".into(), height: 2.0, alpha: 0.25, instability: Some(0.031) };
        let section = Section::of(&Line {
            from: end(144),
            to: end(16),
            distance: 2.0,
            path: Path::Curved,
            alignment: None,
            barriers: vec![barrier],
            batch_norm: None,
            alpha: vec![-1.0, 0.0, 1.0, 2.0],
            train_loss: vec![4.0, 1.0, 0.5, 3.0],
            train_accuracy: vec![],
            test_loss: vec![],
            test_accuracy: vec![],
        });
        assert_eq!(section.from.batch_size, Some(16));
        assert_eq!(section.alpha, [-1.0, 0.0, 1.0, 2.0]);
        assert_eq!(section.curves[0].values, [3.0, 0.5, 1.0, 4.0]);
        let told = section.barriers();
        assert!(
            told.contains("by 2.00 above") && told.contains("(at α = 0.750)") && told.contains("is 3.10 percentage"),
            "{told}"
        );
        let numbers = section.numbers().csv("line").unwrap();
        assert!(numbers.starts_with(b"alpha,train_loss\n"), "on a curve α is no length");
    }
}
