//! Max pooling: y is the maximum of each window, the first one where several are equal, and the derivative follows
//! the position of that maximum: ẏ = ẋ[position], x̄ = Σ ȳ scattered to the positions.

use candle_core::Tensor;

use super::pool_geometry::Pool2d;
use crate::op::{Adjoints, Node, Op, Reads, Tangents};
use crate::{Result, kernels};

/// Max pooling of (images, channels, height, width); positions outside the plane never win.
#[derive(Debug)]
pub struct MaxPool2d(pub Pool2d);

impl MaxPool2d {
    pub(crate) const NAME: &str = "max_pool2d";
}

impl Op for MaxPool2d {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn reads(&self, active: &[bool]) -> Reads {
        Reads::shapes(active.len())
    }

    fn forward(&self, x: &[&Tensor], saved: &mut Vec<Tensor>) -> Result<Tensor> {
        let (maxima, positions) = kernels::max_pool2d(&self.0, x[0])?;
        saved.push(positions);
        Ok(maxima)
    }

    fn tangent(&self, at: &Node, dx: &Tangents) -> Result<Option<Tensor>> {
        dx[0].map(|dx| kernels::pick(dx, at.saved(0))).transpose()
    }

    fn adjoint(&self, at: &Node, y_bar: &Tensor, _wanted: &[bool]) -> Result<Adjoints> {
        Ok(vec![Some(kernels::scatter(y_bar, at.saved(0), at.input(0).dims())?)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derivative_check::{check_unary, distance, normal};

    fn geometries() -> Vec<Pool2d> {
        let square = Pool2d::square(2);
        vec![
            square,
            Pool2d { ceil_mode: true, ..square },
            Pool2d { kernel: (3, 2), stride: (2, 1), padding: (1, 0), ..square },
            Pool2d { kernel: (3, 3), stride: (2, 2), padding: (1, 1), ceil_mode: true, ..square },
            Pool2d { dilation: (2, 2), stride: (1, 1), ..square },
        ]
    }

    #[test]
    fn the_four_rules_agree_with_differences() {
        for geometry in geometries() {
            check_unary(&MaxPool2d(geometry), &[&[2, 3, 5, 6], &[1, 1, 4, 4], &[0, 2, 4, 4]]);
        }
    }

    #[test]
    fn ties_go_to_the_first_maximum_and_nan_is_one() {
        for (window, expected) in [([0.0_f64; 4], 0), ([1.0, 2.0, 2.0, 0.0], 1), ([1.0, f64::NAN, 2.0, 0.0], 1)] {
            let x = Tensor::new(&window, &candle_core::Device::Cpu).and_then(|x| x.reshape((1, 1, 2, 2)));
            let x = x.expect("a new tensor");
            for pooled in [kernels::max_pool2d, kernels::portable::max_pool2d].map(|pool| pool(&Pool2d::square(2), &x))
            {
                let (maxima, positions) = pooled.expect("pooling");
                assert_eq!(positions.flatten_all().and_then(|p| p.to_vec1::<u32>()).expect("u32"), [expected]);
                let maximum = maxima.flatten_all().and_then(|m| m.to_vec1::<f64>()).expect("f64")[0];
                assert!(maximum == window[expected as usize] || maximum.is_nan() && window[1].is_nan());
            }
        }
    }

    #[test]
    fn cpu_kernels_equal_the_portable_compositions() {
        for geometry in geometries() {
            let x = normal(&[2, 3, 7, 6], 4);
            let (ours, positions) = kernels::cpu::max_pool2d::<f64>(&geometry, &x).expect("cpu");
            let (maxima, expected) = kernels::portable::max_pool2d(&geometry, &x).expect("portable");
            assert!(distance(&ours, &maxima) == 0.0);
            let flat = |t: &Tensor| t.flatten_all().and_then(|t| t.to_vec1::<u32>()).expect("u32");
            assert_eq!(flat(&positions), flat(&expected));
            let picked = kernels::cpu::pick::<f64>(&x, &positions).expect("cpu");
            assert!(distance(&picked, &kernels::portable::pick(&x, &positions).expect("portable")) == 0.0);
            let sums = kernels::cpu::scatter::<f64>(&ours, &positions, x.dims()).expect("cpu");
            let expected = kernels::portable::scatter(&ours, &positions, x.dims()).expect("portable");
            assert!(distance(&sums, &expected) == 0.0);
        }
    }
}
