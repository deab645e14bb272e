//! Files that are no networks, damaged ones, and ones that were made to do harm: each is one error, and nothing panics.

#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use basin_import::{Error, NetworkFile};
use proptest::prelude::*;
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/exported").join(name).with_extension("pt2")
}

fn shapes(file: &NetworkFile) -> Vec<Vec<usize>> {
    let inputs = file.inputs().unwrap_or_default();
    inputs.iter().map(|input| input.shape.iter().skip(1).map(|extent| extent.unwrap_or(3)).collect()).collect()
}

/// Opens a file and reads its network.
fn read(path: &Path) -> Result<(), Error> {
    let file = NetworkFile::open(path)?;
    file.weights()?;
    file.network(&shapes(&file), false).map(drop)
}

fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".pt2").tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// The files of a golden, with one of them changed.
fn changed(
    name: &str,
    end: &str,
    change: impl Fn(Vec<u8>) -> Vec<u8>,
    method: CompressionMethod,
) -> tempfile::NamedTempFile {
    let mut archive = ZipArchive::new(std::fs::File::open(golden(name)).unwrap()).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..archive.len() {
        let mut file = archive.by_index(i).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        let file_name = file.name().unwrap().into_owned();
        if file_name.ends_with(end) {
            bytes = change(bytes);
        }
        writer.start_file(file_name, SimpleFileOptions::default().compression_method(method)).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    written(&writer.finish().unwrap().into_inner())
}

fn with_model(name: &str, change: impl Fn(&mut Value)) -> tempfile::NamedTempFile {
    let rewrite = |bytes: Vec<u8>| {
        let mut model: Value = serde_json::from_slice(&bytes).unwrap();
        change(&mut model);
        serde_json::to_vec(&model).unwrap()
    };
    changed(name, "models/model.json", rewrite, CompressionMethod::Stored)
}

fn message(path: &Path) -> String {
    let error = read(path).unwrap_err();
    assert!(!error.hint().is_empty());
    error.to_string()
}

#[test]
fn files_that_are_no_networks_are_told_apart() {
    let none = Path::new("no/such.pt2");
    assert!(message(none).contains("cannot read `no/such.pt2`"));
    assert!(message(written(b"just some text").path()).contains("is not a whole zip archive"));
    assert!(message(written(b"").path()).contains("is not a whole zip archive"));
    let bytes = std::fs::read(golden("mlp")).unwrap();
    assert!(message(written(&bytes[..bytes.len() - 30]).path()).contains("is not a whole zip archive"));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("net/data.pkl", SimpleFileOptions::default()).unwrap();
    let weights = written(&writer.finish().unwrap().into_inner());
    assert!(message(weights.path()).contains("holds weights, not a network"));
}

#[test]
fn other_versions_of_the_format_are_refused_by_name() {
    let file = with_model("mlp", |model| model["schema_version"]["major"] = 9.into());
    assert!(message(file.path()).contains("has version 9."));
}

#[test]
fn operators_that_are_not_known_are_named_with_their_place() {
    let file = with_model("small-cnn", |model| {
        model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.fft_rfft.default".into();
    });
    let message = message(file.path());
    assert!(message.contains("`aten.fft_rfft.default` in `conv1`"), "{message}");
    assert!(message.ends_with("of its 11 are"), "{message}");
}

#[test]
fn a_compressed_archive_is_refused_before_anything_is_inflated() {
    // The features of the zip crate that this project builds with have no compression to write one, so its mark is set.
    let mut bytes = std::fs::read(golden("mlp")).unwrap();
    let table: Vec<usize> = (0..bytes.len() - 4).filter(|&i| &bytes[i..i + 4] == b"PK\x01\x02").collect();
    table.iter().for_each(|&entry| bytes[entry + 10] = 8);
    assert!(read(written(&bytes).path()).is_err());
}

#[test]
fn a_shape_that_no_memory_holds_is_refused() {
    for sizes in [vec![1_u64 << 62, 4], vec![1 << 31, 1 << 31, 1 << 31]] {
        let config = |bytes: Vec<u8>| {
            let mut config: Value = serde_json::from_slice(&bytes).unwrap();
            let list: Vec<Value> = sizes.iter().map(|&n| serde_json::json!({"as_int": n})).collect();
            for tensor in config["config"].as_object_mut().unwrap().values_mut() {
                tensor["tensor_meta"]["strides"] = list.iter().map(|_| serde_json::json!({"as_int": 0})).collect();
                tensor["tensor_meta"]["sizes"] = list.clone().into();
            }
            serde_json::to_vec(&config).unwrap()
        };
        let file = changed("mlp", "model_weights_config.json", config, CompressionMethod::Stored);
        assert!(read(file.path()).is_err());
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = |_| [b"[".repeat(1 << 20), b"]".repeat(1 << 20)].concat();
    let file = changed("mlp", "models/model.json", deep, CompressionMethod::Stored);
    assert!(message(file.path()).contains("is not what PyTorch writes"));
}

#[test]
fn samples_of_another_shape_are_refused_with_both_shapes() {
    let file = NetworkFile::open(golden("small-cnn")).unwrap();
    let error = file.network(&[vec![1, 28, 28]], false).unwrap_err();
    assert!(error.to_string().contains("samples of shape [1, 8, 8] as `x`, the data has [1, 28, 28]"), "{error}");
    let bert = NetworkFile::open(golden("hf-bert")).unwrap();
    let error = bert.network(&[vec![7]], false).unwrap_err();
    assert!(error.to_string().contains("has the inputs input_ids, attention_mask, the data has 1"), "{error}");
}

/// The places of a document at which something stands, in order.
fn places(value: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    found.push(format!("/{}", path.join("/")));
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

fn hostile_values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        prop_oneof![Just(0_i64), Just(-1), Just(1), Just(2), Just(7), Just(i64::MAX), Just(i64::MIN), Just(1 << 31)]
            .prop_map(Value::from),
        Just(Value::from("x")),
        Just(Value::from(1e300)),
        Just(serde_json::json!([])),
        Just(serde_json::json!([-1, 1_i64 << 40])),
        Just(serde_json::json!({})),
        Just(serde_json::json!({"as_int": -3})),
        Just(serde_json::json!({"as_int": i64::MAX})),
        Just(serde_json::json!({"as_ints": [1_i64 << 62, 1_i64 << 62]})),
        Just(serde_json::json!({"as_tensor": {"name": "x"}})),
        Just(serde_json::json!({"as_tensors": []})),
    ]
}

proptest! {
    #[test]
    fn damaged_bytes_never_panic(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = std::fs::read(golden("mlp")).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = read(written(&bytes).path());
    }

    #[test]
    fn damaged_graphs_never_panic(
        name in prop::sample::select(vec!["small-cnn", "shapes", "convolutions", "recurrent", "arithmetic", "hf-bert", "transformer", "activations"]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), hostile_values()), 1..4),
    ) {
        let file = with_model(name, |model| {
            for (at, value) in &damage {
                let graph = &mut model["graph_module"];
                let mut found = Vec::new();
                places(graph, &mut Vec::new(), &mut found);
                if let Some(place) = graph.pointer_mut(&found[at.index(found.len())]) {
                    *place = value.clone();
                }
            }
        });
        let _ = read(file.path());
    }
}
