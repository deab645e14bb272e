//! Every reader of foreign files as a function of bytes: it reads them or refuses them, and neither panics nor asks for more
//! memory than the bytes warrant. The targets of `cargo fuzz` call these, and so does an ordinary test.

mod graph;
mod seeds;

use std::fs;
use std::path::{Path, PathBuf};

use basin_import::{NetworkFile, pickle as import_pickle};
use basin_objective::data::{DataSpec, Dataset, Preprocessing, Resize, Split};
use basin_objective::weights::Weights;
use basin_records::Record;
use tempfile::TempDir;

pub use seeds::{Seeds, of};

/// A reader by its name.
pub struct Target {
    /// The name of its target for `cargo fuzz`.
    pub name: &'static str,
    /// Reads bytes.
    pub read: fn(&[u8]),
}

/// All readers.
pub const TARGETS: [Target; 15] = [
    Target { name: "exported_program", read: exported_program },
    Target { name: "exported_graph", read: exported_graph },
    Target { name: "onnx", read: onnx },
    Target { name: "pickle", read: pickle },
    Target { name: "weights", read: weights },
    Target { name: "sharded_index", read: sharded_index },
    Target { name: "npz", read: npz },
    Target { name: "npy", read: npy },
    Target { name: "idx", read: idx },
    Target { name: "cifar", read: cifar },
    Target { name: "csv", read: csv },
    Target { name: "tokens", read: tokens },
    Target { name: "parquet", read: parquet },
    Target { name: "images", read: images },
    Target { name: "records", read: records },
];

/// A `.pt2` file.
pub fn exported_program(bytes: &[u8]) {
    let folder = Folder::new();
    read_network(&folder.write("net.pt2", bytes));
}

/// The graph of a golden `.pt2` file, with changes that the bytes say.
pub fn exported_graph(bytes: &[u8]) {
    let folder = Folder::new();
    if let Some(archive) = graph::changed(bytes) {
        read_network(&folder.write("net.pt2", &archive));
    }
}

/// An ONNX file.
pub fn onnx(bytes: &[u8]) {
    let folder = Folder::new();
    read_network(&folder.write("net.onnx", bytes));
}

fn read_network(path: &Path) {
    let Ok(file) = NetworkFile::open(path) else { return };
    let _ = file.weights();
    let Ok(inputs) = file.inputs() else { return };
    let of_sample = |extents: &[Option<usize>]| extents.iter().skip(1).map(|extent| extent.unwrap_or(3)).collect();
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| of_sample(&input.shape)).collect();
    for batch_statistics in [false, true] {
        let _ = file.network(&shapes, batch_statistics);
    }
}

/// A file of `torch.save` or `pickle.dump`.
pub fn pickle(bytes: &[u8]) {
    for choice in [None, Some("model"), Some("state_dict_ema")] {
        let _ = import_pickle::read(bytes, Path::new("net.pt"), choice);
    }
}

/// Weights in a single file.
pub fn weights(bytes: &[u8]) {
    let folder = Folder::new();
    let _ = Weights::read(folder.write("net.safetensors", bytes));
}

/// The index of a checkpoint in several files.
pub fn sharded_index(bytes: &[u8]) {
    let folder = Folder::new();
    folder.write("a.safetensors", &seeds::safetensors());
    folder.write("b.bin", &seeds::golden("pickles/zip.pt"));
    let _ = Weights::read(folder.write("model.safetensors.index.json", bytes));
}

/// A NumPy archive.
pub fn npz(bytes: &[u8]) {
    let folder = Folder::new();
    load(&format!("npz:{}", folder.write("data.npz", bytes).display()));
}

/// An array in a NumPy archive.
pub fn npy(bytes: &[u8]) {
    npz(&seeds::npz(&[("x", bytes), ("y", &seeds::labels())]));
}

/// The two files of MNIST: the first two bytes say how many are the labels', which come first.
pub fn idx(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first_chunk() else { return };
    let (labels, images) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
    let folder = Folder::new();
    folder.write("t10k-labels-idx1-ubyte", labels);
    folder.write("t10k-images-idx3-ubyte", images);
    load(&format!("mnist:{}", folder.path().display()));
}

/// The test file of one of the versions of CIFAR: as it is, or, since all others are refused at once, filled up with zeros to
/// the length that it must have.
pub fn cifar(bytes: &[u8]) {
    let Some((&which, bytes)) = bytes.split_first() else { return };
    let (kind, name, record) =
        if which % 2 == 0 { ("cifar10", "test_batch.bin", 3073) } else { ("cifar100", "test.bin", 3074) };
    let mut bytes = bytes.to_vec();
    if which % 8 < 2 {
        bytes.resize(10_000 * record, 0);
    }
    let folder = Folder::new();
    folder.write(name, &bytes);
    let spec = format!("{kind}:{}", folder.path().display()).parse().expect("a path makes a whole spec");
    let _ = Dataset::load(&spec, Split::Test);
}

/// A table as text.
pub fn csv(bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.write("data.csv", bytes);
    load(&format!("csv:{}", path.display()));
    load(&format!("csv:{}:target=b", path.display()));
}

/// Tokens in each of the three formats.
pub fn tokens(bytes: &[u8]) {
    let folder = Folder::new();
    let path = folder.write("tokens", bytes);
    for settings in ["u16,context=3", "u32,context=1", "text,context=5", "u16,context=2,vocabulary=7"] {
        load(&format!("tokens:{}:{settings}", path.display()));
    }
}

/// Images in a Parquet file.
pub fn parquet(bytes: &[u8]) {
    let folder = Folder::new();
    load(&format!("parquet:{}", folder.write("data.parquet", bytes).display()));
}

/// An image.
pub fn images(bytes: &[u8]) {
    let folder = Folder::new();
    for class in ["a", "b"] {
        fs::create_dir(folder.path().join(class)).expect("a folder in memory");
    }
    // What an image is, its bytes say.
    folder.write("a/image.png", bytes);
    folder.write("b/image.png", &seeds::golden("images/train/b/rgb.png"));
    load(&format!("images:{}", folder.path().display()));
}

/// A record.
pub fn records(bytes: &[u8]) {
    if let Ok(record) = Record::from_json(bytes) {
        let line = record.to_json_line().expect("what was read can be written");
        let again = Record::from_json(line.as_bytes()).expect("what was written can be read");
        assert_eq!(again.to_json_line().expect("and written again"), line);
    }
}

/// Both splits of data, with images brought to one size.
fn load(spec: &str) {
    let spec: DataSpec = spec.parse().expect("a path makes a whole spec");
    let resized = Preprocessing { resize: Some(Resize::To(4, 4)), ..Preprocessing::default() };
    for preprocessing in [Preprocessing::default(), resized] {
        for split in [Split::Train, Split::Test] {
            let _ = Dataset::load_with(&spec, split, &preprocessing);
        }
    }
}

/// A folder for the files of one call, in memory where the system has such a place.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        Self(folder.expect("a folder can be made"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, bytes).expect("a file can be written");
        path
    }
}
