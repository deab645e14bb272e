//! Scaled dot-product attention.

use basin_tape::ops::CausalSoftmax;
use candle_core::{Device, Tensor};

use super::{Array, Graph, Kind, Number, Read};

/// What attention is given beside queries, keys and values.
#[derive(Debug, Default)]
pub(crate) struct Attention {
    /// Added to the scores, or truth values of what is looked at.
    pub(crate) mask: Option<Array>,
    /// Whether a position looks at none behind it.
    pub(crate) causal: bool,
    /// The factor of the scores; 1/√width when absent.
    pub(crate) scale: Option<f64>,
    /// Whether several heads of queries share one of keys and values.
    pub(crate) grouped: bool,
}

impl Graph {
    /// softmax(s q kᵀ + mask) v for (…, positions, width).
    pub(crate) fn attention(&mut self, q: &Array, k: &Array, v: &Array, attention: &Attention) -> Read<Array> {
        let rank = q.rank();
        if rank < 2 || k.rank() != rank || v.rank() != rank {
            return Err("attention of arrays with different numbers of axes".into());
        }
        let (mut k, mut v) = (k.clone(), v.clone());
        if attention.grouped && rank > 2 {
            let (heads, shared) = (q.fixed(rank - 3)?, k.fixed(rank - 3)?);
            let times = heads.checked_div(shared).filter(|times| times * shared == heads);
            let times = times.ok_or_else(|| format!("{heads} heads of queries share {shared} of keys"))?;
            k = self.repeat_interleave(&k, rank - 3, times)?;
            v = self.repeat_interleave(&v, rank - 3, times)?;
        }
        let width = q.fixed(rank - 1)? as f64;
        let q = self.affine(q, attention.scale.unwrap_or(1.0 / width.sqrt()), 0.0)?;
        let turned = self.transpose(&k, rank - 2, rank - 1)?;
        let mut scores = self.matmul(&q, &turned)?;
        let square = q.shape[rank - 2] == k.shape[rank - 2];
        if let Some(mask) = &attention.mask {
            scores = match mask.kind {
                Kind::Boolean => {
                    let none = Number::Float(f64::NEG_INFINITY).array(Kind::Float)?;
                    self.choose(mask, &scores, &none)?
                }
                _ => self.add(&scores, mask)?,
            };
        }
        let probabilities = if attention.causal && square {
            self.apply(CausalSoftmax, &[&scores], scores.shape.clone(), Kind::Float)?
        } else {
            if attention.causal {
                let (rows, columns) = (q.fixed(rank - 2)?, k.fixed(rank - 2)?);
                super::bounded(&[rows, columns])?;
                let mask = (0..rows * columns).map(|i| u8::from(i % columns <= i / columns)).collect::<Vec<_>>();
                let mask = Array::constant(Tensor::from_vec(mask, (rows, columns), &Device::Cpu)?)?;
                let none = Number::Float(f64::NEG_INFINITY).array(Kind::Float)?;
                scores = self.choose(&mask, &scores, &none)?;
            }
            self.softmax(&scores, rank - 1)?
        };
        self.matmul(&probabilities, &v)
    }
}
