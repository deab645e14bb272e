//! CIFAR-10 and CIFAR-100 in their binary versions: records of one or two labels and 3×32×32 bytes, red, green, blue.

use std::path::Path;

use super::{Samples, Split, images};
use crate::{Error, Result, file};

const PIXELS: usize = 3 * 32 * 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A record has one label.
    Cifar10,
    /// A record has the label of its superclass first, which is left out, and then its own.
    Cifar100,
}

impl Kind {
    fn classes(self) -> usize {
        match self {
            Self::Cifar10 => 10,
            Self::Cifar100 => 100,
        }
    }

    fn labels_per_record(self) -> usize {
        match self {
            Self::Cifar10 => 1,
            Self::Cifar100 => 2,
        }
    }

    fn record_length(self) -> usize {
        self.labels_per_record() + PIXELS
    }

    /// The name of the folder inside the published archive.
    fn subfolder(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar-10-batches-bin",
            Self::Cifar100 => "cifar-100-binary",
        }
    }

    /// The files of a split and how many records each has.
    fn files(self, split: Split) -> (&'static [&'static str], usize) {
        match (self, split) {
            (Self::Cifar10, Split::Train) => (
                &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"],
                10_000,
            ),
            (Self::Cifar10, Split::Test) => (&["test_batch.bin"], 10_000),
            (Self::Cifar100, Split::Train) => (&["train.bin"], 50_000),
            (Self::Cifar100, Split::Test) => (&["test.bin"], 10_000),
        }
    }
}

pub(super) fn read(kind: Kind, folder: &Path, split: Split) -> Result<Samples> {
    let (names, records) = kind.files(split);
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for name in names {
        let path = images::find(folder, &[kind.subfolder()], &[name])?;
        check_length(kind, records, file::length(&path)?).map_err(|fault| {
            Error::input(
                format!("`{}` {fault}", path.display()),
                "download the file again: it may be incomplete, or of another version than the binary one",
            )
        })?;
        parse(kind, &file::read(&path)?, &mut pixels, &mut labels)
            .map_err(|fault| Error::input(format!("`{}` {fault}", path.display()), "download the file again"))?;
    }
    images::samples(&pixels, &[labels.len(), 3, 32, 32], &labels, kind.classes())
}

fn check_length(kind: Kind, records: usize, found: u64) -> Result<(), String> {
    let expected = (records * kind.record_length()) as u64;
    let fault = match found.cmp(&expected) {
        std::cmp::Ordering::Equal => return Ok(()),
        std::cmp::Ordering::Less => "is truncated",
        std::cmp::Ordering::Greater => "is too long",
    };
    Err(format!("{fault}: {records} records take {expected} bytes, found {found}"))
}

/// Appends the records of a file; what is wrong is said as the rest of a sentence that starts with its name.
fn parse(kind: Kind, bytes: &[u8], pixels: &mut Vec<u8>, labels: &mut Vec<u8>) -> Result<(), String> {
    let records = bytes.chunks_exact(kind.record_length());
    if !records.remainder().is_empty() {
        return Err(format!(
            "has {} bytes, which is not a multiple of the {} of a record",
            bytes.len(),
            kind.record_length()
        ));
    }
    for (position, record) in records.enumerate() {
        let Some((&[.., label], image)) = record.split_at_checked(kind.labels_per_record()) else {
            return Err("ends within a record".to_owned());
        };
        if usize::from(label) >= kind.classes() {
            return Err(format!("has label {label} in record {position}, expected 0 to {}", kind.classes() - 1));
        }
        labels.push(label);
        pixels.extend_from_slice(image);
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::data::{DataSpec, Dataset, Targets};
    use proptest::prelude::*;
    use std::fs;

    fn record(labels: &[u8], value: u8) -> Vec<u8> {
        [labels, &[value; 1024], &[0; 2048]].concat()
    }

    #[test]
    fn reads_records_of_both_kinds() {
        for (kind, first, second) in [(Kind::Cifar10, &[3][..], &[9][..]), (Kind::Cifar100, &[19, 3], &[0, 99])] {
            let bytes = [record(first, 1), record(second, 2)].concat();
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            parse(kind, &bytes, &mut pixels, &mut labels).unwrap();
            assert_eq!(labels, [first[first.len() - 1], second[second.len() - 1]]);
            assert_eq!(pixels.len(), 2 * PIXELS);
            assert_eq!((pixels[1023], pixels[1024], pixels[PIXELS]), (1, 0, 2));
        }
    }

    #[test]
    fn reads_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("cifar-10-batches-bin");
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("test_batch.bin"), record(&[4], 255).repeat(10_000)).unwrap();
        let data = Dataset::load(&DataSpec::Cifar10(folder.path().to_owned()), Split::Test).unwrap();
        assert_eq!(data.inputs.dims(), [10_000, 3, 32, 32]);
        assert_eq!(data.inputs.tensor().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap(), 10_240_000.0);
        let Targets::Classes { labels, classes } = &data.targets else { unreachable!("labels are classes") };
        assert_eq!((labels.tensor().unwrap().to_vec1::<i64>().unwrap(), *classes), (vec![4; 10_000], 10));
    }

    #[test]
    fn says_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let spec = DataSpec::Cifar100(folder.path().to_owned());
        let load = |split| Dataset::load(&spec, split).unwrap_err().to_string();
        assert!(load(Split::Test).contains("there is no `test.bin`"));
        fs::write(folder.path().join("test.bin"), record(&[0, 1], 0)).unwrap();
        let error = load(Split::Test);
        assert!(error.contains("test.bin` is truncated: 10000 records take 30740000 bytes, found 3074"), "{error}");
        assert!(check_length(Kind::Cifar10, 1, 3074).unwrap_err().contains("too long"));
        let found = parse(Kind::Cifar10, &record(&[10], 0), &mut vec![], &mut vec![]).unwrap_err();
        assert!(found.contains("label 10 in record 0"), "{found}");
        let error = Dataset::load(&DataSpec::Cifar100(folder.path().join("test.bin")), Split::Test).unwrap_err();
        assert!(error.to_string().contains("is a file, expected the directory"), "{error}");
        let error = Dataset::load(&DataSpec::Cifar100(folder.path().join("none")), Split::Test).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains("none"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(start: Vec<u8>, length in 0..10_000_usize, fine: bool) {
            let kind = if fine { Kind::Cifar100 } else { Kind::Cifar10 };
            let mut bytes = start;
            bytes.resize(length, 7);
            let (mut pixels, mut labels) = (Vec::new(), Vec::new());
            if parse(kind, &bytes, &mut pixels, &mut labels).is_ok() {
                prop_assert_eq!(labels.len() * kind.record_length(), length);
                prop_assert_eq!(pixels.len(), labels.len() * PIXELS);
            }
        }
    }
}
