//! An orthonormal basis as the rows of one matrix.

use basin_objective::Result;
use basin_tape::vector;
use candle_core::{DType, Device, Tensor};

/// Columns that are recombined at a time: what that takes beside the basis.
const COLUMNS: usize = 1 << 16;

/// Orthonormal vectors v₁ … v_k behind locked ones, stored as the first rows of a matrix that grows up to a limit.
pub(crate) struct Basis {
    rows: Tensor,
    /// Rows before v₁: every vector is orthogonal to them.
    locked: usize,
    len: usize,
    limit: usize,
}

impl Basis {
    pub(crate) fn new(limit: usize, dimension: usize, dtype: DType, device: &Device) -> Result<Self> {
        Ok(Self { rows: Tensor::zeros((limit.clamp(1, 32), dimension), dtype, device)?, locked: 0, len: 0, limit })
    }

    /// k, without the locked vectors.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn dtype(&self) -> DType {
        self.rows.dtype()
    }

    pub(crate) fn device(&self) -> &Device {
        self.rows.device()
    }

    /// v₁ … v_k as rows.
    pub(crate) fn rows(&self) -> Result<Tensor> {
        Ok(self.rows.narrow(0, self.locked, self.len)?)
    }

    /// Appends a vector to which all later ones are orthogonal; before any is pushed.
    pub(crate) fn lock(&mut self, v: &Tensor) -> Result<()> {
        self.append(v)?;
        self.locked += 1;
        Ok(())
    }

    /// Appends a vector.
    pub(crate) fn push(&mut self, v: &Tensor) -> Result<()> {
        self.append(v)?;
        self.len += 1;
        Ok(())
    }

    /// Writes a vector behind the last one, making room where there is none.
    fn append(&mut self, v: &Tensor) -> Result<()> {
        let (room, dimension) = self.rows.dims2()?;
        let at = self.locked + self.len;
        if at == room {
            let larger = (2 * room).min(self.limit).max(room + 1);
            let rows = Tensor::zeros((larger, dimension), self.dtype(), self.rows.device())?;
            rows.slice_set(&self.rows, 0, 0)?;
            self.rows = rows;
        }
        Ok(self.rows.slice_set(&v.unsqueeze(0)?.contiguous()?, 0, at)?)
    }

    /// w − V Vᵀ w, locked vectors included, in two matrix-vector products.
    pub(crate) fn orthogonalize(&self, w: &Tensor) -> Result<Tensor> {
        if self.locked + self.len == 0 {
            return Ok(w.clone());
        }
        let rows = self.rows.narrow(0, 0, self.locked + self.len)?;
        let coefficients = rows.matmul(&w.unsqueeze(1)?)?;
        let along = coefficients.t()?.matmul(&rows)?.squeeze(0)?;
        Ok((w - along)?)
    }

    /// Σ sᵢ vᵢ.
    pub(crate) fn combine(&self, s: &[f64]) -> Result<Tensor> {
        let rows = self.rows.narrow(0, self.locked, s.len())?;
        let s = Tensor::new(s, self.rows.device())?.to_dtype(self.dtype())?.unsqueeze(0)?;
        Ok(s.matmul(&rows)?.squeeze(0)?)
    }

    /// Replaces v₁ … v_k by fewer combinations of them, each a row of coefficients, a few columns at a time.
    pub(crate) fn recombine(&mut self, coefficients: &[&[f64]]) -> Result<()> {
        let kept = coefficients.len();
        let coefficients =
            Tensor::from_vec(coefficients.concat(), (kept, self.len), self.device())?.to_dtype(self.dtype())?;
        let (old, new) = (self.rows()?, self.rows.narrow(0, self.locked, kept)?);
        let dimension = self.rows.dims()[1];
        for start in (0..dimension).step_by(COLUMNS) {
            let columns = old.narrow(1, start, COLUMNS.min(dimension - start))?.contiguous()?;
            new.slice_set(&coefficients.matmul(&columns)?, 1, start)?;
        }
        self.len = kept;
        Ok(())
    }

    /// ⟨a, b⟩, accumulated in f64.
    pub(crate) fn dot(&self, a: &Tensor, b: &Tensor) -> Result<f64> {
        Ok(vector::dot(a, b)?)
    }

    /// ‖a‖, accumulated in f64.
    pub(crate) fn norm(&self, a: &Tensor) -> Result<f64> {
        Ok(self.dot(a, a)?.sqrt())
    }
}
