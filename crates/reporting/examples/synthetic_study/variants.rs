//! Invented but plausible records of studies whose runs differ in more than batch size and seed.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use basin_records::keskar::{Measurement, Subspace};
use basin_records::spectrum::{Eigenvalue, End, Matrix};
use basin_records::study::{Run, Setting, Variant};
use basin_records::training::{Epoch, Settings};
use basin_records::{Checkpoint, Keskar, Outcome, Provenance, Record, Spectrum, Study, Training};

const SEEDS: u64 = 3;
const EPOCHS: u64 = 12;

/// What a run is, and how good its minimum.
struct Invented {
    variant: Option<String>,
    batch_size: u64,
    seed: u64,
    accuracy: f64,
    sharpness: f64,
    /// Mean |g| in the first epoch.
    gradient: f64,
}

/// Four ways to train, of which some make a large batch's minima flatter, at four batch sizes.
pub(crate) fn write_variants(directory: &Path) -> Result<(), Box<dyn Error>> {
    let ways = [("baseline", 1.0), ("augmented", 0.5), ("without the easiest 30 %", 0.8), ("LARS", 1.0)];
    let run = |index: usize, batch_size: u64, seed: u64| {
        let (name, left) = ways[index];
        let large = (batch_size as f64 / 16.0).ln();
        Invented {
            variant: Some(name.into()),
            batch_size,
            seed,
            accuracy: 0.975 - 0.006 * large * left,
            sharpness: 3.0 * (0.7 * large * left).exp(),
            gradient: (0.02 + 0.01 * index as f64) / (batch_size as f64).powf(0.5 - 0.1 * index as f64),
        }
    };
    let sizes = [16, 48, 144, 432];
    let runs = (0..ways.len())
        .flat_map(|way| sizes.iter().flat_map(move |&size| (0..SEEDS).map(move |seed| run(way, size, seed))));
    let setting = |name: &str, value: &str| vec![Setting { name: name.into(), value: value.into() }];
    let settings = [
        Vec::new(),
        setting("augmentation", "shifts by up to 1 pixel"),
        setting("discarded", "the easiest 30 % of each batch, epochs 1 to 4"),
        setting("optimizer", "LARS, trust coefficient 0.001"),
    ];
    let variants =
        ways.iter().zip(settings).map(|((name, _), settings)| Variant { name: (*name).into(), value: None, settings });
    let study = Study {
        title: Some("Four ways to train (invented numbers)".into()),
        published: vec![
            "Keskar and others (2017), section 4: augmentation and conservative training raise the accuracy of large \
             batches, yet their minima stay sharp."
                .into(),
        ],
        variants: variants.collect(),
        ..Study::default()
    };
    write(directory, study, runs.collect())
}

/// Runs of large batches that start from each fourth epoch of a run of small ones.
pub(crate) fn write_warm_starts(directory: &Path) -> Result<(), Box<dyn Error>> {
    let swept = "epochs at batch size 16 before";
    let name = |value: u64| format!("{value} {swept}");
    let values = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
    let start = |seed| Invented { variant: None, batch_size: 16, seed, accuracy: 0.98, sharpness: 2.0, gradient: 0.02 };
    let after = |value: u64, seed: u64| {
        let gone = 1.0 - (-(value as f64) / 4.0).exp();
        Invented {
            variant: Some(name(value)),
            batch_size: 144,
            seed,
            accuracy: 0.955 + 0.022 * gone,
            sharpness: 40.0 * (-3.0 * gone).exp(),
            gradient: 0.01 - 0.005 * gone,
        }
    };
    let runs = values.iter().flat_map(|&value| (0..SEEDS).map(move |seed| after(value, seed)));
    let variant = |&value: &u64| Variant {
        name: name(value),
        value: Some(value as f64),
        settings: vec![Setting { name: swept.into(), value: value.to_string() }],
    };
    let study = Study {
        title: Some("Warm starts (invented numbers)".into()),
        published: vec![
            "Keskar and others (2017), figure 5: large batches find flat minima if they start late.".into(),
        ],
        variants: values.iter().map(variant).collect(),
        swept: Some(swept.into()),
        ..Study::default()
    };
    write(directory, study, (0..SEEDS).map(start).chain(runs).collect())
}

fn write(directory: &Path, study: Study, runs: Vec<Invented>) -> Result<(), Box<dyn Error>> {
    let records = directory.join("records");
    std::fs::create_dir_all(&records)?;
    for (index, run) in runs.iter().enumerate() {
        let name = |kind: &str| records.join(format!("{kind}-{index:03}.json"));
        let outcomes = [
            (Outcome::Training(run.training()), "training"),
            (Outcome::Keskar(run.keskar(EPOCHS)), "keskar"),
            (Outcome::Spectrum(run.spectrum()), "spectrum"),
        ];
        for (outcome, kind) in outcomes {
            Record::new(run.provenance(EPOCHS), outcome).write(&name(kind))?;
        }
        Record::new(run.provenance(4), Outcome::Keskar(run.keskar(4))).write(&name("keskar-4"))?;
    }
    let setting = |name: &str, value: &str| Setting { name: name.into(), value: value.into() };
    let study = Study {
        held_equal: vec![setting("model", "mlp:64-128-64-10:relu"), setting("epochs", "12")],
        runs: runs.iter().map(Invented::run).collect(),
        ..study
    };
    Record::new(Provenance::now(), Outcome::Study(study)).write(&directory.join("study.json"))?;
    Ok(())
}

impl Invented {
    fn directory(&self) -> String {
        format!("runs/{}-b{}-s{}", self.variant.as_deref().unwrap_or("start"), self.batch_size, self.seed)
    }

    fn run(&self) -> Run {
        Run {
            variant: self.variant.clone(),
            batch_size: self.batch_size,
            seed: self.seed,
            checkpoint: format!("{}/last.safetensors", self.directory()),
            directory: self.directory(),
        }
    }

    fn provenance(&self, epoch: u64) -> Provenance {
        let path = format!("{}/last.safetensors", self.directory());
        Provenance {
            checkpoint: Some(Checkpoint { path, blake3: None, parameters: 17_226 }),
            loss: Some("cross-entropy".into()),
            variant: self.variant.clone(),
            batch_size: Some(self.batch_size),
            epoch: Some(epoch),
            training_seed: Some(self.seed),
            ..Provenance::now()
        }
    }

    /// A number in [−1, 1], the same on every run.
    fn wobble(&self, at: u64) -> f64 {
        ((self.batch_size * 31 + self.seed * 17 + at * 7) as f64 * 12.9898 + self.accuracy * 1e4).sin()
    }

    fn loss(&self, epoch: u64) -> f64 {
        2.3 * (-0.4 * epoch as f64).exp() * (1.0 + 0.05 * self.wobble(epoch)) + 2e-3
    }

    fn training(&self) -> Training {
        let epoch = |epoch: u64| {
            let loss = self.loss(epoch);
            Epoch {
                epoch,
                step: epoch * 1437 / self.batch_size,
                train_loss: loss,
                train_accuracy: Some((1.0 - 0.39 * loss).clamp(0.1, 1.0)),
                test_loss: Some(loss + 0.09),
                test_accuracy: Some((self.accuracy - 0.37 * loss + 0.002 * self.wobble(epoch)).clamp(0.1, 1.0)),
                learning_rate: 1e-2,
                batch_size: self.batch_size,
                observed: match epoch {
                    0 => BTreeMap::new(),
                    _ => ["fc1", "fc2"]
                        .map(|layer| (format!("gradient.{layer}"), self.gradient * (1.0 + 0.1 * self.wobble(epoch))))
                        .into(),
                },
            }
        };
        Training {
            settings: Settings {
                model: "mlp:64-128-64-10:relu".into(),
                optimizer: "sgd".into(),
                learning_rate: 1e-2,
                batch_size: self.batch_size,
                epochs: EPOCHS,
                seed: self.seed,
                others: BTreeMap::new(),
            },
            epochs: (0..=EPOCHS).map(epoch).collect(),
            reason: "epochs".into(),
        }
    }

    fn keskar(&self, epoch: u64) -> Keskar {
        let loss = self.loss(epoch);
        let value = self.sharpness * (1.0 + 2.0 * loss) * (1.0 + 0.1 * self.wobble(epoch));
        Keskar::new(vec![Measurement {
            epsilon: 1e-3,
            subspace: Subspace::Full,
            dimension: 17_226,
            columns: None,
            draw: 0,
            value,
            loss,
            max_loss: loss + value / 100.0 * (1.0 + loss),
            iterations: 10,
            evaluations: 13,
            reason: "iterations".into(),
        }])
    }

    fn spectrum(&self) -> Spectrum {
        let value = |end: End, value: f64| Eigenvalue { value, residual: 1e-3 * value.abs(), converged: true, end };
        let largest = 4.0 * self.sharpness * (1.0 + 0.1 * self.wobble(1));
        Spectrum::new(Matrix::Hessian, vec![value(End::Top, largest), value(End::Bottom, -0.02 * largest)])
    }
}
