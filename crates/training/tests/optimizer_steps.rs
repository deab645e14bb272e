//! Single steps of optimizers against steps computed by hand, and what they are invariant to.
#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use basin_objective::Quadratic;
use basin_tape::Layout;
use basin_training::{
    AdaGradNormSettings, AsamSettings, CblrSettings, LambSettings, LarsSettings, LbfgsSettings, LearningRate,
    MclrSettings, ObjectiveAt, Optimizer, OptimizerSettings, PercentDeltaSettings, SamSettings, SgdSettings,
    SmoothOutSettings,
};
use candle_core::{Device, Tensor, Var};

/// Rounding of a few operations in f64.
const TOLERANCE: f64 = 1e-12;

fn vector(values: &[f64]) -> Tensor {
    Tensor::new(values, &Device::Cpu).unwrap()
}

/// A matrix of two weights and a bias.
fn layout() -> Layout {
    let mut layout = Layout::default();
    layout.push("weight", &[1, 2]);
    layout.push("bias", &[1]);
    layout
}

/// ½ Σ cᵢ (θᵢ − mᵢ)².
fn parabolas(c: &[f64], minimum: &[f64]) -> Quadratic {
    let diagonal = |i: usize| if i / c.len() == i % c.len() { c[i % c.len()] } else { 0.0 };
    let hessian: Vec<f64> = (0..c.len() * c.len()).map(diagonal).collect();
    Quadratic::new(Tensor::from_vec(hessian, (c.len(), c.len()), &Device::Cpu).unwrap(), vector(minimum)).unwrap()
}

/// Where steps at a learning rate lead.
fn after(steps: usize, settings: &OptimizerSettings, quadratic: &Quadratic, start: &[f64], rate: f64) -> Vec<f64> {
    let theta = Var::from_tensor(&vector(start)).unwrap();
    let mut optimizer = Optimizer::new(&theta, &layout(), 7, settings).unwrap();
    for _ in 0..steps {
        let batch = ObjectiveAt::new(quadratic, theta.as_detached_tensor().copy().unwrap()).unwrap();
        optimizer.step(&theta, &batch, rate).unwrap();
    }
    theta.to_vec1().unwrap()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    let close = |(found, expected): (&f64, &f64)| (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
    assert!(found.iter().zip(expected).all(close), "{found:?} is not {expected:?}");
}

fn descent() -> Box<OptimizerSettings> {
    let learning_rate = LearningRate::Fixed(0.1);
    Box::new(OptimizerSettings::Sgd(SgdSettings { learning_rate, ..SgdSettings::default() }))
}

#[test]
fn adagrad_norm_divides_by_all_gradients_so_far() {
    let settings = OptimizerSettings::AdaGradNorm(AdaGradNormSettings { initial: 1.0, ..Default::default() });
    // Gradients (2, 2, 0) and, at (2 − 2/3, 2 − 2/3, 0), two thirds of it: b² is 1 + 8, then 9 + 8 · (1 − 1/3)².
    let quadratic = parabolas(&[1.0; 3], &[0.0; 3]);
    assert_close(&after(1, &settings, &quadratic, &[2.0, 2.0, 0.0], 1.0), &[4.0 / 3.0, 4.0 / 3.0, 0.0]);
    let b = (9.0_f64 + 32.0 / 9.0).sqrt();
    let second = 4.0 / 3.0 * (1.0 - 1.0 / b);
    assert_close(&after(2, &settings, &quadratic, &[2.0, 2.0, 0.0], 1.0), &[second, second, 0.0]);
}

#[test]
fn lars_scales_matrices_and_leaves_biases() {
    let lars = LarsSettings { trust: 0.1, momentum: 0.5, weight_decay: 0.2, ..LarsSettings::default() };
    // w = (3, 4), g = (6, 8): λ = 0.1 · 5 / (10 + 0.2 · 5) = 1/22, g + β w = (6.6, 8.8); the bias moves by its gradient.
    let quadratic = parabolas(&[2.0; 3], &[0.0; 3]);
    let start = [3.0, 4.0, 1.0];
    let first = [3.0 - 0.5 * 0.3, 4.0 - 0.5 * 0.4, 1.0 - 0.5 * 2.0];
    assert_close(&after(1, &OptimizerSettings::Lars(lars), &quadratic, &start, 0.5), &first);
    // The second step adds half of the first; w is now 0.95 of what it was and the ratio is the same.
    let second = [2.85 - 0.15 * 0.95 - 0.075, 3.8 - 0.2 * 0.95 - 0.1, -0.5];
    assert_close(&after(2, &OptimizerSettings::Lars(lars), &quadratic, &start, 0.5), &second);
}

#[test]
fn larc_is_never_faster_than_descent() {
    let lars = LarsSettings { clip: true, momentum: 0.0, weight_decay: 0.0, ..LarsSettings::default() };
    let quadratic = parabolas(&[2.0; 3], &[0.0; 3]);
    let moved = |trust, rate| {
        let settings = OptimizerSettings::Lars(LarsSettings { trust, ..lars });
        after(1, &settings, &quadratic, &[3.0, 4.0, 1.0], rate)
    };
    // λ = trust / 2: 0.01 is below the rate, 0.5 is not.
    assert_close(&moved(0.02, 0.1), &[3.0 - 0.06, 4.0 - 0.08, 0.8]);
    assert_close(&moved(1.0, 0.1), &[2.4, 3.2, 0.8]);
}

#[test]
fn lars_does_not_see_the_scale_of_the_loss() {
    let settings = LarsSettings { weight_decay: 0.0, ..LarsSettings::default() };
    let settings = OptimizerSettings::Lars(settings);
    let moved =
        |scale: f64| after(1, &settings, &parabolas(&[scale, 2.0 * scale, 0.0], &[0.0; 3]), &[3.0, 4.0, 1.0], 1.0);
    assert_close(&moved(1.0), &moved(1e6));
}

#[test]
fn without_norms_there_is_no_ratio() {
    let lars = LarsSettings { momentum: 0.0, ..LarsSettings::default() };
    let still = parabolas(&[1.0; 3], &[3.0, 4.0, 1.0]);
    assert_close(&after(1, &OptimizerSettings::Lars(lars), &still, &[3.0, 4.0, 1.0], 0.1), &[3.0, 4.0, 1.0]);
    assert_close(&after(1, &OptimizerSettings::Lars(lars), &still, &[0.0, 0.0, 0.0], 0.1), &[0.3, 0.4, 0.1]);
    // LAMB at zero weights is Adam, whose first step is the rate along the sign of the gradient.
    let lamb = OptimizerSettings::Lamb(LambSettings { epsilon: 1e-15, ..LambSettings::default() });
    assert_close(&after(1, &lamb, &still, &[0.0, 0.0, 0.0], 0.1), &[0.1, 0.1, 0.1]);
    assert_close(&after(1, &lamb, &parabolas(&[0.0; 3], &[0.0; 3]), &[0.0, 0.0, 2.0], 0.1), &[0.0, 0.0, 2.0]);
}

#[test]
fn lamb_moves_a_matrix_by_the_rate_times_its_norm() {
    let lamb = LambSettings { epsilon: 1e-15, weight_decay: 1.0, ..LambSettings::default() };
    // Adam's first step is (1, 1), with weight decay r = (4, 5); the bias moves by Adam's step.
    let quadratic = parabolas(&[2.0; 3], &[0.0; 3]);
    let scale = 0.1 * 5.0 / 41_f64.sqrt();
    let expected = [3.0 - 4.0 * scale, 4.0 - 5.0 * scale, 0.9];
    assert_close(&after(1, &OptimizerSettings::Lamb(lamb), &quadratic, &[3.0, 4.0, 1.0], 0.1), &expected);
}

#[test]
fn percent_delta_moves_a_tensor_by_a_share_on_average() {
    let settings = |floor| OptimizerSettings::PercentDelta(PercentDeltaSettings { floor, ..Default::default() });
    // g/w = (1, 3) in the matrix, of mean 2; a bias of 0 whose gradient is −4 counts as the floor.
    let quadratic = parabolas(&[1.0, 3.0, 4.0], &[0.0, 0.0, 1.0]);
    let expected = [2.0 - 0.1, 5.0 - 0.75, 0.05];
    assert_close(&after(1, &settings(0.5), &quadratic, &[2.0, 5.0, 0.0], 0.1), &expected);
    let still = parabolas(&[0.0; 3], &[0.0; 3]);
    assert_close(&after(1, &settings(0.5), &still, &[2.0, 5.0, 0.0], 0.1), &[2.0, 5.0, 0.0]);
}

#[test]
fn mclr_takes_medians_of_absolute_values() {
    let mclr = |weight_decay| OptimizerSettings::Mclr(MclrSettings { weight_decay, ..MclrSettings::default() });
    // |w| has the median 3, g = (2, −12) the median 7, the bias R = 1/3.
    let quadratic = parabolas(&[1.0, 3.0, 3.0], &[0.0; 3]);
    let start = [2.0, -4.0, 1.0];
    let rate = 0.1 * 3.0 / 7.0;
    let expected = [2.0 - 2.0 * rate, -4.0 + 12.0 * rate, 0.9];
    assert_close(&after(1, &mclr(0.0), &quadratic, &start, 0.1), &expected);
    // g + β w = (4, −16) and 4.
    let decayed = [2.0 - 4.0 * 0.03, -4.0 + 16.0 * 0.03, 0.9];
    assert_close(&after(1, &mclr(1.0), &quadratic, &start, 0.1), &decayed);
    let scaled = parabolas(&[100.0, 300.0, 300.0], &[0.0; 3]);
    assert_close(&after(1, &mclr(0.0), &scaled, &start, 0.1), &expected);
    // Without a median there is no radius.
    assert_close(&after(1, &mclr(0.0), &parabolas(&[1.0; 3], &[1.0; 3]), &[0.0; 3], 0.1), &[0.1; 3]);
}

#[test]
fn sam_steps_by_the_gradient_uphill() {
    // g = (3, 4, 0) at (3, 4, 0): ε = ρ (0.6, 0.8, 0), and so is what the gradient grows by.
    let quadratic = parabolas(&[1.0; 3], &[0.0; 3]);
    let sam = OptimizerSettings::Sam(SamSettings { rho: 0.5, base: descent() });
    assert_close(&after(1, &sam, &quadratic, &[3.0, 4.0, 0.0], 0.1), &[3.0 - 0.33, 4.0 - 0.44, 0.0]);
    assert_close(&after(1, &sam, &quadratic, &[0.0; 3], 0.1), &[0.0; 3]);
}

#[test]
fn asam_measures_the_distance_relative_to_the_weights() {
    // T = (2, 1, 1), g = (1.5, 4, 0): T g = (3, 4, 0), ε = 0.5 (6, 4, 0) / 5.
    let quadratic = parabolas(&[1.0, 4.0, 0.0], &[0.0; 3]);
    let asam = |eta| OptimizerSettings::Asam(AsamSettings { rho: 0.5, eta, base: descent() });
    let expected = [1.5 - 0.1 * 2.1, 1.0 - 0.1 * (4.0 + 4.0 * 0.4), 0.0];
    // η = 0.5 is added to |θ| = (1.5, 1, …): T g = (3, 6, 0) there.
    let found = after(1, &asam(0.5), &quadratic, &[1.5, 1.0, 0.0], 0.1);
    let norm = 45_f64.sqrt();
    let with_eta = [1.5 - 0.1 * (1.5 + 3.0 / norm), 1.0 - 0.1 * (4.0 + 4.0 * 4.5 / norm), 0.0];
    assert_close(&found, &with_eta);
    let shifted = parabolas(&[1.0, 4.0, 0.0], &[0.5, 0.0, 0.0]);
    let found = after(1, &asam(0.0), &shifted, &[2.0, 1.0, 0.0], 0.1);
    assert_close(&found, &[expected[0] + 0.5, expected[1], 0.0]);
}

#[test]
fn asam_does_not_see_how_layers_share_their_scale() {
    // The loss ½ (2 θ₀)² + ½ (θ₁ / 2)² at (1, 2) is ½ θ₀² + ½ θ₁² at (2, 1): the gradients at the moved points agree likewise.
    let asam = OptimizerSettings::Asam(AsamSettings { rho: 0.5, eta: 0.0, base: descent() });
    let one = after(1, &asam, &parabolas(&[1.0, 1.0, 0.0], &[0.0; 3]), &[2.0, 1.0, 0.0], 0.1);
    let other = after(1, &asam, &parabolas(&[4.0, 0.25, 0.0], &[0.0; 3]), &[1.0, 2.0, 0.0], 0.1);
    assert_close(&[(1.0 - other[0]) / 2.0, (2.0 - other[1]) * 2.0], &[2.0 - one[0], 1.0 - one[1]]);
}

#[test]
fn smoothout_draws_from_its_box_anew_each_step() {
    let smooth = |noise| OptimizerSettings::SmoothOut(SmoothOutSettings { noise, base: descent() });
    let quadratic = parabolas(&[1.0; 3], &[0.0; 3]);
    // From the minimum each step is −η u.
    let first = after(1, &smooth(0.2), &quadratic, &[0.0; 3], 0.1);
    assert!(first.iter().all(|x| x.abs() <= 0.02) && first.iter().any(|x| *x != first[0]), "{first:?}");
    let second = after(2, &smooth(0.2), &quadratic, &[0.0; 3], 0.1);
    let repeated: Vec<f64> = first.iter().map(|x| 1.9 * x).collect();
    assert_ne!(second, repeated);
    assert_eq!(second, after(2, &smooth(0.2), &quadratic, &[0.0; 3], 0.1));
    assert_close(
        &after(1, &smooth(0.4), &quadratic, &[0.0; 3], 0.1),
        &first.iter().map(|x| 2.0 * x).collect::<Vec<_>>(),
    );
}

#[test]
fn cblr_divides_by_the_curvature_of_each_weight() {
    let cblr = |floor, probes| OptimizerSettings::Cblr(CblrSettings { floor, probes, ..CblrSettings::default() });
    // A diagonal Hessian is found exactly. g = (3/4, −1, 0.02), the flat bias counts as the floor.
    let quadratic = parabolas(&[0.5, 4.0, 0.01], &[-0.5, 1.25, 0.0]);
    let bias = 2.0 - 0.1 * (1.0 + 0.0004_f64).powf(1.5) * 0.02 / 0.1;
    let expected = [1.0 - 0.1 * (25.0_f64 / 16.0).powf(1.5) * 0.75 / 0.5, 1.0 + 0.1 * 8_f64.sqrt() / 4.0, bias];
    for probes in [1, 3] {
        assert_close(&after(1, &cblr(0.1, probes), &quadratic, &[1.0, 1.0, 2.0], 0.1), &expected);
    }
}

#[test]
fn lbfgs_finds_the_minimum_of_a_quadratic_in_a_few_steps() {
    let quadratic = parabolas(&[1.0, 10.0, 100.0], &[1.0, -2.0, 3.0]);
    let lbfgs = OptimizerSettings::Lbfgs(LbfgsSettings::default());
    let found = after(30, &lbfgs, &quadratic, &[0.0; 3], 1.0);
    assert_close(&found, &[1.0, -2.0, 3.0]);
    // Steps that are far too long are halved until the loss falls.
    let mut losses = Vec::new();
    for steps in 0..20 {
        let theta = vector(&after(steps, &lbfgs, &quadratic, &[0.0; 3], 1e3));
        losses.push(ObjectiveAt::new(&quadratic, theta).map(|at| basin_training::Batch::loss(&at)).unwrap());
    }
    assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
    assert_eq!(after(3, &lbfgs, &quadratic, &[1.0, -2.0, 3.0], 1.0), [1.0, -2.0, 3.0]);
    // Where no length lowers the loss, the weights stay.
    assert_eq!(after(2, &lbfgs, &quadratic, &[0.0; 3], 1e300), [0.0; 3]);
}

#[test]
fn an_optimizer_that_needs_more_than_gradients_is_no_base() {
    for base in [OptimizerSettings::Cblr(CblrSettings::default()), OptimizerSettings::Sam(SamSettings::default())] {
        let settings = OptimizerSettings::Sam(SamSettings { base: Box::new(base), ..SamSettings::default() });
        let error = settings.check().unwrap_err();
        assert!(error.to_string().contains("more than a gradient") && error.hint().is_some(), "{error}");
    }
    let automatic = SgdSettings { learning_rate: LearningRate::Automatic, ..SgdSettings::default() };
    let base = Box::new(OptimizerSettings::Sgd(automatic));
    let error = OptimizerSettings::Sam(SamSettings { base, ..SamSettings::default() }).check().unwrap_err();
    assert!(error.to_string().contains("automatic learning rate"), "{error}");
}

#[test]
fn settings_out_of_range_are_named() {
    let refused: [(OptimizerSettings, &str); 8] = [
        (OptimizerSettings::Lars(LarsSettings { trust: 0.0, ..Default::default() }), "trust coefficient is 0"),
        (OptimizerSettings::Lamb(LambSettings { beta2: 1.0, ..Default::default() }), "beta2 is 1"),
        (
            OptimizerSettings::AdaGradNorm(AdaGradNormSettings { initial: 0.0, ..Default::default() }),
            "initial norm is 0",
        ),
        (OptimizerSettings::PercentDelta(PercentDeltaSettings { floor: -1.0, ..Default::default() }), "floor is -1"),
        (OptimizerSettings::Sam(SamSettings { rho: f64::NAN, ..Default::default() }), "rho is NaN"),
        (OptimizerSettings::SmoothOut(SmoothOutSettings { noise: 0.0, ..Default::default() }), "noise is 0"),
        (OptimizerSettings::Cblr(CblrSettings { probes: 0, ..Default::default() }), "0 probes"),
        (OptimizerSettings::Lbfgs(LbfgsSettings { history: 0, ..Default::default() }), "0 pairs"),
    ];
    for (settings, expected) in refused {
        let error = settings.check().unwrap_err();
        assert!(error.to_string().contains(expected) && error.hint().is_some(), "{error}");
    }
    for settings in OptimizerSettings::all() {
        settings.check().unwrap();
    }
}
