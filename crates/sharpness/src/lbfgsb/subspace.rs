//! The minimum of the quadratic model over the variables that are free at the Cauchy point: the direct primal method
//! of Byrd et al. (1995), section 5.1, with the projection of Morales and Nocedal (2011).

use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

use super::Bounds;
use super::cauchy::CauchyPoint;
use super::matrices::Memory;
use super::reductions::{blocks, dot_block, for_each, vector};

/// The point of the box that the search direction leads to. None where rounding has made the model indefinite.
pub(super) fn subspace_minimum(
    x: &[f64],
    gradient: &[f64],
    bounds: &Bounds<'_>,
    memory: &Memory,
    cauchy: &CauchyPoint,
) -> Option<Vec<f64>> {
    let CauchyPoint { x: xc, c, free } = cauchy;
    // r = −Z ᵀ(g + B(xᶜ − x)), zero at the variables that are held.
    let mut m_c = vec![0.0; c.len()];
    memory.middle_product(c, &mut m_c);
    let mut d = vector(x.len(), |i| -gradient[i] - memory.theta * (xc[i] - x[i]));
    memory.add_combination(&m_c, &mut d);
    for_each(&mut d, |i, d| *d = if free[i] { *d } else { 0.0 });

    // d = (ZᵀBZ)⁻¹ r = r/θ + ZᵀW K⁻¹ WᵀZ r/θ² by the formula of Sherman, Morrison and Woodbury.
    let solution = Reduced::new(memory, free)?.solve(&memory.transpose(&d))?;
    let theta = memory.theta;
    let scaled: Vec<f64> = solution.iter().map(|element| element / theta).collect();
    memory.add_combination(&scaled, &mut d);
    for_each(&mut d, |i, d| *d = if free[i] { *d / theta } else { 0.0 });

    let Bounds { lower, upper } = *bounds;
    let projected = vector(x.len(), |i| (xc[i] + d[i]).max(lower[i]).min(upper[i]));
    let meets_bound = |i: usize| free[i] && (projected[i] == lower[i] || projected[i] == upper[i]);
    let descent =
        || blocks(x.len(), |range| range.map(|i| (projected[i] - x[i]) * gradient[i]).sum::<f64>()).iter().sum::<f64>();
    if !blocks(x.len(), |mut range| range.any(meets_bound)).contains(&true) || descent() <= 0.0 {
        return Some(projected);
    }

    // The projection leads upwards: go along d only as far as the first bound.
    let step = |i: usize| {
        let room = if d[i] > 0.0 { upper[i] } else { lower[i] } - xc[i];
        if d[i] == 0.0 { f64::INFINITY } else { (room / d[i]).max(0.0) }
    };
    let alpha = blocks(x.len(), |range| range.map(step).fold(1.0, f64::min)).into_iter().fold(1.0, f64::min);
    Some(vector(x.len(), |i| {
        if step(i) <= alpha {
            if d[i] > 0.0 { upper[i] } else { lower[i] }
        } else {
            (xc[i] + alpha * d[i]).max(lower[i]).min(upper[i])
        }
    }))
}

/// K = [−D − YᵀZZᵀY/θ, L_Aᵀ − R_Zᵀ; L_A − R_Z, θSᵀAAᵀS], factored; Z selects the free variables, A the others,
/// L_A is the strictly lower triangle of SᵀAAᵀY and R_Z the upper triangle of SᵀZZᵀY.
struct Reduced {
    /// D + YᵀZZᵀY/θ.
    first: Cholesky<f64, Dyn>,
    /// Its factor's inverse times (R_Z − L_A)ᵀ.
    coupling: DMatrix<f64>,
    /// θSᵀAAᵀS + couplingᵀ coupling.
    second: Cholesky<f64, Dyn>,
}

impl Reduced {
    fn new(memory: &Memory, free: &[bool]) -> Option<Self> {
        let Products { yzzy, saas, sy } = Products::new(memory, free);
        let first = Cholesky::new(yzzy / memory.theta + DMatrix::from_diagonal(&memory.sy.diagonal()))?;
        let coupling = first.l_dirty().solve_lower_triangular(&sy.transpose())?;
        let second = Cholesky::new(saas * memory.theta + coupling.tr_mul(&coupling))?;
        Some(Self { first, coupling, second })
    }

    /// K⁻¹ w.
    fn solve(&self, w: &[f64]) -> Option<Vec<f64>> {
        let (w1, w2) = w.split_at(w.len() / 2);
        let p1 = self.first.l_dirty().solve_lower_triangular(&DVector::from_column_slice(w1))?;
        let p2 = self.second.solve(&(DVector::from_column_slice(w2) - self.coupling.tr_mul(&p1)));
        let p1 = self.first.l_dirty().tr_solve_lower_triangular(&(-p1 - &self.coupling * &p2))?;
        Some(p1.iter().chain(p2.iter()).copied().collect())
    }
}

/// Inner products over the free and over the held variables.
struct Products {
    yzzy: DMatrix<f64>,
    saas: DMatrix<f64>,
    /// R_Z − L_A: free variables in the upper triangle, held ones with the other sign below it.
    sy: DMatrix<f64>,
}

impl Products {
    fn new(memory: &Memory, free: &[bool]) -> Self {
        let m = memory.len();
        let zeros = || DMatrix::zeros(m, m);
        let sum = |mut a: Self, b: Self| {
            a.yzzy += b.yzzy;
            a.saas += b.saas;
            a.sy += b.sy;
            a
        };
        // A block of all pairs stays in the cache while its m² products are taken.
        let parts = blocks(free.len(), |range| {
            let free = &free[range.clone()];
            let masked = |column: &[f64], wanted: bool| -> Vec<f64> {
                column.iter().zip(free).map(|(element, free)| if *free == wanted { *element } else { 0.0 }).collect()
            };
            let y: Vec<_> = memory.y.iter().map(|y| &y[range.clone()]).collect();
            let s: Vec<_> = memory.s.iter().map(|s| &s[range.clone()]).collect();
            let mut products = Self { yzzy: zeros(), saas: zeros(), sy: zeros() };
            for i in 0..m {
                let (y_free, s_free, s_held) = (masked(y[i], true), masked(s[i], true), masked(s[i], false));
                for j in 0..m {
                    if j <= i {
                        products.yzzy[(i, j)] = dot_block(&y_free, y[j]);
                        products.saas[(i, j)] = dot_block(&s_held, s[j]);
                    }
                    products.sy[(i, j)] = if j < i { -dot_block(&s_held, y[j]) } else { dot_block(&s_free, y[j]) };
                }
            }
            products
        });
        let mut products = parts.into_iter().fold(Self { yzzy: zeros(), saas: zeros(), sy: zeros() }, sum);
        products.yzzy.fill_upper_triangle_with_lower_triangle();
        products.saas.fill_upper_triangle_with_lower_triangle();
        products
    }
}
