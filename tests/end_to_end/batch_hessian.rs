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
    for wrong in [
        &["--batch-sizes", "8,65"][..],
        &["--batch-sizes", "0"],
        &["--draws", "0"],
        &["--shard", "3/2"],
        &["--adam", "--beta1", "1"],
        &["--beta1", "0.5"],
        &["--density", "--probes", "0"],
        &["--check", "--multiples", "2,1"],
        &["--check", "--check-steps", "0"],
        &["--merge", "parts.jsonl"],
    ] {
        let ended = basin.run(&[&COMMAND[..], wrong].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("hint: "), "{ended:?}");
    }
    let single = ["batch-hessian", COMMAND[1], "--samples", "1", "--batch-sizes", "1"];
    basin.run(&single).assert_refused(&["single sample has no noise"]);
    let ended =
        basin.run(&[&COMMAND[..], &["--batch-sizes", "8", "--draws", "1", "--max-products", "2", "-q"]].concat());
    assert_eq!(ended.code, 3, "{ended:?}");
}

#[test]
fn everything_can_be_asked_for_at_once() {
    let basin = Basin::trained();
    let options = ["--batch-sizes", "4,64", "--draws", "2", "--adam", "--density", "--probes", "1", "--steps", "5"];
    let check = ["--check", "--multiples", "0.1,100", "--check-steps", "20", "--check-runs", "1", "-q"];
    let asked = [&COMMAND[..], &options, &check].concat();
    let record = basin.done(&[&asked[..], &["--json"]].concat()).json();
    let number = |path: &str| field(&record, path).as_f64().unwrap();
    let result = |path: &str| field(&record, &format!("result.{path}")).clone();
    assert_eq!(number("result.samples"), 64.0);
    assert!(number("result.empirical.trace.stderr") > 0.0 && number("result.empirical.squared_frobenius.value") > 0.0);
    assert_eq!(result("empirical.density.probes").as_u64(), Some(1));
    assert_eq!(result("rows.0.density.steps").as_u64(), Some(5));
    assert!(number("result.rows.0.preconditioned_lambda_max.mean") > 0.0);
    let limit = number("result.rows.0.max_learning_rate_adam_measured");
    assert!((limit * number("result.rows.0.preconditioned_lambda_max.mean") - 38.0).abs() < 1e-9);
    for limit in ["mean_square", "mean_square_trace", "mean_square_directions"] {
        assert!(number(&format!("result.rows.0.max_learning_rate_{limit}.value")) > 0.0);
    }
    assert!(number("result.check.level") > number("result.check.loss"));
    for (index, optimizer) in ["sgd", "momentum", "adam"].into_iter().enumerate() {
        assert_eq!(result(&format!("rows.0.divergence.{index}.optimizer")).as_str(), Some(optimizer));
    }
    assert_eq!(result("rows.0.runs").as_array().map(Vec::len), Some(6));
    // A hundred times the limit is too much.
    assert!(result("rows.1.divergence.0.diverging").as_f64().is_some());
    let text = basin.done(&asked).stdout;
    assert!(text.contains("preconditioned by Adam") && text.contains("all diverged from"), "{text}");
}

#[test]
fn parts_are_merged_into_what_one_run_gives() {
    let basin = Basin::trained();
    let asked =
        [&COMMAND[..], &["--batch-sizes", "4,16", "--draws", "2", "--check", "--check-steps", "3", "-q"]].concat();
    basin.done(&[&asked[..], &["--out", "whole.jsonl"]].concat());
    for part in ["1/2", "2/2"] {
        basin.done(&[&asked[..], &["--shard", part, "--out", "parts.jsonl"]].concat());
    }
    let whole = basin.done(&[&asked[..], &["--json"]].concat()).json();
    let merged = basin.done(&["batch-hessian", "--merge", "parts.jsonl", "--json", "--out", "merged.jsonl"]).json();
    for path in ["empirical", "noise", "rows.0.values", "rows.0.lambda_max", "rows.1.values", "rows.1.runs"] {
        let path = format!("result.{path}");
        assert_eq!(field(&merged, &path), field(&whole, &path), "{path}");
    }
    assert!(field(&merged, "products").as_u64() > field(&whole, "products").as_u64());
    assert!(basin.done(&["batch-hessian", "--merge", "parts.jsonl"]).stdout.contains("measured and predicted"));
    let other = [&asked[..], &["--shard", "2/2", "--seed", "1", "--out", "other.jsonl"]].concat();
    basin.done(&other);
    basin.done(&[&asked[..], &["--shard", "1/2", "--out", "other.jsonl"]].concat());
    for wrong in [&["other.jsonl"][..], &["whole.jsonl"], &["parts.jsonl", "whole.jsonl"], &["missing.jsonl"]] {
        let ended = basin.run(&[&["batch-hessian", "--merge"], wrong].concat());
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("hint: "), "{ended:?}");
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let basin = Basin::trained();
    let asked =
        [&COMMAND[..], &["--batch-sizes", "4,16,64", "--draws", "3", "--adam", "--check", "--check-steps", "5"]];
    let on =
        |threads: &str| basin.done(&[&asked.concat()[..], &["--threads", threads, "--json", "-q"]].concat()).json();
    assert_eq!(field(&on("1"), "result"), field(&on("3"), "result"));
}
