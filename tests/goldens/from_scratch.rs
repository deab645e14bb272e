//! Weights of exported networks drawn anew, against what PyTorch draws for modules of the same kinds.

use std::collections::BTreeMap;
use std::path::Path;

use basin_objective::Outputs;
use basin_objective::models::Model;
use candle_core::DType;
use serde::Deserialize;

/// Draws of the whole network, here and there.
const NETWORKS: u64 = 400;

/// How the elements of a parameter are distributed over many networks.
#[derive(Deserialize)]
struct Distribution {
    mean: f64,
    std: f64,
    smallest: f64,
    largest: f64,
    zero_rows: Vec<usize>,
}

fn golden(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/from-scratch").join(name);
    path.to_str().unwrap().to_owned()
}

fn model(name: &str, shape: &[usize]) -> basin_objective::Result<Model> {
    Model::new(&golden(name).parse().unwrap(), shape, Outputs::AtLeast(3))
}

#[test]
fn every_kind_of_module_is_drawn_as_pytorch_draws_it() {
    let text = std::fs::read(golden("kinds.json")).unwrap();
    let expected: BTreeMap<String, Distribution> = serde_json::from_slice(&text).unwrap();
    let model = model("kinds.pt2:from-scratch", &[4]).unwrap();
    let drawn: Vec<Vec<f64>> =
        (0..NETWORKS).map(|seed| model.initial_parameters(seed, DType::F64).unwrap().to_vec1().unwrap()).collect();
    let entries = model.parameters().entries();
    assert_eq!(entries.len(), expected.len());
    for entry in entries {
        let (name, expected) = (&entry.name, &expected[&entry.name]);
        let values: Vec<f64> =
            drawn.iter().flat_map(|vector| &vector[entry.offset..entry.offset + entry.len()]).copied().collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let std = (values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count).sqrt();
        let extreme = |f: fn(f64, f64) -> f64| values.iter().copied().reduce(f).unwrap();
        let (smallest, largest) = (extreme(f64::min), extreme(f64::max));
        if expected.std == 0.0 {
            assert_eq!((smallest, largest), (expected.smallest, expected.largest), "{name}");
            continue;
        }
        // Both are estimates from as many numbers; four standard errors of their difference.
        assert!((mean - expected.mean).abs() < 4.0 * expected.std * (2.0 / count).sqrt(), "{name}: mean {mean}");
        let error = (std / expected.std - 1.0).abs();
        assert!(error < 4.0 / count.sqrt(), "{name}: deviation {std} for {}", expected.std);
        // A uniform distribution ends at √3 deviations, where the largest of many numbers lies close to; of normal ones
        // the largest is four deviations or so.
        let uniform = expected.largest < 2.0 * expected.std;
        let tolerance = if uniform { 0.01 } else { 0.25 };
        for (found, expected) in [(smallest, expected.smallest), (largest, expected.largest)] {
            assert!((found / expected - 1.0).abs() < tolerance, "{name}: {found} for {expected}");
        }
        if let [rows, width] = entry.shape[..] {
            let is_zero = |row: &usize| {
                drawn.iter().all(|v| v[entry.offset + row * width..][..width].iter().all(|&value| value == 0.0))
            };
            assert_eq!((0..rows).filter(is_zero).collect::<Vec<_>>(), expected.zero_rows, "{name}");
        }
    }
}

#[test]
fn a_network_starts_from_its_file_unless_asked_otherwise() {
    let stored = |seed| model("kinds.pt2", &[4]).unwrap().initial_parameters(seed, DType::F64).unwrap();
    let drawn = |seed| model("kinds.pt2:from-scratch", &[4]).unwrap().initial_parameters(seed, DType::F64).unwrap();
    let values = |x: candle_core::Tensor| x.to_vec1::<f64>().unwrap();
    assert_eq!(values(stored(0)), values(stored(1)));
    assert_eq!(values(drawn(0)), values(drawn(0)));
    assert_ne!(values(drawn(0)), values(drawn(1)));
    let name = model("kinds.pt2:from-scratch", &[4]).unwrap().name().to_owned();
    assert!(name.ends_with("kinds.pt2:from-scratch"), "{name}");
}

#[test]
fn a_parameter_of_no_known_module_is_refused_by_name() {
    let error = model("unknown.pt2:from-scratch", &[8]).unwrap_err();
    assert!(error.to_string().contains("no default for `scale` of a `__main__.Unknown`"), "{error}");
    assert!(error.hint().unwrap().contains("leave out `:from-scratch`"), "{error:?}");
}
