//! VTK's legacy format, which ParaView opens; the crates that write it bring a parser and more for these thirty lines.

use basin_records::Surface;

use super::Named;

/// A rectilinear grid at true displacements with the values as scalars of its points; in binary, for its text knows no NaN.
/// ParaView's "Warp By Scalar" makes a surface of it.
pub(super) fn bytes(surface: &Surface, lists: &[Named<'_>]) -> Vec<u8> {
    let (columns, rows) = (surface.x.coordinates.len(), surface.y.coordinates.len());
    let mut bytes = Vec::new();
    let mut add = |head: &str, values: &[f64]| {
        bytes.extend_from_slice(head.as_bytes());
        values.iter().for_each(|value| bytes.extend_from_slice(&value.to_be_bytes()));
        bytes.push(b'\n');
    };
    add("# vtk DataFile Version 3.0\nloss on a plane of parameters\nBINARY\nDATASET RECTILINEAR_GRID", &[]);
    add(&format!("DIMENSIONS {columns} {rows} 1"), &[]);
    for (name, axis) in [("X", &surface.x), ("Y", &surface.y)] {
        let displacements: Vec<f64> = axis.coordinates.iter().map(|coordinate| coordinate * axis.norm).collect();
        add(&format!("{name}_COORDINATES {} double\n", displacements.len()), &displacements);
    }
    add("Z_COORDINATES 1 double\n", &[0.0]);
    add(&format!("POINT_DATA {}", columns * rows), &[]);
    for (name, rows) in lists {
        add(&format!("SCALARS {name} double 1\nLOOKUP_TABLE default\n"), &rows.concat());
    }
    bytes
}
