//! Invented but plausible records of a study with two batch sizes and three seeds.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use basin_records::comparison::Row;
use basin_records::keskar::{Columns, Measurement, Subspace};
use basin_records::line::Endpoint;
use basin_records::spectrum::{Eigenvalue, End, Matrix};
use basin_records::study::{Run, Setting};
use basin_records::training::{Epoch, Settings};
use basin_records::{
    Checkpoint, Comparison, Data, Keskar, Line, Outcome, Provenance, Record, Spectrum, Study, Training,
};

#[path = "batch_hessian.rs"]
mod batch_hessian;

pub(crate) use batch_hessian::batch_hessian;

const BATCH_SIZES: [u64; 2] = [16, 144];
const SEEDS: u64 = 3;
const EPOCHS: u64 = 30;

/// Writes the records that `basin study` would leave in a directory.
pub(crate) fn write_records(directory: &Path) -> Result<(), Box<dyn Error>> {
    let records = directory.join("records");
    std::fs::create_dir_all(&records)?;
    let runs: Vec<(u64, u64)> = BATCH_SIZES.iter().flat_map(|&size| (0..SEEDS).map(move |seed| (size, seed))).collect();
    for &(size, seed) in &runs {
        let name = |kind: &str| records.join(format!("{kind}-{size}-{seed}.json"));
        Record::new(provenance(size, seed, None), Outcome::Training(training(size, seed))).write(&name("training"))?;
        Record::new(provenance(size, seed, None), Outcome::Spectrum(spectrum(size, seed))).write(&name("spectrum"))?;
        let along = records.join(format!("keskar-{size}-{seed}.jsonl"));
        std::fs::write(&along, "")?;
        for epoch in [1, 2, 4, 8, 14, 20, EPOCHS] {
            let record = Record::new(provenance(size, seed, Some(epoch)), Outcome::Keskar(keskar(size, seed, epoch)));
            record.append_line(&along)?;
        }
    }
    let batches = Record::new(provenance(16, 0, None), Outcome::BatchHessian(Box::new(batch_hessian())));
    batches.write(&records.join("batch-hessian.json"))?;
    Record::new(provenance(16, 0, None), Outcome::Line(line())).write(&records.join("line.json"))?;
    let rows = runs.iter().map(|&(size, seed)| row(size, seed)).collect();
    let comparison = Outcome::Comparison(Comparison::new(rows));
    Record::new(Provenance::now(), comparison).write(&records.join("comparison.json"))?;
    Record::new(Provenance::now(), Outcome::Study(study(&runs))).write(&directory.join("study.json"))?;
    Ok(())
}

fn study(runs: &[(u64, u64)]) -> Study {
    let setting = |name: &str, value: &str| Setting { name: name.into(), value: value.into() };
    Study {
        title: Some("Digits at batch sizes 16 and 144 (invented numbers)".into()),
        held_equal: vec![
            setting("model", "mlp:64-128-64-10:relu"),
            setting("optimizer", "adam, learning rate 1e-3, β₁ 0.9, β₂ 0.999"),
            setting("epochs", "30"),
            setting("initial weights", "the same for the same seed at every batch size"),
        ],
        runs: runs
            .iter()
            .map(|&(batch_size, seed)| Run {
                variant: None,
                batch_size,
                seed,
                checkpoint: path(batch_size, seed),
                directory: format!("runs/b{batch_size}-s{seed}"),
            })
            .collect(),
        ..Study::default()
    }
}

fn path(size: u64, seed: u64) -> String {
    format!("runs/b{size}-s{seed}/final.safetensors")
}

fn checkpoint(size: u64, seed: u64) -> Checkpoint {
    Checkpoint { path: path(size, seed), blake3: Some(format!("{:064x}", size * 1000 + seed)), parameters: 17_226 }
}

fn provenance(size: u64, seed: u64, epoch: Option<u64>) -> Provenance {
    let epoch = epoch.unwrap_or(EPOCHS);
    Provenance {
        checkpoint: Some(checkpoint(size, seed)),
        data: Some(Data {
            spec: "digits".into(),
            split: "train".into(),
            samples: 1437,
            blake3: Some("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".into()),
        }),
        model: Some("mlp:64-128-64-10:relu".into()),
        loss: Some("cross-entropy".into()),
        batch_size: Some(size),
        epoch: Some(epoch),
        step: Some(epoch * 1437 / size),
        optimizer: Some("adam".into()),
        training_seed: Some(seed),
        device: Some("cpu".into()),
        dtype: Some("f32".into()),
        seed: Some(0),
        ..Provenance::now()
    }
}

/// A number in [−1, 1] that depends on everything given, the same on every run.
fn wobble(size: u64, seed: u64, at: u64) -> f64 {
    ((size * 31 + seed * 17 + at * 7) as f64 * 12.9898).sin()
}

fn loss(size: u64, seed: u64, epoch: u64) -> f64 {
    let rate = if size < 100 { 0.24 } else { 0.16 };
    2.3 * (-rate * epoch as f64).exp() * (1.0 + 0.08 * wobble(size, seed, epoch)) + 2e-3
}

fn training(size: u64, seed: u64) -> Training {
    let epochs = (0..=EPOCHS).map(|epoch| {
        let loss = loss(size, seed, epoch);
        let test = 0.975 - if size < 100 { 0.0 } else { 0.012 };
        Epoch {
            epoch,
            step: epoch * 1437 / size,
            train_loss: loss,
            train_accuracy: Some((1.0 - 0.39 * loss).clamp(0.1, 1.0)),
            test_loss: Some(loss + 0.09),
            test_accuracy: Some((test - 0.37 * loss + 0.004 * wobble(size, seed, epoch)).clamp(0.1, 1.0)),
            learning_rate: 1e-3,
            batch_size: size,
            observed: BTreeMap::from([("gradient_norm".into(), loss)]),
        }
    });
    Training {
        settings: Settings {
            model: "mlp:64-128-64-10:relu".into(),
            optimizer: "adam".into(),
            learning_rate: 1e-3,
            batch_size: size,
            epochs: EPOCHS,
            seed,
            others: BTreeMap::new(),
        },
        epochs: epochs.collect(),
        reason: "epochs".into(),
    }
}

fn keskar(size: u64, seed: u64, epoch: u64) -> Keskar {
    let loss = loss(size, seed, epoch);
    let sharp = if size < 100 { 2.0 + 10.0 * loss } else { 14.0 / (loss + 0.5) };
    let measurement = |epsilon: f64, subspace, draw: u64| {
        let manifold = subspace == Subspace::Manifold;
        let scale = (epsilon / 1e-3).powf(1.7) * if manifold { 0.1 } else { 1.0 };
        let value = sharp * scale * (1.0 + 0.07 * wobble(size, seed, epoch + draw));
        Measurement {
            epsilon,
            subspace,
            dimension: if manifold { 100 } else { 17_226 },
            columns: manifold.then_some(Columns::Gaussian),
            draw,
            value,
            loss,
            max_loss: loss + value / 100.0 * (1.0 + loss),
            iterations: 10,
            evaluations: 13,
            reason: "iterations".into(),
        }
    };
    let full = [1e-3, 5e-4].map(|epsilon| measurement(epsilon, Subspace::Full, 0));
    let manifolds = [1e-3, 5e-4].into_iter().flat_map(|epsilon| {
        (0..5).map(move |draw| (epsilon, draw)).map(|(epsilon, draw)| measurement(epsilon, Subspace::Manifold, draw))
    });
    Keskar::new(full.into_iter().chain(manifolds).collect())
}

fn spectrum(size: u64, seed: u64) -> Spectrum {
    let largest = if size < 100 { 11.0 } else { 48.0 } * (1.0 + 0.1 * wobble(size, seed, 1));
    let mut eigenvalues: Vec<Eigenvalue> = (0..8)
        .map(|rank| {
            let value = largest / (1.0 + 0.6 * f64::from(rank));
            Eigenvalue { value, residual: 1e-3 * value, converged: rank < 7, end: End::Top }
        })
        .collect();
    eigenvalues.extend((0..4).map(|rank| {
        let value = -(0.3 + largest / 80.0) / (1.0 + f64::from(rank));
        let missed = seed == 1 && rank == 0;
        let residual = if missed { 0.3 } else { 1e-3 } * value.abs();
        Eigenvalue { value, residual, converged: !missed, end: End::Bottom }
    }));
    Spectrum {
        iterations: Some(64),
        tolerance: Some(1e-3),
        reason: Some("iterations".into()),
        ..Spectrum::new(Matrix::Hessian, eigenvalues)
    }
}

fn line() -> Line {
    let alpha: Vec<f64> = (0..25).map(|index| -1.0 + f64::from(index) / 8.0).collect();
    let curve = |flat: f64, sharp: f64, floor: f64| -> Vec<f64> {
        let at = |a: f64| floor + (2.6 * a * a / (a * a + flat)).min(9.0 * ((a - 1.0) / sharp).powi(2) + 0.01) * 2.0;
        alpha.iter().map(|&a| at(a)).collect()
    };
    let accuracy = |losses: &[f64], top: f64| losses.iter().map(|loss| (top - 0.16 * loss).max(0.1)).collect();
    let (train_loss, test_loss) = (curve(0.8, 0.5, 0.003), curve(0.8, 0.45, 0.09));
    let end = |size| Endpoint { checkpoint: checkpoint(size, 0), batch_size: Some(size), training_seed: Some(0) };
    Line {
        path: Default::default(),
        alignment: None,
        barriers: Vec::new(),
        batch_norm: None,
        from: end(16),
        to: end(144),
        distance: 13.7,
        train_accuracy: accuracy(&train_loss, 1.0),
        test_accuracy: accuracy(&test_loss, 0.985),
        alpha,
        train_loss,
        test_loss,
    }
}

fn row(size: u64, seed: u64) -> Row {
    let spectrum = spectrum(size, seed);
    let reached = training(size, seed).epochs.pop();
    Row {
        file: path(size, seed),
        batch_size: Some(size),
        seed: Some(seed),
        loss: reached.as_ref().map(|epoch| epoch.train_loss),
        train_accuracy: reached.as_ref().and_then(|epoch| epoch.train_accuracy),
        test_accuracy: reached.as_ref().and_then(|epoch| epoch.test_accuracy),
        keskar: keskar(size, seed, EPOCHS).summary,
        lambda_max: spectrum.largest().copied(),
        lambda_min: spectrum.smallest().copied(),
        parameter_norm: Some(14.2),
        distance: Some(8.1),
        ..Row::default()
    }
}
