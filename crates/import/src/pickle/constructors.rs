//! The names that a pickle may use, and what each of them makes. Everything else is refused by name.

use super::machine::{Heap, Object, Value};
use super::numpy::{self, NumpyType};
use super::tensor::{ElementType, Source, StorageId, TensorView};
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
    /// `_codecs.encode`: how protocols 0 to 2 write bytes.
    Encode,
    /// `bytes()`: how they write that there are none.
    Bytes,
    NumpyScalar,
    NumpyType,
    /// `_reconstruct`: an empty array, whose state follows.
    NumpyArray,
    /// `_frombuffer`: a whole array.
    NumpyArrayOfBuffer,
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
            ("builtins" | "__builtin__", "bytes") => Self::Bytes,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::NumpyScalar,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::NumpyArray,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::NumpyArrayOfBuffer,
            ("numpy", "dtype") => Self::NumpyType,
            ("torch", "device")
            // The class of an array is an argument of `_reconstruct`, which makes all of them alike.
            | ("numpy", "ndarray")
            | ("copy_reg" | "copyreg", "_reconstructor")
            | ("builtins" | "__builtin__", "object")
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
        Global::Bytes => Object::Bytes(vec![]),
        Global::NumpyType => {
            let element = heap.text(first).and_then(ElementType::of_numpy);
            Object::NumpyType(NumpyType { element, big_endian: false })
        }
        Global::NumpyArray => Object::NumpyArray,
        Global::NumpyArrayOfBuffer => numpy::from_buffer(heap, &given)?,
        Global::NumpyScalar => {
            return Ok(given.get(1).and_then(|&bytes| numpy::scalar(heap, first, bytes)).unwrap_or(Value::None));
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

fn size(value: Value) -> Result<usize, String> {
    match value {
        Value::Int(number) => usize::try_from(number).map_err(|_| format!("{number} is no size of a tensor")),
        other => Err(format!("{other:?} is no size of a tensor")),
    }
}

pub(super) fn sizes(heap: &Heap, value: Option<&Value>) -> Result<Vec<usize>, String> {
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
        source: Source::Storage(storage.clone()),
        big_endian: false,
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

/// The same where protocol 0 wrote the tuple as the text that Python prints of it:
/// `('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 6)`.
pub(super) fn storage_of_text(id: &str) -> Result<StorageId, String> {
    let read = || {
        let parts: Vec<&str> = id.strip_prefix('(')?.strip_suffix(')')?.split(", ").collect();
        let quoted = |text: &str| Some(text.strip_prefix('\'')?.strip_suffix('\'')?.to_owned());
        let ["'storage'", class, key, _, elements] = parts.strip_suffix(&["None"]).unwrap_or(&parts) else {
            return None;
        };
        let class = quoted(class.strip_prefix("<class ")?.strip_suffix('>')?)?;
        let (module, name) = class.rsplit_once('.')?;
        let Some(Global::Storage(element)) = Global::named(module, name) else { return None };
        Some(StorageId { element, key: quoted(key)?, elements: elements.parse().ok()? })
    };
    read().ok_or_else(|| "a persistent id is not that of a whole storage".to_owned())
}
