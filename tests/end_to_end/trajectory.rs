//! `basin landscape trajectory`: the checkpoints of a run in the plane in which they vary most.

use serde_json::Value;

use crate::bad_input::assert_all_refused;
use crate::basin::{Basin, field};

/// A run with a checkpoint before the first and after each of four epochs.
fn with_checkpoints() -> Basin {
    let basin = Basin::new();
    let train =
        ["train", "--model", "mlp:64-16-10:tanh", "--samples", "300", "--epochs", "4", "--checkpoint-every", "1"];
    basin.done(&[&train[..], &["-q", "--out", "run"]].concat());
    basin
}

fn number(record: &Value, path: &str) -> f64 {
    field(record, path).as_f64().unwrap_or_else(|| panic!("{path}: {}", field(record, path)))
}

#[test]
fn the_way_of_a_run() {
    let basin = with_checkpoints();
    let asked = ["landscape", "trajectory", "run", "--points", "7x5", "--dtype", "f64", "-q", "--out", "t.json"];
    basin.done(&[&asked[..], &["--save-directions", "d.safetensors"]].concat());
    let record = basin.json("t.json");
    assert_eq!(field(&record, "kind"), "trajectory");
    let iterates = field(&record, "result.iterates").as_array().unwrap();
    let epochs: Vec<u64> = iterates.iter().map(|iterate| iterate["epoch"].as_u64().unwrap()).collect();
    // The last checkpoint of the run is that of its last epoch.
    assert_eq!(epochs, [0, 1, 2, 3, 4]);
    let shares = field(&record, "result.explained_variance").as_array().unwrap();
    assert!((shares.iter().map(|share| share.as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
    // The origin is the last, and what is left of the first is its distance: Pythagoras.
    assert_eq!([number(&record, "result.iterates.4.x"), number(&record, "result.iterates.4.distance")], [0.0, 0.0]);
    let from_origin = |place: usize| {
        let part = |name: &str| number(&record, &format!("result.iterates.{place}.{name}")).powi(2);
        (part("x") + part("y") + part("distance")).sqrt()
    };
    let line = ["landscape", "line", "run/checkpoints/epoch-00000.safetensors", "run/checkpoints/last.safetensors"];
    let line =
        basin.done(&[&line[..], &["--range", "0,1", "--points", "2", "--dtype", "f64", "--json", "-q"]].concat());
    let line = line.json();
    assert!((from_origin(0) - number(&line, "result.distance")).abs() < 1e-9);
    for (place, end) in [(0, 0), (4, 1)] {
        let losses = ["train_loss", "test_loss"].map(|name| {
            [
                number(&record, &format!("result.iterates.{place}.{name}")),
                number(&line, &format!("result.{name}.{end}")),
            ]
        });
        assert!(losses.iter().all(|[found, expected]| (found - expected).abs() < 1e-12), "{place}: {losses:?}");
    }
    // A projection has the loss of the plane there; the last is its own.
    let (own, projected) = ("result.iterates.4.train_loss", "result.iterates.4.projected_train_loss");
    assert_eq!(number(&record, own), number(&record, projected));
    assert_eq!(field(&record, "result.surface.train_loss").as_array().unwrap().len(), 5);
    for name in ["t.csv", "t.npz", "t.iterates.csv"] {
        assert!(basin.path(name).exists(), "{name}");
    }
    assert_eq!(basin.text("t.iterates.csv").lines().count(), 6);
    // The directions serve a plane, and are those of the run's components.
    let plane = |more: &[&str]| {
        let plane = ["landscape", "plane", "run/checkpoints/last.safetensors", "--points", "3", "--dtype", "f64"];
        field(&basin.done(&[&plane[..], &["--json", "-q"], more].concat()).json(), "result.train_loss").clone()
    };
    let saved = plane(&["--directions", "d.safetensors", "--normalize", "none", "--biases", "kept"]);
    assert_eq!(plane(&["--x", "pca:1:run", "--y", "pca:2:run"]), saved);
}

#[test]
fn checkpoints_by_name_are_taken_in_their_order() {
    let basin = with_checkpoints();
    let names = [4, 0, 2].map(|epoch| format!("run/checkpoints/epoch-0000{epoch}.safetensors"));
    let asked: Vec<&str> = ["landscape", "trajectory"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let record = basin.done(&[&asked[..], &["--points", "3", "--json", "-q"]].concat()).json();
    let path = |index: usize| field(&record, &format!("result.iterates.{index}.path")).as_str().unwrap().to_owned();
    assert_eq!([0, 1, 2].map(path), names);
    let text = basin.done(&[&asked[..], &["--points", "3", "-q"]].concat()).stdout;
    for part in ["3 checkpoints", "explain", "off the plane", "in the plane", "epoch-00002"] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
    basin.write("records/note", "");
    basin.done(&[&asked[..], &["--points", "3", "-q", "--out", "records/t.json"]].concat());
    basin.done(&["report", "records"]);
    let page = basin.text("records/index.html");
    assert!(page.contains("id=\"trajectory\"") && page.contains("id=\"trajectory-loss\""));
}

#[test]
fn what_is_no_way_is_refused() {
    let basin = with_checkpoints();
    let other = ["train", "--model", "mlp:64-8-10:relu", "--epochs", "1", "-q", "--out", "other"];
    basin.done(&other);
    basin.write("empty/note", "");
    let last = "run/checkpoints/last.safetensors";
    for (more, expected) in [
        (&["none"][..], &["none"][..]),
        (&["empty"], &["`empty` holds no checkpoint", "--checkpoint-every 1"]),
        (&["other"], &["1 checkpoints vary along 0 directions"]),
        (&[last, last, last], &["3 checkpoints vary along 0 directions"]),
        (&[last, "other/checkpoints/last.safetensors"], &["mlp:64-8-10:relu", "one model"]),
        (&["run", "--range", "1,0"], &["ascending"]),
        (&["run", "--split", "test"], &["--split test"]),
        (&["run", "--out", "t.txt"], &["t.txt", ".json"]),
        (&[], &["<RUN|CKPT>"]),
    ] {
        assert_all_refused(&basin, &[(&[&["landscape", "trajectory"], more].concat(), expected)]);
    }
}
