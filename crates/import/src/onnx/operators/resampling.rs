//! Images in other sizes.

use super::Reader;
use crate::graph::{Array, Interpolation, Read};
use crate::onnx::call::Call;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "Resize" => resize,
        "DepthToSpace" => |c| {
            let (x, r) = (c.array(0)?, c.count("blocksize", 1)?);
            let positions_first = c.text("mode") != Some("CRD");
            Ok(vec![c.graph.depth_to_space(&x, r, positions_first)?])
        },
        "SpaceToDepth" => |c| {
            let (x, r) = (c.array(0)?, c.count("blocksize", 1)?);
            let positions_first = !c.is_pytorchs("aten.pixel_unshuffle", "of other channels");
            Ok(vec![c.graph.space_to_depth(&x, r, positions_first)?])
        },
        _ => return None,
    })
}

/// How positions are found, as far as PyTorch does it so.
fn interpolation(c: &Call) -> Read<Interpolation> {
    let positions = c.text("coordinate_transformation_mode").unwrap_or("half_pixel");
    let rounding = c.text("nearest_mode").unwrap_or("round_prefer_floor");
    match (c.text("mode").unwrap_or("nearest"), positions, rounding) {
        ("nearest", "asymmetric", "floor") => Ok(Interpolation::Nearest),
        ("linear", "half_pixel" | "pytorch_half_pixel", _) => Ok(Interpolation::Linear { align_corners: false }),
        ("linear", "align_corners", _) => Ok(Interpolation::Linear { align_corners: true }),
        ("nearest", ..) => Err(format!("nearest positions that are `{positions}` and rounded by `{rounding}`").into()),
        (mode, ..) => Err(format!("interpolation by `{mode}` at positions that are `{positions}`").into()),
    }
}

fn resize(c: &mut Call) -> Read<Vec<Array>> {
    let x = c.array(0)?;
    let how = interpolation(c)?;
    if c.truth("antialias", false) || c.text("keep_aspect_ratio_policy").is_some_and(|policy| policy != "stretch") {
        return Err("an image in another size with smoothing or its own aspect ratio".into());
    }
    let axes = match c.list("axes") {
        Some(axes) => x.axes(&axes)?,
        None => (0..x.rank()).collect(),
    };
    let factors = c.optional(2).filter(|factors| factors.rank() == 1 && factors.shape[0].of_one_sample() > 0);
    let factors = match factors.as_ref().map(|factors| factors.known().ok_or("factors that are not known")) {
        None => None,
        Some(known) => Some(known?.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>()?),
    };
    let sizes = c.sizes(3)?;
    let mut y = x.clone();
    for (i, axis) in axes.into_iter().enumerate() {
        let factor = factors.as_ref().map(|factors| factors.get(i).copied().unwrap_or(1.0));
        let own = x.shape[axis];
        if factor == Some(1.0) || sizes.as_ref().is_some_and(|sizes| sizes.get(i) == Some(&crate::graph::Size::Extent(own)))
        {
            continue;
        }
        let extent = match (&sizes, factor) {
            (None, Some(factor)) => Some((x.fixed(axis)? as f64 * factor).floor() as usize),
            (Some(sizes), _) => crate::onnx::operators::creation::extents(sizes)?.get(i).and_then(|extent| extent.fixed()),
            (None, None) => None,
        };
        let extent = extent.ok_or("the size of the result is missing")?;
        if own == crate::graph::Extent::Fixed(extent) {
            continue;
        }
        let traced = c.graph.traced_samples.filter(|&traced| own.depends_on_samples() && traced * own.of_one_sample() == extent);
        if traced.is_some() {
            continue;
        }
        let aligned = matches!(how, Interpolation::Linear { align_corners: true });
        y = c.graph.resample(&y, axis, extent, factor.filter(|_| !aligned), how)?;
    }
    Ok(vec![y])
}
