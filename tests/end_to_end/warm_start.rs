//! `basin train --start`: a run that goes on from a checkpoint's weights.

use crate::basin::{Basin, field};

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
