//! Images in other sizes.

use candle_core::DType;

use super::Reader;
use crate::graph::{Array, Extent, Interpolation, Read, Size};
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
    let (factors, sizes) = (factors(c)?, c.sizes(3)?);
    let mut y = x.clone();
    for (i, axis) in axes.into_iter().enumerate() {
        let factor = factors.as_ref().and_then(|factors| factors.get(i).copied());
        let size = sizes.as_ref().and_then(|sizes| sizes.get(i).copied());
        if keeps(c, x.shape[axis], factor, size) {
            continue;
        }
        let extent = match (size, factor) {
            (Some(Size::Number(size)), _) => usize::try_from(size).map_err(|_| format!("the size {size}"))?,
            (None, Some(factor)) => (x.fixed(axis)? as f64 * factor).floor() as usize,
            _ => return Err("the size of the result is not known".into()),
        };
        // Where corners are aligned, the factor says nothing more.
        let aligned = matches!(how, Interpolation::Linear { align_corners: true });
        y = c.graph.resample(&y, axis, extent, factor.filter(|_| !aligned), how)?;
    }
    Ok(vec![y])
}

/// The factors, which may be left out as an input without elements.
fn factors(c: &Call) -> Read<Option<Vec<f64>>> {
    let Some(factors) = c.optional(2).filter(|factors| factors.shape != [Extent::Fixed(0)]) else { return Ok(None) };
    let known = factors.known().ok_or("factors that are not known")?;
    Ok(Some(known.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?))
}

/// Whether an axis stays as it is; that of the samples may be asked for by the number that they had.
fn keeps(c: &Call, own: Extent, factor: Option<f64>, size: Option<Size>) -> bool {
    let number = match own {
        Extent::Fixed(extent) => Some(extent),
        Extent::Samples(times) => c.graph.traced_samples.and_then(|traced| traced.checked_mul(times)),
    };
    match size {
        Some(Size::Extent(extent)) => extent == own,
        Some(Size::Number(size)) => number.is_some_and(|number| i64::try_from(number) == Ok(size)),
        None => factor == Some(1.0),
    }
}
