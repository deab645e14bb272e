//! The records of several parts of a plane put together.

use std::path::{Path, PathBuf};

use basin_objective::Error;
use basin_records::{Outcome, Provenance, RatioMap, Record, Surface};

use super::surface::summarise;

/// A list of rows of values.
type Rows = Vec<Vec<f64>>;

/// What is found on a plane, of which `--shard` finds some rows.
pub(crate) trait Part: Clone + PartialEq + Sized {
    /// The command that makes it.
    const COMMAND: &str;
    /// The result of a record, if it is one of these.
    fn of(outcome: Outcome) -> Option<Self>;
    /// The outcome for a record.
    fn outcome(self) -> Outcome;
    /// The loss on the plane.
    fn surface(&mut self) -> &mut Surface;
    /// All lists of values, those of the surface among them.
    fn lists(&mut self) -> Vec<&mut Rows>;
    /// Counts of points that the parts add up to.
    fn count(&mut self) -> Option<&mut u64>;
}

impl Part for Surface {
    const COMMAND: &str = "plane";

    fn of(outcome: Outcome) -> Option<Self> {
        if let Outcome::Surface(surface) = outcome { Some(*surface) } else { None }
    }

    fn outcome(self) -> Outcome {
        Outcome::Surface(Box::new(self))
    }

    fn surface(&mut self) -> &mut Surface {
        self
    }

    fn lists(&mut self) -> Vec<&mut Rows> {
        let Self { train_loss, train_accuracy, test_loss, test_accuracy, .. } = self;
        vec![train_loss, train_accuracy, test_loss, test_accuracy]
    }

    fn count(&mut self) -> Option<&mut u64> {
        None
    }
}

impl Part for RatioMap {
    const COMMAND: &str = "ratio";

    fn of(outcome: Outcome) -> Option<Self> {
        if let Outcome::RatioMap(map) = outcome { Some(*map) } else { None }
    }

    fn outcome(self) -> Outcome {
        Outcome::RatioMap(Box::new(self))
    }

    fn surface(&mut self) -> &mut Surface {
        &mut self.surface
    }

    fn lists(&mut self) -> Vec<&mut Rows> {
        let Self { lambda_max, lambda_max_residual, lambda_min, lambda_min_residual, ratio, surface, .. } = self;
        let mut lists = surface.lists();
        lists.extend([lambda_max, lambda_max_residual, lambda_min, lambda_min_residual, ratio]);
        lists
    }

    fn count(&mut self) -> Option<&mut u64> {
        Some(&mut self.not_converged)
    }
}

/// The whole whose parts i/n the files hold.
pub(crate) fn merged<T: Part>(files: &[PathBuf]) -> anyhow::Result<Record> {
    let mut parts = Vec::new();
    for file in files {
        parts.extend(parts_in::<T>(file)?);
    }
    let mut parts = parts.into_iter();
    let Some((mut provenance, mut whole)) = parts.next() else {
        return Err(Error::input("there is no part to merge", "name the files that the parts were written to").into());
    };
    if whole.surface().shard.is_none() {
        return Err(Error::input("the record is of a whole surface", "name records of `--shard`").into());
    }
    for (other, part) in parts {
        add(&mut provenance, &other)?;
        add_rows(&mut whole, part)?;
    }
    let surface = whole.surface();
    let missing = (0..surface.y.coordinates.len()).find(|&row| surface.train_loss.get(row).is_none_or(Vec::is_empty));
    if let Some(row) = missing {
        let parts = surface.shard.as_deref().and_then(|shard| shard.split_once('/')).map_or("", |(_, parts)| parts);
        let message = format!("row {} of the surface is missing: {parts} parts make it whole", row + 1);
        return Err(Error::input(message, "name the record of every part once").into());
    }
    surface.shard = None;
    summarise(surface);
    Ok(Record::new(provenance, whole.outcome()))
}

fn parts_in<T: Part>(file: &Path) -> anyhow::Result<Vec<(Provenance, T)>> {
    let part = |record: Record| {
        let kind = record.outcome.kind().to_owned();
        let part = T::of(record.outcome).ok_or_else(|| {
            Error::input(
                format!("`{}` holds a record of the kind {kind}", file.display()),
                format!("name records of `basin landscape {} --shard`", T::COMMAND),
            )
        })?;
        Ok((record.provenance, part))
    };
    Record::read_lines(file)?.into_iter().map(part).collect()
}

/// What all parts of a whole have in common.
fn common<T: Part>(part: &T) -> T {
    let mut common = part.clone();
    common.lists().into_iter().for_each(Vec::clear);
    if let Some(count) = common.count() {
        *count = 0;
    }
    let surface = common.surface();
    (surface.not_finite, surface.directions) = (0, None);
    (surface.x.curvature_difference, surface.y.curvature_difference) = (None, None);
    surface.shard = surface.shard.as_ref().and_then(|shard| Some(shard.split_once('/')?.1.to_owned()));
    common
}

/// Takes the rows over that a part has.
fn add_rows<T: Part>(whole: &mut T, mut part: T) -> Result<(), Error> {
    if common(whole) != common(&part) {
        return Err(Error::input(
            "the parts are of different surfaces",
            "merge parts that were evaluated with the same options, but for `--shard`",
        ));
    }
    for (rows, others) in whole.lists().into_iter().zip(part.lists()) {
        for (row, other) in rows.iter_mut().zip(others).filter(|(_, other)| !other.is_empty()) {
            if !row.is_empty() {
                return Err(Error::input("a part is there twice", "name the record of every part once"));
            }
            std::mem::swap(row, other);
        }
    }
    if let (Some(count), Some(more)) = (whole.count(), part.count()) {
        *count += *more;
    }
    Ok(())
}

/// Counts the work of a part among that of the whole, if it is one of the same checkpoint and data.
fn add(whole: &mut Provenance, part: &Provenance) -> Result<(), Error> {
    let subject = |of: &Provenance| {
        let checkpoint = of.checkpoint.as_ref().and_then(|checkpoint| checkpoint.blake3.clone());
        let data = of.data.as_ref().and_then(|data| data.blake3.clone());
        (checkpoint, data, of.loss.clone(), of.seed, of.dtype.clone())
    };
    if subject(whole) != subject(part) {
        return Err(Error::input(
            "the parts are of different checkpoints or data, or were evaluated with another seed, loss or dtype",
            "merge the parts of one surface",
        ));
    }
    whole.products = whole.products.zip(part.products).map(|(a, b)| a + b);
    whole.seconds = whole.seconds.zip(part.seconds).map(|(a, b)| a + b);
    whole.gradient_equivalents = whole.gradient_equivalents.zip(part.gradient_equivalents).map(|(a, b)| a + b);
    Ok(())
}
