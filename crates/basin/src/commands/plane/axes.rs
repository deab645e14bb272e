//! The two axes of a plane.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use basin_landscape::{Direction, Projection, project};
use basin_objective::weights;
use basin_objective::{Error, Network, Result};
use basin_records::surface::{Mark, Normalization};

use super::directions::{Axis, NORMALIZATION, Scaling, Source, Unscaled};
use crate::arguments::{Common, DirectionArgument, DirectionArguments};
use crate::commands::iterates::Iterates;
use crate::subject::Subject;

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

impl Axes {
    pub(crate) fn new(
        arguments: &DirectionArguments,
        common: &Common,
        subject: &Subject,
        network: &Network<'_>,
    ) -> Result<Self> {
        let sources = sources(arguments, common, subject)?;
        let scaling = Scaling::new(&arguments.scaling, subject)?;
        let Unscaled { axes, products } = scaling.unscaled(&sources, network, common)?;
        let [x, y] = two(axes)?;
        // Eigenvectors are orthogonal already, and a file's directions are taken as they are.
        let y = match sources[1] {
            Source::Towards(_) => Axis { direction: y.direction.orthogonal_to(&x.direction)?, ..y },
            Source::Random(_) => {
                let along = Direction { vector: scaling.masked(&x.direction.vector)?, ..x.direction.clone() };
                Axis { direction: y.direction.orthogonal_to(&along)?, ..y }
            }
            _ => y,
        };
        let (x, y) = (scaling.scaled(x)?, scaling.scaled(y)?);
        let cosine = x.direction.cosine(&y.direction)?;
        // Parallel directions span no plane, wherever they come from.
        y.direction.clone().orthogonal_to(&x.direction)?;
        let marks = marks(subject, &sources, [&x.direction, &y.direction])?;
        let file = arguments.save_directions.as_ref().or(arguments.directions.as_ref());
        Ok(Self {
            cosine,
            normalization: scaling.normalization(&[&x, &y]),
            ignored: scaling.ignored(&[&x, &y]),
            marks,
            file: file.map(|path| path.display().to_string()),
            products,
            x,
            y,
        })
    }

    /// The first two principal components of the checkpoints of a run.
    pub(crate) fn of_components(components: Vec<Direction>, iterates: &Iterates, file: Option<&Path>) -> Result<Self> {
        let axes = components.into_iter().map(|direction| Axis::of_component(direction, iterates));
        let [x, y] = two(axes.collect::<Result<_>>()?)?;
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
        let under = |prefix: &str| Source::File { path: path.clone(), prefix: Some(prefix.into()) };
        return Ok([under("x"), under("y")]);
    }
    let named = |direction: &Option<DirectionArgument>, number: usize| {
        Source::named(direction.clone().unwrap_or(DirectionArgument::Random), number)
    };
    let leads = |path: &Path| Source::towards(path, common, subject);
    Ok(match &arguments.towards[..] {
        [] => [named(&arguments.x, 0), named(&arguments.y, 1)],
        [b] => [leads(b)?, named(&arguments.y, 1)],
        [b, c, ..] => [leads(b)?, leads(c)?],
    })
}

fn two(axes: Vec<Axis>) -> Result<[Axis; 2]> {
    let wrong = |axes: Vec<Axis>| Error::input(format!("{} directions span no plane", axes.len()), "give two");
    axes.try_into().map_err(wrong)
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
