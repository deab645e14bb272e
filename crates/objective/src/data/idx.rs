//! MNIST and Fashion-MNIST: files in the IDX format, plain or gzipped.
//!
//! A file starts with 0, 0, the type of its elements (8: bytes) and the number of its axes, then the extent of each axis
//! as a big-endian 32-bit number, then the elements.

use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::{Samples, Split, images};
use crate::{Error, Result, file};

const CLASSES: usize = 10;
const GZIP: &[u8] = &[0x1f, 0x8b];
/// Where torchvision puts the files below its root.
const SUBFOLDERS: [&str; 3] = ["raw", "MNIST/raw", "FashionMNIST/raw"];

pub(super) fn read(folder: &Path, split: Split) -> Result<Samples> {
    let prefix = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let images: Idx<3> = read_file(folder, &format!("{prefix}-images"), "idx3-ubyte")?;
    let labels: Idx<1> = read_file(folder, &format!("{prefix}-labels"), "idx1-ubyte")?;
    let ([count, rows, columns], [labelled]) = (images.shape, labels.shape);
    if count != labelled {
        return Err(Error::input(
            format!("`{}` has {count} {prefix} images, but {labelled} {prefix} labels", folder.display()),
            "take both files from the same download",
        ));
    }
    images::samples(&images.bytes, &[count, 1, rows, columns], &labels.bytes, CLASSES)
}

fn read_file<const AXES: usize>(folder: &Path, stem: &str, ending: &str) -> Result<Idx<AXES>> {
    let names = ["-", "."].map(|joint| format!("{stem}{joint}{ending}"));
    let zipped = names.each_ref().map(|name| format!("{name}.gz"));
    let names: Vec<&str> = names.iter().chain(&zipped).map(String::as_str).collect();
    let path = images::find(folder, &SUBFOLDERS, &names)?;
    parse(&file::read(&path)?).map_err(|fault| {
        Error::input(format!("`{}` {fault}", path.display()), "download the file again, it may be incomplete")
    })
}

/// Bytes in `AXES` axes.
#[derive(Debug, PartialEq)]
struct Idx<const AXES: usize> {
    shape: [usize; AXES],
    bytes: Vec<u8>,
}

/// Reads the contents of a file; what is wrong is said as the rest of a sentence that starts with its name.
fn parse<const AXES: usize>(bytes: &[u8]) -> Result<Idx<AXES>, String> {
    if bytes.starts_with(GZIP) {
        decode(MultiGzDecoder::new(bytes), file::most_inflated(bytes.len() as u64))
    } else {
        decode(bytes, bytes.len() as u64)
    }
}

/// Reads at most one byte more than the header promises, and nothing if it promises more than `most` bytes.
fn decode<const AXES: usize>(mut reader: impl Read, most: u64) -> Result<Idx<AXES>, String> {
    let magic = word(&mut reader)?;
    let expected = 0x0800 + AXES as u32;
    if magic != expected {
        return Err(format!(
            "is not an IDX file of {AXES} axes of bytes: expected magic {expected:#010x}, found {magic:#010x}"
        ));
    }
    let mut shape = [0; AXES];
    for extent in &mut shape {
        *extent = word(&mut reader)? as usize;
    }
    let expected = shape.iter().try_fold(1_u64, |product, &extent| product.checked_mul(extent as u64));
    let expected = expected.filter(|&expected| expected <= most).ok_or_else(|| {
        format!("is truncated: its header promises bytes of shape {shape:?}, it cannot hold more than {most}")
    })?;
    let bytes = file::read_at_most(reader, expected).map_err(unreadable)?;
    match (bytes.len() as u64).cmp(&expected) {
        std::cmp::Ordering::Equal => Ok(Idx { shape, bytes }),
        std::cmp::Ordering::Less => {
            Err(format!("is truncated: its header promises {expected} bytes, {} follow", bytes.len()))
        }
        std::cmp::Ordering::Greater => {
            Err(format!("has garbage at its end: its header promises {expected} bytes, more follow"))
        }
    }
}

fn word(reader: &mut impl Read) -> Result<u32, String> {
    let mut bytes = [0; 4];
    reader.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(u32::from_be_bytes(bytes))
}

fn unreadable(cause: io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::UnexpectedEof => "is truncated: it ends too early".to_owned(),
        _ => format!("cannot be decompressed: {cause}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::data::{DataSpec, Dataset, Targets};
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::fs;
    use std::io::Write;

    fn idx(shape: &[u32], bytes: &[u8]) -> Vec<u8> {
        let mut file = vec![0, 0, 8, shape.len() as u8];
        file.extend(shape.iter().flat_map(|extent| extent.to_be_bytes()));
        file.extend(bytes);
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn reads_a_folder_plain_or_gzipped() {
        let images = idx(&[2, 1, 2], &[0, 51, 255, 102]);
        let labels = idx(&[2], &[7, 3]);
        for zipped in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let raw = folder.path().join("MNIST/raw");
            fs::create_dir_all(&raw).unwrap();
            for (name, bytes) in [("t10k-images-idx3-ubyte", &images), ("t10k-labels-idx1-ubyte", &labels)] {
                if zipped {
                    fs::write(raw.join(format!("{name}.gz")), gzip(bytes)).unwrap();
                } else {
                    fs::write(raw.join(name), bytes).unwrap();
                }
            }
            let spec = DataSpec::Mnist(folder.path().to_owned());
            let data = Dataset::load(&spec, Split::Test).unwrap();
            assert_eq!(data.inputs.dims(), [2, 1, 1, 2]);
            assert_eq!(
                data.inputs.tensor().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(),
                [0.0, 0.2, 1.0, 0.4]
            );
            let Targets::Classes { labels, classes } = &data.targets else { unreachable!("labels are classes") };
            assert_eq!((labels.tensor().unwrap().to_vec1::<i64>().unwrap(), *classes), (vec![7, 3], 10));
            let missing = Dataset::load(&spec, Split::Train).unwrap_err();
            assert!(missing.to_string().contains("there is no `train-images-idx3-ubyte`"), "{missing}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let labels = idx(&[3], &[1, 2, 3]);
        let long = [&labels[..], &[0]].concat();
        let cases = [
            (labels[..10].to_vec(), "its header promises 3 bytes, 2 follow".to_owned()),
            (long.clone(), "garbage".to_owned()),
            (gzip(&labels[..10]), "its header promises 3 bytes, 2 follow".to_owned()),
            (gzip(&long), "garbage".to_owned()),
            ([gzip(&labels), vec![1; 20]].concat(), "decompressed".to_owned()),
            (gzip(&labels)[..12].to_vec(), "ends too early".to_owned()),
            (idx(&[3, 1, 1], &[1, 2, 3]), "expected magic 0x00000801, found 0x00000803".to_owned()),
            (vec![0, 0], "ends too early".to_owned()),
        ];
        for (bytes, expected) in cases {
            let found = parse::<1>(&bytes).unwrap_err();
            assert!(found.contains(&expected), "{found:?} lacks {expected:?}");
        }
    }

    #[test]
    fn four_billion_images_in_ten_bytes_are_refused() {
        let most = u32::MAX;
        let file = idx(&[most, most, most], &[0; 10]);
        assert!(parse::<3>(&file).unwrap_err().contains("cannot hold"));
        assert!(parse::<3>(&gzip(&file)).unwrap_err().contains("cannot hold"));
        assert!(parse::<1>(&idx(&[most], &[0; 10])).unwrap_err().contains("cannot hold"));
    }

    #[test]
    fn a_bomb_is_not_read_to_its_end() {
        struct Endless<'a>(&'a mut u64);
        impl Read for Endless<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(0);
                *self.0 += buffer.len() as u64;
                Ok(buffer.len())
            }
        }
        let mut read = 0;
        let header = idx(&[100], &[]);
        let found = decode::<1>(header.chain(Endless(&mut read)), 1000).unwrap_err();
        assert!(found.contains("more follow"), "{found}");
        assert!(read <= 101, "{read} bytes were read");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse::<3>(&bytes);
            let _ = parse::<3>(&[GZIP, &bytes].concat());
            let _ = parse::<3>(&gzip(&bytes));
            if let Ok(idx) = parse::<1>(&[&[0, 0, 8, 1], &bytes[..]].concat()) {
                prop_assert_eq!(idx.shape, [idx.bytes.len()]);
            }
        }

        #[test]
        fn damaged_files_never_panic(zipped: bool, at: usize, value: u8, cut in 0..80_usize) {
            let mut bytes = idx(&[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
            if zipped {
                bytes = gzip(&bytes);
            }
            let length = bytes.len();
            bytes[at % length] = value;
            bytes.truncate(cut);
            if let Ok(idx) = parse::<3>(&bytes) {
                prop_assert_eq!(idx.bytes.len(), idx.shape.iter().product::<usize>());
            }
        }
    }
}
