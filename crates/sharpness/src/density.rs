//! The density of all eigenvalues by stochastic Lanczos quadrature.
//!
//! φ(t) = (1/P) Σᵢ g_σ(t − λᵢ) with a Gaussian g_σ is the trace of a function of A. From a random unit vector z, m steps of
//! Lanczos give nodes θ_k and weights τ_k² (the squared first elements of the projected matrix's eigenvectors) with
//! zᵀ f(A) z ≈ Σ τ_k² f(θ_k), exactly for polynomials of degree below 2m (Golub and Meurant, "Matrices, moments and
//! quadrature", 1994; Lin, Saad and Yang, "Approximating spectral densities of large matrices", 2016, section 3.2;
//! Ghorbani, Krishnan and Xiao, 2019). z is uniform on the sphere, so that the mean over probes is unbiased, and every basis
//! is fully orthogonalised, so that no node is a ghost.
//!
//! Known eigenpairs are deflated: their vectors are projected out of every probe, and they enter as exact atoms of weight
//! 1/P. What is left has the weight (P − k)/P. A probe meets an outlier with a weight whose relative error is of order 1, so
//! that outliers are right only so.

use basin_objective::{Error, Result};
use basin_records::spectrum::Density as Recorded;
use basin_tape::vector;
use candle_core::Tensor;

use crate::basis::Basis;
use crate::lanczos::Extremes;
use crate::lanczos::krylov::{Krylov, Step};
use crate::operator::SymmetricOperator;
use crate::precision::DEFAULT_MEMORY;
use crate::probes::{self, AT_ONCE};
use crate::statistics::Moments;

/// Points of the grid per kernel width; a Gaussian's integral over them is exact to 1e-12.
const POINTS_PER_WIDTH: f64 = 2.0;
/// Kernel widths on each side of a node beyond which its Gaussian is below 1e-8 of its height.
const REACH: f64 = 6.0;
/// Points of the grid over the continuous part at most.
const MOST_POINTS: f64 = 4096.0;
/// κ of [`Density::resolution`].
const KAPPA: f64 = 3.0;

/// How the density is estimated.
#[derive(Clone, Debug)]
pub struct DensityOptions {
    /// Random start vectors.
    pub probes: usize,
    /// Products for each.
    pub steps: usize,
    /// σ, the standard deviation of the Gaussian; what the steps resolve when absent.
    pub kernel_width: Option<f64>,
    /// Bytes that the bases may take; 4 GiB when absent.
    pub memory: Option<u64>,
    /// Seed of the probes.
    pub seed: u64,
}

impl Default for DensityOptions {
    fn default() -> Self {
        Self { probes: 10, steps: 80, kernel_width: None, memory: None, seed: 0 }
    }
}

/// Known eigenpairs, which the density takes as exact.
#[derive(Clone, Debug, Default)]
pub struct Deflated {
    /// Their eigenvalues.
    pub values: Vec<f64>,
    /// Their orthonormal eigenvectors as rows; absent where there are none.
    pub vectors: Option<Tensor>,
}

/// A spectral density.
#[derive(Clone, Debug)]
pub struct Density {
    /// Deflated eigenvalues, then the Ritz values of all probes.
    pub nodes: Vec<f64>,
    /// Their weights, summing to 1.
    pub weights: Vec<f64>,
    /// How many nodes are deflated eigenvalues, each of weight 1/P.
    pub atoms: usize,
    /// Eigenvalues at which the smoothed density is given, ascending: evenly over the continuous part, and around atoms.
    pub grid: Vec<f64>,
    /// φ on the grid, of integral 1.
    pub values: Vec<f64>,
    /// The standard error of each value over the probes; none of one probe.
    pub stderr: Option<Vec<f64>>,
    /// σ.
    pub sigma: f64,
    /// Products with the operator.
    pub products: usize,
}

/// Nodes and weights of one probe.
type Quadrature = Vec<(f64, f64)>;

impl DensityOptions {
    /// The density of `operator`; `observe` is told the products taken of all, and an error it returns ends the run.
    ///
    /// ```
    /// use basin_sharpness::{Deflated, DensityOptions};
    /// use candle_core::{Device, Tensor};
    ///
    /// let matrix = Tensor::new(&[[2.0, 1.0], [1.0, 2.0]], &Device::Cpu)?;
    /// let density = DensityOptions::default().density(&matrix, &Deflated::default(), |_, _| Ok(()))?;
    /// let mean: f64 = density.nodes.iter().zip(&density.weights).map(|(node, weight)| node * weight).sum();
    /// assert!((density.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    /// assert!((1.0..=3.0).contains(&mean));
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there are no probes or steps, the kernel width is not positive, the memory holds no basis, or a product is not
    /// finite.
    pub fn density(
        &self,
        operator: &dyn SymmetricOperator,
        deflated: &Deflated,
        mut observe: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<Density> {
        self.check()?;
        let dimension = operator.dimension();
        let free = dimension.saturating_sub(deflated.values.len());
        let steps = self.steps.min(free);
        let at_once = self.at_once(operator, deflated.values.len() + steps)?;
        let (mut quadratures, mut products) = (Vec::new(), 0);
        if free > 0 {
            for start in (0..self.probes).step_by(at_once) {
                let probes = start..(start + at_once).min(self.probes);
                let mut runs =
                    probes.map(|probe| self.start(operator, deflated, probe, steps)).collect::<Result<Vec<_>>>()?;
                products += lockstep(operator, &mut runs, steps, |done| observe(products + done, self.probes * steps))?;
                for run in runs {
                    let pairs = run.projected.ritz_pairs()?;
                    quadratures.push(pairs.iter().map(|pair| (pair.value, pair.vector[0].powi(2))).collect());
                }
            }
        }
        Ok(self.smooth(dimension, &deflated.values, &quadratures, products))
    }

    /// Refuses what cannot be estimated.
    ///
    /// # Errors
    /// When there are no probes or steps, or the kernel width is no positive number.
    pub fn check(&self) -> Result<()> {
        if self.probes == 0 || self.steps == 0 {
            return Err(Error::input("a density of no probes or steps", "give `--probes` and `--steps` at least 1"));
        }
        match self.kernel_width {
            Some(width) if !(width > 0.0 && width.is_finite()) => Err(Error::input(
                format!("the kernel width is {width}, expected a positive number"),
                "leave it out to take what the steps resolve",
            )),
            _ => Ok(()),
        }
    }

    /// How many probes run side by side in the memory.
    fn at_once(&self, operator: &dyn SymmetricOperator, vectors: usize) -> Result<usize> {
        let one = (vectors * operator.dimension() * operator.dtype().size_in_bytes()) as u64;
        let memory = self.memory.unwrap_or(DEFAULT_MEMORY);
        match memory / one.max(1) {
            0 => Err(Error::input(
                format!("{memory} bytes hold no basis of {vectors} vectors for the density"),
                format!("give `--memory` at least {one} bytes, or fewer `--steps`"),
            )),
            fitting => Ok(usize::try_from(fitting).unwrap_or(AT_ONCE).min(AT_ONCE)),
        }
    }

    /// A run from a vector uniform on the unit sphere of the complement of what is deflated.
    fn start(
        &self,
        operator: &dyn SymmetricOperator,
        deflated: &Deflated,
        probe: usize,
        steps: usize,
    ) -> Result<Krylov> {
        let limit = deflated.values.len() + steps;
        let mut basis = Basis::new(limit, operator.dimension(), operator.dtype(), operator.device())?;
        if let Some(vectors) = &deflated.vectors {
            let vectors = vectors.to_device(operator.device())?.to_dtype(operator.dtype())?;
            (0..deflated.values.len()).try_for_each(|row| basis.lock(&vectors.get(row)?))?;
        }
        let mut z = probes::normal(self.seed, "density probe", probe, operator)?.to_dtype(operator.dtype())?;
        for _ in 0..2 {
            z = basis.orthogonalize(&z)?;
            z = (&z / basis.norm(&z)?)?;
        }
        Ok(Krylov::new(basis, z, operator.dtype(), 0.0))
    }

    fn smooth(&self, dimension: usize, atoms: &[f64], quadratures: &[Quadrature], products: usize) -> Density {
        let atom = 1.0 / dimension as f64;
        let rest = 1.0 - atoms.len() as f64 * atom;
        let share = rest / quadratures.len().max(1) as f64;
        let drawn = || quadratures.iter().flatten();
        let (low, high) = drawn()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (node, _)| (low.min(*node), high.max(*node)));
        let sigma = self.kernel_width.unwrap_or_else(|| self.resolution(low, high, atoms));
        let grid = grid(low, high, atoms, sigma);
        let exact: Vec<(f64, f64)> = atoms.iter().map(|&value| (value, atom)).collect();
        let mut values = vec![Moments::default(); grid.len()];
        for quadrature in quadratures {
            let sampled = grid.iter().map(|&t| rest * gaussians(quadrature, t, sigma));
            values.iter_mut().zip(sampled).for_each(|(moments, value)| moments.extend([value]));
        }
        Density {
            nodes: atoms.iter().copied().chain(drawn().map(|(node, _)| *node)).collect(),
            weights: atoms.iter().map(|_| atom).chain(drawn().map(|(_, weight)| share * weight)).collect(),
            atoms: atoms.len(),
            values: values.iter().zip(&grid).map(|(drawn, &t)| drawn.mean() + gaussians(&exact, t, sigma)).collect(),
            stderr: (quadratures.len() != 1).then(|| values.iter().map(stderr).collect()),
            grid,
            sigma,
            products,
        }
    }

    /// What m steps resolve of the range that the probes see: σ = (high − low) / ((m − 1) √(8 ln κ)) with κ = 3 (Lin, Saad
    /// and Yang, 2016, section 4; Papyan, 2019, appendix D). Of a single point, a hundredth of its magnitude.
    fn resolution(&self, low: f64, high: f64, atoms: &[f64]) -> f64 {
        let steps = (self.steps.max(2) - 1) as f64;
        let width = (high - low) / (steps * (8.0 * KAPPA.ln()).sqrt());
        let magnitude = atoms.iter().copied().chain([low, high]).filter(|x| x.is_finite());
        let magnitude = magnitude.fold(0.0_f64, |largest, x| largest.max(x.abs()));
        // Nodes that rounding alone sets apart are one point.
        if width > 1e-6 * magnitude && width.is_finite() {
            width
        } else {
            (0.01 * magnitude).max(f64::MIN_POSITIVE.sqrt())
        }
    }
}

/// The standard error over the probes, where there is anything but atoms.
fn stderr(values: &Moments) -> f64 {
    if values.count() == 0 { 0.0 } else { values.standard_error() }
}

/// Runs several bases step by step, so that their products share sweeps; the products taken.
fn lockstep(
    operator: &dyn SymmetricOperator,
    runs: &mut [Krylov],
    steps: usize,
    mut observe: impl FnMut(usize) -> Result<()>,
) -> Result<usize> {
    let mut products = 0;
    let mut going: Vec<&mut Krylov> = runs.iter_mut().collect();
    for _ in 0..steps {
        if going.is_empty() {
            break;
        }
        let next: Vec<&Tensor> = going.iter().map(|run| &run.next).collect();
        let multiplied = operator.apply(&Tensor::stack(&next, 0)?)?;
        products += going.len();
        let mut onward = Vec::new();
        for (row, run) in going.into_iter().enumerate() {
            if run.advance(&multiplied.get(row)?, products)? == Step::Onward {
                onward.push(run);
            }
        }
        going = onward;
        observe(products)?;
    }
    Ok(products)
}

/// Σ w g_σ(t − θ).
fn gaussians(quadrature: &[(f64, f64)], t: f64, sigma: f64) -> f64 {
    let height = 1.0 / (sigma * std::f64::consts::TAU.sqrt());
    quadrature.iter().map(|(node, weight)| weight * height * (-0.5 * ((t - node) / sigma).powi(2)).exp()).sum()
}

/// Points over the continuous part, from `low` to `high`, and around each atom, so that trapezoids integrate the density.
fn grid(low: f64, high: f64, atoms: &[f64], sigma: f64) -> Vec<f64> {
    let mut grid = Vec::new();
    let mut cover = |low: f64, high: f64| {
        let widths = (high - low) / sigma + 2.0 * REACH;
        let points = (POINTS_PER_WIDTH * widths).ceil().min(MOST_POINTS);
        let spacing = (high - low + 2.0 * REACH * sigma) / points;
        grid.extend((0..=points as usize).map(|i| low - REACH * sigma + i as f64 * spacing));
    };
    if low <= high {
        cover(low, high);
    }
    atoms.iter().for_each(|&atom| cover(atom, atom));
    grid.sort_by(f64::total_cmp);
    grid.dedup();
    grid
}

impl Density {
    /// As it stands in a record, made with `options`.
    pub fn recorded(&self, options: &DensityOptions) -> Recorded {
        Recorded {
            nodes: self.nodes.clone(),
            weights: self.weights.clone(),
            grid: self.grid.clone(),
            values: self.values.clone(),
            stderr: self.stderr.clone().unwrap_or_default(),
            sigma: self.sigma,
            atoms: self.atoms as u64,
            probes: options.probes as u64,
            steps: options.steps as u64,
        }
    }

    /// ∫ φ by trapezoids on the grid: 1 but for what a grid too coarse for σ loses.
    pub fn integral(&self) -> f64 {
        let points: Vec<(f64, f64)> = self.grid.iter().copied().zip(self.values.iter().copied()).collect();
        points.windows(2).map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0).sum()
    }
}

impl Deflated {
    /// The eigenpairs that have converged.
    ///
    /// # Errors
    /// When the device fails.
    pub fn converged(extremes: &Extremes) -> Result<Self> {
        let found = extremes.eigenvalues.iter().zip(0_u32..).filter(|(eigenvalue, _)| eigenvalue.converged);
        let (values, rows): (Vec<f64>, Vec<u32>) = found.map(|(eigenvalue, row)| (eigenvalue.value, row)).unzip();
        match values.is_empty() {
            true => Ok(Self::default()),
            false => {
                let rows = Tensor::new(rows, extremes.eigenvectors.device())?;
                Self::new(values, &extremes.eigenvectors.index_select(&rows, 0)?)
            }
        }
    }

    /// The eigenpairs with these values and vectors (K, P), orthonormalised, for eigenvectors of clustered eigenvalues are
    /// orthogonal only up to their residuals.
    ///
    /// # Errors
    /// When the device fails.
    pub fn new(values: Vec<f64>, vectors: &Tensor) -> Result<Self> {
        let mut orthonormal: Vec<Tensor> = Vec::with_capacity(values.len());
        for row in 0..values.len() {
            let mut v = vectors.get(row)?;
            for before in &orthonormal {
                v = (&v - (before * vector::dot(before, &v)?)?)?;
            }
            orthonormal.push((&v / vector::dot(&v, &v)?.sqrt())?);
        }
        let vectors = if orthonormal.is_empty() { None } else { Some(Tensor::stack(&orthonormal, 0)?) };
        Ok(Self { values, vectors })
    }
}
