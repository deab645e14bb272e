//! Convolutions, pooling and images in other sizes.

use super::Reader;
use crate::exported_program::{Call, Outputs};
use crate::graph::{ConvolutionGeometry, Extent, Interpolation, Padding, Read, Windows};

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "conv1d" | "conv2d" => convolution,
        "convolution" => any_convolution,
        "conv_transpose1d" | "conv_transpose2d" => transposed_convolution,
        "max_pool1d" => |c| max_pool(c, 1),
        "max_pool2d" | "max_pool2d_with_indices" => |c| max_pool(c, 2),
        "avg_pool1d" => |c| average_pool(c, 1),
        "avg_pool2d" => |c| average_pool(c, 2),
        "avg_pool3d" => average_pool_of_channels,
        "adaptive_avg_pool1d" | "adaptive_avg_pool2d" | "_adaptive_avg_pool2d" => |c| {
            let (x, windows) = (c.array("self")?, c.counts("output_size")?);
            Ok(c.graph.adaptive_average_pool(&x, &windows)?.into())
        },
        "adaptive_max_pool1d" | "adaptive_max_pool2d" => |c| {
            let (x, windows) = (c.array("self")?, c.counts("output_size")?);
            Ok(c.graph.adaptive_max_pool(&x, &windows)?.into())
        },
        "upsample_nearest1d" | "upsample_nearest2d" => |c| resampled(c, Interpolation::Nearest),
        "upsample_linear1d" | "upsample_bilinear2d" => |c| {
            let align_corners = c.truth("align_corners", false)?;
            resampled(c, Interpolation::Linear { align_corners })
        },
        "pixel_shuffle" => |c| {
            let (x, r) = (c.array("self")?, c.count("upscale_factor", 1)?);
            Ok(c.graph.depth_to_space(&x, r, false)?.into())
        },
        "pixel_unshuffle" => |c| {
            let (x, r) = (c.array("self")?, c.count("downscale_factor", 1)?);
            Ok(c.graph.space_to_depth(&x, r, false)?.into())
        },
        "channel_shuffle" => channel_shuffle,
        _ => return None,
    })
}

fn geometry(c: &Call) -> Read<ConvolutionGeometry> {
    let padding = match c.text("padding") {
        None => Padding::Sizes(c.counts("padding")?),
        Some("valid") => Padding::Valid,
        Some("same") => Padding::Same,
        Some(other) => return Err(format!("the padding `{other}`").into()),
    };
    Ok(ConvolutionGeometry {
        stride: c.counts("stride")?,
        padding,
        dilation: c.counts("dilation")?,
        groups: c.count("groups", 1)?,
    })
}

fn convolution(c: &mut Call) -> Read<Outputs> {
    let (x, weight, bias) = (c.array("input")?, c.array("weight")?, c.optional_array("bias")?);
    let geometry = geometry(c)?;
    Ok(c.graph.convolution(&x, &weight, bias.as_ref(), &geometry)?.into())
}

fn any_convolution(c: &mut Call) -> Read<Outputs> {
    if c.truth("transposed", false)? { transposed_convolution(c) } else { convolution(c) }
}

fn transposed_convolution(c: &mut Call) -> Read<Outputs> {
    let (x, weight, bias) = (c.array("input")?, c.array("weight")?, c.optional_array("bias")?);
    let (geometry, more) = (geometry(c)?, c.counts("output_padding")?);
    Ok(c.graph.transposed_convolution(&x, &weight, bias.as_ref(), &geometry, &more)?.into())
}

fn windows(c: &Call) -> Read<Windows> {
    Ok(Windows {
        kernel: c.counts("kernel_size")?,
        stride: c.counts("stride")?,
        padding: c.counts("padding")?,
        dilation: c.counts("dilation")?,
        ceil_mode: c.truth("ceil_mode", false)?,
    })
}

fn max_pool(c: &mut Call, axes: usize) -> Read<Outputs> {
    let (x, windows) = (c.array("self")?, windows(c)?);
    Ok(c.graph.max_pool(&x, &windows, axes)?.into())
}

fn average_pool(c: &mut Call, axes: usize) -> Read<Outputs> {
    if c.optional_integer("divisor_override")?.is_some() {
        return Err("an average with a divisor of its own".into());
    }
    let (x, windows, count_padding) = (c.array("self")?, windows(c)?, c.truth("count_include_pad", true)?);
    Ok(c.graph.average_pool(&x, &windows, count_padding, axes)?.into())
}

/// Averages over neighbouring channels alone, as local response normalisation takes them.
fn average_pool_of_channels(c: &mut Call) -> Read<Outputs> {
    let (x, windows) = (c.array("self")?, windows(c)?);
    Ok(c.graph.average_pool_of_depth(&x, &windows)?.into())
}

fn resampled(c: &mut Call, how: Interpolation) -> Read<Outputs> {
    let argument = if c.overload == "vec" { "input" } else { "self" };
    let x = c.array(argument)?;
    let sizes = c.optional_integers("output_size")?;
    let axes = 2..x.rank();
    let mut factors = c.floats("scale_factors").map(|factors| factors.into_iter().map(Some).collect::<Vec<_>>());
    if factors.is_none() {
        let scales = ["scales", "scales_h", "scales_w"].map(|name| c.number(name));
        let scales = scales.into_iter().collect::<Read<Vec<_>>>()?;
        let of_plane = [scales[1], scales[2]].map(|scale| scale.map(|scale| scale.value()));
        if axes.len() == 2 && of_plane.iter().any(Option::is_some) {
            factors = Some(of_plane.to_vec());
        }
    }
    // Where corners are aligned, or a size is given, the factor says nothing more.
    let aligned = matches!(how, Interpolation::Linear { align_corners: true });
    let mut y = x.clone();
    for (i, axis) in axes.enumerate() {
        let factor = factors.as_ref().and_then(|factors| factors.get(i).copied().flatten());
        let extent = match (&sizes, factor) {
            (Some(sizes), _) => sizes.get(i).and_then(|&size| usize::try_from(size).ok()),
            (None, Some(factor)) => Some((x.fixed(axis)? as f64 * factor).floor() as usize),
            (None, None) => None,
        };
        let extent = extent.ok_or("the size of the result is missing")?;
        y = c.graph.resample(&y, axis, extent, factor.filter(|_| !aligned), how)?;
    }
    Ok(y.into())
}

fn channel_shuffle(c: &mut Call) -> Read<Outputs> {
    let (x, groups) = (c.array("self")?, c.count("groups", 1)?);
    let channels = x.fixed(1)?;
    let each = channels.checked_div(groups).ok_or("no groups")?;
    let split = [&[x.shape[0], Extent::Fixed(groups), Extent::Fixed(each)], &x.shape[2..]].concat();
    let split = c.graph.viewed(&x, split)?;
    let turned = c.graph.transpose(&split, 1, 2)?;
    Ok(c.graph.viewed(&turned, x.shape.clone())?.into())
}
