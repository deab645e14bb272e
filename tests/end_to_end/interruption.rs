//! Kills and interrupts at many moments: the same command goes on, and ends with the same bits.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::basin::{Basin, MODEL, without_time};
use crate::study::SMALL;

/// Long enough to be hit by a kill.
const TRAIN: [&str; 12] =
    ["train", "--model", MODEL, "--batch-size", "8", "--epochs", "12", "--checkpoint-every", "3", "-q", "--out", "run"];

/// What must not depend on kills: checkpoints, byte for byte, and records without times and paths.
pub(crate) fn outcome(basin: &Basin, directory: &str) -> BTreeMap<String, Vec<u8>> {
    let files = basin.files(directory).into_iter();
    let lasting =
        files.filter(|(name, _)| !name.ends_with('/') && !name.starts_with("figures/") && name != "index.html");
    lasting
        .map(|(name, bytes)| match name.ends_with(".json") {
            false => (name, bytes),
            true => {
                let record: Value = serde_json::from_slice(&bytes).unwrap();
                (name, without_time(record).to_string().into_bytes())
            }
        })
        .collect()
}

pub(crate) fn assert_same(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in expected {
        assert!(&found[name] == bytes, "{name} differs");
    }
}

/// Starts the command, lets it work and kills it; whether it was still running.
fn killed(basin: &Basin, arguments: &[&str], moment: impl Fn(&Basin, Duration) -> bool) -> bool {
    let mut command = basin.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while !moment(basin, started.elapsed()) && child.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(2));
    }
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    running
}

#[test]
fn a_killed_run_goes_on_to_the_same_bits() {
    let undisturbed = Basin::new();
    undisturbed.done(&TRAIN);
    let expected = outcome(&undisturbed, "run");

    let basin = Basin::new();
    let mut hits = 0;
    for milliseconds in [20, 40, 60, 80, 100, 130, 160, 200, 250] {
        let moment = |_: &Basin, elapsed: Duration| elapsed >= Duration::from_millis(milliseconds);
        hits += usize::from(killed(&basin, &TRAIN, moment));
    }
    for file in
        ["run/settings.json", "run/history.jsonl", "run/state.safetensors", "run/checkpoints/epoch-00003.safetensors"]
    {
        let basin = Basin::new();
        hits += usize::from(killed(&basin, &TRAIN, |basin, _| basin.path(file).exists()));
        basin.done(&TRAIN);
        assert_same(&outcome(&basin, "run"), &expected);
    }
    assert!(hits >= 4, "only {hits} kills found the run at work");
    basin.done(&TRAIN);
    assert_same(&outcome(&basin, "run"), &expected);
}

#[test]
fn a_killed_study_goes_on_to_the_same_records() {
    let study = ["study", "small.toml", "--out", "study"];
    let undisturbed = Basin::new();
    undisturbed.write("small.toml", SMALL);
    undisturbed.run(&study);
    let expected = outcome(&undisturbed, "study");

    let basin = Basin::new();
    basin.write("small.toml", SMALL);
    for file in [
        "study.toml",
        "runs/b16-s0/history.jsonl",
        "records/training-b16-s0.json",
        "records/keskar-b16-s1-epoch-00002.json",
        "records/spectrum-b100-s0.json",
        "runs/b100-s1/checkpoints/last.safetensors",
        "records/line-b16-s0-b100-s0.json",
        "study.json",
        "figures",
    ] {
        killed(&basin, &study, |basin, _| basin.path("study").join(file).exists());
    }
    let ended = basin.run(&study);
    assert_eq!(ended.stdout, "study/index.html\n", "{ended:?}");
    assert_same(&outcome(&basin, "study"), &expected);
}

#[test]
fn what_a_kill_tore_is_mended() {
    let undisturbed = Basin::new();
    undisturbed.done(&TRAIN);
    let basin = Basin::new();
    killed(&basin, &TRAIN, |basin, _| {
        std::fs::metadata(basin.path("run/history.jsonl")).is_ok_and(|metadata| metadata.len() > 300)
    });
    let mut history = basin.read("run/history.jsonl");
    history.extend_from_slice(br#"{"epoch": 5, "train_lo"#);
    basin.write("run/history.jsonl", history);
    basin.done(&TRAIN);
    assert_same(&outcome(&basin, "run"), &outcome(&undisturbed, "run"));
}

#[test]
fn a_killed_plane_goes_on_to_the_same_bytes() {
    a_killed_grid_goes_on_to_the_same_bytes(&["plane", "--points", "41x31"]);
}

#[test]
fn a_killed_line_goes_on_to_the_same_bytes() {
    let points = ["--points", "1201"];
    let along = ["landscape", "line", "run/checkpoints/last.safetensors", "--along", "random"];
    let between = ["landscape", "line", "run/checkpoints/last.safetensors", "other/checkpoints/last.safetensors"];
    let basin = Basin::trained();
    basin.train("other", &["--seed", "1"]);
    for (name, command) in [("along", &along[..]), ("between", &between)] {
        let file = |name: &str| format!("{name}.jsonl");
        let (whole, kept) = (file(&format!("{name}-undisturbed")), file(name));
        let to = |out: &str| [command, &points, &["--out", out]].concat().into_iter().map(str::to_owned).collect();
        let (undisturbed, resumed): (Vec<String>, Vec<String>) = (to(&whole), to(&kept));
        let [undisturbed, resumed] = [&undisturbed, &resumed].map(|line| line.iter().map(String::as_str).collect());
        let (undisturbed, resumed): (Vec<&str>, Vec<&str>) = (undisturbed, resumed);
        basin.done(&undisturbed);
        let unfinished = format!("{kept}.unfinished");
        let begun = |basin: &Basin| std::fs::metadata(basin.path(&unfinished)).map_or(0, |file| file.len()) > 2000;
        assert!(killed(&basin, &resumed, |basin, _| begun(basin)), "it ended before it was killed");
        assert!(basin.done(&resumed).stderr.contains("points are known"));
        assert!(!basin.path(&unfinished).exists());
        assert_eq!(without_time(basin.json(&kept)), without_time(basin.json(&whole)));
    }
}

#[test]
fn a_killed_ratio_map_goes_on_to_the_same_bytes() {
    a_killed_grid_goes_on_to_the_same_bytes(&["ratio", "--points", "17x9", "--samples", "100"]);
}

fn a_killed_grid_goes_on_to_the_same_bytes(command: &[&str]) {
    let basin = Basin::trained();
    let asked = [&["landscape", command[0], "run/checkpoints/last.safetensors"], &command[1..]].concat();
    basin.done(&[&asked[..], &["-q", "--out", "undisturbed.json"]].concat());
    let resumed = [&asked[..], &["--out", "grid.json"]].concat();
    let count = |basin: &Basin| {
        let bytes = std::fs::read(basin.path("grid.json.unfinished")).unwrap_or_default();
        bytes.iter().filter(|&&byte| byte == b'\n').count()
    };
    assert!(killed(&basin, &resumed, |basin, _| count(basin) > 5), "it ended before it was killed");
    // A kill may tear the last line.
    let mut torn = basin.read("grid.json.unfinished");
    torn.extend_from_slice(br#"{"points":[{"column": 5, "ro"#);
    basin.write("grid.json.unfinished", torn);
    basin.run(&[&resumed[..], &["--seed", "3"]].concat()).assert_refused(&["points of something else", "give another"]);
    let ended = basin.done(&resumed);
    assert!(ended.stderr.contains("points are known"), "{ended:?}");
    for kept in ["grid.json.unfinished", "grid.json.unfinished.0.safetensors", "grid.json.unfinished.1.safetensors"] {
        assert!(!basin.path(kept).exists(), "{kept}");
    }
    for ending in ["csv", "npz"] {
        assert!(basin.read(&format!("grid.{ending}")) == basin.read(&format!("undisturbed.{ending}")), "{ending}");
    }
    assert_eq!(without_time(basin.json("grid.json")), without_time(basin.json("undisturbed.json")));
}

#[test]
fn killed_batches_are_not_measured_again() {
    let basin = Basin::trained();
    let measure = ["batch-hessian", "run/checkpoints/last.safetensors", "--samples", "64", "--batch-sizes", "4,8"];
    let measure = [&measure[..], &["--draws", "150"]].concat();
    let lines = |basin: &Basin| std::fs::read(basin.path("batches.jsonl.unfinished")).unwrap_or_default();
    let count = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count();
    let resumed = [&measure[..], &["--out", "batches.jsonl"]].concat();
    assert!(killed(&basin, &resumed, |basin, _| count(&lines(basin)) > 20), "it ended before it was killed");
    let other = [&resumed[..], &["--seed", "3"]].concat();
    basin.run(&other).assert_refused(&["holds batches of another measurement", "give another `--out`"]);
    let ended = basin.done(&resumed);
    assert!(ended.stderr.contains("batches are known"), "{ended:?}");
    assert!(lines(&basin).is_empty());
    let found: Value = serde_json::from_slice(&basin.read("batches.jsonl")).unwrap();
    let undisturbed = basin.done(&[&measure[..], &["--json", "-q"]].concat()).json();
    assert_eq!(found["result"], undisturbed["result"]);
    assert_eq!(found["products"], undisturbed["products"]);
}

#[test]
fn another_run_in_the_same_directory_is_refused() {
    let basin = Basin::new();
    basin.done(&TRAIN);
    let before = basin.files("run");
    let mut other = TRAIN.to_vec();
    other.extend(["--seed", "7"]);
    basin.run(&other).assert_refused(&["`run` holds a run with other settings", "seed is 0 there and 7 now"]);
    assert_eq!(before, basin.files("run"));
}

/// Ctrl-C as a shell sends it.
#[cfg(unix)]
pub(crate) fn interrupted(basin: &Basin, arguments: &[&str], ready: impl Fn(&Basin) -> bool) -> crate::basin::Ended {
    let mut command = basin.command(arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !ready(basin) && child.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(1));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    crate::basin::Ended::of(&output, &command)
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_says_how_to_go_on_and_does() {
    let undisturbed = Basin::new();
    undisturbed.done(&TRAIN);
    let basin = Basin::new();
    let ended = interrupted(&basin, &TRAIN, |basin| basin.path("run/history.jsonl").exists());
    assert_eq!(ended.code, 130, "{ended:?}");
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.starts_with("error: interrupted\nhint: run the same command again"), "{ended:?}");
    assert!(basin.path("run/state.safetensors").exists());
    basin.done(&TRAIN);
    assert_same(&outcome(&basin, "run"), &outcome(&undisturbed, "run"));
}

#[cfg(unix)]
#[test]
fn an_interrupted_study_keeps_its_records() {
    let basin = Basin::new();
    basin.write("small.toml", SMALL);
    let study = ["study", "small.toml", "-q", "--out", "study"];
    let ended = interrupted(&basin, &study, |basin| basin.path("study/records/training-b16-s0.json").exists());
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(ended.stderr.contains("error: interrupted\nhint: run the same command again"), "{ended:?}");
    let kept = basin.read("study/records/training-b16-s0.json");
    assert!(matches!(basin.run(&study).code, 0 | 3));
    assert_eq!(basin.read("study/records/training-b16-s0.json"), kept);
}
