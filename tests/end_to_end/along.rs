//! `basin landscape line CKPT --along …`: the loss along directions through one checkpoint.

use serde_json::Value;

use crate::bad_input::assert_all_refused;
use crate::basin::{Basin, field};

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";

fn along(basin: &Basin, more: &[&str]) -> Value {
    let line = ["landscape", "line", CHECKPOINT, "--points", "5", "--dtype", "f64", "--json", "-q"];
    basin.done(&[&line[..], more].concat()).json()
}

fn number(record: &Value, path: &str) -> f64 {
    field(record, path).as_f64().unwrap_or_else(|| panic!("{path}: {}", field(record, path)))
}

fn losses(record: &Value, direction: usize) -> Vec<f64> {
    let list = field(record, &format!("result.directions.{direction}.train_loss")).as_array().unwrap();
    list.iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn draws_are_those_of_a_plane_and_have_an_error() {
    let basin = Basin::trained();
    let record = along(&basin, &["--along", "random", "--draws", "3"]);
    assert_eq!(field(&record, "kind"), "profile");
    assert_eq!(field(&record, "result.coordinates"), &serde_json::json!([-1.0, -0.5, 0.0, 0.5, 1.0]));
    assert_eq!(field(&record, "result.directions").as_array().unwrap().len(), 3);
    // The x axis of a plane is the first draw.
    let plane = ["landscape", "plane", CHECKPOINT, "--points", "5x3", "--dtype", "f64", "--json", "-q"];
    let plane = basin.done(&plane).json();
    let row: Vec<f64> =
        field(&plane, "result.train_loss.1").as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!(losses(&record, 0), row);
    assert_eq!(number(&record, "result.directions.0.curvature"), number(&plane, "result.x.curvature"));
    // All draws meet at the checkpoint, and nowhere else.
    assert!((1..3).all(|draw| losses(&record, draw)[2] == row[2] && losses(&record, draw)[1] != row[1]));
    let text = basin.done(&["landscape", "line", CHECKPOINT, "--along", "random", "--points", "5", "-q"]).stdout;
    for part in ["train loss, random", "±", "curvature", "test loss, random"] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
}

#[test]
fn the_gradient_rises_by_its_norm_and_an_eigenvector_bends_by_its_eigenvalue() {
    let basin = Basin::new();
    basin.done(&["train", "--model", "mlp:64-16-10:tanh", "--epochs", "2", "-q", "--out", "run"]);
    let (h, range) = (1e-4, "--range=-2e-4,2e-4");
    let record = along(&basin, &["--along", "gradient,eigenvector:1,eigenvector:-1", range]);
    let norm = basin.done(&["sharpness", CHECKPOINT, "--measure", "gradient-norm", "--dtype", "f64", "--json", "-q"]);
    let norm = number(&norm.json(), "result.0.value");
    let slope = (losses(&record, 0)[3] - losses(&record, 0)[1]) / (2.0 * h);
    assert!((slope - norm).abs() < 1e-6 * norm, "{slope} for the norm {norm}");
    for direction in [1, 2] {
        let at = |name: &str| number(&record, &format!("result.directions.{direction}.{name}"));
        assert!((at("norm") - 1.0).abs() < 1e-9);
        assert!((at("curvature") - at("eigenvalue.value")).abs() < 1e-3 * at("curvature").abs());
        assert!((at("curvature_difference") - at("curvature")).abs() < 1e-3 * at("curvature").abs());
    }
}

#[test]
fn a_page_shows_lines_along_directions() {
    let basin = Basin::trained();
    basin.write("records/note", "");
    let line = ["landscape", "line", CHECKPOINT, "--along", "random,eigenvector:1", "--points", "9", "-q"];
    basin.done(&[&line[..], &["--out", "records/along.jsonl"]].concat());
    assert!(!basin.path("records/along.jsonl.unfinished").exists());
    basin.done(&["report", "records"]);
    let page = basin.text("records/index.html");
    assert!(page.contains("id=\"profile\"") && page.contains("id=\"profile-accuracy\""));
    assert!(page.contains("random (5 draws)") && page.contains("eigenvector 1"));
    let csv = basin.text("records/figures/profile.csv");
    assert_eq!(csv.lines().count(), 1 + 6 * 9);
}

#[test]
fn what_is_no_line_is_refused() {
    let basin = Basin::trained();
    for (more, expected) in [
        (&["--along", "sideways"][..], &["`sideways`", "gradient"][..]),
        (&["--along", "random", "--draws", "0"], &["--draws", "at least 1"]),
        (&["--along", "random", "--path", "curved"], &["--along", "--path"]),
        (&["--along", "random", "--align"], &["--along", "--align"]),
        (&[CHECKPOINT, "--along", "random"], &["--along"]),
        (&["--along", "random", "--split", "test"], &["--split test"]),
        (&["--along", "random", "--range", "1"], &["--range", "expected 2"]),
        (&[], &["<B>"]),
    ] {
        assert_all_refused(&basin, &[(&[&["landscape", "line", CHECKPOINT], more].concat(), expected)]);
    }
}
