//! `--learning-rate auto` against a grid of fixed learning rates and momenta: what training ends with, as a table on stdout.
//!
//! `cargo bench -p basin --bench automatic_learning_rate`

#[path = "../src/allocator.rs"]
mod allocator;

use anyhow::Result;
use basin_training::{LearningRate, OptimizerSettings, Settings, SgdSettings, train};

const LEARNING_RATES: [f64; 5] = [0.01, 0.03, 0.1, 0.3, 1.0];
const MOMENTA: [f64; 2] = [0.0, 0.9];
const SEEDS: u64 = 3;

/// What is trained on what.
struct Problem {
    model: &'static str,
    data: &'static str,
    batch_size: usize,
    epochs: u64,
}

/// The rule was chosen on the first two.
const PROBLEMS: [Problem; 8] = [
    Problem { model: "mlp:64-128-64-10:relu", data: "digits", batch_size: 64, epochs: 20 },
    Problem { model: "mlp:20-64-4:tanh", data: "synthetic:clusters:spread=1", batch_size: 64, epochs: 20 },
    Problem { model: "mlp:20-64-4:relu", data: "synthetic:clusters:spread=3", batch_size: 16, epochs: 20 },
    Problem { model: "mlp:64-128-64-10:relu:bn", data: "digits", batch_size: 256, epochs: 20 },
    Problem { model: "mlp:2-64-64-2:tanh", data: "synthetic:spirals", batch_size: 32, epochs: 40 },
    Problem { model: "mlp:10-64-1:tanh", data: "synthetic:teacher:noise=0.1", batch_size: 128, epochs: 40 },
    Problem {
        model: "resnet20",
        data: "synthetic:images:samples=500,channels=1,size=8,spread=2",
        batch_size: 50,
        epochs: 10,
    },
    Problem { model: "gpt:width=32,depth=2,heads=2", data: "synthetic:tokens:samples=500", batch_size: 32, epochs: 10 },
];

impl Problem {
    fn run(&self, sgd: SgdSettings, seed: u64) -> Result<End> {
        let settings = Settings {
            model: self.model.into(),
            data: self.data.into(),
            batch_size: self.batch_size,
            epochs: self.epochs,
            optimizer: OptimizerSettings::Sgd(sgd),
            seed,
            ..Settings::default()
        };
        let directory = tempfile::tempdir()?;
        let run = train(&settings, directory.path(), &mut |_| Ok(()))?;
        let epochs = &run.history.epochs;
        let last = epochs.last().filter(|_| run.diverged.is_none());
        let chosen = epochs.iter().filter_map(|epoch| epoch.observed.get("controller_gradient_equivalents"));
        Ok(End {
            loss: last.map_or(f64::INFINITY, |last| last.train_loss),
            accuracy: last.and_then(|last| last.test_accuracy),
            gradients: run.steps_taken as f64 + chosen.sum::<f64>(),
        })
    }

    /// The ends of all seeds.
    fn ends(&self, sgd: SgdSettings) -> Result<Vec<End>> {
        (0..SEEDS).map(|seed| self.run(sgd, seed)).collect()
    }
}

/// What a run ended with.
struct End {
    /// The train loss; infinite of a run that diverged.
    loss: f64,
    /// On the test split; absent where there are no classes.
    accuracy: Option<f64>,
    /// What its steps, and the choice of their length, cost in gradients on a batch.
    gradients: f64,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The standard deviation with the unbiased variance.
fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64).sqrt()
}

fn mean_loss(ends: &[End]) -> f64 {
    mean(&ends.iter().map(|end| end.loss).collect::<Vec<_>>())
}

/// Digits behind the point that show three figures of a value.
fn decimals(value: f64) -> usize {
    (2.0 - value.log10().floor()).clamp(0.0, 20.0) as usize
}

/// Mean and standard deviation of the losses, and of the accuracies where there are classes.
fn readable(ends: &[End]) -> String {
    let losses: Vec<f64> = ends.iter().map(|end| end.loss).collect();
    match losses.iter().filter(|loss| loss.is_infinite()).count() {
        0 => {}
        diverged => return format!("{diverged} of {SEEDS} diverged"),
    }
    let (loss, spread) = (mean(&losses), deviation(&losses));
    let loss = match loss {
        1e-4..1e4 => format!("{loss:.0$} ± {spread:.0$}", decimals(loss)),
        _ => format!("{loss:.2e} ± {spread:.0e}"),
    };
    let accuracies: Vec<f64> = ends.iter().filter_map(|end| Some(100.0 * end.accuracy?)).collect();
    match accuracies.is_empty() {
        true => loss,
        false => format!("{loss}, {:.1} ± {:.1} %", mean(&accuracies), deviation(&accuracies)),
    }
}

/// Prints a row of the table.
fn print_row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

fn main() -> Result<()> {
    let fixed = LEARNING_RATES.iter().flat_map(|&rate| {
        MOMENTA.map(|momentum| {
            let sgd = SgdSettings { learning_rate: rate.into(), momentum, ..SgdSettings::default() };
            (format!("{rate}, {momentum}"), sgd)
        })
    });
    let automatic = SgdSettings { learning_rate: LearningRate::Automatic, ..SgdSettings::default() };
    let settings: Vec<(String, SgdSettings)> = fixed.chain([("**auto**".into(), automatic)]).collect();

    let mut cells: Vec<Vec<String>> = settings.iter().map(|(name, _)| vec![name.clone()]).collect();
    let mut ranks: Vec<Vec<f64>> = vec![Vec::new(); settings.len()];
    let mut costs = vec!["gradients: fixed, auto".to_owned()];
    for (number, problem) in (1..).zip(&PROBLEMS) {
        let Problem { model, data, batch_size, epochs } = problem;
        println!("{number}. `{model}` on `{data}`, batch size {batch_size}, {epochs} epochs");
        let ends = settings.iter().map(|(name, sgd)| {
            eprintln!("problem {number} of {}: {name}", PROBLEMS.len());
            problem.ends(*sgd)
        });
        let ends = ends.collect::<Result<Vec<_>>>()?;
        let losses: Vec<f64> = ends.iter().map(|ends| mean_loss(ends)).collect();
        for (index, loss) in losses.iter().enumerate() {
            let rank = 1 + losses.iter().filter(|other| *other < loss).count();
            ranks[index].push(rank as f64);
            cells[index].push(format!("{rank}: {}", readable(&ends[index])));
        }
        let gradients = |ends: &[End]| mean(&ends.iter().map(|end| end.gradients).collect::<Vec<_>>());
        costs.push(format!("{:.0}, {:.0}", gradients(&ends[0]), gradients(&ends[settings.len() - 1])));
    }

    let numbers = (1..=PROBLEMS.len()).map(|number| number.to_string());
    let head: Vec<String> =
        ["learning rate, momentum".into()].into_iter().chain(numbers).chain(["mean rank".into()]).collect();
    println!();
    print_row(&head);
    print_row(&vec!["---".into(); head.len()]);
    for (mut cells, ranks) in cells.into_iter().zip(&ranks) {
        cells.push(format!("{:.1}", mean(ranks)));
        print_row(&cells);
    }
    costs.push(String::new());
    print_row(&costs);
    Ok(())
}
