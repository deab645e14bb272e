//! Changed graphs: bytes that fall anywhere in a `.pt2` file are refused long before its graph is followed, so these bytes say
//! which golden it is and what is changed in its `models/model.json`.

use std::io::{Cursor, Read};
use std::sync::OnceLock;

use serde_json::{Value, json};
use zip::ZipArchive;

use crate::seeds;

/// The small networks of `tests/goldens/exported`.
pub(crate) const GOLDENS: [&str; 12] = [
    "mlp",
    "mlp-of-one",
    "small-cnn",
    "shapes",
    "convolutions",
    "recurrent",
    "arithmetic",
    "hf-bert",
    "transformer",
    "activations",
    "tied",
    "hf-gpt2",
];

/// The bytes of a change: where, which kind, which value, and where another one is taken from.
const CHANGE: usize = 6;

struct Golden {
    model: Value,
    /// Where something stands in its graph.
    places: Vec<String>,
    others: Vec<(String, Vec<u8>)>,
}

/// The archive; `None` without a single whole change.
pub(crate) fn changed(bytes: &[u8]) -> Option<Vec<u8>> {
    static READ: OnceLock<Vec<Golden>> = OnceLock::new();
    let (&which, changes) = bytes.split_first()?;
    let goldens = READ.get_or_init(|| GOLDENS.iter().map(|name| read(name)).collect());
    let golden = goldens.get(usize::from(which) % goldens.len())?;
    let (changes, _) = changes.as_chunks::<CHANGE>();
    if changes.is_empty() {
        return None;
    }
    let mut model = golden.model.clone();
    let graph = &mut model["graph_module"];
    for &[a, b, kind, value, c, d] in changes.iter().take(8) {
        let place = |low, high| {
            let at = usize::from(u16::from_le_bytes([low, high]));
            &golden.places[at % golden.places.len()]
        };
        let new = match kind % 4 {
            0 => hostile(value),
            1 => graph.pointer(place(c, d)).cloned().unwrap_or_default(),
            2 => json!(i64::from(value.cast_signed())),
            _ => json!({"as_int": value}),
        };
        if let Some(old) = graph.pointer_mut(place(a, b)) {
            *old = new;
        }
    }
    let text = serde_json::to_vec(&model).ok()?;
    let entries = golden.others.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice()));
    let entries: Vec<_> = entries.chain([("net/models/model.json", text.as_slice())]).collect();
    Some(seeds::zip(&entries))
}

fn hostile(which: u8) -> Value {
    let values = [
        Value::Null,
        json!(i64::MAX),
        json!(i64::MIN),
        json!(1_i64 << 31),
        json!("x"),
        json!(1e300),
        json!([]),
        json!([-1, 1_i64 << 40]),
        json!({}),
        json!({"as_int": -3}),
        json!({"as_int": i64::MAX}),
        json!({"as_ints": [1_i64 << 62, 1_i64 << 62]}),
        json!({"as_ints": []}),
        json!({"as_tensor": {"name": "x"}}),
        json!({"as_tensors": []}),
        json!({"as_bool": true}),
        json!({"as_float": 0.0}),
        json!({"as_none": true}),
    ];
    values[usize::from(which) % values.len()].clone()
}

fn read(name: &str) -> Golden {
    let mut archive = ZipArchive::new(Cursor::new(seeds::golden(&format!("exported/{name}.pt2")))).expect("a golden");
    let (mut model, mut others) = (Value::Null, vec![]);
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).expect("a file of a golden");
        let mut bytes = vec![];
        file.read_to_end(&mut bytes).expect("a whole file");
        let name = file.name().expect("a name").split_once('/').map(|(_, name)| name.to_owned()).unwrap_or_default();
        match name.as_str() {
            "models/model.json" => model = serde_json::from_slice(&bytes).expect("JSON"),
            _ => others.push((format!("net/{name}"), bytes)),
        }
    }
    let mut found = vec![];
    places(&model["graph_module"], &mut vec![], &mut found);
    Golden { model, places: found, others }
}

fn places(value: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    found.push(path.iter().map(|part| format!("/{part}")).collect());
    let children: Vec<(String, &Value)> = match value {
        Value::Array(items) => items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect(),
        Value::Object(fields) => fields.iter().map(|(key, item)| (key.clone(), item)).collect(),
        _ => vec![],
    };
    for (key, child) in children {
        path.push(key.replace('~', "~0").replace('/', "~1"));
        places(child, path, found);
        path.pop();
    }
}
