//! `basin compare`: minima side by side, as a table, a record, or a page.

use std::fs;
use std::path::Path;
use std::time::Instant;

use basin_objective::data::Split;
use basin_objective::{Error, Objective};
use basin_records::comparison::{Correlation, Row, Scale};
use basin_records::spectrum::Eigenvalue;
use basin_records::{Comparison, Outcome, Record};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::neighbourhood::WorstCase;
use basin_sharpness::{CurvatureMatrix, KeskarOptions, kendall};
use basin_tape::vector;

use super::sharpness::Plan;
use super::{keskar, sharpness, spectrum};
use crate::arguments::{Common, Compare, MeasureArgument};
use crate::exit::Ended;
use crate::output::{self, emit, print};
use crate::subject::Subject;
use crate::table::{number, percent, spread, table};

/// Independent draws behind each average.
const DRAWS: usize = 32;
/// The record's file in a directory with a report.
const RECORD: &str = "comparison.json";
/// Fewer checkpoints have no ranking to speak of.
const LEAST_CORRELATED: usize = 3;

pub(crate) fn run(arguments: &Compare) -> anyhow::Result<Ended> {
    let started = Instant::now();
    let common = &arguments.common;
    let options = keskar::options(&arguments.keskar, common.seed);
    let search = WorstCase { seed: common.seed, ..WorstCase::default() };
    // λ_max stands in a column of its own.
    let plan = Plan::new(&arguments.measure, &arguments.ball, search, DRAWS)?.without(MeasureArgument::LambdaMax);
    let mut rows = Vec::with_capacity(arguments.checkpoints.len());
    let subjects =
        arguments.checkpoints.iter().map(|path| Subject::load(path, common)).collect::<Result<Vec<_>, _>>()?;
    for subject in &subjects {
        super::line::require_one_subject(&subjects[0], subject)?;
    }
    for subject in &subjects {
        rows.push(measured_row(subject, common, &options, &plan)?);
    }
    let mut provenance = subjects[0].provenance(started)?;
    (provenance.checkpoint, provenance.batch_size, provenance.training_seed) = (None, None, None);
    (provenance.epoch, provenance.step, provenance.optimizer, provenance.model) = (None, None, None, None);
    let converged = |e: &Option<Eigenvalue>| e.is_none_or(|e| e.converged);
    let ended = match rows.iter().all(|row| {
        converged(&row.lambda_max) && converged(&row.lambda_min) && row.sharpness.iter().all(|found| found.converged)
    }) {
        true => Ended::Done,
        false => Ended::NotConverged,
    };
    let record = Record::new(provenance, Outcome::Comparison(correlated(Comparison::new(rows))?));
    match report_directory(common) {
        Some(directory) => report(common, directory, &record)?,
        None => emit(common, &record, || readable(&record))?,
    }
    Ok(ended)
}

/// Refuses a place for the record or the report that cannot be written, before any work is done for it.
pub(super) fn check(common: &Common) -> anyhow::Result<()> {
    match (report_directory(common), &common.out) {
        (Some(directory), _) => {
            let existed = directory.exists();
            make(directory)?;
            output::check(&directory.join(RECORD))?;
            if !existed {
                // It comes back with the record.
                fs::remove_dir(directory)?;
            }
            Ok(())
        }
        (None, Some(file)) => output::check(file),
        (None, None) => Ok(()),
    }
}

fn make(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).map_err(|cause| {
        let message = format!("cannot make the directory `{}` for the report: {cause}", directory.display());
        Error::input(message, "name a directory that can be written, or a file ending in .json for the record alone")
    })
}

/// Where `--out` asks for a page: a directory, or a name without an ending that is no file yet.
fn report_directory(common: &Common) -> Option<&Path> {
    let out = common.out.as_deref()?;
    (out.is_dir() || out.extension().is_none() && !out.is_file()).then_some(out)
}

/// The record and the page, drawn from it and the other records of the directory.
fn report(common: &Common, directory: &Path, record: &Record) -> anyhow::Result<()> {
    make(directory)?;
    record.write(&directory.join(RECORD))?;
    // Before the page: another record of the directory may be damaged.
    print(&if common.json { record.to_json_line()? } else { readable(record) })?;
    let written = basin_reporting::draw(directory)?;
    if !common.machine.quiet {
        eprintln!("report: {}", written[0].display());
    }
    Ok(())
}

/// All that is measured of one checkpoint.
fn measured_row(subject: &Subject, common: &Common, options: &KeskarOptions, plan: &Plan) -> anyhow::Result<Row> {
    let quiet = common.machine.quiet;
    let lanczos = Lanczos { seed: common.seed, memory: common.machine.memory, ..Lanczos::default() };
    let keskar = keskar::measure(subject, options, quiet)?;
    let (spectrum, _) = spectrum::measure(subject, common, &lanczos, CurvatureMatrix::Hessian)?;
    let sharpness = match sharpness::measure(subject, common, plan, None)?.outcome {
        Outcome::Sharpness(sharpness) => sharpness.measurements,
        _ => Vec::new(),
    };
    Ok(Row { sharpness, ..row(subject, &keskar, &spectrum)? })
}

/// A comparison with the rank correlation of each measure with the generalization gap, where three checkpoints or more
/// have both.
pub(super) fn correlated(comparison: Comparison) -> anyhow::Result<Comparison> {
    let mut correlations = Vec::new();
    for measure in measures(&comparison) {
        let pairs = comparison.rows.iter().filter_map(|row| (measure.value)(row).zip(row.generalization_gap));
        let (values, gaps): (Vec<f64>, Vec<f64>) = pairs.filter(|(a, b)| a.is_finite() && b.is_finite()).unzip();
        if values.len() < LEAST_CORRELATED {
            continue;
        }
        let found = kendall(&values, &gaps)?;
        correlations.push(Correlation {
            measure: measure.name,
            scale: measure.scale,
            checkpoints: values.len() as u64,
            tau: found.tau,
            stderr: found.stderr,
            p_value: found.p_value,
            exact: found.exact,
        });
    }
    Ok(Comparison { correlations, ..comparison })
}

/// Takes a measure from a row.
type Value<'a> = Box<dyn Fn(&Row) -> Option<f64> + 'a>;

/// A measure that every row may have.
struct RowMeasure<'a> {
    name: String,
    scale: Scale,
    value: Value<'a>,
}

/// All measures of a comparison that say something of a minimum other than how well it does.
fn measures(comparison: &Comparison) -> Vec<RowMeasure<'_>> {
    let dependent =
        |name: &str, value: Value<'static>| RowMeasure { name: name.into(), scale: Scale::ScaleDependent, value };
    let settings = comparison.rows.first().map(|row| row.keskar.as_slice()).unwrap_or_default();
    let keskar = settings.iter().enumerate().map(|(i, summary)| {
        let name = format!("keskar, epsilon {}, {}", summary.epsilon, keskar::space(summary));
        dependent(&name, Box::new(move |row| row.keskar.get(i).map(|summary| summary.mean)))
    });
    let mut measures: Vec<RowMeasure<'_>> = keskar.collect();
    measures.extend([
        dependent("lambda_max", Box::new(|row| row.lambda_max.map(|eigenvalue| eigenvalue.value))),
        dependent("lambda_min", Box::new(|row| row.lambda_min.map(|eigenvalue| eigenvalue.value))),
        dependent("parameter_norm", Box::new(|row| row.parameter_norm)),
        dependent("distance", Box::new(|row| row.distance)),
    ]);
    let further =
        comparison.columns.iter().filter(|c| comparison.rows.iter().any(|row| row.measurement(&c.name).is_some()));
    measures.extend(further.map(|column| RowMeasure {
        name: column.name.clone(),
        scale: column.scale,
        value: Box::new(|row| row.measurement(&column.name).map(|found| found.value)),
    }));
    measures
}

/// A checkpoint beside its records.
pub(super) fn row(subject: &Subject, keskar: &Record, spectrum: &Record) -> anyhow::Result<Row> {
    // Sharpness may be measured on the test split; the train loss stays that of the train split.
    let train = match subject.data.split {
        Split::Train => None,
        Split::Test => {
            let whole = subject.data.other_if_any(Split::Train)?;
            match (whole, subject.metadata.samples) {
                (Some(whole), Some(samples)) => Some(whole.take(samples as usize)?),
                (whole, _) => whole,
            }
        }
    };
    let here = subject.network_on(train.as_ref().unwrap_or(&subject.data))?.evaluate(&subject.theta)?;
    let test = subject.data.other_if_any(Split::Test)?;
    let test = test.map(|test| subject.network_on(&test)?.evaluate(&subject.theta)).transpose()?;
    let norm = vector::dot(&subject.theta, &subject.theta)?.sqrt();
    let test_accuracy = test.and_then(|test| test.accuracy);
    let (largest, smallest) = match &spectrum.outcome {
        Outcome::Spectrum(spectrum) => (spectrum.largest().copied(), spectrum.smallest().copied()),
        _ => (None, None),
    };
    Ok(Row {
        file: subject.path.display().to_string(),
        variant: None,
        batch_size: subject.metadata.batch_size,
        seed: subject.metadata.seed,
        loss: Some(here.loss),
        test_loss: test.map(|test| test.loss),
        train_accuracy: here.accuracy,
        test_accuracy,
        generalization_gap: match (here.accuracy, test_accuracy) {
            (Some(train), Some(test)) => Some(train - test),
            _ => test.map(|test| test.loss - here.loss),
        },
        keskar: match &keskar.outcome {
            Outcome::Keskar(keskar) => keskar.summary.clone(),
            _ => Vec::new(),
        },
        lambda_max: largest,
        lambda_min: smallest,
        parameter_norm: Some(norm),
        distance: distance_from_start(subject)?,
        sharpness: Vec::new(),
    })
}

/// How far training moved the weights, where they were drawn from a seed that the checkpoint notes.
fn distance_from_start(subject: &Subject) -> anyhow::Result<Option<f64>> {
    let Some(seed) = subject.metadata.seed.filter(|_| subject.metadata.start.is_none()) else { return Ok(None) };
    let initial = subject.model.initial_parameters(seed, subject.theta.dtype())?;
    Ok(Some(super::line::distance(&initial, &subject.theta.to_device(initial.device())?)?))
}

fn readable(record: &Record) -> String {
    let Outcome::Comparison(comparison) = &record.outcome else { return String::new() };
    let mut head = vec!["".to_owned()];
    head.extend(comparison.rows.iter().map(|row| row.file.clone()));
    let line = |name: &str, value: &dyn Fn(&Row) -> String| {
        let mut cells = vec![name.to_owned()];
        cells.extend(comparison.rows.iter().map(value));
        cells
    };
    let eigenvalue = |e: Option<Eigenvalue>| match e {
        Some(e) if e.converged => format!("{} ± {}", number(e.value), number(e.residual)),
        Some(e) => format!("{} (not converged)", number(e.value)),
        None => "–".into(),
    };
    let mut lines = vec![
        line("batch size", &|row| row.batch_size.map_or("–".into(), |b| b.to_string())),
        line("train loss", &|row| number(row.loss)),
        line("test loss", &|row| number(row.test_loss)),
        line("train accuracy", &|row| percent(row.train_accuracy)),
        line("test accuracy", &|row| percent(row.test_accuracy)),
        line("generalization gap", &|row| match row.train_accuracy {
            Some(_) => percent(row.generalization_gap),
            None => number(row.generalization_gap),
        }),
    ];
    for (i, summary) in comparison.rows.first().map(|row| row.keskar.as_slice()).unwrap_or_default().iter().enumerate()
    {
        let name = format!("Keskar φ, ε {:e}, {} *", summary.epsilon, keskar::space(summary));
        lines.push(line(&name, &|row| row.keskar.get(i).map_or("–".into(), |s| spread(s.mean, s.std))));
    }
    lines.push(line("λ max of the Hessian *", &|row| eigenvalue(row.lambda_max)));
    lines.push(line("λ min of the Hessian *", &|row| eigenvalue(row.lambda_min)));
    lines.push(line("norm of the weights *", &|row| number(row.parameter_norm)));
    lines.push(line("distance from the start *", &|row| number(row.distance)));
    for scale in [Scale::ScaleDependent, Scale::ScaleInvariant] {
        let mark = if scale == Scale::ScaleDependent { " *" } else { "" };
        for column in comparison.columns.iter().filter(|column| column.scale == scale) {
            if comparison.rows.iter().any(|row| row.measurement(&column.name).is_some()) {
                let cell = |row: &Row| row.measurement(&column.name).map_or("–".into(), sharpness::with_error);
                lines.push(line(&format!("{}{mark}", column.name), &cell));
            }
        }
    }
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    format!(
        "{}\n* changes when weights are rescaled in a way that leaves the network's function as it is{}",
        table(&head, lines),
        correlations(comparison)
    )
}

/// The rank correlations as a table of their own, below a line that says what they are.
fn correlations(comparison: &Comparison) -> String {
    if comparison.correlations.is_empty() {
        return String::new();
    }
    let rows = comparison.correlations.iter().map(|found| {
        let mark = if found.scale == Scale::ScaleDependent { " *" } else { "" };
        vec![
            format!("{}{mark}", found.measure),
            spread(found.tau, found.stderr),
            number(found.p_value),
            found.checkpoints.to_string(),
        ]
    });
    let exact = comparison.correlations.iter().all(|found| found.exact);
    format!(
        "\n\nrank correlation with the generalization gap (p: {})\n{}",
        if exact { "share of all permutations" } else { "normal distribution" },
        table(&["measure", "Kendall's τ-b", "p", "checkpoints"], rows.collect())
    )
}
