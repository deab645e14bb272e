//! The names that a pickle may use, and what each of them makes. Everything else is refused by name.

use super::machine::{Heap, Object, Value};
use super::tensor::{ElementType, StorageId, TensorView};
use crate::Error;

/// A name that a pickle may use.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Global {
    /// `dict`, `OrderedDict` and the classes of trainers that are dicts.
    Dict,
    /// `set`, `list` and their like, and `torch.Size`.
    List,
    /// `torch._utils._rebuild_tensor` and `_rebuild_tensor_v2`: a view of a storage that knows its type.
    Tensor,
    /// `torch._utils._rebuild_tensor_v3`: a view of bytes as a type.
    TensorOfBytes,
    /// `torch._utils._rebuild_parameter`: the tensor it is given.
    Parameter,
    /// A class of storages, by the type of their elements.
    Storage(ElementType),
    /// A type such as `torch.float32`.
    ElementType(ElementType),
    /// `_codecs.encode`: how protocol 2 writes bytes.
    Encode,
    NumpyScalar,
    NumpyType,
    /// What no weight depends on: made into nothing, whatever it is given.
    Opaque,
}

impl Global {
    /// `None` for every name that is not on the list.
    pub(super) fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") | ("builtins" | "__builtin__", "dict") => Self::Dict,
            ("builtins" | "__builtin__", "set" | "frozenset" | "list" | "tuple") | ("torch", "Size") => Self::List,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::Tensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::TensorOfBytes,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::Parameter,
            ("torch.storage", "UntypedStorage") | ("torch", "UntypedStorage") => Self::Storage(ElementType::U8),
            ("torch" | "torch.cuda", _) if name.ends_with("Storage") => Self::Storage(ElementType::of_storage(name)?),
            ("torch", _) if ElementType::of_torch(name).is_some() => Self::ElementType(ElementType::of_torch(name)?),
            ("_codecs", "encode") => Self::Encode,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::NumpyScalar,
            ("numpy", "dtype") => Self::NumpyType,
            ("torch", "device")
            | ("builtins" | "__builtin__", "int" | "float" | "bool" | "str" | "complex" | "bytearray" | "slice")
            | ("argparse", "Namespace")
            | ("types", "SimpleNamespace")
            | ("collections", "defaultdict" | "Counter" | "deque")
            | ("pathlib" | "pathlib._local", "PosixPath" | "WindowsPath" | "PurePosixPath" | "Path")
            | ("datetime", "datetime" | "timedelta" | "date")
            | (
                "pytorch_lightning.utilities.parsing"
                | "lightning.pytorch.utilities.parsing"
                | "lightning_fabric.utilities.data"
                | "lightning.fabric.utilities.data",
                "AttributeDict",
            ) => Self::Opaque,
            _ => return None,
        })
    }
}

/// What is said of a name that is not on the list.
pub(super) fn refused(module: &str, name: &str, place: &str) -> Error {
    let named = format!("{}.{}", module.escape_debug(), name.escape_debug());
    if module.starts_with("torch.nn.modules") || module == "__main__" || module.starts_with("torchvision.models") {
        return Error::new(
            format!("`{place}` holds a whole module: it names the class `{named}`, whose code is not in the file"),
            "save the weights alone with `torch.save(model.state_dict(), …)`, or the network with \
             `torch.export.save(torch.export.export(model, …), \"net.pt2\")`",
        );
    }
    if (module, name) == ("torch.storage", "_load_from_bytes") {
        return Error::new(
            format!("`{place}` was written by `pickle.dump`, not by `torch.save`: it names `{named}`"),
            "load it in Python and save the weights with `torch.save(…)`",
        );
    }
    Error::new(
        format!("`{place}` names `{named}`, which no state_dict needs; nothing of the file was run"),
        "save the weights alone with `torch.save(model.state_dict(), …)`; if you did not expect this name in the \
         file, do not load the file in Python either",
    )
}

/// What a name makes of its arguments.
pub(super) fn construct(global: Global, heap: &mut Heap, arguments: Value) -> Result<Value, String> {
    heap.charge(heap.extent(arguments))?;
    let given = heap.sequence(arguments).ok_or("the arguments of a constructor are no tuple")?.to_vec();
    heap.charge(given.iter().map(|&value| heap.extent(value)).sum())?;
    let first = given.first().copied().unwrap_or(Value::None);
    let made = match global {
        Global::Dict => Object::Dict(pairs(heap, first)),
        Global::List => Object::List(heap.sequence(first).unwrap_or_default().to_vec()),
        Global::Tensor => Object::Tensor(view(heap, &given, None)?),
        Global::TensorOfBytes => {
            let Some(Object::Global(Global::ElementType(element))) = given.get(6).and_then(|&given| heap.get(given))
            else {
                return Err("a tensor has no known type".into());
            };
            let element = *element;
            Object::Tensor(view(heap, &given, Some(element))?)
        }
        Global::Parameter => return Ok(first),
        Global::Encode => {
            let text = heap.text(first).ok_or("it encodes what is no text")?;
            Object::Bytes(text.chars().map(|char| char as u32 as u8).collect())
        }
        Global::NumpyType => Object::NumpyType(heap.text(first).unwrap_or_default().to_owned()),
        Global::NumpyScalar => {
            return Ok(given.get(1).and_then(|&bytes| numpy_scalar(heap, first, bytes)).unwrap_or(Value::None));
        }
        Global::Opaque | Global::Storage(_) | Global::ElementType(_) => Object::Opaque,
    };
    Ok(heap.add(made))
}

/// A dict's pairs as they are given to its class.
fn pairs(heap: &Heap, given: Value) -> Vec<(Value, Value)> {
    if let Some(items) = heap.dict(given) {
        return items.to_vec();
    }
    let pair = |&item: &Value| match heap.sequence(item)? {
        &[key, value] => Some((key, value)),
        _ => None,
    };
    heap.sequence(given).unwrap_or_default().iter().filter_map(pair).collect()
}

fn numpy_scalar(heap: &Heap, kind: Value, bytes: Value) -> Option<Value> {
    let (Object::NumpyType(kind), Object::Bytes(bytes)) = (heap.get(kind)?, heap.get(bytes)?) else { return None };
    let bytes = bytes.as_slice();
    Some(match kind.as_str() {
        "f8" => Value::Float(f64::from_le_bytes(bytes.try_into().ok()?)),
        "f4" => Value::Float(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        "i8" => Value::Int(i64::from_le_bytes(bytes.try_into().ok()?).into()),
        "i4" => Value::Int(i32::from_le_bytes(bytes.try_into().ok()?).into()),
        "b1" => Value::Bool(bytes.first().is_some_and(|&byte| byte != 0)),
        _ => return None,
    })
}

fn size(value: Value) -> Result<usize, String> {
    match value {
        Value::Int(number) => usize::try_from(number).map_err(|_| format!("{number} is no size of a tensor")),
        other => Err(format!("{other:?} is no size of a tensor")),
    }
}

fn sizes(heap: &Heap, value: Option<&Value>) -> Result<Vec<usize>, String> {
    let items = value.and_then(|&value| heap.sequence(value)).ok_or("a tensor has no shape")?;
    if items.len() > 64 {
        return Err(format!("a tensor has {} axes, the most are 64", items.len()));
    }
    items.iter().map(|&item| size(item)).collect()
}

fn view(heap: &Heap, given: &[Value], element: Option<ElementType>) -> Result<TensorView, String> {
    let Some(Object::Storage(storage)) = given.first().and_then(|&storage| heap.get(storage)) else {
        return Err("a tensor has no storage".into());
    };
    Ok(TensorView {
        element: element.unwrap_or(storage.element),
        storage: storage.clone(),
        offset: size(given.get(1).copied().unwrap_or(Value::None))?,
        shape: sizes(heap, given.get(2))?,
        strides: sizes(heap, given.get(3))?,
    })
}

/// The storage of a persistent id: `("storage", class, key, location, elements)`.
pub(super) fn storage(heap: &mut Heap, id: Value) -> Result<StorageId, String> {
    let key_length = heap.sequence(id).and_then(|id| id.get(2)).map_or(0, |&key| heap.extent(key));
    heap.charge(key_length)?;
    let id = heap.sequence(id).ok_or("a persistent id is no tuple")?;
    let [kind, class, key, _, elements, rest @ ..] = id else { return Err("a persistent id is too short".into()) };
    let Some(Object::Global(Global::Storage(element))) = heap.get(*class) else {
        return Err("a persistent id is not that of a storage".into());
    };
    if heap.text(*kind) != Some("storage") || rest.iter().any(|&view| view != Value::None) {
        return Err("a persistent id is not that of a whole storage".into());
    }
    let key = heap.text(*key).ok_or("the key of a storage is no text")?.to_owned();
    Ok(StorageId { element: *element, key, elements: size(*elements)? })
}
