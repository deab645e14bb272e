//! An objective with a known Hessian: L(θ) = ½ (θ − c)ᵀ H (θ − c).

use candle_core::{D, DType, Device, Tensor};

use crate::objective::{DrawnLabels, Evaluation, Linearized, Objective};
use crate::{Error, Result};

/// L(θ) = ½ (θ − c)ᵀ H (θ − c) with a symmetric matrix H: the test of every measure.
///
/// ```
/// use basin_objective::{Objective, Quadratic};
/// use candle_core::{Device, Tensor};
///
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, -1.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[1.0, 0.0], &Device::Cpu)?)?;
/// let (loss, gradient) = quadratic.gradient(&Tensor::new(&[2.0, 3.0], &Device::Cpu)?)?;
/// assert_eq!(loss, 1.0 - 4.5);
/// assert_eq!(gradient.to_vec1::<f64>()?, [2.0, -3.0]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Quadratic {
    hessian: Tensor,
    centre: Tensor,
}

impl Quadratic {
    /// The quadratic with a Hessian (P, P) and a stationary point (P).
    ///
    /// # Errors
    /// When the shapes do not belong together.
    pub fn new(hessian: Tensor, centre: Tensor) -> Result<Self> {
        let p = centre.elem_count();
        if hessian.dims() != [p, p] || centre.rank() != 1 {
            return Err(Error::input(
                format!("a quadratic of {p} parameters has a Hessian of shape [{p}, {p}], found {:?}", hessian.dims()),
                "give a square matrix and a vector of its size",
            ));
        }
        Ok(Self { hessian, centre })
    }

    /// H v for a vector or for rows of them.
    fn product(&self, v: &Tensor) -> Result<Tensor> {
        match v.rank() {
            1 => Ok(self.hessian.matmul(&v.unsqueeze(1)?)?.squeeze(1)?),
            _ => Ok(v.matmul(&self.hessian)?),
        }
    }
}

impl Objective for Quadratic {
    fn dimension(&self) -> usize {
        self.centre.elem_count()
    }

    fn samples(&self) -> usize {
        1
    }

    fn device(&self) -> &Device {
        self.centre.device()
    }

    fn dtype(&self) -> DType {
        self.centre.dtype()
    }

    fn evaluate(&self, theta: &Tensor) -> Result<Evaluation> {
        Ok(Evaluation { loss: self.gradient(theta)?.0, accuracy: None })
    }

    fn gradient(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
        let moved = (theta - &self.centre)?;
        let gradient = self.product(&moved)?;
        let loss = (&moved * &gradient)?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()? / 2.0;
        Ok((loss, gradient))
    }

    fn sample_losses(&self, theta: &Tensor) -> Result<Vec<f64>> {
        Ok(vec![self.gradient(theta)?.0])
    }

    fn linearize<'a>(&'a self, theta: &Tensor) -> Result<Box<dyn Linearized + 'a>> {
        let gradient = self.gradient(theta)?.1;
        Ok(Box::new(AtPoint { quadratic: self, gradient }))
    }
}

struct AtPoint<'a> {
    quadratic: &'a Quadratic,
    gradient: Tensor,
}

impl Linearized for AtPoint<'_> {
    fn kept_share(&self) -> f64 {
        1.0
    }

    fn gradient(&self) -> Result<Tensor> {
        Ok(self.gradient.clone())
    }

    fn hessian(&self, v: &Tensor) -> Result<Tensor> {
        self.quadratic.product(v)
    }

    fn gauss_newton(&self, v: &Tensor) -> Result<Tensor> {
        self.quadratic.product(v)
    }

    fn fisher(&self, _v: &Tensor, _labels: DrawnLabels) -> Result<Tensor> {
        Err(Error::input("a quadratic predicts nothing from which labels could be drawn", "use the Hessian"))
    }

    fn empirical_fisher(&self, v: &Tensor) -> Result<Tensor> {
        let slopes = v.broadcast_mul(&self.gradient)?.sum_keepdim(D::Minus1)?;
        Ok(slopes.broadcast_mul(&self.gradient)?)
    }
}
