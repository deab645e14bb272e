//! Convolutions, pooling and images in other sizes.

use super::Reader;
use crate::exported_program::{Call, Outputs};
use crate::graph::{Array, ConvolutionGeometry, Extent, Interpolation, Padding, Read, Windows};

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
        "pixel_shuffle" => pixel_shuffle,
        "pixel_unshuffle" => pixel_unshuffle,
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
    let (x, kernel, stride) = (c.array("self")?, c.counts("kernel_size")?, c.counts("stride")?);
    let (&[depth, 1, 1], [] | [1, 1, 1]) = (kernel.as_slice(), stride.as_slice()) else {
        return Err("pooling of volumes".into());
    };
    if c.counts("padding")?.iter().any(|&padding| padding > 0) || x.rank() != 5 {
        return Err("pooling of volumes".into());
    }
    let flat = c.graph.flatten(&x, 3, 4)?;
    let windows =
        Windows { kernel: vec![depth, 1], stride: vec![1, 1], padding: vec![], dilation: vec![], ceil_mode: false };
    let images = c.graph.flatten(&flat, 0, 1)?;
    let plane = c.graph.unsqueeze(&images, 1)?;
    let y = c.graph.average_pool(&plane, &windows, true, 2)?;
    let mut shape = x.shape.clone();
    shape[2] = y.shape[2];
    Ok(c.graph.viewed(&y, shape)?.into())
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

/// Sizes of an image with r² channels for each one.
fn image(x: &Array) -> Read<(Extent, usize, usize, usize)> {
    if x.rank() != 4 {
        return Err("an image has four axes".into());
    }
    Ok((x.shape[0], x.fixed(1)?, x.fixed(2)?, x.fixed(3)?))
}

fn pixel_shuffle(c: &mut Call) -> Read<Outputs> {
    let (x, r) = (c.array("self")?, c.count("upscale_factor", 1)?);
    let (n, channels, height, width) = image(&x)?;
    let out = r.checked_mul(r).and_then(|squared| channels.checked_div(squared)).ok_or("a factor of 0")?;
    let f = Extent::Fixed;
    let split = c.graph.viewed(&x, vec![n, f(out), f(r), f(r), f(height), f(width)])?;
    let turned = c.graph.permute(&split, &[0, 1, 4, 2, 5, 3])?;
    let sizes = height.checked_mul(r).zip(width.checked_mul(r)).ok_or("an image that is too large")?;
    Ok(c.graph.viewed(&turned, vec![n, f(out), f(sizes.0), f(sizes.1)])?.into())
}

fn pixel_unshuffle(c: &mut Call) -> Read<Outputs> {
    let (x, r) = (c.array("self")?, c.count("downscale_factor", 1)?);
    let (n, channels, height, width) = image(&x)?;
    let (rows, columns) = height.checked_div(r).zip(width.checked_div(r)).ok_or("a factor of 0")?;
    let f = Extent::Fixed;
    let split = c.graph.viewed(&x, vec![n, f(channels), f(rows), f(r), f(columns), f(r)])?;
    let turned = c.graph.permute(&split, &[0, 1, 3, 5, 2, 4])?;
    let channels = r.checked_mul(r).and_then(|squared| channels.checked_mul(squared)).ok_or("too many channels")?;
    Ok(c.graph.viewed(&turned, vec![n, f(channels), f(rows), f(columns)])?.into())
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
