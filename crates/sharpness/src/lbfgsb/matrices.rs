//! The limited-memory matrix in compact form (Byrd, Nocedal and Schnabel 1994, eq. 3.5):
//! B = θI − W M Wᵀ with W = [Y θS] and M = [−D Lᵀ; L θSᵀS]⁻¹,
//! where D is the diagonal and L the strictly lower triangle of SᵀY.

use std::collections::VecDeque;

use nalgebra::{Cholesky, DMatrix, Dyn};

use super::reductions::{dot, for_each};

/// Pairs s = Δx, y = Δ∇f, oldest first, and the small matrices made of them.
pub(super) struct Memory {
    capacity: usize,
    pub(super) s: VecDeque<Vec<f64>>,
    pub(super) y: VecDeque<Vec<f64>>,
    /// B₀ = θI.
    pub(super) theta: f64,
    /// sᵢᵀyⱼ for i ≥ j.
    pub(super) sy: DMatrix<f64>,
    /// SᵀS.
    ss: DMatrix<f64>,
    /// J of T = θSᵀS + L D⁻¹ Lᵀ = J Jᵀ.
    j: DMatrix<f64>,
}

impl Memory {
    pub(super) fn new(capacity: usize) -> Self {
        let empty = DMatrix::zeros(0, 0);
        Self {
            capacity,
            s: VecDeque::new(),
            y: VecDeque::new(),
            theta: 1.0,
            sy: empty.clone(),
            ss: empty.clone(),
            j: empty,
        }
    }

    /// The number of pairs.
    pub(super) fn len(&self) -> usize {
        self.s.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.s.is_empty()
    }

    /// Forgets all pairs: B = I.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.capacity);
    }

    /// Takes in a pair with sᵀy > 0, in the place of the oldest one where the memory is full. Where rounding has made
    /// T indefinite, all pairs are forgotten.
    pub(super) fn push(&mut self, s: Vec<f64>, y: Vec<f64>, sy: f64) {
        if self.len() == self.capacity {
            self.s.pop_front();
            self.y.pop_front();
            for matrix in [&mut self.sy, &mut self.ss] {
                *matrix = matrix.view((1, 1), (self.capacity - 1, self.capacity - 1)).into_owned();
            }
        }
        let new = self.len();
        self.theta = dot(&y, &y) / sy;
        self.sy.resize_mut(new + 1, new + 1, 0.0);
        self.ss.resize_mut(new + 1, new + 1, 0.0);
        for old in 0..new {
            self.sy[(new, old)] = dot(&s, &self.y[old]);
            self.ss[(new, old)] = dot(&s, &self.s[old]);
            self.ss[(old, new)] = self.ss[(new, old)];
        }
        self.sy[(new, new)] = sy;
        self.ss[(new, new)] = dot(&s, &s);
        self.s.push_back(s);
        self.y.push_back(y);
        match self.factor() {
            Some(factor) => self.j = factor.unpack(),
            None => self.clear(),
        }
    }

    fn factor(&self) -> Option<Cholesky<f64, Dyn>> {
        let t = DMatrix::from_fn(self.len(), self.len(), |i, j| {
            let lower: f64 = (0..i.min(j)).map(|k| self.sy[(i, k)] * self.sy[(j, k)] / self.sy[(k, k)]).sum();
            self.theta * self.ss[(i, j)] + lower
        });
        Cholesky::new(t)
    }

    /// Wᵀv.
    pub(super) fn transpose(&self, v: &[f64]) -> Vec<f64> {
        let y = self.y.iter().map(|y| dot(y, v));
        let s = self.s.iter().map(|s| self.theta * dot(s, v));
        y.chain(s).collect()
    }

    /// Row i of W.
    pub(super) fn row(&self, i: usize, row: &mut [f64]) {
        let (y, s) = row.split_at_mut(self.len());
        for k in 0..self.len() {
            y[k] = self.y[k][i];
            s[k] = self.theta * self.s[k][i];
        }
    }

    /// out ← out + W a.
    pub(super) fn add_combination(&self, a: &[f64], out: &mut [f64]) {
        let (of_y, of_s) = a.split_at(self.len());
        for_each(out, |i, out| {
            for k in 0..self.len() {
                *out += self.y[k][i] * of_y[k] + self.s[k][i] * (self.theta * of_s[k]);
            }
        });
    }

    /// out ← M v, by p₂ = (J Jᵀ)⁻¹ (v₂ + L D⁻¹ v₁) and p₁ = D⁻¹ (Lᵀ p₂ − v₁).
    pub(super) fn middle_product(&self, v: &[f64], out: &mut [f64]) {
        let n = self.len();
        let (v1, v2) = v.split_at(n);
        let (p1, p2) = out.split_at_mut(n);
        for i in 0..n {
            let known: f64 = (0..i).map(|k| self.sy[(i, k)] * v1[k] / self.sy[(k, k)] - self.j[(i, k)] * p2[k]).sum();
            p2[i] = (v2[i] + known) / self.j[(i, i)];
        }
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| self.j[(k, i)] * p2[k]).sum();
            p2[i] = (p2[i] - known) / self.j[(i, i)];
        }
        for i in 0..n {
            let lower: f64 = (i + 1..n).map(|k| self.sy[(k, i)] * p2[k]).sum();
            p1[i] = (lower - v1[i]) / self.sy[(i, i)];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B y-products satisfy the secant equation of the newest pair: B s = y.
    #[test]
    fn the_newest_pair_is_mapped_onto_itself() {
        let mut memory = Memory::new(2);
        let pairs = [
            ([1.0, 0.5, 0.0], [2.0, 0.3, 0.1]),
            ([0.0, 1.0, 0.2], [0.4, 3.0, 0.5]),
            ([0.3, 0.1, 1.0], [0.5, 0.2, 0.7]),
        ];
        for (s, y) in pairs {
            memory.push(s.to_vec(), y.to_vec(), dot(&s, &y));
        }
        let (s, y) = pairs[2];
        let c = memory.transpose(&s);
        let mut p = vec![0.0; c.len()];
        memory.middle_product(&c, &mut p);
        let mut product = vec![0.0; 3];
        memory.add_combination(&p, &mut product);
        for i in 0..3 {
            assert!((memory.theta * s[i] - product[i] - y[i]).abs() < 1e-13);
        }
        assert_eq!(memory.len(), 2);
    }
}
