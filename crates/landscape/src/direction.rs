//! Directions in parameter space.

use basin_objective::random::stream;
use basin_objective::{Error, Result};
use basin_tape::vector;
use candle_core::{DType, Device, Tensor};
use rand_distr::{Distribution, StandardNormal};

/// What is left of a direction, relative to its length, below which it counts as parallel to the one taken away: more than
/// f32 rounding leaves of a checkpoint on the line through two others, and an angle that no picture shows.
const PARALLEL: f64 = 1e-6;

/// A named vector of the parameters' length.
///
/// ```
/// use basin_landscape::Direction;
///
/// let x = Direction::random(100, 0, 0)?;
/// let y = Direction::random(100, 0, 1)?.orthogonal_to(&x)?;
/// assert!(x.cosine(&y)?.abs() < 1e-12);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Direction {
    /// What it is, for people to read.
    pub name: String,
    /// Its P elements in f64 on the CPU.
    pub vector: Tensor,
}

impl Direction {
    /// Independent N(0, 1) elements from the stream of a seed and a number: another number is another direction, and neither
    /// depends on whether the other is drawn.
    ///
    /// # Errors
    /// When candle fails.
    pub fn random(parameters: usize, seed: u64, index: usize) -> Result<Self> {
        let numbers = StandardNormal.sample_iter(stream(seed, "direction", &index.to_string())).take(parameters);
        let vector = Tensor::from_vec(numbers.collect::<Vec<f64>>(), parameters, &Device::Cpu)?;
        Ok(Self { name: "random".into(), vector })
    }

    /// θ_B − θ_A, from one point to another.
    ///
    /// # Errors
    /// When the lengths differ or the points are the same.
    pub fn between(a: &Tensor, b: &Tensor, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let vector = (on_cpu(b)? - on_cpu(a)?)?;
        if norm(&vector)? == 0.0 {
            return Err(Error::input(
                format!("there is no direction {name}: its parameters are those of the origin"),
                "name another checkpoint",
            ));
        }
        Ok(Self { name, vector })
    }

    /// ‖d‖₂.
    ///
    /// # Errors
    /// When candle fails.
    pub fn norm(&self) -> Result<f64> {
        norm(&self.vector)
    }

    /// ⟨d, e⟩ / (‖d‖ ‖e‖).
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn cosine(&self, other: &Self) -> Result<f64> {
        Ok(vector::dot(&self.vector, &other.vector)? / (self.norm()? * other.norm()?))
    }

    /// What is left when the part along another direction is taken away (Gram-Schmidt): d − ⟨d, e⟩ e / ⟨e, e⟩, twice, so that
    /// rounding leaves nothing of it.
    ///
    /// # Errors
    /// When the lengths differ, or nothing is left because the two are parallel.
    pub fn orthogonal_to(self, other: &Self) -> Result<Self> {
        let before = self.norm()?;
        let squared = vector::dot(&other.vector, &other.vector)?;
        let mut vector = self.vector;
        if squared > 0.0 {
            for _ in 0..2 {
                let along = vector::dot(&vector, &other.vector)? / squared;
                vector = (vector - (&other.vector * along)?)?;
            }
        }
        if norm(&vector)? <= PARALLEL * before {
            return Err(Error::input(
                format!("the directions {} and {} are parallel: they span no plane", other.name, self.name),
                "give two directions that differ in more than length, or use `basin landscape line`",
            ));
        }
        Ok(Self { name: self.name, vector })
    }
}

/// ‖v‖₂, accumulated in f64.
pub(crate) fn norm(v: &Tensor) -> Result<f64> {
    Ok(vector::dot(v, v)?.sqrt())
}

/// A vector as directions are kept.
pub(crate) fn on_cpu(v: &Tensor) -> Result<Tensor> {
    Ok(v.to_device(&Device::Cpu)?.to_dtype(DType::F64)?)
}
