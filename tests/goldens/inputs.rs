//! Inputs as torchvision makes them, from `inputs.py`.

use std::path::{Path, PathBuf};

use basin_objective::data::{DataSpec, Dataset, Preprocessing, Split, Targets};
use basin_objective::weights::Weights;
use candle_core::{DType, Tensor};

fn beside(file: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens")).join(file)
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn are_resized_cut_and_standardized_as_torchvision_does() {
    let path = beside("preprocessing.safetensors");
    let golden = Weights::read(&path).unwrap();
    let mut cases = 0;
    for (name, expected) in golden.tensors.iter().filter(|(name, _)| name.contains('=')) {
        let preprocessing: Preprocessing = name.parse().unwrap();
        assert_eq!(preprocessing.to_string(), *name);
        let spec = DataSpec::Safetensors(path.clone());
        let found = Dataset::load_with(&spec, Split::Train, &preprocessing).unwrap().inputs;
        let difference = largest_difference(&found.tensor().unwrap(), expected);
        assert!(difference <= 2e-6, "{name}: {difference:e}");
        cases += 1;
    }
    assert_eq!(cases, 12);
}

fn images(color: &str) -> Dataset {
    let spec = format!("images:{}{color}", beside("images").display());
    Dataset::load(&spec.parse().unwrap(), Split::Train).unwrap()
}

fn labels(data: &Dataset) -> Vec<i64> {
    match &data.targets {
        Targets::Classes { labels, .. } => labels.tensor().unwrap().to_vec1().unwrap(),
        Targets::Real(_) => Vec::new(),
    }
}

/// Decoders of JPEG may differ by a step of 1/255; all else is the same to the bit.
#[test]
fn of_folders_are_those_of_image_folder() {
    let golden = Weights::read(beside("images.safetensors")).unwrap();
    let names: serde_json::Value = serde_json::from_str(&golden.metadata["golden"]).unwrap();
    for (color, key) in [("", "colour"), (":gray", "grey")] {
        let found = images(color);
        assert_eq!(found.classes(), Some(3));
        let classes: Vec<f32> = golden.tensors["labels"].to_vec1().unwrap();
        assert_eq!(labels(&found), classes.iter().map(|&class| class as i64).collect::<Vec<_>>());
        let expected = &golden.tensors[key];
        for (i, name) in names["names"].as_array().unwrap().iter().enumerate() {
            let difference =
                largest_difference(&found.inputs.tensor().unwrap().get(i).unwrap(), &expected.get(i).unwrap());
            let allowed = if name.as_str().unwrap().ends_with("JPG") { 1.1 / 255.0 } else { 0.0 };
            assert!(difference <= allowed, "{key} {name}: {}", difference * 255.0);
        }
    }
    let spec = format!("images:{}", beside("images").display()).parse().unwrap();
    let read_each_time =
        Dataset::load_within(&spec, Split::Train, &"standardize=0.5:0.5".parse().unwrap(), None, 0).unwrap();
    let held = Dataset::load_with(&spec, Split::Train, &"standardize=0.5:0.5".parse().unwrap()).unwrap();
    assert!(!read_each_time.inputs.are_held() && held.inputs.are_held());
    assert_eq!(read_each_time.fingerprint().unwrap(), held.fingerprint().unwrap());
    let test = images("").other_if_any(Split::Test).unwrap().unwrap();
    assert_eq!((test.samples(), labels(&test)), (1, vec![2]), "`val` holds one image of the last class");
}

#[test]
fn of_parquet_files_are_those_that_pyarrow_wrote() {
    let folder = tempfile::tempdir().unwrap();
    for split in ["train", "test"] {
        let (from, to) = (format!("images-{split}.parquet"), format!("{split}-00000.parquet"));
        std::fs::copy(beside(&from), folder.path().join(to)).unwrap();
    }
    let spec: DataSpec = format!("parquet:{}", folder.path().display()).parse().unwrap();
    let train = Dataset::load(&spec, Split::Train).unwrap();
    assert_eq!((train.inputs.dims(), train.classes()), (&[7, 3, 4, 3][..], Some(3)), "three classes are named");
    assert_eq!(labels(&train), [0, 1, 0, 1, 0, 1, 0]);
    let test = train.other_if_any(Split::Test).unwrap().unwrap();
    assert_eq!((test.samples(), labels(&test)), (3, vec![0, 1, 0]));
    let sum = |data: &Dataset| {
        let pixels = data.inputs.tensor().unwrap().to_dtype(DType::F64).unwrap();
        (pixels * 255.0).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap()
    };
    let golden = Weights::read(beside("preprocessing.safetensors")).unwrap();
    let expected: Vec<f64> = serde_json::from_str(&golden.metadata["parquet"]).unwrap();
    assert!((sum(&train) - expected[0]).abs() < 0.1 && (sum(&test) - expected[1]).abs() < 0.1);
    let none = Preprocessing::default();
    let read_each_time = Dataset::load_within(&spec, Split::Train, &none, None, 0).unwrap();
    assert!(!read_each_time.inputs.are_held());
    assert_eq!(read_each_time.fingerprint().unwrap(), train.fingerprint().unwrap());
    let file: DataSpec = format!("parquet:{}", beside("images-test.parquet").display()).parse().unwrap();
    assert_eq!(Dataset::load(&file, Split::Train).unwrap().inputs.dims(), test.inputs.dims());
}
