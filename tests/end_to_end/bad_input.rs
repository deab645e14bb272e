//! Settings that cannot be used: one error, one hint, exit code 2, and nothing written.

use crate::basin::{Basin, Ended, MODEL};

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";

/// Runs each command, which must be refused with these words and change nothing.
pub(crate) fn assert_all_refused(basin: &Basin, commands: &[(&[&str], &[&str])]) {
    let before = basin.files("");
    for (arguments, expected) in commands {
        basin.run(arguments).assert_refused(expected);
        assert_unchanged(basin, &before, arguments);
    }
}

fn assert_unchanged(basin: &Basin, before: &std::collections::BTreeMap<String, Vec<u8>>, arguments: &[&str]) {
    let after = basin.files("");
    let new: Vec<&String> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    assert!(new.is_empty(), "{arguments:?} wrote {new:?}");
    assert!(after == *before, "{arguments:?} changed a file");
}

#[test]
fn of_the_command_line() {
    let basin = Basin::trained();
    assert_all_refused(
        &basin,
        &[
            (&["kesker", CHECKPOINT], &["kesker", "keskar"]),
            (&["keskar"], &["<CKPT>"]),
            (&["keskar", CHECKPOINT, "--epsilonn", "1"], &["--epsilonn", "--epsilon"]),
            (&["keskar", CHECKPOINT, "--subspace", "ful"], &["--subspace", "ful", "full"]),
            (&["keskar", CHECKPOINT, "--columns", "orthonomal"], &["orthonomal", "orthonormal"]),
            (&["spectrum", CHECKPOINT, "--matrix", "hesian"], &["hesian", "hessian"]),
            (&["sharpness"], &["<CKPT>"]),
            (&["sharpness", CHECKPOINT, "--measure", "adaptive-wrost"], &["adaptive-wrost", "adaptive-worst"]),
            (&["sharpness", CHECKPOINT, "--norm", "l3"], &["l3", "l2, linf"]),
            (&["compare", CHECKPOINT, "--measure", "flatness"], &["flatness", "--measure"]),
            (&["keskar", CHECKPOINT, "--split", "tset"], &["tset", "test"]),
            (&["keskar", CHECKPOINT, "--dtype", "f63"], &["f63", "f64"]),
            (&["train", "--optimizer", "sdg", "--out", "o"], &["sdg", "sgd"]),
            (&["train", "--schedule", "cosin", "--out", "o"], &["cosin", "`cosine`"]),
            (&["keskar", CHECKPOINT, "--model", "f7"], &["`f7`", "`f1`"]),
            (&["keskar", CHECKPOINT, "--model", "mlp:64-16-10:rellu"], &["`rellu`", "`relu`"]),
            (&["keskar", CHECKPOINT, "--data", "digts"], &["`digts`", "`digits`"]),
            (&["keskar", CHECKPOINT, "--loss", "cross-entrpy"], &["`cross-entrpy`", "`cross-entropy`"]),
            (&["keskar", CHECKPOINT, "--device", "cud"], &["`cud`", "`cuda`"]),
            (&["keskar", CHECKPOINT, "--device", "metal"], &["`metal`", "known: auto, cpu"]),
            (&["keskar", CHECKPOINT, "--device", "cuda:x"], &["`cuda:x`", "`cuda:0`"]),
            (&["train", "--device", "cuda:", "--out", "o"], &["`cuda:`", "`cuda:0`"]),
        ],
    );
}

#[test]
fn of_numbers() {
    let basin = Basin::trained();
    let keskar = |option: &'static str, value: &'static str| ["keskar", CHECKPOINT, option, value];
    for (option, value, expected) in [
        ("--epsilon", "0", "ε is 0"),
        ("--epsilon", "-1e-3", "ε is -0.001"),
        ("--epsilon", "nan", "ε is NaN"),
        ("--epsilon", "1e-3,inf", "ε is inf"),
        ("--epsilon", ",", "--epsilon"),
        // Counted twice in the mean and its spread before.
        ("--epsilon", "1e-3,5e-4,0.001", "ε 1e-3 is given twice"),
        ("--subspace", "full,manifold,full", "subspace is given twice"),
        ("--draws", "0", "draws"),
        ("--draws", "-1", "--draws"),
        ("--dimension", "0", "columns of A is 0"),
        ("--dimension", "1211", "1210 parameters"),
        ("--iterations", "0", "iterations is 0"),
        ("--samples", "0", "cannot take 0 samples"),
        ("--samples", "1438", "has 1437"),
        ("--samples", "-1", "--samples"),
        ("--micro-batch", "0", "micro-batch"),
        ("--threads", "0", "--threads"),
        ("--threads", "100000", "from 1 to 1024"),
        ("--memory", "0", "not a size"),
        ("--memory", "2 GiBB", "not a size"),
        ("--seed", "-1", "--seed"),
    ] {
        basin.run(&keskar(option, value)).assert_refused(&[expected]);
    }
    assert_all_refused(
        &basin,
        &[
            (&["spectrum", CHECKPOINT, "--top", "0", "--bottom", "0"], &["no eigenvalue", "--top"]),
            (&["spectrum", CHECKPOINT, "--tolerance", "0"], &["tolerance is 0"]),
            (&["spectrum", CHECKPOINT, "--tolerance", "-1"], &["tolerance is -1"]),
            (&["spectrum", CHECKPOINT, "--tolerance", "nan"], &["tolerance is NaN"]),
            (&["sharpness", CHECKPOINT, "--rho", "0"], &["ρ is 0"]),
            (&["sharpness", CHECKPOINT, "--rho", "0.1,-1"], &["ρ is -1"]),
            (&["sharpness", CHECKPOINT, "--rho", "nan"], &["ρ is NaN"]),
            (&["sharpness", CHECKPOINT, "--rho", "inf"], &["ρ is inf"]),
            (&["sharpness", CHECKPOINT, "--iterations", "0"], &["iterations is 0"]),
            (&["sharpness", CHECKPOINT, "--starts", "0"], &["starts is 0"]),
            (&["sharpness", CHECKPOINT, "--draws", "1"], &["draws is 1", "standard error"]),
            (&["sharpness", CHECKPOINT, "--update", "none.safetensors"], &["none.safetensors"]),
            (&["compare", CHECKPOINT, "--rho", "0"], &["ρ is 0"]),
            (&["landscape", "line", CHECKPOINT, CHECKPOINT, "--points", "1"], &["1 points", "at least 2"]),
            (&["landscape", "line", CHECKPOINT, CHECKPOINT, "--points", "99999999999999"], &["points", "at most"]),
            (&["landscape", "line", CHECKPOINT, CHECKPOINT, "--range", "2,-1"], &["from 2 to -1", "ascending"]),
            (&["landscape", "line", CHECKPOINT, CHECKPOINT, "--range", "1"], &["--range", "expected 2"]),
            (&["landscape", "line", CHECKPOINT, CHECKPOINT, "--range", "0,nan"], &["NaN"]),
        ],
    );
}

#[test]
fn of_training() {
    let basin = Basin::new();
    let train = |more: &[&str]| -> Ended {
        let ended = basin.run(&[&["train", "--out", "o"], more].concat());
        assert!(!basin.path("o").exists(), "{more:?} left a directory behind");
        ended
    };
    for (more, expected) in [
        (&["--batch-size", "0"][..], &["batch size is 0"][..]),
        (&["--batch-size", "1438"], &["1438", "1437 samples"]),
        (&["--batch-size", "101", "--samples", "100"], &["101", "100 samples"]),
        (&["--samples", "0"], &["0 samples"]),
        (&["--epochs", "0"], &["epochs is 0"]),
        (&["--augment", "turn"], &["unknown augmentation `turn`"]),
        (&["--augment", "flip"], &["[channels, height, width]", "[64]"]),
        (&["--discard", "1"], &["discarded samples is 1"]),
        (&["--label-noise", "1.5"], &["label noise is 1.5"]),
        (&["--label-noise", "0.1", "--data", "synthetic:teacher", "--model", "mlp:10-4-1"], &["targets are numbers"]),
        (&["--dropout", "half"], &["`half`", "published"]),
        (&["--dropout", "1"], &["rate of dropout is 1"]),
        (&["--dropout", "-0.5"], &["rate of dropout is -0.5"]),
        (
            &["--dropout", "published"],
            &["`mlp:64-128-64-10:relu` has no published dropout", "c1", "a rate such as 0.5"],
        ),
        (&["--dropout", "0.5", "--model", "mlp:64-10"], &["no place for dropout", "f1, f2"]),
        (&["--adversarial", "-0.1"], &["radius of the adversary is -0.1"]),
        (&["--adversarial", "nan"], &["radius of the adversary is NaN"]),
        (&["--adversarial", "0.1", "--adversarial-steps", "0"], &["adversary takes 0 steps"]),
        (&["--adversarial", "0.1", "--model", "gpt", "--data", "synthetic:tokens"], &["are tokens", "--adversarial"]),
        (&["--start", "nowhere.safetensors"], &["nowhere.safetensors"]),
        (&["--observe", "lambda"], &["unknown observable `lambda`"]),
        (&["--observe", "stride", "--observe-every", "0"], &["epochs between observations is 0"]),
        (&["--patience", "0"], &["patience is 0"]),
        (&["--checkpoint-every", "0"], &["between checkpoints is 0"]),
        (&["--learning-rate", "0"], &["learning rate is 0"]),
        (&["--learning-rate", "-0.1"], &["learning rate is -0.1"]),
        (&["--learning-rate", "automatic"], &["`automatic`"]),
        (&["--learning-rate", "auto", "--optimizer", "adam"], &["automatic learning rate", "--optimizer sgd"]),
        (&["--learning-rate", "auto", "--optimizer", "sgd", "--momentum", "0.9"], &["leave out the momentum"]),
        (&["--weight-decay", "nan"], &["weight decay is NaN"]),
        (&["--warmup", "-1"], &["warm-up lasts -1"]),
        (&["--schedule", "step:0:0.1"], &["step:0:0.1"]),
        (&["--momentum", "0.9"], &["momentum", "--optimizer sgd"]),
        (&["--model", "c1"], &["[channels, height, width]"]),
        (&["--model", "mlp:63-8-10"], &["has 64 inputs", "64-8-10"]),
        (&["--model", "mlp:64-0-10"], &["widths"]),
        (&["--model", "mlp:64-8-9"], &["9 outputs", "needs 10"]),
        (&["--loss", "hinge"], &["`hinge`"]),
        (&["--data", "synthetic:teacher", "--model", "mlp:10-4-1", "--loss", "cross-entropy"], &["integer classes"]),
        (&["--data", "synthetic:spiral"], &["`spiral`", "`spirals`"]),
        (&["--data", "synthetic:spirals:sampels=3"], &["`sampels`", "`samples`"]),
        (&["--data", "synthetic:spirals:samples=0"], &["samples"]),
        (&["--device", "cuda"], &["cuda", "--device cpu"]),
        (&["--threads", "0"], &["--threads"]),
    ] {
        train(more).assert_refused(expected);
    }
}

#[cfg(not(feature = "cuda"))]
#[test]
fn of_a_device_that_this_build_cannot_open() {
    let basin = Basin::trained();
    for device in ["cuda", "cuda:3"] {
        basin.run(&["spectrum", CHECKPOINT, "--device", device]).assert_refused(&[
            device,
            "without CUDA",
            "--device cpu",
        ]);
    }
    basin.done(&["spectrum", CHECKPOINT, "--device", "auto"]);
}

#[test]
fn of_a_study_file() {
    let basin = Basin::new();
    for (text, expected) in [
        ("batchsizes = [1]", &["unknown field `batchsizes`", "line 1"][..]),
        ("[training]\nepoch = 3", &["unknown field `epoch`", "line 2"]),
        ("seeds = \"x\"", &["line 1", "string"]),
        ("seeds = -1", &["line 1", "-1"]),
        ("seeds = 0", &["seeds is 0"]),
        ("batch_sizes = []", &["batch sizes"]),
        ("batch_sizes = [16, 16]", &["batch sizes"]),
        ("batch_sizes = [0]", &["batch size is 0"]),
        ("batch_sizes = [2000]", &["2000", "1437 samples"]),
        ("[training]\nmodel = \"f9\"", &["`f9`"]),
        ("[training]\ndata = \"digit\"", &["`digit`", "`digits`"]),
        ("[training]\ndtype = \"f16\"", &["f16"]),
        ("[training]\nepochs = 0", &["epochs is 0"]),
        ("[training]\ndropout = 1.5", &["rate of dropout is 1.5", "line 2"]),
        ("[training]\ndropout = \"half\"", &["expected `none`, `published` or a rate", "line 2"]),
        ("[training.adversarial]\nradius = -1.0", &["radius of the adversary is -1"]),
        ("[training.optimizer]\nname = \"sdg\"", &["sdg", "sgd"]),
        ("[training.schedule]\ndecay = \"cosin\"\nwarmup_epochs = 0", &["cosin"]),
        ("[keskar]\nepsilon = [0.0]", &["ε is 0"]),
        ("[keskar]\ndraws = 0", &["draws"]),
        ("[keskar]\nsubspace = [\"ful\"]", &["ful", "full"]),
        ("[keskar]\ndimension = 100000", &["100000"]),
        ("[spectrum]\ntop = 0\nbottom = 0", &["no eigenvalue"]),
        ("[spectrum]\ntolerance = 0.0", &["tolerance is 0"]),
        ("[line]\npoints = 1", &["points"]),
        ("[line]\nrange = [2.0, 1.0]", &["ascending"]),
        ("= [", &["line 1"]),
    ] {
        basin.write("study.toml", text);
        assert_all_refused(&basin, &[(&["study", "study.toml", "--out", "o"], expected)]);
    }
    basin.write("study.toml", b"\xff\xfe");
    basin.write("directory/x", "");
    assert_all_refused(
        &basin,
        &[
            (&["study", "study.toml", "--out", "o"], &["study.toml", "UTF-8"]),
            (&["study", "none.toml", "--out", "o"], &["none.toml"]),
            (&["study", "directory", "--out", "o"], &["directory"]),
        ],
    );
}

#[test]
fn of_a_place_to_write_to() {
    let basin = Basin::trained();
    basin.write("file", "x\n");
    basin.write("directory/x", "");
    let spectrum = ["spectrum", CHECKPOINT];
    assert_all_refused(
        &basin,
        &[
            (&["train", "--model", MODEL, "--out", "file"], &["file"]),
            (&["train", "--model", MODEL, "--out", "file/run"], &["file/run"]),
            (&["study", "--model", MODEL, "--out", "file"], &["file"]),
            (&[&spectrum[..], &["--out", "directory"]].concat(), &["directory"]),
            (&[&spectrum[..], &["--out", "none/records.jsonl"]].concat(), &["none/records.jsonl"]),
            (&[&spectrum[..], &["--out", "file"]].concat(), &["file", "not a JSON object"]),
            (&[&spectrum[..], &["--eigenvectors", "directory"]].concat(), &["directory"]),
            (&[&spectrum[..], &["--eigenvectors", "none/v"]].concat(), &["none/v"]),
            (&["spectrum", CHECKPOINT, CHECKPOINT, "--eigenvectors", "v"], &["--eigenvectors", "2 checkpoints"]),
        ],
    );
}

/// Regression: an unwritable `--out` was found after the measurement, so that hours of work were lost.
#[test]
fn a_place_to_write_to_is_checked_before_any_work() {
    let basin = Basin::trained();
    for command in ["keskar", "spectrum", "sharpness", "compare"] {
        // The missing checkpoint would be the first fault found while working.
        basin
            .run(&[command, "missing.safetensors", "--out", "none/records.jsonl"])
            .assert_refused(&["none/records.jsonl"]);
        basin.run(&[command, "missing.safetensors", "--out", "records.jsonl"]).assert_refused(&["missing.safetensors"]);
    }
    assert!(!basin.path("records.jsonl").exists());
}
