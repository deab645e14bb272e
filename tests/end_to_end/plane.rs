//! `basin landscape plane`: what it finds, its parts and files, and what it refuses.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::bad_input::assert_all_refused;
use crate::basin::{Basin, field, without_time};

const CHECKPOINT: &str = "run/checkpoints/last.safetensors";
const OTHER: &str = "other/checkpoints/last.safetensors";

/// A plane with these options, on a small grid where they do not say which.
fn asked<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let points: &[&str] = if more.contains(&"--points") { &[] } else { &["--points", "5x4"] };
    [&["landscape", "plane", CHECKPOINT], points, more].concat()
}

fn number(record: &Value, path: &str) -> f64 {
    field(record, path).as_f64().unwrap_or_else(|| panic!("{path}: {}", field(record, path)))
}

fn rows(record: &Value, name: &str) -> Vec<Vec<f64>> {
    let value = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
    let rows = field(record, &format!("result.{name}")).as_array().unwrap().iter();
    rows.map(|row| row.as_array().unwrap().iter().map(value).collect()).collect()
}

/// The record of a plane with more options.
fn plane(basin: &Basin, more: &[&str]) -> Value {
    basin.done(&[&asked(more)[..], &["--json", "-q"]].concat()).json()
}

#[test]
fn a_plane_through_a_checkpoint() {
    let basin = Basin::trained();
    let record = plane(&basin, &["--points", "5x3", "--range=-2,2", "--y-range=-0.5,0.5"]);
    assert_eq!(field(&record, "kind"), "surface");
    assert_eq!(field(&record, "result.x.coordinates"), &serde_json::json!([-2.0, -1.0, 0.0, 1.0, 2.0]));
    assert_eq!(field(&record, "result.y.coordinates"), &serde_json::json!([-0.5, 0.0, 0.5]));
    for name in ["train_loss", "train_accuracy", "test_loss", "test_accuracy"] {
        let rows = rows(&record, name);
        assert_eq!((rows.len(), rows.iter().map(Vec::len).collect::<Vec<_>>()), (3, vec![5; 3]), "{name}");
    }
    // The origin is the checkpoint itself, to the last bit.
    let compared = basin.done(&["compare", CHECKPOINT, "--measure", "gradient-norm", "--json", "-q"]).json();
    for (name, column) in [
        ("train_loss", "loss"),
        ("train_accuracy", "train_accuracy"),
        ("test_loss", "test_loss"),
        ("test_accuracy", "test_accuracy"),
    ] {
        assert_eq!(rows(&record, name)[1][2], number(&compared, &format!("result.rows.0.{column}")), "{name}");
    }
    assert_eq!(field(&record, "result.normalization"), "filter");
    assert_eq!(field(&record, "result.ignored"), &serde_json::json!(["fc1.bias", "fc2.bias"]));
    assert!(number(&record, "result.cosine").abs() < 0.1);
    assert_eq!(number(&record, "result.not_finite"), 0.0);
    assert_eq!(number(&record, "result.marks.0.x"), 0.0);
    let text = basin.done(&asked(&["--points", "5", "-q"])).stdout;
    for part in ["5 × 5 points", "curvature", "normalisation filter", "at the origin", "test accuracy"] {
        assert!(text.contains(part), "`{part}` is missing: {text}");
    }
}

#[test]
fn the_curvature_of_the_product_is_that_of_the_surface() {
    let basin = Basin::new();
    // Smooth, unlike one of rectifiers, whose kinks a difference sees and a derivative does not.
    basin.done(&["train", "--model", "mlp:64-16-10:tanh", "--epochs", "2", "-q", "--out", "run"]);
    let record = plane(&basin, &["--points", "3", "--range=-1e-3,1e-3", "--dtype", "f64"]);
    for axis in ["x", "y"] {
        let product = number(&record, &format!("result.{axis}.curvature"));
        let difference = number(&record, &format!("result.{axis}.curvature_difference"));
        assert!((product - difference).abs() < 1e-4 * product.abs(), "{axis}: {product} and {difference}");
    }
    // A grid without the origin has no such neighbours.
    let record = plane(&basin, &["--range=0.5,1"]);
    assert!(field(&record, "result.x.curvature_difference").is_null());
    assert!(number(&record, "result.x.curvature").is_finite());
}

#[test]
fn eigenvectors_have_the_curvature_of_their_eigenvalues() {
    let basin = Basin::trained();
    let options = ["--samples", "100", "--dtype", "f64"];
    let axes = ["--x", "eigenvector:1", "--y", "eigenvector:-1"];
    let record = plane(&basin, &[&options[..], &axes].concat());
    let spectrum = basin.done(&[&["spectrum", CHECKPOINT, "--json", "-q"][..], &options].concat()).json();
    for (axis, eigenvalue) in [("x", "0"), ("y", "1")] {
        let expected = number(&spectrum, &format!("result.eigenvalues.{eigenvalue}.value"));
        for found in ["curvature", "eigenvalue.value"] {
            let found = number(&record, &format!("result.{axis}.{found}"));
            assert!((found - expected).abs() < 1e-3 * expected.abs(), "{axis}: {found} for {expected}");
        }
        assert!((number(&record, &format!("result.{axis}.norm")) - 1.0).abs() < 1e-9);
        assert_eq!(field(&record, &format!("result.{axis}.normalized")), false);
    }
    assert!(number(&record, "result.cosine").abs() < 1e-9);
    assert!(number(&record, "products") > 2.0);
}

#[test]
fn a_plane_through_three_checkpoints_goes_through_them() {
    let basin = Basin::trained();
    basin.train("other", &["--seed", "1"]);
    basin.train("third", &["--seed", "2"]);
    let third = "third/checkpoints/last.safetensors";
    let through = ["--towards", OTHER, "--towards", third, "--dtype", "f64", "--points", "3", "--range=0,2"];
    let record = plane(&basin, &through);
    assert!(number(&record, "result.cosine").abs() < 1e-12);
    let mark = |index: usize, name: &str| number(&record, &format!("result.marks.{index}.{name}"));
    for (index, coordinate, expected) in [(1, "x", 1.0), (1, "y", 0.0), (2, "y", 1.0)] {
        assert!((mark(index, coordinate) - expected).abs() < 1e-9, "{index} {coordinate}");
    }
    assert!((0..3).all(|index| mark(index, "distance") < 1e-9));
    assert_eq!(field(&record, "result.normalization"), "none");
    let compared =
        basin.done(&["compare", OTHER, third, "--measure", "gradient-norm", "--dtype", "f64", "--json", "-q"]).json();
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * b;
    let loss_of = |row: usize| number(&compared, &format!("result.rows.{row}.loss"));
    assert!(close(rows(&record, "train_loss")[0][1], loss_of(0)));
    // The third is a point of a grid that is laid so.
    let x = mark(2, "x");
    let range = format!("--x-range={},{}", x - 1.0, x + 1.0);
    let record = plane(&basin, &[&through[..], &[&range]].concat());
    assert!(close(rows(&record, "train_loss")[1][1], loss_of(1)), "{record}");
}

#[test]
fn directions_that_were_saved_give_the_same_plane() {
    let basin = Basin::trained();
    let saved = plane(&basin, &["--seed", "7", "--dtype", "f64", "--save-directions", "d.safetensors"]);
    assert_eq!(field(&saved, "result.directions"), "d.safetensors");
    let read =
        |more: &[&str]| plane(&basin, &[&["--dtype", "f64", "--directions", "d.safetensors"][..], more].concat());
    assert_eq!(rows(&read(&["--normalize", "none"]), "train_loss"), rows(&saved, "train_loss"));
    // One by one, as any file's.
    let axes = ["--x", "d.safetensors:x", "--y", "d.safetensors:y", "--normalize", "none", "--dtype", "f64"];
    assert_eq!(rows(&plane(&basin, &axes), "train_loss"), rows(&saved, "train_loss"));
    // Normalised anew they are what they were, and those of another checkpoint are scaled to it.
    let close = |a: &Value, b: &Value| (number(a, "result.x.norm") - number(b, "result.x.norm")).abs() < 1e-9;
    assert!(close(&read(&[]), &saved));
    basin.train("other", &["--seed", "1"]);
    let elsewhere = |more: &[&str]| {
        let other = ["landscape", "plane", OTHER, "--points", "2", "--dtype", "f64", "--json", "-q"];
        basin.done(&[&other[..], &["--normalize", "filter"], more].concat()).json()
    };
    assert!(close(&elsewhere(&["--directions", "d.safetensors"]), &elsewhere(&["--seed", "7"])));
    assert!(!close(&elsewhere(&["--seed", "7"]), &saved));
}

#[test]
fn biases_are_kept_where_asked() {
    let basin = Basin::trained();
    let (ignored, kept) = (plane(&basin, &[]), plane(&basin, &["--biases", "kept"]));
    assert!(field(&kept, "result.ignored").is_null());
    assert!(number(&kept, "result.x.norm") > number(&ignored, "result.x.norm"));
    // Without normalisation the elements are those drawn, 1024 + 160 weights and 16 + 10 biases.
    let squared =
        |more: &[&str]| number(&plane(&basin, &[&["--normalize", "none"], more].concat()), "result.x.norm").powi(2);
    let (weights, all) = (squared(&[]), squared(&["--biases", "kept"]));
    assert!((weights / 1184.0 - 1.0).abs() < 0.2 && (1.0..100.0).contains(&(all - weights)), "{weights} and {all}");
}

#[test]
fn a_surface_of_numbers_has_no_accuracy() {
    let basin = Basin::new();
    let train =
        ["train", "--data", "synthetic:teacher", "--model", "mlp:10-4-1", "--epochs", "1", "-q", "--out", "run"];
    basin.done(&train);
    let record = plane(&basin, &[]);
    assert_eq!(rows(&record, "train_loss").len(), 4);
    assert!(field(&record, "result.train_accuracy").is_null());
    assert!(!basin.done(&asked(&["-q"])).stdout.contains("accuracy"));
}

/// Nothing is lost with a run that was stopped before it knew a point.
#[test]
fn a_file_without_points_is_begun_anew() {
    let basin = Basin::trained();
    basin.write("p.json.unfinished", "{\"measurement\":\"another surface\"}\n");
    basin.done(&asked(&["-q", "--out", "p.json"]));
    assert!(!basin.path("p.json.unfinished").exists());
    assert_eq!(rows(&basin.json("p.json"), "train_loss").concat().len(), 20);
    let far = r#"{"points":[{"column":9,"row":0,"train":{"loss":1.0}}]}"#;
    basin.write("q.json.unfinished", format!("{far}\n"));
    basin.run(&asked(&["--out", "q.json"])).assert_refused(&["q.json.unfinished", "beyond the grid"]);
}

#[test]
fn weights_scaled_twice_are_refused() {
    let basin = Basin::trained();
    plane(&basin, &["--normalize", "weight", "--save-directions", "w.safetensors"]);
    let again = asked(&["--directions", "w.safetensors", "--normalize", "filter"]);
    basin.run(&again).assert_refused(&["already scaled", "--normalize none"]);
    plane(&basin, &["--directions", "w.safetensors", "--normalize", "none"]);
}

/// The files of a plane, without what tells when it was made and of which part.
fn outcome(basin: &Basin, name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut record = without_time(basin.json(&format!("{name}.json")));
    for work in ["products", "gradient_equivalents"] {
        record.as_object_mut().unwrap().remove(work);
    }
    let files = [("csv", basin.read(&format!("{name}.csv"))), ("npz", basin.read(&format!("{name}.npz")))];
    let files = files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes));
    files.chain([("json".to_owned(), record.to_string().into_bytes())]).collect()
}

#[test]
fn one_and_three_parts_give_the_same_bytes() {
    let basin = Basin::trained();
    let asked = asked(&["--points", "5x7", "-q"]);
    basin.done(&[&asked[..], &["--out", "whole.json"]].concat());
    for part in ["1/3", "2/3", "3/3"] {
        let out = format!("{}.json", &part[..1]);
        basin.done(&[&asked[..], &["--shard", part, "--out", &out]].concat());
        assert!(!basin.path(&format!("{}.csv", &part[..1])).exists());
    }
    let merge = |files: &[&'static str]| [&["landscape", "plane", "--out", "merged.json", "--merge"], files].concat();
    basin.run(&merge(&["3.json", "1.json"])).assert_refused(&["row 2", "3 parts"]);
    basin.run(&merge(&["3.json", "1.json", "1.json"])).assert_refused(&["twice"]);
    basin.run(&merge(&["whole.json"])).assert_refused(&["whole surface"]);
    basin.done(&merge(&["3.json", "1.json", "2.json"]));
    assert!(outcome(&basin, "merged") == outcome(&basin, "whole"));
    basin.done(&[&asked[..], &["--shard", "2/3", "--seed", "1", "--out", "seed.json"]].concat());
    basin.run(&merge(&["1.json", "seed.json"])).assert_refused(&["another seed"]);
    basin.done(&[&asked[..], &["--shard", "2/3", "--range=-2,2", "--out", "range.json"]].concat());
    basin.run(&merge(&["1.json", "range.json"])).assert_refused(&["different surfaces"]);
}

#[test]
fn the_files_hold_the_surface() {
    let basin = Basin::trained();
    basin.done(&asked(&["--range=-1e30,1e30", "-q", "--out", "p.json"]));
    let record = basin.json("p.json");
    let losses = rows(&record, "train_loss");
    let csv = basin.text("p.csv");
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 1 + 4 * 5);
    assert_eq!(
        lines[0],
        ["x", "y", "x_displacement", "y_displacement", "train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    );
    for (index, line) in lines[1..].iter().enumerate() {
        let (row, column) = (index / 5, index % 5);
        let value = |index: usize| line[index].parse::<f64>().unwrap();
        assert_eq!(value(0), number(&record, &format!("result.x.coordinates.{column}")));
        assert_eq!(value(1), number(&record, &format!("result.y.coordinates.{row}")));
        assert_eq!(value(2), value(0) * number(&record, "result.x.norm"));
        let loss = losses[row][column];
        assert!(value(4) == loss || !value(4).is_finite() && loss.is_nan());
    }
    let mut archive = npyz::npz::NpzArchive::open(basin.path("p.npz")).unwrap();
    let mut array = |name: &str| {
        let array = archive.by_name(name).unwrap().unwrap();
        (array.shape().to_vec(), array.into_vec::<f64>().unwrap())
    };
    let (shape, values) = array("train_loss");
    assert_eq!(shape, [4, 5]);
    let same = |(a, b): (&f64, &f64)| a == b || !a.is_finite() && b.is_nan();
    assert!(values.iter().zip(&losses.concat()).all(same), "{values:?}");
    assert_eq!(array("y"), (vec![4], vec![-1e30, -1e30 / 3.0, 1e30 / 3.0, 1e30]));
    assert_eq!(array("x_norm"), (vec![], vec![number(&record, "result.x.norm")]));
    basin.done(&["inspect", "p.json"]);
    assert!(!basin.path("p.json.unfinished").exists());
}

#[test]
fn a_refined_plane_has_lines_of_the_fine_one() {
    let basin = Basin::trained();
    let wide = "--range=-3,3";
    let fine = plane(&basin, &["--points", "17x9", wide]);
    let refined = plane(&basin, &["--points", "5x3", wide, "--refine", "2"]);
    let coarse = plane(&basin, &["--points", "5x3", wide]);
    let axis = |record: &Value, name: &str| {
        let list = field(record, &format!("result.{name}.coordinates")).as_array().unwrap().iter();
        list.map(|place| place.as_f64().unwrap()).collect::<Vec<f64>>()
    };
    assert!(axis(&coarse, "x").len() < axis(&refined, "x").len());
    // Each point is one of the fine plane, with its value to the last bit.
    let index = |name: &str, place: f64| axis(&fine, name).iter().position(|&other| other == place).unwrap();
    let (of_fine, of_refined) = (rows(&fine, "train_loss"), rows(&refined, "train_loss"));
    for (row, &y) in axis(&refined, "y").iter().enumerate() {
        for (column, &x) in axis(&refined, "x").iter().enumerate() {
            assert_eq!(of_refined[row][column], of_fine[index("y", y)][index("x", x)], "at {x}, {y}");
        }
    }
    assert_eq!(of_refined.len(), axis(&refined, "y").len());
    basin.run(&asked(&["--refine", "7"])).assert_refused(&["--refine", "at most 6"]);
    basin.run(&asked(&["--refine", "1", "--shard", "1/2"])).assert_refused(&["--refine", "--shard"]);
}

#[test]
fn other_programs_files_hold_the_surface_too() {
    let basin = Basin::trained();
    basin.done(&asked(&["--range=-1e30,1e30", "-q", "--out", "p.json", "--also", "hdf5,vtk"]));
    let record = basin.json("p.json");
    let losses = rows(&record, "train_loss").concat();
    let same = |found: &[f64], expected: &[f64]| {
        let equal = |(a, b): (&f64, &f64)| a == b || !a.is_finite() && b.is_nan();
        found.len() == expected.len() && found.iter().zip(expected).all(equal)
    };
    let file = hdf5_pure::File::open(basin.path("p.h5")).unwrap();
    let dataset = |name: &str| file.dataset(name).unwrap();
    assert_eq!(dataset("train_loss").shape().unwrap(), [4, 5]);
    assert!(same(&dataset("train_loss").read_f64().unwrap(), &losses));
    assert_eq!(dataset("ycoordinates").read_f64().unwrap(), [-1e30, -1e30 / 3.0, 1e30 / 3.0, 1e30]);
    assert_eq!(dataset("xcoordinates").read_f64().unwrap().len(), 5);
    let percent: Vec<f64> = rows(&record, "test_accuracy").concat().iter().map(|share| 100.0 * share).collect();
    assert!(same(&dataset("test_acc").read_f64().unwrap(), &percent));
    let vtk = basin.read("p.vtk");
    let after = |head: &str| {
        let found = vtk.windows(head.len()).position(|window| window == head.as_bytes());
        found.unwrap_or_else(|| panic!("`{head}` is missing")) + head.len()
    };
    assert!(vtk.starts_with(b"# vtk DataFile Version 3.0\n"));
    after("BINARY\nDATASET RECTILINEAR_GRID\nDIMENSIONS 5 4 1\nX_COORDINATES 5 double\n");
    let start = after("SCALARS train_loss double 1\nLOOKUP_TABLE default\n");
    let numbers = vtk[start..start + 8 * 20].chunks_exact(8).map(|bytes| f64::from_be_bytes(bytes.try_into().unwrap()));
    assert!(same(&numbers.collect::<Vec<_>>(), &losses));
    basin.run(&asked(&["--also", "vtk"])).assert_refused(&["--also vtk", "--out"]);
    basin.run(&asked(&["--also", "vtp"])).assert_refused(&["vtp", "vtk"]);
}

/// Products of weights of 1e20 leave f32: those points are no numbers, and all others are.
#[test]
fn points_that_are_no_numbers_are_counted() {
    let basin = Basin::trained();
    let far = ["--points", "5", "--range=-1e30,1e30"];
    let record = plane(&basin, &far);
    let losses = rows(&record, "train_loss");
    let not_finite = losses.iter().flatten().filter(|loss| !loss.is_finite()).count();
    assert_eq!(number(&record, "result.not_finite"), not_finite as f64);
    assert_eq!(not_finite, 24, "{losses:?}");
    assert!(losses[2][2].is_finite());
    let names = field(&record, "result.train_loss").to_string();
    assert!(names.contains("\"NaN\"") || names.contains("\"Infinity\""), "{names}");
    let text = basin.done(&[&asked(&far)[..], &["-q"]].concat()).stdout;
    assert!(text.contains("24 points have a training loss that is not finite"), "{text}");
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let basin = Basin::trained();
    let options = ["--points", "6x5", "--x", "eigenvector:1", "--samples", "200", "--threads"];
    let on = |threads: &'static str| plane(&basin, &[&options[..], &[threads]].concat());
    assert_eq!(field(&on("1"), "result"), field(&on("3"), "result"));
}

#[test]
fn statistics_of_batch_norm_are_recomputed_or_stored() {
    let basin = Basin::new();
    let checkpoint = "bn/checkpoints/last.safetensors";
    let train = ["train", "--model", "mlp:64-16-10:relu:bn", "--samples", "300", "--epochs", "2", "-q", "--out", "bn"];
    basin.done(&train);
    let plane = |more: &[&str]| {
        let asked = ["landscape", "plane", checkpoint, "--points", "3", "--json", "-q"];
        basin.done(&[&asked[..], more].concat()).json()
    };
    let (recomputed, stored) = (plane(&[]), plane(&["--batch-norm-statistics", "stored"]));
    assert!(field(&recomputed, "result.batch_norm").as_str().unwrap().contains("recomputed"));
    assert!(field(&stored, "result.batch_norm").as_str().unwrap().contains("stored"));
    let compared = basin.done(&["compare", checkpoint, "--measure", "gradient-norm", "--json", "-q"]).json();
    assert_eq!(rows(&stored, "train_loss")[1][1], number(&compared, "result.rows.0.loss"));
    // At its own point a line recomputes the same statistics.
    let line = ["landscape", "line", checkpoint, checkpoint, "--range", "0,1", "--points", "2", "--json", "-q"];
    let line = basin.done(&line).json();
    assert_eq!(rows(&recomputed, "train_loss")[1][1], number(&line, "result.train_loss.0"));
    assert_ne!(rows(&recomputed, "train_loss")[0][0], rows(&stored, "train_loss")[0][0]);
    let ignored = field(&recomputed, "result.ignored").to_string();
    assert!(ignored.contains("bn1.weight") && !ignored.contains("fc1.weight"), "{ignored}");
}

#[test]
fn a_report_reads_past_a_surface() {
    let basin = Basin::trained();
    basin.write("records/note", "");
    basin.done(&asked(&["-q", "--out", "records/plane.json"]));
    basin.done(&["keskar", CHECKPOINT, "-q", "--dimension", "5", "--draws", "2", "--out", "records/keskar.jsonl"]);
    basin.done(&["report", "."]);
}

#[test]
fn what_cannot_be_a_plane_is_refused() {
    let basin = Basin::trained();
    basin.done(&["train", "--model", "mlp:64-8-10:relu", "--epochs", "1", "-q", "--out", "other"]);
    basin.write("directory/x", "");
    for (more, expected) in [
        (&["--points", "0"][..], &["0 points", "at least 2"][..]),
        (&["--points", "5x1"], &["1 points along y"]),
        (&["--points", "five"], &["`five`", "25x19"]),
        (&["--points", "5x"], &["`5x`"]),
        (&["--points", "100000"], &["100000 × 100000", "at most"]),
        (&["--points", "99999999999999999999"], &["no number of points"]),
        (&["--range", "1,-1"], &["from 1 to -1", "ascending"]),
        (&["--range", "1,1"], &["from 1 to 1", "ascending"]),
        (&["--range", "1"], &["--range", "expected 2"]),
        (&["--x-range", "0,nan"], &["range of x", "NaN"]),
        (&["--y-range", "-inf,0"], &["range of y", "inf"]),
        (&["--x", "randon"], &["`randon`", "`random`"]),
        (&["--x", "eigenvector:0"], &["`eigenvector:0`", "eigenvector:-1"]),
        (&["--x", "eigenvector:x"], &["`eigenvector:x`"]),
        (&["--x", "eigenvector:5000"], &["eigenvector 5000", "1210 parameters"]),
        (&["--x", "eigenvector:1", "--y", "eigenvector:1"], &["parallel"]),
        (&["--x", "none.safetensors"], &["none.safetensors"]),
        (&["--x", OTHER], &["`fc1.weight` has shape [8, 64], expected [16, 64]"]),
        (&["--x", "run/checkpoints/last.safetensors:top1"], &["`fc1.weight` of shape [16, 64] is missing"]),
        (&["--directions", CHECKPOINT], &["is missing"]),
        (&["--towards", OTHER], &["mlp:64-8-10:relu", "one model"]),
        (&["--towards", CHECKPOINT], &["those of the origin"]),
        (&["--towards", OTHER, "--towards", OTHER, "--towards", OTHER], &["3 checkpoints", "at most 2"]),
        (&["--towards", OTHER, "--x", "random"], &["--towards", "--x"]),
        (&["--towards", OTHER, "--towards", OTHER, "--y", "random"], &["third direction", "leave out `--y`"]),
        (&["--normalize", "filtre"], &["filtre", "filter"]),
        (&["--biases", "dropped"], &["dropped", "ignored"]),
        (&["--batch-norm-statistics", "stored"], &["no batch norm"]),
        (&["--batch-norm", "batch"], &["computed anew", "leave `--batch-norm batch` out"]),
        (&["--split", "test"], &["--split test"]),
        (&["--shard", "0/3"], &["0/3"]),
        (&["--shard", "1/5"], &["4 rows", "5 parts"]),
        (&["--merge", "x.json"], &["--merge"]),
        (&["--out", "plane.csv"], &["plane.csv", ".json"]),
        (&["--out", "none/plane.json"], &["none/plane.json"]),
        (&["--save-directions", "directory"], &["directory"]),
        (&["--save-directions", "none/d.safetensors"], &["none/d.safetensors", "does not exist"]),
        (&["--save-directions", CHECKPOINT], &["--save-directions", "which is read"]),
    ] {
        assert_all_refused(&basin, &[(&asked(more), expected)]);
    }
    assert_all_refused(&basin, &[(&["landscape", "plane"], &["<CKPT>"])]);
    assert_all_refused(&basin, &[(&["landscape", "plane", "--merge", "none.json"], &["none.json"])]);
}
