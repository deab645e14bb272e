//! The records of several parts put together.

use std::path::{Path, PathBuf};

use basin_objective::Error;
use basin_records::{BatchHessian, Outcome, Provenance, Record};
use basin_sharpness::batch_hessian;

/// One record of the parts of a measurement.
pub(super) fn merged(files: &[PathBuf]) -> anyhow::Result<Record> {
    let mut parts: Vec<(Provenance, BatchHessian)> = Vec::new();
    for file in files {
        parts.extend(parts_in(file)?);
    }
    let (provenances, measured): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let merged = batch_hessian::merged(&measured)?;
    let mut provenances = provenances.into_iter();
    let Some(mut whole) = provenances.next() else {
        return Err(Error::input("there is no part to merge", "name the files that the parts were written to").into());
    };
    for part in provenances {
        add(&mut whole, &part)?;
    }
    Ok(Record::new(whole, Outcome::BatchHessian(Box::new(merged))))
}

fn parts_in(file: &Path) -> anyhow::Result<Vec<(Provenance, BatchHessian)>> {
    let single = file.extension().is_some_and(|ending| ending == "json");
    let records = if single { vec![Record::read(file)?] } else { Record::read_lines(file)? };
    let part = |record: Record| match record.outcome {
        Outcome::BatchHessian(part) => Ok((record.provenance, *part)),
        other => Err(Error::input(
            format!("`{}` holds a record of the kind {}", file.display(), other.kind()),
            "name records of `basin batch-hessian --shard`",
        )
        .into()),
    };
    records.into_iter().map(part).collect()
}

/// Counts the work of a part among that of the whole, if it is one of the same checkpoint and data.
fn add(whole: &mut Provenance, part: &Provenance) -> anyhow::Result<()> {
    let hash = |provenance: &Provenance| {
        let checkpoint = provenance.checkpoint.as_ref().and_then(|checkpoint| checkpoint.blake3.clone());
        let data = provenance.data.as_ref().and_then(|data| data.blake3.clone());
        (
            checkpoint,
            data,
            provenance.loss.clone(),
            provenance.seed,
            provenance.dtype.clone(),
            provenance.batch_norm.clone(),
        )
    };
    if hash(whole) != hash(part) {
        return Err(Error::input(
            "the parts are of different checkpoints or data, or were measured with another seed, loss or dtype",
            "merge the parts of one measurement",
        )
        .into());
    }
    whole.products = whole.products.zip(part.products).map(|(a, b)| a + b);
    whole.seconds = whole.seconds.zip(part.seconds).map(|(a, b)| a + b);
    whole.gradient_equivalents = whole.gradient_equivalents.zip(part.gradient_equivalents).map(|(a, b)| a + b);
    Ok(())
}
