//! `basin landscape path`: a curve of low loss between two minima, its files, and what is refused.

use std::fs;

use serde_json::Value;

use crate::bad_input::assert_all_refused;
use crate::basin::{Basin, field, without_time};
#[cfg(unix)]
use crate::interruption::interrupted;

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";
const OTHER: &str = "other/checkpoints/last.safetensors";

/// Two minima of the digits.
fn minima() -> Basin {
    let basin = Basin::new();
    for (out, seed) in [("run", "0"), ("other", "1")] {
        basin.done(&["train", "--model", "mlp:64-32-10:relu", "--epochs", "20", "--seed", seed, "-q", "--out", out]);
    }
    basin
}

/// A path with these options.
fn asked<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["landscape", "path", CHECKPOINT, OTHER, "-q"], more].concat()
}

fn number(record: &Value, path: &str) -> f64 {
    field(record, path).as_f64().unwrap_or_else(|| panic!("{path}: {}", field(record, path)))
}

fn numbers(record: &Value, path: &str) -> Vec<f64> {
    field(record, path).as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn a_curve_goes_around_the_barrier_of_the_line() {
    let basin = minima();
    let short = ["--epochs", "60", "--points", "13", "--learning-rate", "0.1", "--json"];
    for (options, shape) in [(&[][..], "bezier"), (&["--curve", "chain", "--bends", "3"], "chain")] {
        let record = basin.done(&asked(&[&short, options].concat())).json();
        assert_eq!(
            (field(&record, "kind").as_str(), field(&record, "result.shape").as_str()),
            (Some("connection"), Some(shape))
        );
        let barrier = |path: &str| number(&record, &format!("result.{path}.barriers.0.height"));
        assert!(barrier("line") > 0.1 && barrier("curve") < 0.3 * barrier("line"), "{shape}: {record}");
        for name in ["train_loss", "train_accuracy", "test_loss", "test_accuracy"] {
            let along = ["curve", "line"].map(|path| numbers(&record, &format!("result.{path}.{name}")));
            assert!(along.iter().all(|values| values.len() == 13), "{name}");
            // Both begin and end at the same checkpoints, to the last bit.
            assert_eq!([along[0][0], along[0][12]], [along[1][0], along[1][12]], "{name}");
        }
        let arclength = numbers(&record, "result.arclength");
        assert!(arclength[0] == 0.0 && arclength.is_sorted() && arclength[12] > number(&record, "result.distance"));
        assert!(field(&record, "checkpoint").is_null() && field(&record, "seed").is_number());
    }
    // What stands on the line is what `line` finds there.
    let record = basin.done(&asked(&short)).json();
    let line = ["landscape", "line", CHECKPOINT, OTHER, "--range=0,1", "--points", "13", "--json", "-q"];
    let line = basin.done(&line).json();
    assert_eq!(field(&line, "result.train_loss"), field(&record, "result.line.train_loss"));
    assert_eq!(field(&line, "result.barriers"), field(&record, "result.line.barriers"));
    assert_eq!(without_time(record), without_time(basin.done(&asked(&short)).json()), "another run, another curve");
}

#[test]
fn aligned_ends_batch_norm_bends_and_the_report() {
    let basin = Basin::new();
    for (out, seed) in [("run", "0"), ("other", "1")] {
        let train = ["train", "--model", "mlp:64-16-10:relu:bn", "--epochs", "5", "--seed", seed, "-q", "--out", out];
        basin.done(&train);
    }
    fs::create_dir(basin.path("paths")).unwrap();
    let options = ["--align", "--bends", "2", "--epochs", "5", "--points", "5", "--weight-decay", "1e-4"];
    let files = ["--out", "paths/path.jsonl", "--save-bends", "bends.safetensors"];
    let told = basin.done(&asked(&[&options[..], &files].concat())).stdout;
    for part in [
        "Bézier curve of 2 bends",
        "hidden units of the second",
        "curve: train loss: barrier",
        "straight line: test loss",
        "at t = ",
    ] {
        assert!(told.contains(part), "`{part}` is missing: {told}");
    }
    let record = basin.json("paths/path.jsonl");
    assert!(number(&record, "result.alignment.distance_after") < number(&record, "result.alignment.distance_before"));
    let (after, distance) = (number(&record, "result.alignment.distance_after"), number(&record, "result.distance"));
    assert!((after - distance).abs() < 1e-12 * distance, "{after} {distance}");
    assert!(field(&record, "result.batch_norm").as_str().unwrap().starts_with("recomputed"));
    assert_eq!(field(&record, "result.file"), "bends.safetensors");
    assert!(!basin.path("paths/path.jsonl.unfinished.safetensors").exists());
    let bends = basin.done(&["inspect", "bends.safetensors"]).stdout;
    assert!(bends.contains("bend1.fc1.weight") && bends.contains("bend2.fc2.bias"), "{bends}");
    basin.done(&["report", "paths"]);
    let page = basin.text("paths/index.html");
    for part in [
        "A curve of low loss between",
        "a Bézier curve of 2 trained bends",
        "The barrier on the curve is",
        "put into the order",
    ] {
        assert!(page.contains(part), "`{part}` is missing");
    }
    let csv = basin.text("paths/figures/connection.csv");
    let header =
        "t,arclength,curve_train_loss,curve_test_loss,curve_train_accuracy_percent,curve_test_accuracy_percent,";
    assert!(csv.starts_with(header) && csv.lines().count() == 6, "{csv}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_path_goes_on_to_the_same_record() {
    let basin = Basin::trained();
    basin.train("other", &["--seed", "1"]);
    let options = ["--epochs", "150", "--batch-size", "16", "--points", "301", "--save-bends"];
    let path = |out: &'static str, bends: &'static str| asked(&[&options[..], &[bends, "--out", out]].concat());
    // Neither stops nor the number of threads change a bit.
    basin.done(&[&path("whole.jsonl", "whole.safetensors")[..], &["--threads", "1"]].concat());
    let (command, state) = (path("path.jsonl", "bends.safetensors"), "path.jsonl.unfinished.safetensors");
    let ended = interrupted(&basin, &command, |basin| basin.path(state).exists());
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(ended.stderr.contains("`landscape … --out` go on"), "{ended:?}");
    assert!(basin.path(state).exists() && !basin.path("path.jsonl").exists());
    // Another path is not taken for the continuation of this one.
    let other = [&command[..], &["--seed", "5"]].concat();
    basin.run(&other).assert_refused(&["holds another path", "seed 0", "not the Bézier curve", "seed 5"]);
    // Again, when the steps are done and points are evaluated.
    let points = "path.jsonl.unfinished";
    let ended = interrupted(&basin, &command, |basin| basin.path(points).exists());
    assert!(ended.code == 130 && basin.path(state).exists() && !basin.path("path.jsonl").exists(), "{ended:?}");
    basin.done(&command);
    assert!(!basin.path(state).exists() && !basin.path(points).exists());
    assert!(basin.read("bends.safetensors") == basin.read("whole.safetensors"), "the bends differ");
    let result = |out: &str| {
        let mut record = without_time(basin.json(out));
        record["result"].as_object_mut().unwrap().remove("file");
        record
    };
    assert_eq!(result("path.jsonl"), result("whole.jsonl"));
}

#[test]
fn what_cannot_be_connected_is_refused() {
    let basin = Basin::trained();
    basin.train("other", &["--seed", "1"]);
    basin.done(&["train", "--model", "mlp:64-8-10:relu", "--epochs", "1", "-q", "--out", "narrow"]);
    basin.write("torn.jsonl.unfinished.safetensors", b"torn");
    let narrow = ["landscape", "path", CHECKPOINT, "narrow/checkpoints/last.safetensors"];
    let cases: [(&[&str], &[&str]); 11] = [
        (&["--bends", "0"], &["without bends", "basin landscape line"]),
        (&["--bends", "100000"], &["100000 bends", "at most"]),
        (&["--epochs", "0"], &["0 epochs"]),
        (&["--batch-size", "5000"], &["the batch size is 5000", "1437 samples"]),
        (&["--learning-rate", "-1"], &["learning rate is -1"]),
        (&["--weight-decay", "nan"], &["weight decay is NaN"]),
        (&["--points", "1"], &["1 points", "at least 2"]),
        (&["--split", "test"], &["--split"]),
        (&["--save-bends", CHECKPOINT], &["it is an end of the path"]),
        (&["--save-bends", "missing/bends.safetensors"], &["directory does not exist"]),
        (&["--out", "torn.jsonl"], &["torn.jsonl.unfinished.safetensors"]),
    ];
    let cases: Vec<(Vec<&str>, &[&str])> = cases.into_iter().map(|(more, expected)| (asked(more), expected)).collect();
    let cases: Vec<(&[&str], &[&str])> =
        cases.iter().map(|(arguments, expected)| (&arguments[..], *expected)).collect();
    assert_all_refused(&basin, &[&cases[..], &[(&narrow, &["mlp:64-8-10:relu", "one model"])]].concat());
}
