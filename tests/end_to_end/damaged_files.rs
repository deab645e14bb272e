//! Files that are missing, damaged, or something else than they should be.

use std::collections::BTreeMap;

use basin_objective::weights;
use candle_core::{Device, Tensor};

use crate::bad_input::assert_all_refused;
use crate::basin::{Basin, Ended, MODEL, field};

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";

fn vector(values: &[f32]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

fn write_tensors(basin: &Basin, name: &str, tensors: Vec<(&str, Tensor)>) {
    let tensors: Vec<(String, Tensor)> = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
    weights::write(basin.path(name), &tensors, &BTreeMap::new()).unwrap();
}

#[test]
fn checkpoints() {
    let basin = Basin::trained();
    let whole = basin.read(CHECKPOINT);
    let changed = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        bytes
    };
    basin.write("directory/x", "");
    basin.write("empty", "");
    basin.write("text", "not a checkpoint\n");
    basin.write("half", &whole[..whole.len() / 2]);
    basin.write("in-header", &whole[..100]);
    basin.write("length", changed(0, whole[0] ^ 1));
    basin.write("long", changed(7, 0xff));
    basin.write("header", changed(30, 0xff));
    // The last bytes are the end of a number: this one becomes NaN.
    let mut nan = whole.clone();
    let length = nan.len();
    nan[length - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    basin.write("nan", nan);
    let wrong: [(&str, &[&str]); 10] = [
        ("missing", &["`missing`", "No such file"]),
        ("directory", &["`directory`"]),
        ("empty", &["`empty`", "fewer than 8 bytes"]),
        ("text", &["`text`", "not a whole safetensors file"]),
        ("half", &["`half`", "ends at byte"]),
        ("in-header", &["`in-header`", "promise a header"]),
        ("length", &["`length`", "header"]),
        ("long", &["`long`", "promise a header"]),
        ("header", &["`header`", "header"]),
        ("nan", &["`nan`", "not all weights", "1 NaN"]),
    ];
    for (file, expected) in wrong {
        assert_all_refused(
            &basin,
            &[
                (&["keskar", file], expected),
                (&["spectrum", file], expected),
                (&["compare", CHECKPOINT, file], expected),
                (&["landscape", "line", CHECKPOINT, file], expected),
            ],
        );
    }
}

#[test]
fn bytes_flipped_anywhere_never_end_in_a_panic() {
    let basin = Basin::trained();
    let whole = basin.read(CHECKPOINT);
    for at in (0..600).step_by(41).chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        basin.write("flipped.safetensors", bytes);
        let ended = basin.run(&["inspect", "flipped.safetensors"]);
        assert!(matches!(ended.code, 0 | 2) && !ended.stderr.contains("panicked"), "byte {at}: {ended:?}");
    }
}

#[test]
fn all_tensors_that_do_not_fit_are_listed_at_once() {
    let basin = Basin::trained();
    write_tensors(
        &basin,
        "strange.safetensors",
        vec![
            ("fc1.weight", vector(&[1.0, 2.0])),
            ("fc1.biass", vector(&[0.0; 16])),
            ("fc2.weight", Tensor::zeros((10, 16), candle_core::DType::F32, &Device::Cpu).unwrap()),
            ("head.bias", vector(&[0.0])),
        ],
    );
    basin.run(&["keskar", "strange.safetensors", "--model", MODEL, "--data", "digits"]).assert_refused(&[
        "strange.safetensors",
        "`fc1.weight` has shape [2], expected [16, 64]",
        "`fc1.bias` of shape [16] is missing (the file has `fc1.biass`)",
        "`fc2.bias` of shape [10] is missing",
        "`head.bias` of shape [1] is not expected",
        "--model",
    ]);
}

#[test]
fn a_line_needs_two_checkpoints_of_one_model() {
    let basin = Basin::trained();
    basin.done(&["train", "--model", "mlp:64-8-10:tanh", "--epochs", "1", "--out", "other"]);
    assert_all_refused(
        &basin,
        &[(
            &["landscape", "line", CHECKPOINT, "other/checkpoints/last.safetensors"],
            &["mlp:64-16-10:relu", "mlp:64-8-10:tanh", "one model"],
        )],
    );
}

/// Big-endian IDX with two images of 2×2 and their labels.
fn idx(labels: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut images = vec![0, 0, 8, 3];
    for extent in [labels.len() as u32, 2, 2] {
        images.extend(extent.to_be_bytes());
    }
    images.extend((0..labels.len() * 4).map(|i| i as u8));
    let mut file = vec![0, 0, 8, 1];
    file.extend((labels.len() as u32).to_be_bytes());
    file.extend(labels);
    (images, file)
}

/// Training on data tells of the data's faults before anything is written.
fn train(basin: &Basin, data: &str) -> Ended {
    let ended = basin.run(&[
        "train",
        "--data",
        data,
        "--model",
        "mlp:4-3-2:relu",
        "--batch-size",
        "1",
        "--epochs",
        "1",
        "--out",
        "o",
    ]);
    assert!(ended.code == 0 || !basin.path("o").exists(), "{ended:?}");
    ended
}

#[test]
fn images() {
    let basin = Basin::new();
    train(&basin, "mnist:none").assert_refused(&["none"]);
    basin.write("empty/x", "");
    train(&basin, "mnist:empty").assert_refused(&["train-images", "`empty`"]);
    train(&basin, "cifar10:empty").assert_refused(&["data_batch_1.bin", "`empty`"]);
    train(&basin, "cifar100:empty").assert_refused(&["train.bin", "`empty`"]);

    let (images, labels) = idx(&[0, 1]);
    let short = &images[..images.len() - 1];
    let mut magic = images.clone();
    magic[2] = 0x77;
    let mut huge = images.clone();
    huge[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
    let (_, three) = idx(&[0, 1, 1]);
    for (name, images, labels) in [
        ("short", short, &labels[..]),
        ("magic", &magic, &labels),
        ("huge", &huge, &labels),
        ("more-labels", &images, &three),
        ("empty-file", &[], &labels),
    ] {
        basin.write(&format!("{name}/train-images-idx3-ubyte"), images);
        basin.write(&format!("{name}/train-labels-idx1-ubyte"), labels);
        train(&basin, &format!("mnist:{name}")).assert_refused(&[name]);
    }
    basin.write("cifar/data_batch_1.bin", vec![0; 3072]);
    train(&basin, "cifar10:cifar").assert_refused(&["data_batch"]);
}

#[test]
fn arrays() {
    let basin = Basin::new();
    basin.write("text.npz", "PK no archive");
    train(&basin, "npz:text.npz").assert_refused(&["text.npz"]);
    train(&basin, "npz:none.npz").assert_refused(&["none.npz"]);
    train(&basin, "none.npz").assert_refused(&["`npz:none.npz`"]);
    basin.write("text.safetensors", "no tensors");
    train(&basin, "safetensors:text.safetensors").assert_refused(&["text.safetensors"]);

    let x = |rows: usize| Tensor::zeros((rows, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let y = |labels: &[i64]| Tensor::new(labels, &Device::Cpu).unwrap();
    let holes = Tensor::new(&[[0.0_f32, f32::NAN, 0.0, 0.0]], &Device::Cpu).unwrap();
    let no_rows = Tensor::zeros((0, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let no_labels = Tensor::zeros(0, candle_core::DType::I64, &Device::Cpu).unwrap();
    for (name, tensors, expected) in [
        ("no-y", vec![("x", x(2))], &["`y`"][..]),
        ("named", vec![("inputs", x(2)), ("labels", y(&[0, 1]))], &["`x`", "`inputs`"]),
        ("negative", vec![("x", x(2)), ("y", y(&[0, -1]))], &["label -1", "position 1"]),
        ("lengths", vec![("x", x(2)), ("y", y(&[0, 1, 1]))], &["2 inputs", "[3]"]),
        ("holes", vec![("x", holes), ("y", y(&[0]))], &["not finite", "NaN"]),
        ("nothing", vec![("x", no_rows), ("y", no_labels)], &["no samples"]),
        ("outside", vec![("x", x(2)), ("y", y(&[0, 2]))], &["mlp:4-3-2", "outputs"]),
    ] {
        write_tensors(&basin, &format!("{name}.safetensors"), tensors);
        train(&basin, &format!("safetensors:{name}.safetensors")).assert_refused(expected);
    }
}

/// Regression: a test split that was there but damaged was taken for absent, without a word.
#[test]
fn a_damaged_test_split_is_no_absent_one() {
    let basin = Basin::new();
    let x = || Tensor::zeros((2, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let y = |labels: &[i64]| Tensor::new(labels, &Device::Cpu).unwrap();
    let train_split = || vec![("x", x()), ("y", y(&[0, 1]))];
    write_tensors(&basin, "alone.safetensors", train_split());
    let alone = train(&basin, "safetensors:alone.safetensors");
    assert_eq!(alone.code, 0, "{alone:?}");
    assert!(field(&basin.json("o/training.json"), "result.epochs.0.test_loss").is_null());
    std::fs::remove_dir_all(basin.path("o")).unwrap();

    let damaged = [train_split(), vec![("x_test", x()), ("y_test", y(&[0, 1, 1]))]].concat();
    write_tensors(&basin, "damaged.safetensors", damaged);
    train(&basin, "safetensors:damaged.safetensors").assert_refused(&["test split", "2 inputs", "[3]"]);

    let (images, labels) = idx(&[0, 1]);
    basin.write("mnist/train-images-idx3-ubyte", &images);
    basin.write("mnist/train-labels-idx1-ubyte", &labels);
    basin.write("mnist/t10k-images-idx3-ubyte", &images[..10]);
    basin.write("mnist/t10k-labels-idx1-ubyte", &labels);
    let command = ["train", "--data", "mnist:mnist", "--model", "mlp:4-3-10", "--batch-size", "1", "--out", "o"];
    basin.run(&command).assert_refused(&["t10k-images"]);
}

#[test]
fn records() {
    let basin = Basin::trained();
    let record = basin.text("run/training.json");
    basin.write("empty/x", "");
    basin.write("version/a.json", record.replace("basin/1", "basin/9"));
    basin.write("torn/a.json", &record[..record.len() / 2]);
    basin.write("foreign/a.json", r#"{"a": 1}"#);
    basin.write("lacking/a.json", r#"{"schema":"basin/1","kind":"keskar","created":"x","basin":"1","result":{}}"#);
    basin.write("lines/a.jsonl", "{\"torn\n{}\n");
    for (directory, report, inspect) in [
        ("version", &["version/a.json", "`basin/9`", "`basin/1`"][..], &["`basin/9`"][..]),
        ("torn", &["torn/a.json", "not valid JSON"], &["not valid JSON"]),
        ("foreign", &["foreign", "no record"], &["schema"]),
        ("lacking", &["lacking/a.json", "`measurements`"], &["`measurements`"]),
    ] {
        let file = format!("{directory}/a.json");
        assert_all_refused(&basin, &[(&["report", directory], report), (&["inspect", &file], inspect)]);
    }
    assert_all_refused(
        &basin,
        &[
            (&["report", "lines"], &["lines/a.jsonl, line 1"]),
            (&["inspect", "lines/a.jsonl"], &["lines/a.jsonl, line 1"]),
            (&["report", "empty"], &["empty", "no record"]),
            (&["report", "none"], &["none"]),
            (&["report", "run/training.json"], &["run/training.json"]),
            (&["inspect", "none.json"], &["none.json"]),
            (&["inspect", "empty"], &["`empty`"]),
            (&["inspect", "digts"], &["`digts`", "`digits`"]),
        ],
    );
}

#[test]
fn a_run_whose_files_are_damaged_is_not_continued() {
    for (file, bytes, expected) in [
        ("settings.json", &b"{"[..], &["settings.json"][..]),
        ("state.safetensors", b"no state", &["state.safetensors"]),
        ("history.jsonl", b"no json\n{}\n", &["history.jsonl", "line 1"]),
    ] {
        let basin = Basin::trained();
        basin.write(&format!("run/{file}"), bytes);
        let again = ["train", "--model", MODEL, "--epochs", "2", "-q", "--out", "run"];
        assert_all_refused(&basin, &[(&again, expected)]);
    }
}

/// The library that reads Parquet files panics on this one.
#[test]
fn a_parquet_file_that_contradicts_itself_is_refused_without_a_panics_trace() {
    let basin = Basin::new();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/images-train.parquet");
    let mut bytes = std::fs::read(golden).unwrap();
    let place = bytes.len() - 1379;
    bytes[place] = 1;
    basin.write("f.parquet", bytes);
    basin.run(&["inspect", "parquet:f.parquet"]).assert_refused(&["`f.parquet`", "its pages contradict themselves"]);
}
