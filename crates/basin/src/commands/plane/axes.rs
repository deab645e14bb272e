//! The two axes of a plane: where their directions come from, and how they are scaled.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use basin_landscape::{
    Direction, Eigenvectors, Projection, Rank, eigenvectors, ignored, normalized, project, without_ignored,
};
use basin_objective::weights::{self, Weights};
use basin_objective::{Error, Network, Result};
use basin_records::spectrum::Eigenvalue;
use basin_records::surface::{Mark, Normalization};
use basin_sharpness::lanczos::Lanczos;
use candle_core::{DType, Device, Tensor};

use crate::arguments::{BiasesArgument, Common, DirectionArgument, DirectionArguments};
use crate::commands::iterates::Iterates;
use crate::commands::line::require_one_subject;
use crate::interruption;
use crate::progress::Progress;
use crate::subject::Subject;
use crate::table::number;

/// The key that says how the directions in a file were scaled.
const NORMALIZATION: &str = "normalization";

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

/// Both axes.
pub(crate) struct Axes {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) cosine: f64,
    pub(crate) ignored: Vec<String>,
    pub(crate) marks: Vec<Mark>,
    /// The file that the directions were saved in or read from.
    pub(crate) file: Option<String>,
    /// How the axes that are normalised are scaled; not at all where there is none.
    pub(crate) normalization: Normalization,
    /// Products with the Hessian that eigenvectors took.
    pub(crate) products: usize,
}

/// Where a direction comes from.
enum Source {
    Towards(Box<Subject>),
    Named(DirectionArgument),
}

/// How directions that are neither found nor lead anywhere are scaled.
struct Scaling<'a> {
    subject: &'a Subject,
    theta: Tensor,
    normalization: Normalization,
    keeps_biases: bool,
}

impl Axis {
    /// A principal component has length 1 and is not scaled to the weights: coordinates along it are displacements.
    pub(crate) fn of_component(direction: Direction, iterates: &Iterates) -> Self {
        let identity = format!("{} of {}", direction.name, iterates.identity());
        Self { direction, norm: 1.0, normalized: false, eigenvalue: None, identity }
    }
}

impl Axes {
    pub(crate) fn new(
        arguments: &DirectionArguments,
        common: &Common,
        subject: &Subject,
        network: &Network<'_>,
    ) -> Result<Self> {
        let sources = sources(arguments, common, subject)?;
        let scaling = Scaling {
            subject,
            theta: subject.theta.to_device(&Device::Cpu)?.to_dtype(DType::F64)?,
            normalization: arguments.normalize.into(),
            keeps_biases: arguments.biases == BiasesArgument::Kept,
        };
        let (found, products) = found(&sources, subject, network, common)?;
        let mut found = found.into_iter();
        let seed = common.seed;
        let mut axis = |index: usize| match &sources[index] {
            Source::Towards(to) => towards(&subject.theta, to),
            Source::Named(DirectionArgument::Random) => scaling.random(seed, index),
            Source::Named(DirectionArgument::Component { run, place }) => component(run, *place, common, subject),
            Source::Named(DirectionArgument::File { path, prefix }) => scaling.read(path, prefix.as_deref()),
            Source::Named(DirectionArgument::Eigenvector(_)) => match found.next() {
                Some((direction, eigenvalue)) => {
                    let identity = format!("{} of seed {seed}", direction.name);
                    Ok(Axis {
                        norm: direction.norm()?,
                        direction,
                        normalized: false,
                        eigenvalue: Some(eigenvalue),
                        identity,
                    })
                }
                None => {
                    Err(Error::input("an eigenvector was not found", "ask for one nearer to the end of the spectrum"))
                }
            },
        };
        let (x, y) = (axis(0)?, axis(1)?);
        // Eigenvectors are orthogonal already, and a file's directions are taken as they are.
        let y = match sources[1] {
            Source::Towards(_) => Axis { direction: y.direction.orthogonal_to(&x.direction)?, ..y },
            Source::Named(DirectionArgument::Random) => {
                let along = Direction { vector: scaling.masked(&x.direction.vector)?, ..x.direction.clone() };
                Axis { direction: y.direction.orthogonal_to(&along)?, ..y }
            }
            Source::Named(_) => y,
        };
        let (x, y) = (scaling.scaled(x)?, scaling.scaled(y)?);
        let cosine = x.direction.cosine(&y.direction)?;
        // Parallel directions span no plane, wherever they come from.
        y.direction.clone().orthogonal_to(&x.direction)?;
        let marks = marks(subject, &sources, [&x.direction, &y.direction])?;
        let normalizes = x.normalized || y.normalized;
        let file = arguments.save_directions.as_ref().or(arguments.directions.as_ref());
        Ok(Self {
            cosine,
            normalization: if normalizes { scaling.normalization } else { Normalization::None },
            ignored: if normalizes && !scaling.keeps_biases { ignored(subject.model.parameters()) } else { Vec::new() },
            marks,
            file: file.map(|path| path.display().to_string()),
            products,
            x,
            y,
        })
    }

    /// The first two principal components of the checkpoints of a run.
    pub(crate) fn of_components(components: Vec<Direction>, iterates: &Iterates, file: Option<&Path>) -> Result<Self> {
        let mut axes = components.into_iter().map(|direction| Axis::of_component(direction, iterates));
        let (Some(x), Some(y)) = (axes.next(), axes.next()) else {
            return Err(Error::input("a plane has two components", "give more checkpoints"));
        };
        Ok(Self {
            cosine: x.direction.cosine(&y.direction)?,
            x,
            y,
            ignored: Vec::new(),
            marks: Vec::new(),
            file: file.map(|path| path.display().to_string()),
            normalization: Normalization::None,
            products: 0,
        })
    }

    /// What tells the axes from others.
    pub(crate) fn identities(&self) -> [&str; 2] {
        [&self.x.identity, &self.y.identity]
    }

    pub(crate) fn directions(&self) -> [&Direction; 2] {
        [&self.x.direction, &self.y.direction]
    }

    /// Writes `x.fc1.weight`, …, `y.fc1.weight`, ….
    pub(crate) fn save(&self, path: &Path, subject: &Subject) -> Result<()> {
        let layout = subject.model.parameters();
        let mut tensors = Vec::new();
        for (axis, Axis { direction, .. }) in [("x", &self.x), ("y", &self.y)] {
            let names = layout.entries().iter().map(|entry| format!("{axis}.{}", entry.name));
            tensors.extend(names.zip(layout.views(&direction.vector)?));
        }
        let metadata = BTreeMap::from([
            ("x".to_owned(), self.x.direction.name.clone()),
            ("y".to_owned(), self.y.direction.name.clone()),
            (NORMALIZATION.to_owned(), self.normalization.to_string()),
        ]);
        weights::write(path, &tensors, &metadata)
    }
}

/// The ranges of x and y where none was asked for: around the origin, or over the checkpoints that they lead to.
pub(crate) fn usual_ranges(arguments: &DirectionArguments) -> [RangeInclusive<f64>; 2] {
    [1, 2].map(|axis| if arguments.towards.len() >= axis { -0.5..=1.5 } else { -1.0..=1.0 })
}

/// Two sources, x before y.
fn sources(arguments: &DirectionArguments, common: &Common, subject: &Subject) -> Result<[Source; 2]> {
    let towards = arguments.towards.len();
    if towards > 2 {
        let message = format!("`--towards` names {towards} checkpoints, a plane goes through 3 with the origin");
        return Err(Error::input(message, "name at most 2"));
    }
    if towards == 2 && arguments.y.is_some() {
        let message = "two `--towards` make the plane, `--y` would be a third direction";
        return Err(Error::input(message, "leave out `--y` or one `--towards`"));
    }
    if let Some(path) = &arguments.directions {
        let under =
            |prefix: &str| Source::Named(DirectionArgument::File { path: path.clone(), prefix: Some(prefix.into()) });
        return Ok([under("x"), under("y")]);
    }
    let named =
        |direction: &Option<DirectionArgument>| Source::Named(direction.clone().unwrap_or(DirectionArgument::Random));
    let leads = |path: &Path| leading_to(path, common, subject).map(|to| Source::Towards(Box::new(to)));
    Ok(match &arguments.towards[..] {
        [] => [named(&arguments.x), named(&arguments.y)],
        [b] => [leads(b)?, named(&arguments.y)],
        [b, c, ..] => [leads(b)?, leads(c)?],
    })
}

/// Another checkpoint of the same model, data and loss.
fn leading_to(path: &Path, common: &Common, subject: &Subject) -> Result<Subject> {
    let to = Subject::load(path, common)?;
    subject.require_same_model(&to)?;
    require_one_subject(subject, &to)?;
    Ok(to)
}

fn towards(theta: &Tensor, to: &Subject) -> Result<Axis> {
    let direction = Direction::between(theta, &to.theta, format!("towards {}", to.path.display()))?;
    let identity = format!("towards {:.8}", to.checkpoint().blake3.unwrap_or_default());
    Ok(Axis { norm: direction.norm()?, direction, normalized: false, eigenvalue: None, identity })
}

/// A principal component of the checkpoints of a run, which need not hold the plane's own.
fn component(run: &Path, place: usize, common: &Common, subject: &Subject) -> Result<Axis> {
    let iterates = Iterates::of_run(run, common)?;
    subject.require_same_model(&iterates.subjects[0])?;
    let mut directions = iterates.principal_components(place)?.directions;
    Ok(Axis::of_component(directions.swap_remove(place - 1), &iterates))
}

/// The eigenvectors among the sources, by one run of Lanczos, and the products it took.
fn found(
    sources: &[Source],
    subject: &Subject,
    network: &Network<'_>,
    common: &Common,
) -> Result<(Vec<(Direction, Eigenvalue)>, usize)> {
    let rank = |source: &Source| match source {
        Source::Named(DirectionArgument::Eigenvector(rank)) => Some(*rank),
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

/// The checkpoints that the plane is made from, in its coordinates.
fn marks(subject: &Subject, sources: &[Source], directions: [&Direction; 2]) -> Result<Vec<Mark>> {
    let name = |subject: &Subject| subject.path.display().to_string();
    let mut marks = vec![Mark { name: name(subject), x: 0.0, y: 0.0, distance: 0.0 }];
    for source in sources {
        if let Source::Towards(to) = source {
            let Projection { x, y, distance } = project(&subject.theta, directions, &to.theta)?;
            marks.push(Mark { name: name(to), x, y, distance });
        }
    }
    Ok(marks)
}

impl Scaling<'_> {
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
    fn masked(&self, vector: &Tensor) -> Result<Tensor> {
        if self.keeps_biases { Ok(vector.clone()) } else { without_ignored(vector, self.subject.model.parameters()) }
    }

    /// An axis scaled to the weights, if it is one that is.
    fn scaled(&self, axis: Axis) -> Result<Axis> {
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
