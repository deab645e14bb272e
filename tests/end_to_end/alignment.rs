//! `--align`: hidden units of one network in the order of another's.

use std::collections::BTreeMap;

use basin_landscape::Permutation;
use basin_objective::models::Model;
use basin_objective::weights::{self, Weights};
use basin_tape::Layout;
use candle_core::{DType, Tensor};
use serde_json::Value;

use crate::bad_input::assert_all_refused;
use crate::basin::{Basin, field, without_time};
#[cfg(unix)]
use crate::interruption::interrupted;

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";
const OTHER: &str = "other/checkpoints/last.safetensors";

/// A line from the first checkpoint to another, at five points between them.
fn line(basin: &Basin, to: &str, more: &[&str]) -> Value {
    let line = ["landscape", "line", CHECKPOINT, to, "--range=0,1", "--points", "5", "--json", "-q"];
    basin.done(&[&line[..], more].concat()).json()
}

fn number(record: &Value, path: &str) -> f64 {
    field(record, path).as_f64().unwrap_or_else(|| panic!("{path}: {}", field(record, path)))
}

fn barrier(record: &Value) -> f64 {
    number(record, "result.barriers.0.height")
}

/// Writes the first checkpoint's network with its hidden units in the opposite order.
fn write_reversed(basin: &Basin, spec: &str, to: &str) {
    let model = Model::new(&spec.parse().unwrap(), &[64], 10).unwrap();
    let weights = Weights::read(basin.path(CHECKPOINT)).unwrap();
    let gathered = model.gather(&weights, DType::F32).unwrap();
    let orders = model.exchangeable_units().unwrap().iter().map(|set| (0..set.count).rev().collect());
    let reversed = Permutation::new(&model, orders.collect()).unwrap();
    let named = |layout: &Layout, vector: Tensor| {
        let names = layout.entries().iter().map(|entry| entry.name.clone());
        names.zip(layout.views(&vector).unwrap()).collect::<Vec<_>>()
    };
    let parameters = named(model.parameters(), reversed.parameters(&model, &gathered.parameters).unwrap());
    let buffers = named(model.buffers(), reversed.buffers(&model, &gathered.buffers).unwrap());
    let metadata: BTreeMap<String, String> = weights.metadata.clone();
    weights::write(basin.path(to), &[parameters, buffers].concat(), &metadata).unwrap();
}

#[test]
fn the_same_network_in_another_order_is_no_distance_away() {
    let basin = Basin::new();
    let model = "mlp:64-16-12-10:relu:bn";
    basin.done(&["train", "--model", model, "--epochs", "2", "-q", "--out", "run"]);
    write_reversed(&basin, model, "reversed.safetensors");
    let (apart, together) =
        (line(&basin, "reversed.safetensors", &[]), line(&basin, "reversed.safetensors", &["--align"]));
    assert!(barrier(&apart) > 0.1 && number(&apart, "result.distance") > 1.0, "{apart}");
    assert!(field(&apart, "result.alignment").is_null());
    assert_eq!((barrier(&together), number(&together, "result.distance")), (0.0, 0.0));
    assert_eq!(number(&together, "result.alignment.distance_after"), 0.0);
    let (before, distance) = (number(&together, "result.alignment.distance_before"), number(&apart, "result.distance"));
    assert!((before - distance).abs() < 1e-12 * distance, "{before} {distance}");
}

#[test]
fn independent_minima_come_nearer_and_stay_the_same_functions() {
    let basin = Basin::trained();
    basin.train("other", &["--seed", "1"]);
    let (apart, together) = (line(&basin, OTHER, &[]), line(&basin, OTHER, &["--align", "--out", "line.jsonl"]));
    assert!(barrier(&together) < barrier(&apart), "{} {}", barrier(&together), barrier(&apart));
    assert!(number(&together, "result.distance") < number(&apart, "result.distance"));
    for end in ["0", "4"] {
        for name in ["train_loss", "test_loss"] {
            let at = |record: &Value| number(record, &format!("result.{name}.{end}"));
            assert!((at(&together) - at(&apart)).abs() < 1e-5 * at(&apart), "{name} at {end}");
        }
        let accuracy = format!("result.train_accuracy.{end}");
        assert_eq!(field(&together, &accuracy), field(&apart, &accuracy));
    }
    assert_eq!(
        without_time(together),
        without_time(line(&basin, OTHER, &["--align"])),
        "another run finds another order"
    );

    let told = basin.done(&["landscape", "line", CHECKPOINT, OTHER, "--align", "--points", "5", "-q"]).stdout;
    assert!(told.contains("hidden units of the second in the order of the first's, before "), "{told}");
    basin.write("lines/line.jsonl", basin.read("line.jsonl"));
    basin.done(&["report", "lines"]);
    assert!(basin.text("lines/index.html").contains("were put into the order of the other"));
}

#[test]
fn what_cannot_be_aligned_is_refused() {
    let basin = Basin::trained();
    basin.done(&["train", "--model", "mlp:64-8-10:relu", "--epochs", "1", "-q", "--out", "narrow"]);
    let data = "synthetic:images:samples=20,size=8,classes=2";
    let vit = "vit:patch=4,width=4,depth=1,heads=2,mlp=4";
    basin.done(&["train", "--model", vit, "--data", data, "--batch-size", "8", "--epochs", "1", "-q", "--out", "vit"]);
    let of_vit = "vit/checkpoints/last.safetensors";
    let line = |a: &'static str, b: &'static str| ["landscape", "line", a, b, "--align"];
    assert_all_refused(
        &basin,
        &[
            (&line(of_vit, of_vit), &["vit:patch=4", "cannot be aligned", "`mlp:…`", "`resnet…`"]),
            (&line(CHECKPOINT, "narrow/checkpoints/last.safetensors"), &["mlp:64-8-10:relu", "one model"]),
        ],
    );
}

#[cfg(unix)]
#[test]
fn an_aligned_line_is_no_continuation_of_another() {
    let basin = Basin::trained();
    basin.train("other", &["--seed", "1"]);
    let line = ["landscape", "line", CHECKPOINT, OTHER, "--points", "1201", "-q", "--out", "line.jsonl"];
    let ended = interrupted(&basin, &line, |basin| basin.path("line.jsonl.unfinished").exists());
    assert_eq!(ended.code, 130, "{ended:?}");
    basin.run(&[&line[..], &["--align"]].concat()).assert_refused(&["points of something else", "aligned to"]);
    basin.done(&line);
}
