//! Files of arrays: `x` and `y` to train on, `x_test` and `y_test` held back; safetensors or npz.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::dataset::IGNORED;
use super::{Samples, Split, Targets, npy, npz};
use crate::stored::{Stored, parse_safetensors};
use crate::{Error, Result, file, suggestion};

const NAMES: [&str; 4] = ["x", "y", "x_test", "y_test"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Safetensors,
    Npz,
}

pub(super) fn read(format: Format, path: &Path, split: Split) -> Result<Samples> {
    parse(format, &file::read(path)?, path, split)
}

fn parse(format: Format, bytes: &[u8], path: &Path, split: Split) -> Result<Samples> {
    let (x, y, other_y) = match split {
        Split::Train => ("x", "y", "y_test"),
        Split::Test => ("x_test", "y_test", "y"),
    };
    // The labels of the other split may be of classes that this one lacks.
    let wanted = [x, y, other_y];
    match format {
        Format::Safetensors => {
            let file = parse_safetensors(bytes, path)?;
            if let Some((name, dtype)) = file.others.iter().find(|(name, _)| wanted.contains(&name.as_str())) {
                return Err(Error::input(
                    format!("`{name}` in `{}` is of type {dtype}, which is not supported", path.display()),
                    "store it as f32, or as an integer type",
                ));
            }
            samples(&file.arrays, x, y, other_y, path)
        }
        Format::Npz => {
            let at_fault = |name: &str, fault: String| {
                Error::input(
                    format!("`{name}` in `{}` cannot be read: {fault}", path.display()),
                    "write the file with `numpy.savez` or `numpy.savez_compressed`, from arrays of numbers",
                )
            };
            let entries = npz::entries(bytes).map_err(|fault| {
                Error::input(
                    format!("`{}` is not an npz file: {fault}", path.display()),
                    "check that the file was copied completely and was written by `numpy.savez`",
                )
            })?;
            let mut files = BTreeMap::new();
            for name in wanted {
                if let Some(entry) = entries.get(name) {
                    files.insert(name, entry.read(bytes).map_err(|fault| at_fault(name, fault))?);
                }
            }
            let mut arrays = BTreeMap::new();
            for (&name, bytes) in &files {
                arrays.insert(name.to_owned(), npy::parse(bytes).map_err(|fault| at_fault(name, fault))?);
            }
            check_present(x, y, entries.keys().map(String::as_str), path)?;
            samples(&arrays, x, y, other_y, path)
        }
    }
}

/// Both arrays of the split must be there.
fn check_present<'a>(x: &str, y: &str, found: impl Iterator<Item = &'a str>, path: &Path) -> Result<()> {
    let found: Vec<&str> = found.collect();
    let Some(missing) = [x, y].into_iter().find(|name| !found.contains(name)) else {
        return Ok(());
    };
    let message = format!("there is no array `{missing}` in `{}`, found: {}", path.display(), listed(&found));
    if x == "x_test" && found.contains(&"x") && !NAMES[2..].iter().any(|name| found.contains(name)) {
        let hint = "add `x_test` and `y_test` to the file, or choose `--split train`".to_owned();
        return Err(Error::NoSplit { message, hint });
    }
    let strangers: Vec<&str> = found.iter().copied().filter(|name| !NAMES.contains(name)).collect();
    let hint = match suggestion::nearest(missing, &strangers) {
        Some(near) => format!("did you mean `{near}`? Name the inputs `x` and the targets `y`"),
        None => "name the inputs `x` and the targets `y`; `x_test` and `y_test` make the test split".to_owned(),
    };
    Err(Error::input(message, hint))
}

fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{} and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

fn samples(arrays: &BTreeMap<String, Stored<'_>>, x: &str, y: &str, other_y: &str, path: &Path) -> Result<Samples> {
    check_present(x, y, arrays.keys().map(String::as_str), path)?;
    let (Some(inputs), Some(targets)) = (arrays.get(x), arrays.get(y)) else {
        return Err(Error::input(format!("`{}` lacks `{x}` or `{y}`", path.display()), "add both arrays"));
    };
    for (name, array) in [(x, inputs), (y, targets)] {
        if array.shape().is_empty() {
            return Err(Error::input(
                format!("`{name}` in `{}` is a single number, expected one row per sample", path.display()),
                "give the array a first axis that counts the samples",
            ));
        }
    }
    let others = arrays.get(other_y);
    let is_float = targets.number().is_float();
    if let Some(others) = others.filter(|others| others.number().is_float() != is_float) {
        return Err(Error::input(
            format!(
                "`{}` has `{y}` of type {} but `{other_y}` of type {}",
                path.display(),
                targets.number(),
                others.number()
            ),
            "store both as integer classes or both as real targets",
        ));
    }
    let inputs = inputs.to_tensor().map_err(|error| within(error, x, path))?;
    if is_float {
        return Ok((inputs, Targets::Real(targets.to_tensor()?)));
    }
    // (N, 1) holds one class per sample all the same.
    let shape = match targets.shape() {
        [samples, 1] => &[*samples][..],
        shape => shape,
    };
    if shape.len() > 2 {
        return Err(Error::input(
            format!("`{y}` in `{}` holds integers of shape {:?}", path.display(), targets.shape()),
            "give classes as one integer per sample or per position; for other targets use f32",
        ));
    }
    let labels = labels(targets, y, path)?;
    let mut classes = count(&labels);
    if let Some(others) = others {
        classes = classes.max(count(&self::labels(others, other_y, path)?));
    }
    let labels = Tensor::from_vec(labels, shape, &Device::Cpu)?;
    Ok((inputs, Targets::Classes { labels, classes }))
}

/// Integers that may serve as classes: none is negative, except for the mark of what a loss leaves out.
fn labels(array: &Stored<'_>, name: &str, path: &Path) -> Result<Vec<i64>> {
    let labels = array.to_integers().map_err(|error| within(error, name, path))?;
    match labels.iter().position(|&label| (label < 0 && label != IGNORED) || label == i64::MAX) {
        None => Ok(labels),
        Some(position) => Err(Error::input(
            format!(
                "`{name}` in `{}` has the label {} at position {position}, expected classes from 0",
                path.display(),
                labels.get(position).copied().unwrap_or_default()
            ),
            "number the classes from 0 (-100 marks what the loss leaves out); for other targets use f32",
        )),
    }
}

/// How many classes there are, if the highest label is the last of them.
fn count(labels: &[i64]) -> usize {
    labels.iter().filter_map(|&label| usize::try_from(label).ok()).max().map_or(0, |highest| highest + 1)
}

fn within(error: Error, name: &str, path: &Path) -> Error {
    match error {
        Error::Input { message, hint } => Error::input(format!("`{name}` in `{}`: {message}", path.display()), hint),
        other => other,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::data::{DataSpec, Dataset};
    use candle_core::DType;
    use proptest::prelude::*;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    fn safetensors(arrays: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
        let views = arrays
            .iter()
            .map(|(name, dtype, shape, bytes)| (*name, TensorView::new(*dtype, shape.to_vec(), bytes).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn load(format: Format, bytes: &[u8], split: Split) -> Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, bytes).unwrap();
        let spec = match format {
            Format::Safetensors => DataSpec::Safetensors(path),
            Format::Npz => DataSpec::Npz(path),
        };
        Dataset::load(&spec, split)
    }

    fn labels_of(data: &Dataset) -> Vec<i64> {
        match &data.targets {
            Targets::Classes { labels, .. } => labels.flatten_all().unwrap().to_vec1().unwrap(),
            Targets::Real(_) => vec![],
        }
    }

    #[test]
    fn classes_count_over_both_splits() {
        let bytes = safetensors(&[
            ("x", Dtype::U8, &[2, 1], vec![5, 6]),
            ("y", Dtype::I8, &[2], vec![0, 256_u16.wrapping_sub(100) as u8]),
            ("x_test", Dtype::F64, &[1, 1], 0.5_f64.to_le_bytes().to_vec()),
            ("y_test", Dtype::U8, &[1], vec![6]),
        ]);
        let train = load(Format::Safetensors, &bytes, Split::Train).unwrap();
        assert_eq!((train.inputs.dtype(), train.classes()), (DType::U8, Some(7)));
        assert_eq!(labels_of(&train), [0, IGNORED]);
        let test = load(Format::Safetensors, &bytes, Split::Test).unwrap();
        assert_eq!((test.inputs.dtype(), test.classes()), (DType::F64, Some(7)));
    }

    #[test]
    fn npz_and_real_targets() {
        let x: &[f32] = &[1.0, 2.0, 3.0, 4.0];
        let bytes = npz::tests::archive(&[("x", &[2, 2], x), ("y", &[2, 1], &[0.5, -1.0])], &[], true);
        let data = load(Format::Npz, &bytes, Split::Train).unwrap();
        assert_eq!(data.inputs.to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
        let Targets::Real(targets) = &data.targets else { unreachable!("floats are real targets") };
        assert_eq!(targets.to_vec2::<f32>().unwrap(), [[0.5], [-1.0]]);
        assert_eq!(data.classes(), None);
        let bytes = npz::tests::archive(&[("x", &[2, 2], x)], &[("y", &[2, 0])], false);
        let data = load(Format::Npz, &bytes, Split::Train).unwrap();
        assert_eq!((labels_of(&data), data.classes()), (vec![2, 0], Some(3)));
    }

    #[test]
    fn a_column_of_classes_is_one_class_per_sample() {
        let bytes = safetensors(&[
            ("x", Dtype::U8, &[3, 1], vec![5, 6, 7]),
            ("y", Dtype::U8, &[3, 1], vec![0, 2, 1]),
            ("y_test", Dtype::U8, &[1, 1], vec![4]),
        ]);
        let data = load(Format::Safetensors, &bytes, Split::Train).unwrap();
        let Targets::Classes { labels, classes } = &data.targets else { unreachable!("integers are classes") };
        assert_eq!((labels.dims(), labels.to_vec1::<i64>().unwrap(), *classes), (&[3][..], vec![0, 2, 1], 5));
    }

    #[test]
    fn faults_name_the_file_and_the_array() {
        let x = || ("x", Dtype::F32, &[2_usize, 1][..], floats(&[1.0, 2.0]));
        let y = |labels: Vec<u8>| ("y", Dtype::I8, if labels.len() == 2 { &[2_usize][..] } else { &[1] }, labels);
        let cases = [
            (safetensors(&[x()]), "there is no array `y`", "name the inputs `x`"),
            (safetensors(&[x(), ("yy", Dtype::U8, &[1], vec![0])]), "found: `x`, `yy`", "did you mean `yy`?"),
            (safetensors(&[x(), y(vec![0, 255])]), "the label -1 at position 1", "from 0"),
            (safetensors(&[x(), y(vec![0])]), "2 inputs, but the targets have shape [1]", "one target per input"),
            (safetensors(&[x(), ("y", Dtype::F32, &[], floats(&[1.0]))]), "`y` in `", "first axis"),
            (safetensors(&[x(), ("y", Dtype::C64, &[1], vec![0; 8])]), "is of type C64", "f32"),
            (safetensors(&[x(), ("y", Dtype::U8, &[2, 1, 1], vec![0; 2])]), "of shape [2, 1, 1]", "one integer"),
            (safetensors(&[("x", Dtype::F32, &[2, 0], vec![]), y(vec![0, 0])]), "no numbers", "first axis"),
            (
                safetensors(&[x(), y(vec![0, 1]), ("y_test", Dtype::F32, &[1], floats(&[1.0]))]),
                "`y` of type i8 but `y_test` of type f32",
                "both as integer classes",
            ),
            (b"\x80\x04pickle".to_vec(), "not a whole safetensors file", "copied completely"),
        ];
        for (bytes, message, hint) in cases {
            let error = load(Format::Safetensors, &bytes, Split::Train).unwrap_err();
            assert!(error.to_string().contains(message), "{error:?} lacks {message:?}");
            assert!(error.hint().is_some_and(|found| found.contains(hint)), "{error:?} lacks {hint:?}");
        }
        let bytes = safetensors(&[x(), y(vec![0, 1])]);
        let error = load(Format::Safetensors, &bytes, Split::Test).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("--split train")), "{error:?}");
        let error = load(Format::Npz, &bytes, Split::Train).unwrap_err();
        assert!(error.to_string().contains("is not an npz file"), "{error}");
    }

    fn any_split() -> impl Strategy<Value = Split> {
        prop_oneof![Just(Split::Train), Just(Split::Test)]
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, split in any_split()) {
            for format in [Format::Npz, Format::Safetensors] {
                prop_assert!(parse(format, &bytes, Path::new("data"), split).is_err());
            }
        }

        #[test]
        fn damaged_files_never_panic(
            damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4),
            split in any_split(),
        ) {
            let plain = npz::tests::archive(&[("x", &[2, 2], &[1.0; 4])], &[("y", &[0, 1])], false);
            let tensors = safetensors(&[
                ("x", Dtype::F32, &[2, 1], floats(&[1.0, 2.0])),
                ("y", Dtype::I64, &[2], vec![0; 16]),
            ]);
            for (format, mut bytes) in [(Format::Npz, plain), (Format::Safetensors, tensors)] {
                let length = bytes.len();
                for &(at, value) in &damage {
                    bytes[at % length] = value;
                }
                let _ = parse(format, &bytes, Path::new("data"), split);
            }
        }
    }
}
