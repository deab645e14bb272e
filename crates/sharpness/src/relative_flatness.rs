//! Relative flatness of a layer, after Petzka et al. ("Relative flatness and generalization", NeurIPS 2021):
//!
//! κ = Σ_{s,t} ⟨w_s, w_t⟩ tr H_{s,t},
//!
//! with the rows w_s of a layer's weights W and the blocks H_{s,t} of the Hessian between the weights of rows s and t. A
//! larger κ is a sharper minimum. For a convolution a row holds the weights of one output channel.

use basin_objective::random::stream;
use basin_objective::{Error, Linearized, Result};
use basin_records::sharpness::{Measure, Measurement};
use basin_records::spectrum::Matrix;
use basin_tape::{Entry, Layout, vector};
use candle_core::{D, DType, Tensor};
use rand::Rng;

use crate::neighbourhood::Observe;
use crate::statistics::Moments;

/// Vectors multiplied at once.
const ROWS: usize = 8;
/// What a product costs in gradients on a kept linearization.
const PRODUCT: f64 = 2.0;
/// Rows of the random matrix Z that are held at a time, which bounds the memory it takes for wide layers.
const BLOCK: usize = 1024;

/// κ of every layer whose weights are a matrix or a convolution, from products with the Hessian.
///
/// With Z of independent ±1, one row and one column per column of W, X = W Z has the covariance
/// E[X_{s,m} X_{t,n}] = ⟨w_s, w_t⟩ δ_{mn}, so that E[xᵀH x] = κ for x the entries of X: Hutchinson's estimator of tr((W Wᵀ ⊗ I) H).
/// One probe serves all layers at once, each with its own Z: what mixes two layers has mean zero. `stderr` is the standard
/// deviation over the probes by √probes; a probe costs one product.
///
/// ```
/// use basin_objective::{Objective, Quadratic};
/// use basin_sharpness::relative_flatness;
/// use basin_tape::Layout;
/// use candle_core::{Device, Tensor};
///
/// // One row (3, 4) of weights: κ is ‖w‖² tr H, here without variance because H is a multiple of the identity.
/// let mut layout = Layout::default();
/// layout.push("fc1.weight", &[1, 2]);
/// let hessian = Tensor::new(&[[2.0, 0.0], [0.0, 2.0]], &Device::Cpu)?;
/// let quadratic = Quadratic::new(hessian, Tensor::new(&[0.0, 0.0], &Device::Cpu)?)?;
/// let theta = Tensor::new(&[3.0, 4.0], &Device::Cpu)?;
/// let found = relative_flatness(quadratic.linearize(&theta)?.as_ref(), &theta, &layout, 64, 0, &mut |_| Ok(()))?;
/// assert!((found[0].value - 100.0).abs() < 5.0 * found[0].stderr.unwrap_or(0.0));
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When there are fewer than two probes, no layer has such weights, θ is not of the layout, or the objective fails.
pub fn relative_flatness(
    at: &dyn Linearized,
    theta: &Tensor,
    layout: &Layout,
    probes: usize,
    seed: u64,
    observe: &mut Observe<'_>,
) -> Result<Vec<Measurement>> {
    if probes < 2 {
        return Err(Error::input(format!("the number of draws is {probes}"), "give at least 2: one has no spread"));
    }
    let layers: Vec<usize> = (0..layout.entries().len())
        .filter(|&i| is_layer(&layout.entries()[i]) && !layout.entries()[i].is_empty())
        .collect();
    if layers.is_empty() {
        return Err(Error::input("no layer has a matrix of weights", "leave `relative-flatness` out"));
    }
    let weights = layout.views(theta)?;
    let mut forms: Vec<Vec<f64>> = vec![Vec::with_capacity(probes); layers.len()];
    for first in (0..probes).step_by(ROWS) {
        let rows = (first..probes.min(first + ROWS)).map(|probe| {
            let mut parts = vec![None; weights.len()];
            for &layer in &layers {
                parts[layer] = Some(mixed_columns(&weights[layer], seed, probe, &layout.entries()[layer].name)?);
            }
            Ok(layout.join(parts, theta.dtype(), theta.device())?)
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let products = at.hessian(&Tensor::stack(&rows, 0)?)?;
        for (k, row) in rows.iter().enumerate() {
            let product = products.get(k)?;
            for (forms, &layer) in forms.iter_mut().zip(&layers) {
                let entry = &layout.entries()[layer];
                let part = |x: &Tensor| x.narrow(0, entry.offset, entry.len());
                forms.push(vector::dot(&part(row)?, &part(&product)?)?);
            }
            observe(PRODUCT)?;
        }
    }
    Ok(layers.iter().zip(forms).map(|(&layer, forms)| measurement(&layout.entries()[layer], &forms)).collect())
}

fn measurement(entry: &Entry, forms: &[f64]) -> Measurement {
    let moments = Moments::of(forms);
    Measurement {
        layer: Some(entry.name.clone()),
        matrix: Some(Matrix::Hessian),
        stderr: Some(moments.standard_error()),
        draws: Some(forms.len() as u64),
        converged: moments.mean().is_finite(),
        reason: "mean over random probes".into(),
        ..Measurement::new(Measure::RelativeFlatness, moments.mean())
    }
}

/// Whether a tensor holds rows of weights that multiply features.
fn is_layer(entry: &Entry) -> bool {
    entry.shape.len() >= 2 && entry.name.ends_with("weight")
}

/// W Z with Z of independent ±1, in the shape of the weights.
fn mixed_columns(weights: &Tensor, seed: u64, probe: usize, name: &str) -> Result<Tensor> {
    let matrix = weights.flatten_from(1)?;
    let (_, columns) = matrix.dims2()?;
    let mut rng = stream(seed, "relative flatness", &format!("{probe}/{name}"));
    let mut mixed = matrix.zeros_like()?;
    for start in (0..columns).step_by(BLOCK) {
        let rows = BLOCK.min(columns - start);
        let signs: Vec<f64> = (0..rows * columns).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect();
        let signs = Tensor::from_vec(signs, (rows, columns), &candle_core::Device::Cpu)?
            .to_dtype(matrix.dtype())?
            .to_device(matrix.device())?;
        mixed = (mixed + matrix.narrow(1, start, rows)?.contiguous()?.matmul(&signs)?)?;
    }
    Ok(mixed.reshape(weights.shape())?)
}

/// κ of a last layer z = W φ + b under softmax cross-entropy, in closed form:
///
/// κ = (1/N) Σᵢ ‖φᵢ‖² (Σ_c G_cc p_ic − pᵢᵀ G pᵢ), G = W Wᵀ,
///
/// for features φ (N, M), logits z (N, C) with the probabilities p, and weights W (C, M); in f64, at the cost of O(N C²).
/// The Hessian of the layer is (1/N) Σ (diag pᵢ − pᵢpᵢᵀ) ⊗ φᵢφᵢᵀ whatever lies below it.
///
/// ```
/// use basin_sharpness::softmax_relative_flatness;
/// use candle_core::{Device, Tensor};
///
/// // Two classes at p = ½, orthogonal rows of length 1 and 2, ‖φ‖² = 9: 9 (½·1 + ½·4 − ¼·1 − ¼·4).
/// let cpu = &Device::Cpu;
/// let features = Tensor::new(&[[0.0, 0.0, 3.0]], cpu)?;
/// let weights = Tensor::new(&[[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]], cpu)?;
/// let logits = features.matmul(&weights.t()?)?;
/// assert_eq!(softmax_relative_flatness(&features, &logits, &weights)?, 11.25);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When the shapes do not belong together.
pub fn softmax_relative_flatness(features: &Tensor, logits: &Tensor, weights: &Tensor) -> Result<f64> {
    let (samples, width) = features.dims2()?;
    let (classes, columns) = weights.dims2()?;
    if logits.dims() != [samples, classes] || columns != width {
        return Err(Error::input(
            format!(
                "features of shape {:?}, logits of {:?} and weights of {:?} are none of one layer",
                features.dims(),
                logits.dims(),
                weights.dims()
            ),
            "give (N, M), (N, C) and (C, M)",
        ));
    }
    let [features, logits, weights] = [features, logits, weights].map(|x| x.to_dtype(DType::F64));
    let (features, logits, weights) = (features?, logits?, weights?);
    let gram = weights.matmul(&weights.t()?)?;
    let diagonal = weights.sqr()?.sum(1)?;
    let exponentials = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?.exp()?;
    let p = exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)?;
    let bend = (p.broadcast_mul(&diagonal)?.sum(1)? - (p.matmul(&gram)? * &p)?.sum(1)?)?;
    let total = vector::dot(&features.sqr()?.sum(1)?, &bend)?;
    Ok(total / samples as f64)
}
