//! Weights in files of `torch.save`.

use std::borrow::Cow;
use std::path::Path;

use basin_import::pickle::{self, Array, ElementType};

use super::Weights;
use crate::Result;
use crate::stored::{Number, Stored};

pub(super) fn parse(bytes: &[u8], path: &Path, choice: Option<&str>) -> Result<Weights> {
    // Messages name the file, and what `#` chose of it apart.
    let file = choice.and_then(|choice| path.to_str()?.strip_suffix(choice)?.strip_suffix('#')).map(Path::new);
    let pickled = pickle::read(bytes, file.unwrap_or(path), choice)?;
    let mut weights = Weights::empty(path);
    weights.metadata = pickled.metadata.into_iter().collect();
    weights.notes = pickled.notes;
    weights.fingerprint = blake3::hash(bytes).to_hex().to_string();
    let (known, others): (Vec<_>, Vec<_>) =
        pickled.arrays.into_iter().partition(|(_, array)| number(array.element).is_some());
    weights.skipped.extend(others.into_iter().map(|(name, array)| (name, array.element.to_string())));
    weights.add(known.into_iter().filter_map(|(name, array)| Some(Ok((name, stored(array)?)))))?;
    Ok(weights)
}

fn stored(array: Array) -> Option<Stored<'static>> {
    Stored::new(number(array.element)?, array.shape, Cow::Owned(array.bytes))
}

fn number(element: ElementType) -> Option<Number> {
    Some(match element {
        ElementType::Bool => Number::Bool,
        ElementType::U8 => Number::U8,
        ElementType::I8 => Number::I8,
        ElementType::I16 => Number::I16,
        ElementType::I32 => Number::I32,
        ElementType::I64 => Number::I64,
        ElementType::F16 => Number::F16,
        ElementType::BF16 => Number::BF16,
        ElementType::F32 => Number::F32,
        ElementType::F64 => Number::F64,
        ElementType::Other(_) => return None,
    })
}
