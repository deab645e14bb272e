//! A learning rate and a momentum that training chooses itself.

use crate::basin::{Basin, field};

const AUTO: [&str; 10] =
    ["train", "--optimizer", "sgd", "--learning-rate", "auto", "--batch-size", "480", "--epochs", "3", "--json"];

#[test]
fn is_recorded_with_its_cost_and_does_not_depend_on_threads() {
    let basin = Basin::new();
    let run = |threads: &str| {
        let out = format!("threads-{threads}");
        let ended = basin.done(&[&AUTO[..], &["--out", &out, "--threads", threads]].concat());
        (ended.json(), basin.read(&format!("{out}/checkpoints/last.safetensors")))
    };
    let (record, weights) = run("1");
    assert!(run("2").1 == weights, "the weights depend on the number of threads");
    let settings = field(&record, "result.settings");
    assert_eq!(settings["optimizer_settings"]["learning_rate"], "auto");
    let first = &field(&record, "result.epochs")[0];
    let number = |name: &str| first["observed"][name].as_f64().unwrap();
    let (largest, momentum) = (number("ritz_largest"), number("momentum"));
    assert!(largest >= number("ritz_bulk") && number("ritz_bulk") > 0.0 && (0.0..=0.99).contains(&momentum));
    let learning_rate = first["learning_rate"].as_f64().unwrap();
    assert!(learning_rate > 0.0 && learning_rate < 2.0 * (1.0 + momentum) / largest, "{learning_rate}");
    assert!((number("controller_gradient_equivalents") - 40.0 / 3.0).abs() < 1e-9);
}
