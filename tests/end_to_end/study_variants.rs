//! `basin study` with variants, sweeps and warm starts, several runs at a time and in parts.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::basin::{Basin, field};
use crate::interruption::{assert_same, outcome};

const TRAINING: &str = r#"
seeds = 2
along = 0

[training]
model = "mlp:64-8-10:relu"
samples = 60
epochs = 3

[keskar]
epsilon = [1e-3]
subspace = ["full"]
iterations = 3

[line]
points = 3
"#;

const VARIANTS: &str = r#"
[[variants]]
name = "plain"

[[variants]]
name = "30 % discarded"
training.discard = { share = 0.3 }
training.optimizer = { name = "sgd", learning_rate = 0.05 }
"#;

fn study_file(head: &str, tail: &str) -> String {
    format!("{head}\n{TRAINING}\n{tail}")
}

/// Runs a study in the directory `study`; some eigenvalue may not converge.
fn run(basin: &Basin, text: &str, more: &[&str]) {
    basin.write("study.toml", text);
    let ended = basin.run(&[&["study", "study.toml", "--out", "study", "-q"], more].concat());
    assert!([0, 3].contains(&ended.code), "{ended:?}");
    assert_eq!(ended.stdout, "study/index.html\n", "{ended:?}");
}

fn strings(values: &Value, path: &str) -> Vec<String> {
    let values = values.as_array().unwrap().iter();
    values.map(|value| field(value, path).as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn variants_are_trained_as_they_say_and_told_apart() {
    let basin = Basin::new();
    run(&basin, &study_file("batch_sizes = [10, 20]\npublished = [\"They found so.\"]", VARIANTS), &[]);

    let study = basin.json("study/study.json");
    let study = &study["result"];
    assert_eq!(strings(&study["variants"], "name"), ["plain", "30 % discarded"]);
    let settings = &study["variants"][1]["settings"];
    assert_eq!(strings(settings, "name"), ["optimizer", "discarded"]);
    assert!(strings(settings, "value")[0].starts_with("sgd, learning rate 0.05"), "{settings}");
    assert_eq!(strings(settings, "value")[1], "the share 0.3 of each batch");
    let held_equal = strings(&study["held_equal"], "name");
    assert!(held_equal.contains(&"model".into()) && !held_equal.contains(&"optimizer".into()), "{held_equal:?}");
    assert_eq!(study["runs"].as_array().unwrap().len(), 8);

    let name = "30-discarded-b20-s1";
    for kind in ["training", "keskar", "spectrum"] {
        let record = basin.json(&format!("study/records/{kind}-{name}.json"));
        assert_eq!(record["variant"], "30 % discarded", "{kind}");
    }
    let trained = basin.json(&format!("study/records/training-{name}.json"));
    assert_eq!(field(&trained, "result.settings.optimizer"), "sgd");
    assert_eq!(field(&trained, "result.settings.discard.share"), 0.3);
    let compared = basin.json("study/records/comparison.json");
    let named = strings(field(&compared, "result.rows"), "variant");
    assert_eq!(named, [vec!["plain"; 4], vec!["30 % discarded"; 4]].concat());
    let page = basin.text("study/index.html");
    for text in ["plain", "30 % discarded", "They found so."] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn a_sweep_sets_each_value_and_the_same_study_again_does_nothing() {
    let basin = Basin::new();
    let text = study_file("batch_sizes = [20]", "[sweep]\nsetting = \"discard.share\"\nvalues = [0, 0.5]");
    run(&basin, &text, &[]);
    let study = basin.json("study/study.json");
    assert_eq!(field(&study, "result.swept"), "discard.share");
    let share = |name: &str| {
        let record = basin.json(&format!("study/records/training-discard.share-{name}-b20-s0.json"));
        field(&record, "result.settings.discard.share").as_f64().unwrap()
    };
    assert_eq!([share("0"), share("0.5")], [0.0, 0.5]);
    let before = outcome(&basin, "study/records");
    run(&basin, &text, &[]);
    assert_same(&outcome(&basin, "study/records"), &before);
}

#[test]
fn warm_starts_are_runs_from_the_checkpoints_of_the_other_batch_size() {
    let basin = Basin::new();
    let warm_start = "[warm_start]\nbatch_size = 6\nepochs = [0, 2]";
    run(&basin, &study_file("batch_sizes = [30]", warm_start), &[]);
    assert_eq!(field(&basin.json("study/study.json"), "result.swept"), "epochs at batch size 6 before");
    let last = |run: &str| basin.read(&format!("{run}/checkpoints/last.safetensors"));
    let train = |out: &str, more: &[&str]| {
        let settings = ["--model", "mlp:64-8-10:relu", "--samples", "60", "--epochs", "3", "--batch-size", "30"];
        basin.done(&[&["train", "-q", "--seed", "1", "--out", out], &settings[..], more].concat());
    };
    let start = "study/runs/b6-s1/checkpoints/epoch-00002.safetensors";
    train("warm", &["--start", start, "--data", "digits"]);
    assert!(last("warm") == last("study/runs/after-2-epochs-b30-s1"));
    train("cold", &[]);
    assert!(last("cold") == last("study/runs/after-0-epochs-b30-s1"));
    // What only gives the weights is trained, not compared.
    assert!(basin.path("study/records/training-b6-s1.json").exists());
    let compared = basin.json("study/records/comparison.json");
    let batch_sizes = field(&compared, "result.rows").as_array().unwrap().iter().map(|row| row["batch_size"].clone());
    assert_eq!(batch_sizes.collect::<Vec<_>>(), [30, 30, 30, 30]);
}

#[test]
fn runs_whose_start_diverged_are_left_out() {
    let basin = Basin::new();
    let diverging =
        "[training.optimizer]\nname = \"sgd\"\nlearning_rate = 1e37\n[warm_start]\nbatch_size = 6\nepochs = [0, 2]";
    basin.write("study.toml", study_file("batch_sizes = [30]", diverging));
    let ended = basin.run(&["study", "study.toml", "--out", "study", "-q"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (3, "study/index.html\n"), "{ended:?}");
    for told in ["run b6-s0 diverged", "run after-2-epochs-b30-s0 is left out: there are no weights"] {
        assert!(ended.stderr.contains(told), "{ended:?}");
    }
}

/// Copies what lies in one directory over another.
fn copy_over(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_over(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn parts_of_a_study_on_any_number_of_threads_make_the_same_whole() {
    let text = study_file("batch_sizes = [10, 20]", VARIANTS);
    let whole = Basin::new();
    run(&whole, &text, &["--threads", "1"]);

    let parts = [Basin::new(), Basin::new(), Basin::new()];
    for (part, basin) in parts.iter().enumerate() {
        run(basin, &text, &["--threads", "3", "--shard", &format!("{}/3", part + 1)]);
        let runs = fs::read_dir(basin.path("study/runs")).unwrap().count();
        assert!((2..=3).contains(&runs), "{runs} runs");
        assert!(!basin.path("study/records/comparison.json").exists());
    }
    let [merged, others @ ..] = &parts;
    others.iter().for_each(|part| copy_over(&part.path("study"), &merged.path("study")));
    let drawn = merged.done(&["report", "study"]);
    assert!(drawn.stdout.starts_with("study/index.html\n"), "{drawn:?}");
    let numbers = merged.text("study/figures/accuracy-curves.csv");
    assert_eq!(numbers.lines().count(), 1 + 8 * 3, "each epoch of all runs: {numbers}");
    run(merged, &text, &[]);
    assert_same(&outcome(merged, "study"), &outcome(&whole, "study"));
}

#[test]
fn what_is_no_study_of_variants_is_refused() {
    for (tail, expected) in [
        ("[sweep]\nsetting = \"discard.shares\"\nvalues = [0]", "discard.shares = 0"),
        ("[sweep]\nsetting = \"discard.share\"\nvalues = [1.5]", "the share of discarded samples is 1.5"),
        ("[warm_start]\nbatch_size = 100\nepochs = [1]", "the batch size is 100"),
        ("[warm_start]\nbatch_size = 6\nepochs = []", "the list of epochs is empty"),
        ("[[variants]]\nname = \"a\"\n[[variants]]\nname = \"A\"", "two variants are named `A`"),
    ] {
        let basin = Basin::new();
        basin.write("study.toml", study_file("batch_sizes = [20]", tail));
        basin.run(&["study", "study.toml", "--out", "study"]).assert_refused(&[expected]);
        assert!(!basin.path("study").exists(), "nothing is written");
    }
    let basin = Basin::new();
    basin.run(&["study", "--shard", "3/2"]).assert_refused(&["`3/2` is no part of a whole"]);
}
