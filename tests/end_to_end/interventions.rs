//! `basin train --dropout` and `--adversarial`, and the same in a study file.

use crate::basin::{Basin, field, without_time};

#[test]
fn a_run_with_dropout_and_an_adversary_notes_both_and_is_the_same_again() {
    let basin = Basin::new();
    let run = |out: &str, more: &[&str]| {
        let train = ["train", "--model", crate::basin::MODEL, "--samples", "200", "--epochs", "2", "--json", "-q"];
        let record = basin.done(&[&train[..], more, &["--out", out]].concat()).json();
        (without_time(record), basin.read(&format!("{out}/checkpoints/last.safetensors")))
    };
    let changed = ["--dropout", "0.5", "--adversarial", "0.1", "--adversarial-steps", "2"];
    let (record, weights) = run("changed", &changed);
    assert_eq!(field(&record, "result.settings.dropout"), 0.5);
    assert_eq!(field(&record, "result.settings.adversarial.radius"), 0.1);
    assert_eq!(field(&record, "result.settings.adversarial.steps"), 2);
    let losses = |record: &serde_json::Value| {
        [0, 1].map(|epoch| field(record, &format!("result.epochs.{epoch}.train_loss")).as_f64().unwrap())
    };
    let [first, last] = losses(&record);
    assert!(last < first, "{first} to {last}");

    let single = [&changed[..], &["--threads", "1", "--micro-batch", "64"]].concat();
    assert_eq!(run("again", &single).1, weights, "on any number of threads");
    for (out, more) in [("dropout", &changed[..2]), ("adversarial", &changed[2..]), ("plain", &[])] {
        assert_ne!(run(out, more).1, weights, "{out}");
    }
    // Analyses know of neither.
    let checkpoint = "changed/checkpoints/last.safetensors";
    let spectrum = basin.done(&["spectrum", checkpoint, "--top", "1", "--json", "-q"]).json();
    assert!(field(&spectrum, "result.eigenvalues.0.value").as_f64() > Some(0.0));
}

#[test]
fn a_study_file_asks_for_both_and_its_page_says_so() {
    let basin = Basin::new();
    basin.write(
        "study.toml",
        "batch_sizes = [50, 100]\nseeds = 1\nalong = 1\n[training]\nmodel = \"mlp:64-8-10:relu\"\nsamples = 100\n\
         epochs = 1\ndropout = 0.25\n[training.adversarial]\nradius = 0.05\nsteps = 3\n\
         [keskar]\ndraws = 1\ndimension = 5\n",
    );
    basin.run(&["study", "study.toml", "--out", "study", "-q"]);
    let page = basin.text("study/index.html");
    assert!(page.contains("dropout") && page.contains("0.25"), "{page}");
    assert!(page.contains("each number moved by at most 0.05 in 3 steps"), "{page}");
    assert!(basin.text("study/study.toml").contains("dropout = 0.25"));
}
