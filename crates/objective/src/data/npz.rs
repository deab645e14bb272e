//! NumPy's npz format: a zip archive of arrays, stored as they are or deflated.
//!
//! The archive's table is read here rather than by the zip crate that npyz brings, which reserves memory for as many
//! entries as the file claims to have.

use std::collections::BTreeMap;

use flate2::read::DeflateDecoder;

use super::npy;
use crate::file::{self, ReadAt};
use crate::stored::Located;

const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
const TABLE_ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const END_64_LOCATOR: &[u8] = b"PK\x06\x07";
const END_LENGTH: usize = 22;
const END_64_LOCATOR_LENGTH: usize = 20;
const END_64_LENGTH: u64 = 56;
const LOCAL_HEADER_LENGTH: u64 = 30;
/// The table of a larger archive is none of arrays.
const LONGEST_TABLE: u64 = 64 << 20;
/// The header of an array is padded to a multiple of 64 bytes, and rarely longer.
const NPY_HEADER: u64 = 1 << 16;
const CORRUPT: &str = "it is not a whole zip archive";

/// One file of the archive, still as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    method: u16,
    encrypted: bool,
    checksum: u32,
    compressed: u64,
    length: u64,
    /// Where its local header starts.
    start: u64,
}

/// The arrays of the archive by name, without the `.npy` at the end; what is wrong is said as the end of a sentence.
pub(super) fn entries(file: &dyn ReadAt) -> Result<BTreeMap<String, Entry>, String> {
    if !bytes(file, 0, 2).is_ok_and(|beginning| beginning == b"PK") {
        return Err("it does not start as a zip archive does".to_owned());
    }
    let (count, table) = table(file)?;
    let mut rest = table.as_slice();
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let (name, entry, next) = table_entry(rest).ok_or(CORRUPT)?;
        entries.insert(name.strip_suffix(".npy").unwrap_or(&name).to_owned(), entry);
        rest = next;
    }
    Ok(entries)
}

fn bytes(file: &dyn ReadAt, start: u64, length: u64) -> Result<Vec<u8>, String> {
    let end = start.checked_add(length).filter(|&end| end <= file.length());
    end.ok_or(CORRUPT)?;
    file.read_at(start, length).map_err(|cause| cause.to_string())
}

/// How many entries the table has, and the table.
fn table(file: &dyn ReadAt) -> Result<(u64, Vec<u8>), String> {
    // The record at the end may be followed by a comment of up to 65535 bytes, whose length it states.
    let longest = u64::from(u16::MAX) + (END_LENGTH + END_64_LOCATOR_LENGTH) as u64;
    let before = file.length().saturating_sub(longest);
    let tail = bytes(file, before, file.length() - before)?;
    let last = tail.len().checked_sub(END_LENGTH).ok_or(CORRUPT)?;
    let is_end = |position: &usize| {
        tail.get(*position..).is_some_and(|record| {
            record.starts_with(END) && u16_at(record, 20).is_some_and(|comment| usize::from(comment) == last - position)
        })
    };
    let position = (0..=last).rev().find(is_end).ok_or(CORRUPT)?;
    let end = &tail[position..];
    let locator = position.checked_sub(END_64_LOCATOR_LENGTH).and_then(|position| tail.get(position..));
    let (count, start) = match locator {
        Some(locator) if locator.starts_with(END_64_LOCATOR) => {
            let end = bytes(file, u64_at(locator, 8).ok_or(CORRUPT)?, END_64_LENGTH)?;
            if !end.starts_with(END_64) {
                return Err(CORRUPT.to_owned());
            }
            u64_at(&end, 32).zip(u64_at(&end, 48)).ok_or(CORRUPT)?
        }
        _ => (u64::from(u16_at(end, 10).ok_or(CORRUPT)?), u64::from(u32_at(end, 16).ok_or(CORRUPT)?)),
    };
    let length = (before + position as u64).checked_sub(start).ok_or(CORRUPT)?;
    match length <= LONGEST_TABLE {
        true => Ok((count, bytes(file, start, length)?)),
        false => Err(format!("its table of contents takes {length} bytes")),
    }
}

/// The first entry of the table, its name, and what follows it.
fn table_entry(bytes: &[u8]) -> Option<(String, Entry, &[u8])> {
    bytes.starts_with(TABLE_ENTRY).then_some(())?;
    let mut entry = Entry {
        encrypted: u16_at(bytes, 8)? & 1 == 1,
        method: u16_at(bytes, 10)?,
        checksum: u32_at(bytes, 16)?,
        compressed: u64::from(u32_at(bytes, 20)?),
        length: u64::from(u32_at(bytes, 24)?),
        start: u64::from(u32_at(bytes, 42)?),
    };
    let (name, rest) = bytes.get(46..)?.split_at_checked(usize::from(u16_at(bytes, 28)?))?;
    let (extra, rest) = rest.split_at_checked(usize::from(u16_at(bytes, 30)?))?;
    let rest = rest.get(usize::from(u16_at(bytes, 32)?)..)?;
    entry.widen(extra)?;
    Some((String::from_utf8_lossy(name).into_owned(), entry, rest))
}

impl Entry {
    /// Fields too large for 32 bits are all ones, and stand in the extra field of kind 1 in this order.
    fn widen(&mut self, mut extra: &[u8]) -> Option<()> {
        while let (Some(kind), Some(size)) = (u16_at(extra, 0), u16_at(extra, 2)) {
            let (mut field, rest) = extra.get(4..)?.split_at_checked(usize::from(size))?;
            if kind == 1 {
                for value in [&mut self.length, &mut self.compressed, &mut self.start] {
                    if *value == u64::from(u32::MAX) {
                        *value = u64_at(field, 0)?;
                        field = field.get(8..)?;
                    }
                }
            }
            extra = rest;
        }
        Some(())
    }

    /// The bytes of this file of the archive.
    pub(super) fn read(&self, archive: &dyn ReadAt) -> Result<Vec<u8>, String> {
        if self.encrypted {
            return Err("it is encrypted".to_owned());
        }
        let compressed = bytes(archive, self.data(archive)?, self.compressed)?;
        let compressed = compressed.as_slice();
        if self.length > file::most_inflated(self.compressed) {
            return Err(format!("{} bytes cannot hold the {} that it claims", self.compressed, self.length));
        }
        let bytes = match self.method {
            0 => file::read_at_most(compressed, self.length),
            8 => file::read_at_most(DeflateDecoder::new(compressed), self.length),
            other => {
                return Err(format!("it is compressed by method {other}, expected stored or deflated"));
            }
        }
        .map_err(|cause| format!("it cannot be decompressed: {cause}"))?;
        if bytes.len() as u64 != self.length {
            return Err(format!("it should hold {} bytes and holds {}", self.length, size(&bytes, self.length)));
        }
        let mut checksum = flate2::Crc::new();
        checksum.update(&bytes);
        if checksum.sum() != self.checksum {
            return Err("its checksum does not match its bytes".to_owned());
        }
        Ok(bytes)
    }

    /// Where the array of this file lies in the archive, where it is stored as it is computed with: neither compressed nor in
    /// another order. Its checksum is not looked at.
    pub(super) fn located(&self, archive: &dyn ReadAt) -> Result<Option<Located>, String> {
        if self.encrypted || self.method != 0 || self.compressed != self.length {
            return Ok(None);
        }
        let start = self.data(archive)?;
        let beginning = bytes(archive, start, self.length.min(NPY_HEADER))?;
        let located = npy::locate(&beginning, start)?;
        let fits = |located: &Located| located.bytes().and_then(|bytes| (located.start - start).checked_add(bytes));
        Ok(located.filter(|located| fits(located) == Some(self.length)))
    }

    /// Bytes that the array takes at least once it is read.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Where its bytes start.
    fn data(&self, archive: &dyn ReadAt) -> Result<u64, String> {
        let header = bytes(archive, self.start, LOCAL_HEADER_LENGTH)?;
        let lengths = u16_at(&header, 26).zip(u16_at(&header, 28)).filter(|_| header.starts_with(LOCAL_HEADER));
        let (name, extra) = lengths.ok_or(CORRUPT)?;
        Ok(self.start + LOCAL_HEADER_LENGTH + u64::from(name) + u64::from(extra))
    }
}

fn size(bytes: &[u8], expected: u64) -> String {
    if bytes.len() as u64 > expected { "more".to_owned() } else { bytes.len().to_string() }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|&value| u16::from_le_bytes(value))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|&value| u32::from_le_bytes(value))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|&value| u64::from_le_bytes(value))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
pub(super) mod tests {
    use super::*;
    use npyz::WriterBuilder;
    use npyz::npz::NpzWriter;
    use npyz::zip::CompressionMethod;
    use npyz::zip::write::FileOptions;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// An archive as npyz writes it.
    pub(crate) fn archive(arrays: &[(&str, &[u64], &[f32])], labels: &[(&str, &[i64])], deflated: bool) -> Vec<u8> {
        let method = if deflated { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let options = FileOptions::default().compression_method(method);
        let mut bytes = Vec::new();
        let mut writer = NpzWriter::new(Cursor::new(&mut bytes));
        for (name, shape, values) in arrays {
            let mut array =
                writer.array(name, options.large_file(true)).unwrap().default_dtype().shape(shape).begin_nd().unwrap();
            array.extend(*values).unwrap();
            array.finish().unwrap();
        }
        for (name, values) in labels {
            let shape = [values.len() as u64];
            let mut array = writer.array(name, options).unwrap().default_dtype().shape(&shape).begin_nd().unwrap();
            array.extend(*values).unwrap();
            array.finish().unwrap();
        }
        drop(writer);
        bytes
    }

    fn small(deflated: bool) -> Vec<u8> {
        archive(&[("x", &[2, 2], &[1.0, 2.0, 3.0, 4.0])], &[("y", &[0, 1])], deflated)
    }

    #[test]
    fn reads_what_npyz_writes() {
        for deflated in [false, true] {
            let bytes = small(deflated);
            let entries = entries(&&bytes[..]).unwrap();
            assert_eq!(entries.keys().collect::<Vec<_>>(), ["x", "y"]);
            let array = entries["x"].read(&&bytes[..]).unwrap();
            let expected = archive(&[("x", &[2, 2], &[1.0, 2.0, 3.0, 4.0])], &[], false);
            let plain = super::entries(&&expected[..]).unwrap()["x"].read(&&expected[..]).unwrap();
            assert_eq!(array, plain);
            assert_eq!(&array[array.len() - 4..], 4.0_f32.to_le_bytes());
        }
    }

    #[test]
    fn a_comment_at_the_end_is_allowed() {
        let mut bytes = small(true);
        let length = bytes.len();
        bytes[length - 2] = 5;
        bytes.extend(b"hello");
        assert_eq!(entries(&&bytes[..]).unwrap().len(), 2);
    }

    #[test]
    fn damage_is_found() {
        let bytes = small(false);
        assert!(entries(&&bytes[..bytes.len() - 1]).is_err());
        assert!(entries(&&b"\x93NUMPY"[..]).unwrap_err().contains("zip"));
        let data = bytes.windows(4).position(|window| window == 3.0_f32.to_le_bytes()).unwrap();
        let mut flipped = bytes.clone();
        flipped[data] ^= 1;
        let error = entries(&&flipped[..]).unwrap()["x"].read(&&flipped[..]).unwrap_err();
        assert!(error.contains("checksum"), "{error}");
    }

    #[test]
    fn a_claim_beyond_the_archive_is_refused_before_anything_is_read() {
        let bytes = small(true);
        let honest = entries(&&bytes[..]).unwrap()["x"];
        let huge = Entry { length: 1 << 60, ..honest };
        assert!(huge.read(&&bytes[..]).unwrap_err().contains("cannot hold"));
        let beyond = Entry { compressed: 1 << 60, ..honest };
        assert!(beyond.read(&&bytes[..]).unwrap_err().contains("not a whole zip"));
        let short = Entry { length: 3, ..honest };
        assert!(short.read(&&bytes[..]).unwrap_err().contains("should hold 3 bytes and holds more"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(tail: Vec<u8>) {
            let _ = entries(&&tail[..]);
            let bytes = [LOCAL_HEADER, &tail, END, &[0; 18]].concat();
            if let Ok(entries) = entries(&&bytes[..]) {
                prop_assert!(entries.is_empty());
            }
        }

        #[test]
        fn damaged_archives_never_panic(
            deflated: bool,
            damage in proptest::collection::vec((0..700_usize, any::<u8>()), 0..6),
            cut in 0..2000_usize,
        ) {
            let mut bytes = small(deflated);
            for (at, value) in damage {
                let length = bytes.len();
                bytes[at % length] = value;
            }
            bytes.truncate(cut);
            for entry in entries(&&bytes[..]).unwrap_or_default().values() {
                if let Ok(array) = entry.read(&&bytes[..]) {
                    prop_assert_eq!(array.len() as u64, entry.length);
                }
            }
        }
    }
}
