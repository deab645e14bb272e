//! The proof that an operation's four rules are right, used by the tests beside each operation: each rule against
//! central differences of the one below it, and the tangent against the adjoint as transposes of each other.

use candle_core::{DType, Device, Tensor};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::op::{Node, Op, Reads, hollow};

/// Relative error allowed to a central difference: truncation h⁴f⁽⁵⁾/30 and rounding ε|f|/h are both far below it.
const DIFFERENCE_TOLERANCE: f64 = 1e-8;
/// Relative error allowed to ⟨u, Jv⟩ = ⟨Jᵀu, v⟩, an identity up to the rounding of two inner products.
const TRANSPOSE_TOLERANCE: f64 = 1e-12;
/// The step h of the differences: of fourth order, so that it may be large, yet small beside the distance to a kink.
const STEP: f64 = 1e-4;

/// A tensor of seeded standard normal numbers in f64.
pub(crate) fn normal(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count: usize = shape.iter().product();
    let elements: Vec<f64> = (0..count).map(|_| StandardNormal.sample(&mut rng)).collect();
    Tensor::from_vec(elements, shape, &Device::Cpu).expect("a new tensor")
}

/// The numbers 0.1, 0.2, … in a seeded order: no two lie within a step of each other, so that the largest of several stays
/// the largest and differences do not cross a kink.
pub(crate) fn distinct(shape: &[usize], seed: u64) -> Tensor {
    let mut numbers: Vec<f64> = (1..=shape.iter().product()).map(|i: usize| 0.1 * i as f64).collect();
    numbers.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    Tensor::from_vec(numbers, shape, &Device::Cpu).expect("a new tensor")
}

/// ‖a − b‖ / (1 + ‖b‖).
pub(crate) fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    norm(&(a - b).expect("equal shapes")) / (1.0 + norm(b))
}

fn norm(x: &Tensor) -> f64 {
    dot(x, x).sqrt()
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    let sum = (a.contiguous().expect("a copy") * b.contiguous().expect("a copy")).and_then(|p| p.sum_all());
    sum.and_then(|sum| sum.to_scalar::<f64>()).expect("f64 tensors of equal shape")
}

fn step(x: &Tensor, scale: f64, direction: Option<&Tensor>) -> Tensor {
    match direction {
        Some(direction) => (x + (direction * scale).expect("a product")).expect("equal shapes"),
        None => x.clone(),
    }
}

/// One evaluation of an operation.
struct Recorded {
    inputs: Vec<Tensor>,
    output: Tensor,
    saved: Vec<Tensor>,
}

impl Recorded {
    fn new(op: &dyn Op, inputs: Vec<Tensor>) -> Self {
        let mut saved = Vec::new();
        let output = op.forward(&inputs.iter().collect::<Vec<_>>(), &mut saved).expect("forward");
        Self { inputs, output, saved }
    }

    /// Runs a rule on what it declares to read; all else is NaN.
    fn with_node<R>(&self, reads: &Reads, f: impl FnOnce(&Node) -> R) -> R {
        let kept = |x: &Tensor, read: bool| if read { x.clone() } else { hollow(x).expect("a hollow tensor") };
        let inputs: Vec<Tensor> = self.inputs.iter().zip(&reads.inputs).map(|(x, &read)| kept(x, read)).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        f(&Node { inputs: &inputs, output: &kept(&self.output, reads.output), saved: &self.saved })
    }

    fn adjoint(&self, op: &dyn Op, y_bar: &Tensor, wanted: &[bool]) -> Vec<Option<Tensor>> {
        self.with_node(&op.reads(wanted), |at| op.adjoint(at, y_bar, wanted)).expect("adjoint")
    }
}

/// Checks the four rules of an operation at `inputs`, differentiating in the inputs marked `active`.
pub(crate) fn check(op: &dyn Op, inputs: &[Tensor], active: &[bool]) {
    let recorded = Recorded::new(op, inputs.to_vec());
    let directions: Vec<Option<Tensor>> = inputs
        .iter()
        .zip(active)
        .enumerate()
        .map(|(j, (x, &active))| active.then(|| normal(x.dims(), 100 + j as u64)))
        .collect();
    check_along(op, &recorded, &directions, active);
    // Every subset of one active input exercises the rules' absent tangents.
    for j in (0..inputs.len()).filter(|&j| active[j] && active.len() > 1) {
        let single: Vec<Option<Tensor>> =
            directions.iter().enumerate().map(|(i, d)| d.clone().filter(|_| i == j)).collect();
        check_along(op, &recorded, &single, active);
    }
}

fn check_along(op: &dyn Op, recorded: &Recorded, directions: &[Option<Tensor>], active: &[bool]) {
    let moved = |t: f64| {
        let inputs = recorded.inputs.iter().zip(directions).map(|(x, d)| step(x, t, d.as_ref())).collect();
        Recorded::new(op, inputs)
    };
    let steps = [-2.0 * STEP, -STEP, STEP, 2.0 * STEP];
    let points = steps.map(moved);

    let dx: Vec<Option<&Tensor>> = directions.iter().map(Option::as_ref).collect();
    let zeros = recorded.output.zeros_like().expect("zeros");
    let reads = op.reads(active);
    let tangent =
        recorded.with_node(&reads, |at| op.tangent(at, &dx)).expect("tangent").unwrap_or_else(|| zeros.clone());
    let error = distance(&tangent, &difference(points.each_ref().map(|point| &point.output)));
    assert!(error < DIFFERENCE_TOLERANCE, "{}: tangent is off by {error:e}", op.name());

    let y_bar = normal(recorded.output.dims(), 200);
    let adjoints = recorded.adjoint(op, &y_bar, active);
    let (left, right) = (dot(&y_bar, &tangent), inner(&adjoints, directions));
    let error = (left - right).abs() / (1.0 + left.abs());
    assert!(
        error < TRANSPOSE_TOLERANCE * recorded.output.elem_count().max(10) as f64,
        "{}: ⟨u,Jv⟩ − ⟨Jᵀu,v⟩ is {error:e}",
        op.name()
    );

    for dy_bar in [Some(normal(recorded.output.dims(), 300)), None] {
        let adjoint = |i: usize| points[i].adjoint(op, &step(&y_bar, steps[i], dy_bar.as_ref()), active);
        let adjoints = [0, 1, 2, 3].map(adjoint);
        let kept_dx: Vec<Option<&Tensor>> = dx.iter().map(|dx| dx.filter(|_| reads.tangents)).collect();
        let kept_y_bar = if reads.adjoint { y_bar.clone() } else { hollow(&y_bar).expect("a hollow tensor") };
        let exact = recorded
            .with_node(&reads, |at| op.adjoint_tangent(at, &kept_dx, &kept_y_bar, dy_bar.as_ref(), active))
            .expect("adjoint tangent");
        for (j, input) in recorded.inputs.iter().enumerate().filter(|(j, _)| active[*j]) {
            let zeros = input.zeros_like().expect("zeros");
            let difference = difference(adjoints.each_ref().map(|slots| slots[j].as_ref().unwrap_or(&zeros)));
            let error = distance(exact[j].as_ref().unwrap_or(&zeros), &difference);
            assert!(error < DIFFERENCE_TOLERANCE, "{}: adjoint tangent {j} is off by {error:e}", op.name());
        }
    }
}

/// The derivative from the values at −2h, −h, h and 2h: (f₋₂ − 8 f₋₁ + 8 f₁ − f₂)/12h.
fn difference([far_back, back, forth, far_forth]: [&Tensor; 4]) -> Tensor {
    let near = ((forth - back).expect("equal shapes") * 8.0).expect("a product");
    let far = (far_forth - far_back).expect("equal shapes");
    ((near - far).expect("equal shapes") / (12.0 * STEP)).expect("a quotient")
}

fn inner(adjoints: &[Option<Tensor>], directions: &[Option<Tensor>]) -> f64 {
    let pairs = adjoints.iter().zip(directions);
    pairs.filter_map(|(a, d)| Some(dot(a.as_ref()?, d.as_ref()?))).sum()
}

/// Sizes, seeds and geometries at random: the families whose shapes vary most.
mod properties {
    use proptest::prelude::*;

    use super::{check, distinct, normal};
    use crate::ops::{
        AveragePool2d, BilinearRules, Conv2d, Convolution, Linear, LinearRules, Matmul, MaxPool2d, Mul, Normalize,
        Pool2d, Softmax,
    };

    fn pair(range: std::ops::Range<usize>) -> impl Strategy<Value = (usize, usize)> {
        (range.clone(), range)
    }

    fn convolution() -> impl Strategy<Value = (Conv2d, [usize; 3], (usize, usize))> {
        let geometry = (pair(1..4), pair(0..3), pair(1..3), 1_usize..4);
        (geometry, 0_usize..3, 1_usize..3, 1_usize..3, pair(1..4)).prop_map(
            |((stride, padding, dilation, groups), images, inputs, outputs, kernel)| {
                let geometry = Conv2d { stride, padding, dilation, groups };
                (geometry, [images, inputs * groups, outputs * groups], kernel)
            },
        )
    }

    fn pooling() -> impl Strategy<Value = Pool2d> {
        (pair(1..4), pair(1..4), pair(0..2), any::<bool>()).prop_map(|(kernel, stride, padding, ceil_mode)| Pool2d {
            kernel,
            stride,
            padding: (padding.0.min(kernel.0 / 2), padding.1.min(kernel.1 / 2)),
            dilation: (1, 1),
            ceil_mode,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn convolutions((geometry, [images, inputs, outputs], kernel) in convolution(), size in pair(5..9), seed in 0_u64..1000) {
            let x = normal(&[images, inputs, size.0, size.1], seed);
            let w = normal(&[outputs, inputs / geometry.groups, kernel.0, kernel.1], seed + 1);
            let b = normal(&[outputs], seed + 2);
            check(&BilinearRules(Convolution(geometry)), &[x, w, b], &[true; 3]);
        }

        #[test]
        fn pools(geometry in pooling(), size in pair(3..8), count_padding in any::<bool>(), seed in 0_u64..1000) {
            prop_assume!(geometry.output_size(size.0, size.1).is_ok());
            let x = distinct(&[2, 2, size.0, size.1], seed);
            check(&MaxPool2d(geometry), std::slice::from_ref(&x), &[true]);
            check(&LinearRules(AveragePool2d { geometry, count_padding }), &[x], &[true]);
        }

        #[test]
        fn products(m in 0_usize..5, k in 1_usize..5, n in 1_usize..5, batch in 1_usize..4, seed in 0_u64..1000) {
            check(&BilinearRules(Linear), &[normal(&[m, k], seed), normal(&[n, k], seed + 1), normal(&[n], seed + 2)], &[true; 3]);
            check(&BilinearRules(Matmul), &[normal(&[batch, m, k], seed), normal(&[batch, k, n], seed + 1)], &[true; 2]);
        }

        #[test]
        fn broadcasts_and_normalisations(a in 5_usize..8, b in 2_usize..5, c in 1_usize..4, seed in 0_u64..1000) {
            check(&Mul, &[normal(&[a, b, c], seed), normal(&[b, 1], seed + 1)], &[true; 2]);
            check(&Normalize { axes: vec![0, 2], epsilon: 1e-3 }, &[normal(&[a, b, c], seed)], &[true]);
            check(&Softmax, &[normal(&[a, b], seed)], &[true]);
        }
    }
}

/// The same check for several seeded inputs of one shape.
pub(crate) fn check_unary(op: &dyn Op, shapes: &[&[usize]]) {
    for (seed, shape) in shapes.iter().enumerate() {
        check(op, &[normal(shape, seed as u64)], &[true]);
    }
    let f32_output = Recorded::new(op, vec![normal(shapes[0], 0).to_dtype(DType::F32).expect("a cast")]).output;
    assert_eq!(f32_output.dtype(), DType::F32, "{}: the dtype is kept", op.name());
}
