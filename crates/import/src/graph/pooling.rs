//! Pooling over windows of one and two dimensions.

use basin_tape::ops::{AdaptiveAveragePool2d, AveragePool2d, LinearRules, MaxPool2d, Pool2d};

use super::convolution::pair;
use super::{Array, Extent, Graph, Kind, Read, shape_text};

/// The windows of a pooling, an entry for each axis.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    pub(crate) kernel: Vec<usize>,
    /// Empty for windows side by side.
    pub(crate) stride: Vec<usize>,
    pub(crate) padding: Vec<usize>,
    pub(crate) dilation: Vec<usize>,
    pub(crate) ceil_mode: bool,
}

impl Windows {
    fn plane(&self) -> Read<Pool2d> {
        let kernel = pair(&self.kernel, 1)?;
        let stride = if self.stride.is_empty() { kernel } else { pair(&self.stride, 1)? };
        let (padding, dilation) = (pair(&self.padding, 0)?, pair(&self.dilation, 1)?);
        Ok(Pool2d { kernel, stride, padding, dilation, ceil_mode: self.ceil_mode })
    }

    /// The windows of a line as those of a plane of one row.
    fn line(&self) -> Self {
        let of_row = |list: &[usize], of_row: usize| match list {
            [one] => vec![of_row, *one],
            list => list.to_vec(),
        };
        Self {
            kernel: of_row(&self.kernel, 1),
            stride: of_row(&self.stride, 1),
            padding: of_row(&self.padding, 0),
            dilation: of_row(&self.dilation, 1),
            ceil_mode: self.ceil_mode,
        }
    }
}

impl Graph {
    fn pooled_shape(x: &Array, windows: &Pool2d) -> Read<Vec<Extent>> {
        let &[images, channels, _, _] = x.shape.as_slice() else {
            return Err(format!("pooling of {}", shape_text(&x.shape)).into());
        };
        let (rows, columns) = windows.output_size(x.fixed(2)?, x.fixed(3)?)?;
        Ok(vec![images, channels, Extent::Fixed(rows), Extent::Fixed(columns)])
    }

    /// The largest of each window.
    pub(crate) fn max_pool(&mut self, x: &Array, windows: &Windows, axes: usize) -> Read<Array> {
        if axes == 1 {
            let plane = self.unsqueeze(x, x.rank() as i64 - 1)?;
            let y = self.max_pool(&plane, &windows.line(), 2)?;
            return self.squeeze(&y, &[y.rank() - 2]);
        }
        let windows = windows.plane()?;
        let shape = Self::pooled_shape(x, &windows)?;
        self.apply(MaxPool2d(windows), &[x], shape, Kind::Float)
    }

    /// The mean of each window.
    pub(crate) fn average_pool(
        &mut self,
        x: &Array,
        windows: &Windows,
        count_padding: bool,
        axes: usize,
    ) -> Read<Array> {
        if axes == 1 {
            let plane = self.unsqueeze(x, x.rank() as i64 - 1)?;
            let y = self.average_pool(&plane, &windows.line(), count_padding, 2)?;
            return self.squeeze(&y, &[y.rank() - 2]);
        }
        let geometry = windows.plane()?;
        let shape = Self::pooled_shape(x, &geometry)?;
        self.apply(LinearRules(AveragePool2d { geometry, count_padding }), &[x], shape, Kind::Float)
    }

    /// Means over neighbouring planes of (images, channels, planes, …), alone of which the windows have more than one.
    pub(crate) fn average_pool_of_depth(&mut self, x: &Array, windows: &Windows) -> Read<Array> {
        let (&[depth, 1, 1], [] | [1, 1, 1]) = (windows.kernel.as_slice(), windows.stride.as_slice()) else {
            return Err("pooling of volumes".into());
        };
        if windows.padding.iter().any(|&padding| padding > 0) || x.rank() != 5 {
            return Err("pooling of volumes".into());
        }
        let flat = self.flatten(x, 3, 4)?;
        let windows = Windows {
            kernel: vec![depth, 1],
            stride: vec![1, 1],
            padding: vec![],
            dilation: vec![],
            ceil_mode: windows.ceil_mode,
        };
        let images = self.flatten(&flat, 0, 1)?;
        let plane = self.unsqueeze(&images, 1)?;
        let y = self.average_pool(&plane, &windows, true, 2)?;
        let mut shape = x.shape.clone();
        shape[2] = y.shape[2];
        self.viewed(&y, shape)
    }

    /// Means over so many windows along the last axes, whatever their extents.
    pub(crate) fn adaptive_average_pool(&mut self, x: &Array, windows: &[usize]) -> Read<Array> {
        if let &[columns] = windows {
            let plane = self.unsqueeze(x, x.rank() as i64 - 1)?;
            let y = self.adaptive_average_pool(&plane, &[1, columns])?;
            return self.squeeze(&y, &[y.rank() - 2]);
        }
        let (&[images, channels, _, _], &[rows, columns]) = (x.shape.as_slice(), windows) else {
            return Err(format!("pooling of {} to {windows:?}", shape_text(&x.shape)).into());
        };
        let (height, width) = (x.fixed(2)?, x.fixed(3)?);
        if (rows, columns) == (height, width) {
            return Ok(x.clone());
        }
        if (rows, columns) == (1, 1) {
            return self.mean(x, &[2, 3], true);
        }
        super::bounded(&[rows, columns, height, width])?;
        let shape = vec![images, channels, Extent::Fixed(rows), Extent::Fixed(columns)];
        self.map(AdaptiveAveragePool2d { rows, columns }, x, shape)
    }

    /// The largest of so many windows along the last axes, which these must divide evenly.
    pub(crate) fn adaptive_max_pool(&mut self, x: &Array, windows: &[usize]) -> Read<Array> {
        let first = x.rank().checked_sub(windows.len()).ok_or("there are more windows than axes")?;
        let extents = (first..x.rank()).map(|axis| x.fixed(axis)).collect::<Read<Vec<usize>>>()?;
        let kernel = extents
            .iter()
            .zip(windows)
            .map(|(&extent, &count)| extent.checked_div(count).filter(|kernel| kernel * count == extent));
        let kernel = kernel.collect::<Option<Vec<usize>>>();
        let kernel = kernel.ok_or_else(|| format!("the largest of {windows:?} windows over {extents:?} positions"))?;
        let windows = Windows { kernel, stride: vec![], padding: vec![], dilation: vec![], ceil_mode: false };
        self.max_pool(x, &windows, extents.len())
    }
}
