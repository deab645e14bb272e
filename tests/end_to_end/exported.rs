//! Networks that PyTorch exported and trained, measured from their files alone.

use std::path::Path;

use basin_objective::weights::Weights;
use serde_json::Value;

use crate::basin::{Basin, Ended};

/// What PyTorch standardized the digits with.
const STANDARDIZE: [&str; 2] = ["--standardize", "0.3053:0.3760"];

/// A directory with the networks and samples that `tests/torch/digits.py` made.
fn with_goldens() -> Basin {
    let basin = Basin::new();
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens");
    let digits = ["small-batch.pt2", "small-batch.onnx", "small-batch.onnx.data", "large-batch.pt2", "large-batch.pt"];
    for name in ["digits.npz"].into_iter().chain(digits) {
        basin.write(name, std::fs::read(goldens.join("digits").join(name)).unwrap());
    }
    basin.write("cnn.pt2", std::fs::read(goldens.join("exported/small-cnn.pt2")).unwrap());
    basin.write("cnn.onnx", std::fs::read(goldens.join("onnx/small-cnn.onnx")).unwrap());
    basin.write("folded.onnx", std::fs::read(goldens.join("onnx/small-cnn-optimized.onnx")).unwrap());
    basin
}

/// What PyTorch found.
fn pytorch() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/digits/digits.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn assert_near(found: &Value, expected: &Value, tolerance: f64) {
    let (found, expected) = (found.as_f64().unwrap(), expected.as_f64().unwrap());
    assert!((found / expected - 1.0).abs() < tolerance, "{found} for {expected}");
}

fn refusal(ended: &Ended) -> &str {
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.stderr.contains("hint: "), "{ended:?}");
    &ended.stderr
}

#[test]
fn curvature_of_exported_networks_is_pytorchs() {
    let (basin, expected) = (with_goldens(), pytorch());
    for (file, name) in [("small-batch.pt2", "small-batch"), ("large-batch.pt2", "large-batch")] {
        let command =
            ["spectrum", file, "--data", "npz:digits.npz", "--top", "1", "--bottom", "0", "--dtype", "f64", "--json"];
        let record: Value = serde_json::from_str(&basin.done(&[&command[..], &STANDARDIZE].concat()).stdout).unwrap();
        assert_near(&record["evaluation"]["loss"], &expected[name]["loss"], 1e-6);
        assert_near(&record["evaluation"]["accuracy"], &expected[name]["accuracy"], 1e-12);
        assert_near(&record["result"]["eigenvalues"][0]["value"], &expected[name]["lambda_max"], 1e-4);
        assert_eq!(record["model"], file);
    }
}

#[test]
fn the_flattest_minimum_is_the_one_that_pytorch_says() {
    let (basin, expected) = (with_goldens(), pytorch());
    // The large batch's weights come from their own file, in the architecture of the other.
    let command =
        ["compare", "large-batch.pt", "small-batch.pt2", "--model", "small-batch.pt2", "--data", "npz:digits.npz"];
    let more = ["--draws", "2", "--dimension", "5", "--dtype", "f64"];
    let table = basin.done(&[&command[..], &more, &STANDARDIZE].concat()).stdout;
    let row = table.lines().find(|line| line.contains("λ max of the Hessian")).unwrap();
    let numbers: Vec<f64> = row.split("  ").filter_map(|cell| cell.split('±').next()?.trim().parse().ok()).collect();
    for (found, name) in numbers.iter().zip(["large-batch", "small-batch"]) {
        assert_near(&(*found).into(), &expected[name]["lambda_max"], 1e-3);
    }
    assert!(numbers[1] < numbers[0], "{table}");
}

#[test]
fn inputs_that_were_not_standardized_are_warned_of_and_refused_where_asked() {
    let basin = with_goldens();
    let command = ["spectrum", "large-batch.pt2", "--data", "npz:digits.npz", "--top", "1", "--bottom", "0"];
    let ended = basin.run(&[&command[..], &["--expect-accuracy", "96.75%"]].concat());
    assert!(refusal(&ended).contains("accuracy"), "{ended:?}");
    basin.done(&[&command[..], &["--expect-accuracy", "96.75%"], &STANDARDIZE].concat());
}

#[test]
fn every_command_takes_an_exported_network() {
    let basin = with_goldens();
    let on_data = ["--data", "npz:digits.npz", "--samples", "60", STANDARDIZE[0], STANDARDIZE[1]];
    for network in ["small-batch.pt2", "small-batch.onnx"] {
        for command in [
            &["keskar", network, "--dimension", "5", "--draws", "1"][..],
            &["sharpness", network, "--measure", "gradient-norm,sam"],
            &["batch-hessian", network, "--batch-sizes", "20", "--draws", "2"],
            &["compare", network, "large-batch.pt", "--model", network, "--draws", "1", "--dimension", "3"],
            &["landscape", "line", network, "large-batch.pt", "--model", network, "--points", "3"],
            &["landscape", "plane", network, "--points", "3"],
            &[
                "train",
                "--model",
                network,
                "--epochs",
                "1",
                "--batch-size",
                "20",
                "-q",
                "--out",
                &format!("of-{network}"),
            ],
        ] {
            basin.done(&[command, &on_data].concat());
        }
    }
    let train = ["train", "--model", "small-batch.pt2", "--epochs", "1", "--batch-size", "20", "-q", "--out", "run"];
    basin.done(&[&train[..], &["--data", "npz:digits.npz"], &STANDARDIZE].concat());
    // What was trained on is measured on the same inputs without being told.
    let again = basin.done(&["spectrum", "run/checkpoints/last.safetensors", "--top", "1", "--bottom", "0", "--json"]);
    let record: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(record["inputs"]["mean"][0], 0.3053);
}

#[test]
fn an_exported_network_is_inspected() {
    let basin = with_goldens();
    let text = basin.done(&["inspect", "cnn.pt2"]).stdout;
    for expected in ["PyTorch 2.15", "[N, 1, 8, 8]", "aten.conv2d.default", "bn1.running_mean", "operators are known"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}

#[test]
fn what_does_not_fit_an_exported_network_is_refused_as_a_newcomer_would_try_it() {
    let basin = with_goldens();
    let spectrum = |more: &[&str]| basin.run(&[&["spectrum"], more].concat());
    let ended = spectrum(&["cnn.pt2", "--data", "digits"]);
    assert!(refusal(&ended).contains("samples of shape [1, 8, 8] as `x`, the data has [64]"), "{ended:?}");
    let ended = spectrum(&["large-batch.pt", "--model", "cnn.pt2", "--data", "digits:images"]);
    assert!(refusal(&ended).contains("do not fit the model"), "{ended:?}");
    basin.write("text.pt2", "this is no network");
    let ended = spectrum(&["text.pt2", "--data", "digits:images"]);
    assert!(refusal(&ended).contains("is not a whole zip archive"), "{ended:?}");
    let ended = spectrum(&["large-batch.pt2", "--model", "large-batch.pt", "--data", "digits:images"]);
    assert!(refusal(&ended).contains("unknown model"), "{ended:?}");
    let ended = spectrum(&["large-batch.pt", "--data", "digits:images"]);
    assert!(refusal(&ended).contains("does not name its model"), "{ended:?}");
}

#[test]
fn every_measure_takes_some_of_the_parameters() {
    let basin = with_goldens();
    let on_data = ["--data", "npz:digits.npz", "--samples", "60", "--parameters", "net.7.*", "--json", "-q"];
    let record = |command: &[&str]| -> Value {
        serde_json::from_str(&basin.done(&[command, &on_data, &STANDARDIZE].concat()).stdout).unwrap()
    };
    for command in [
        &["keskar", "small-batch.pt2", "--dimension", "5", "--draws", "1"][..],
        &["sharpness", "small-batch.pt2", "--measure", "gradient-norm"],
        &["spectrum", "small-batch.pt2", "--top", "1", "--bottom", "0"],
        &["landscape", "line", "small-batch.pt2", "--along", "random", "--points", "3"],
    ] {
        let record = record(command);
        assert_eq!(
            (&record["parameters"], &record["checkpoint"]["parameters"]),
            (&"net.7.*".into(), &170.into()),
            "{command:?}"
        );
    }
    // In the last layer of a linear model the Hessian is the Gauss-Newton matrix.
    let largest = |matrix: &str| {
        let command =
            ["spectrum", "small-batch.pt2", "--top", "1", "--bottom", "0", "--dtype", "f64", "--matrix", matrix];
        record(&command)["result"]["eigenvalues"][0]["value"].clone()
    };
    assert_near(&largest("hessian"), &largest("ggn"), 1e-6);
}

#[test]
fn a_network_is_trained_from_scratch_by_seed() {
    let basin = with_goldens();
    let first = |model: &str, seed: &str, out: &str| {
        let settings = ["train", "--model", model, "--seed", seed, "--epochs", "1", "--checkpoint-every", "1", "-q"];
        let data = ["--samples", "60", "--batch-size", "60", "--data", "npz:digits.npz", "--out", out];
        basin.done(&[&settings[..], &data, &STANDARDIZE].concat());
        let weights = Weights::read(basin.path(&format!("{out}/checkpoints/epoch-00000.safetensors"))).unwrap();
        weights.tensors["net.7.weight"].flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let scratch = "small-batch.pt2:from-scratch";
    let (a, b, stored) = (first(scratch, "0", "a"), first(scratch, "1", "b"), first("small-batch.pt2", "0", "stored"));
    assert!(a != b && a != stored);
    // A layer of sixteen inputs is drawn uniformly from ±1/4.
    assert!(a.iter().all(|x| x.abs() <= 0.25) && a.iter().any(|x| x.abs() > 0.2), "{a:?}");
    // The checkpoint knows what it began with.
    let compare = ["compare", "a/checkpoints/epoch-00000.safetensors", "--draws", "1", "--dimension", "2", "--json"];
    assert_eq!(basin.done(&compare).json()["result"]["rows"][0]["distance"], 0.0);
}

const HF_GPT2: &str = "hf-gpt2.bin";

#[test]
fn a_gpt2_of_hugging_face_is_measured_without_an_export() {
    let basin = Basin::new();
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens");
    basin.write(HF_GPT2, std::fs::read(goldens.join(HF_GPT2)).unwrap());
    basin.write("tokens.bin", (0..64_u16).flat_map(|i| (i * i % 7).to_le_bytes()).collect::<Vec<u8>>());
    let spectrum = |model: &str| {
        let data = ["--data", "tokens:tokens.bin:u16,context=6,vocabulary=7", "--top", "1", "--bottom", "0", "--json"];
        basin.run(&[&["spectrum", HF_GPT2, "--model", model][..], &data].concat())
    };
    let ended = spectrum("hf-gpt2:heads=2");
    assert_eq!(ended.code, 0, "{ended:?}");
    let record = ended.json();
    assert_eq!(record["model"], "hf-gpt2:vocabulary=7,context=6,width=8,depth=2,heads=2");
    // Heads of 64 do not fit, and nothing in the file says how many there are.
    spectrum("hf-gpt2").assert_refused(&["heads of 64", "hf-gpt2:heads=N"]);
    // Another implementation's names: the hint says which model it is.
    spectrum("gpt:width=8,depth=2,heads=2").assert_refused(&["--model hf-gpt2", "number of heads"]);
}

#[test]
fn an_onnx_file_is_measured_as_the_same_network_in_the_other_format() {
    let (basin, expected) = (with_goldens(), pytorch());
    let spectrum = |more: &[&str]| -> Value {
        let data = ["--data", "npz:digits.npz", "--top", "2", "--bottom", "1", "--dtype", "f64", "--json"];
        let command = [&["spectrum"], more, &data, &STANDARDIZE].concat();
        serde_json::from_str(&basin.done(&command).stdout).unwrap()
    };
    let (onnx, exported) = (spectrum(&["small-batch.onnx"]), spectrum(&["small-batch.pt2"]));
    assert_eq!(onnx["model"], "small-batch.onnx");
    assert_near(&onnx["evaluation"]["loss"], &expected["small-batch"]["loss"], 1e-6);
    assert_near(&onnx["result"]["eigenvalues"][0]["value"], &expected["small-batch"]["lambda_max"], 1e-4);
    for place in 0..3 {
        let value = |record: &Value| record["result"]["eigenvalues"][place]["value"].clone();
        assert_near(&value(&onnx), &value(&exported), 1e-9);
    }
    // Weights of another file by their names in the state_dict.
    let other = spectrum(&["large-batch.pt", "--model", "small-batch.onnx"]);
    assert_near(&other["result"]["eigenvalues"][0]["value"], &expected["large-batch"]["lambda_max"], 1e-4);
}

#[test]
fn other_weights_beside_an_onnx_file_are_another_checkpoint() {
    let basin = with_goldens();
    let fingerprint = || -> Value {
        let command =
            ["spectrum", "small-batch.onnx", "--data", "npz:digits.npz", "--top", "1", "--bottom", "0", "--json"];
        let record: Value = serde_json::from_str(&basin.done(&command).stdout).unwrap();
        record["checkpoint"]["blake3"].clone()
    };
    let before = fingerprint();
    let mut data = std::fs::read(basin.path("small-batch.onnx.data")).unwrap();
    data[2..4].copy_from_slice(&[0, 0]);
    basin.write("small-batch.onnx.data", data);
    assert_ne!(fingerprint(), before);
}

#[test]
fn an_onnx_file_is_inspected() {
    let basin = with_goldens();
    let text = basin.done(&["inspect", "cnn.onnx"]).stdout;
    for expected in ["PyTorch 2.15", "[N, 1, 8, 8]", "BatchNormalization", "bn1.running_mean", "operators are known"] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
}

#[test]
fn folded_batch_norm_is_said_beside_the_figures() {
    let basin = with_goldens();
    let command =
        ["spectrum", "folded.onnx", "--data", "digits:images", "--samples", "20", "--top", "1", "--bottom", "0"];
    let ended = basin.done(&command);
    assert!(ended.stderr.contains("the file holds folded weights"), "{ended:?}");
}

#[test]
fn what_does_not_fit_an_onnx_file_is_refused_as_a_newcomer_would_try_it() {
    let basin = with_goldens();
    let spectrum = |more: &[&str]| basin.run(&[&["spectrum"], more].concat());
    let ended = spectrum(&["cnn.onnx", "--data", "digits"]);
    assert!(refusal(&ended).contains("samples of shape [1, 8, 8] as `x`, the data has [64]"), "{ended:?}");
    let ended = spectrum(&["large-batch.pt", "--model", "cnn.onnx", "--data", "digits:images"]);
    assert!(refusal(&ended).contains("do not fit the model"), "{ended:?}");
    basin.write("text.onnx", "this is no network");
    let ended = spectrum(&["text.onnx", "--data", "digits:images"]);
    assert!(refusal(&ended).contains("`text.onnx` is no whole ONNX file"), "{ended:?}");
    let ended = spectrum(&["none.onnx", "--data", "digits:images"]);
    assert!(refusal(&ended).contains("`none.onnx`"), "{ended:?}");
    std::fs::remove_file(basin.path("small-batch.onnx.data")).unwrap();
    let ended = spectrum(&["small-batch.onnx", "--data", "npz:digits.npz"]);
    assert!(refusal(&ended).contains("small-batch.onnx.data"), "{ended:?}");
}
