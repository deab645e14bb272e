//! Networks exported by PyTorch, against what PyTorch computes of them in f64.
//!
//! Small ones are committed with the scripts that made them (`tests/torch/export.py`, `tests/torch/export_onnx.py`);
//! `just test-torch` exports many more on the spot and names their directory in `BASIN_TORCH_NETWORKS`.

#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use basin_import::NetworkFile;
use basin_import::network::{Input, Network, Numbers};
use basin_tape::Linearization;
use basin_tape::losses::CrossEntropy;
use candle_core::{DType, Device, Tensor};

/// Outputs in f64: both sides round each of a few hundred operations to 1e-16.
const OUTPUT_TOLERANCE: f64 = 1e-10;
/// The same where the file has constants of the network's in single precision: it is they that are computed with.
const ROUNDED_TOLERANCE: f64 = 1e-8;
/// Files with such constants: √(2/π) of a GELU that is written out, and what the exporter computes where it optimises.
const ROUNDED: [&str; 2] = ["hf-gpt2", "-optimized"];
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
    /// That of a file, which it may share with another file of the network.
    fn of(path: &Path) -> PathBuf {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let shared = [
            path.with_extension("safetensors"),
            path.with_file_name(name.replace("older-folded", "optimized")).with_extension("safetensors"),
        ];
        let exported = path.with_file_name(format!("../exported/{}.safetensors", name.trim_end_matches("-older")));
        shared.into_iter().find(|path| path.exists()).unwrap_or(exported)
    }

    /// A figure of a parameter; of tied ones, the two formats have kept different names.
    fn figure(&self, kind: &str, name: &str) -> Option<&Tensor> {
        let other = if name == "lm_head.weight" { "transformer.wte.weight" } else { name };
        self.tensors.get(&format!("{kind}.{name}")).or_else(|| self.tensors.get(&format!("{kind}.{other}")))
    }

    fn read(path: &Path) -> Self {
        Self { tensors: candle_core::safetensors::load(Self::of(path), &Device::Cpu).unwrap() }
    }

    /// Parameters that PyTorch has and the program has not, though the loss depends on them.
    fn lost_parameters(&self, network: &Network) -> Vec<String> {
        let known = |name: &str| {
            let same = |own: &str| own == name || (own, name) == ("lm_head.weight", "transformer.wte.weight");
            network.program.parameters().entries().iter().any(|entry| same(&entry.name))
                || network.aliases.iter().any(|(alias, _)| alias == name)
        };
        let gradients = self.tensors.iter().filter_map(|(key, x)| Some((key.strip_prefix("gradient.")?, x)));
        gradients
            .filter(|(name, gradient)| !known(name) && norm(&gradient.to_dtype(DType::F64).unwrap()) > 0.0)
            .map(|(name, _)| format!("`{name}` is no parameter"))
            .collect()
    }

    /// A vector of all parameters with zeros for those that are none of PyTorch's, where a file has such.
    fn of_known(&self, network: &Network, vector: &Tensor) -> Tensor {
        if !self.tensors.contains_key("partial") {
            return vector.clone();
        }
        let entries = network.program.parameters().entries().iter();
        let part = |entry: &basin_tape::Entry| {
            let known = self.figure("gradient", &entry.name).is_some();
            Tensor::full(f64::from(u8::from(known)), entry.len(), &Device::Cpu).unwrap()
        };
        (vector * Tensor::cat(&entries.map(part).collect::<Vec<_>>(), 0).unwrap()).unwrap()
    }

    /// The tensors of one kind, one behind the other in the order of the program's parameters; zero where PyTorch has none.
    fn vector(&self, network: &Network, kind: &str) -> Tensor {
        let parts: Vec<Tensor> = network
            .program
            .parameters()
            .entries()
            .iter()
            .map(|entry| match self.figure(kind, &entry.name) {
                Some(part) => part.flatten_all().unwrap(),
                None => Tensor::zeros(entry.len(), DType::F64, &Device::Cpu).unwrap(),
            })
            .collect();
        Tensor::cat(&parts, 0).unwrap()
    }

    /// The samples for the inputs of a file; absent where it has an input that PyTorch was not given.
    fn inputs(&self, file: &NetworkFile) -> Option<Vec<Tensor>> {
        let inputs = file.inputs().unwrap();
        let tensor = |(place, input): (usize, &Input)| {
            let named = self.tensors.get(&format!("input.{}", input.name));
            named.or_else(|| self.tensors.get(&format!("input.{place}"))).cloned()
        };
        inputs.iter().enumerate().map(tensor).collect()
    }
}

/// The weights of a file as the vectors of a program.
fn weights(file: &NetworkFile, network: &Network) -> (Tensor, Tensor) {
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
    let file = match NetworkFile::open(path) {
        Ok(file) => file,
        Err(error) => return vec![error.to_string()],
    };
    let Some(inputs) = reference.inputs(&file) else { return vec!["has inputs of its own".to_owned()] };
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.dims()[1..].to_vec()).collect();
    let network = match file.network(&shapes, false) {
        Ok(network) => network,
        Err(error) => return vec![error.to_string()],
    };
    let (theta, buffers) = weights(&file, &network);
    let mut faults = reference.lost_parameters(&network);
    let mut check = |what: &str, found: f64, tolerance: f64| {
        if found > tolerance || found.is_nan() {
            faults.push(format!("{what} is off by {found:.1e}"));
        }
    };
    let single = (DType::F32, SINGLE_TOLERANCE, SINGLE_TOLERANCE);
    let onnx = path.extension().is_some_and(|ending| ending == "onnx");
    let rounded = onnx && ROUNDED.iter().any(|part| path.to_string_lossy().contains(part));
    let of_output = if rounded { ROUNDED_TOLERANCE } else { OUTPUT_TOLERANCE };
    for (dtype, of_output, of_derivatives) in [(DType::F64, of_output, DERIVATIVE_TOLERANCE), single] {
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
            distance(&reference.of_known(&network, &gradient), &reference.vector(&network, "gradient")),
            of_derivatives,
        );
        let v = cast(&reference.vector(&network, "v"));
        let product = mean(at.hessian(&v).and_then(|p| p.joined()).unwrap());
        let product = reference.of_known(&network, &product);
        check(&format!("H v in {dtype:?}"), distance(&product, &reference.vector(&network, "hv")), of_derivatives);
    }
    faults
}

fn compare_all(directory: &Path) -> usize {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| NetworkFile::is_named_by(path) && Reference::of(path).exists());
    paths.sort();
    let mut failed = Vec::new();
    for path in &paths {
        let faults = compare(path);
        println!("{}: {}", path.file_stem().unwrap().display(), if faults.is_empty() { "agrees" } else { "differs" });
        failed.extend(faults.into_iter().take(6).map(|fault| format!("{}: {fault}", path.display())));
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    paths.len()
}

#[test]
fn committed_networks_agree_with_pytorch() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens");
    assert!(compare_all(&goldens.join("exported")) >= 12);
    assert!(compare_all(&goldens.join("onnx")) >= 17);
}

#[test]
#[ignore = "needs networks that `just test-torch` exports"]
fn networks_exported_on_the_spot_agree_with_pytorch() {
    let directory = std::env::var("BASIN_TORCH_NETWORKS").unwrap();
    for directory in [Path::new(&directory).to_owned(), Path::new(&directory).join("onnx")] {
        assert!(compare_all(&directory) > 0);
    }
}
