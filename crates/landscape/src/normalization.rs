//! Directions scaled to the weights they start from (Li, Xu, Taylor, Studer and Goldstein, "Visualizing the loss landscape of
//! neural nets", 2018, section 4).
//!
//! A network with normalisation layers or rectifiers computes the same with larger weights, on which a step of a given
//! length changes less: pictures along plain random directions make such a minimum look flat. Scaled to the weights, the
//! direction of a filter grows with the filter.

use basin_objective::Result;
use basin_records::surface::Normalization;
use basin_tape::{Entry, Layout};
use candle_core::{DType, Device, Tensor};

/// The direction scaled to the weights θ; both have the layout's length and are f64 on the CPU.
///
/// - `none`: d;
/// - `filter`: d_f ‖w_f‖/‖d_f‖ for each filter f, which is what the first axis of a tensor counts: an output channel of a
///   convolution, an output neuron of a linear layer;
/// - `layer`: d_t ‖w_t‖/‖d_t‖ for each tensor t;
/// - `weight`: d ∘ |w|.
///
/// Tensors of fewer than two axes, biases and parameters of norm layers, are one filter each; see
/// [`without_ignored`] for leaving them out. Where w_f or d_f is zero, so is the result.
///
/// ```
/// use basin_landscape::normalized;
/// use basin_records::surface::Normalization;
/// use candle_core::{Device, Tensor};
///
/// let mut layout = basin_tape::Layout::default();
/// layout.push("fc1.weight", &[2, 2]);
/// let theta = Tensor::new(&[3.0, 4.0, 0.0, 0.0], &Device::Cpu)?;
/// let direction = Tensor::new(&[0.0, 2.0, 1.0, 1.0], &Device::Cpu)?;
/// let filters = normalized(&direction, &theta, &layout, Normalization::Filter)?;
/// assert_eq!(filters.to_vec1::<f64>()?, [0.0, 5.0, 0.0, 0.0]);
/// # Ok::<(), basin_objective::Error>(())
/// ```
///
/// # Errors
/// When a vector does not have the layout's length.
pub fn normalized(direction: &Tensor, theta: &Tensor, layout: &Layout, normalization: Normalization) -> Result<Tensor> {
    let (directions, weights) = (layout.views(direction)?, layout.views(theta)?);
    let scaled = layout.entries().iter().zip(directions.into_iter().zip(weights)).map(|(entry, (d, w))| {
        Ok(Some(match normalization {
            Normalization::None => d,
            Normalization::Weight => (d * w.abs()?)?,
            Normalization::Filter if !is_small(entry) => with_norms_of(&d, &w, entry.shape[0])?,
            Normalization::Filter | Normalization::Layer => with_norms_of(&d, &w, 1)?,
        }))
    });
    Ok(layout.join(scaled.collect::<Result<_>>()?, DType::F64, &Device::Cpu)?)
}

/// The direction with zeros in all tensors of fewer than two axes: biases and the parameters of norm layers.
///
/// # Errors
/// When the vector does not have the layout's length.
pub fn without_ignored(direction: &Tensor, layout: &Layout) -> Result<Tensor> {
    let views = layout.entries().iter().zip(layout.views(direction)?);
    let kept = views.map(|(entry, view)| (!is_small(entry)).then_some(view)).collect();
    Ok(layout.join(kept, DType::F64, &Device::Cpu)?)
}

/// The names of the tensors that [`without_ignored`] leaves out.
pub fn ignored(layout: &Layout) -> Vec<String> {
    layout.entries().iter().filter(|entry| is_small(entry)).map(|entry| entry.name.clone()).collect()
}

fn is_small(entry: &Entry) -> bool {
    entry.shape.len() < 2
}

/// d with each of so many equal parts brought to the norm of w's.
fn with_norms_of(d: &Tensor, w: &Tensor, parts: usize) -> Result<Tensor> {
    if d.elem_count() == 0 {
        return Ok(d.clone());
    }
    let in_parts = |x: &Tensor| x.reshape((parts, x.elem_count() / parts));
    let norms = |x: &Tensor| in_parts(x)?.sqr()?.sum_keepdim(1)?.sqrt();
    let (of_d, of_w) = (norms(d)?, norms(w)?);
    let ratios = of_d.gt(0.0)?.where_cond(&(&of_w / &of_d)?, &of_d.zeros_like()?)?;
    Ok(in_parts(d)?.broadcast_mul(&ratios)?)
}
