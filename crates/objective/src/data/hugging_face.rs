//! Images and labels in Parquet files as Hugging Face keeps them: a column `image` (or `img`) of structures whose `bytes` are
//! files, and a column of labels.

use std::fs::{self, File};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Device, Tensor};
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use super::decoding::ImageReading;
use super::rows::Source;
use super::{Color, Preprocessing, Rows, Samples, Split, Targets, panics};
use crate::{Error, Result};

const IMAGES: [&str; 2] = ["image", "img"];
const LABELS: [&str; 3] = ["label", "labels", "fine_label"];
/// Values that are read at a time.
const AT_A_TIME: usize = 512;
/// What stands behind the key of the same name in a file's metadata.
const FEATURES: &str = "huggingface";

pub(super) fn read(path: &Path, color: Color, split: Split, preprocessing: &Preprocessing) -> Result<Samples> {
    let files = Files::find(path)?;
    let (here, other) = match split {
        Split::Train => (&files.train, &files.test),
        Split::Test if files.test.is_empty() => {
            return Err(Error::NoSplit {
                message: format!("there is no test split in `{}`", path.display()),
                hint: "name a directory with files `train-….parquet` and `test-….parquet`, or choose `--split train`"
                    .into(),
            });
        }
        Split::Test => (&files.test, &files.train),
    };
    let (mut groups, mut labels, mut classes) = (Vec::new(), Vec::new(), 0);
    for path in here {
        let table = Table::open(path)?;
        for group in 0..table.groups() {
            groups.push(Group { path: path.clone(), group, first: labels.len() });
            table.labels(group, &mut labels)?;
        }
        classes = classes.max(table.class_names());
    }
    let mut others = Vec::new();
    for path in other {
        let table = Table::open(path)?;
        (0..table.groups()).try_for_each(|group| table.labels(group, &mut others))?;
    }
    for &label in labels.iter().chain(&others) {
        let class = usize::try_from(label).ok().and_then(|class| class.checked_add(1)).ok_or_else(|| {
            Error::input(
                format!("`{}` has the label {label}, expected classes from 0", path.display()),
                "choose a split whose labels are known",
            )
        })?;
        classes = classes.max(class);
    }
    let samples = labels.len();
    if samples == 0 {
        return Err(Error::input(format!("`{}` has no rows", path.display()), "give at least one sample"));
    }
    let images = Images { groups, samples, reading: ImageReading::new(color, preprocessing), kept: Mutex::default() };
    let labels = Tensor::new(labels, &Device::Cpu)?;
    Ok((Rows::stored(Arc::new(images), samples)?, Targets::classes(labels, classes)).into())
}

/// A group of rows of a file.
#[derive(Debug)]
struct Group {
    path: PathBuf,
    group: usize,
    /// The position of its first row.
    first: usize,
}

/// The files of a group's images, still as they are encoded.
type Encoded = Arc<Vec<ByteArray>>;

/// Images that are decoded when they are asked for.
#[derive(Debug)]
struct Images {
    groups: Vec<Group>,
    samples: usize,
    reading: ImageReading,
    /// The number and images of the group that was read last: the next ones are mostly of the same.
    kept: Mutex<Option<(usize, Encoded)>>,
}

impl Images {
    fn encoded(&self, number: usize) -> Result<Encoded> {
        // A thread that panicked left it as it was.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, encoded)) = kept.as_ref().filter(|(of, _)| *of == number) {
            return Ok(encoded.clone());
        }
        let Group { path, group, first } = &self.groups[number];
        let end = self.groups.get(number + 1).map_or(self.samples, |next| next.first);
        let encoded = Arc::new(Table::open(path)?.images(*group, end - first)?);
        *kept = Some((number, encoded.clone()));
        Ok(encoded)
    }
}

impl Source for Images {
    fn read(&self, positions: &[usize]) -> Result<Tensor> {
        let files = positions.iter().map(|&position| {
            let number = self.groups.partition_point(|group| group.first <= position) - 1;
            let group = &self.groups[number];
            let name = format!("row {} of {}", position - group.first, group.path.display());
            Ok((name, self.encoded(number)?[position - group.first].clone()))
        });
        let files = files.collect::<Result<Vec<(String, ByteArray)>>>()?;
        self.reading.read(&files, |(name, _)| name.clone(), |(_, encoded)| Ok(encoded.clone()))
    }
}

/// The files of each split, in the order of their names.
struct Files {
    train: Vec<PathBuf>,
    test: Vec<PathBuf>,
}

impl Files {
    /// One file is all there is; of a folder those whose names begin with the split.
    fn find(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(|cause| Error::io("read", path, cause))?;
        if !metadata.is_dir() {
            return Ok(Self { train: vec![path.to_owned()], test: Vec::new() });
        }
        let within = [path.to_owned(), path.join("data")].into_iter();
        let mut files = Vec::new();
        for folder in within.filter(|folder| folder.is_dir()) {
            for entry in fs::read_dir(&folder).map_err(|cause| Error::io("read", &folder, cause))? {
                files.push(entry.map_err(|cause| Error::io("read", &folder, cause))?.path());
            }
        }
        files.retain(|file| file.extension().is_some_and(|ending| ending == "parquet"));
        files.sort();
        let beginning = |start: &str| -> Vec<PathBuf> {
            let begins =
                |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
            files.iter().filter(begins).cloned().collect()
        };
        let test = Some(beginning("test")).filter(|files| !files.is_empty()).unwrap_or_else(|| beginning("val"));
        let train = beginning("train");
        match train.is_empty() {
            false => Ok(Self { train, test }),
            true => Err(Error::input(
                format!("there are no files `train….parquet` in `{}`", path.display()),
                "name a directory that holds them, or one file",
            )),
        }
    }
}

/// A file with the places of its two columns.
struct Table<'a> {
    path: &'a Path,
    reader: SerializedFileReader<File>,
    image: usize,
    label: usize,
}

impl<'a> Table<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let length = crate::file::length(path)?;
        let file = File::open(path).map_err(|cause| Error::io("read", path, cause))?;
        let reader = guarded(path, || SerializedFileReader::new(file))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let image = column(
            schema,
            |parts| matches!(parts, [name, bytes] if IMAGES.contains(&name.as_str()) && bytes == "bytes"),
        );
        let label = LABELS.iter().find_map(|label| column(schema, |parts| matches!(parts, [name] if name == label)));
        let (Some(image), Some(label)) = (image, label) else {
            let found: Vec<String> =
                schema.columns().iter().take(12).map(|c| format!("`{}`", c.path().string())).collect();
            return Err(Error::input(
                format!(
                    "`{}` has no columns `image.bytes` (or `img.bytes`) and `label` (or `labels`, `fine_label`), found {}",
                    path.display(),
                    found.join(", ")
                ),
                "give files of a data set of images with one label each, as Hugging Face's `datasets` writes them",
            ));
        };
        let table = Self { path, reader, image, label };
        table.check_places(length)?;
        Ok(table)
    }

    /// The reader of the library takes for granted that columns lie within their file.
    fn check_places(&self, length: u64) -> Result<()> {
        let within = |column: &ColumnChunkMetaData| {
            let start = column.dictionary_page_offset().into_iter().chain([column.data_page_offset()]).min();
            let start = start.and_then(|start| u64::try_from(start).ok());
            let end = start
                .zip(u64::try_from(column.compressed_size()).ok())
                .and_then(|(start, size)| start.checked_add(size));
            end.is_some_and(|end| end <= length) && column.uncompressed_size() >= 0 && column.num_values() >= 0
        };
        let groups = self.reader.metadata().row_groups();
        match groups.iter().all(|group| group.num_rows() >= 0 && group.columns().iter().all(within)) {
            true => Ok(()),
            false => Err(Error::input(
                format!("`{}` is no Parquet file that can be read: a column lies outside of it", self.path.display()),
                "check that the file was copied completely",
            )),
        }
    }

    fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// How many classes the file names, where it does.
    fn class_names(&self) -> usize {
        let metadata = self.reader.metadata().file_metadata();
        let features = metadata.key_value_metadata().into_iter().flatten().find(|entry| entry.key == FEATURES);
        let features: Option<serde_json::Value> =
            features.and_then(|entry| serde_json::from_str(entry.value.as_deref()?).ok());
        let label = metadata.schema_descr().column(self.label).name().to_owned();
        let names = features.as_ref().and_then(|features| features["info"]["features"][label]["names"].as_array());
        names.map_or(0, Vec::len)
    }

    /// The images of a group of so many rows, as they are encoded.
    fn images(&self, group: usize, expected: usize) -> Result<Vec<ByteArray>> {
        let rows = guarded(self.path, || self.reader.get_row_group(group))?;
        let mut column = match guarded(self.path, || rows.get_column_reader(self.image))? {
            ColumnReader::ByteArrayColumnReader(column) => column,
            _ => return Err(self.unfit("the images are no bytes")),
        };
        let mut files = Vec::<ByteArray>::new();
        loop {
            let (mut levels, mut repetitions) = (Vec::new(), Vec::new());
            let (records, values, _) = guarded(self.path, || {
                column.read_records(AT_A_TIME, Some(&mut levels), Some(&mut repetitions), &mut files)
            })?;
            if values != records {
                return Err(self.unfit("an image is missing: its bytes are not in the file"));
            }
            if records == 0 {
                break;
            }
        }
        match files.len() == expected {
            true => Ok(files),
            false => Err(self.unfit("images and labels differ in number")),
        }
    }

    /// Adds the labels of a group of rows.
    fn labels(&self, group: usize, labels: &mut Vec<i64>) -> Result<()> {
        let rows = guarded(self.path, || self.reader.get_row_group(group))?;
        let mut column = guarded(self.path, || rows.get_column_reader(self.label))?;
        loop {
            let (mut levels, mut repetitions) = (Vec::new(), Vec::new());
            let (levels, repetitions) = (Some(&mut levels), Some(&mut repetitions));
            let (records, values) = match &mut column {
                ColumnReader::Int64ColumnReader(column) => {
                    let read = || column.read_records(AT_A_TIME, levels, repetitions, labels);
                    let (records, values, _) = guarded(self.path, read)?;
                    (records, values)
                }
                ColumnReader::Int32ColumnReader(column) => {
                    let mut short = Vec::new();
                    let read = || column.read_records(AT_A_TIME, levels, repetitions, &mut short);
                    let (records, values, _) = guarded(self.path, read)?;
                    labels.extend(short.into_iter().map(i64::from));
                    (records, values)
                }
                _ => return Err(self.unfit("the labels are no integers")),
            };
            if values != records {
                return Err(self.unfit("a label is missing"));
            }
            if records == 0 {
                return Ok(());
            }
        }
    }

    fn unfit(&self, what: &str) -> Error {
        Error::input(
            format!("`{}` cannot be used: {what}", self.path.display()),
            "give files of a data set of images with one label each, as Hugging Face's `datasets` writes them",
        )
    }
}

fn column(schema: &SchemaDescriptor, fits: impl Fn(&[String]) -> bool) -> Option<usize> {
    schema.columns().iter().position(|column| column.max_rep_level() == 0 && fits(column.path().parts()))
}

/// What the library makes of a file: it panics on some that contradict themselves.
fn guarded<T>(path: &Path, call: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T> {
    let fault = match panics::caught(AssertUnwindSafe(call)) {
        Some(Ok(value)) => return Ok(value),
        Some(Err(cause)) => cause.to_string(),
        None => "its pages contradict themselves".to_owned(),
    };
    Err(Error::input(
        format!("`{}` is no Parquet file that can be read: {fault}", path.display()),
        "check that the file was copied completely; columns compressed with Snappy or Zstandard are read",
    ))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::data::{DataSpec, Dataset};
    use proptest::prelude::*;

    const GOLDENS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens");

    fn load(bytes: &[u8]) -> Result<Dataset> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.parquet");
        fs::write(&path, bytes).unwrap();
        Dataset::load(&DataSpec::Parquet { path, color: Color::Rgb }, Split::Train)
    }

    fn golden(split: &str) -> Vec<u8> {
        fs::read(Path::new(GOLDENS).join(format!("images-{split}.parquet"))).unwrap()
    }

    #[test]
    fn the_first_images_have_the_classes_of_all() {
        let path = Path::new(GOLDENS).join("images-train.parquet");
        let spec = DataSpec::Parquet { path, color: Color::Gray };
        for count in [1, 4, 5, 7] {
            let data = Dataset::load_first(&spec, Split::Train, &Preprocessing::default(), count).unwrap();
            assert_eq!((data.inputs.dims(), data.classes()), (&[count, 1, 4, 3][..], Some(3)));
        }
    }

    #[test]
    fn what_is_no_parquet_file_is_refused() {
        for bytes in [&b""[..], b"PAR1", b"PAR1\x00\x00\x00\x00PAR1", b"PAR1\xff\xff\xff\x7fPAR1"] {
            assert!(load(bytes).unwrap_err().is_bad_input());
        }
        let train = golden("train");
        assert!(load(&train).is_ok());
        assert!(load(&train[..train.len() - 1]).unwrap_err().is_bad_input());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn changed_files_are_read_or_refused(
            split in prop::sample::select(vec!["train", "test"]),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = golden(split);
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            let _ = load(&bytes);
        }

        #[test]
        fn changed_footers_are_read_or_refused(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = golden("train");
            let footer = bytes.len() - 900;
            let place = footer + place.index(900);
            bytes[place] = byte;
            let _ = load(&bytes);
        }
    }
}
