//! Test accuracy and sharpness of each variant at each batch size, side by side: with against without.

use super::panels::{self, Panel, Series, Style, logarithmic_if_positive};
use super::places::Places;
use crate::chart::legend::Key;
use crate::chart::scale::Scale;
use crate::collection::Collection;
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::groups::{Group, Groups};
use crate::minima::{self, Minima};
use crate::statistics::Moments;

/// What was found of each group, in the study's order.
type Found = Vec<(Group, Moments)>;

/// One figure where there are variants that are not the values of one number.
pub(crate) fn figure(collection: &Collection) -> Option<Figure> {
    let groups = &collection.groups;
    (!groups.variants().is_empty() && groups.swept().is_none()).then_some(())?;
    let minima = Minima::of(collection);
    let way = minima.first_way();
    let of = |values: &dyn Fn(Group) -> Vec<f64>| -> Found {
        groups.all().iter().filter_map(|&group| Some((group, Moments::of(&values(group))?))).collect()
    };
    let accuracy = of(&|group| minima.test_accuracies(group));
    let sharpness = of(&|group| way.map_or_else(Vec::new, |way| minima.sharpness(group, way)));
    let shown = distinct(accuracy.iter().chain(&sharpness).map(|(group, _)| *group));
    (shown.len() > 1).then_some(())?;

    let places = Places::of(groups, &shown);
    let panels: Vec<Panel> = [
        ("test accuracy / %", Scale::linear as fn(Vec<f64>) -> Scale, &accuracy),
        ("sharpness φ / %", logarithmic_if_positive, &sharpness),
    ]
    .into_iter()
    .filter(|(_, _, found)| !found.is_empty())
    .map(|(name, scale, found)| Panel { name: name.into(), scale, series: series(&places, found) })
    .collect();
    let mut keys: Vec<Key> =
        places.keys(&shown).into_iter().map(|(words, look)| panels::key(words, look, Style::Markers)).collect();
    let baseline = groups.name(Some(0));
    keys.push(panels::key(format!("mean of {baseline}"), groups.variant_look(Some(0)), Style::Level));

    let [title, measured] = minima::shown(!accuracy.is_empty(), way.filter(|_| !sharpness.is_empty()));
    let caption = format!(
        "{measured} at the end of training, of each variant at each batch size: means over seeds ± standard deviation. The \
         dotted lines are the means of {baseline}, with which the others are compared.{}{}",
        panels::left_out(&panels),
        settings(minima.trainings.values().map(|run| run.provenance)),
    );
    let sharpness_name = way.map_or_else(String::new, |way| way.quantity());
    Some(Figure {
        stem: "minima-by-variant".into(),
        title: format!("{title} by variant"),
        caption,
        drawing: panels::draw(&keys, &places.axis(), &panels),
        numbers: numbers(groups, &[("test accuracy / %", &accuracy), (&sharpness_name, &sharpness)]),
    })
}

/// One marker per group, and behind them the level of the first variant across each block.
fn series(places: &Places<'_>, found: &Found) -> Vec<Series> {
    let level = |(group, moments): &(Group, Moments)| {
        let ends = places.ends(*group)?;
        let level = Moments { std: None, ..*moments };
        (group.variant == Some(0)).then(|| Series {
            look: places.look(*group),
            style: Style::Level,
            points: ends.map(|end| (end, level)).to_vec(),
        })
    };
    let marker = |(group, moments): &(Group, Moments)| {
        let points = vec![(places.middle(*group)?, *moments)];
        Some(Series { look: places.look(*group), style: Style::Markers, points })
    };
    found.iter().filter_map(level).chain(found.iter().filter_map(marker)).collect()
}

fn numbers(groups: &Groups, quantities: &[(&str, &Found)]) -> Numbers {
    let mut numbers = Numbers::new(&groups.columns(&["batch_size", "quantity", "seeds", "mean", "std"]));
    for (name, found) in quantities {
        for (group, moments) in *found {
            let (count, mean) = (moments.count.to_string(), moments.mean.to_string());
            let cells = vec![group.batch_size.to_string(), (*name).to_owned(), count, mean, cell(moments.std)];
            numbers.push(groups.cells(group.variant, cells));
        }
    }
    numbers
}
