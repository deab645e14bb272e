//! Directions: where they come from, and how they are scaled.

use std::path::{Path, PathBuf};

use basin_landscape::{Direction, Eigenvectors, Rank, eigenvectors, ignored, normalized, without_ignored};
use basin_objective::weights::Weights;
use basin_objective::{Error, Network, Objective as _, Result};
use basin_records::spectrum::Eigenvalue;
use basin_records::surface::Normalization;
use basin_sharpness::lanczos::Lanczos;
use candle_core::{DType, Device, Tensor};

use crate::arguments::{BiasesArgument, Common, DirectionArgument, ScalingArguments};
use crate::commands::iterates::Iterates;
use crate::commands::line::require_one_subject;
use crate::interruption;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::table::number;

/// The key that says how the directions in a file were scaled.
pub(crate) const NORMALIZATION: &str = "normalization";

/// A direction with what is said of it.
pub(crate) struct Axis {
    pub(crate) direction: Direction,
    /// ‖d‖.
    pub(crate) norm: f64,
    pub(crate) normalized: bool,
    pub(crate) eigenvalue: Option<Eigenvalue>,
    /// What tells it from other directions.
    pub(crate) identity: String,
}

/// Where a direction comes from.
pub(crate) enum Source {
    /// It leads to another checkpoint.
    Towards(Box<Subject>),
    /// It is the draw of a number.
    Random(usize),
    /// It is that of steepest ascent.
    Gradient,
    Eigenvector(Rank),
    Component {
        run: PathBuf,
        place: usize,
    },
    File {
        path: PathBuf,
        prefix: Option<String>,
    },
}

/// How directions that are drawn or read are scaled to the weights of a checkpoint.
pub(crate) struct Scaling<'a> {
    subject: &'a Subject,
    theta: Tensor,
    normalization: Normalization,
    keeps_biases: bool,
}

/// Directions as they were found, not yet scaled, and the products with the Hessian that this took.
pub(crate) struct Unscaled {
    pub(crate) axes: Vec<Axis>,
    pub(crate) products: usize,
}

impl Source {
    /// What was typed; `number` tells random directions apart.
    pub(crate) fn named(direction: DirectionArgument, number: usize) -> Self {
        match direction {
            DirectionArgument::Random => Self::Random(number),
            DirectionArgument::Gradient => Self::Gradient,
            DirectionArgument::Eigenvector(rank) => Self::Eigenvector(rank),
            DirectionArgument::Component { run, place } => Self::Component { run, place },
            DirectionArgument::File { path, prefix } => Self::File { path, prefix },
        }
    }

    /// Towards another checkpoint of the same model, data and loss.
    pub(crate) fn towards(path: &Path, common: &Common, subject: &Subject) -> Result<Self> {
        let to = Subject::load(path, common)?;
        subject.require_same_model(&to)?;
        require_one_subject(subject, &to)?;
        Ok(Self::Towards(Box::new(to)))
    }
}

impl Axis {
    /// A direction that is what it is, whatever the weights.
    fn exact(direction: Direction, identity: String) -> Result<Self> {
        Ok(Self { norm: direction.norm()?, direction, normalized: false, eigenvalue: None, identity })
    }

    /// A principal component has length 1: coordinates along it are displacements.
    pub(crate) fn of_component(direction: Direction, iterates: &Iterates) -> Result<Self> {
        let identity = format!("{} of {}", direction.name, iterates.identity());
        Self::exact(direction, identity)
    }
}

fn towards(theta: &Tensor, to: &Subject) -> Result<Axis> {
    let direction = Direction::between(theta, &to.theta, format!("towards {}", to.path.display()))?;
    Axis::exact(direction, format!("towards {:.8}", to.checkpoint().blake3.unwrap_or_default()))
}

/// ∇L/‖∇L‖ of the training loss.
fn gradient(theta: &Tensor, network: &Network<'_>) -> Result<Axis> {
    let (_, gradient) = network.gradient(theta)?;
    let vector = gradient.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
    let direction = Direction { name: "gradient".into(), vector };
    let norm = direction.norm()?;
    if norm == 0.0 || !norm.is_finite() {
        let message = format!("the gradient has the norm {norm}: there is no direction of steepest ascent");
        return Err(Error::input(message, "take another direction, such as eigenvector:1"));
    }
    Axis::exact(Direction { vector: (direction.vector / norm)?, ..direction }, "the gradient".into())
}

/// A principal component of the checkpoints of a run, which need not hold the plane's own.
fn component(run: &Path, place: usize, common: &Common, subject: &Subject) -> Result<Axis> {
    let iterates = Iterates::of_run(run, common)?;
    subject.require_same_model(&iterates.subjects[0])?;
    let mut directions = iterates.principal_components(place)?.directions;
    Axis::of_component(directions.swap_remove(place - 1), &iterates)
}

/// The eigenvectors among the sources, by one run of Lanczos, and the products it took.
fn found(
    sources: &[Source],
    subject: &Subject,
    network: &Network<'_>,
    common: &Common,
) -> Result<(Vec<(Direction, Eigenvalue)>, usize)> {
    let rank = |source: &Source| match source {
        Source::Eigenvector(rank) => Some(*rank),
        _ => None,
    };
    let ranks: Vec<Rank> = sources.iter().filter_map(rank).collect();
    if ranks.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let machine = &common.machine;
    let lanczos = Lanczos { memory: machine.memory, seed: common.seed, ..Lanczos::default() };
    let what = format!("eigenvectors {}", subject.path.display());
    let mut progress = Progress::new(what, lanczos.max_products as u64, machine.quiet);
    let Eigenvectors { found, products } = eigenvectors(network, &subject.theta, &ranks, &lanczos, |at| {
        progress.set(at.products as u64, format!("{} products, residual {}", at.products, number(at.residual)));
        interruption::check()
    })?;
    Ok((found, products))
}

impl<'a> Scaling<'a> {
    pub(crate) fn new(arguments: &ScalingArguments, subject: &'a Subject) -> Result<Self> {
        Ok(Self {
            subject,
            theta: subject.theta.to_device(&Device::Cpu)?.to_dtype(DType::F64)?,
            normalization: arguments.normalize.into(),
            keeps_biases: arguments.biases == BiasesArgument::Kept,
        })
    }

    /// The directions of some sources; those that are to be scaled leave out what they ignore.
    pub(crate) fn unscaled(&self, sources: &[Source], network: &Network<'_>, common: &Common) -> Result<Unscaled> {
        let theta = &self.subject.theta;
        let (found, products) = found(sources, self.subject, network, common)?;
        let mut found = found.into_iter();
        let mut axis = |source: &Source| match source {
            Source::Towards(to) => towards(theta, to),
            Source::Random(number) => self.random(common.seed, *number),
            Source::Gradient => gradient(theta, network),
            Source::Component { run, place } => component(run, *place, common, self.subject),
            Source::File { path, prefix } => self.read(path, prefix.as_deref()),
            Source::Eigenvector(_) => match found.next() {
                Some((direction, eigenvalue)) => {
                    let identity = format!("{} of seed {}", direction.name, common.seed);
                    Ok(Axis { eigenvalue: Some(eigenvalue), ..Axis::exact(direction, identity)? })
                }
                None => {
                    Err(Error::input("an eigenvector was not found", "ask for one nearer to the end of the spectrum"))
                }
            },
        };
        Ok(Unscaled { axes: sources.iter().map(&mut axis).collect::<Result<_>>()?, products })
    }

    /// How the axes are scaled that are normalised; not at all where none is.
    pub(crate) fn normalization(&self, axes: &[&Axis]) -> Normalization {
        if axes.iter().any(|axis| axis.normalized) { self.normalization } else { Normalization::None }
    }

    /// The tensors that do not change along the axes that are normalised.
    pub(crate) fn ignored(&self, axes: &[&Axis]) -> Vec<String> {
        let normalizes = axes.iter().any(|axis| axis.normalized);
        if normalizes && !self.keeps_biases { ignored(self.subject.model.parameters()) } else { Vec::new() }
    }

    fn axis(&self, direction: Direction, identity: &str) -> Result<Axis> {
        let biases = if self.keeps_biases { "kept" } else { "ignored" };
        let identity = format!("{identity} (normalisation {}, biases {biases})", self.normalization);
        let direction = Direction { vector: self.masked(&direction.vector)?, ..direction };
        Ok(Axis { norm: direction.norm()?, direction, normalized: true, eigenvalue: None, identity })
    }

    fn random(&self, seed: u64, index: usize) -> Result<Axis> {
        let direction = Direction::random(self.subject.model.parameters().len(), seed, index)?;
        self.axis(direction, &format!("random direction {index} of seed {seed}"))
    }

    /// The direction in a file, under the parameters' names behind a prefix.
    fn read(&self, path: &Path, prefix: Option<&str>) -> Result<Axis> {
        let mut file = Weights::read(path)?;
        if self.normalization != Normalization::None
            && file.metadata.get(NORMALIZATION).is_some_and(|how| *how == Normalization::Weight.to_string())
        {
            return Err(Error::input(
                format!("the directions in `{}` are already scaled by the weights of a checkpoint", path.display()),
                "take them as they are with `--normalize none`",
            ));
        }
        let name = match prefix {
            Some(prefix) => format!("{}:{prefix}", path.display()),
            None => path.display().to_string(),
        };
        if let Some(prefix) = prefix {
            let under = |name: &str| Some(name.strip_prefix(prefix)?.strip_prefix('.')?.to_owned());
            file.tensors =
                file.tensors.into_iter().filter_map(|(name, tensor)| Some((under(&name)?, tensor))).collect();
        }
        let entries = self.subject.model.parameters().entries().iter();
        let expected: Vec<_> = entries.map(|entry| (entry.name.clone(), entry.shape.clone())).collect();
        let vector = file.gather(&expected, &[], DType::F64)?.parameters;
        let identity = format!("the file {:.8}:{}", file.fingerprint, prefix.unwrap_or_default());
        self.axis(Direction { name, vector }, &identity)
    }

    /// A direction without what it leaves out.
    pub(crate) fn masked(&self, vector: &Tensor) -> Result<Tensor> {
        if self.keeps_biases { Ok(vector.clone()) } else { without_ignored(vector, self.subject.model.parameters()) }
    }

    /// An axis scaled to the weights, if it is one that is.
    pub(crate) fn scaled(&self, axis: Axis) -> Result<Axis> {
        let mut direction = axis.direction;
        if axis.normalized {
            let layout = self.subject.model.parameters();
            direction.vector = normalized(&direction.vector, &self.theta, layout, self.normalization)?;
        }
        let norm = direction.norm()?;
        if norm == 0.0 {
            return Err(Error::input(
                format!("the direction {} is zero", direction.name),
                "change biases too with `--biases kept`, or give another direction",
            ));
        }
        Ok(Axis { direction, norm, ..axis })
    }
}
