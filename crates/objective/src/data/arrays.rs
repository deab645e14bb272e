//! Files of arrays: `x` and `y` to train on, `x_test` and `y_test` held back; safetensors or npz. Further arrays with a row for
//! each sample are further inputs, by their names; `sample_weight` is what each sample's loss is multiplied with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};

use super::dataset::IGNORED;
use super::rows::Source;
use super::{Rows, Samples, Split, Targets, npy, npz};
use crate::file::{OpenFile, ReadAt};
use crate::stored::{Located, Stored, read_safetensors};
use crate::{Error, Result, suggestion};

const NAMES: [&str; 4] = ["x", "y", "x_test", "y_test"];
/// As scikit-learn and Keras call them.
const WEIGHTS: &str = "sample_weight";
/// What stands behind the names of arrays of the test split.
const TEST: &str = "_test";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Safetensors,
    Npz,
}

/// Reads a split. Inputs of more than `held` bytes stay in the file where they are stored as they are computed with.
pub(super) fn read(format: Format, path: &Path, split: Split, held: u64) -> Result<Samples> {
    samples(&Arrays::open(format, path, Arc::new(OpenFile::open(path)?))?, split, held)
}

/// The arrays of a file.
struct Arrays<'a> {
    path: &'a Path,
    file: Arc<dyn ReadAt>,
    arrays: BTreeMap<String, Array>,
}

enum Array {
    /// It lies in the file as it is computed with.
    Located(Located),
    /// It is one of a zip archive.
    Zipped(npz::Entry),
    /// Of a type that is not supported.
    Other(String),
}

impl<'a> Arrays<'a> {
    fn open(format: Format, path: &'a Path, file: Arc<dyn ReadAt>) -> Result<Self> {
        let arrays = match format {
            Format::Safetensors => {
                let header = read_safetensors(file.as_ref(), path)?;
                let located = header.arrays.into_iter().map(|(name, array)| (name, Array::Located(array)));
                located.chain(header.others.into_iter().map(|(name, dtype)| (name, Array::Other(dtype)))).collect()
            }
            Format::Npz => {
                let entries = npz::entries(file.as_ref()).map_err(|fault| {
                    Error::input(
                        format!("`{}` is not an npz file: {fault}", path.display()),
                        "check that the file was copied completely and was written by `numpy.savez`",
                    )
                })?;
                entries.into_iter().map(|(name, entry)| (name, Array::Zipped(entry))).collect()
            }
        };
        Ok(Self { path, file, arrays })
    }

    fn at_fault(&self, name: &str, fault: impl std::fmt::Display) -> Error {
        Error::input(
            format!("`{name}` in `{}` cannot be read: {fault}", self.path.display()),
            "write the file with `numpy.savez` or `numpy.savez_compressed`, from arrays of numbers",
        )
    }

    /// Hands on an array that is read.
    fn with<T>(&self, name: &str, then: impl FnOnce(&Stored<'_>) -> Result<T>) -> Result<T> {
        let bytes;
        let array = match self.arrays.get(name) {
            Some(Array::Located(array)) => array.read(self.file.as_ref())?,
            Some(Array::Zipped(entry)) => {
                bytes = entry.read(self.file.as_ref()).map_err(|fault| self.at_fault(name, fault))?;
                npy::parse(&bytes).map_err(|fault| self.at_fault(name, fault))?
            }
            Some(Array::Other(dtype)) => {
                return Err(Error::input(
                    format!("`{name}` in `{}` is of type {dtype}, which is not supported", self.path.display()),
                    "store it as f32, or as an integer type",
                ));
            }
            None => return Err(self.at_fault(name, "it is not there")),
        };
        if array.shape().is_empty() {
            return Err(Error::input(
                format!("`{name}` in `{}` is a single number, expected one row per sample", self.path.display()),
                "give the array a first axis that counts the samples",
            ));
        }
        then(&array)
    }

    /// The rows of an array, which stay in the file where they are many.
    fn rows(&self, name: &str, held: u64) -> Result<Rows> {
        let located = match self.arrays.get(name) {
            Some(Array::Located(array)) if array.bytes().is_none_or(|bytes| bytes > held) => Some(array.clone()),
            Some(Array::Zipped(entry)) if entry.length() > held => {
                entry.located(self.file.as_ref()).map_err(|fault| self.at_fault(name, fault))?
            }
            _ => None,
        };
        match located.filter(|located| located.shape.iter().product::<usize>() > 0) {
            Some(array) => {
                let samples = array.shape.first().copied().unwrap_or(0);
                let rows = ArrayRows { file: self.file.clone(), array, dtype: None };
                Rows::stored(Arc::new(rows), samples).map_err(|error| within(error, name, self.path))
            }
            None => {
                self.with(name, |array| Ok(array.to_tensor().map_err(|error| within(error, name, self.path))?.into()))
            }
        }
    }
}

/// Rows of an array that are read when they are asked for.
#[derive(Debug)]
pub(super) struct ArrayRows {
    pub(super) file: Arc<dyn ReadAt>,
    pub(super) array: Located,
    /// Their type, where it is not the nearest one to that of the file.
    pub(super) dtype: Option<DType>,
}

impl Source for ArrayRows {
    fn read(&self, positions: &[usize]) -> Result<Tensor> {
        let rows = self.array.rows(self.file.as_ref(), positions)?.to_tensor()?;
        Ok(match self.dtype {
            Some(dtype) => rows.to_dtype(dtype)?,
            None => rows,
        })
    }
}

/// Both arrays of the split must be there.
fn check_present(x: &str, y: &str, found: &[&str], path: &Path) -> Result<()> {
    let Some(missing) = [x, y].into_iter().find(|name| !found.contains(name)) else {
        return Ok(());
    };
    let message = format!("there is no array `{missing}` in `{}`, found: {}", path.display(), listed(found));
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

fn samples(arrays: &Arrays, split: Split, held: u64) -> Result<Samples> {
    // The labels of the other split may be of classes that this one lacks.
    let (x, y, other_y) = match split {
        Split::Train => ("x", "y", "y_test"),
        Split::Test => ("x_test", "y_test", "y"),
    };
    let found: Vec<&str> = arrays.arrays.keys().map(String::as_str).collect();
    check_present(x, y, &found, arrays.path)?;
    let samples =
        Samples::from((arrays.rows(x, held)?, targets(arrays, y, found.contains(&other_y).then_some(other_y))?));
    let of_split = |name: &str| match (split, name.strip_suffix(TEST)) {
        (Split::Train, None) => Some(name.to_owned()),
        (Split::Test, Some(name)) => Some(name.to_owned()),
        _ => None,
    };
    let (mut further_inputs, mut weights) = (BTreeMap::new(), None);
    for (stored, own) in
        found.iter().filter(|name| !NAMES.contains(name)).filter_map(|&name| Some((name, of_split(name)?)))
    {
        match &arrays.arrays[stored] {
            _ if own == WEIGHTS => weights = Some(arrays.rows(stored, u64::MAX)?.tensor()?.to_dtype(DType::F64)?),
            Array::Other(_) => {}
            Array::Located(_) | Array::Zipped(_) => match arrays.rows(stored, held) {
                Ok(rows) => drop(further_inputs.insert(own, rows)),
                // What holds no numbers is no input: names of files, say.
                Err(error) if error.is_bad_input() => {}
                Err(error) => return Err(error),
            },
        }
    }
    // Arrays of another length, such as the names of the classes, are of no sample.
    let count = samples.inputs.samples();
    further_inputs.retain(|_, rows| rows.samples() == count);
    Ok(Samples { further_inputs, weights, ..samples })
}

fn targets(arrays: &Arrays, y: &str, other_y: Option<&str>) -> Result<Targets> {
    let path = arrays.path;
    let other = other_y.map(|name| arrays.with(name, |array| Ok((name, array.number(), counted(array, name, path)?))));
    let other = other.transpose()?;
    arrays.with(y, |targets| {
        let is_float = targets.number().is_float();
        if let Some((other_y, number, _)) = other.as_ref().filter(|(_, number, _)| number.is_float() != is_float) {
            return Err(Error::input(
                format!("`{}` has `{y}` of type {} but `{other_y}` of type {number}", path.display(), targets.number()),
                "store both as integer classes or both as real targets",
            ));
        }
        if is_float {
            return Ok(Targets::Real(targets.to_tensor()?.into()));
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
        let classes = count(&labels).max(other.map_or(0, |(_, _, classes)| classes));
        Ok(Targets::classes(Tensor::from_vec(labels, shape, &Device::Cpu)?, classes))
    })
}

/// How many classes there are at least by an array of labels; 0 by one of floats.
fn counted(array: &Stored<'_>, name: &str, path: &Path) -> Result<usize> {
    match array.number().is_float() {
        true => Ok(0),
        false => Ok(count(&labels(array, name, path)?)),
    }
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
    use crate::data::{DataSpec, Dataset, Preprocessing};
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

    /// A file in memory.
    #[derive(Debug)]
    struct Bytes(Vec<u8>);

    impl ReadAt for Bytes {
        fn length(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, start: u64, length: u64) -> Result<Vec<u8>> {
            self.0.as_slice().read_at(start, length)
        }
    }

    fn parse(format: Format, bytes: &[u8], split: Split, held: u64) -> Result<Samples> {
        let path = Path::new("data");
        samples(&Arrays::open(format, path, Arc::new(Bytes(bytes.to_vec())))?, split, held)
    }

    #[test]
    fn arrays_that_stay_in_the_file_are_those_that_are_held() {
        let x: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let tensors = safetensors(&[
            ("x", Dtype::F32, &[6, 2], floats(&x)),
            ("mask", Dtype::U8, &[6, 1], vec![0, 1, 1, 0, 1, 0]),
            ("y", Dtype::U8, &[6], vec![0, 1, 2, 0, 1, 2]),
        ]);
        let plain = npz::tests::archive(&[("x", &[6, 2], &x)], &[("y", &[0, 1, 2, 0, 1, 2])], false);
        let deflated = npz::tests::archive(&[("x", &[6, 2], &x)], &[("y", &[0, 1, 2, 0, 1, 2])], true);
        for (format, bytes, stays) in
            [(Format::Safetensors, tensors, true), (Format::Npz, plain, true), (Format::Npz, deflated, false)]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("data");
            std::fs::write(&path, bytes).unwrap();
            let spec = match format {
                Format::Safetensors => DataSpec::Safetensors(path),
                Format::Npz => DataSpec::Npz(path),
            };
            let load = |held| Dataset::load_within(&spec, Split::Train, &Preprocessing::default(), None, held).unwrap();
            let (held, stored) = (load(u64::MAX), load(47));
            assert_eq!((held.is_held(), stored.inputs.are_held()), (true, !stays));
            assert_eq!(held.fingerprint().unwrap(), stored.fingerprint().unwrap());
            let rows = |data: &Dataset| data.inputs.tensor().unwrap().to_vec2::<f32>().unwrap();
            let chosen = |data: &Dataset| rows(&data.select(&[5, 0, 1, 2]).unwrap().take(3).unwrap());
            assert_eq!(chosen(&held), [[10.0, 11.0], [0.0, 1.0], [2.0, 3.0]]);
            assert_eq!(chosen(&stored), chosen(&held));
        }
    }

    #[test]
    fn further_arrays_with_a_row_for_each_sample_are_further_inputs() {
        let bytes = safetensors(&[
            ("x", Dtype::I64, &[2, 1], vec![0; 16]),
            ("attention_mask", Dtype::U8, &[2, 3], vec![1; 6]),
            ("attention_mask_test", Dtype::U8, &[1, 3], vec![1; 3]),
            ("names", Dtype::U8, &[5], vec![1; 5]),
            ("complex", Dtype::C64, &[2], vec![0; 16]),
            ("sample_weight", Dtype::F32, &[2], floats(&[0.5, 2.0])),
            ("y", Dtype::U8, &[2], vec![0, 1]),
            ("x_test", Dtype::I64, &[1, 1], vec![0; 8]),
            ("y_test", Dtype::U8, &[1], vec![1]),
        ]);
        let train = load(Format::Safetensors, &bytes, Split::Train).unwrap();
        assert_eq!(train.input_shapes().further, [("attention_mask".to_owned(), vec![3])]);
        assert_eq!(train.weights.as_ref().unwrap().to_vec1::<f64>().unwrap(), [0.5, 2.0]);
        let test = load(Format::Safetensors, &bytes, Split::Test).unwrap();
        assert_eq!(test.input_shapes().further, [("attention_mask".to_owned(), vec![3])]);
        assert!(test.weights.is_none());
    }

    fn labels_of(data: &Dataset) -> Vec<i64> {
        match &data.targets {
            Targets::Classes { labels, .. } => labels.tensor().unwrap().flatten_all().unwrap().to_vec1().unwrap(),
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
        assert_eq!(data.inputs.tensor().unwrap().to_vec2::<f32>().unwrap(), [[1.0, 2.0], [3.0, 4.0]]);
        let Targets::Real(targets) = &data.targets else { unreachable!("floats are real targets") };
        assert_eq!(targets.tensor().unwrap().to_vec2::<f32>().unwrap(), [[0.5], [-1.0]]);
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
        assert_eq!(
            (labels.dims(), labels.tensor().unwrap().to_vec1::<i64>().unwrap(), *classes),
            (&[3][..], vec![0, 2, 1], 5)
        );
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
                prop_assert!(parse(format, &bytes, split, u64::MAX).is_err());
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
                for held in [0, u64::MAX] {
                    let _ = parse(format, &bytes, split, held).map(|samples| samples.inputs.tensor());
                }
            }
        }
    }
}
