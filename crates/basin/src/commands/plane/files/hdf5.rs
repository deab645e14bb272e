//! HDF5 in the layout of the tool of Li and others (github.com/tomgoldstein/loss-landscape), whose plots and h5py read it.

use basin_records::Surface;
use hdf5_pure::FileBuilder;

use super::Named;

/// `xcoordinates` and `ycoordinates`, and the values as arrays of shape (y, x), which is how that tool draws them; accuracies,
/// there `train_acc` and `test_acc`, are in per cent. Beside them, unknown to it, `xnorm` and `ynorm`: coordinate · norm is
/// the displacement in parameter space.
pub(super) fn bytes(surface: &Surface, lists: &[Named<'_>]) -> Result<Vec<u8>, hdf5_pure::Error> {
    let mut file = FileBuilder::new();
    for (name, axis) in [("x", &surface.x), ("y", &surface.y)] {
        let shape = [axis.coordinates.len() as u64];
        file.create_dataset(&format!("{name}coordinates")).with_f64_data(&axis.coordinates).with_shape(&shape);
        file.create_dataset(&format!("{name}norm")).with_f64_data(&[axis.norm]).with_shape(&[1]);
    }
    let shape = [surface.y.coordinates.len() as u64, surface.x.coordinates.len() as u64];
    for (name, rows) in lists {
        let (name, unit) = match *name {
            "train_accuracy" => ("train_acc", 100.0),
            "test_accuracy" => ("test_acc", 100.0),
            other => (other, 1.0),
        };
        let values: Vec<f64> = rows.iter().flatten().map(|value| unit * value).collect();
        file.create_dataset(name).with_f64_data(&values).with_shape(&shape);
    }
    file.finish()
}
