//! One array in NumPy's npy format: a magic, a header written as a Python dictionary, and the elements.
//!
//! The header is read here rather than by the npyz crate, which multiplies extents without looking for an overflow and
//! allocates what the length field asks for.

use std::borrow::Cow;

use crate::stored::{Located, Number, Stored, byte_length};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads an array; what is wrong with it is said as the end of a sentence.
pub(super) fn parse(bytes: &[u8]) -> Result<Stored<'_>, String> {
    let (header, data) = split(bytes)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is not text".to_owned())?;
    let header = Header::parse(header)?;
    let (number, big_endian) = element(header.descr)?;
    let expected =
        byte_length(&header.shape, number).ok_or_else(|| format!("its shape {:?} is too large", header.shape))?;
    if data.len() != expected {
        return Err(format!(
            "its shape {:?} of {number} takes {expected} bytes, the array holds {}",
            header.shape,
            data.len()
        ));
    }
    let mut data = Cow::Borrowed(data);
    if big_endian {
        data.to_mut().chunks_exact_mut(number.size()).for_each(<[u8]>::reverse);
    }
    if header.fortran_order && header.shape.len() > 1 {
        data = Cow::Owned(to_row_major(&data, &header.shape, number.size()));
    }
    Stored::new(number, header.shape, data).ok_or_else(|| "its length does not fit its shape".to_owned())
}

/// Where the elements of an array lie whose first bytes start at `start` of a file; `None` where they are not in the order and of
/// the kind that they are computed with.
pub(super) fn locate(beginning: &[u8], start: u64) -> Result<Option<Located>, String> {
    let Ok((header, data)) = split(beginning) else { return Ok(None) };
    let offset = (beginning.len() - data.len()) as u64;
    let header = Header::parse(std::str::from_utf8(header).map_err(|_| "its header is not text".to_owned())?)?;
    let (number, big_endian) = element(header.descr)?;
    let in_order = !(big_endian || header.fortran_order && header.shape.len() > 1);
    Ok(in_order.then_some(Located { number, shape: header.shape, start: start + offset }))
}

/// The header's text and the elements.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it does not start with the magic of the npy format")?;
    let (&[major, _minor], rest) = rest.split_first_chunk().ok_or("it ends within its first 8 bytes")?;
    let (length, rest) = match major {
        1 => rest.split_first_chunk().map(|(&length, rest)| (u64::from(u16::from_le_bytes(length)), rest)),
        2 | 3 => rest.split_first_chunk().map(|(&length, rest)| (u64::from(u32::from_le_bytes(length)), rest)),
        other => {
            return Err(format!("its format version is {other}, versions 1 to 3 are known"));
        }
    }
    .ok_or("it ends within the length of its header")?;
    usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
        .ok_or_else(|| format!("its header takes {length} bytes, {} follow", rest.len()))
}

/// The number that a type string such as `<f4` names, and whether its bytes are in reverse.
fn element(descr: &str) -> Result<(Number, bool), String> {
    let (order, kind) = match descr.split_at_checked(1) {
        Some((order @ ("<" | ">" | "=" | "|"), kind)) => (order, kind),
        _ => ("=", descr),
    };
    let number = match kind {
        "b1" | "?" => Number::Bool,
        "u1" => Number::U8,
        "i1" => Number::I8,
        "u2" => Number::U16,
        "i2" => Number::I16,
        "u4" => Number::U32,
        "i4" => Number::I32,
        "u8" => Number::U64,
        "i8" => Number::I64,
        "f2" => Number::F16,
        "f4" => Number::F32,
        "f8" => Number::F64,
        _ => {
            return Err(format!(
                "its elements are of type `{descr}`, expected booleans, integers or floats of at most 64 bits"
            ));
        }
    };
    Ok((number, order == ">"))
}

/// The elements of an array whose first index runs fastest, in the order in which the last one does.
fn to_row_major(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut stride = size;
    // Position, extent and stride in bytes of each axis.
    let mut axes: Vec<(usize, usize, usize)> = shape
        .iter()
        .map(|&extent| {
            let axis = (0, extent, stride);
            stride = stride.saturating_mul(extent);
            axis
        })
        .collect();
    // The last axis runs fastest.
    axes.reverse();
    let mut ordered = Vec::with_capacity(bytes.len());
    let mut start = 0;
    for _ in 0..bytes.len() / size {
        ordered.extend_from_slice(bytes.get(start..start + size).unwrap_or_default());
        for (position, extent, stride) in &mut axes {
            *position += 1;
            start += *stride;
            if *position < *extent {
                break;
            }
            start -= *position * *stride;
            *position = 0;
        }
    }
    ordered
}

/// The three entries of the header.
struct Header<'a> {
    descr: &'a str,
    fortran_order: bool,
    shape: Vec<usize>,
}

impl<'a> Header<'a> {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, in any order.
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut cursor = Cursor { rest: text.trim() };
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        cursor.expect("{")?;
        while !cursor.accept("}") {
            let key = cursor.quoted().ok_or_else(|| cursor.unreadable())?;
            cursor.expect(":")?;
            match key {
                "descr" => descr = Some(cursor.descr()?),
                "fortran_order" => fortran_order = Some(cursor.boolean()?),
                "shape" => shape = Some(cursor.shape()?),
                other => return Err(format!("its header has the unknown entry `{other}`")),
            }
            if !cursor.accept(",") {
                cursor.expect("}")?;
                break;
            }
        }
        if !cursor.rest.is_empty() {
            return Err(cursor.unreadable());
        }
        Ok(Self {
            descr: descr.ok_or("its header lacks `descr`")?,
            fortran_order: fortran_order.ok_or("its header lacks `fortran_order`")?,
            shape: shape.ok_or("its header lacks `shape`")?,
        })
    }
}

/// What of the header is still to be read.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn accept(&mut self, token: &str) -> bool {
        let found = self.rest.strip_prefix(token);
        if let Some(rest) = found {
            self.rest = rest.trim_start();
        }
        found.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.accept(token) { Ok(()) } else { Err(self.unreadable()) }
    }

    fn unreadable(&self) -> String {
        let beginning: String = self.rest.chars().take(20).collect();
        format!("its header cannot be read from `{beginning}` on")
    }

    fn quoted(&mut self) -> Option<&'a str> {
        let quote = self.rest.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
        let (text, rest) = self.rest.get(1..)?.split_once(quote)?;
        self.rest = rest.trim_start();
        Some(text)
    }

    fn descr(&mut self) -> Result<&'a str, String> {
        if self.rest.starts_with('[') {
            return Err("its elements are records of several fields, expected one number each".to_owned());
        }
        self.quoted().ok_or_else(|| self.unreadable())
    }

    fn boolean(&mut self) -> Result<bool, String> {
        if self.accept("True") {
            return Ok(true);
        }
        self.expect("False")?;
        Ok(false)
    }

    fn shape(&mut self) -> Result<Vec<usize>, String> {
        let mut shape = Vec::new();
        self.expect("(")?;
        while !self.accept(")") {
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            shape.push(digits.parse().map_err(|_| self.unreadable())?);
            // Python 2 wrote a long integer with an L behind it.
            self.rest = rest.strip_prefix('L').unwrap_or(rest).trim_start();
            if !self.accept(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(shape)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use npyz::WriterBuilder;
    use proptest::prelude::*;

    fn written(values: &[f32], shape: &[u64], order: npyz::Order) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer =
            npyz::WriteOptions::new().default_dtype().order(order).shape(shape).writer(&mut bytes).begin_nd().unwrap();
        writer.extend(values).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn header(text: &str, data: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0], &(text.len() as u16).to_le_bytes(), text.as_bytes(), data].concat()
    }

    fn floats(array: &Stored<'_>) -> Vec<f32> {
        array.to_tensor().unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn reads_what_npyz_writes_in_either_order() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let bytes = written(&values, &[2, 3], npyz::Order::C);
        let array = parse(&bytes).unwrap();
        assert_eq!(array.shape(), [2, 3]);
        assert_eq!(floats(&array), values);
        let bytes = written(&values, &[2, 3], npyz::Order::Fortran);
        assert_eq!(floats(&parse(&bytes).unwrap()), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        // a[i][j][k] of shape (2, 1, 3) lies at i + 2 k.
        let bytes = written(&values, &[2, 1, 3], npyz::Order::Fortran);
        assert_eq!(floats(&parse(&bytes).unwrap()), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
    }

    #[test]
    fn reads_big_endian_numbers_and_python_2_headers() {
        let text = r#"{"shape": (2L,), 'fortran_order': True, 'descr': '>i2'}"#;
        let bytes = header(text, &[1, 0, 0xff, 0xff]);
        assert_eq!(parse(&bytes).unwrap().to_integers().unwrap(), [256, -1]);
        let scalar = header("{'descr': '|u1', 'fortran_order': False, 'shape': (), }  \n", &[9]);
        assert_eq!(parse(&scalar).unwrap().shape(), [0; 0]);
    }

    #[test]
    fn says_what_is_wrong() {
        let shaped = |shape: &str| format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}");
        let cases = [
            (b"PK".to_vec(), "magic"),
            (header("{'descr': '<U3', 'fortran_order': False, 'shape': (1,)}", &[]), "type `<U3`"),
            (header("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", &[]), "type `|O`"),
            (header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", &[]), "records"),
            (header("{'fortran_order': False, 'shape': (1,)}", &[]), "lacks `descr`"),
            (header(&shaped("(4000000000,)"), &[0; 10]), "takes 32000000000 bytes, the array holds 10"),
            (header(&shaped("(4000000000, 4000000000, 4000000000)"), &[]), "too large"),
            (header(&shaped("(-1,)"), &[]), "cannot be read from `-1,)"),
            (header(&shaped("(99999999999999999999999,)"), &[]), "cannot be read"),
            (header(&shaped("(1,)"), &[0; 9]), "takes 8 bytes, the array holds 9"),
            (header(&"(".repeat(60_000), &[]), "cannot be read"),
        ];
        for (bytes, expected) in cases {
            let found = parse(&bytes).unwrap_err();
            assert!(found.contains(expected), "{found:?} lacks {expected:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in ".{0,80}") {
            prop_assert!(parse(&bytes).is_err());
            prop_assert!(parse(&header(&text, &bytes)).is_err());
        }

        #[test]
        fn damaged_arrays_never_panic(at in 0..160_usize, value: u8, cut in 0..200_usize) {
            let mut bytes = written(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[3, 2], npyz::Order::Fortran);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
            bytes.truncate(cut);
            if let Ok(array) = parse(&bytes) {
                prop_assert!(array.to_tensor().is_ok());
            }
        }
    }
}
