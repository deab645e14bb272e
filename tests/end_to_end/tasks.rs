//! What networks are trained for: several inputs, weights of samples and classes, several labels at a time, next tokens.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use basin_objective::weights;
use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::basin::Basin;

const SPECTRUM: [&str; 7] = ["--top", "1", "--bottom", "0", "--dtype", "f64", "--json"];
const QUICK: [&str; 5] = ["--epochs", "1", "--batch-size", "4", "-q"];

fn write(basin: &Basin, name: &str, arrays: &[(&str, Tensor)]) {
    let arrays: Vec<(String, Tensor)> = arrays.iter().map(|(name, x)| ((*name).to_owned(), x.clone())).collect();
    weights::write(basin.path(name), &arrays, &BTreeMap::new()).unwrap();
}

fn field<'v>(record: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(record, |value, key| &value[key])
}

fn number(record: &Value, path: &str) -> f64 {
    field(record, path).as_f64().unwrap_or_else(|| panic!("no number `{path}` in {record}"))
}

fn largest(record: &Value) -> f64 {
    record["result"]["eigenvalues"][0]["value"].as_f64().unwrap()
}

fn assert_near(found: f64, expected: f64, tolerance: f64) {
    assert!((found / expected - 1.0).abs() < tolerance, "{found} for {expected}");
}

/// A network of Hugging Face with what PyTorch gives for it, by the golden's names.
fn golden(basin: &Basin, name: &str) -> HashMap<String, Tensor> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/exported");
    basin.write(&format!("{name}.pt2"), std::fs::read(goldens.join(format!("{name}.pt2"))).unwrap());
    candle_core::safetensors::load(goldens.join(format!("{name}.safetensors")), &Device::Cpu).unwrap()
}

#[test]
fn further_inputs_are_taken_by_their_names() {
    let basin = Basin::new();
    let known = golden(&basin, "hf-bert");
    let (x, mask, y) = (&known["input.input_ids"], &known["input.attention_mask"], &known["y"]);
    let x_and_y = [("x", x.clone()), ("y", y.clone())];
    let mask = ("attention_mask", mask.clone());
    write(&basin, "data.safetensors", &[&x_and_y[..], &[mask.clone(), ("unused", x.clone())]].concat());
    let data = ["--data", "safetensors:data.safetensors"];
    let ended = basin.done(&[&["spectrum", "hf-bert.pt2"], &data[..], &SPECTRUM].concat());
    let loss: f64 = known["loss"].to_scalar().unwrap();
    assert_near(number(&ended.json(), "evaluation.loss"), loss, 1e-9);
    assert!(ended.stderr.contains("`unused` is no input of the model"), "{ended:?}");
    let inspected = basin.done(&["inspect", "safetensors:data.safetensors"]).stdout;
    assert!(inspected.contains("`attention_mask` [7]"), "{inspected}");

    let train = ["train", "--model", "hf-bert.pt2", "--epochs", "1", "--batch-size", "2", "-q", "--out", "run"];
    basin.done(&[&train[..], &data].concat());
    basin.done(&["spectrum", "run/checkpoints/last.safetensors", "--top", "1", "--bottom", "0"]);

    write(&basin, "data.safetensors", &x_and_y);
    let ended = basin.run(&[&["spectrum", "hf-bert.pt2"], &data[..]].concat());
    ended.assert_refused(&["takes the inputs `input_ids`, `attention_mask`", "no `attention_mask`", "npz"]);
    let short = ("attention_mask", mask.1.narrow(0, 0, 2).unwrap());
    write(&basin, "data.safetensors", &[&x_and_y[..], &[short]].concat());
    basin.run(&[&["spectrum", "hf-bert.pt2"], &data[..]].concat()).assert_refused(&["attention_mask"]);
}

#[test]
fn labels_that_are_the_tokens_are_shifted_on_request() {
    let basin = Basin::new();
    let tokens = &golden(&basin, "hf-gpt2")["input.input_ids"];
    let ignored = Tensor::full(-100_i64, (3, 1), &Device::Cpu).unwrap();
    let next = Tensor::cat(&[tokens.narrow(1, 1, 6).unwrap(), ignored], 1).unwrap();
    write(&basin, "tokens.safetensors", &[("x", tokens.clone()), ("y", tokens.clone())]);
    write(&basin, "next.safetensors", &[("x", tokens.clone()), ("y", next)]);
    let spectrum = |data: &str, loss: &str| {
        let command = ["spectrum", "hf-gpt2.pt2", "--data", data, "--loss", loss];
        basin.done(&[&command[..], &SPECTRUM].concat()).json()
    };
    let shifted = spectrum("safetensors:tokens.safetensors", "next-token");
    let plain = spectrum("safetensors:next.safetensors", "cross-entropy");
    assert_eq!(field(&shifted, "loss"), "next-token");
    assert_near(number(&shifted, "evaluation.loss"), number(&plain, "evaluation.loss"), 1e-12);
    assert_near(largest(&shifted), largest(&plain), 1e-9);
    let unshifted = spectrum("safetensors:tokens.safetensors", "cross-entropy");
    assert_ne!(number(&unshifted, "evaluation.loss"), number(&plain, "evaluation.loss"));
}

fn points(samples: usize) -> Tensor {
    let numbers: Vec<f32> = (0..samples * 4).map(|i| ((i * i + 3 * i) % 17) as f32 / 17.0 - 0.4).collect();
    Tensor::from_vec(numbers, (samples, 4), &Device::Cpu).unwrap()
}

#[test]
fn a_sample_of_weight_two_counts_as_two() {
    let basin = Basin::new();
    let (x, y) = (points(6), Tensor::new(&[0_i64, 1, 2, 0, 1, 2], &Device::Cpu).unwrap());
    let weights = Tensor::new(&[1_f32, 2.0, 0.0, 1.0, 1.0, 3.0], &Device::Cpu).unwrap();
    let repeated = Tensor::new(&[0_u32, 1, 1, 3, 4, 5, 5, 5], &Device::Cpu).unwrap();
    let of_repeated = |x: &Tensor| x.index_select(&repeated, 0).unwrap();
    write(&basin, "weighted.safetensors", &[("x", x.clone()), ("y", y.clone()), ("sample_weight", weights)]);
    write(&basin, "repeated.safetensors", &[("x", of_repeated(&x)), ("y", of_repeated(&y))]);
    let model = ["train", "--model", "mlp:4-5-3:tanh", "--data", "safetensors:repeated.safetensors", "--out", "run"];
    basin.done(&[&model[..], &QUICK].concat());
    for matrix in ["hessian", "ggn"] {
        let record = |data: &str| {
            let command = ["spectrum", "run/checkpoints/last.safetensors", "--matrix", matrix, "--data", data];
            basin.done(&[&command[..], &SPECTRUM].concat()).json()
        };
        let (weighted, repeated) =
            (record("safetensors:weighted.safetensors"), record("safetensors:repeated.safetensors"));
        assert_near(number(&weighted, "evaluation.loss"), number(&repeated, "evaluation.loss"), 1e-12);
        assert_near(largest(&weighted), largest(&repeated), 1e-9);
        assert_ne!(field(&weighted, "data.blake3"), field(&repeated, "data.blake3"));
    }
    let negative = Tensor::new(&[1_f32, 2.0, -1.0, 1.0, 1.0, 3.0], &Device::Cpu).unwrap();
    write(&basin, "weighted.safetensors", &[("x", x), ("y", y), ("sample_weight", negative)]);
    let command = ["spectrum", "run/checkpoints/last.safetensors", "--data", "safetensors:weighted.safetensors"];
    basin.run(&command).assert_refused(&["weight of sample 2 is -1"]);
}

#[test]
fn a_class_of_weight_two_counts_as_two() {
    let basin = Basin::new();
    let (x, y) = (points(6), Tensor::new(&[0_i64, 1, 2, 0, 1, 2], &Device::Cpu).unwrap());
    let weights = y.eq(1_i64).unwrap().to_dtype(DType::F32).unwrap().affine(1.0, 1.0).unwrap();
    write(&basin, "plain.safetensors", &[("x", x.clone()), ("y", y.clone())]);
    write(&basin, "weighted.safetensors", &[("x", x), ("y", y), ("sample_weight", weights)]);
    let loss = "cross-entropy:class-weights=1/2/1";
    let model = ["train", "--model", "mlp:4-5-3:tanh", "--data", "safetensors:plain.safetensors", "--out", "run"];
    basin.done(&[&model[..], &["--loss", loss], &QUICK].concat());
    let spectrum = |more: &[&str]| {
        let command = ["spectrum", "run/checkpoints/last.safetensors"];
        basin.done(&[&command[..], &SPECTRUM, more].concat()).json()
    };
    let of_classes = spectrum(&[]);
    assert_eq!(field(&of_classes, "loss"), loss);
    let of_samples = spectrum(&["--loss", "cross-entropy", "--data", "safetensors:weighted.safetensors"]);
    assert_near(number(&of_classes, "evaluation.loss"), number(&of_samples, "evaluation.loss"), 1e-12);
    assert_near(largest(&of_classes), largest(&of_samples), 1e-9);
    let smoothed = spectrum(&["--loss", "cross-entropy:label-smoothing=0.1"]);
    assert!(number(&smoothed, "evaluation.loss") > 0.0);
    basin
        .run(&["spectrum", "run/checkpoints/last.safetensors", "--loss", "cross-entropy:class-weights=1/2"])
        .assert_refused(&["2 class weights, the model has 3 outputs"]);
}

#[test]
fn several_labels_at_a_time_are_trained_and_measured() {
    let basin = Basin::new();
    let labels: Vec<i64> = (0..30 * 3).map(|i| i64::from(i * 7 % 5 < 2)).collect();
    let labels = Tensor::from_vec(labels, (30, 3), &Device::Cpu).unwrap();
    write(&basin, "labels.safetensors", &[("x", points(30)), ("y", labels.clone())]);
    let floats = labels.to_dtype(DType::F32).unwrap();
    write(&basin, "floats.safetensors", &[("x", points(30)), ("y", floats)]);
    let model = ["train", "--model", "mlp:4-5-3:tanh", "--data", "safetensors:labels.safetensors", "--loss", "bce"];
    basin.done(&[&model[..], &QUICK, &["--out", "run"]].concat());
    let record = |more: &[&str]| {
        let command = ["spectrum", "run/checkpoints/last.safetensors"];
        basin.done(&[&command[..], &SPECTRUM, more].concat()).json()
    };
    let (integers, floats) = (record(&[]), record(&["--data", "safetensors:floats.safetensors"]));
    for path in ["evaluation.loss", "evaluation.accuracy"] {
        assert_near(number(&integers, path), number(&floats, path), 1e-12);
    }
    let right = number(&integers, "evaluation.accuracy") * 90.0;
    assert!((right - right.round()).abs() < 1e-9, "each of 90 answers is right or wrong");
}

#[test]
fn data_larger_than_the_memory_gives_the_same_figures() {
    let basin = Basin::new();
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/images");
    let of_images = format!("images:{}", images.display());
    basin.write("t.txt", "to be or not to be, that is the question. ".repeat(20));
    let y: Vec<i64> = (0..30).map(|i| i % 3).collect();
    write(&basin, "points.safetensors", &[("x", points(30)), ("y", Tensor::new(y, &Device::Cpu).unwrap())]);
    for (out, model, data) in [
        ("i", "mlp:192-8-3:tanh", &["--data", &of_images, "--resize", "8", "--center-crop", "8"][..]),
        ("t", "gpt:width=16,depth=1,heads=2", &["--data", "tokens:t.txt", "--context", "16"]),
        ("m", "gpt:width=16,depth=1,heads=2", &["--data", "tokens:t.txt:mask=0,context=16"]),
        ("p", "mlp:4-5-3:tanh", &["--data", "safetensors:points.safetensors"]),
    ] {
        basin.done(&[&["train", "--model", model, "--out", out], data, &QUICK].concat());
        let checkpoint = format!("{out}/checkpoints/last.safetensors");
        let record = |memory: &str| {
            let command = ["sharpness", &checkpoint, "--measure", "gradient-norm,sam", "--dtype", "f64", "--json"];
            basin.done(&[&command[..], &["--memory", memory, "--micro-batch", "4"]].concat()).json()
        };
        let (held, read_each_time) = (record("1GiB"), record("100"));
        assert_eq!(field(&held, "data"), field(&read_each_time, "data"));
        assert_near(number(&held, "evaluation.loss"), number(&read_each_time, "evaluation.loss"), 1e-12);
        for place in [0, 1] {
            let value = |record: &Value| record["result"][place]["value"].as_f64().unwrap();
            assert_near(value(&held), value(&read_each_time), 1e-9);
        }
    }
}
