//! Whole files that changes start from.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::graph;

/// Whole files of one kind.
pub type Seeds = Vec<Vec<u8>>;

/// Those of a target.
pub fn of(target: &str) -> Seeds {
    match target {
        "exported_program" => files("exported", &["pt2"]).into_iter().filter(|file| file.len() < 50_000).collect(),
        "exported_graph" => (0..graph::GOLDENS.len() as u8).map(|which| vec![which, 9, 1, 3, 2, 40, 0]).collect(),
        "onnx" => files("onnx", &["onnx"]).into_iter().filter(|file| file.len() < 50_000).collect(),
        "pickle" => files("pickles", &["pt", "pth", "pkl", "ckpt"]),
        "weights" => [files("pickles", &["pt", "pth", "pkl", "ckpt"]), vec![safetensors()]].concat(),
        "sharded_index" => vec![
            br#"{"metadata": {"total_size": 8}, "weight_map": {"x": "a.safetensors", "fc1.weight": "b.bin"}}"#.to_vec(),
            br#"{"weight_map": {"x": "a.safetensors"}}"#.to_vec(),
        ],
        "npz" => {
            let whole = npz(&[("x", &numbers()), ("y", &labels()), ("x_test", &numbers())]);
            [files("pickles", &["npz"]), vec![whole]].concat()
        }
        "npy" => vec![
            numbers(),
            npy("<f8", "True", "(3, 2)", &[0; 48]),
            npy("|u1", "False", "(3,)", &[1, 2, 3]),
            npy(">i4", "False", "(3, 1)", &[0; 12]),
        ],
        "idx" => vec![idx()],
        "cifar" => vec![vec![0; 3075], [&[1][..], &[9; 3073]].concat(), vec![2; 3074]],
        "csv" => {
            let tables = ["a,b,label\n1,2,0\n3.5,-4e2,1\n", "a;b\n\"1\";2\n3;4\n", "a\tb\r\n1\t2\r\n"];
            tables.map(|table| table.as_bytes().to_vec()).to_vec()
        }
        "tokens" => vec![(0..64).collect(), b"To be, or not to be".to_vec()],
        "parquet" => files("", &["parquet"]),
        "images" => files("images", &["png", "JPG", "webp"]),
        "records" => records(),
        other => panic!("{other} is no target"),
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file of `tests/goldens`.
pub(crate) fn golden(name: &str) -> Vec<u8> {
    fs::read(root().join("tests/goldens").join(name)).expect("a golden")
}

/// The goldens with these endings in a folder and those below it.
fn files(folder: &str, endings: &[&str]) -> Seeds {
    let mut seeds = vec![];
    let mut folders = vec![root().join("tests/goldens").join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(folder).expect("a folder of goldens").map(|entry| entry.expect("an entry").path());
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known)) {
                seeds.push(fs::read(path).expect("a golden"));
            }
        }
    }
    seeds.sort();
    seeds
}

/// One record of each kind that the committed reports hold.
fn records() -> Seeds {
    let mut seeds = vec![];
    for name in ["keskar-b16-s0", "spectrum-b16-s0", "training-b16-s0"] {
        seeds.push(fs::read(root().join(format!("reports/digits/records/{name}.json"))).expect("a record"));
    }
    for name in ["comparison/plane-b16-s0", "landscape/path", "landscape/trajectory", "landscape/ratio"] {
        seeds.push(fs::read(root().join(format!("reports/{name}.json"))).expect("a record"));
    }
    let lines = fs::read(root().join("reports/batch-hessian/hessian.jsonl")).expect("records");
    seeds.extend(lines.split(|&byte| byte == b'\n').next().map(<[u8]>::to_vec));
    seeds
}

pub(crate) fn safetensors() -> Vec<u8> {
    let header = br#"{"__metadata__":{"epoch":"3"},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat()
}

fn npy(kind: &str, fortran: &str, shape: &str, elements: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    [&b"\x93NUMPY\x01\x00"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), elements].concat()
}

fn numbers() -> Vec<u8> {
    npy("<f4", "False", "(3, 2)", &[0; 24])
}

pub(crate) fn labels() -> Vec<u8> {
    npy("<i8", "False", "(3,)", &[0; 24])
}

pub(crate) fn npz(arrays: &[(&str, &[u8])]) -> Vec<u8> {
    let named: Vec<(String, &[u8])> = arrays.iter().map(|(name, bytes)| (format!("{name}.npy"), *bytes)).collect();
    let named: Vec<(&str, &[u8])> = named.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    zip(&named)
}

/// An archive that compresses nothing.
pub(crate) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        writer.start_file(*name, options).expect("memory takes a file");
        writer.write_all(bytes).expect("memory takes bytes");
    }
    writer.finish().expect("memory takes an archive").into_inner()
}

/// Labels and images of two samples, as the target splits them.
fn idx() -> Vec<u8> {
    let labels = [&[0, 0, 8, 1, 0, 0, 0, 2][..], &[3, 9]].concat();
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[7; 12]].concat();
    [&(labels.len() as u16).to_le_bytes()[..], &labels, &images].concat()
}
