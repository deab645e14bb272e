//! Each measure over the minima of a comparison: a strip with a scale of its own, one lane per minimum, the flattest to the left.

use basin_records::comparison::Scale as Rescaling;

use crate::chart::axes::{Axes, Axis, Region};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::look;
use crate::chart::scale::{Scale, Tick};
use crate::chart::series;
use crate::collection::Collection;
use crate::comparison::{self, Compared, Flatter, Measure, Value};
use crate::figure::{Figure, Numbers, cell, numbered, settings};
use crate::number;

/// More strips make a figure that nobody reads.
const MOST: usize = 10;
/// Height of a minimum's lane in pixels.
const LANE: f64 = 30.0;
/// Room for a strip's ticks and its name.
const SCALE: f64 = 150.0;
/// Room for the legend.
const LEGEND: f64 = 100.0;

/// One figure for each kind of measures of each comparison.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let found = comparison::shown(collection);
    let kinds = [Rescaling::ScaleDependent, Rescaling::ScaleInvariant];
    let of = |(index, compared): (usize, &Compared<'_>)| {
        kinds.map(|kind| figure(index, found.len(), compared, kind)).into_iter().flatten().collect::<Vec<_>>()
    };
    found.iter().enumerate().flat_map(of).collect()
}

fn figure(index: usize, count: usize, compared: &Compared<'_>, kind: Rescaling) -> Option<Figure> {
    let mut measures = compared.measures(kind);
    measures.retain(|measure| measure.flatter.is_some());
    if measures.is_empty() {
        return None;
    }
    let (stem, title, words) = match kind {
        Rescaling::ScaleDependent => (
            "measures-scale-dependent",
            "Measures that change when layers are rescaled, side by side",
            "change when layers are rescaled so that the network computes the same function",
        ),
        Rescaling::ScaleInvariant => (
            "measures-scale-invariant",
            "Measures that stay when layers are rescaled, side by side",
            "stay when layers are rescaled so that the network computes the same function",
        ),
    };
    let shown = &measures[..measures.len().min(MOST)];
    let left_out = match measures.len() - shown.len() {
        0 => String::new(),
        rest => format!(" {} more are in the CSV alone.", number::plural(rest, "measure")),
    };
    let turned = shown.iter().any(|measure| measure.flatter == Some(Flatter::Greater));
    let turned = if turned { " Of noise scales greater values are flatter." } else { "" };
    let caption = format!(
        "Measures that {words}: one strip each with the minima on a common scale, smaller values are flatter.{turned} Bars are \
         the standard deviation over random manifolds, the standard error over other draws, or the residual of an iteration, \
         where they are wider than the marker; what did not converge is hollow.{left_out}{}",
        settings([compared.measured.provenance]),
    );
    Some(Figure {
        stem: numbered(stem, index, count),
        title: title.into(),
        caption,
        drawing: draw(&compared.names, shown),
        numbers: numbers(compared, &measures).of_records([compared.measured.file]),
    })
}

fn draw(names: &[String], measures: &[Measure]) -> Drawing {
    let strip = LANE * (names.len() as f64 + 1.0) + SCALE;
    let mut drawing = Drawing::of_height((LEGEND + strip * measures.len() as f64) as u32);
    let keys: Vec<Key> = names.iter().enumerate().map(|(index, name)| key(name, index)).collect();
    let region = legend::draw(&mut drawing, &keys);
    let height = (region.bottom - region.top) / measures.len() as f64;
    for (index, measure) in measures.iter().enumerate() {
        let top = region.top + index as f64 * height;
        draw_strip(&mut drawing, Region { top, bottom: top + height, ..region }, names, measure);
    }
    drawing
}

fn key(name: &str, index: usize) -> Key {
    let look = look(index);
    Key { words: name.into(), color: look.color, line: None, marker: Some((look.marker, true)) }
}

fn draw_strip(drawing: &mut Drawing, region: Region, names: &[String], measure: &Measure) {
    let x = Axis::new(&measure.name, scale(&measure.values));
    let lanes = (0..names.len()).map(|lane| Tick { value: place(lane, names), label: None }).collect();
    let y = Axis::new("", Scale::between(0.0, names.len() as f64)).with_ticks(lanes);
    let axes = Axes::draw(drawing, region, &x, &y, None);
    for (lane, value) in measure.values.iter().enumerate() {
        let Some(Value { value, error, converged }) = *value else { continue };
        let look = look(lane);
        let at = |value: f64| axes.point(value, place(lane, names));
        let Some(point) = at(value) else { continue };
        let ends = error.and_then(|error| Some([axes.beside(at(value - error))?, axes.beside(at(value + error))?]));
        if let Some([low, high]) = ends.filter(|[low, high]| high.0 - low.0 > series::MARKER_WIDTH) {
            series::level_error_bar(drawing, low, high, look.color);
        }
        series::marker(drawing, point, look.marker, look.color, converged);
    }
}

/// The first minimum on top.
fn place(lane: usize, names: &[String]) -> f64 {
    (names.len() - lane) as f64 - 0.5
}

/// Over the values and the ends of their bars where these keep the sign.
fn scale(values: &[Option<Value>]) -> Scale {
    let ends = |found: &Value| {
        let error = found.error.unwrap_or(0.0);
        [found.value, found.value - error, found.value + error]
            .map(|end| if end * found.value > 0.0 { end } else { found.value })
    };
    Scale::fitting(values.iter().flatten().flat_map(ends).filter(|value| value.is_finite()).collect::<Vec<_>>())
}

fn numbers(compared: &Compared<'_>, measures: &[Measure]) -> Numbers {
    let mut numbers = Numbers::new(&["measure", "minimum", "file", "value", "error", "converged"]);
    for measure in measures {
        for (index, found) in measure.values.iter().enumerate() {
            let Some(found) = found else { continue };
            numbers.push(vec![
                measure.name.clone(),
                compared.names[index].clone(),
                compared.rows()[index].file.clone(),
                found.value.to_string(),
                cell(found.error),
                found.converged.to_string(),
            ]);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::drawing::{Shape, WIDTH};

    #[test]
    fn every_minimum_has_a_marker_in_each_strip_and_everything_lies_on_the_paper() {
        let value = |value, error| Some(Value { value, error, converged: true });
        let measure = |values: Vec<Option<Value>>| Measure {
            name: "λ_max".into(),
            scale: Rescaling::ScaleDependent,
            flatter: Some(Flatter::Lesser),
            values,
        };
        let names: Vec<String> = (0..4).map(|index| format!("b{index}")).collect();
        let measures = [
            measure(vec![value(1.0, Some(0.4)), value(2.0, Some(9.0)), None, value(f64::NAN, None)]),
            measure(vec![value(1e-4, Some(1e-5)), value(30.0, None), value(0.2, Some(0.5)), value(7.0, None)]),
        ];
        let drawing = draw(&names, &measures);
        let (width, height) = (f64::from(WIDTH), f64::from(drawing.height));
        for shape in &drawing.shapes {
            let (Shape::Path { points, .. } | Shape::Polygon { points, .. }) = shape else { continue };
            assert!(points.iter().all(|(x, y)| (0.0..=width).contains(x) && (0.0..=height).contains(y)), "{shape:?}");
        }
        let readings = format!("{:?}", drawing.marks.readings(WIDTH, drawing.height));
        assert_eq!(readings.matches("λ_max = ").count(), 2 + 4);
        assert!(readings.contains("λ_max = 1 (0.6 to 1.4)"), "{readings}");
    }
}
