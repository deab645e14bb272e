//! Networks exported by PyTorch, against what PyTorch computes of them in f64.
//!
//! Small ones are committed with the script that made them (`tests/torch/export.py`); `just test-torch` exports many more on
//! the spot and names their directory in `BASIN_TORCH_NETWORKS`.

#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use basin_import::ExportedProgram;
use basin_import::exported_program::{Network, Numbers};
use basin_tape::Linearization;
use basin_tape::losses::CrossEntropy;
use candle_core::{DType, Device, Tensor};

/// Outputs in f64: both sides round each of a few hundred operations to 1e-16.
const OUTPUT_TOLERANCE: f64 = 1e-10;
/// Gradients and Hessian products in f64, relative to their norms.
const DERIVATIVE_TOLERANCE: f64 = 1e-8;
/// In f32, relative to the norm: rounding of 6e-8 in sums of thousands of terms.
const SINGLE_TOLERANCE: f64 = 1e-4;

fn norm(x: &Tensor) -> f64 {
    x.sqr().and_then(|x| x.sum_all()).and_then(|x| x.to_scalar::<f64>()).unwrap().sqrt()
}

/// ‖a − b‖/‖b‖.
fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let a = a.to_dtype(DType::F64).unwrap().reshape(b.dims()).unwrap();
    norm(&(&a - b).unwrap()) / norm(b).max(1e-300)
}

struct Reference {
    tensors: HashMap<String, Tensor>,
}

impl Reference {
    fn read(path: &Path) -> Self {
        Self { tensors: candle_core::safetensors::load(path.with_extension("safetensors"), &Device::Cpu).unwrap() }
    }

    /// The tensors of one kind, one behind the other in the order of the program's parameters; zero where PyTorch has none.
    fn vector(&self, network: &Network, kind: &str) -> Tensor {
        let parts: Vec<Tensor> = network
            .program
            .parameters()
            .entries()
            .iter()
            .map(|entry| match self.tensors.get(&format!("{kind}.{}", entry.name)) {
                Some(part) => part.flatten_all().unwrap(),
                None => Tensor::zeros(entry.len(), DType::F64, &Device::Cpu).unwrap(),
            })
            .collect();
        Tensor::cat(&parts, 0).unwrap()
    }

    fn inputs(&self, file: &ExportedProgram) -> Vec<Tensor> {
        let inputs = file.inputs().unwrap();
        let tensor = |(place, input): (usize, &basin_import::exported_program::Input)| {
            let named = self.tensors.get(&format!("input.{}", input.name));
            named.or_else(|| self.tensors.get(&format!("input.{place}"))).unwrap().clone()
        };
        inputs.iter().enumerate().map(tensor).collect()
    }
}

/// The weights of a file as the vectors of a program.
fn weights(file: &ExportedProgram, network: &Network) -> (Tensor, Tensor) {
    let tensors: HashMap<String, Tensor> = file.weights().unwrap().into_iter().collect();
    let own = |name: &str| {
        let alias = network.aliases.iter().find(|(alias, own)| own == name && tensors.contains_key(alias));
        tensors.get(alias.map_or(name, |(alias, _)| alias)).unwrap().flatten_all().unwrap()
    };
    let vector = |layout: &basin_tape::Layout| {
        let parts: Vec<Tensor> =
            layout.entries().iter().map(|entry| own(&entry.name).to_dtype(DType::F64).unwrap()).collect();
        if parts.is_empty() {
            Tensor::zeros(0, DType::F64, &Device::Cpu).unwrap()
        } else {
            Tensor::cat(&parts, 0).unwrap()
        }
    };
    (vector(network.program.parameters()), vector(network.program.buffers()))
}

/// Compares one network; the faults that were found.
fn compare(path: &Path) -> Vec<String> {
    let reference = Reference::read(path);
    let file = match ExportedProgram::open(path) {
        Ok(file) => file,
        Err(error) => return vec![error.to_string()],
    };
    let inputs = reference.inputs(&file);
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.dims()[1..].to_vec()).collect();
    let network = match file.network(&shapes, false) {
        Ok(network) => network,
        Err(error) => return vec![error.to_string()],
    };
    let (theta, buffers) = weights(&file, &network);
    let mut faults = Vec::new();
    let mut check = |what: &str, found: f64, tolerance: f64| {
        if found > tolerance || found.is_nan() {
            faults.push(format!("{what} is off by {found:.1e}"));
        }
    };
    let single = (DType::F32, SINGLE_TOLERANCE, SINGLE_TOLERANCE);
    for (dtype, of_output, of_derivatives) in [(DType::F64, OUTPUT_TOLERANCE, DERIVATIVE_TOLERANCE), single] {
        let cast = |x: &Tensor| x.to_dtype(dtype).unwrap();
        let batch: Vec<Tensor> = inputs
            .iter()
            .zip(&network.inputs)
            .map(|(x, input)| match input.numbers {
                Numbers::Float => cast(x),
                Numbers::Integer => x.to_dtype(DType::I64).unwrap(),
                Numbers::Boolean => x.to_dtype(DType::U8).unwrap(),
            })
            .collect();
        let batch: Vec<&Tensor> = batch.iter().collect();
        let point = network.program.at(&cast(&theta), &cast(&buffers)).unwrap();
        let output = match network.program.evaluate(&point, &batch) {
            Ok(output) => output,
            Err(error) => {
                faults.push(format!("evaluation fails: {error}"));
                return faults;
            }
        };
        check(&format!("output in {dtype:?}"), distance(&output, &reference.tensors["output"]), of_output);
        // One sample alone gives the row that it gives among others.
        let first: Vec<Tensor> = batch.iter().map(|x| x.narrow(0, 0, 1).unwrap()).collect();
        let alone = network.program.evaluate(&point, &first.iter().collect::<Vec<_>>());
        let row = reference.tensors["output"].narrow(0, 0, 1).unwrap();
        check(&format!("output of one sample in {dtype:?}"), distance(&alone.unwrap(), &row), of_output);

        let targets = &reference.tensors["y"];
        let loss = CrossEntropy::default();
        let at = Linearization::new(&network.program, &loss, &point, &batch, targets).unwrap();
        let count = targets.elem_count() as f64;
        let mean = |x: Tensor| (x.to_dtype(DType::F64).unwrap() / count).unwrap();
        let gradient = mean(at.gradient().and_then(|g| g.joined()).unwrap());
        check(
            &format!("gradient in {dtype:?}"),
            distance(&gradient, &reference.vector(&network, "gradient")),
            of_derivatives,
        );
        let v = cast(&reference.vector(&network, "v"));
        let product = mean(at.hessian(&v).and_then(|p| p.joined()).unwrap());
        check(&format!("H v in {dtype:?}"), distance(&product, &reference.vector(&network, "hv")), of_derivatives);
    }
    faults
}

fn compare_all(directory: &Path) -> usize {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        path.extension().is_some_and(|extension| extension == "pt2") && path.with_extension("safetensors").exists()
    });
    paths.sort();
    let mut failed = Vec::new();
    for path in &paths {
        let faults = compare(path);
        println!("{}: {}", path.file_stem().unwrap().display(), if faults.is_empty() { "agrees" } else { "differs" });
        failed.extend(faults.into_iter().map(|fault| format!("{}: {fault}", path.display())));
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    paths.len()
}

#[test]
fn committed_networks_agree_with_pytorch() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/exported");
    assert!(compare_all(&directory) >= 12);
}

#[test]
#[ignore = "needs networks that `just test-torch` exports"]
fn networks_exported_on_the_spot_agree_with_pytorch() {
    let directory = std::env::var("BASIN_TORCH_NETWORKS").unwrap();
    assert!(compare_all(Path::new(&directory)) > 0);
}
