//! `basin landscape ratio`: extremal eigenvalues over a plane.

use serde_json::Value;

use crate::bad_input::assert_all_refused;
use crate::basin::{Basin, field, without_time};

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";

fn asked<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["landscape", "ratio", CHECKPOINT, "--samples", "100", "-q"][..], more].concat()
}

fn rows(record: &Value, name: &str) -> Vec<Vec<f64>> {
    let value = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let rows = field(record, &format!("result.{name}")).as_array().unwrap().iter();
    rows.map(|row| row.as_array().unwrap().iter().map(value).collect()).collect()
}

#[test]
fn the_extremes_at_the_origin_are_those_of_the_spectrum() {
    let basin = Basin::trained();
    let options = ["--points", "5x3", "--tolerance", "1e-5", "--dtype", "f64", "--json"];
    let record = basin.done(&asked(&options)).json();
    assert_eq!(field(&record, "kind"), "ratio_map");
    let spectrum = ["spectrum", CHECKPOINT, "--samples", "100", "--dtype", "f64", "--json", "-q"];
    let spectrum = basin.done(&spectrum).json();
    let mut origin = Vec::new();
    for (name, index) in [("lambda_max", 0), ("lambda_min", 1)] {
        let expected = field(&spectrum, &format!("result.eigenvalues.{index}.value")).as_f64().unwrap();
        let found = rows(&record, name)[1][2];
        assert!((found - expected).abs() < 1e-4 * expected.abs(), "{name}: {found} for {expected}");
        origin.push(found);
    }
    let ratios = rows(&record, "ratio");
    assert_eq!(ratios[1][2], origin[1] / origin[0]);
    assert_eq!((ratios.len(), ratios[0].len()), (3, 5));
    assert_eq!(field(&record, "result.not_converged"), 0);
    // The loss beside them is that of a plane.
    let plane =
        ["landscape", "plane", CHECKPOINT, "--samples", "100", "--points", "5x3", "--dtype", "f64", "--json", "-q"];
    assert_eq!(rows(&record, "surface.train_loss"), rows(&basin.done(&plane).json(), "train_loss"));
    let text = basin.done(&asked(&["--points", "2"])).stdout;
    for part in ["λ min/λ max", "products", "2 × 2 points"] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
}

/// Chains of neighbours begin anew at fixed columns, so that parts change no bit.
#[test]
fn parts_give_the_same_bytes() {
    let basin = Basin::trained();
    let grid = ["--points", "11x3"];
    let of = |out: &'static str, more: &[&str]| basin.done(&asked(&[&grid[..], &["--out", out], more].concat()));
    of("whole.json", &[]);
    of("1.json", &["--shard", "1/2"]);
    of("2.json", &["--shard", "2/2"]);
    basin.done(&["landscape", "ratio", "--merge", "2.json", "1.json", "--out", "merged.json", "-q"]);
    assert_eq!(field(&basin.json("merged.json"), "result"), field(&basin.json("whole.json"), "result"));
    assert!(basin.read("merged.npz") == basin.read("whole.npz") && basin.read("merged.csv") == basin.read("whole.csv"));
    assert!(basin.text("whole.csv").starts_with("x,y,x_displacement,y_displacement,train_loss"));
    basin.run(&["landscape", "plane", "--merge", "1.json"]).assert_refused(&["kind ratio_map", "plane --shard"]);
}

#[test]
fn points_that_need_more_products_are_counted() {
    let basin = Basin::trained();
    let ended = basin.run(&asked(&["--points", "2", "--max-products", "3"]));
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("have not converged"), "{ended:?}");
    assert!(ended.stdout.contains("4 points have an eigenvalue that has not converged"), "{ended:?}");
}

#[test]
fn points_that_are_no_numbers_have_no_eigenvalues() {
    let basin = Basin::trained();
    let ended = basin.run(&asked(&["--points", "3", "--range=-1e30,1e30", "--json"]));
    assert_eq!(ended.code, 3);
    let record = ended.json();
    let known = rows(&record, "lambda_max").concat().iter().filter(|value| value.is_finite()).count();
    assert_eq!(known, 1, "{record}");
    assert_eq!(field(&record, "result.not_converged"), 8);
    assert_eq!(without_time(record)["kind"], "ratio_map");
}

#[test]
fn what_cannot_be_a_map_is_refused() {
    let basin = Basin::trained();
    for (more, expected) in [
        (&["--tolerance", "0"][..], &["tolerance is 0", "1e-4"][..]),
        (&["--points", "1"], &["1 points", "at least 2"]),
        (&["--split", "test"], &["--split test"]),
        (&["--out", "map.txt"], &["map.txt", ".json"]),
        (&["--shard", "3/2"], &["3/2"]),
        (&["--x", "pca:1:none"], &["`none`", "directory"]),
        (&["--x", "pca:0:run"], &["`pca:0:run`", "pca:1:RUN"]),
        (&["--x", "pca:1:run", "--y", "pca:2:run"], &["1 checkpoints vary along 0 directions"]),
    ] {
        assert_all_refused(&basin, &[(&asked(more), expected)]);
    }
}
