//! Inputs as torchvision makes them, from `inputs.py`.

use std::path::{Path, PathBuf};

use basin_objective::data::{DataSpec, Dataset, Preprocessing, Split};
use basin_objective::weights::Weights;
use candle_core::Tensor;

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
        let difference = largest_difference(&found, expected);
        assert!(difference <= 2e-6, "{name}: {difference:e}");
        cases += 1;
    }
    assert_eq!(cases, 12);
}
