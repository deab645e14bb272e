//! Eigenvectors of the Hessian as directions.

use basin_objective::{Error, Objective, Result};
use basin_records::spectrum::{Eigenvalue, End};
use basin_sharpness::lanczos::{Extremes, Lanczos, Progress};
use basin_sharpness::{Curvature, CurvatureMatrix};
use candle_core::Tensor;

use crate::direction::{Direction, on_cpu};

/// An eigenvalue by its end and its place there, counted from 1 at the extreme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Of the largest or of the smallest.
    pub end: End,
    /// 1 for the extreme one, 2 for the next.
    pub place: usize,
}

/// Unit eigenvectors, and what they cost.
#[derive(Debug)]
pub struct Eigenvectors {
    /// Each with its eigenvalue, in the order asked for.
    pub found: Vec<(Direction, Eigenvalue)>,
    /// Products with the Hessian.
    pub products: usize,
}

/// Unit eigenvectors of the Hessian at θ, by one run of Lanczos; `lanczos` says how well, the ranks how many.
///
/// ```
/// use basin_landscape::{Rank, eigenvectors};
/// use basin_objective::Quadratic;
/// use basin_records::spectrum::End;
/// use basin_sharpness::lanczos::Lanczos;
/// use candle_core::{Device, Tensor};
///
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, -1.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let theta = Tensor::new(&[1.0, 1.0], &Device::Cpu)?;
/// let smallest = Rank { end: End::Bottom, place: 1 };
/// let found = eigenvectors(&quadratic, &theta, &[smallest], &Lanczos::default(), |_| Ok(()))?;
/// assert!((found.found[0].1.value + 1.0).abs() < 1e-12);
/// assert!((found.found[0].0.vector.to_vec1::<f64>()?[1].abs() - 1.0).abs() < 1e-12);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the matrix has fewer eigenvalues, a product is not finite, or `observe` returns an error.
pub fn eigenvectors(
    objective: &dyn Objective,
    theta: &Tensor,
    ranks: &[Rank],
    lanczos: &Lanczos,
    observe: impl FnMut(Progress) -> Result<()>,
) -> Result<Eigenvectors> {
    let most = |end: End| ranks.iter().filter(|rank| rank.end == end).map(|rank| rank.place).max().unwrap_or(0);
    let (top, bottom) = (most(End::Top), most(End::Bottom));
    if top.max(bottom) > objective.dimension() || ranks.iter().any(|rank| rank.place == 0) {
        return Err(Error::input(
            format!("there is no eigenvector {} of {} parameters", top.max(bottom), objective.dimension()),
            "count eigenvectors from 1, the one of the largest eigenvalue",
        ));
    }
    let hessian = Curvature::new(objective, theta, CurvatureMatrix::Hessian)?;
    let extremes = Lanczos { top, bottom, ..lanczos.clone() }.extremes(&hessian, observe)?;
    let found = ranks.iter().map(|&rank| direction(&extremes, rank)).collect::<Result<_>>()?;
    Ok(Eigenvectors { found, products: extremes.products })
}

/// In a small space both ends meet: what was found is sorted descending, so that places count from either end.
fn direction(extremes: &Extremes, Rank { end, place }: Rank) -> Result<(Direction, Eigenvalue)> {
    let count = extremes.eigenvalues.len();
    let index = match end {
        End::Top => place - 1,
        End::Bottom => count.saturating_sub(place),
    };
    let Some(&eigenvalue) = extremes.eigenvalues.get(index) else {
        return Err(Error::input(
            format!("eigenvector {place} was not found, only {count} were: {}", extremes.reason),
            "ask for one nearer to the end of the spectrum",
        ));
    };
    let name = match end {
        End::Top => format!("eigenvector {place}"),
        End::Bottom => format!("eigenvector -{place}"),
    };
    Ok((Direction { name, vector: on_cpu(&extremes.eigenvectors.get(index)?)? }, eigenvalue))
}
