//! Curves between two points of the parameter space.
//!
//! φ(t) = Σⱼ wⱼ(t) pⱼ with the ends p₀ = θ_A and p_{n} = θ_B, the bends between them, and weights that sum to 1 (Garipov, Izmailov,
//! Podoprikhin, Vetrov and Wilson, "Loss surfaces, mode connectivity, and fast ensembling of DNNs", NeurIPS 2018, section 3):
//!
//! | shape | wⱼ(t) |
//! |---|---|
//! | Bézier | C(n, j) (1 − t)ⁿ⁻ʲ tʲ, Bernstein's polynomials |
//! | chain | max(0, 1 − \|n t − j\|), hats |
//!
//! ∂φ/∂pⱼ = wⱼ(t) I, so that the gradient of a loss at φ(t) in a bend is wⱼ(t) ∇L(φ(t)).

mod arclength;
mod training;

pub use training::{CurveState, CurveTraining, TrainingStep};

use basin_objective::{Error, Objective, Result};
use basin_records::connection::Shape;
use candle_core::Tensor;

/// A curve from one point to another.
///
/// ```
/// use basin_landscape::Curve;
/// use basin_records::connection::Shape;
/// use candle_core::{Device, Tensor};
///
/// let point = |elements: [f64; 2]| Tensor::new(&elements, &Device::Cpu);
/// let curve = Curve::new(Shape::Bezier, vec![point([0.0, 0.0])?, point([1.0, 2.0])?, point([2.0, 0.0])?])?;
/// assert_eq!(curve.weights(0.5), [0.25, 0.5, 0.25]);
/// assert_eq!(curve.at(0.5)?.to_vec1::<f64>()?, [1.0, 1.0]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Curve {
    shape: Shape,
    /// Both ends and the bends between them.
    points: Vec<Tensor>,
}

impl Curve {
    /// The curve that both ends and the bends between them draw.
    ///
    /// # Errors
    /// When there are fewer than two points, or they are not of one shape.
    pub fn new(shape: Shape, points: Vec<Tensor>) -> Result<Self> {
        if points.len() < 2 || points.iter().any(|point| point.dims() != points[0].dims()) {
            return Err(Error::input("these points draw no curve", "give two ends of one length, and bends like them"));
        }
        Ok(Self { shape, points })
    }

    /// A curve that is the straight line from `a` to `b`: the bends stand on it, evenly spaced.
    ///
    /// # Errors
    /// When the points are not of one shape.
    pub fn straight(shape: Shape, a: &Tensor, b: &Tensor, bends: usize) -> Result<Self> {
        let line = Self::new(Shape::Chain, vec![a.clone(), b.clone()])?;
        let points = (0..=bends + 1).map(|j| line.at(j as f64 / (bends + 1) as f64));
        Self::new(shape, points.collect::<Result<_>>()?)
    }

    /// The kind of curve.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The same ends with other bends between them.
    ///
    /// # Errors
    /// When the points are not of one shape.
    pub fn with_bends(&self, bends: Vec<Tensor>) -> Result<Self> {
        let (first, last) = (self.points[0].clone(), self.points[self.points.len() - 1].clone());
        Self::new(self.shape, [vec![first], bends, vec![last]].concat())
    }

    /// The points between the ends.
    pub fn bends(&self) -> &[Tensor] {
        &self.points[1..self.points.len() - 1]
    }

    /// The weights of all points at t, which sum to 1; at 0 and 1 the ends alone have one.
    pub fn weights(&self, t: f64) -> Vec<f64> {
        let last = self.points.len() - 1;
        match self.shape {
            Shape::Bezier => bernstein(last, t),
            Shape::Chain => (0..=last).map(|j| (1.0 - (t * last as f64 - j as f64).abs()).max(0.0)).collect(),
        }
    }

    /// φ(t); at 0 and 1 the bits of the ends.
    ///
    /// # Errors
    /// When the device fails.
    pub fn at(&self, t: f64) -> Result<Tensor> {
        let mut sum: Option<Tensor> = None;
        for (weight, point) in self.weights(t).into_iter().zip(&self.points).filter(|(weight, _)| *weight != 0.0) {
            let part = if weight == 1.0 { point.clone() } else { (point * weight)? };
            sum = Some(match sum {
                Some(sum) => (sum + part)?,
                None => part,
            });
        }
        sum.ok_or_else(|| Error::input(format!("there is no point of a curve at {t}"), "take one from 0 to 1"))
    }

    /// L(φ(t)) and its gradient in each bend, wⱼ(t) ∇L(φ(t)), where λ/2 ‖φ(t)‖² is added to L.
    ///
    /// # Errors
    /// When the points do not have the objective's length, or the device fails.
    pub fn gradient(&self, objective: &dyn Objective, t: f64, weight_decay: f64) -> Result<(f64, Vec<Tensor>)> {
        let theta = self.at(t)?;
        let (loss, mut gradient) = objective.gradient(&theta)?;
        if weight_decay != 0.0 {
            gradient = (gradient + (theta * weight_decay)?)?;
        }
        let weights = self.weights(t);
        let of_bends = weights[1..weights.len() - 1].iter().map(|&weight| Ok((&gradient * weight)?));
        Ok((loss, of_bends.collect::<Result<_>>()?))
    }
}

/// C(n, j) (1 − t)ⁿ⁻ʲ tʲ for j from 0 to n, by de Casteljau's recurrence.
fn bernstein(n: usize, t: f64) -> Vec<f64> {
    let mut weights = vec![1.0];
    for _ in 0..n {
        let mut raised = vec![0.0; weights.len() + 1];
        for (j, weight) in weights.into_iter().enumerate() {
            raised[j] += (1.0 - t) * weight;
            raised[j + 1] += t * weight;
        }
        weights = raised;
    }
    weights
}
