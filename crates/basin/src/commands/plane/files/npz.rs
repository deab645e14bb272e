//! NumPy's arrays.

use std::io::{self, Cursor};

use basin_records::Surface;
use npyz::WriterBuilder as _;
use npyz::npz::NpzWriter;
use npyz::zip::write::FileOptions;
use npyz::zip::{CompressionMethod, DateTime};

use super::Named;

/// `x`, `y` and their norms, and the values as arrays of shape (y, x).
pub(super) fn bytes(surface: &Surface, lists: &[Named<'_>]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut archive = NpzWriter::new(Cursor::new(&mut bytes));
    let (x, y) = (&surface.x, &surface.y);
    let mut add = |name: &str, shape: &[u64], values: &[f64]| {
        // Without the time of day: the same surface gives the same bytes.
        let options = FileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default());
        let mut array = archive.array(name, options)?.default_dtype().shape(shape).begin_nd()?;
        array.extend(values)?;
        array.finish()
    };
    for (name, axis) in [("x", x), ("y", y)] {
        add(name, &[axis.coordinates.len() as u64], &axis.coordinates)?;
        add(&format!("{name}_norm"), &[], &[axis.norm])?;
    }
    let shape = [y.coordinates.len() as u64, x.coordinates.len() as u64];
    for (name, rows) in lists {
        add(name, &shape, &rows.concat())?;
    }
    drop(archive);
    Ok(bytes)
}
