//! `basin batch-hessian`: what it measures, its parts, and what it refuses.

use crate::basin::{Basin, field};

const COMMAND: [&str; 4] = ["batch-hessian", "run/checkpoints/last.safetensors", "--samples", "64"];

#[test]
fn batches_are_measured_against_all_samples() {
    let basin = Basin::trained();
    let options = ["--batch-sizes", "8,64", "--draws", "3"];
    let record = basin.done(&[&COMMAND[..], &options, &["--json", "-q"]].concat()).json();
    assert_eq!(field(&record, "kind"), "batch_hessian");
    let number = |path: &str| field(&record, path).as_f64().unwrap();
    assert_eq!(number("result.rows.1.lambda_max.mean"), number("result.empirical.lambda_max"));
    assert_eq!(number("result.rows.1.lambda_min.mean"), number("result.empirical.lambda_min"));
    assert_eq!(number("result.rows.1.lambda_max.std"), 0.0);
    assert_eq!(field(&record, "result.rows.0.values").as_array().map(Vec::len), Some(3));
    assert!(number("result.noise.total.value") > 0.0 && number("result.noise.total.stderr") > 0.0);
    assert!(number("result.rows.0.predicted_lambda_max") > number("result.empirical.lambda_max"));
    // The same matrix as that of `basin spectrum`.
    let spectrum = ["spectrum", COMMAND[1], "--samples", "64", "--json", "-q"];
    let largest = field(&basin.done(&spectrum).json(), "result.eigenvalues.0.value").as_f64().unwrap();
    assert!((largest - number("result.empirical.lambda_max")).abs() < 1e-3 * largest);
    let text = basin.done(&[&COMMAND[..], &options, &["--matrix", "ggn", "--shard", "1/2", "-q"]].concat()).stdout;
    assert!(text.contains("Marchenko-Pastur") && text.contains("measured and predicted"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let basin = Basin::trained();
    for wrong in [["--batch-sizes", "8,65"], ["--batch-sizes", "0"], ["--draws", "0"], ["--shard", "3/2"]] {
        let ended = basin.run(&[&COMMAND[..], &wrong].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("hint: "), "{ended:?}");
    }
    let ended =
        basin.run(&[&COMMAND[..], &["--batch-sizes", "8", "--draws", "1", "--max-products", "2", "-q"]].concat());
    assert_eq!(ended.code, 3, "{ended:?}");
}
