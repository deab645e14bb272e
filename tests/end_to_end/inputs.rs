//! Inputs as trained: what a checkpoint says of them, what shows where it says nothing, and data of each kind.

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::weights::{self, Weights};

use crate::basin::{Basin, MODEL, field};

const KESKAR: [&str; 7] = ["--epsilon", "1e-3", "--subspace", "full", "--iterations", "1", "--json"];

/// A run on inputs far from those stored, and a copy of its weights that says nothing of itself.
fn standardized() -> (Basin, String, &'static str) {
    let basin = Basin::new();
    let checkpoint = basin.train("run", &["--standardize", "0.3:0.05", "--batch-size", "8"]);
    let weights = Weights::read(basin.path(&checkpoint)).unwrap();
    let tensors: Vec<_> = weights.tensors.into_iter().collect();
    weights::write(basin.path("foreign.safetensors"), &tensors, &BTreeMap::new()).unwrap();
    (basin, checkpoint, "foreign.safetensors")
}

#[test]
fn a_checkpoint_brings_its_inputs_along() {
    let (basin, checkpoint, _) = standardized();
    let ended = basin.done(&[&["keskar", &checkpoint][..], &KESKAR].concat());
    assert!(!ended.stderr.contains("warning"), "{ended:?}");
    let record = ended.json();
    assert_eq!(field(&record, "inputs.mean.0"), 0.3);
    assert_eq!(field(&record, "inputs.std.0"), 0.05);
    assert!(field(&record, "inputs.resize").is_null() && field(&record, "inputs.crop").is_null());
    assert_eq!(field(&record, "evaluation.samples"), 1437);
    let training = basin.json("run/training.json");
    let last = field(&training, "result.epochs").as_array().unwrap().last().unwrap().clone();
    let loss = field(&record, "evaluation.loss").as_f64().unwrap();
    assert!((loss - last["train_loss"].as_f64().unwrap()).abs() < 1e-5 * loss, "{loss} {last}");
    assert_eq!(field(&record, "evaluation.accuracy"), &last["train_accuracy"]);
    assert_eq!(field(&training, "inputs.mean.0"), 0.3);
    // The same on the test split, which is standardized alike.
    let test = basin.done(&[&["keskar", &checkpoint, "--split", "test"][..], &KESKAR].concat());
    assert!(!test.stderr.contains("warning"), "{test:?}");
    let test_loss = field(&test.json(), "evaluation.loss").as_f64().unwrap();
    assert!((test_loss - last["test_loss"].as_f64().unwrap()).abs() < 1e-5 * test_loss);
    let inspected = basin.done(&["inspect", &checkpoint]);
    assert!(inspected.stdout.contains("inputs: standardize=0.3:0.05"), "{inspected:?}");
    assert!(inspected.stdout.contains("samples of digits (train)") && inspected.stderr.is_empty(), "{inspected:?}");
}

#[test]
fn a_checkpoint_that_says_nothing_is_warned_of_and_refused() {
    let (basin, _, foreign) = standardized();
    let named = ["keskar", foreign, "--model", MODEL, "--data", "digits"];
    let warned = basin.done(&[&named[..], &KESKAR, &["-q"]].concat());
    assert!(
        warned.stderr.contains("warning: foreign.safetensors: ")
            && warned.stderr.contains("inputs or architecture are not those of the training"),
        "{warned:?}"
    );
    assert!(warned.stderr.contains("hint: ") && warned.stderr.contains("--standardize"), "{warned:?}");
    basin.run(&[&named[..], &KESKAR, &["--expect-accuracy", "0.95"]].concat()).assert_refused(&["accuracy", "0.95"]);
    basin.run(&[&named[..], &KESKAR, &["--expect-loss", "0.1"]].concat()).assert_refused(&["loss", "expected 0.1"]);
    let inspected = basin.done(&["inspect", foreign, "--model", MODEL, "--data", "digits"]);
    assert!(inspected.stderr.contains("are not those of the training"), "{inspected:?}");
    basin
        .run(&["inspect", foreign, "--model", MODEL, "--data", "digits", "--expect-accuracy", "95%"])
        .assert_refused(&["95%"]);
    basin.run(&["inspect", foreign, "--expect-accuracy", "95%"]).assert_refused(&["does not say its model"]);

    let right = [&named[..], &["--standardize", "0.3:0.05"], &KESKAR].concat();
    let ended = basin.done(&right);
    assert!(!ended.stderr.contains("warning"), "{ended:?}");
    let record = ended.json();
    let loss = format!("{:.4}", field(&record, "evaluation.loss").as_f64().unwrap());
    let accuracy = format!("{:.2}%", 100.0 * field(&record, "evaluation.accuracy").as_f64().unwrap());
    basin.done(&[&right[..], &["--expect-loss", &loss, "--expect-accuracy", &accuracy]].concat());
}

#[test]
fn inputs_other_than_those_noted_are_warned_of() {
    let (basin, checkpoint, _) = standardized();
    let ended = basin.done(&[&["keskar", &checkpoint, "--standardize", "none"][..], &KESKAR].concat());
    assert!(ended.stderr.contains("where the checkpoint notes loss"), "{ended:?}");
    assert!(field(&ended.json(), "inputs.mean").is_null());
    // A part of the samples has another loss, which says nothing.
    let part = basin.done(&[&["keskar", &checkpoint, "--samples", "50"][..], &KESKAR].concat());
    assert!(!part.stderr.contains("warning"), "{part:?}");
    let plain = basin.train("plain", &[]);
    basin
        .run(&["landscape", "line", &checkpoint, &plain, "--points", "3"])
        .assert_refused(&["standardize=0.3:0.05", "as stored"]);
}

#[test]
fn what_cannot_be_done_to_inputs_is_refused() {
    let basin = Basin::trained();
    let checkpoint = "run/checkpoints/last.safetensors";
    for (options, expected) in [
        (&["--standardize", "minst"][..], "minst"),
        (&["--standardize", "cifar10"], "3 channels"),
        (&["--resize", "16"], "needs images"),
        (&["--center-crop", "0"], "not a size"),
        (&["--expect-accuracy", "99"], "not between 0 and 1"),
        (&["--context", "4"], "cuts tokens"),
    ] {
        basin.run(&[&["keskar", checkpoint][..], options].concat()).assert_refused(&[expected]);
    }
}

#[test]
fn folders_of_images_are_trained_on_and_measured() {
    let basin = Basin::new();
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/images");
    let data = format!("images:{}", images.display());
    let ended = basin.done(&["inspect", &data, "--resize", "8", "--center-crop", "8"]);
    assert!(ended.stdout.contains("train: 9 samples of shape [3, 8, 8]"), "{ended:?}");
    let run = ["train", "--data", &data, "--model", "mlp:192-8-3:relu", "--resize", "8", "--center-crop", "8"];
    basin.done(&[&run[..], &["--batch-size", "4", "--epochs", "2", "-q", "--out", "run"]].concat());
    let ended = basin.done(&[&["keskar", "run/checkpoints/last.safetensors"][..], &KESKAR].concat());
    assert_eq!(field(&ended.json(), "inputs.crop"), "8");
    assert!(!ended.stderr.contains("notes loss"), "{ended:?}");
    std::fs::create_dir_all(basin.path("two/a")).unwrap();
    std::fs::copy(images.join("train/b/rgb.png"), basin.path("two/a/1.png")).unwrap();
    basin.write("two/a/2.png", b"\x89PNG\r\n\x1a\n");
    basin.run(&["inspect", "images:two"]).assert_refused(&["two/a/2.png", "not an image"]);
}

#[test]
fn tables_and_tokens_are_trained_on_and_measured() {
    let basin = Basin::new();
    let rows: String = (0..40).map(|i| format!("{},{},{}\n", i % 2, i as f64 / 7.0, i % 2)).collect();
    basin.write("t.csv", format!("a,b,label\n{rows}"));
    let tables =
        ["train", "--data", "csv:t.csv", "--model", "mlp:2-4-2:relu", "--batch-size", "8", "--epochs", "1", "-q"];
    basin.done(&[&tables[..], &["--out", "table"]].concat());
    let ended = basin.done(&[&["keskar", "table/checkpoints/last.safetensors"][..], &KESKAR].concat());
    assert_eq!(field(&ended.json(), "data.spec"), "csv:t.csv");

    basin.write("t.txt", "to be or not to be, that is the question. ".repeat(20));
    let model = "gpt:width=16,depth=1,heads=2";
    let tokens = ["train", "--data", "tokens:t.txt", "--model", model, "--batch-size", "8", "--epochs", "1", "-q"];
    basin.run(&[&tokens[..], &["--out", "text"]].concat()).assert_refused(&["--context"]);
    basin.done(&[&tokens[..], &["--context", "16", "--out", "text"]].concat());
    let ended = basin.done(&[&["keskar", "text/checkpoints/last.safetensors"][..], &KESKAR].concat());
    assert_eq!(field(&ended.json(), "data.spec"), "tokens:t.txt:context=16");
    assert_eq!(field(&ended.json(), "data.samples"), 52);
}
