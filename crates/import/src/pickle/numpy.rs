//! Arrays of NumPy, whose elements lie in the pickle itself.

use super::machine::{Heap, Object, Value};
use super::tensor::{ElementType, Source, TensorView};

/// The type of an array's elements, where it is one of numbers, and the order of their bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct NumpyType {
    pub(super) element: Option<ElementType>,
    pub(super) big_endian: bool,
}

/// What the state of an object makes of it: for a type its order of bytes, for an array everything. `None` where nothing
/// of it is kept.
pub(super) fn with_state(heap: &mut Heap, object: Value, state: Value) -> Result<Option<Object>, String> {
    match heap.get(object) {
        Some(&Object::NumpyType(of)) => {
            let order = heap.sequence(state).and_then(|state| heap.text(*state.get(1)?));
            Ok(Some(Object::NumpyType(NumpyType { big_endian: order == Some(">"), ..of })))
        }
        Some(Object::NumpyArray) => {
            let state = heap.sequence(state).ok_or("the state of a NumPy array is no tuple")?;
            let &[_, shape, of, fortran, elements] = state else {
                return Err(format!("the state of a NumPy array has {} parts, expected 5", state.len()));
            };
            array(heap, elements, of, shape, fortran == Value::Bool(true)).map(Some)
        }
        _ => Ok(None),
    }
}

/// The array that `_frombuffer(elements, type, shape, order)` makes.
pub(super) fn from_buffer(heap: &mut Heap, given: &[Value]) -> Result<Object, String> {
    let &[elements, of, shape, order] = given else {
        return Err(format!("a NumPy array is made of {} parts, expected 4", given.len()));
    };
    let fortran = heap.text(order) == Some("F");
    array(heap, elements, of, shape, fortran)
}

/// Arrays of objects, texts and records are no weights and come out as [`Object::Opaque`].
fn array(heap: &mut Heap, elements: Value, of: Value, shape: Value, fortran: bool) -> Result<Object, String> {
    let Some(&Object::NumpyType(of)) = heap.get(of) else { return Err("a NumPy array has no type".into()) };
    let NumpyType { element: Some(element), big_endian } = of else { return Ok(Object::Opaque) };
    let shape = super::constructors::sizes(heap, Some(&shape))?;
    let elements = bytes(heap, elements)?;
    let held = heap.extent(elements);
    let count = shape.iter().try_fold(1_usize, |count, &length| count.checked_mul(length));
    if count.and_then(|count| count.checked_mul(element.size())) != Some(held) {
        return Err(format!("a NumPy array of shape {shape:?} and type {element} has {held} bytes"));
    }
    let mut strides = vec![1; shape.len()];
    let mut step = 1_usize;
    for at in 0..shape.len() {
        let axis = if fortran { at } else { shape.len() - 1 - at };
        strides[axis] = step;
        // An array of no elements may have any other lengths.
        step = step.saturating_mul(shape[axis]);
    }
    Ok(Object::Tensor(TensorView { source: Source::Pickle(elements), element, big_endian, offset: 0, shape, strides }))
}

/// Bytes; Python 2 wrote them as texts, one letter each.
fn bytes(heap: &mut Heap, value: Value) -> Result<Value, String> {
    if heap.bytes(value).is_some() {
        return Ok(value);
    }
    heap.charge(heap.extent(value))?;
    let text = heap.text(value).ok_or("the elements of a NumPy array are no bytes")?;
    let bytes = text.chars().map(|letter| u8::try_from(letter).map_err(|_| "a byte of a NumPy array is none"));
    let bytes = bytes.collect::<Result<_, _>>()?;
    Ok(heap.add(Object::Bytes(bytes)))
}

/// The number of `numpy.float64(…)` and its like.
pub(super) fn scalar(heap: &Heap, of: Value, bytes: Value) -> Option<Value> {
    let (&Object::NumpyType(of), bytes) = (heap.get(of)?, heap.bytes(bytes)?) else { return None };
    let mut bytes = bytes.get(..8.min(bytes.len()))?.to_vec();
    if of.big_endian {
        bytes.reverse();
    }
    let bytes = bytes.as_slice();
    Some(match of.element? {
        ElementType::F64 => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        ElementType::F32 => Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        ElementType::I64 => Value::Int(i64::from_le_bytes(bytes.try_into().ok()?).into()),
        ElementType::I32 => Value::Int(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        ElementType::Bool => Value::Bool(bytes.first().is_some_and(|&byte| byte != 0)),
        _ => return None,
    })
}
