//! `basin train --start`: a run that goes on from a checkpoint's weights.

use std::collections::BTreeMap;

use basin_objective::weights::{self, Weights};

use crate::basin::{Basin, MODEL, field};

#[test]
fn a_checkpoint_names_model_and_data_of_the_run_it_starts() {
    let basin = Basin::trained();
    let start = "run/checkpoints/last.safetensors";
    let train = ["train", "--start", start, "--epochs", "1", "--optimizer", "sgd", "--out", "second", "--json", "-q"];
    let record = basin.done(&train).json();
    assert_eq!(field(&record, "result.settings.start"), start);
    assert_eq!(field(&record, "model"), crate::basin::MODEL);
    let first = basin.done(&["compare", start, "--json", "-q"]).json();
    let second = basin.done(&["compare", "second/checkpoints/last.safetensors", "--json", "-q"]).json();
    assert!(field(&first, "result.rows.0.distance").is_number());
    assert!(field(&second, "result.rows.0.distance").is_null(), "its start was not drawn from its seed");
}

#[test]
fn weights_of_other_names_are_renamed() {
    let basin = Basin::trained();
    let own = Weights::read(basin.path("run/checkpoints/last.safetensors")).unwrap();
    let foreign = |name: &str| name.replace("fc1", "net.0").replace("fc2", "net.2");
    let tensors: Vec<_> = own.tensors.iter().map(|(name, tensor)| (foreign(name), tensor.clone())).collect();
    weights::write(basin.path("foreign.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    let train = |start: &str, out: &str, more: &[&str]| {
        let settings = ["train", "--model", MODEL, "--epochs", "1", "-q", "--start", start, "--out", out];
        basin.run(&[&settings[..], more].concat())
    };
    train("foreign.safetensors", "refused", &[]).assert_refused(&["`fc1.weight`", "is missing"]);
    let rules = ["--rename", "net.0=fc1", "--rename", "net.2=fc2"];
    assert_eq!(train("foreign.safetensors", "renamed", &rules).code, 0);
    assert_eq!(train("run/checkpoints/last.safetensors", "own", &[]).code, 0);
    let parameters = |out: &str| {
        let weights = Weights::read(basin.path(&format!("{out}/checkpoints/last.safetensors"))).unwrap();
        weights.tensors.values().map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(parameters("renamed"), parameters("own"));
    // Rules for weights that are drawn are a slip.
    let settings = ["train", "--model", MODEL, "--epochs", "1", "--out", "drawn"];
    assert_eq!(basin.run(&[&settings[..], &rules].concat()).code, 2);
}
