//! What can be typed.

mod batch_hessian;
mod compare;
mod inputs;
mod line;
mod optimizer;
mod path;
mod plane;
mod ratio;
mod spectrum;
mod training;
mod trajectory;

use std::path::PathBuf;

use basin_objective::Error;
use basin_objective::weights::Rename;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use batch_hessian::{BatchHessian, BatchMatrixArgument};
pub(crate) use compare::Compare;
pub(crate) use inputs::{Expected, InputArguments};
pub(crate) use line::Line;
pub(crate) use optimizer::OptimizerArguments;
pub(crate) use path::Path;
pub(crate) use plane::{
    BiasesArgument, DirectionArgument, DirectionArguments, FormatArgument, Plane, Points, Ranges, ScalingArguments,
    StatisticsArgument,
};
pub(crate) use ratio::Ratio;
pub(crate) use spectrum::{
    EigenvalueSettings, EstimateSettings, MatrixArgument, MatrixSettings, Spectrum, TraceArgument,
};
pub(crate) use training::{Study, Train, TrainingSettings};
pub(crate) use trajectory::Trajectory;

/// Sharpness and loss landscapes of saved checkpoints.
///
/// basin reads networks of torch.export.save (.pt2) and ONNX files (.onnx), with --data, and checkpoints of safetensors and
/// torch.save (basin's own need no option, others need --model and --data). It says how sharp the minimum is, how sure that figure is, and how it
/// compares with minima found at other batch sizes.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 internal error, 2 bad input, 3 not converged, 130 interrupted.\n\
    Example: basin study --data digits --batch-sizes 16,144 --seeds 3")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Train at several batch sizes and seeds, measure the minima, and write a report.
    #[command(
        after_help = "Example: basin study --data mnist:DIR --model f1 --batch-sizes 256,6000 --epochs 20 --out f1-study\n\
        The same command continues an interrupted study."
    )]
    #[command(allow_negative_numbers = true)]
    Study(Study),
    /// Train one network: checkpoints and history.
    #[command(after_help = "Examples:\n  basin train --data digits --batch-size 32 --epochs 50 --out run\n  \
        basin train --batch-size 1024 --optimizer sgd --schedule poly:2 --warmup 5 --scaling linear \\\n    \
        --reference-batch-size 256 --micro-batch 128 --out large\n  \
        basin train --optimizer sgd --batch-schedule norm-test:eta=0.5,interval=10,largest=512")]
    #[command(allow_negative_numbers = true)]
    Train(Train),
    /// Measure Keskar's sharpness: the largest loss in an ε-neighbourhood.
    #[command(
        after_help = "Examples:\n  basin keskar last.safetensors --epsilon 1e-3,5e-4 --subspace full,manifold\n  \
        basin keskar net.safetensors --model f1 --data mnist:DIR --standardize mnist --expect-accuracy 99.05%"
    )]
    #[command(allow_negative_numbers = true)]
    Keskar(Keskar),
    /// Measure sharpness in other ways: worst and average cases in balls, flatness, critical sharpness and more.
    #[command(
        after_help = "Example: basin sharpness last.safetensors --measure adaptive-worst,fisher-rao --norm l2 --rho 0.5,1"
    )]
    #[command(allow_negative_numbers = true)]
    Sharpness(Sharpness),
    /// Find eigenvalues, density, trace, norm and diagonal of the Hessian or another curvature matrix.
    #[command(after_help = "Example: basin spectrum last.safetensors --top 5 --bottom 2 --trace --density --per-layer")]
    #[command(allow_negative_numbers = true)]
    Spectrum(Spectrum),
    /// Measure the curvature of mini-batches against that of all samples, and the learning rates it allows.
    #[command(after_help = "Example: basin batch-hessian last.safetensors --batch-sizes 8,64,512 --draws 10")]
    #[command(allow_negative_numbers = true)]
    BatchHessian(BatchHessian),
    /// Put minima side by side: losses, sharpness, eigenvalues, norms, and how they rank with the generalization gap.
    #[command(
        after_help = "Examples:\n  basin compare small.safetensors large.safetensors --measure adaptive-worst,relative-flatness\n  \
        basin compare small.safetensors large.safetensors --out comparison"
    )]
    #[command(allow_negative_numbers = true)]
    Compare(Compare),
    /// Evaluate the loss along lines and on planes through minima.
    #[command(subcommand)]
    Landscape(Landscape),
    /// Draw figures and page again from the records in a directory.
    #[command(after_help = "Example: basin report runs/study")]
    Report(Report),
    /// Say what a checkpoint, a data file, a record or a data spec holds.
    #[command(after_help = "Examples:\n  basin inspect model.safetensors\n  \
        basin inspect model.safetensors --model c1 --data images:DIR --resize 32x32 --standardize cifar10\n  \
        basin inspect images:DIR --resize 256 --center-crop 224")]
    Inspect(Inspect),
}

/// What is analysed, where and how; every analysing command takes these.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Model: a .pt2 file of torch.export.save or an .onnx file, or f1, f2, c1 … c4, or like mlp:64-128-10:relu or …:relu:bn,
    /// or by others' names like torchvision/resnet50 and hf-gpt2; where the checkpoint is a network's file or basin's own, none
    /// is needed.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Data: digits, mnist:DIR, cifar10:DIR, cifar100:DIR, images:DIR, parquet:FILE, csv:FILE, tokens:FILE,
    /// safetensors:FILE, npz:FILE, synthetic:…; a checkpoint of basin names its own.
    #[arg(long)]
    pub(crate) data: Option<String>,
    #[command(flatten)]
    pub(crate) inputs: InputArguments,
    #[command(flatten)]
    pub(crate) expected: Expected,
    /// The part of the data that is analysed.
    #[arg(long, value_enum, default_value_t = SplitArgument::Train)]
    pub(crate) split: SplitArgument,
    /// Loss: cross-entropy (default for classes), next-token (labels shifted by one), mse (default for numbers) or bce; with
    /// settings like cross-entropy:label-smoothing=0.1,class-weights=1/2/0.5.
    #[arg(long)]
    pub(crate) loss: Option<String>,
    /// Measure in the parameters whose names match alone, like layer4.* or *.bias; the others stay fixed.
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    pub(crate) parameters: Vec<String>,
    /// Analyse the first N samples only.
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<usize>,
    /// Samples of one sweep; no figure depends on it.
    #[arg(long, value_name = "N")]
    pub(crate) micro_batch: Option<usize>,
    /// The statistics that batch norm uses. With those of the batch, all samples analysed are one batch.
    #[arg(long, value_enum, default_value_t = BatchNormArgument::Stored)]
    pub(crate) batch_norm: BatchNormArgument,
    /// Rename tensors of the checkpoint, such as net.0=fc1: FROM is the beginning of a name in whole dotted parts, * any one
    /// part (net.*.weight=fc*.weight). Repeat for more rules; the first that matches counts.
    #[arg(long, value_name = "FROM=TO")]
    pub(crate) rename: Vec<Rename>,
    #[command(flatten)]
    pub(crate) machine: Machine,
    /// Seed of everything drawn.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Append the record to this file, one JSON line each.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Print the record as JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BatchNormArgument {
    /// The running averages in the checkpoint.
    Stored,
    /// Mean and variance of the samples analysed, as in training.
    Batch,
}

/// Where and in which numbers is computed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Machine {
    /// Device: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto")]
    pub(crate) device: String,
    /// The numbers to compute in: f32 when absent; eigenvalues that drown in its rounding are then computed again in f64.
    #[arg(long, value_enum)]
    pub(crate) dtype: Option<DtypeArgument>,
    /// Threads on the CPU; the results' bits do not depend on them.
    #[arg(long, value_name = "N", value_parser = threads)]
    pub(crate) threads: Option<usize>,
    /// Memory for linearizations and the sweeps over them, like 2GiB or 500MB, and as much for the data, which is read anew for
    /// each sweep where it takes more; 4GiB when absent.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) memory: Option<u64>,
    /// Say more.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Show no progress.
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitArgument {
    Train,
    Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DtypeArgument {
    F32,
    F64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SubspaceArgument {
    /// All weights: A = I.
    Full,
    /// A random manifold θ + A y.
    Manifold,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColumnsArgument {
    /// Normal entries of variance 1.
    Gaussian,
    /// Entries uniform in ±1.
    Uniform,
    /// Orthonormal columns.
    Orthonormal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MeasureArgument {
    /// Every measure below that the data allows.
    All,
    /// Largest rise of the loss in a ball, a lower bound.
    Worst,
    /// The same with distances relative to each weight.
    AdaptiveWorst,
    /// Expected rise of the loss under noise on the weights.
    Average,
    /// The same with noise in proportion to each weight.
    AdaptiveAverage,
    /// Rise of the loss after SAM's one step.
    Sam,
    /// Rise of the loss after ASAM's one step.
    Asam,
    /// Norm of the gradient.
    GradientNorm,
    /// Squared Fisher-Rao norm with the Fisher matrix of the model's predictions.
    FisherRao,
    /// Squared Fisher-Rao norm with the empirical Fisher matrix.
    EmpiricalFisherRao,
    /// Relative flatness of each layer.
    RelativeFlatness,
    /// Noise scale that costs 0.1 of accuracy.
    PacBayes,
    /// The same with noise in proportion to each weight.
    AdaptivePacBayes,
    /// 2/η with the smallest step η along the gradient that does not lower the loss.
    Critical,
    /// Largest eigenvalue of the Hessian.
    #[value(name = "lambda_max", alias = "lambda-max")]
    LambdaMax,
    /// Trace of the Hessian.
    Trace,
    /// Frobenius norm of the Hessian.
    Frobenius,
}

impl MeasureArgument {
    /// What `all` stands for.
    pub(crate) const EVERY: [Self; 16] = [
        Self::Worst,
        Self::AdaptiveWorst,
        Self::Average,
        Self::AdaptiveAverage,
        Self::Sam,
        Self::Asam,
        Self::GradientNorm,
        Self::FisherRao,
        Self::EmpiricalFisherRao,
        Self::RelativeFlatness,
        Self::PacBayes,
        Self::AdaptivePacBayes,
        Self::Critical,
        Self::LambdaMax,
        Self::Trace,
        Self::Frobenius,
    ];

    /// Whether it can be had for classes alone.
    pub(crate) fn needs_accuracy(self) -> bool {
        matches!(self, Self::PacBayes | Self::AdaptivePacBayes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NormArgument {
    /// Euclidean.
    L2,
    /// Largest entry.
    Linf,
}

/// How Keskar's neighbourhood is searched.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeskarSettings {
    /// Half-widths of the neighbourhood: |step| ≤ ε (|weight| + 1).
    #[arg(long, value_delimiter = ',', default_value = "1e-3,5e-4", allow_hyphen_values = true)]
    pub(crate) epsilon: Vec<f64>,
    /// Where the maximum is sought.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "full,manifold")]
    pub(crate) subspace: Vec<SubspaceArgument>,
    /// Dimension of random manifolds.
    #[arg(long, default_value_t = 100)]
    pub(crate) dimension: usize,
    /// How the columns of a random manifold are drawn; the paper does not say how its own were.
    #[arg(long, value_enum, default_value_t = ColumnsArgument::Gaussian)]
    pub(crate) columns: ColumnsArgument,
    /// Random manifolds drawn.
    #[arg(long, default_value_t = 5)]
    pub(crate) draws: usize,
    /// Iterations of L-BFGS-B: the paper's definition.
    #[arg(long, default_value_t = 10)]
    pub(crate) iterations: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Keskar {
    /// Safetensors checkpoints.
    #[arg(required = true, value_name = "CKPT")]
    pub(crate) checkpoints: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: KeskarSettings,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The balls of worst and average cases.
#[derive(Clone, Debug, Args)]
pub(crate) struct BallSettings {
    /// Radii for every measure that has one; each measure's own when absent: worst 0.05 in l2 and 0.001 in linf,
    /// adaptive-worst 0.5 and 0.002, average 0.01, adaptive-average 0.1, sam 0.05, asam 0.5.
    #[arg(long, value_delimiter = ',', allow_hyphen_values = true)]
    pub(crate) rho: Option<Vec<f64>>,
    /// Norms of the balls.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "l2,linf")]
    pub(crate) norm: Vec<NormArgument>,
}

#[derive(Debug, Args)]
pub(crate) struct Sharpness {
    /// Safetensors checkpoints.
    #[arg(required = true, value_name = "CKPT")]
    pub(crate) checkpoints: Vec<PathBuf>,
    /// What is measured.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all")]
    pub(crate) measure: Vec<MeasureArgument>,
    #[command(flatten)]
    pub(crate) ball: BallSettings,
    /// Iterations of each start of a worst case.
    #[arg(long, default_value_t = 50)]
    pub(crate) iterations: usize,
    /// Starts of a worst case: the weights themselves, then random points of the ball.
    #[arg(long, default_value_t = 3)]
    pub(crate) starts: usize,
    /// Random draws of averages, noise and probes.
    #[arg(long, default_value_t = 32)]
    pub(crate) draws: usize,
    /// Measure again in f64.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Measure on K disjoint random subsets of the data too, whose spread says how many samples are enough.
    #[arg(long, value_name = "K")]
    pub(crate) subsets: Option<usize>,
    /// Normalize the outputs, (z − mean z)/‖z − mean z‖, before the loss: then their scale does not matter.
    #[arg(long)]
    pub(crate) normalize_logits: bool,
    /// A later checkpoint: critical sharpness is measured along the way there too.
    #[arg(long, value_name = "CKPT")]
    pub(crate) update: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Landscape {
    /// Loss and accuracy on the line (1 − α) A + α B between two checkpoints, or along directions through one.
    #[command(
        after_help = "Examples:\n  basin landscape line small.safetensors large.safetensors --points 61 --out line.jsonl\n  \
        basin landscape line a.safetensors b.safetensors --align --range=0,1 --points 25\n  \
        basin landscape line last.safetensors --along random,eigenvector:1,gradient --draws 10 --out along.jsonl\n\
        The same command continues an interrupted line that has an --out."
    )]
    #[command(allow_negative_numbers = true)]
    Line(Box<Line>),
    /// Loss and accuracy on the plane θ + x d₁ + y d₂ through a checkpoint.
    #[command(after_help = "Examples:\n  basin landscape plane last.safetensors --points 25 --out plane.json\n  \
        basin landscape plane last.safetensors --x eigenvector:1 --y eigenvector:2 --range=-2,2 --points 31x21\n  \
        basin landscape plane a.safetensors --towards b.safetensors --towards c.safetensors\n\
        The same command continues an interrupted plane that has an --out; OUT.csv and OUT.npz are written beside it.")]
    #[command(allow_negative_numbers = true)]
    Plane(Box<Plane>),
    /// A run's checkpoints in the plane in which they vary most, and the loss over that plane.
    #[command(after_help = "Examples:\n  basin landscape trajectory runs/train --out trajectory.json\n  \
        basin landscape trajectory epoch-1.safetensors epoch-5.safetensors epoch-20.safetensors \\\n    \
        --model mlp:784-300-10:relu --data mnist:DIR\n\
        Runs of `basin train --checkpoint-every 1` hold the checkpoints; the same command continues an interrupted one.")]
    #[command(allow_negative_numbers = true)]
    Trajectory(Box<Trajectory>),
    /// The Hessian's extremal eigenvalues and their ratio λ_min/λ_max on a plane through a checkpoint.
    #[command(after_help = "Examples:\n  basin landscape ratio last.safetensors --points 15 --out ratio.json\n  \
        basin landscape ratio a.safetensors --towards b.safetensors --y eigenvector:1 --points 21x11\n\
        The same command continues an interrupted map that has an --out; OUT.csv and OUT.npz are written beside it.")]
    #[command(allow_negative_numbers = true)]
    Ratio(Box<Ratio>),
    /// Train a curve of low loss from one checkpoint to another, and compare it with the straight line.
    #[command(after_help = "Examples:\n  basin landscape path a.safetensors b.safetensors --out path.jsonl\n  \
        basin landscape path a.safetensors b.safetensors --curve chain --bends 3 --align --save-bends bends.safetensors\n\
        The same command continues an interrupted path that has an --out.")]
    #[command(allow_negative_numbers = true)]
    Path(Box<Path>),
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// A directory with records.
    pub(crate) directory: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A checkpoint, a record, or a data spec such as digits or mnist:DIR.
    pub(crate) subject: String,
    /// The model whose names and shapes a foreign checkpoint is compared with.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// The data that sizes the model, and that a checkpoint is evaluated on.
    #[arg(long)]
    pub(crate) data: Option<String>,
    /// Rename tensors of the checkpoint, as other commands do, such as net.0=fc1.
    #[arg(long, value_name = "FROM=TO")]
    pub(crate) rename: Vec<Rename>,
    #[command(flatten)]
    pub(crate) inputs: InputArguments,
    #[command(flatten)]
    pub(crate) expected: Expected,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// A part of a number of parts.
fn shard(text: &str) -> Result<(usize, usize), Error> {
    let parts = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    parts
        .filter(|(part, parts)| (1..=*parts).contains(part))
        .ok_or_else(|| Error::input(format!("`{text}` is no part of a whole"), "write it like 1/4"))
}

/// A number of threads that a machine may have: too many would exhaust it.
fn threads(text: &str) -> Result<usize, Error> {
    const MOST: usize = 1024;
    let threads = text.parse().ok().filter(|threads| (1..=MOST).contains(threads));
    threads.ok_or_else(|| {
        Error::input(format!("expected a number from 1 to {MOST}"), "leave it out to use all cores of the machine")
    })
}

/// A number of bytes with an optional unit.
fn bytes(text: &str) -> Result<u64, Error> {
    let wrong = || Error::input(format!("`{text}` is not a size"), "write it like 2GiB, 500MB or 1000000");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| wrong())?;
    let size = number * unit as f64;
    if size.is_finite() && (1.0..1e18).contains(&size) { Ok(size as u64) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn threads_are_bounded() {
        assert_eq!(threads("2").ok(), Some(2));
        for text in ["0", "-1", "100000", "two"] {
            assert!(threads(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(bytes("2GiB").ok(), Some(2 << 30));
        assert_eq!(bytes("1.5k").ok(), Some(1500));
        assert_eq!(bytes("77").ok(), Some(77));
        for text in ["", "GiB", "-1", "1TBq", "nan", "0", "inf"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
