//! Normalisations by statistics of the arrays or stored ones.

use basin_tape::ops::{BatchNorm, Normalize, Power};
use candle_core::{DType, Device, Tensor};

use super::{Array, Content, Extent, Graph, Kind, Read, shape_text};

impl Graph {
    /// (x − mean)/√(variance + ε) over axes, with the statistics of x.
    pub(crate) fn normalize(&mut self, x: &Array, axes: Vec<usize>, epsilon: f64) -> Read<Array> {
        axes.iter().try_for_each(|&axis| x.fixed(axis).map(drop))?;
        self.apply(Normalize { axes, epsilon }, &[x], x.shape.clone(), Kind::Float)
    }

    /// w x + b, where they are there, shaped to broadcast.
    fn scaled(&mut self, x: &Array, weight: Option<&Array>, bias: Option<&Array>, shape: &[usize]) -> Read<Array> {
        let mut y = x.clone();
        if let Some(weight) = weight {
            let weight = self.reshape_fixed(weight, shape)?;
            y = self.multiply(&y, &weight)?;
        }
        if let Some(bias) = bias {
            let bias = self.reshape_fixed(bias, shape)?;
            y = self.add(&y, &bias)?;
        }
        Ok(y)
    }

    /// Layer norm over the last `count` axes.
    pub(crate) fn layer_norm(
        &mut self,
        x: &Array,
        count: usize,
        weight: Option<&Array>,
        bias: Option<&Array>,
        epsilon: f64,
    ) -> Read<Array> {
        let first = x.rank().checked_sub(count).ok_or("it normalises more axes than there are")?;
        let y = self.normalize(x, (first..x.rank()).collect(), epsilon)?;
        let y = match weight {
            Some(weight) => self.multiply(&y, weight)?,
            None => y,
        };
        match bias {
            Some(bias) => self.add(&y, bias),
            None => Ok(y),
        }
    }

    /// x/√(mean x² + ε) over the last `count` axes.
    pub(crate) fn rms_norm(&mut self, x: &Array, count: usize, weight: Option<&Array>, epsilon: f64) -> Read<Array> {
        let first = x.rank().checked_sub(count).ok_or("it normalises more axes than there are")?;
        let squares = self.power(x, 2.0)?;
        let mean = self.mean(&squares, &(first..x.rank()).collect::<Vec<_>>(), true)?;
        let shifted = self.affine(&mean, 1.0, epsilon)?;
        let rate = self.elementwise(Power { exponent: -0.5 }, &shifted)?;
        let y = self.multiply(x, &rate)?;
        match weight {
            Some(weight) => self.multiply(&y, weight),
            None => Ok(y),
        }
    }

    /// Group norm of (samples, channels, …).
    pub(crate) fn group_norm(
        &mut self,
        x: &Array,
        groups: usize,
        weight: Option<&Array>,
        bias: Option<&Array>,
        epsilon: f64,
    ) -> Read<Array> {
        let channels = x.fixed(1)?;
        let positions: usize = (2..x.rank()).map(|axis| x.fixed(axis)).collect::<Read<Vec<_>>>()?.iter().product();
        let width = channels.checked_div(groups).filter(|width| width * groups == channels);
        let width = width.ok_or_else(|| format!("{channels} channels in {groups} groups"))?;
        let grouped = vec![x.shape[0], Extent::Fixed(groups), Extent::Fixed(width * positions)];
        let y = self.viewed(x, grouped)?;
        let y = self.normalize(&y, vec![2], epsilon)?;
        let y = self.viewed(&y, x.shape.clone())?;
        self.scaled(&y, weight, bias, &per_channel(x.rank(), channels))
    }

    /// Batch norm of (samples, channels, …), with stored statistics or those of the batch.
    pub(crate) fn batch_norm(
        &mut self,
        x: &Array,
        (weight, bias): (Option<&Array>, Option<&Array>),
        (mean, variance): (&Array, &Array),
        epsilon: f64,
        of_batch: bool,
    ) -> Read<Array> {
        if x.rank() < 2 {
            return Err(format!("batch norm of {}", shape_text(&x.shape)).into());
        }
        let channels = x.fixed(1)?;
        if of_batch {
            let axes = (0..x.rank()).filter(|&axis| axis != 1).collect();
            let y = self.apply(Normalize { axes, epsilon }, &[x], x.shape.clone(), Kind::Float)?;
            if let (Content::Step(y), Content::Step(mean), Content::Step(variance)) =
                (&y.content, &mean.content, &variance.content)
            {
                self.builder.track_statistics(*y, *mean, *variance);
            }
            return self.scaled(&y, weight, bias, &per_channel(x.rank(), channels));
        }
        let plain = |number: f64| -> Read<Array> {
            Array::constant(Tensor::full(number, channels, &Device::Cpu)?.to_dtype(DType::F64)?)
        };
        let weight = weight.map_or_else(|| plain(1.0), |weight| Ok(weight.clone()))?;
        let bias = bias.map_or_else(|| plain(0.0), |bias| Ok(bias.clone()))?;
        self.apply(BatchNorm { epsilon }, &[x, &weight, &bias, mean, variance], x.shape.clone(), Kind::Float)
    }
}

/// The shape of a number for each channel of (samples, channels, …).
fn per_channel(rank: usize, channels: usize) -> Vec<usize> {
    let mut shape = vec![1; rank];
    shape[1] = channels;
    shape
}
