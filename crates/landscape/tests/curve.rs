//! Curves: what they are made of, how long they are, and how they are trained.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_landscape::{Curve, CurveState, CurveTraining};
use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::{BatchNorm, Model};
use basin_objective::random::stream;
use basin_objective::{
    Error, Evaluation, Linearized, LossSpec, Network, NetworkOptions, Objective, Quadratic, Result, SampledNetwork,
    SampledObjective,
};
use basin_records::connection::{Shape, Training};
use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use rand_distr::{Distribution, StandardNormal};

const SHAPES: [Shape; 2] = [Shape::Bezier, Shape::Chain];

fn vector(elements: &[f64]) -> Tensor {
    Tensor::new(elements, &Device::Cpu).unwrap()
}

fn drawn(length: usize, seed: u64) -> Tensor {
    let numbers: Vec<f64> = StandardNormal.sample_iter(stream(seed, "test", "points")).take(length).collect();
    vector(&numbers)
}

fn values(vector: &Tensor) -> Vec<f64> {
    vector.to_vec1().unwrap()
}

/// A curve through random points.
fn random(shape: Shape, bends: usize) -> Curve {
    Curve::new(shape, (0..bends + 2).map(|j| drawn(5, j as u64)).collect()).unwrap()
}

fn binomial(n: usize, j: usize) -> f64 {
    (1..=j).map(|i| (n - j + i) as f64 / i as f64).product()
}

#[test]
fn the_weights_are_bernsteins_polynomials_and_hats() {
    for bends in 1..6 {
        let last = bends + 1;
        for t in [0.0, 0.1, 1.0 / 3.0, 0.5, 0.77, 1.0] {
            let bezier =
                (0..=last).map(|j| binomial(last, j) * f64::powi(1.0 - t, (last - j) as i32) * f64::powi(t, j as i32));
            let place = t * last as f64;
            let hat = (0..=last).map(|j| (1.0 - (place - j as f64).abs()).max(0.0));
            for (shape, expected) in [(Shape::Bezier, bezier.collect::<Vec<_>>()), (Shape::Chain, hat.collect())] {
                let found = random(shape, bends).weights(t);
                assert!(
                    found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-14),
                    "{shape} {found:?} {expected:?}"
                );
                assert!((found.iter().sum::<f64>() - 1.0).abs() < 1e-14);
            }
        }
    }
}

#[test]
fn the_ends_are_the_ends_bit_for_bit_and_a_chain_meets_its_bends() {
    // −0 and numbers of any size, which sums would not leave as they are.
    let (a, b) = (vector(&[-0.0, 1e300, 1e-320, 0.1]), vector(&[3.0, -0.0, 1.0 / 3.0, -7e-12]));
    let bits = |x: &Tensor| values(x).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    for shape in SHAPES {
        for bends in 1..5 {
            let curve = Curve::straight(shape, &a, &b, bends).unwrap();
            assert_eq!((bits(&curve.at(0.0).unwrap()), bits(&curve.at(1.0).unwrap())), (bits(&a), bits(&b)));
        }
    }
    let chain = random(Shape::Chain, 3);
    for (j, bend) in (1..).zip(chain.bends()) {
        assert_eq!(values(&chain.at(f64::from(j) / 4.0).unwrap()), values(bend));
    }
    assert!(Curve::straight(Shape::Chain, &a, &vector(&[1.0]), 2).unwrap_err().is_bad_input());
}

#[test]
fn untrained_curves_are_the_straight_line() {
    let (a, b) = (drawn(6, 1), drawn(6, 2));
    let distance = (&a - &b).unwrap().sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap().sqrt();
    for shape in SHAPES {
        for bends in [1, 2, 4] {
            let curve = Curve::straight(shape, &a, &b, bends).unwrap();
            for t in [0.2, 0.5, 0.9] {
                let line = ((&a * (1.0 - t)).unwrap() + (&b * t).unwrap()).unwrap();
                let found = values(&curve.at(t).unwrap());
                assert!(found.iter().zip(values(&line)).all(|(a, b)| (a - b).abs() < 1e-14), "{shape} {bends} {t}");
            }
            let lengths = curve.arclength(&[0.0, 0.25, 1.0]).unwrap();
            for (length, share) in lengths.iter().zip([0.0, 0.25, 1.0]) {
                assert!((length - share * distance).abs() < 1e-12 * distance, "{shape} {bends}: {lengths:?}");
            }
        }
    }
}

#[test]
fn lengths_are_those_of_the_closed_forms() {
    // x = t, y = 4t(1 − t).
    let parabola =
        Curve::new(Shape::Bezier, vec![vector(&[0.0, 0.0]), vector(&[0.5, 2.0]), vector(&[1.0, 0.0])]).unwrap();
    // ∫ √(1 + 16(1 − 2t)²) dt = (√17 + asinh(4)/4)/2.
    let expected = (17.0_f64.sqrt() + 4.0_f64.asinh() / 4.0) / 2.0;
    let steps: Vec<f64> = (0..=60).map(|i| f64::from(i) / 60.0).collect();
    let lengths = parabola.arclength(&steps).unwrap();
    assert!((lengths[60] - expected).abs() < 1e-9, "{} for {expected}", lengths[60]);
    assert!((lengths[30] - expected / 2.0).abs() < 1e-9 && lengths.is_sorted());
    let chain = Curve::new(Shape::Chain, vec![vector(&[0.0, 0.0]), vector(&[3.0, 4.0]), vector(&[3.0, 10.0])]).unwrap();
    assert_eq!(chain.arclength(&[0.0, 0.25, 0.75, 1.0]).unwrap(), [0.0, 2.5, 8.0, 11.0]);
}

/// A valley along a circle about (0, −3/5): between (±4/5, 0), which lie on it, the straight line climbs its inner side.
struct Ring;

impl Ring {
    /// ρ² − 1 and the way from the centre.
    fn rise(theta: &Tensor) -> (f64, [f64; 2]) {
        let [x, y] = values(theta)[..] else { panic!("two parameters") };
        (x * x + (y + 0.6) * (y + 0.6) - 1.0, [x, y + 0.6])
    }
}

impl Objective for Ring {
    fn dimension(&self) -> usize {
        2
    }

    fn samples(&self) -> usize {
        4
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn dtype(&self) -> DType {
        DType::F64
    }

    fn evaluate(&self, theta: &Tensor) -> Result<Evaluation> {
        Ok(Evaluation { loss: Self::rise(theta).0.powi(2), accuracy: None })
    }

    fn gradient(&self, theta: &Tensor) -> Result<(f64, Tensor)> {
        let (rise, way) = Self::rise(theta);
        Ok((rise * rise, vector(&way.map(|w| 4.0 * rise * w))))
    }

    fn sample_losses(&self, theta: &Tensor) -> Result<Vec<f64>> {
        Ok(vec![Self::rise(theta).0.powi(2); 4])
    }

    fn linearize<'a>(&'a self, _: &Tensor) -> Result<Box<dyn Linearized + 'a>> {
        Err(Error::input("a ring is not linearized", "take its gradient"))
    }
}

/// Every batch of its four samples is the whole of an objective.
struct Whole<'a>(&'a dyn Objective);

impl SampledObjective for Whole<'_> {
    fn samples(&self) -> usize {
        4
    }

    fn side_by_side(&self) -> bool {
        false
    }

    fn on_batch(&self, _: &[usize], then: &mut dyn FnMut(&dyn Objective) -> Result<()>) -> Result<()> {
        then(self.0)
    }
}

fn settings(epochs: u64, batch_size: u64, learning_rate: f64) -> CurveTraining {
    let settings = Training { epochs, batch_size, learning_rate, momentum: 0.9, weight_decay: 0.0 };
    CurveTraining { settings, seed: 3 }
}

/// The largest loss on a curve.
fn highest(objective: &dyn Objective, curve: &Curve) -> f64 {
    let loss = |i: i32| objective.evaluate(&curve.at(f64::from(i) / 60.0).unwrap()).unwrap().loss;
    (0..=60).map(loss).fold(0.0, f64::max)
}

#[test]
fn a_trained_curve_goes_around_what_the_line_climbs() {
    let (a, b) = (vector(&[-0.8, 0.0]), vector(&[0.8, 0.0]));
    for (shape, bends) in [(Shape::Bezier, 1), (Shape::Bezier, 3), (Shape::Chain, 1), (Shape::Chain, 3)] {
        let start = Curve::straight(shape, &a, &b, bends).unwrap();
        let before = highest(&Ring, &start);
        assert!((before - 0.64_f64.powi(2)).abs() < 1e-12, "{before}");
        let mut state = CurveState::new(start).unwrap();
        settings(500, 2, 0.02).train(&Whole(&Ring), &mut state, |_, _| Ok(())).unwrap();
        let after = highest(&Ring, &state.curve);
        // Two chords over the top of the circle, (0, 2/5), are 0.04 high in their middles: a tenth, the coarsest of these curves.
        assert!(after < 0.2 * before, "{shape} of {bends}: {after} of {before}");
        assert_eq!([state.curve.at(0.0), state.curve.at(1.0)].map(|end| values(&end.unwrap())), [&a, &b].map(values));
    }
}

/// Where the gradient of the expectation in the bend is zero, E w₁ H (w₀ a + w₁ θ + w₂ b − c) = 0, with E w₁ = 1/3, E w₀w₁ = E w₁w₂ = 1/10
/// and E w₁² = 2/15 of Bernstein's polynomials of degree 2.
#[test]
fn on_a_quadratic_the_bend_goes_where_it_must() {
    let (a, b, c) = (vector(&[1.0, 0.0]), vector(&[0.0, 2.0]), [0.3, -0.5]);
    let hessian = Tensor::new(&[[2.0, 0.5], [0.5, 1.0]], &Device::Cpu).unwrap();
    let quadratic = Quadratic::new(hessian, vector(&c)).unwrap();
    let mut state = CurveState::new(Curve::straight(Shape::Bezier, &a, &b, 1).unwrap()).unwrap();
    settings(5000, 1, 0.002).train(&Whole(&quadratic), &mut state, |_, _| Ok(())).unwrap();
    let expected: Vec<f64> =
        values(&a).iter().zip(values(&b)).zip(c).map(|((a, b), c)| 7.5 * (c / 3.0 - (a + b) / 10.0)).collect();
    let found = values(&state.curve.bends()[0]);
    // The drawn t leave noise of σ √(η/2λ) with η = 0.002/100 · 1/(1 − 0.9) at the end, curvature λ ≥ 2/15 · 0.79 and gradients that
    // spread by σ ≈ 0.4: about 0.012.
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 0.05), "{found:?} for {expected:?}");
}

/// L(φ(t)) + λ/2 ‖φ(t)‖².
fn penalized(objective: &dyn Objective, curve: &Curve, t: f64, decay: f64) -> f64 {
    let theta = curve.at(t).unwrap();
    let square = theta.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    objective.evaluate(&theta).unwrap().loss + decay / 2.0 * square
}

#[test]
fn the_gradient_in_each_bend_is_that_of_differences() {
    let data = Dataset::load(&DataSpec::Digits, Split::Train).unwrap().take(20).unwrap();
    let model = Model::new(&"mlp:64-4-10:tanh".parse().unwrap(), &[64], 10).unwrap();
    let none = model.initial_buffers(DType::F64).unwrap();
    let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let network = Network::new(&model, &none, LossSpec::cross_entropy(), &data, options).unwrap();
    let point = |seed| model.initial_parameters(seed, DType::F64).unwrap();
    let (positions, decay, h) = ([0.15, 0.5, 0.8], 0.1, 1e-5);
    for shape in SHAPES {
        let curve = Curve::new(shape, (0..4).map(point).collect()).unwrap();
        // The mean over the positions stands for the expectation over t.
        let expected =
            |curve: &Curve| positions.map(|t| penalized(&network, curve, t, decay)).iter().sum::<f64>() / 3.0;
        let gradients = positions.map(|t| curve.gradient(&network, t, decay).unwrap().1);
        for bend in 0..2 {
            let direction = drawn(model.parameters().len(), bend as u64);
            let moved = |step: f64| {
                let mut bends = curve.bends().to_vec();
                bends[bend] = (&bends[bend] + (&direction * step).unwrap()).unwrap();
                curve.with_bends(bends).unwrap()
            };
            let difference = (expected(&moved(h)) - expected(&moved(-h))) / (2.0 * h);
            let along =
                |gradient: &Tensor| values(gradient).iter().zip(values(&direction)).map(|(g, d)| g * d).sum::<f64>();
            let found = gradients.iter().map(|of_bends| along(&of_bends[bend])).sum::<f64>() / 3.0;
            assert!(
                (found - difference).abs() < 1e-7 * (1.0 + found.abs()),
                "{shape} {bend}: {found} for {difference}"
            );
        }
    }
}

/// Batch norm and an uneven last batch.
fn trained_on_digits(stops: &[u64]) -> (Vec<Vec<f64>>, Vec<f64>) {
    let data = Dataset::load(&DataSpec::Digits, Split::Train).unwrap().take(50).unwrap();
    let model = Model::new(&"mlp:64-5-10:relu:bn".parse().unwrap(), &[64], 10).unwrap();
    let buffers = model.initial_buffers(DType::F64).unwrap();
    let options = NetworkOptions { dtype: DType::F64, batch_norm: BatchNorm::Batch, ..NetworkOptions::default() };
    let batches =
        SampledNetwork { model: &model, buffers: &buffers, loss: LossSpec::cross_entropy(), data: &data, options };
    let point = |seed| model.initial_parameters(seed, DType::F64).unwrap();
    let start = Curve::straight(Shape::Bezier, &point(0), &point(1), 2).unwrap();
    let mut state = CurveState::new(start).unwrap();
    let training = settings(3, 20, 0.05);
    let mut losses = Vec::new();
    for stop in stops.iter().copied().chain([u64::MAX]) {
        let ended = training.train(&batches, &mut state, |state, at| {
            assert_eq!((state.step, at.steps), (at.step, 9));
            losses.push(at.loss);
            if at.step == stop { Err(Error::Interrupted) } else { Ok(()) }
        });
        assert_eq!(ended.is_err(), stop < u64::MAX);
    }
    (state.curve.bends().iter().map(values).collect(), losses)
}

#[test]
fn a_stopped_run_goes_on_to_the_same_bits() {
    let (bends, losses) = trained_on_digits(&[]);
    assert_eq!(losses.len(), 9);
    assert!(losses.iter().all(|loss| loss.is_finite()));
    assert_eq!(trained_on_digits(&[1, 3, 5]), (bends.clone(), losses.clone()));
    assert_eq!(trained_on_digits(&[]), (bends, losses));
}

#[test]
fn what_cannot_be_trained_with_is_refused() {
    let refused = |training: CurveTraining, message: &str| {
        let error = training.check(4).unwrap_err();
        assert!(error.is_bad_input() && error.to_string().contains(message), "{error}");
    };
    refused(settings(0, 2, 0.1), "0 epochs");
    refused(settings(1, 5, 0.1), "the data has 4 samples");
    refused(settings(1, 0, 0.1), "the batch size is 0");
    refused(settings(1, 2, f64::NAN), "learning rate");
    let with = |momentum, weight_decay| {
        let settings = Training { momentum, weight_decay, ..settings(1, 2, 0.1).settings };
        CurveTraining { settings, seed: 0 }
    };
    refused(with(1.0, 0.0), "momentum");
    refused(with(0.9, -1.0), "weight decay");
    // A step far out of the numbers.
    let start = Curve::straight(Shape::Bezier, &vector(&[-0.8, 0.0]), &vector(&[0.8, 0.0]), 1).unwrap();
    let mut state = CurveState::new(start).unwrap();
    let lost = settings(50, 2, 1e30).train(&Whole(&Ring), &mut state, |_, _| Ok(())).unwrap_err();
    assert!(lost.is_bad_input() && lost.to_string().contains("left the numbers"), "{lost}");
}

proptest! {
    #[test]
    fn weights_sum_to_one_and_none_is_negative(t in 0.0..=1.0_f64, bends in 1..8_usize) {
        for shape in SHAPES {
            let weights = random(shape, bends).weights(t);
            prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-13);
            prop_assert!(weights.iter().all(|&weight| weight >= 0.0));
        }
    }
}
