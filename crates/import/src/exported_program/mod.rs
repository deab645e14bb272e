//! Networks as `torch.export.save` writes them: `.pt2` files.
//!
//! A file holds the graph of a network's operators, the names of its weights as in its `state_dict`, and the weights.

mod archive;
mod call;
mod lowering;
mod modules;
mod schema;
mod views;
mod weights;

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use crate::network::{Format, Input, Network, Operators, Owner};
use crate::{Error, Result};
use archive::Archive;
use schema::{Extent, InputSpec, Model, Versioned};
use weights::Stored;

pub(crate) use call::{Call, Operand, Outputs};
pub(crate) use views::View;

/// The major version of the schema that is read.
const MAJOR: u64 = 8;

/// What makes a network that takes any number of samples.
const EXPORT_ANY: &str = "export it for any number of samples: \
     torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))";

/// A `.pt2` file.
#[derive(Debug)]
pub(crate) struct ExportedProgram {
    archive: Archive,
    model: Model,
    weights: Stored,
    constants: Stored,
}

impl ExportedProgram {
    /// Reads the graph of a file; weights stay in the file until they are asked for.
    ///
    /// # Errors
    /// When it is no file of `torch.export.save`, or one of another major version of the format.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let archive = Archive::open(path)?;
        let text = archive.read("models/model.json")?;
        let malformed = |cause: serde_json::Error| {
            Error::new(
                format!("`{}`: `models/model.json` is not what PyTorch writes: {cause}", path.display()),
                "save the network again with `torch.export.save`",
            )
        };
        let Versioned { schema_version: version } = serde_json::from_slice(&text).map_err(malformed)?;
        if version.major != MAJOR {
            return Err(Error::new(
                format!(
                    "`{}` has version {}.{} of the format, expected {MAJOR}",
                    path.display(),
                    version.major,
                    version.minor
                ),
                "save the network again with PyTorch 2.8 to 2.15",
            ));
        }
        let model = serde_json::from_slice(&text).map_err(malformed)?;
        let weights = Stored::read(&archive, "data/weights/", "model_weights_config.json")?;
        let constants = Stored::read(&archive, "data/constants/", "model_constants_config.json")?;
        Ok(Self { archive, model, weights, constants })
    }

    fn specs(&self) -> &[InputSpec] {
        &self.model.graph_module.signature.input_specs
    }
}

impl Format for ExportedProgram {
    fn path(&self) -> &Path {
        self.archive.path()
    }

    fn producer(&self) -> String {
        format!("PyTorch {}", self.model.torch_version)
    }

    fn inputs(&self) -> Result<Vec<Input>> {
        Ok(lowering::inputs(self)?.0)
    }

    fn operators(&self) -> Operators {
        lowering::operators(&self.model.graph_module.graph)
    }

    fn state_dict(&self) -> Vec<(String, Vec<usize>)> {
        let shape = |name: &String| {
            let sizes = self.weights.meta(name).map(|meta| meta.sizes.as_slice()).unwrap_or_default();
            let number = |extent: &Extent| match extent {
                Extent::AsInt(number) => usize::try_from(*number).unwrap_or(0),
                Extent::AsExpr(_) => 0,
            };
            sizes.iter().map(number).collect()
        };
        self.weights.names().map(|name| (name.clone(), shape(name))).collect()
    }

    fn weights(&self) -> Result<Vec<(String, Tensor)>> {
        let once = self.weights.names().filter(|name| self.weights.first_name(name) == Some(name.as_str()));
        once.map(|name| Ok((name.clone(), self.weights.tensor(&self.archive, name)?))).collect()
    }

    fn read(&self, samples: &[Vec<usize>], batch_statistics: bool) -> Result<Network> {
        lowering::network(self, samples, batch_statistics)
    }

    fn owners(&self) -> BTreeMap<String, Owner> {
        self.modules()
    }

    fn export_any(&self) -> &'static str {
        EXPORT_ANY
    }
}
