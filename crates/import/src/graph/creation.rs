//! Arrays that are made rather than computed.

use candle_core::{DType, Device, Tensor};

use super::{Array, Content, Extent, Graph, Kind, Number, Read, bounded};

impl Graph {
    /// One number everywhere.
    pub(crate) fn full(&self, shape: &[Extent], number: Number, kind: Kind) -> Read<Array> {
        let extents: Vec<usize> = shape.iter().map(|extent| extent.fixed().unwrap_or(1)).collect();
        bounded(&extents)?;
        let array = number.array(kind)?;
        let Some(tensor) = array.known() else { return Err("a number is known".into()) };
        let tensor = tensor.broadcast_as(extents.as_slice())?.contiguous()?;
        Ok(Array { content: Content::Constant(tensor), shape: shape.to_vec(), kind, uniform: true })
    }

    /// start, start + step, … below end.
    pub(crate) fn range(&self, start: Number, end: Number, step: Number, kind: Kind) -> Read<Array> {
        let (from, to, by) = (start.value(), end.value(), step.value());
        let count = ((to - from) / by).ceil();
        if !(0.0..=super::MOST_ELEMENTS as f64).contains(&count) {
            return Err(format!("a range from {from} to {to} in steps of {by}").into());
        }
        let numbers: Vec<f64> = (0..count as usize).map(|i| from + by * i as f64).collect();
        let count = numbers.len();
        let tensor = Tensor::from_vec(numbers, count, &Device::Cpu)?;
        Array::constant(if kind == Kind::Float { tensor } else { tensor.to_dtype(DType::I64)? })
    }

    /// 0, 1, … for each sample its number.
    pub(crate) fn sample_numbers(&self) -> Array {
        Array { content: Content::SampleNumbers, shape: vec![Extent::Samples(1)], kind: Kind::Integer, uniform: false }
    }

    /// x where column − row ≤ diagonal (`lower`), or ≥, and 0 elsewhere, in the last two axes.
    pub(crate) fn triangle(&mut self, x: &Array, diagonal: i64, lower: bool) -> Read<Array> {
        let (Some(rows), Some(columns)) = (x.rank().checked_sub(2), x.rank().checked_sub(1)) else {
            return Err("a triangle of fewer than two axes".into());
        };
        let (rows, columns) = (x.fixed(rows)?, x.fixed(columns)?);
        bounded(&[rows, columns])?;
        let inside = |row: usize, column: usize| {
            let offset = column as i64 - row as i64;
            u8::from(if lower { offset <= diagonal } else { offset >= diagonal })
        };
        let mask: Vec<u8> = (0..rows * columns).map(|i| inside(i / columns, i % columns)).collect();
        let mask = Array::constant(Tensor::from_vec(mask, (rows, columns), &Device::Cpu)?)?;
        let zero = Number::Integer(0).array(x.kind)?;
        self.choose(&mask, x, &zero)
    }
}
