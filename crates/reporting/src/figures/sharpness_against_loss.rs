//! Sharpness against the training loss of the minima of a comparison: curvature fades with the loss.

use basin_records::comparison::Scale as Rescaling;

use super::panels::{self, Panel, Series, Style};
use crate::chart::axes::Axis;
use crate::chart::palette::look;
use crate::chart::scale::Scale;
use crate::collection::Collection;
use crate::comparison::{self, Compared, Measure};
use crate::figure::{Figure, Numbers, cell, numbered, settings};
use crate::statistics::Moments;

/// One figure for each comparison of minima whose training losses are known.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let found = comparison::shown(collection);
    found.iter().enumerate().filter_map(|(index, compared)| figure(index, found.len(), compared)).collect()
}

fn figure(index: usize, count: usize, compared: &Compared<'_>) -> Option<Figure> {
    let shown = shown(compared);
    let losses: Vec<Option<f64>> = compared.rows().iter().map(|row| row.loss.filter(|loss| loss.is_finite())).collect();
    if shown.is_empty() || losses.iter().flatten().count() < 2 {
        return None;
    }
    let panel = |measure: &Measure| Panel {
        name: measure.name.clone(),
        scale: panels::logarithmic_if_positive,
        series: (0..losses.len()).filter_map(|row| series(row, losses[row]?, measure)).collect(),
    };
    let panels: Vec<Panel> = shown.iter().map(panel).collect();
    let keys: Vec<_> = compared
        .names
        .iter()
        .enumerate()
        .map(|(row, name)| panels::key(name.clone(), look(row), Style::Markers))
        .collect();
    let loss = compared.measured.provenance.loss.as_deref().unwrap_or("loss");
    let x = Axis::new(format!("training {loss}"), Scale::fitting(losses.iter().copied().flatten().collect::<Vec<_>>()));
    let names: Vec<&str> = shown.iter().map(|measure| measure.name.as_str()).collect();
    let caption = format!(
        "{} against the training loss at the same weights, one marker per minimum. Of a loss such as cross-entropy both fade \
         together: minima are to be compared at equal loss.{}{}",
        names.join(" and "),
        panels::left_out(&panels),
        settings([compared.measured.provenance]),
    );
    Some(Figure {
        stem: numbered("sharpness-against-loss", index, count),
        title: "Sharpness against training loss".into(),
        caption,
        drawing: panels::draw(&keys, &x, &panels),
        numbers: numbers(compared, &shown).of_records([compared.measured.file]),
    })
}

/// Keskar's measure and the largest eigenvalue, where they are there.
fn shown(compared: &Compared<'_>) -> Vec<Measure> {
    let measures = compared.measures(Rescaling::ScaleDependent);
    let (eigenvalue, others): (Vec<Measure>, Vec<Measure>) =
        measures.into_iter().filter(|measure| measure.flatter.is_some()).partition(|measure| measure.name == "λ_max");
    others.into_iter().take(1).chain(eigenvalue).collect()
}

fn series(row: usize, loss: f64, measure: &Measure) -> Option<Series> {
    let found = measure.values[row]?;
    let moments = Moments { mean: found.value, std: found.error, count: 1 };
    Some(Series { look: look(row), style: Style::Markers, points: vec![(loss, moments)] })
}

fn numbers(compared: &Compared<'_>, measures: &[Measure]) -> Numbers {
    let columns = ["minimum", "train_loss"].into_iter().chain(measures.iter().map(|measure| measure.name.as_str()));
    let mut numbers = Numbers::new(&columns.collect::<Vec<_>>());
    for (index, row) in compared.rows().iter().enumerate() {
        let values = measures.iter().map(|measure| cell(measure.values[index].map(|found| found.value)));
        numbers.push([compared.names[index].clone(), cell(row.loss)].into_iter().chain(values).collect());
    }
    numbers
}
