//! The opcodes of pickle, protocols 0 to 5, with their arguments.

/// One instruction. Several opcodes of Python mean the same with arguments of other lengths.
#[derive(Debug)]
pub(super) enum Opcode<'a> {
    /// The protocol and frames, which carry no value.
    Nothing,
    Stop,
    Mark,
    Pop,
    PopMark,
    Duplicate,
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    /// An integer of more than 128 bits.
    LongInteger,
    Text(String),
    Bytes(&'a [u8]),
    EmptyList,
    EmptyDict,
    EmptyTuple,
    Tuple(usize),
    TupleOfMark,
    ListOfMark,
    DictOfMark,
    Append,
    Appends,
    SetItem,
    SetItems,
    Put(u32),
    Memoize,
    Get(u32),
    Global(String, String),
    GlobalOfStack,
    Reduce,
    NewObject,
    NewObjectWithKeywords,
    Build,
    PersistentId,
    /// A persistent id as Python prints it.
    PersistentIdText(String),
}

/// Reads instructions one after another; no length is trusted.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Read<T> = Result<T, String>;

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn take(&mut self, length: u64) -> Read<&'a [u8]> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let taken = usize::try_from(length).ok().and_then(|length| left.get(..length));
        let taken = taken.ok_or_else(|| format!("{length} bytes are expected, {} are left", left.len()))?;
        self.at += taken.len();
        Ok(taken)
    }

    /// A little-endian number of `bytes` bytes.
    fn length(&mut self, bytes: u64) -> Read<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte)))
    }

    fn counted(&mut self, bytes: u64) -> Read<&'a [u8]> {
        let length = self.length(bytes)?;
        self.take(length)
    }

    fn raw_line(&mut self) -> Read<&'a [u8]> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let end = left.iter().position(|&byte| byte == b'\n').ok_or("a line does not end")?;
        let line = self.take(end as u64)?;
        self.at += 1;
        Ok(line)
    }

    fn line(&mut self) -> Read<String> {
        Ok(text(self.raw_line()?))
    }

    /// A string of Python 2 as that prints it.
    fn quoted(&mut self) -> Read<String> {
        let line = latin(self.raw_line()?);
        let inner = ['\'', '"'].iter().find_map(|&quote| line.strip_prefix(quote)?.strip_suffix(quote));
        let short = [('n', '\n'), ('t', '\t'), ('r', '\r'), ('\\', '\\'), ('\'', '\''), ('"', '"')];
        unescaped(inner.ok_or("a string has no quotes")?, &[('x', 2)], &short)
    }

    fn parsed<T: std::str::FromStr>(&mut self) -> Read<T> {
        let line = self.line()?;
        line.parse().map_err(|_| format!("`{}` is no number it can use", line.escape_debug()))
    }

    fn integer(&mut self, bytes: u64) -> Read<Opcode<'a>> {
        let bytes = self.counted(bytes)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut number = [if negative { 0xff } else { 0 }; 16];
        Ok(match number.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                Opcode::Int(i128::from_le_bytes(number))
            }
            None => Opcode::LongInteger,
        })
    }

    /// The next instruction, or what is wrong with it.
    pub(super) fn next(&mut self) -> Read<Opcode<'a>> {
        let [opcode] = *self.take(1)? else { return Err("it ends early".into()) };
        Ok(match opcode {
            0x80 => match self.length(1)? {
                0..=5 => Opcode::Nothing,
                protocol => return Err(format!("protocol {protocol} is not known, the newest is 5")),
            },
            0x95 => {
                self.take(8)?;
                Opcode::Nothing
            }
            b'.' => Opcode::Stop,
            b'(' => Opcode::Mark,
            b'0' => Opcode::Pop,
            b'1' => Opcode::PopMark,
            b'2' => Opcode::Duplicate,
            b'N' => Opcode::None,
            0x88 => Opcode::Bool(true),
            0x89 => Opcode::Bool(false),
            b'I' => match self.line()?.as_str() {
                "00" => Opcode::Bool(false),
                "01" => Opcode::Bool(true),
                line => Opcode::Int(line.parse().map_err(|_| "a number is none")?),
            },
            b'J' => Opcode::Int(i128::from(self.length(4)? as u32 as i32)),
            b'K' => Opcode::Int(self.length(1)?.into()),
            b'M' => Opcode::Int(self.length(2)?.into()),
            b'L' => Opcode::Int(self.line()?.trim_end_matches('L').parse().map_err(|_| "a number is none")?),
            0x8a => self.integer(1)?,
            0x8b => self.integer(4)?,
            b'F' => Opcode::Float(self.parsed()?),
            b'G' => Opcode::Float(f64::from_bits(self.length(8)?.swap_bytes())),
            b'S' => Opcode::Text(self.quoted()?),
            b'V' => Opcode::Text(unescaped(&latin(self.raw_line()?), &[('u', 4), ('U', 8)], &[])?),
            // Strings of Python 2 are bytes; those of state_dicts are names.
            b'T' => Opcode::Text(latin(self.counted(4)?)),
            b'U' => Opcode::Text(latin(self.counted(1)?)),
            b'X' => Opcode::Text(text(self.counted(4)?)),
            0x8c => Opcode::Text(text(self.counted(1)?)),
            0x8d => Opcode::Text(text(self.counted(8)?)),
            b'B' => Opcode::Bytes(self.counted(4)?),
            b'C' => Opcode::Bytes(self.counted(1)?),
            0x8e | 0x96 => Opcode::Bytes(self.counted(8)?),
            // Sets are kept as lists.
            b']' | 0x8f => Opcode::EmptyList,
            b'}' => Opcode::EmptyDict,
            b')' => Opcode::EmptyTuple,
            0x85 => Opcode::Tuple(1),
            0x86 => Opcode::Tuple(2),
            0x87 => Opcode::Tuple(3),
            b't' => Opcode::TupleOfMark,
            b'l' | 0x91 => Opcode::ListOfMark,
            b'd' => Opcode::DictOfMark,
            b'a' => Opcode::Append,
            b'e' | 0x90 => Opcode::Appends,
            b's' => Opcode::SetItem,
            b'u' => Opcode::SetItems,
            b'p' => Opcode::Put(self.parsed()?),
            b'q' => Opcode::Put(self.length(1)? as u32),
            b'r' => Opcode::Put(self.length(4)? as u32),
            0x94 => Opcode::Memoize,
            b'g' => Opcode::Get(self.parsed()?),
            b'h' => Opcode::Get(self.length(1)? as u32),
            b'j' => Opcode::Get(self.length(4)? as u32),
            b'c' => Opcode::Global(self.line()?, self.line()?),
            0x93 => Opcode::GlobalOfStack,
            b'R' => Opcode::Reduce,
            0x81 => Opcode::NewObject,
            0x92 => Opcode::NewObjectWithKeywords,
            b'b' => Opcode::Build,
            b'Q' => Opcode::PersistentId,
            b'P' => Opcode::PersistentIdText(self.line()?),
            other => return Err(format!("opcode {other:#04x} is none that `torch.save` writes")),
        })
    }
}

fn text(bytes: &[u8]) -> String {
    // Python writes lone surrogates of odd file names, which are no UTF-8; no tensor is named so.
    String::from_utf8_lossy(bytes).into_owned()
}

fn latin(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// A text with its escapes resolved: letters by their number, of so many hexadecimal digits, and short ones. What is neither
/// stays as it is.
fn unescaped(text: &str, numbered: &[(char, usize)], short: &[(char, char)]) -> Read<String> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        result.push_str(before);
        let letter = escape.chars().next().ok_or("an escape ends early")?;
        rest = escape.get(letter.len_utf8()..).unwrap_or_default();
        if let Some(&(_, digits)) = numbered.iter().find(|&&(known, _)| known == letter) {
            let (digits, behind) = rest.split_at_checked(digits).ok_or("an escape ends early")?;
            let number = u32::from_str_radix(digits, 16).map_err(|_| "an escape is no number")?;
            // Lone surrogates are no letters, as in `text`.
            result.push(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = behind;
        } else if let Some(&(_, meant)) = short.iter().find(|&&(known, _)| known == letter) {
            result.push(meant);
        } else {
            result.extend(['\\', letter]);
        }
    }
    result.push_str(rest);
    Ok(result)
}
