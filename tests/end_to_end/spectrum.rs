//! `basin spectrum`: every matrix, every estimate, and what it refuses.

use basin_objective::weights::Weights;
use serde_json::Value;

use crate::basin::{Basin, field};

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";

fn spectrum<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["spectrum", CHECKPOINT, "--samples", "300"][..], more].concat()
}

fn number(record: &Value, path: &str) -> f64 {
    field(record, path).as_f64().unwrap_or_else(|| panic!("{path} is no number in {record}"))
}

#[test]
fn every_matrix_has_a_spectrum() {
    let basin = Basin::trained();
    let largest = |more: &[&str]| {
        let record = basin.done(&spectrum(&[&["--json", "-q"], more].concat())).json();
        assert_eq!(field(&record, "result.eigenvalues.0.converged"), true, "{record}");
        number(&record, "result.eigenvalues.0.value")
    };
    let hessian = largest(&[]);
    for matrix in ["ggn", "fisher", "empirical-fisher", "gradient-covariance", "residual"] {
        assert!(largest(&["--matrix", matrix]) > 0.0, "{matrix}");
    }
    assert!(largest(&["--matrix", "fisher", "--label-draws", "4"]) > 0.0);
    let decayed = largest(&["--weight-decay", "0.5"]);
    assert!((decayed - hessian - 0.5).abs() < 1e-3 * hessian, "{decayed} {hessian}");
    // A block's eigenvalues lie within those of the whole (Cauchy's interlacing).
    assert!(largest(&["--parameters", "fc2.*"]) <= 1.001 * hessian);
}

#[test]
fn estimates_carry_their_errors() {
    let basin = Basin::trained();
    let all = ["--frobenius", "--trace", "--diagonal", "d.safetensors", "--density", "--probes", "3", "--steps", "20"];
    let more = ["--per-layer", "--standard-error", "0.1", "--json", "-q", "--verify", "--subsets", "3"];
    let record = basin.done(&spectrum(&[&all[..], &more].concat())).json();
    for path in ["result.trace", "result.frobenius", "result.blocks.0.trace", "result.blocks.1.frobenius"] {
        let (value, stderr) = (number(&record, &format!("{path}.value")), number(&record, &format!("{path}.stderr")));
        assert!(value > 0.0 && stderr <= 0.1 * value, "{path}: {value} ± {stderr}");
    }
    assert!(number(&record, "result.intrinsic_dimension") > 1.0 && number(&record, "result.effective_rank") > 1.0);
    let density = field(&record, "result.density");
    let list = |name: &str| density[name].as_array().unwrap().len();
    assert_eq!((list("nodes"), list("grid")), (list("weights"), list("values")));
    assert_eq!(list("grid"), list("stderr"));
    let weights: f64 = density["weights"].as_array().unwrap().iter().filter_map(Value::as_f64).sum();
    assert!((weights - 1.0).abs() < 1e-9, "{weights}");
    assert!(field(&record, "result.blocks.0.density.grid").is_array());
    assert!(number(&record, "result.verification.product_difference") < 1e-4);
    let (value, verified) =
        (number(&record, "result.eigenvalues.0.value"), number(&record, "result.verification.value"));
    assert!((value - verified).abs() < 1e-3 * value, "{value} {verified}");
    assert_eq!(field(&record, "result.subsets.samples"), 100);
    assert_eq!(field(&record, "result.subsets.lambda_max.values").as_array().map(Vec::len), Some(3));
    // The diagonal's sum is the trace, within five of its standard errors.
    let diagonal = Weights::read(basin.path("d.safetensors")).unwrap();
    assert!(diagonal.metadata.contains_key("relative_error"));
    let values = diagonal.tensors.iter().filter(|(name, _)| !name.ends_with(".stderr"));
    let sum: f64 = values.map(|(_, values)| values.sum_all().unwrap().to_scalar::<f64>().unwrap()).sum();
    let trace = number(&record, "result.trace.value");
    assert!((sum - trace).abs() <= 0.5 * trace, "{sum} {trace}");
    let text = basin.done(&spectrum(&[&all[..], &["--standard-error", "0.1"]].concat()));
    for part in ["trace ", "Frobenius norm ", "density from ", "negative", "diagonal in d.safetensors", "trace / λ_max"]
    {
        assert!(text.stdout.contains(part), "{part}: {text:?}");
    }
    assert!(text.told()[0].starts_with("cost: a product takes about "), "{text:?}");
}

#[test]
fn a_trace_alone_needs_no_eigenvalues() {
    let basin = Basin::trained();
    let value = |method: &str| {
        let trace = format!("--trace={method}");
        let record = basin.done(&spectrum(&["--top", "0", "--bottom", "0", &trace, "--json", "-q"])).json();
        assert_eq!(field(&record, "result.trace.method"), method);
        assert_eq!(field(&record, "result.eigenvalues").as_array().map(Vec::len), Some(0));
        number(&record, "result.trace.value")
    };
    let [a, b, c] = ["hutchinson", "hutch++", "xtrace"].map(value);
    // Each is known to 2 %, and the seed is fixed.
    assert!((a - b).abs() < 0.1 * a && (a - c).abs() < 0.1 * a, "{a} {b} {c}");
}

#[test]
fn what_was_not_reached_ends_with_3() {
    let basin = Basin::trained();
    for more in [
        &["--trace=hutchinson", "--standard-error", "1e-9", "--max-products", "20", "--top", "0", "--bottom", "0"][..],
        &["--top", "4", "--max-products", "9"],
    ] {
        let ended = basin.run(&spectrum(more));
        assert_eq!(ended.code, 3, "{ended:?}");
        assert!(ended.stderr.contains("--max-products"), "{ended:?}");
    }
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let basin = Basin::trained();
    for (more, parts) in [
        (&["--parameters", "conv1.*"][..], &["`conv1.*`"][..]),
        (&["--parameters", "fc1.wieght"], &["fc1.wieght", "fc1.weight"]),
        (&["--label-draws", "2"], &["--label-draws", "--matrix fisher"]),
        (&["--matrix", "fisher", "--label-draws", "0"], &["no labels are drawn"]),
        (&["--trace", "--standard-error", "0"], &["standard error"]),
        (&["--trace=lanczos"], &["lanczos", "hutch++"]),
        (&["--density", "--probes", "0"], &["--probes"]),
        (&["--density", "--kernel-width", "-1"], &["kernel width"]),
        (&["--subsets", "1"], &["1 subsets"]),
        (&["--weight-decay", "nan"], &["weight decay"]),
        (&["--diagonal", CHECKPOINT], &["--diagonal", "names the checkpoint"]),
        (&["--top", "0", "--bottom", "0"], &["no eigenvalue is asked for"]),
    ] {
        basin.run(&spectrum(more)).assert_refused(parts);
    }
}

#[test]
fn batch_norm_has_another_spectrum_with_the_statistics_of_the_batch() {
    let basin = Basin::new();
    basin.done(&[
        "train",
        "--data",
        "digits",
        "--model",
        "mlp:64-16-10:relu:bn",
        "--epochs",
        "1",
        "-q",
        "--out",
        "run",
    ]);
    let stored = basin.done(&spectrum(&["--json"])).json();
    let batch = basin.done(&spectrum(&["--json", "--batch-norm", "batch"])).json();
    assert_eq!((stored["batch_norm"].is_null(), &batch["batch_norm"]), (true, &"batch".into()));
    let largest = "result.eigenvalues.0.value";
    assert!((number(&stored, largest) / number(&batch, largest) - 1.0).abs() > 1e-3);
    let ended = basin.run(&spectrum(&["--batch-norm", "batch", "--micro-batch", "100"]));
    assert!(ended.code == 2 && ended.stderr.contains("depends on the 299 others"), "{ended:?}");
    let line = ["landscape", "line", CHECKPOINT, CHECKPOINT, "--batch-norm", "batch"];
    assert_eq!(basin.run(&line).code, 2);
}
