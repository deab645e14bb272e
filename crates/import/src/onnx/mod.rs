//! Networks as ONNX files: `.onnx`.
//!
//! A file holds the graph of a network's operators, and tensors by name, in the file itself or in one beside it. What of
//! them is a parameter it does not say: see [`weights`].

mod call;
mod lowering;
mod operators;
mod schema;
mod tensors;
mod weights;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use candle_core::Tensor;
use prost::Message;

use crate::graph::{Fault, Read};
use crate::network::{Format, Input, Network, Operators};
use crate::{Error, Result};
use weights::Weights;

/// The versions of the operators that are known.
const OPSETS: std::ops::RangeInclusive<i64> = 13..=22;

/// What makes a file that holds what basin reads.
const EXPORT: &str = "write it with `torch.onnx.export(model.eval(), (x,), \"net.onnx\", dynamo=True, optimize=False)`";

/// What makes a network that takes any number of samples.
const EXPORT_ANY: &str = "export it for any number of samples: torch.onnx.export(model.eval(), (x,), \"net.onnx\", \
     dynamo=True, optimize=False, dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))";

/// The most bytes of a file: no message of protobuf is longer.
const MOST_BYTES: u64 = (1 << 31) - 1;

/// An `.onnx` file.
#[derive(Debug)]
pub(crate) struct OnnxModel {
    path: PathBuf,
    producer: String,
    opset: i64,
    graph: schema::Graph,
    weights: Weights,
}

impl OnnxModel {
    /// Reads the graph of a file; weights are decoded when they are asked for.
    ///
    /// # Errors
    /// When it is no ONNX file, or one of another version of the operators.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bytes = read(path)?;
        let fault = |reason: String, hint: &str| Error::new(format!("`{}` {reason}", path.display()), hint);
        let model = schema::Model::decode(bytes).map_err(|cause| {
            let cause = cause.to_string();
            let cause = cause.trim_start_matches("failed to decode Protobuf message: ");
            fault(format!("is no whole ONNX file: {cause}"), "check that it was copied completely, and that it is one")
        })?;
        let graph = model.graph.ok_or_else(|| fault("holds no graph: it is no ONNX file".to_owned(), EXPORT))?;
        let opset = model.opset_import.iter().find(|set| is_default(&set.domain)).map_or(1, |set| set.version);
        if !OPSETS.contains(&opset) {
            return Err(fault(
                format!("has version {opset} of the operators, expected {} to {}", OPSETS.start(), OPSETS.end()),
                "export it again with `opset_version=20`",
            ));
        }
        let producer = match (model.producer_name.as_str(), model.producer_version.as_str()) {
            ("", _) => "an unknown program".to_owned(),
            ("pytorch", version) => format!("PyTorch {version}"),
            (name, version) => format!("{name} {version}").trim_end().to_owned(),
        };
        let weights = Weights::of(&graph, directory(path))
            .map_err(|Fault(reason)| fault(reason, "check that it was copied completely, with the files beside it"))?;
        Ok(Self { path: path.to_owned(), producer, opset, graph, weights })
    }

    /// A tensor of the file by its place among the initializers.
    fn tensor(&self, place: usize) -> Result<Tensor> {
        let fault = |name: &str, reason: &str| {
            Error::new(
                format!("`{}`: the tensor `{name}` cannot be read: it has {reason}", self.path.display()),
                "check that it was copied completely, with the files beside it",
            )
        };
        let tensor = self.graph.initializer.get(place).ok_or_else(|| fault("", "no place in the file"))?;
        tensors::decoded(tensor, directory(&self.path)).map_err(|Fault(reason)| fault(&tensor.name, &reason))
    }
}

impl Format for OnnxModel {
    fn path(&self) -> &Path {
        &self.path
    }

    fn producer(&self) -> String {
        self.producer.clone()
    }

    fn inputs(&self) -> Result<Vec<Input>> {
        Ok(lowering::inputs(self)?.0)
    }

    fn operators(&self) -> Operators {
        lowering::operators(&self.graph)
    }

    fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        self.weights.stored().map(|weight| (weight.name.clone(), weight.shape.clone())).collect()
    }

    fn weights(&self) -> Result<Vec<(String, Tensor)>> {
        self.weights.stored().map(|weight| Ok((weight.name.clone(), self.tensor(weight.place)?))).collect()
    }

    fn read(&self, samples: &[Vec<usize>], batch_statistics: bool) -> Result<Network> {
        lowering::network(self, samples, batch_statistics)
    }

    fn files_beside(&self) -> Vec<PathBuf> {
        let locations: BTreeSet<&str> = self.graph.initializer.iter().filter_map(tensors::location).collect();
        locations.into_iter().map(|location| directory(&self.path).join(location)).collect()
    }

    fn export_any(&self) -> &'static str {
        EXPORT_ANY
    }
}

/// Whether operators of a domain are ONNX's own.
fn is_default(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// Where the files lie that a network's file names.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn read(path: &Path) -> Result<prost::bytes::Bytes> {
    let refused = |cause: std::io::Error| Error::new(format!("cannot read `{}`: {cause}", path.display()), EXPORT);
    let metadata = std::fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() {
        return Err(Error::new(format!("`{}` is not a regular file", path.display()), "name a file"));
    }
    if metadata.len() > MOST_BYTES {
        return Err(Error::new(
            format!("`{}` has {} bytes, more than an ONNX file can have", path.display(), metadata.len()),
            "larger networks have their weights in a file beside it: `external_data=True`",
        ));
    }
    Ok(std::fs::read(path).map_err(refused)?.into())
}

/// The name of an operator, with its domain where that is another than ONNX's.
fn operator(node: &schema::Node) -> String {
    match is_default(&node.domain) {
        true => node.op_type.clone(),
        false => format!("{}::{}", node.domain, node.op_type),
    }
}

/// Where a node stands in the tree of modules, as far as the exporter wrote it down.
fn place(node: &schema::Node) -> String {
    let quoted = |key: &str| -> Option<String> {
        // A list of texts as Python writes it, whose last entry is the operator.
        let texts: Vec<&str> = schema::value_of(&node.metadata_props, key)?.split('\'').skip(1).step_by(2).collect();
        texts.len().checked_sub(2).map(|innermost| texts[innermost].to_owned())
    };
    match (quoted("pkg.torch.onnx.name_scopes"), quoted("pkg.torch.onnx.class_hierarchy")) {
        (Some(path), Some(class)) if path.is_empty() => format!("in the network itself ({class})"),
        (Some(path), Some(class)) => format!("in `{path}` ({class})"),
        // The older exporter names nodes by their modules: `/layer1/conv1/Conv`.
        _ => match node.name.trim_start_matches('/').rsplit_once('/') {
            Some((path, _)) => format!("in `{}`", path.replace('/', ".")),
            None if node.name.is_empty() => "in the network".to_owned(),
            None => format!("at the node `{}`", node.name),
        },
    }
}

/// A fault at a tensor.
fn of_tensor<T>(name: &str, read: Read<T>) -> Read<T> {
    read.map_err(|Fault(reason)| Fault(format!("has the tensor `{name}` with {reason}")))
}
