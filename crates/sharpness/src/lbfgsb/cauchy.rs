//! The generalized Cauchy point: the first local minimiser of the quadratic model
//! m(x + s) = gᵀs + ½ sᵀBs along the projected gradient path P(x − t g) (Byrd et al. 1995, algorithm CP, section 4).

use std::cmp::Ordering;

use rayon::prelude::*;

use super::Bounds;
use super::matrices::Memory;
use super::reductions::{dot, dot_block, for_each, vector};

pub(super) struct CauchyPoint {
    pub(super) x: Vec<f64>,
    /// c = Wᵀ(xᶜ − x).
    pub(super) c: Vec<f64>,
    /// Which variables the path has not fixed at a bound.
    pub(super) free: Vec<bool>,
}

/// Where the path meets a bound of a variable and turns.
#[derive(Clone, Copy)]
struct Breakpoint {
    t: f64,
    variable: usize,
}

impl Breakpoint {
    /// Ties go by the number of the variable.
    fn precedes(&self, other: &Self) -> Ordering {
        self.t.total_cmp(&other.t).then(self.variable.cmp(&other.variable))
    }
}

/// Breakpoints in order, sorted no further than the path is followed: often it ends after a few of millions.
struct Path {
    breakpoints: Vec<Breakpoint>,
    next: usize,
    sorted: usize,
}

impl Path {
    /// Breakpoints that are sorted first; each time they run out, so many times more.
    const FIRST: usize = 1024;
    const GROWTH: usize = 8;

    fn is_empty(&self) -> bool {
        self.next == self.breakpoints.len()
    }

    fn next(&mut self) -> Option<Breakpoint> {
        if self.next == self.sorted {
            let rest = &mut self.breakpoints[self.sorted..];
            let count = (self.sorted * Self::GROWTH).max(Self::FIRST).min(rest.len());
            if count < rest.len() {
                rest.select_nth_unstable_by(count, Breakpoint::precedes);
            }
            rest[..count].par_sort_unstable_by(Breakpoint::precedes);
            self.sorted += count;
        }
        let breakpoint = self.breakpoints.get(self.next).copied()?;
        self.next += 1;
        Some(breakpoint)
    }
}

/// Whether a variable may leave its place along −g: not while it stands at the bound −g points to, or has no room.
fn is_free(x: f64, lower: f64, upper: f64, gradient: f64) -> bool {
    let fixed = lower == upper;
    let held = if x <= lower { gradient >= 0.0 } else { x >= upper && gradient <= 0.0 };
    !(fixed || held)
}

pub(super) fn cauchy_point(x: &[f64], gradient: &[f64], bounds: &Bounds<'_>, memory: &Memory) -> CauchyPoint {
    let n = x.len();
    let Bounds { lower, upper } = *bounds;
    let mut free = vec![false; n];
    for_each(&mut free, |i, free| *free = is_free(x[i], lower[i], upper[i], gradient[i]));
    let mut d = vector(n, |i| if free[i] { -gradient[i] } else { 0.0 });
    let room = |i: usize| (if d[i] > 0.0 { upper[i] } else { lower[i] }) - x[i];
    let breakpoints: Vec<_> = (0..n)
        .into_par_iter()
        .filter(|&i| d[i] != 0.0)
        .map(|i| Breakpoint { t: room(i) / d[i], variable: i })
        .filter(|breakpoint| breakpoint.t.is_finite())
        .collect();
    let bounded = d.iter().filter(|d| **d != 0.0).count() == breakpoints.len();
    let mut path = Path { breakpoints, next: 0, sorted: 0 };

    let mut xc = x.to_vec();
    let mut p = memory.transpose(&d);
    let mut c = vec![0.0; p.len()];
    let (mut row, mut m_row) = (c.clone(), c.clone());
    // m' and m'' along the current segment.
    let mut slope = -dot(&d, &d);
    let mut curvature = -memory.theta * slope;
    let least_curvature = f64::EPSILON * curvature;
    memory.middle_product(&p, &mut m_row);
    curvature -= dot_block(&p, &m_row);
    let mut to_minimum = -slope / curvature;
    let (mut reached, mut last) = (0.0, 0.0);

    while let Some(Breakpoint { t, variable }) = path.next() {
        let segment = t - last;
        if to_minimum < segment {
            break;
        }
        reached += segment;
        last = t;
        let dv = std::mem::take(&mut d[variable]);
        xc[variable] = if dv > 0.0 { upper[variable] } else { lower[variable] };
        free[variable] = false;
        let z = xc[variable] - x[variable];
        slope += segment * curvature + dv * dv - memory.theta * dv * z;
        curvature -= memory.theta * dv * dv;
        if !memory.is_empty() {
            memory.row(variable, &mut row);
            memory.middle_product(&row, &mut m_row);
            c.iter_mut().zip(&p).for_each(|(c, p)| *c += segment * p);
            slope += dv * dot_block(&c, &m_row);
            curvature += 2.0 * dv * dot_block(&p, &m_row) - dv * dv * dot_block(&row, &m_row);
            p.iter_mut().zip(&row).for_each(|(p, row)| *p -= dv * row);
        }
        curvature = curvature.max(least_curvature);
        to_minimum = if path.is_empty() && bounded { 0.0 } else { -slope / curvature };
    }
    let to_minimum = to_minimum.max(0.0);
    let reached = reached + to_minimum;
    for_each(&mut xc, |i, xc| {
        if d[i] != 0.0 {
            // Rounding may carry a variable past a bound that it has not met yet.
            *xc = (*xc + reached * d[i]).max(lower[i]).min(upper[i]);
        }
    });
    c.iter_mut().zip(&p).for_each(|(c, p)| *c += to_minimum * p);
    CauchyPoint { x: xc, c, free }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breakpoints_come_in_order() {
        let breakpoints: Vec<_> =
            (0..20_000).map(|variable| Breakpoint { t: (variable * 7919 % 4001) as f64, variable }).collect();
        let mut path = Path { breakpoints: breakpoints.clone(), next: 0, sorted: 0 };
        let mut sorted = breakpoints;
        sorted.sort_by(Breakpoint::precedes);
        for expected in sorted {
            assert_eq!(path.next().map(|found| (found.t, found.variable)), Some((expected.t, expected.variable)));
        }
        assert!(path.is_empty() && path.next().is_none());
    }
}
