//! The extreme eigenvalues of one matrix as stems over their rank.

use std::collections::BTreeSet;

use basin_records::spectrum::{Eigenvalue, End};
use basin_records::{Provenance, Spectrum};

use super::eigenvalues::title_of;
use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::{Look, look};
use crate::chart::scale::{Scale, Tick};
use crate::chart::series;
use crate::collection::{Collection, Measured, progress};
use crate::comparison;
use crate::figure::{Figure, Numbers, distinct, numbered, settings};
use crate::groups::Group;
use crate::number;

pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let chosen = chosen(collection);
    let figure = |(index, measured): (usize, &Measured<'_, Spectrum>)| {
        let stem = numbered("spectrum", index, chosen.len());
        let look = look_of(collection, measured.provenance);
        figure(stem, measured, subject(collection, measured.provenance), look)
    };
    chosen.iter().enumerate().map(figure).collect()
}

/// One spectrum per group and matrix, that of the lowest seed at the end of training; those of unknown batch size
/// and of minima that are compared all. Two eigenvalues of a group make no picture of their own: they stand among the others' in `eigenvalues`.
fn chosen(collection: &Collection) -> Vec<Measured<'_, Spectrum>> {
    let mut spectra = collection.spectra();
    spectra.retain(|measured| {
        let count = measured.result.eigenvalues.len();
        count > 2 || (count > 0 && measured.provenance.batch_size.is_none())
    });
    spectra.sort_by_key(|measured| {
        let group = collection.groups.of_record(measured.provenance);
        (group, measured.provenance.training_seed, std::cmp::Reverse(progress(measured.provenance)))
    });
    let mut seen = BTreeSet::new();
    spectra.retain(|measured| {
        let group = collection.groups.of_record(measured.provenance);
        let compared = comparison::look_of(collection, measured.provenance).is_some();
        compared || group.is_none_or(|group| seen.insert((group, measured.result.matrix.name())))
    });
    spectra
}

/// Whose spectrum it is: the group's of its minimum.
pub(super) fn subject(collection: &Collection, provenance: &Provenance) -> String {
    if let Some((name, _)) = comparison::look_of(collection, provenance) {
        return name;
    }
    match (collection.groups.of_record(provenance), &provenance.checkpoint) {
        (Some(group), _) => {
            let seed = provenance.training_seed.filter(|_| has_seeds(collection, group));
            let seed = seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
            format!("{}{seed}", collection.groups.long_words(group))
        }
        (None, Some(checkpoint)) => checkpoint.path.clone(),
        (None, None) => "one checkpoint".into(),
    }
}

/// The look of the minimum among those compared, else of its group.
pub(super) fn look_of(collection: &Collection, provenance: &Provenance) -> Look {
    let compared = comparison::look_of(collection, provenance).map(|(_, look)| look);
    let of_group = || collection.groups.of_record(provenance).map(|group| collection.groups.look(group));
    compared.or_else(of_group).unwrap_or_else(|| look(0))
}

/// Whether there are spectra of several seeds of a group.
fn has_seeds(collection: &Collection, group: Group) -> bool {
    let spectra = collection.spectra();
    let of_group = spectra.iter().filter(|measured| collection.groups.of_record(measured.provenance) == Some(group));
    distinct(of_group.map(|measured| measured.provenance.training_seed)).len() > 1
}

fn figure(stem: String, measured: &Measured<'_, Spectrum>, of: String, look: Look) -> Figure {
    let Measured { file, provenance, result } = measured;
    let caption = format!(
        "The {} extreme eigenvalues sought of the {} for {of}, by rank. {}{}",
        result.eigenvalues.len(),
        title_of(result.matrix),
        convergence(result),
        settings([*provenance]),
    );
    Figure {
        stem,
        title: format!("Spectrum of the {}, {of}", title_of(result.matrix)),
        caption,
        drawing: draw(result, provenance, look),
        numbers: numbers(result).of_records([*file]),
    }
}

/// What the eigensolver says of its own answer.
pub(crate) fn convergence(spectrum: &Spectrum) -> String {
    let total = spectrum.eigenvalues.len();
    let tolerance = spectrum.tolerance.map_or_else(String::new, |tolerance| format!(" {}", number::step(tolerance)));
    match spectrum.unconverged() {
        0 => format!("All reached the relative tolerance{tolerance}."),
        missed => {
            let reason = spectrum.reason.as_deref().map_or_else(String::new, |reason| format!(" (stopped: {reason})"));
            format!("{missed} of {total} did not reach the relative tolerance{tolerance}{reason} (hollow).")
        }
    }
}

fn draw(spectrum: &Spectrum, provenance: &Provenance, look: Look) -> Drawing {
    let mut drawing = Drawing::default();
    let hollow = spectrum.unconverged() > 0;
    let key = |words: &str, filled| Key {
        words: words.into(),
        color: look.color,
        line: None,
        marker: Some((look.marker, filled)),
    };
    let keys = if hollow { vec![key("converged", true), key("not converged", false)] } else { Vec::new() };
    let region = legend::draw(&mut drawing, &keys);
    let ranked = ranked(spectrum);
    let ticks = ranked.iter().map(|stem| Tick { value: stem.at, label: Some(stem.rank.clone()) }).collect();
    let last = ranked.last().map_or(1.0, |stem| stem.at);
    let x = Axis::new(rank_name(provenance), Scale::between(0.3, last + 0.7)).with_ticks(ticks);
    let values = ranked.iter().map(|stem| stem.eigenvalue.value);
    let y = Axis::new("eigenvalue λ", Scale::linear(values.chain([0.0])));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    axes.level(&mut drawing, 0.0);
    for stem in &ranked {
        let ends = (axes.point(stem.at, 0.0), axes.point(stem.at, stem.eigenvalue.value));
        if let (Some(foot), Some(head)) = ends {
            drawing.path(vec![foot, head], look.color, 4);
            series::marker(&mut drawing, head, look.marker, look.color, stem.eigenvalue.converged);
        }
    }
    drawing
}

fn rank_name(provenance: &Provenance) -> String {
    provenance
        .checkpoint
        .as_ref()
        .map_or_else(|| "rank".into(), |checkpoint| format!("rank   (P = {})", number::count(checkpoint.parameters)))
}

struct Stem {
    at: f64,
    rank: String,
    eigenvalue: Eigenvalue,
}

/// The top from 1 upwards and the bottom down to P, with a gap for the eigenvalues between.
fn ranked(spectrum: &Spectrum) -> Vec<Stem> {
    let of_end = |end| spectrum.eigenvalues.iter().filter(move |eigenvalue| eigenvalue.end == end);
    let top = of_end(End::Top).count();
    let bottom = of_end(End::Bottom).count();
    let upper = of_end(End::Top).enumerate().map(|(index, &eigenvalue)| Stem {
        at: (index + 1) as f64,
        rank: (index + 1).to_string(),
        eigenvalue,
    });
    let gap = if top > 0 { 1.0 } else { 0.0 };
    let lower = of_end(End::Bottom).enumerate().map(|(index, &eigenvalue)| Stem {
        at: top as f64 + gap + (index + 1) as f64,
        rank: match bottom - index - 1 {
            0 => "P".into(),
            below => format!("P−{below}"),
        },
        eigenvalue,
    });
    upper.chain(lower).collect()
}

fn numbers(spectrum: &Spectrum) -> Numbers {
    let mut numbers = Numbers::new(&["end", "value", "residual", "converged"]);
    for eigenvalue in &spectrum.eigenvalues {
        numbers.push(vec![
            if eigenvalue.end == End::Top { "top".into() } else { "bottom".into() },
            eigenvalue.value.to_string(),
            eigenvalue.residual.to_string(),
            eigenvalue.converged.to_string(),
        ]);
    }
    numbers
}
