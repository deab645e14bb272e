//! The records of several parts of a surface put together.

use std::path::{Path, PathBuf};

use basin_objective::Error;
use basin_records::{Outcome, Provenance, Record, Surface};

use super::surface::summarise;

/// The surface whose parts i/n the files hold.
pub(super) fn merged(files: &[PathBuf]) -> anyhow::Result<Record> {
    let mut parts = Vec::new();
    for file in files {
        parts.extend(parts_in(file)?);
    }
    let mut parts = parts.into_iter();
    let Some((mut provenance, mut whole)) = parts.next() else {
        return Err(Error::input("there is no part to merge", "name the files that the parts were written to").into());
    };
    if whole.shard.is_none() {
        return Err(Error::input("the record is of a whole surface", "name records of `--shard`").into());
    }
    for (other, part) in parts {
        add(&mut provenance, &other)?;
        add_rows(&mut whole, &part)?;
    }
    let missing = (0..whole.y.coordinates.len()).find(|&row| whole.train_loss.get(row).is_none_or(Vec::is_empty));
    if let Some(row) = missing {
        let parts = whole.shard.as_deref().and_then(|shard| shard.split_once('/')).map_or("", |(_, parts)| parts);
        let message = format!("row {} of the surface is missing: {parts} parts make it whole", row + 1);
        return Err(Error::input(message, "name the record of every part once").into());
    }
    whole.shard = None;
    summarise(&mut whole);
    Ok(Record::new(provenance, Outcome::Surface(Box::new(whole))))
}

fn parts_in(file: &Path) -> anyhow::Result<Vec<(Provenance, Surface)>> {
    let part = |record: Record| match record.outcome {
        Outcome::Surface(part) => Ok((record.provenance, *part)),
        other => Err(Error::input(
            format!("`{}` holds a record of the kind {}", file.display(), other.kind()),
            "name records of `basin landscape plane --shard`",
        )
        .into()),
    };
    Record::read_lines(file)?.into_iter().map(part).collect()
}

/// What all parts of a surface have in common.
fn common(part: &Surface) -> Surface {
    let mut common = part.clone();
    for rows in lists(&mut common) {
        rows.clear();
    }
    (common.not_finite, common.directions) = (0, None);
    (common.x.curvature_difference, common.y.curvature_difference) = (None, None);
    common.shard = common.shard.and_then(|shard| Some(shard.split_once('/')?.1.to_owned()));
    common
}

fn lists(surface: &mut Surface) -> [&mut Vec<Vec<f64>>; 4] {
    let Surface { train_loss, train_accuracy, test_loss, test_accuracy, .. } = surface;
    [train_loss, train_accuracy, test_loss, test_accuracy]
}

/// Takes the rows over that a part has.
fn add_rows(whole: &mut Surface, part: &Surface) -> Result<(), Error> {
    if common(whole) != common(part) {
        return Err(Error::input(
            "the parts are of different surfaces",
            "merge parts that were evaluated with the same options, but for `--shard`",
        ));
    }
    let mut part = part.clone();
    for (rows, others) in lists(whole).into_iter().zip(lists(&mut part)) {
        for (row, other) in rows.iter_mut().zip(others).filter(|(_, other)| !other.is_empty()) {
            if !row.is_empty() {
                return Err(Error::input("a part is there twice", "name the record of every part once"));
            }
            std::mem::swap(row, other);
        }
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
