//! `basin keskar`: sharpness in an ε-neighbourhood.

use std::time::Instant;

use basin_records::keskar::{Columns, Subspace, Summary};
use basin_records::{Keskar as KeskarRecord, Outcome, Record};
use basin_sharpness::KeskarOptions;

use crate::arguments::{ColumnsArgument, Keskar, KeskarSettings, SubspaceArgument};
use crate::exit::Ended;
use crate::interruption;
use crate::output::emit;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::table::{number, spread, table};

pub(crate) fn run(arguments: &Keskar) -> anyhow::Result<Ended> {
    let options = options(&arguments.settings, arguments.common.seed);
    for path in &arguments.checkpoints {
        let subject = Subject::load(path, &arguments.common)?;
        let quiet = arguments.common.machine.quiet;
        let record = measure(&subject, &options, quiet)?;
        emit(&arguments.common, &record, || readable(&subject, &record))?;
    }
    Ok(Ended::Done)
}

/// The library's options of what was typed.
pub(super) fn options(settings: &KeskarSettings, seed: u64) -> KeskarOptions {
    KeskarOptions {
        epsilons: settings.epsilon.clone(),
        subspaces: settings.subspace.iter().map(|&subspace| subspace.into()).collect(),
        dimension: settings.dimension,
        columns: settings.columns.into(),
        draws: settings.draws,
        iterations: settings.iterations,
        seed,
        ..KeskarOptions::default()
    }
}

/// Keskar's sharpness of a checkpoint, as a record.
pub(super) fn measure(subject: &Subject, options: &KeskarOptions, quiet: bool) -> anyhow::Result<Record> {
    let started = Instant::now();
    let network = subject.network()?;
    let mut progress = Progress::new(format!("keskar {}", subject.path.display()), 0, quiet);
    let mut evaluations = 0;
    let sharpness = basin_sharpness::keskar(&network, &subject.theta, options, &mut |at| {
        evaluations = at.evaluations;
        progress.set_of(at.done as u64, at.total as u64, format!("{evaluations} evaluations"));
        interruption::check()
    })?;
    let mut provenance = subject.provenance(started)?;
    provenance.products = Some(0);
    provenance.gradient_equivalents = Some(evaluations as f64);
    Ok(Record::new(provenance, Outcome::Keskar(sharpness)))
}

fn readable(subject: &Subject, record: &Record) -> String {
    let Outcome::Keskar(KeskarRecord { measurements, summary }) = &record.outcome else { return String::new() };
    let loss = measurements.first().map(|measurement| measurement.loss);
    let rows = summary.iter().map(|row| {
        let reached = measurements.iter().filter(|m| m.epsilon == row.epsilon && m.subspace == row.subspace);
        let highest = reached.clone().map(|m| m.max_loss).fold(f64::NEG_INFINITY, f64::max);
        vec![
            format!("{:e}", row.epsilon),
            space(row),
            spread(row.mean, row.std),
            number(highest),
            row.draws.to_string(),
            reached.map(|m| m.evaluations).sum::<u64>().to_string(),
        ]
    });
    let head = ["ε", "space", "sharpness φ", "largest loss", "draws", "evaluations"];
    format!(
        "{}: Keskar's sharpness on {} ({}, {} samples), loss {}\n{}",
        subject.path.display(),
        subject.data.spec,
        subject.data.split,
        subject.data.samples(),
        number(loss),
        table(&head, rows.collect())
    )
}

/// The space of a summary, in words.
pub(super) fn space(row: &Summary) -> String {
    match (row.subspace, row.columns) {
        (Subspace::Full, _) => "full".into(),
        (Subspace::Manifold, Some(columns)) => format!("{} {}", row.dimension, format!("{columns:?}").to_lowercase()),
        (Subspace::Manifold, None) => row.dimension.to_string(),
    }
}

impl From<SubspaceArgument> for Subspace {
    fn from(subspace: SubspaceArgument) -> Self {
        match subspace {
            SubspaceArgument::Full => Self::Full,
            SubspaceArgument::Manifold => Self::Manifold,
        }
    }
}

impl From<ColumnsArgument> for Columns {
    fn from(columns: ColumnsArgument) -> Self {
        match columns {
            ColumnsArgument::Gaussian => Self::Gaussian,
            ColumnsArgument::Uniform => Self::Uniform,
            ColumnsArgument::Orthonormal => Self::Orthonormal,
        }
    }
}
