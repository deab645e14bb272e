//! The machine that a pickle is a program for. All it builds lies in one heap, so that cycles are harmless.

use std::collections::HashMap;

use super::constructors::{self, Global};
use super::numpy::{self, NumpyType};
use super::opcodes::{Opcode, Reader};
use super::tensor::{StorageId, TensorView};
use crate::{Error, Result};

/// A value on the stack: small, or an object of the heap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Object(usize),
}

/// What lies in the heap.
#[derive(Clone, Debug)]
pub(super) enum Object {
    Text(String),
    Bytes(Vec<u8>),
    /// Lists and sets.
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Global(Global),
    Storage(StorageId),
    Tensor(TensorView),
    NumpyType(NumpyType),
    /// An array of NumPy before its state is known; then it is a tensor.
    NumpyArray,
    /// Something that no weight depends on; it is not kept.
    Opaque,
}

/// The most instructions of a file; each makes at most one value. State_dicts have some thousands.
const MOST_STEPS: usize = 1 << 24;

/// The most values and letters that constructors copy: this many, or [`COPIES_OF_FILE`] times the file. Arguments can be
/// recalled again and again, so that a short file could ask for copies without end.
const MOST_COPIED: usize = 1 << 24;

/// Protocols 0 to 2 write bytes as texts, of up to two bytes a letter in memory, which a constructor makes bytes again.
const COPIES_OF_FILE: usize = 4;

/// All objects of a file.
#[derive(Debug)]
pub(super) struct Heap {
    objects: Vec<Object>,
    steps: usize,
    copied: usize,
    file_length: usize,
}

impl Heap {
    pub(super) fn of_file(bytes: &[u8]) -> Self {
        Self { objects: vec![], steps: 0, copied: 0, file_length: bytes.len() }
    }

    pub(super) fn file_length(&self) -> usize {
        self.file_length
    }

    pub(super) fn add(&mut self, object: Object) -> Value {
        self.objects.push(object);
        Value::Object(self.objects.len() - 1)
    }

    /// Counts values or letters that are about to be copied.
    pub(super) fn charge(&mut self, count: usize) -> std::result::Result<(), String> {
        self.copied = self.copied.saturating_add(count);
        match self.copied <= MOST_COPIED.max(self.file_length.saturating_mul(COPIES_OF_FILE)) {
            true => Ok(()),
            false => Err("its constructors are given more than a state_dict needs".into()),
        }
    }

    /// How much a constructor that is given this value copies.
    pub(super) fn extent(&self, value: Value) -> usize {
        match self.get(value) {
            Some(Object::Text(text)) => text.len(),
            Some(Object::Bytes(bytes)) => bytes.len(),
            Some(Object::List(items) | Object::Tuple(items)) => items.len(),
            Some(Object::Dict(items)) => items.len(),
            Some(Object::Storage(storage)) => storage.key.len(),
            _ => 0,
        }
    }

    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    pub(super) fn get(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(at) => self.objects.get(at),
            _ => None,
        }
    }

    fn get_mut(&mut self, value: Value) -> Option<&mut Object> {
        match value {
            Value::Object(at) => self.objects.get_mut(at),
            _ => None,
        }
    }

    pub(super) fn text(&self, value: Value) -> Option<&str> {
        match self.get(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bytes(&self, value: Value) -> Option<&[u8]> {
        match self.get(value)? {
            Object::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The elements of a tuple or list.
    pub(super) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.get(value)? {
            Object::Tuple(items) | Object::List(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.get(value)? {
            Object::Dict(items) => Some(items),
            _ => None,
        }
    }
}

/// One run over one pickle.
pub(super) struct Machine<'a, 'b> {
    reader: Reader<'a>,
    heap: &'b mut Heap,
    stack: Vec<Value>,
    /// How high the stack was at each mark that is still open.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    place: &'b str,
}

/// Runs one pickle from the beginning of `bytes`: what it returned, and how many bytes it has.
pub(super) fn run(bytes: &[u8], heap: &mut Heap, place: &str) -> Result<(Value, usize)> {
    let (reader, stack, marks) = (Reader::new(bytes), Vec::new(), Vec::new());
    let mut machine = Machine { reader, heap, stack, marks, memo: HashMap::new(), place };
    loop {
        machine.heap.steps += 1;
        if machine.heap.steps > MOST_STEPS {
            return Err(machine.fault("it has more instructions than a state_dict needs"));
        }
        let opcode = machine.reader.next().map_err(|what| machine.fault(what))?;
        if let Opcode::Stop = opcode {
            let value = machine.pop()?;
            return Ok((value, machine.reader.position()));
        }
        machine.step(opcode)?;
    }
}

impl Machine<'_, '_> {
    fn fault(&self, what: impl std::fmt::Display) -> Error {
        super::damaged(self.place, format!("{what}, at byte {} of its pickle", self.reader.position()))
    }

    fn pop(&mut self) -> Result<Value> {
        // What lies below an open mark belongs to what was begun before it.
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().ok_or_else(|| self.fault("its stack is empty")),
            false => Err(self.fault("its stack is empty")),
        }
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().ok_or_else(|| self.fault("a mark is missing"))?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn push(&mut self, object: Object) {
        let value = self.heap.add(object);
        self.stack.push(value);
    }

    fn top(&self) -> Result<Value> {
        self.stack.last().copied().ok_or_else(|| self.fault("its stack is empty"))
    }

    fn step(&mut self, opcode: Opcode<'_>) -> Result<()> {
        match opcode {
            Opcode::Nothing => {}
            Opcode::Stop => return Err(self.fault("it stops twice")),
            Opcode::Mark => self.marks.push(self.stack.len()),
            Opcode::Pop => drop(self.pop()?),
            Opcode::PopMark => drop(self.pop_to_mark()?),
            Opcode::Duplicate => self.stack.push(self.top()?),
            Opcode::None => self.stack.push(Value::None),
            Opcode::Bool(value) => self.stack.push(Value::Bool(value)),
            Opcode::Int(value) => self.stack.push(Value::Int(value)),
            Opcode::Float(value) => self.stack.push(Value::Float(value)),
            Opcode::LongInteger => self.push(Object::Opaque),
            Opcode::Text(text) => self.push(Object::Text(text)),
            Opcode::Bytes(bytes) => self.push(Object::Bytes(bytes.to_vec())),
            Opcode::EmptyList => self.push(Object::List(Vec::new())),
            Opcode::EmptyDict => self.push(Object::Dict(Vec::new())),
            Opcode::EmptyTuple => self.push(Object::Tuple(Vec::new())),
            Opcode::Tuple(count) => {
                let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                self.push(Object::Tuple(items));
            }
            Opcode::TupleOfMark => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items));
            }
            Opcode::ListOfMark => {
                let items = self.pop_to_mark()?;
                self.push(Object::List(items));
            }
            Opcode::DictOfMark => {
                let items = self.pop_to_mark()?;
                let items = self.pairs(&items)?;
                self.push(Object::Dict(items));
            }
            Opcode::Append => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            Opcode::Appends => {
                let items = self.pop_to_mark()?;
                self.extend(items)?;
            }
            Opcode::SetItem => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(vec![(key, value)])?;
            }
            Opcode::SetItems => {
                let items = self.pop_to_mark()?;
                let items = self.pairs(&items)?;
                self.set_items(items)?;
            }
            Opcode::Put(at) => {
                let value = self.top()?;
                self.memo.insert(at, value);
            }
            Opcode::Memoize => {
                let (at, value) = (self.memo.len() as u32, self.top()?);
                self.memo.insert(at, value);
            }
            Opcode::Get(at) => {
                let value = self.memo.get(&at).copied();
                self.stack
                    .push(value.ok_or_else(|| self.fault(format!("it recalls value {at}, which it never kept")))?);
            }
            Opcode::Global(module, name) => self.global(&module, &name)?,
            Opcode::GlobalOfStack => {
                let (name, module) = (self.pop()?, self.pop()?);
                let texts = (self.heap.text(module), self.heap.text(name));
                let (Some(module), Some(name)) = texts else { return Err(self.fault("a name is no text")) };
                let (module, name) = (module.to_owned(), name.to_owned());
                self.global(&module, &name)?;
            }
            Opcode::Reduce | Opcode::NewObject => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.construct(callable, arguments)?;
            }
            Opcode::NewObjectWithKeywords => {
                let (_, arguments, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.construct(class, arguments)?;
            }
            // Of other objects than NumPy's, the state is attributes such as `_metadata`, on which no weight depends.
            Opcode::Build => {
                let (state, object) = (self.pop()?, self.top()?);
                let built = numpy::with_state(self.heap, object, state).map_err(|what| self.fault(what))?;
                if let (Some(built), Some(slot)) = (built, self.heap.get_mut(object)) {
                    *slot = built;
                }
            }
            Opcode::PersistentId => {
                let id = self.pop()?;
                let storage = constructors::storage(self.heap, id).map_err(|what| self.fault(what))?;
                self.push(Object::Storage(storage));
            }
            Opcode::PersistentIdText(id) => {
                let storage = constructors::storage_of_text(&id).map_err(|what| self.fault(what))?;
                self.push(Object::Storage(storage));
            }
        }
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let global = Global::named(module, name).ok_or_else(|| constructors::refused(module, name, self.place))?;
        self.push(Object::Global(global));
        Ok(())
    }

    fn construct(&mut self, callable: Value, arguments: Value) -> Result<()> {
        let Some(Object::Global(global)) = self.heap.get(callable) else {
            return Err(self.fault("it calls what is no constructor"));
        };
        let made = constructors::construct(global.clone(), self.heap, arguments).map_err(|what| self.fault(what))?;
        self.stack.push(made);
        Ok(())
    }

    fn pairs(&self, items: &[Value]) -> Result<Vec<(Value, Value)>> {
        let (pairs, rest) = items.as_chunks::<2>();
        match rest {
            [] => Ok(pairs.iter().map(|&[key, value]| (key, value)).collect()),
            _ => Err(self.fault("a key has no value")),
        }
    }

    fn extend(&mut self, items: Vec<Value>) -> Result<()> {
        let list = self.top()?;
        match self.heap.get_mut(list) {
            Some(Object::List(list)) => list.extend(items),
            Some(Object::Opaque) => {}
            _ => return Err(self.fault("it appends to what is no list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<(Value, Value)>) -> Result<()> {
        let dict = self.top()?;
        match self.heap.get_mut(dict) {
            Some(Object::Dict(dict)) => dict.extend(items),
            Some(Object::Opaque) => {}
            _ => return Err(self.fault("it sets items of what is no dict")),
        }
        Ok(())
    }
}
