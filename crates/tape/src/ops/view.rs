//! A tensor's elements in another shape, in another order of its axes, or repeated along axes.

use candle_core::Tensor;

use super::linear_map::LinearMap;
use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Error, Result, kernels};

/// The same elements, row by row, in another shape.
#[derive(Debug)]
pub struct View {
    /// The extent of each axis; at most one is absent and takes what the others leave.
    pub shape: Vec<Option<usize>>,
}

impl View {
    fn shape_of(&self, x: &Tensor) -> Result<Vec<usize>> {
        let known: usize = self.shape.iter().flatten().product();
        let rest = x.elem_count().checked_div(known).unwrap_or(0);
        let absent = self.shape.iter().filter(|extent| extent.is_none()).count();
        let whole = if absent == 0 { known } else { known * rest };
        if absent > 1 || whole != x.elem_count() {
            return Err(Error::shape("view", format!("as many elements as {:?} holds", self.shape), x.dims()));
        }
        Ok(self.shape.iter().map(|extent| extent.unwrap_or(rest)).collect())
    }
}

impl LinearMap for View {
    fn name(&self) -> &'static str {
        "view"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.reshape(self.shape_of(x)?)?)
    }

    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        Ok(y_bar.reshape(input_shape)?)
    }
}

/// The axes in another order: axis i of y is axis `axes[i]` of x.
#[derive(Debug)]
pub struct Permute {
    /// Each axis of x once.
    pub axes: Vec<usize>,
}

impl LinearMap for Permute {
    fn name(&self) -> &'static str {
        "permute"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.permute(self.axes.as_slice())?.contiguous()?)
    }

    fn transpose(&self, y_bar: &Tensor, _input_shape: &[usize]) -> Result<Tensor> {
        let mut inverse = vec![0; self.axes.len()];
        self.axes.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
        Ok(y_bar.permute(inverse.as_slice())?.contiguous()?)
    }
}

/// x repeated along axes of extent 1, and along new axes in front.
#[derive(Debug)]
pub struct Broadcast {
    /// The extent of each axis of y; an absent one is that of x.
    pub shape: Vec<Option<usize>>,
}

impl LinearMap for Broadcast {
    fn name(&self) -> &'static str {
        "broadcast"
    }

    fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let Some(lead) = self.shape.len().checked_sub(x.rank()) else {
            return Err(Error::shape("broadcast", format!("at most {} axes", self.shape.len()), x.dims()));
        };
        let own = |axis: usize| axis.checked_sub(lead).map_or(1, |axis| x.dims()[axis]);
        let shape: Vec<usize> =
            self.shape.iter().enumerate().map(|(axis, extent)| extent.unwrap_or_else(|| own(axis))).collect();
        Ok(x.broadcast_as(shape)?.contiguous()?)
    }

    fn transpose(&self, y_bar: &Tensor, input_shape: &[usize]) -> Result<Tensor> {
        kernels::sum_to(y_bar, input_shape)
    }
}

/// x repeated along an axis of extent 1, as often as there are samples; inputs x and a tensor with the samples on axis 0,
/// of which the number alone is read.
#[derive(Debug)]
pub struct BroadcastOverSamples {
    /// The axis of extent 1.
    pub axis: usize,
    /// How often for each sample.
    pub times: usize,
}

impl BroadcastOverSamples {
    fn spread(&self, x: &Tensor, samples: usize) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        match shape.get_mut(self.axis) {
            Some(extent @ 1) => *extent = self.times * samples,
            _ => return Err(Error::shape("broadcast", format!("axis {} of extent 1", self.axis), x.dims())),
        }
        Ok(x.broadcast_as(shape)?.contiguous()?)
    }
}

impl Op for BroadcastOverSamples {
    fn name(&self) -> &'static str {
        "broadcast over samples"
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads::shapes(active.len())
    }

    fn forward(&self, x: &[&Tensor], _saved: &mut Vec<Tensor>) -> Result<Tensor> {
        self.spread(x[0], x[1].dim(0)?)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dx| self.spread(dx, at.input(1).dim(0)?)).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![wanted[0].then(|| kernels::sum_to(y_bar, at.input(0).dims())).transpose()?, None])
    }
}

#[cfg(test)]
mod tests {
    use super::super::linear_map::LinearRules;
    use super::*;
    use crate::derivative_check::{check, check_unary, normal};

    #[test]
    fn the_four_rules_agree_with_differences() {
        check_unary(&LinearRules(View { shape: vec![None, Some(6)] }), &[&[2, 3, 2], &[12], &[1, 1, 6]]);
        check_unary(&LinearRules(View { shape: vec![Some(3), Some(4)] }), &[&[2, 3, 2], &[12]]);
        check_unary(&LinearRules(Permute { axes: vec![2, 0, 1] }), &[&[2, 3, 4], &[0, 1, 2], &[1, 1, 1]]);
        check_unary(
            &LinearRules(Broadcast { shape: vec![Some(2), None, Some(4)] }),
            &[&[3, 1], &[2, 3, 1], &[1, 5, 4]],
        );
        check(&BroadcastOverSamples { axis: 1, times: 2 }, &[normal(&[2, 1, 3], 1), normal(&[3], 2)], &[true, false]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(View { shape: vec![None, Some(5)] }.apply(&normal(&[4, 3], 1)).is_err());
        assert!(View { shape: vec![None, None] }.apply(&normal(&[4, 3], 1)).is_err());
        assert!(Broadcast { shape: vec![Some(2)] }.apply(&normal(&[1, 1], 1)).is_err());
    }
}
