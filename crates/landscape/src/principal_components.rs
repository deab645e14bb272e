//! Principal components of points in parameter space, such as the checkpoints of a run.

use basin_objective::{Error, Result};
use candle_core::{DType, Device, Tensor};
use nalgebra::{DMatrix, SymmetricEigen};

use crate::direction::Direction;

/// Columns that are converted and multiplied at a time: all points in f64 would take twice their memory again.
const COLUMNS: usize = 1 << 16;

/// Directions along which points vary most, and how much.
#[derive(Clone, Debug)]
pub struct PrincipalComponents {
    /// Orthonormal directions, the one of the largest variance first.
    pub directions: Vec<Direction>,
    /// The share of the variance along every component, also of those that have no direction here, descending; their sum is 1.
    pub shares: Vec<f64>,
}

/// The first `count` principal components of n points θᵢ ∈ R^P.
///
/// With the rows θᵢ − θ̄ in a matrix X, the components are the eigenvectors of XᵀX and their variances its eigenvalues over
/// n − 1. They are found from the n×n matrix XXᵀ = UΛUᵀ as d_k = Xᵀu_k/√λ_k (Li and others, "Visualizing the loss landscape
/// of neural nets", 2018, section 7, subtract the last point instead, after which their library centres the rows too). A
/// component points so that the last point lies further along it than the first. Products accumulate in f64.
///
/// ```
/// use basin_landscape::principal_components;
/// use candle_core::{Device, Tensor};
///
/// let point = |elements: [f64; 3]| Tensor::new(&elements, &Device::Cpu);
/// let points = [point([0.0, 1.0, 5.0])?, point([2.0, 1.0, 5.0])?, point([4.0, 1.0, 5.0])?];
/// let found = principal_components(&points, 1)?;
/// assert_eq!(found.directions[0].vector.to_vec1::<f64>()?, [1.0, 0.0, 0.0]);
/// assert!((found.shares[0] - 1.0).abs() < 1e-14);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the points have different lengths or hold numbers that are not finite, or vary along fewer than `count` directions.
pub fn principal_components(points: &[Tensor], count: usize) -> Result<PrincipalComponents> {
    let centred = Centred::new(points)?;
    if points.is_empty() {
        return Err(varying(0, 0, count));
    }
    let gram = centred.gram()?;
    if !gram.iter().all(|element| element.is_finite()) {
        return Err(Error::input("a checkpoint holds numbers that are not finite", "leave it out"));
    }
    let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(gram);
    let mut order: Vec<usize> = (0..eigenvalues.len()).collect();
    order.sort_by(|&a, &b| eigenvalues[b].total_cmp(&eigenvalues[a]));
    let total: f64 = eigenvalues.iter().map(|value| value.max(0.0)).sum();
    // Below this an eigenvalue is what rounding leaves of zero.
    let least = eigenvalues.iter().fold(0.0_f64, |most, value| most.max(*value)) * f64::EPSILON * points.len() as f64;
    let found = order.iter().filter(|&&index| eigenvalues[index] > least).count();
    if found < count {
        return Err(varying(points.len(), found, count));
    }
    let columns = order.iter().take(count);
    let weights = columns.map(|&index| eigenvectors.column(index) / eigenvalues[index].sqrt());
    let weights: Vec<Vec<f64>> = weights.map(|column| column.iter().copied().collect()).collect();
    let mut directions: Vec<Direction> = Vec::with_capacity(count);
    for (place, vector) in centred.combined(&weights)?.into_iter().enumerate() {
        let named = Direction { name: format!("principal component {}", place + 1), vector };
        directions.push(unit(named, &directions)?);
    }
    let shares = order.iter().map(|&index| eigenvalues[index].max(0.0) / total).collect();
    let directions = directions.into_iter().map(|direction| turned(direction, points)).collect::<Result<_>>()?;
    Ok(PrincipalComponents { directions, shares })
}

fn varying(points: usize, found: usize, count: usize) -> Error {
    Error::input(
        format!("{points} checkpoints vary along {found} directions, {count} are needed"),
        "give at least one checkpoint more than directions, none of them twice",
    )
}

/// A direction of length 1 that no rounding keeps from being orthogonal to those before it.
fn unit(direction: Direction, before: &[Direction]) -> Result<Direction> {
    let direction = before.iter().try_fold(direction, Direction::orthogonal_to)?;
    let norm = direction.norm()?;
    Ok(Direction { vector: (direction.vector / norm)?, name: direction.name })
}

/// The direction or its opposite: an eigenvector has no sign, and a picture needs one.
fn turned(direction: Direction, points: &[Tensor]) -> Result<Direction> {
    let [Some(first), Some(last)] = [points.first(), points.last()] else { return Ok(direction) };
    let way = Direction::between(first, last, "from first to last");
    let backwards = way.is_ok_and(|way| way.cosine(&direction).is_ok_and(|cosine| cosine < 0.0));
    Ok(if backwards { Direction { vector: direction.vector.neg()?, ..direction } } else { direction })
}

/// The points about their mean, a few columns at a time.
struct Centred<'a> {
    points: &'a [Tensor],
    parameters: usize,
}

impl<'a> Centred<'a> {
    fn new(points: &'a [Tensor]) -> Result<Self> {
        let parameters = points.first().map_or(0, Tensor::elem_count);
        match points.iter().find(|point| point.dims() != [parameters]) {
            Some(other) => Err(Error::input(
                format!("one point has {parameters} parameters, another the shape {:?}", other.dims()),
                "give vectors of one length",
            )),
            None => Ok(Self { points, parameters }),
        }
    }

    /// The n×c matrices that X consists of, side by side.
    fn blocks(&self) -> impl Iterator<Item = Result<Tensor>> {
        (0..self.parameters).step_by(COLUMNS).map(|first| {
            let count = COLUMNS.min(self.parameters - first);
            let row = |point: &Tensor| point.narrow(0, first, count)?.to_device(&Device::Cpu)?.to_dtype(DType::F64);
            let rows = self.points.iter().map(row).collect::<candle_core::Result<Vec<_>>>()?;
            let block = Tensor::stack(&rows, 0)?;
            Ok(block.broadcast_sub(&block.mean_keepdim(0)?)?)
        })
    }

    /// XXᵀ.
    fn gram(&self) -> Result<DMatrix<f64>> {
        let n = self.points.len();
        let mut gram = DMatrix::zeros(n, n);
        for block in self.blocks() {
            let block = block?;
            let part = block.matmul(&block.t()?)?.flatten_all()?.to_vec1::<f64>()?;
            gram += DMatrix::from_row_slice(n, n, &part);
        }
        Ok(gram)
    }

    /// Xᵀw for each list of weights w of the points.
    fn combined(&self, weights: &[Vec<f64>]) -> Result<Vec<Tensor>> {
        let shape = (weights.len(), self.points.len());
        let weights = Tensor::from_vec(weights.concat(), shape, &Device::Cpu)?;
        let blocks = self.blocks().map(|block| Ok(weights.matmul(&block?)?)).collect::<Result<Vec<_>>>()?;
        let combined = Tensor::cat(&blocks, 1)?;
        (0..shape.0).map(|row| Ok(combined.get(row)?)).collect()
    }
}
