//! `basin sharpness` and what `basin compare` makes of it.

use serde_json::Value;

use crate::basin::{Basin, SHORT, field};

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";
/// What keeps worst cases short, yet long enough for them to come to their end.
const QUICK: [&str; 4] = ["--starts", "2", "--draws", "4"];

fn measures(record: &Value) -> Vec<&str> {
    record["result"].as_array().unwrap().iter().map(|found| found["measure"].as_str().unwrap()).collect()
}

#[test]
fn all_measures_carry_what_says_how_far_to_trust_them() {
    let basin = Basin::trained();
    let ended = basin.run(&[&["sharpness", CHECKPOINT, "--json", "--dtype", "f64"][..], &QUICK].concat());
    let record = ended.json();
    assert_eq!(record["kind"], "sharpness");
    let expected = [
        "worst-l2",
        "worst-linf",
        "adaptive-worst-l2",
        "adaptive-worst-linf",
        "average-l2",
        "average-linf",
        "adaptive-average-l2",
        "adaptive-average-linf",
        "sam",
        "asam",
        "gradient-norm",
        "fisher-rao",
        "empirical-fisher-rao",
        "relative-flatness",
        "relative-flatness",
        "pac-bayes",
        "adaptive-pac-bayes",
        "critical",
        "lambda_max",
        "trace",
        "frobenius",
    ];
    assert_eq!(measures(&record), expected);
    let mut converged = true;
    for found in record["result"].as_array().unwrap() {
        let name = found["measure"].as_str().unwrap();
        assert!(found["value"].as_f64().unwrap() > 0.0, "{found}");
        assert_eq!(found["rho"].is_number(), found["norm"].is_string(), "{found}");
        let exact = found["reason"] == "the closed form of softmax cross-entropy";
        let drawn = ["average", "flatness", "pac-bayes"].iter().any(|part| name.contains(part)) && !exact;
        let estimated = drawn || ["trace", "frobenius"].contains(&name);
        assert_eq!((found["stderr"].is_number(), found["draws"].is_number()), (estimated, drawn), "{found}");
        assert_eq!(exact, found["layer"] == "fc2.weight", "{found}");
        let worst = name.contains("worst");
        assert_eq!((found["lower_bound"] == true, found["starts"].is_number()), (worst, worst), "{found}");
        let invariant = ["asam", "fisher", "relative", "adaptive-worst", "adaptive-average"];
        assert_eq!(found["invariant"], invariant.iter().any(|part| name.contains(part)), "{found}");
        converged &= found["converged"] == true;
    }
    assert_eq!(ended.code, if converged { 0 } else { 3 }, "{ended:?}");
    assert!(record["products"].as_u64().unwrap() > 6 && record["gradient_equivalents"].as_f64().unwrap() > 100.0);
}

#[test]
fn radii_and_norms_are_those_asked_for_and_nothing_is_measured_twice() {
    let basin = Basin::trained();
    let command = ["sharpness", CHECKPOINT, "--measure", "sam,average,sam", "--norm", "linf", "--rho", "0.1,0.2"];
    let record = basin.done(&[&command[..], &["--json"], &QUICK].concat()).json();
    assert_eq!(measures(&record), ["sam", "sam", "average-linf", "average-linf"]);
    let radii: Vec<f64> = (0..4).map(|i| field(&record, &format!("result.{i}.rho")).as_f64().unwrap()).collect();
    assert_eq!(radii, [0.1, 0.2, 0.1, 0.2]);
    let table = basin.done(&[&command[..], &QUICK].concat()).stdout;
    for part in ["average-linf, rho 0.2", "standard error", "invariant", "converged", "1437 samples"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let seed = |seed| {
        let command = ["sharpness", CHECKPOINT, "--measure", "average", "--draws", "4", "--json", "--seed", seed];
        field(&basin.done(&command).json(), "result.0.value").as_f64().unwrap()
    };
    assert!(seed("0") == seed("0") && seed("0") != seed("1"));
}

#[test]
fn values_stand_beside_those_in_f64_and_on_subsets() {
    let basin = Basin::trained();
    let command = ["sharpness", CHECKPOINT, "--measure", "gradient-norm,sam", "--verify", "--subsets", "3"];
    let record = basin.done(&[&command[..], &["--json"]].concat()).json();
    for found in record["result"].as_array().unwrap() {
        let (value, exact) = (found["value"].as_f64().unwrap(), found["value_f64"].as_f64().unwrap());
        assert!((value / exact - 1.0).abs() < 1e-3, "{found}");
        let subsets = &found["subsets"];
        assert_eq!((subsets["samples"].as_u64(), subsets["values"].as_array().unwrap().len()), (Some(479), 3));
        assert!(subsets["std"].as_f64().unwrap() > 0.0, "{found}");
    }
    let ended = basin.done(&command);
    assert!(ended.stdout.contains("in f64") && ended.stdout.contains("of 479 samples"), "{ended:?}");
    assert!(ended.stderr.contains("cost: a gradient takes about"), "{ended:?}");
    let ended = basin.run(&["sharpness", CHECKPOINT, "--subsets", "1"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}

#[test]
fn normalized_logits_are_another_loss_and_the_record_says_so() {
    let basin = Basin::trained();
    let command = ["sharpness", CHECKPOINT, "--measure", "gradient-norm,lambda_max", "--json"];
    let plain = basin.done(&command).json();
    let normalized = basin.done(&[&command[..], &["--normalize-logits"]].concat()).json();
    for i in 0..2 {
        let [plain, normalized] = [&plain, &normalized].map(|record| record["result"][i].clone());
        assert_eq!((plain["normalized_logits"].is_null(), &normalized["normalized_logits"]), (true, &true.into()));
        assert!(plain["value"] != normalized["value"]);
    }
}

#[test]
fn the_largest_eigenvalue_is_that_of_the_spectrum() {
    let basin = Basin::trained();
    let record = basin.done(&["sharpness", CHECKPOINT, "--measure", "lambda_max", "--json"]).json();
    let spectrum = basin.done(&["spectrum", CHECKPOINT, "--json"]).json();
    let of = |record: &Value, path: &str| field(record, path).as_f64().unwrap();
    let (a, b) = (of(&record, "result.0.value"), of(&spectrum, "result.eigenvalues.0.value"));
    assert!((a - b).abs() < 1e-4 * b, "{a} {b}");
    // The worst case of a small ball cannot fall below the step along the gradient.
    let command = ["sharpness", CHECKPOINT, "--measure", "sam,worst", "--norm", "l2", "--rho", "0.01", "--json"];
    let record = basin.run(&command).json();
    assert!(of(&record, "result.1.value") >= of(&record, "result.0.value") * (1.0 - 1e-4), "{record}");
}

#[test]
fn a_search_cut_short_is_exit_code_3_with_the_reason() {
    let basin = Basin::trained();
    let ended = basin.run(&["sharpness", CHECKPOINT, "--measure", "worst", "--norm", "l2", "--iterations", "1"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("hint: worst-l2, rho 0.05: the best start still rose"), "{ended:?}");
    assert!(ended.stdout.contains("≥ "), "{ended:?}");
}

#[test]
fn critical_sharpness_along_an_update_needs_a_checkpoint_of_the_same_model() {
    let basin = Basin::trained();
    basin.train("on", &["--seed", "1"]);
    let command = ["sharpness", CHECKPOINT, "--measure", "critical", "--json", "--update"];
    let ended = basin.run(&[&command[..], &["on/checkpoints/last.safetensors"]].concat());
    assert!(matches!(ended.code, 0 | 3), "{ended:?}");
    assert_eq!(measures(&ended.json()), ["critical", "critical-update"]);
    let itself = basin.run(&[&command[..], &[CHECKPOINT]].concat());
    assert_eq!((itself.code, &itself.json()["result"][1]["value"]), (3, &Value::from("NaN")));
    basin.done(&["train", "--model", "mlp:64-8-10:relu", "--epochs", "1", "-q", "--out", "small"]);
    basin.run(&[&command[..], &["small/checkpoints/last.safetensors"]].concat()).assert_refused(&[
        "a mlp:64-8-10:relu",
        "a mlp:64-16-10:relu",
        "the same model",
    ]);
}

#[test]
fn without_classes_there_is_no_accuracy_to_drop() {
    let basin = Basin::new();
    let data = "synthetic:teacher:samples=50,features=4";
    basin.done(&[
        "train",
        "--data",
        data,
        "--model",
        "mlp:4-4-1:tanh",
        "--batch-size",
        "10",
        "--epochs",
        "1",
        "-q",
        "--out",
        "run",
    ]);
    let record = basin.run(&[&["sharpness", CHECKPOINT, "--json"][..], &QUICK].concat()).json();
    assert!(!measures(&record).iter().any(|measure| measure.contains("pac-bayes")));
    basin.run(&["sharpness", CHECKPOINT, "--measure", "pac-bayes"]).assert_refused(&["accuracy", "pac-bayes"]);
}

#[test]
fn three_minima_are_ranked_against_their_generalization_gap() {
    let basin = Basin::trained();
    let other = [basin.train("b", &["--seed", "1"]), basin.train("c", &["--seed", "2", "--batch-size", "16"])];
    let command =
        ["compare", CHECKPOINT, &other[0], &other[1], "--measure", "adaptive-average,fisher-rao", "--norm", "l2"];
    let ended = basin.run(&[&command[..], &["--json"], &SHORT].concat());
    let record = ended.json();
    let result = &record["result"];
    let columns = result["columns"].as_array().unwrap();
    let scale = |name: &str| columns.iter().find(|column| column["name"] == name).map(|c| c["scale"].clone()).unwrap();
    assert_eq!(scale("adaptive-average-l2, rho 0.1"), "scale-invariant");
    assert_eq!(scale("fisher-rao"), "scale-invariant");
    assert_eq!(scale("lambda_max"), "scale-dependent");
    assert_eq!(field(result, "rows.2.sharpness").as_array().unwrap().len(), 2);
    let correlations = result["correlations"].as_array().unwrap();
    let of = |name: &str| correlations.iter().find(|found| found["measure"] == name).unwrap();
    for name in ["fisher-rao", "lambda_max", "keskar, epsilon 0.001, full"] {
        let found = of(name);
        // Three minima have the τ-b of a permutation or, where gaps are tied, of less; none can be surer than 1/3.
        assert!(found["p_value"].as_f64().unwrap() >= 1.0 / 3.0 && found["exact"] == true, "{found}");
        assert!(found["tau"].as_f64().unwrap().abs() <= 1.0 && found["stderr"].is_null(), "{found}");
    }
    let names: Vec<&Value> = correlations.iter().map(|found| &found["measure"]).collect();
    let distinct: std::collections::BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), distinct.len(), "{names:?}");
    let table = basin.run(&[&command[..], &SHORT].concat()).stdout;
    for part in ["fisher-rao", "λ max of the Hessian *", "Kendall's τ-b", "share of all permutations"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    // A place without an ending gets the record and its page, in which other records that lie there are drawn too.
    let made = basin.run(&[&command[..], &["--out", "report"], &SHORT].concat());
    assert!(made.stderr.contains("report: report/index.html") && made.stdout.contains("fisher-rao"), "{}", made.stderr);
    assert_eq!(basin.json("report/comparison.json")["result"]["rows"], result["rows"]);
    let page = basin.text("report/index.html");
    for part in ["3 minima: run, b and c", "the flattest", "id=\"flattest\"", "measures-scale-invariant.pdf"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(basin.text("report/figures/flattest.csv").contains("fisher-rao,scale-invariant,"));
    basin.done(&["keskar", CHECKPOINT, "--draws", "1", "--dimension", "2", "-q", "--out", "report/keskar.jsonl"]);
    basin.done(&["report", "report"]);
    assert!(basin.text("report/index.html").contains("keskar.jsonl"));
    basin
        .run(&[&command[..], &["--out", "run/checkpoints/last.safetensors/x"]].concat())
        .assert_refused(&["directory"]);
    basin.run(&["compare", CHECKPOINT, "absent.safetensors", "--out", "nothing"]).assert_refused(&["absent"]);
    assert!(!basin.path("nothing").exists());
    basin.run(&[&command[..], &["--out", "record.jsonl"], &SHORT].concat());
    assert!(basin.text("record.jsonl").ends_with("}\n") && !basin.path("record.jsonl/index.html").exists());
    let two =
        basin.run(&[&["compare", CHECKPOINT, CHECKPOINT, "--measure", "fisher-rao", "--json"][..], &SHORT].concat());
    assert!(two.json()["result"]["correlations"].is_null());
}
