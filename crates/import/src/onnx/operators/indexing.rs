//! Elements at positions that other tensors hold.

use candle_core::{DType, Tensor};

use super::Reader;
use crate::graph::{Array, Content, Extent, Kind, Read, place};
use crate::onnx::call::Call;
use crate::onnx::schema::value_of;

pub(super) fn reader(name: &str) -> Option<Reader> {
    Some(match name {
        "Gather" => gather,
        "GatherElements" => |c| {
            let (x, index) = (c.array(0)?, c.array(1)?);
            let axis = x.axis(c.integer("axis", 0))?;
            Ok(vec![c.graph.gather(&x, axis, &index)?])
        },
        "GatherND" => gather_by_rows,
        "ScatterND" => scatter_by_rows,
        "ScatterElements" => scatter,
        _ => return None,
    })
}

/// Along an axis the positions that an array of any shape holds, whose axes take the place of that one.
fn gather(c: &mut Call) -> Read<Vec<Array>> {
    let (x, index) = (c.array(0)?, c.array(1)?);
    let axis = x.axis(c.integer("axis", 0))?;
    if let Some(known) = index.known().filter(|_| index.sample_axis().is_none()) {
        if known.rank() == 0 {
            let position = known.to_dtype(DType::I64)?.to_scalar::<i64>()?;
            return Ok(vec![c.graph.select(&x, axis, position)?]);
        }
        let taken = c.graph.index_select(&x, axis, &index)?;
        let shape = [&x.shape[..axis], &index.shape, &x.shape[axis + 1..]].concat();
        return Ok(vec![c.graph.viewed(&taken, shape)?]);
    }
    if axis == 0 && x.rank() == 2 && x.sample_axis().is_none() && index.kind == Kind::Integer {
        let padding = padding(c);
        return Ok(vec![c.graph.embedding(&x, &index, padding)?]);
    }
    let indices: Vec<Option<Array>> = (0..=axis).map(|own| (own == axis).then(|| index.clone())).collect();
    Ok(vec![c.graph.index(&x, &indices)?])
}

/// The row of an embedding that takes no gradient, which ONNX does not know, and the newer exporter writes down beside it:
/// `… = call_function[target=torch.ops.aten.embedding.default](args = (%weight, %x, 0), kwargs = {})`.
fn padding(c: &Call) -> Option<usize> {
    let call = value_of(&c.node.metadata_props, "pkg.torch.onnx.fx_node")?;
    let (_, arguments) = call.split_once("aten.embedding.default](args = (")?;
    arguments.split_once(')')?.0.split(',').nth(2)?.trim().parse().ok()
}

/// The parts at positions along the first axes; each row of the index holds one for each of these axes.
fn gather_by_rows(c: &mut Call) -> Read<Vec<Array>> {
    let (x, index) = (c.array(0)?, c.array(1)?);
    if c.integer("batch_dims", 0) != 0 {
        return Err("positions for each of a batch".into());
    }
    let columns = columns(c, &index)?;
    Ok(vec![c.graph.index(&x, &columns.into_iter().map(Some).collect::<Vec<_>>())?])
}

/// The columns of an index, each for one axis.
fn columns(c: &mut Call, index: &Array) -> Read<Vec<Array>> {
    if let Content::Columns(columns) = &index.content {
        // What is the same for all samples broadcasts over them.
        let mut columns = columns.clone();
        for column in columns.iter_mut().filter(|column| column.known().is_some()) {
            if let Some(axis) = column.sample_axis() {
                column.shape[axis] = Extent::Fixed(1);
            }
        }
        return Ok(columns);
    }
    let last = index.rank().checked_sub(1).ok_or("an index without axes")?;
    (0..index.fixed(last)?).map(|column| c.graph.select(index, last, column as i64)).collect()
}

/// x with parts written over it that are whole along all axes but one.
fn scatter_by_rows(c: &mut Call) -> Read<Vec<Array>> {
    let (x, index, write) = (c.array(0)?, c.array(1)?, c.array(2)?);
    refuse_reduction(c)?;
    if matches!(index.content, Content::SampleNumbers) && x.shape.first() == Some(&Extent::Samples(1)) {
        // All samples are written over, each by its own.
        let write = c.graph.cast(&write, x.kind)?;
        return Ok(vec![c.graph.expand_to(&write, &x.shape)?]);
    }
    let alike = [&x, &index, &write].iter().all(|array| array.sample_axis().is_none());
    if let (true, Some(x), Some(index), Some(write)) = (alike, x.known(), index.known(), write.known()) {
        return Ok(vec![Array::constant(written(x, index, write)?)?]);
    }
    if x.rank() == 0 || index.rank() != 2 || index.fixed(1)? != 1 {
        return Err("writing at positions along several axes at once".into());
    }
    let positions = counted(&index.integers()?, x.fixed(0)?)?;
    Ok(vec![c.graph.overwrite(&x, &write, 0, &positions)?])
}

/// Of known arrays: each row of the index is a place along the first axes, at which a part is written.
fn written(x: &Tensor, index: &Tensor, write: &Tensor) -> Read<Tensor> {
    let axes =
        index.dims().last().copied().filter(|&axes| axes > 0 && axes <= x.rank()).ok_or("an index of no axes")?;
    let (lead, part) = x.dims().split_at(axes);
    let length: usize = part.iter().product();
    let mut numbers = x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let rows = index.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>()?;
    let parts = write.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    if parts.len() != rows.len() / axes * length {
        return Err("other parts than places to write them".into());
    }
    for (i, row) in rows.chunks(axes).enumerate() {
        let step =
            |at: Option<usize>, (&position, &extent): (&i64, &usize)| Some(at? * extent + place(position, extent)?);
        let at = row.iter().zip(lead).fold(Some(0), step).ok_or("there are positions beyond an axis")? * length;
        numbers[at..at + length].copy_from_slice(&parts[i * length..(i + 1) * length]);
    }
    Ok(Tensor::from_vec(numbers, x.dims(), x.device())?.to_dtype(x.dtype())?)
}

/// x with elements written over it at positions along an axis, the same everywhere along all others.
fn scatter(c: &mut Call) -> Read<Vec<Array>> {
    let (x, index, write) = (c.array(0)?, c.array(1)?, c.array(2)?);
    refuse_reduction(c)?;
    let axis = x.axis(c.integer("axis", 0))?;
    let whole =
        (0..x.rank()).filter(|&other| other != axis).all(|other| index.shape.get(other) == Some(&x.shape[other]));
    let known = index.known().filter(|known| whole && known.rank() == x.rank() && known.elem_count() > 0);
    let known = known.ok_or("writing at positions that differ along other axes")?;
    let mut line = known.clone();
    for other in (0..x.rank()).filter(|&other| other != axis) {
        line = line.narrow(other, 0, 1)?;
    }
    let differing = known.broadcast_ne(&line)?.to_dtype(DType::F64)?.sum_all()?.to_scalar::<f64>()?;
    if differing > 0.0 {
        return Err("writing at positions that differ along other axes".into());
    }
    let positions = counted(&line.flatten_all()?.to_dtype(DType::I64)?.to_vec1::<i64>()?, x.fixed(axis)?)?;
    Ok(vec![c.graph.overwrite(&x, &write, axis, &positions)?])
}

fn refuse_reduction(c: &Call) -> Read<()> {
    match c.text("reduction") {
        None | Some("none") => Ok(()),
        Some(other) => Err(format!("writing by `{other}`").into()),
    }
}

fn counted(positions: &[i64], extent: usize) -> Read<Vec<usize>> {
    let counted = positions.iter().map(|&position| place(position, extent)).collect::<Option<Vec<usize>>>();
    counted.ok_or_else(|| format!("there are positions beyond the {extent} of an axis").into())
}
