//! Keskar sharpness against the training loss along the runs (figure 6 of Keskar et al.).

use basin_records::Keskar;
use basin_records::keskar::{Columns, Subspace, Summary};

use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::{Drawing, Point};
use crate::chart::legend::{self, Key};
use crate::chart::scale::Scale;
use crate::chart::series;
use crate::collection::{Collection, Measured, RunId};
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::groups::{Group, Groups};
use crate::number;

/// What must be equal for two values of sharpness to lie on one curve.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Setting {
    epsilon: f64,
    subspace: Subspace,
    columns: Option<Columns>,
    dimension: u64,
}

/// Loss and sharpness along one run.
struct Trajectory {
    run: RunId,
    points: Vec<Along>,
}

struct Along {
    epoch: Option<u64>,
    loss: f64,
    sharpness: f64,
    std: Option<f64>,
}

pub(crate) fn figure(collection: &Collection) -> Option<Figure> {
    let mut runs = collection.by_run(collection.keskar());
    runs.retain(|_, along| distinct(along.iter().map(|measured| measured.provenance.epoch)).len() > 1);
    let setting = preferred_setting(runs.values().flatten())?;
    let trajectories: Vec<Trajectory> = runs
        .iter()
        .map(|(&run, along)| Trajectory { run, points: along.iter().filter_map(|m| on_curve(m, setting)).collect() })
        .collect();
    let selection = collection.groups.selection(&distinct(trajectories.iter().map(|trajectory| trajectory.run.group)));
    let space = match setting.subspace {
        Subspace::Full => "in the full space".to_owned(),
        Subspace::Manifold => format!("in random manifolds of dimension {}", setting.dimension),
    };
    let caption = format!(
        "Keskar sharpness {space} at ε = {} against the training loss at the same weights, one line per run; \
         training moves from high loss (right) to low loss (left).{}{}",
        number::step(setting.epsilon),
        selection.statement,
        settings(runs.values().flatten().map(|measured| measured.provenance)),
    );
    Some(Figure {
        stem: "sharpness-along-training".into(),
        title: "Sharpness against loss along training".into(),
        caption,
        drawing: draw(&collection.groups, &trajectories, &selection.groups, setting, runs.values().flatten().next()),
        numbers: numbers(&collection.groups, &trajectories, setting),
    })
}

/// The full space before manifolds, then the widest box, as the paper's figure has it.
fn preferred_setting<'a>(measured: impl Iterator<Item = &'a Measured<'a, Keskar>>) -> Option<Setting> {
    measured.flat_map(|measured| &measured.result.summary).map(Setting::of).min_by(|a, b| {
        a.subspace.cmp(&b.subspace).then(b.epsilon.total_cmp(&a.epsilon)).then(a.columns.cmp(&b.columns))
    })
}

impl Setting {
    fn of(summary: &Summary) -> Self {
        let Summary { epsilon, subspace, columns, dimension, .. } = *summary;
        Self { epsilon, subspace, columns, dimension }
    }
}

fn on_curve(measured: &Measured<'_, Keskar>, setting: Setting) -> Option<Along> {
    let summary = measured.result.summary.iter().find(|summary| Setting::of(summary) == setting)?;
    let loss = measured.result.measurements.first()?.loss;
    Some(Along { epoch: measured.provenance.epoch, loss, sharpness: summary.mean, std: summary.std })
}

fn draw(
    groups: &Groups,
    trajectories: &[Trajectory],
    shown: &[Group],
    setting: Setting,
    any: Option<&Measured<'_, Keskar>>,
) -> Drawing {
    let mut drawing = Drawing::default();
    let region = legend::draw(&mut drawing, &keys(groups, shown));
    let of_shown = || trajectories.iter().filter(|trajectory| shown.contains(&trajectory.run.group));
    let points = || of_shown().flat_map(|trajectory| &trajectory.points);
    let loss = any.and_then(|measured| measured.provenance.loss.as_deref()).unwrap_or("loss");
    let unit = if loss == "cross-entropy" { " / nat" } else { "" };
    let x = Axis::new(format!("training {loss}{unit}"), Scale::logarithmic(points().map(|point| point.loss)));
    let sharpness = points().map(|point| point.sharpness).collect::<Vec<_>>();
    let y = Axis::new(format!("sharpness φ / %, ε = {}", number::step(setting.epsilon)), Scale::fitting(sharpness));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    for trajectory in of_shown() {
        let look = groups.look(trajectory.run.group);
        let along: Vec<Option<Point>> =
            trajectory.points.iter().map(|point| axes.point(point.loss, point.sharpness)).collect();
        series::line(&mut drawing, &along, look.color, 3, look.dash, 0.75);
        for point in along.into_iter().flatten() {
            series::marker(&mut drawing, point, look.marker, look.color, true);
        }
    }
    drawing
}

fn keys(groups: &Groups, shown: &[Group]) -> Vec<Key> {
    let key = |&group: &Group| {
        let look = groups.look(group);
        Key { words: groups.words(group), color: look.color, line: Some(look.dash), marker: Some((look.marker, true)) }
    };
    shown.iter().map(key).collect()
}

fn numbers(groups: &Groups, trajectories: &[Trajectory], setting: Setting) -> Numbers {
    let columns = ["batch_size", "seed", "epoch", "epsilon", "train_loss", "sharpness", "std"];
    let mut numbers = Numbers::new(&groups.columns(&columns));
    for Trajectory { run, points } in trajectories {
        for point in points {
            let cells = vec![
                run.group.batch_size.to_string(),
                cell(run.seed),
                cell(point.epoch),
                setting.epsilon.to_string(),
                point.loss.to_string(),
                point.sharpness.to_string(),
                cell(point.std),
            ];
            numbers.push(groups.cells(run.group.variant, cells));
        }
    }
    numbers
}
