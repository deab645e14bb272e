//! Convolutions of one and two dimensions.

use basin_tape::ops::{BilinearRules, Conv2d, Convolution, TransposedConvolution};

use super::{Array, Extent, Graph, Kind, Read, shape_text};

/// What is added around the samples of a convolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Padding {
    /// So much on both sides of each axis.
    Sizes(Vec<usize>),
    /// Nothing.
    Valid,
    /// As much as keeps the extents, the odd one behind.
    Same,
}

/// The geometry of a convolution, an entry for each axis.
#[derive(Clone, Debug)]
pub(crate) struct ConvolutionGeometry {
    pub(crate) stride: Vec<usize>,
    pub(crate) padding: Padding,
    pub(crate) dilation: Vec<usize>,
    pub(crate) groups: usize,
}

/// Two entries of a list that has one for each axis, or one for all.
pub(crate) fn pair(list: &[usize], default: usize) -> Read<(usize, usize)> {
    match *list {
        [] => Ok((default, default)),
        [both] => Ok((both, both)),
        [rows, columns] => Ok((rows, columns)),
        _ => Err(format!("{list:?} has more than two axes").into()),
    }
}

impl Graph {
    /// A convolution of (images, channels, …) with one or two further axes.
    pub(crate) fn convolution(
        &mut self,
        x: &Array,
        weight: &Array,
        bias: Option<&Array>,
        geometry: &ConvolutionGeometry,
    ) -> Read<Array> {
        if x.rank() == 3 && weight.rank() == 3 {
            let line = ConvolutionGeometry {
                stride: in_plane(&geometry.stride, 1)?,
                padding: match &geometry.padding {
                    Padding::Sizes(sizes) => Padding::Sizes(in_plane(sizes, 0)?),
                    other => other.clone(),
                },
                dilation: in_plane(&geometry.dilation, 1)?,
                groups: geometry.groups,
            };
            let (x, weight) = (self.unsqueeze(x, 2)?, self.unsqueeze(weight, 2)?);
            let y = self.convolution(&x, &weight, bias, &line)?;
            return self.squeeze(&y, &[2]);
        }
        let (&[images, _, height, width], &[outputs, _, rows, columns]) = (x.shape.as_slice(), weight.shape.as_slice())
        else {
            return Err(format!("a convolution of {} with {}", shape_text(&x.shape), shape_text(&weight.shape)).into());
        };
        let (stride, dilation) = (pair(&geometry.stride, 1)?, pair(&geometry.dilation, 1)?);
        let kernel = (rows.of_one_sample(), columns.of_one_sample());
        let (x, padding) = match &geometry.padding {
            Padding::Sizes(sizes) => (x.clone(), pair(sizes, 0)?),
            Padding::Valid => (x.clone(), (0, 0)),
            Padding::Same => {
                let total = |kernel: usize, dilation: usize| dilation.saturating_mul(kernel.saturating_sub(1));
                let (down, across) = (total(kernel.0, dilation.0), total(kernel.1, dilation.1));
                let x = self.pad(x, 2, 0, (down % 2) as i64, 0.0)?;
                (self.pad(&x, 3, 0, (across % 2) as i64, 0.0)?, (down / 2, across / 2))
            }
        };
        let geometry = Conv2d { stride, padding, dilation, groups: geometry.groups };
        let input = x.shape.iter().map(|extent| extent.of_one_sample()).collect::<Vec<_>>();
        let kernel = weight.shape.iter().map(|extent| extent.of_one_sample()).collect::<Vec<_>>();
        let (rows, columns) = geometry.output_size(&input, &kernel)?;
        debug_assert!(height.fixed().is_some() && width.fixed().is_some());
        let shape = vec![images, outputs, Extent::Fixed(rows), Extent::Fixed(columns)];
        let operands: Vec<&Array> = [&x, weight].into_iter().chain(bias).collect();
        self.apply(BilinearRules(Convolution(geometry)), &operands, shape, Kind::Float)
    }

    /// A transposed convolution of (images, channels, …) with one or two further axes.
    pub(crate) fn transposed_convolution(
        &mut self,
        x: &Array,
        weight: &Array,
        bias: Option<&Array>,
        geometry: &ConvolutionGeometry,
        output_padding: &[usize],
    ) -> Read<Array> {
        let Padding::Sizes(padding) = &geometry.padding else {
            return Err("a transposed convolution's padding".into());
        };
        if x.rank() == 3 && weight.rank() == 3 {
            let line = ConvolutionGeometry {
                stride: in_plane(&geometry.stride, 1)?,
                padding: Padding::Sizes(in_plane(padding, 0)?),
                dilation: in_plane(&geometry.dilation, 1)?,
                groups: geometry.groups,
            };
            let (x, weight) = (self.unsqueeze(x, 2)?, self.unsqueeze(weight, 2)?);
            let y = self.transposed_convolution(&x, &weight, bias, &line, &in_plane(output_padding, 0)?)?;
            return self.squeeze(&y, &[2]);
        }
        let (&[images, _, _, _], &[_, outputs, rows, columns]) = (x.shape.as_slice(), weight.shape.as_slice()) else {
            return Err(format!("a convolution of {} with {}", shape_text(&x.shape), shape_text(&weight.shape)).into());
        };
        let (stride, padding, dilation) = (pair(&geometry.stride, 1)?, pair(padding, 0)?, pair(&geometry.dilation, 1)?);
        let output_padding = pair(output_padding, 0)?;
        let extent = |axis: usize, kernel: Extent, stride: usize, padding: usize, dilation: usize, more: usize| {
            let size = x.fixed(axis)?.checked_sub(1).and_then(|steps| steps.checked_mul(stride));
            let reach = kernel.of_one_sample().checked_sub(1).and_then(|steps| steps.checked_mul(dilation));
            let all = size.zip(reach).and_then(|(size, reach)| size.checked_add(reach)?.checked_add(more + 1));
            let extent = all.and_then(|all| all.checked_sub(padding.checked_mul(2)?)).map(Extent::Fixed);
            extent.ok_or_else(|| super::Fault("a convolution without a result".into()))
        };
        let height = extent(2, rows, stride.0, padding.0, dilation.0, output_padding.0)?;
        let width = extent(3, columns, stride.1, padding.1, dilation.1, output_padding.1)?;
        let channels = outputs.of_one_sample().checked_mul(geometry.groups).ok_or("too many channels")?;
        let op = TransposedConvolution {
            geometry: Conv2d { stride, padding, dilation, groups: geometry.groups },
            output_padding,
        };
        let operands: Vec<&Array> = [x, weight].into_iter().chain(bias).collect();
        let shape = vec![images, Extent::Fixed(channels), height, width];
        self.apply(BilinearRules(op), &operands, shape, Kind::Float)
    }
}

/// The settings of a line as those of a plane of one row.
fn in_plane(list: &[usize], of_row: usize) -> Read<Vec<usize>> {
    match *list {
        [] => Ok(vec![]),
        [one] => Ok(vec![of_row, one]),
        _ => Err(format!("{list:?} for one axis").into()),
    }
}
