//! The extreme eigenvalues at the end of training against the batch size.

use basin_records::Spectrum;
use basin_records::spectrum::{Eigenvalue, Matrix};

use super::places::Places;
use crate::chart::axes::{Axes, Axis, Region};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Dash, INK, Look};
use crate::chart::scale::{Scale, Tick};
use crate::chart::series;
use crate::collection::{ByRun, Collection, RunId};
use crate::comparison;
use crate::figure::{Figure, Numbers, cell, distinct, settings};
use crate::groups::{Group, Groups};
use crate::number;
use crate::statistics::Moments;

/// Space between the seeds of one group, in pixels.
const APART: f64 = 26.0;
/// Space for all seeds of a batch size.
const ROOM: f64 = 110.0;
const MEAN_HALF_WIDTH: f64 = 52.0;
/// An error bar that the marker covers says nothing.
const VISIBLE: f64 = 14.0;

/// One end of the spectrum over all runs.
struct Panel {
    name: &'static str,
    extremes: Vec<(RunId, Eigenvalue)>,
}

/// Picks one end of a spectrum.
type Pick = fn(&Spectrum) -> Option<&Eigenvalue>;

pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    // Minima that are compared one by one have them among their measures.
    if !comparison::shown(collection).is_empty() {
        return Vec::new();
    }
    distinct(collection.spectra().iter().map(|measured| measured.result.matrix))
        .into_iter()
        .filter_map(|matrix| figure(collection, matrix))
        .collect()
}

fn figure(collection: &Collection, matrix: Matrix) -> Option<Figure> {
    let mut spectra = collection.spectra();
    spectra.retain(|measured| measured.result.matrix == matrix);
    let runs = collection.by_run(spectra);
    let panels = panels(&runs);
    if panels.is_empty() {
        return None;
    }
    let unconverged = panels.iter().flat_map(|panel| &panel.extremes).filter(|(_, value)| !value.converged).count();
    let total: usize = panels.iter().map(|panel| panel.extremes.len()).sum();
    let convergence = if unconverged == 0 {
        format!("All {total} eigenvalues reached the tolerance.")
    } else {
        format!("{unconverged} of {total} eigenvalues did not reach the tolerance and are drawn hollow.")
    };
    let names: Vec<String> = panels.iter().map(|panel| panel.name.to_owned()).collect();
    let against = collection.groups.swept().unwrap_or("batch size");
    let axis = if against == "batch size" { "the batch size" } else { against };
    let caption = format!(
        "Extreme eigenvalues ({}) of the {} at the end of training against {axis}: one marker per seed, \
         their mean as a bar, the residual as an error bar where it is larger than the marker. {convergence}{}",
        number::enumerate(&names),
        title_of(matrix),
        settings(runs.values().filter_map(|along| along.last()).map(|measured| measured.provenance)),
    );
    Some(Figure {
        stem: format!("eigenvalues-{matrix}"),
        title: format!("Extreme eigenvalues of the {} against {against}", title_of(matrix)),
        caption,
        drawing: draw(&collection.groups, &panels),
        numbers: numbers(&collection.groups, &panels),
    })
}

/// The matrix as a sentence names it.
pub(crate) fn title_of(matrix: Matrix) -> &'static str {
    match matrix {
        Matrix::Hessian => "Hessian",
        Matrix::Ggn => "Gauss-Newton matrix",
        Matrix::Fisher => "Fisher matrix",
        Matrix::EmpiricalFisher => "empirical Fisher matrix",
        Matrix::GradientCovariance => "covariance of per-sample gradients",
        Matrix::Residual => "Hessian minus Gauss-Newton matrix",
        other => other.name(),
    }
}

fn panels(runs: &ByRun<'_, Spectrum>) -> Vec<Panel> {
    let ends: [(&str, Pick); 2] = [("λ_max", Spectrum::largest), ("λ_min", Spectrum::smallest)];
    let panel = |(name, pick): (&'static str, Pick)| {
        let last = runs
            .iter()
            .filter_map(|(&run, along)| Some((run, *along.iter().rev().find_map(|measured| pick(measured.result))?)));
        Panel { name, extremes: last.collect() }
    };
    ends.into_iter().map(panel).filter(|panel| !panel.extremes.is_empty()).collect()
}

/// Where groups stand on the horizontal axis, and what tells them apart.
enum Horizontal<'a> {
    BatchSizes(&'a Groups),
    Variants(Places<'a>),
}

impl Horizontal<'_> {
    fn axis(&self, shown: &[Group]) -> Axis {
        match self {
            Self::BatchSizes(_) => axis_of_sizes(shown),
            Self::Variants(places) => places.axis(),
        }
    }

    fn at(&self, group: Group) -> Option<f64> {
        match self {
            Self::BatchSizes(_) => Some(group.batch_size as f64),
            Self::Variants(places) => places.middle(group),
        }
    }

    fn look(&self, group: Group) -> Look {
        match self {
            Self::BatchSizes(groups) => groups.look(group),
            Self::Variants(places) => places.look(group),
        }
    }

    fn keys(&self, shown: &[Group]) -> Vec<(String, Look)> {
        match self {
            Self::BatchSizes(groups) => shown.iter().map(|&group| (groups.words(group), groups.look(group))).collect(),
            Self::Variants(places) => places.keys(shown),
        }
    }

    /// For the seeds of a group, in pixels.
    fn room(&self) -> f64 {
        match self {
            Self::BatchSizes(_) => ROOM,
            // Markers reach beyond their middles, and the mean beyond them.
            Self::Variants(places) => ROOM.min(0.5 * places.width()),
        }
    }

    /// Of the bar that stands for the mean.
    fn half_width(&self) -> f64 {
        match self {
            Self::BatchSizes(_) => MEAN_HALF_WIDTH,
            Self::Variants(places) => MEAN_HALF_WIDTH.min(0.5 * places.width()),
        }
    }
}

fn draw(groups: &Groups, panels: &[Panel]) -> Drawing {
    let mut drawing = Drawing::default();
    let shown = shown(panels);
    let horizontal = match groups.variants() {
        [] => Horizontal::BatchSizes(groups),
        _ => Horizontal::Variants(Places::of(groups, &shown)),
    };
    let region = legend::draw(&mut drawing, &keys(&horizontal, panels, &shown));
    let x = horizontal.axis(&shown);
    let mut y: Vec<Axis> = panels.iter().map(|panel| Axis::new(panel.name, Scale::fitting(panel.reach()))).collect();
    match (panels, y.as_mut_slice()) {
        ([upper, lower], [upper_axis, lower_axis]) => {
            // The lower plot carries the horizontal labels of both.
            let middle = region.top + 0.43 * (region.bottom - region.top);
            Axis::align(upper_axis, lower_axis);
            let bare = x.clone().without_labels();
            let axes = Axes::draw(&mut drawing, Region { bottom: middle, ..region }, &bare, upper_axis, None);
            draw_panel(&mut drawing, &horizontal, &axes, upper);
            let axes = Axes::draw(&mut drawing, Region { top: middle, ..region }, &x, lower_axis, None);
            draw_panel(&mut drawing, &horizontal, &axes, lower);
        }
        _ => {
            for (panel, axis) in panels.iter().zip(&y) {
                let axes = Axes::draw(&mut drawing, region, &x, axis, None);
                draw_panel(&mut drawing, &horizontal, &axes, panel);
            }
        }
    }
    drawing
}

impl Panel {
    /// The values, and the ends of their error bars where these keep the sign.
    fn reach(&self) -> Vec<f64> {
        let ends = |eigenvalue: &Eigenvalue| {
            let Eigenvalue { value, residual, .. } = *eigenvalue;
            [value, value - residual, value + residual].map(|end| if end * value > 0.0 { end } else { value })
        };
        self.extremes.iter().flat_map(|(_, eigenvalue)| ends(eigenvalue)).collect()
    }
}

fn shown(panels: &[Panel]) -> Vec<Group> {
    distinct(panels.iter().flat_map(|panel| &panel.extremes).map(|(run, _)| run.group))
}

fn axis_of_sizes(shown: &[Group]) -> Axis {
    let low = shown.iter().map(|group| group.batch_size).min().map_or(1.0, |size| size as f64);
    let high = shown.iter().map(|group| group.batch_size).max().map_or(1.0, |size| size as f64);
    // Room for the seeds, which stand beside one another.
    let margin = if high > low { (high / low).powf(0.2) } else { 2.0 };
    let tick = |group: &Group| Tick { value: group.batch_size as f64, label: Some(group.batch_size.to_string()) };
    let ticks = shown.iter().map(tick).collect();
    Axis::new("batch size", Scale::logarithmic([low / margin, high * margin])).with_ticks(ticks)
}

fn keys(horizontal: &Horizontal<'_>, panels: &[Panel], shown: &[Group]) -> Vec<Key> {
    let by_group = horizontal.keys(shown).into_iter().map(|(words, look)| Key {
        words,
        color: look.color,
        line: None,
        marker: Some((look.marker, true)),
    });
    let mean = Key { words: "mean".into(), color: INK, line: Some(Dash::Solid), marker: None };
    let hollow = panels.iter().flat_map(|panel| &panel.extremes).find(|(_, eigenvalue)| !eigenvalue.converged);
    let hollow = hollow.map(|(run, _)| {
        let look = horizontal.look(run.group);
        Key { words: "not converged".into(), color: look.color, line: None, marker: Some((look.marker, false)) }
    });
    by_group.chain([mean]).chain(hollow).collect()
}

fn draw_panel(drawing: &mut Drawing, horizontal: &Horizontal<'_>, axes: &Axes, panel: &Panel) {
    axes.level(drawing, 0.0);
    for group in distinct(panel.extremes.iter().map(|(run, _)| run.group)) {
        let Some(x) = horizontal.at(group) else { continue };
        let look = horizontal.look(group);
        let of_group: Vec<Eigenvalue> =
            panel.extremes.iter().filter(|(run, _)| run.group == group).map(|(_, value)| *value).collect();
        let values: Vec<f64> = of_group.iter().map(|eigenvalue| eigenvalue.value).collect();
        let mean = Moments::of(&values).filter(|moments| moments.count > 1);
        if let Some((x, y)) = mean.and_then(|moments| axes.point(x, moments.mean)) {
            let half = horizontal.half_width();
            drawing.path(vec![(x - half, y), (x + half, y)], INK, 4);
        }
        for (index, eigenvalue) in of_group.iter().enumerate() {
            let apart = APART.min(horizontal.room() / of_group.len() as f64);
            let beside = (index as f64 - (of_group.len() - 1) as f64 / 2.0) * apart;
            let shift = |(x, y): (f64, f64)| (x + beside, y);
            let place = |value: f64| axes.point(x, value).map(shift);
            let Some(at) = place(eigenvalue.value) else {
                continue;
            };
            let low = place(eigenvalue.value - eigenvalue.residual);
            if let (Some(low), Some(high)) = (low, place(eigenvalue.value + eigenvalue.residual))
                && low.1 - high.1 > 2.0 * VISIBLE
            {
                series::error_bar(drawing, axes.within(low), axes.within(high), look.color);
            }
            series::marker(drawing, at, look.marker, look.color, eigenvalue.converged);
        }
    }
}

fn numbers(groups: &Groups, panels: &[Panel]) -> Numbers {
    let columns = ["end", "batch_size", "seed", "value", "residual", "converged"];
    let mut numbers = Numbers::new(&groups.columns(&columns));
    for panel in panels {
        for (run, eigenvalue) in &panel.extremes {
            let cells = vec![
                panel.name.into(),
                run.group.batch_size.to_string(),
                cell(run.seed),
                eigenvalue.value.to_string(),
                eigenvalue.residual.to_string(),
                eigenvalue.converged.to_string(),
            ];
            numbers.push(groups.cells(run.group.variant, cells));
        }
    }
    numbers
}
