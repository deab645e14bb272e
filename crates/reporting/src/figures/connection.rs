//! Loss and accuracy on a trained curve between two minima, against the straight line.

use basin_records::connection::Profile;
use basin_records::line::Barrier;
use basin_records::{Connection, Provenance};

use super::parametric_line::{Curve, aligned, are, draw, minimum, name};
use crate::chart::palette::Dash;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, numbered, settings};
use crate::number;

pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let connections = collection.connections();
    let stem = |index| numbered("connection", index, connections.len());
    connections.iter().enumerate().map(|(index, measured)| figure(collection, stem(index), measured)).collect()
}

fn figure(collection: &Collection, stem: String, measured: &Measured<'_, Connection>) -> Figure {
    let Measured { provenance, result, .. } = *measured;
    let [from, to] = [&result.from, &result.to].map(|end| name(collection, provenance, end));
    let curves = curves(result);
    let lost = curves.iter().flat_map(|curve| &curve.values).filter(|value| !value.is_finite()).count();
    let gaps = if lost > 0 { format!(" {} not finite and left out.", are(lost, "value")) } else { String::new() };
    let caption = format!(
        "Loss (left axis) and accuracy (right axis), train solid and test dashed, on a curve of low loss between {} (t = 0) and {} \
         (t = 1), a {} of {}, and on the straight line. The minima lie {} apart in parameter space, {} along the curve.{}{}{}{gaps}{}",
        minimum(&from, &result.from),
        minimum(&to, &result.to),
        result.shape,
        number::plural(result.bends as usize, "trained bend"),
        number::significant(result.distance),
        number::significant(result.arclength.last().copied().unwrap_or(f64::NAN)),
        result.alignment.as_ref().map_or_else(String::new, aligned),
        barriers("on the curve", &result.curve),
        barriers("on the line", &result.line),
        settings([&Provenance { training_seed: None, ..provenance.clone() }]),
    );
    Figure {
        stem,
        title: format!("A curve of low loss between {from} and {to}"),
        caption,
        numbers: numbers(result, &curves).of_records([measured.file]),
        drawing: draw(&result.t, &curves, "t   (0: first minimum, 1: second)".into(), provenance.loss.as_deref()),
    }
}

/// What is drawn: of the curve and of the line losses and accuracies, where there are any.
fn curves(connection: &Connection) -> Vec<Curve> {
    let of = |profile: &Profile, names: [&'static str; 4], first: usize| {
        let values = [&profile.train_loss, &profile.test_loss, &profile.train_accuracy, &profile.test_accuracy];
        let drawn = values.into_iter().zip(names).enumerate().map(move |(index, (values, name))| Curve {
            name,
            accuracy: index >= 2,
            values: values.iter().map(|value| if index >= 2 { 100.0 * value } else { *value }).collect(),
            dash: if index % 2 == 0 { Dash::Solid } else { Dash::Dashed },
            look: first + usize::from(index >= 2),
        });
        drawn.collect::<Vec<_>>()
    };
    let on_curve = ["curve: train loss", "curve: test loss", "curve: train accuracy", "curve: test accuracy"];
    let on_line = ["line: train loss", "line: test loss", "line: train accuracy", "line: test accuracy"];
    let all = [of(&connection.curve, on_curve, 0), of(&connection.line, on_line, 2)];
    all.into_iter().flatten().filter(|curve| !curve.values.is_empty()).collect()
}

/// A sentence on the barriers along a path.
fn barriers(place: &str, profile: &Profile) -> String {
    let told = profile.barriers.iter().map(|Barrier { split, height, alpha, .. }| match *height > 0.0 {
        true => {
            let [height, place] = [*height, *alpha].map(number::significant);
            format!("{height} for the {split} loss (at t = {place})")
        }
        false => format!("0 for the {split} loss"),
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { String::new() } else { format!(" The barrier {place} is {}.", told.join(", ")) }
}

fn numbers(connection: &Connection, curves: &[Curve]) -> Numbers {
    let columns = curves.iter().map(|curve| {
        let (path, what) = curve.name.split_once(": ").unwrap_or_default();
        let unit = if curve.accuracy { "_percent" } else { "" };
        format!("{path}_{}{unit}", what.replace(' ', "_"))
    });
    let header: Vec<String> = ["t".to_owned(), "arclength".to_owned()].into_iter().chain(columns).collect();
    let mut numbers = Numbers::new(&header.iter().map(String::as_str).collect::<Vec<_>>());
    for (index, (t, arclength)) in connection.t.iter().zip(&connection.arclength).enumerate() {
        let values = curves.iter().map(|curve| curve.values.get(index).copied().unwrap_or(f64::NAN));
        numbers.push([*t, *arclength].into_iter().chain(values).map(|value| value.to_string()).collect());
    }
    numbers
}
