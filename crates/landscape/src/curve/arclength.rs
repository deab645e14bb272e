//! The length of a curve in parameter space.

use basin_objective::Result;
use basin_records::connection::Shape;
use basin_tape::vector;
use candle_core::Tensor;

use super::{Curve, bernstein};
use crate::direction::on_cpu;

/// Nodes and weights of Gauss's quadrature over [−1, 1], exact to degree 9.
const GAUSS: [(f64, f64); 5] = [
    (-0.906_179_845_938_664, 0.236_926_885_056_189_1),
    (-0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.0, 0.568_888_888_888_888_9),
    (0.538_469_310_105_683_1, 0.478_628_670_499_366_5),
    (0.906_179_845_938_664, 0.236_926_885_056_189_1),
];
/// Parts between two positions that are integrated each by itself.
const PARTS: usize = 8;

impl Curve {
    /// The length ∫₀ᵗ ‖φ'(s)‖ ds of the curve up to each of some ascending positions t.
    ///
    /// With the differences dⱼ of neighbouring points φ'(s) is n Σⱼ bⱼ(s) dⱼ, where b are Bernstein's polynomials of one degree less
    /// on a Bézier curve, and 1 for the piece that s is on along a chain. Its norm takes the inner products of the differences alone.
    ///
    /// # Errors
    /// When the device fails.
    pub fn arclength(&self, t: &[f64]) -> Result<Vec<f64>> {
        let products = self.products_of_differences()?;
        let (mut from, mut length) = (0.0, 0.0);
        let lengths = t.iter().map(|&t| {
            length += match self.shape {
                Shape::Bezier => bezier(&products, from, t),
                Shape::Chain => chain(&products, from, t),
            };
            from = t;
            length
        });
        Ok(lengths.collect())
    }

    /// ⟨dᵢ, dⱼ⟩ in f64.
    fn products_of_differences(&self) -> Result<Vec<Vec<f64>>> {
        let points = self.points.iter().map(on_cpu).collect::<Result<Vec<_>>>()?;
        let differences = points.windows(2).map(|pair| Ok((&pair[1] - &pair[0])?)).collect::<Result<Vec<Tensor>>>()?;
        let row = |d: &Tensor| differences.iter().map(|e| Ok(vector::dot(d, e)?)).collect::<Result<Vec<f64>>>();
        differences.iter().map(row).collect()
    }
}

fn bezier(products: &[Vec<f64>], from: f64, to: f64) -> f64 {
    let n = products.len() as f64;
    let speed = |s: f64| {
        let b = bernstein(products.len() - 1, s);
        let rows = products.iter().zip(&b);
        let square: f64 = rows.map(|(row, bi)| bi * row.iter().zip(&b).map(|(d, bj)| d * bj).sum::<f64>()).sum();
        n * square.max(0.0).sqrt()
    };
    let width = (to - from) / PARTS as f64;
    let part = |k: usize| {
        let middle = from + (k as f64 + 0.5) * width;
        GAUSS.iter().map(|(node, weight)| weight * speed(middle + node * width / 2.0)).sum::<f64>()
    };
    width / 2.0 * (0..PARTS).map(part).sum::<f64>()
}

fn chain(products: &[Vec<f64>], from: f64, to: f64) -> f64 {
    let n = products.len() as f64;
    let on_piece = |j: usize| (to * n).clamp(j as f64, j as f64 + 1.0) - (from * n).clamp(j as f64, j as f64 + 1.0);
    (0..products.len()).map(|j| on_piece(j) * products[j][j].sqrt()).sum()
}
