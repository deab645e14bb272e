//! A model's program as it is trained.

use basin_import::NetworkFile;
use basin_tape::{InputGradient, Program};
use candle_core::{DType, Device, Tensor};

use super::dropout::{Dropout, Site};
use super::layers::Written;
use super::{BatchNorm, ModelSpec, exported, written};
use crate::data::InputShapes;
use crate::{Outputs, Result};

/// A model's program as it is trained: batch norm uses the statistics of the batch, and dropout multiplies activations with
/// masks, which are inputs behind the samples. Parameters and buffers are those of the [`Model`](super::Model) of the same
/// name.
#[derive(Debug)]
pub struct TrainingProgram {
    program: Program,
    sites: Vec<Site>,
}

impl TrainingProgram {
    /// The program of the model that `spec` names, as [`Model::new`](super::Model::new) builds it.
    ///
    /// ```
    /// use basin_objective::models::{Dropout, TrainingProgram};
    /// use candle_core::{DType, Device, Tensor};
    ///
    /// let training = TrainingProgram::new(&"mlp:3-4-2:relu".parse()?, &[3], 2, Dropout::Rate(0.5))?;
    /// let (theta, none) = (Tensor::ones(26, DType::F64, &Device::Cpu)?, Tensor::zeros(0, DType::F64, &Device::Cpu)?);
    /// let x = Tensor::ones((1, 3), DType::F64, &Device::Cpu)?;
    /// let masks = training.masks(&[0], 7, 0, (DType::F64, &Device::Cpu))?;
    /// let program = training.program();
    /// let y = program.evaluate(&program.at(&theta, &none)?, &[&x, &masks[0]])?;
    /// // Each hidden unit is 4, and counts twice or not at all.
    /// let kept = masks[0].sum_all()?.to_scalar::<f64>()? / 2.0;
    /// assert_eq!(y.to_vec2::<f64>()?, [[8.0 * kept + 1.0; 2]]);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the model cannot take such samples or give so many outputs, or has no place for the dropout.
    pub fn new(
        spec: &ModelSpec,
        inputs: impl Into<InputShapes>,
        outputs: impl Into<Outputs>,
        dropout: Dropout,
    ) -> Result<Self> {
        dropout.check()?;
        let inputs = inputs.into();
        if let ModelSpec::Exported(path) | ModelSpec::FromScratch(path) = spec {
            if !dropout.is_none() {
                return Err(dropout.misplaced(&spec.to_string()));
            }
            let file = NetworkFile::open(path)?;
            let program = file.network(&exported::sample_shapes(path, &file, &inputs)?, true)?.program;
            return Ok(Self { program, sites: Vec::new() });
        }
        let Written { program, sites, .. } = written(spec, &inputs.first, outputs.into(), (BatchNorm::Batch, dropout))?;
        if sites.is_empty() && !dropout.is_none() {
            return Err(dropout.misplaced(&spec.to_string()));
        }
        Ok(Self { program, sites })
    }

    /// The program: its inputs are the samples and the masks.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The same program, differentiated in the samples.
    ///
    /// # Errors
    /// When the outputs do not depend on the samples.
    pub fn input_gradient(self) -> Result<InputGradient> {
        Ok(InputGradient::new(self.program)?)
    }

    /// The masks of the samples at `positions` in an epoch, one for each place of dropout, (samples, …): 0 with the chance p,
    /// else 1/(1 − p). A sample's masks follow from the seed, the epoch and its position alone.
    ///
    /// # Errors
    /// When the device fails.
    pub fn masks(
        &self,
        positions: &[u32],
        seed: u64,
        epoch: u64,
        (dtype, device): (DType, &Device),
    ) -> Result<Vec<Tensor>> {
        let sites = self.sites.iter().enumerate();
        sites.map(|(i, site)| site.mask(positions, seed, &format!("{epoch} {i}"), (dtype, device))).collect()
    }
}
