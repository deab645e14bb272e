//! Sums, means, extremes and spreads along axes.

use basin_tape::ops::{Abs, Comparison, CumulativeSum, Discrete, Exp, Extremum, Log, LogSoftmax, Mean, Softmax, Sum};

use super::{Array, Extent, Graph, Kind, Number, Read};

impl Graph {
    /// Without some axes, or with extent 1 there.
    fn without(shape: &[Extent], axes: &[usize], keep: bool) -> Vec<Extent> {
        let kept = shape.iter().enumerate().filter(|(axis, _)| keep || !axes.contains(axis));
        kept.map(|(axis, &extent)| if axes.contains(&axis) { Extent::Fixed(1) } else { extent }).collect()
    }

    /// The sum over axes.
    pub(crate) fn sum(&mut self, x: &Array, axes: &[usize], keep: bool) -> Read<Array> {
        axes.iter().try_for_each(|&axis| x.fixed(axis).map(drop))?;
        let numbers = self.cast(x, Kind::Float)?;
        let sum = self.map(Sum { axes: axes.to_vec() }, &numbers, Self::without(&x.shape, axes, false))?;
        let sum = if x.kind == Kind::Float { sum } else { self.cast(&sum, Kind::Integer)? };
        self.viewed(&sum, Self::without(&x.shape, axes, keep))
    }

    /// The mean over axes.
    pub(crate) fn mean(&mut self, x: &Array, axes: &[usize], keep: bool) -> Read<Array> {
        axes.iter().try_for_each(|&axis| x.fixed(axis).map(drop))?;
        let x = self.cast(x, Kind::Float)?;
        let mean = self.map(Mean { axes: axes.to_vec() }, &x, Self::without(&x.shape, axes, false))?;
        self.viewed(&mean, Self::without(&x.shape, axes, keep))
    }

    /// The variance over axes, whose divisor is the number of elements less `correction`.
    pub(crate) fn variance(&mut self, x: &Array, axes: &[usize], correction: f64, keep: bool) -> Read<Array> {
        let count: usize = axes.iter().map(|&axis| x.fixed(axis)).collect::<Read<Vec<_>>>()?.iter().product();
        let mean = self.mean(x, axes, true)?;
        let centred = self.subtract(x, &mean)?;
        let squares = self.power(&centred, 2.0)?;
        let variance = self.mean(&squares, axes, keep)?;
        self.affine(&variance, count as f64 / (count as f64 - correction), 0.0)
    }

    /// (Σ |x|ᵖ)^(1/p) over axes.
    pub(crate) fn norm(&mut self, x: &Array, order: f64, axes: &[usize], keep: bool) -> Read<Array> {
        if order == 1.0 {
            let sizes = self.elementwise(Abs, x)?;
            return self.sum(&sizes, axes, keep);
        }
        if order != 2.0 {
            return Err(format!("the norm of order {order}").into());
        }
        let squares = self.power(x, 2.0)?;
        let sum = self.sum(&squares, axes, keep)?;
        // Of nothing the norm is 0 and, as in PyTorch, so is its derivative.
        let zero = Number::Float(0.0).array(Kind::Float)?;
        let one = Number::Float(1.0).array(Kind::Float)?;
        let nothing = self.compare(Comparison::Equal, &sum, &zero)?;
        let positive = self.choose(&nothing, &one, &sum)?;
        let root = self.power(&positive, 0.5)?;
        self.choose(&nothing, &zero, &root)
    }

    /// The largest or smallest element over axes.
    pub(crate) fn extremum(&mut self, x: &Array, axes: &[usize], keep: bool, largest: bool) -> Read<Array> {
        let mut y = x.clone();
        for &axis in axes {
            y.fixed(axis)?;
            let mut shape = y.shape.clone();
            shape[axis] = Extent::Fixed(1);
            y = self.apply(Extremum { axis, largest }, &[&y], shape, x.kind)?;
        }
        self.viewed(&y, Self::without(&x.shape, axes, keep))
    }

    /// The position of the largest element along an axis.
    pub(crate) fn argmax(&mut self, x: &Array, axis: usize, keep: bool) -> Read<Array> {
        x.fixed(axis)?;
        let shape = Self::without(&x.shape, &[axis], true);
        let position = self.apply(Discrete::ArgMax(axis), &[x], shape, Kind::Integer)?;
        self.viewed(&position, Self::without(&x.shape, &[axis], keep))
    }

    /// Cumulative sums along an axis.
    pub(crate) fn cumulative_sum(&mut self, x: &Array, axis: usize) -> Read<Array> {
        x.fixed(axis)?;
        match x.kind {
            Kind::Float => self.map(CumulativeSum { axis }, x, x.shape.clone()),
            _ => self.apply(Discrete::CumulativeSum(axis), &[x], x.shape.clone(), Kind::Integer),
        }
    }

    /// An operation on the last axis, at any axis.
    fn on_last_axis(&mut self, x: &Array, axis: usize, op: impl basin_tape::Op + 'static) -> Read<Array> {
        x.fixed(axis)?;
        let last = x.rank() - 1;
        let x = self.cast(x, Kind::Float)?;
        let turned = self.transpose(&x, axis, last)?;
        let y = self.apply(op, &[&turned], turned.shape.clone(), Kind::Float)?;
        self.transpose(&y, axis, last)
    }

    /// Probabilities in proportion to eˣ along an axis.
    pub(crate) fn softmax(&mut self, x: &Array, axis: usize) -> Read<Array> {
        self.on_last_axis(x, axis, Softmax)
    }

    /// Their logarithms.
    pub(crate) fn log_softmax(&mut self, x: &Array, axis: usize) -> Read<Array> {
        self.on_last_axis(x, axis, LogSoftmax)
    }

    /// log Σ eˣ over axes, which overflows nowhere.
    pub(crate) fn log_sum_exp(&mut self, x: &Array, axes: &[usize], keep: bool) -> Read<Array> {
        let largest = self.extremum(x, axes, true, true)?;
        // The largest takes part in no derivative: it is added as it was taken away.
        let largest = self.discrete(Discrete::Detach, &largest)?;
        let shifted = self.subtract(x, &largest)?;
        let powers = self.elementwise(Exp, &shifted)?;
        let sum = self.sum(&powers, axes, true)?;
        let log = self.elementwise(Log, &sum)?;
        let log = self.add(&log, &largest)?;
        self.viewed(&log, Self::without(&x.shape, axes, keep))
    }
}
