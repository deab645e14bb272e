//! What `basin landscape plane` takes.

use std::path::PathBuf;
use std::str::FromStr;

use basin_landscape::Rank;
use basin_objective::{Error, nearest};
use basin_records::spectrum::End;
use basin_records::surface::Normalization;
use clap::{Args, ValueEnum};

use super::{Common, shard};

/// Where a direction comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DirectionArgument {
    /// Drawn.
    Random,
    /// That of steepest ascent.
    Gradient,
    /// An eigenvector of the Hessian.
    Eigenvector(Rank),
    /// A principal component of the checkpoints of a run, counted from 1.
    Component {
        /// The directory of the run.
        run: PathBuf,
        /// 1 for the one of the largest variance.
        place: usize,
    },
    /// Read from a safetensors file, from the tensors under a prefix where there is one.
    File {
        /// The file.
        path: PathBuf,
        /// What stands before the parameters' names, without its dot.
        prefix: Option<String>,
    },
}

impl FromStr for DirectionArgument {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        const FILE: &str = ".safetensors";
        if text == "random" {
            return Ok(Self::Random);
        }
        if text == "gradient" {
            return Ok(Self::Gradient);
        }
        if let Some(number) = text.strip_prefix("eigenvector:") {
            let rank = match number.parse::<i32>() {
                Ok(place @ 1..) => Some((End::Top, place)),
                Ok(place @ ..=-1) => Some((End::Bottom, place)),
                _ => None,
            };
            return match rank {
                Some((end, place)) => Ok(Self::Eigenvector(Rank { end, place: place.unsigned_abs() as usize })),
                None => Err(Error::input(
                    format!("`{text}` is no eigenvector"),
                    "write eigenvector:1 for that of the largest eigenvalue, eigenvector:-1 for that of the smallest",
                )),
            };
        }
        if let Some(component) = text.strip_prefix("pca:") {
            let parts = component.split_once(':').and_then(|(place, run)| Some((place.parse().ok()?, run)));
            return match parts {
                Some((place @ 1.., run)) if !run.is_empty() => Ok(Self::Component { run: run.into(), place }),
                _ => Err(Error::input(
                    format!("`{text}` is no principal component"),
                    "write pca:1:RUN for the one along which the checkpoints in the directory RUN vary most",
                )),
            };
        }
        if let Some((path, prefix)) = text.rsplit_once(':').filter(|(path, _)| path.ends_with(FILE)) {
            return Ok(Self::File { path: path.into(), prefix: Some(prefix.into()) });
        }
        if text.ends_with(FILE) {
            return Ok(Self::File { path: text.into(), prefix: None });
        }
        let hint = match nearest(text, &["random", "gradient", "eigenvector:1"]) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "known: random, gradient, eigenvector:K, pca:K:RUN, FILE.safetensors, FILE.safetensors:PREFIX".into()
            }
        };
        Err(Error::input(format!("`{text}` is no direction"), hint))
    }
}

/// Points along x and along y.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Points {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

impl FromStr for Points {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (columns, rows) = text.split_once('x').unwrap_or((text, text));
        match (columns.parse(), rows.parse()) {
            (Ok(columns), Ok(rows)) => Ok(Self { columns, rows }),
            _ => Err(Error::input(
                format!("`{text}` is no number of points"),
                "write 25 for 25 along each axis, 25x19 for 25 along x and 19 along y",
            )),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NormalizationArgument {
    /// Not at all.
    None,
    /// Each filter to the norm of its weights.
    Filter,
    /// Each tensor to the norm of its weights.
    Layer,
    /// Each element times the size of its weight.
    Weight,
}

impl From<NormalizationArgument> for Normalization {
    fn from(normalization: NormalizationArgument) -> Self {
        match normalization {
            NormalizationArgument::None => Self::None,
            NormalizationArgument::Filter => Self::Filter,
            NormalizationArgument::Layer => Self::Layer,
            NormalizationArgument::Weight => Self::Weight,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BiasesArgument {
    /// Biases and parameters of norm layers stay what they are.
    Ignored,
    /// They change too, each tensor as one filter.
    Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatisticsArgument {
    /// Those in the checkpoint, at every point.
    Stored,
    /// Computed anew at each point on the training samples.
    Recomputed,
}

/// The two directions that span a plane.
#[derive(Debug, Args)]
pub(crate) struct DirectionArguments {
    /// Direction of the x axis: random, gradient, eigenvector:K of the Hessian (K = 1 the largest, -1 the smallest), pca:K:RUN
    /// for the K-th principal component of a run's checkpoints, or a file, FILE.safetensors or FILE.safetensors:PREFIX such
    /// as v.safetensors:top1; random when absent.
    #[arg(long, value_name = "DIRECTION")]
    pub(crate) x: Option<DirectionArgument>,
    /// Direction of the y axis; random when absent. It is made orthogonal to x where it is random.
    #[arg(long, value_name = "DIRECTION")]
    pub(crate) y: Option<DirectionArgument>,
    /// Another checkpoint that x leads to; given twice, the plane goes through all three.
    #[arg(long, value_name = "CKPT", conflicts_with = "x")]
    pub(crate) towards: Vec<PathBuf>,
    /// Take both directions from a file of `--save-directions`, from this or another checkpoint of the model.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["x", "y", "towards"])]
    pub(crate) directions: Option<PathBuf>,
    /// Save the directions as they are used, as safetensors under x.NAME and y.NAME with the parameters' names.
    #[arg(long, value_name = "FILE")]
    pub(crate) save_directions: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) scaling: ScalingArguments,
}

/// How directions are scaled.
#[derive(Debug, Args)]
pub(crate) struct ScalingArguments {
    /// How directions that are random or from a file are scaled to the weights.
    #[arg(long, value_enum, default_value_t = NormalizationArgument::Filter)]
    pub(crate) normalize: NormalizationArgument,
    /// Whether such directions change biases and parameters of norm layers.
    #[arg(long, value_enum, default_value_t = BiasesArgument::Ignored)]
    pub(crate) biases: BiasesArgument,
}

/// The rectangle of a plane.
#[derive(Debug, Args)]
pub(crate) struct Ranges {
    /// First and last coordinate along both axes; when absent -1,1, or -0.5,1.5 towards another checkpoint, or what holds all
    /// checkpoints of a trajectory.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "FIRST,LAST", allow_hyphen_values = true)]
    pub(crate) range: Option<Vec<f64>>,
    /// The same along x alone.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "FIRST,LAST", allow_hyphen_values = true)]
    pub(crate) x_range: Option<Vec<f64>>,
    /// The same along y alone.
    #[arg(long, value_delimiter = ',', num_args = 1, value_name = "FIRST,LAST", allow_hyphen_values = true)]
    pub(crate) y_range: Option<Vec<f64>>,
}

/// A file beside the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArgument {
    /// OUT.h5 in the layout of the loss-landscape tool of Li et al.
    Hdf5,
    /// OUT.vtk for ParaView.
    Vtk,
}

impl FormatArgument {
    /// What stands behind the dot of its file.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Hdf5 => "h5",
            Self::Vtk => "vtk",
        }
    }

    /// What was typed for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hdf5 => "hdf5",
            Self::Vtk => "vtk",
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Plane {
    /// The safetensors checkpoint at the origin.
    #[arg(value_name = "CKPT", required_unless_present = "merge")]
    pub(crate) checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) directions: DirectionArguments,
    #[command(flatten)]
    pub(crate) ranges: Ranges,
    /// Points along each axis, like 25, or along x and along y, like 25x19; odd numbers have the origin in the middle.
    #[arg(long, default_value = "25", value_name = "N|NxM")]
    pub(crate) points: Points,
    /// Add lines between neighbouring ones where the surface bends, so often at most: 2 may quarter the space between them.
    #[arg(long, value_name = "TIMES", conflicts_with = "shard")]
    pub(crate) refine: Option<u32>,
    /// The statistics of batch norm at each point; recomputed when absent.
    #[arg(long, value_enum)]
    pub(crate) batch_norm_statistics: Option<StatisticsArgument>,
    /// Evaluate the i-th of n parts of the rows, like 1/4, to share the work among machines.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<(usize, usize)>,
    /// Put the records of all parts together, instead of evaluating.
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["checkpoint", "shard"])]
    pub(crate) merge: Vec<PathBuf>,
    /// Write these files beside --out too; OUT.csv and OUT.npz are always written.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FORMAT")]
    pub(crate) also: Vec<FormatArgument>,
    #[command(flatten)]
    pub(crate) common: Common,
}
