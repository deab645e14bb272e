//! What `basin train` and `basin study` take.

use std::path::PathBuf;

use basin_objective::models::Dropout;
use basin_objective::weights::Rename;
use basin_training::{Augmentation, BatchSchedule, Observable, Scaling};
use clap::Args;

use super::{InputArguments, Machine, OptimizerArguments, shard};

/// How a network is trained.
#[derive(Clone, Debug, Args)]
pub(crate) struct TrainingSettings {
    /// Model: f1, f2, c1 … c4, or like mlp:64-128-10:relu or …:relu:bn; a network of torch.export.save like net.pt2, or
    /// net.pt2:from-scratch to draw its weights anew.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Data: digits, mnist:DIR, cifar10:DIR, cifar100:DIR, images:DIR, parquet:FILE, csv:FILE, tokens:FILE,
    /// safetensors:FILE, npz:FILE or synthetic:….
    #[arg(long)]
    pub(crate) data: Option<String>,
    /// Loss: cross-entropy (default for classes), next-token (labels shifted by one), mse (default for numbers) or bce; with
    /// settings like cross-entropy:label-smoothing=0.1,class-weights=1/2/0.5.
    #[arg(long)]
    pub(crate) loss: Option<String>,
    #[command(flatten)]
    pub(crate) inputs: InputArguments,
    /// Train on the first N samples only.
    #[arg(long, value_name = "N")]
    pub(crate) samples: Option<usize>,
    /// Observe besides: gradient, stride, loss-stride, distance, radius-estimate along every epoch; radius, noise-scale,
    /// lambda-max, batch-sharpness, alignment, keskar take products.
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    pub(crate) observe: Option<Vec<Observable>>,
    /// Epochs between two observations of those that take products; 1 when absent.
    #[arg(long, value_name = "EPOCHS")]
    pub(crate) observe_every: Option<u64>,
    /// Change training images at random: flip, rotate:DEGREES, translate:SHARE, as in flip,rotate:10,translate:0.2.
    #[arg(long, value_name = "HOW")]
    pub(crate) augment: Option<Augmentation>,
    /// Leave this share of each batch, the samples with the smallest losses, out of its step.
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    pub(crate) discard: Option<f64>,
    /// Epochs in which samples are discarded, from the first; all when absent.
    #[arg(long, value_name = "EPOCHS")]
    pub(crate) discard_epochs: Option<u64>,
    /// Replace each training label with this chance by a class drawn evenly.
    #[arg(long, value_name = "SHARE", allow_hyphen_values = true)]
    pub(crate) label_noise: Option<f64>,
    /// Zero activations with this chance in training: a rate such as 0.5, published for the rates of the model's paper, or
    /// none.
    #[arg(long, value_name = "none|published|RATE", allow_hyphen_values = true)]
    pub(crate) dropout: Option<Dropout>,
    /// Train on samples that are moved to where their losses are larger, each number by at most RADIUS, as in
    /// --adversarial 0.1.
    #[arg(long, value_name = "RADIUS", allow_hyphen_values = true)]
    pub(crate) adversarial: Option<f64>,
    /// Gradient steps that find where; 1 when absent.
    #[arg(long, value_name = "N")]
    pub(crate) adversarial_steps: Option<usize>,
    /// Largest number of epochs.
    #[arg(long)]
    pub(crate) epochs: Option<u64>,
    /// Stop when the train loss has not fallen by 1 % in this many epochs.
    #[arg(long, value_name = "EPOCHS")]
    pub(crate) patience: Option<u64>,
    #[command(flatten)]
    pub(crate) optimizer: OptimizerArguments,
    /// Decay of the learning rate: constant, step:EPOCHS:FACTOR, cosine or poly:POWER, like poly:2.
    #[arg(long)]
    pub(crate) schedule: Option<String>,
    /// Epochs over which the learning rate rises to its full value.
    #[arg(long, value_name = "EPOCHS", allow_hyphen_values = true)]
    pub(crate) warmup: Option<f64>,
    /// How the learning rate follows the batch size: none, linear, sqrt or legw, which lengthens the warm-up too.
    #[arg(long)]
    pub(crate) scaling: Option<Scaling>,
    /// The batch size for which the learning rate is given, where it is scaled.
    #[arg(long, value_name = "N")]
    pub(crate) reference_batch_size: Option<usize>,
    /// What the batch size becomes: constant, first:epochs=1,batch-size=512,learning-rate=0.005,
    /// grow:epochs=20,factor=2,rate=0.75[,largest=N], norm-test:eta=0.1, inner-product-test:theta=0.5 or
    /// augmented-test:theta=0.5,nu=1, tests also with ,interval=1,largest=N; settings left out are these.
    #[arg(long)]
    pub(crate) batch_schedule: Option<BatchSchedule>,
    /// Samples whose gradient is computed at a time, to bound memory; the gradient is that of the batch.
    #[arg(long, value_name = "N")]
    pub(crate) micro_batch: Option<usize>,
    /// Samples that batch norm takes its statistics over: the whole batch when absent.
    #[arg(long, value_name = "N")]
    pub(crate) ghost_batch: Option<usize>,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) settings: TrainingSettings,
    /// Samples of one optimizer step.
    #[arg(long, default_value_t = 64)]
    pub(crate) batch_size: usize,
    /// Start from the weights of this checkpoint instead of drawn ones; a checkpoint of basin names model, data and loss.
    #[arg(long, value_name = "CKPT")]
    pub(crate) start: Option<String>,
    /// Give tensors of that checkpoint other names, as often as needed: FROM=TO, with * for any part of a name.
    #[arg(long, value_name = "FROM=TO", requires = "start")]
    pub(crate) rename: Vec<Rename>,
    /// Seed of initial weights and shuffling.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Write a checkpoint before the first epoch and after every so many.
    #[arg(long, value_name = "EPOCHS")]
    pub(crate) checkpoint_every: Option<u64>,
    /// The run's directory; the same command continues a run there.
    #[arg(long, value_name = "DIR", default_value = "runs/train")]
    pub(crate) out: PathBuf,
    /// Print the record as JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

#[derive(Debug, Args)]
pub(crate) struct Study {
    /// A study file; options given beside it win.
    #[arg(value_name = "STUDY.toml")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: TrainingSettings,
    /// Batch sizes to compare.
    #[arg(long, value_delimiter = ',')]
    pub(crate) batch_sizes: Option<Vec<usize>>,
    /// Number of seeds, 0 to N − 1, for each batch size.
    #[arg(long, value_name = "N")]
    pub(crate) seeds: Option<u64>,
    /// Do the i-th of n parts of the runs, like 1/4, to share the work among machines: `basin report` draws what the parts
    /// left once it lies in one directory, and the same command without this does what is left to do there.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<(usize, usize)>,
    /// Where the study's checkpoints, records and page go.
    #[arg(long, value_name = "DIR", default_value = "runs/study")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) machine: Machine,
}
