//! ONNX files: which tensors are parameters, what is said of folded weights, and files that are damaged or do not fit. What
//! they compute is compared in `torch.rs`.

#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::path::{Path, PathBuf};

use basin_import::network::Network;
use basin_import::{Error, NetworkFile};
use proptest::prelude::*;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens")
}

fn golden(name: &str) -> PathBuf {
    goldens().join("onnx").join(name).with_extension("onnx")
}

fn shapes(file: &NetworkFile) -> Vec<Vec<usize>> {
    let inputs = file.inputs().unwrap_or_default();
    inputs.iter().map(|input| input.shape.iter().skip(1).map(|extent| extent.unwrap_or(3)).collect()).collect()
}

/// Opens a file and reads its network and weights.
fn read(path: &Path) -> Result<Network, Error> {
    let file = NetworkFile::open(path)?;
    file.weights()?;
    file.network(&shapes(&file), false)
}

fn parameters(network: &Network) -> Vec<&str> {
    network.program.parameters().entries().iter().map(|entry| entry.name.as_str()).collect()
}

fn buffers(network: &Network) -> Vec<&str> {
    network.program.buffers().entries().iter().map(|entry| entry.name.as_str()).collect()
}

/// A file in a directory of its own.
fn written(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("net.onnx");
    std::fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn message(bytes: &[u8]) -> String {
    let (_directory, path) = written(bytes);
    let error = read(&path).unwrap_err();
    assert!(!error.hint().is_empty());
    assert!(error.to_string().contains("net.onnx"), "{error}");
    error.to_string()
}

/// A field of a message: its number and its bytes.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = body.len();
    while length > 127 {
        bytes.push(length as u8 | 128);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(body);
    bytes
}

/// A model with version 20 of the operators and a graph of these fields.
fn model(graph: &[u8]) -> Vec<u8> {
    [field(7, graph), field(8, &[2 << 3, 20])].concat()
}

/// A golden with some bytes in the place of others, of the same number.
fn replaced(name: &str, from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = std::fs::read(golden(name)).unwrap();
    let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|&i| &bytes[i..i + from.len()] == from).collect();
    assert!(!places.is_empty() && from.len() == to.len());
    places.iter().for_each(|&place| bytes[place..place + to.len()].copy_from_slice(to));
    bytes
}

#[test]
fn what_pytorch_says_of_its_tensors_is_believed() {
    let network = read(&golden("small-cnn")).unwrap();
    let own = ["conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias", "conv2.weight"];
    assert_eq!(&parameters(&network)[..5], own);
    assert_eq!(buffers(&network), ["bn1.running_mean", "bn1.running_var"]);
    assert_eq!(network.notes, [""; 0]);
    // A buffer that is added like a bias.
    let network = read(&golden("arithmetic")).unwrap();
    assert_eq!(buffers(&network), ["shift"]);
}

#[test]
fn folded_batch_norm_is_said_whichever_exporter_folded_it() {
    for (name, weight) in [("small-cnn-optimized", "`conv1.weight`"), ("small-cnn-older-folded", "`onnx::Conv_")] {
        let notes = read(&golden(name)).unwrap().notes.join("\n");
        assert!(notes.contains("the file holds folded weights") && notes.contains(weight), "{notes}");
        assert!(notes.contains("optimize=False"), "{notes}");
    }
}

#[test]
fn tensors_that_the_older_exporter_joined_are_apart_again() {
    // Batch norm as it is initialised: the weight equals the variance, the bias the mean.
    let network = read(&golden("small-cnn-older")).unwrap();
    assert!(["bn1.weight", "bn1.bias"].iter().all(|name| parameters(&network).contains(name)));
    let mut buffers = buffers(&network);
    buffers.sort_unstable();
    assert_eq!(buffers, ["bn1.running_mean", "bn1.running_var"]);
}

#[test]
fn tied_weights_that_were_written_twice_are_one() {
    let network = read(&golden("tied-older-folded")).unwrap();
    assert!(!parameters(&network).contains(&"onnx::MatMul_16"));
    let notes = network.notes.join("\n");
    assert!(notes.contains("`onnx::MatMul_16` is `embedding.weight` turned"), "{notes}");
    // Another weight has lost its name, and a factor may be a buffer.
    assert!(notes.contains("`onnx::MatMul_15` are weights that the exporter computed"), "{notes}");
    assert!(notes.contains("does not say whether `frozen` are parameters"), "{notes}");
}

#[test]
fn mistakes_of_the_exporter_are_mended_and_said() {
    let notes = read(&golden("recurrent")).unwrap().notes.join("\n");
    assert!(notes.contains("computed as PyTorch's `aten.gru`"), "{notes}");
    let notes = read(&golden("shapes")).unwrap().notes.join("\n");
    assert!(notes.contains("computed as PyTorch's `aten.pixel_unshuffle`"), "{notes}");
}

#[test]
fn what_the_exporter_computed_is_told_apart() {
    let network = read(&golden("convolutions-optimized")).unwrap();
    let (own, notes) = (parameters(&network), network.notes.join("\n"));
    // A linear layer's weight, turned.
    assert!(own.contains(&"val_177") && notes.contains("`val_177` are weights that the exporter computed"), "{notes}");
    // Ones and zeros with which a group norm is written as instance norms.
    assert!(!own.contains(&"val_10") && !own.contains(&"val_13"), "{own:?}");
    // Its own weights, in another shape and in no place of a layer's.
    assert!(
        notes.contains("constants of weights: `val_23` of `norms.0.weight`, `val_25` of `norms.0.bias`"),
        "{notes}"
    );
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let tensor = field(5, &[vec![2 << 3, 1], field(8, b"weight")].concat());
    assert!(message(&model(&[tensor.clone(), tensor].concat())).contains("two tensors of the name `weight`"));
}

#[test]
fn files_that_are_no_networks_are_told_apart() {
    let error = read(Path::new("no/such.onnx")).unwrap_err();
    assert!(error.to_string().contains("cannot read `no/such.onnx`"));
    assert!(message(b"this is no network, but a text of some length").contains("is no whole ONNX file"));
    assert!(message(b"").contains("holds no graph"));
    assert!(message(&std::fs::read(goldens().join("exported/mlp.pt2")).unwrap()).contains("is no whole ONNX file"));
    let bytes = std::fs::read(golden("mlp")).unwrap();
    assert!(message(&bytes[..bytes.len() / 2]).contains("is no whole ONNX file: "));
}

#[test]
fn other_versions_of_the_operators_are_refused_by_number() {
    let bytes = [field(7, &[]), field(8, &[2 << 3, 12])].concat();
    assert!(message(&bytes).contains("has version 12 of the operators, expected 13 to 22"));
}

#[test]
fn operators_that_are_not_known_are_named_with_their_place() {
    let message = message(&replaced("small-cnn", b"\x22\x04Relu", b"\x22\x04Sulu"));
    assert!(message.contains("`Sulu` in the network itself (networks.SmallCnn)"), "{message}");
    assert!(message.contains(" of its ") && message.ends_with(" are"), "{message}");
}

#[test]
fn control_flow_and_operators_of_others_are_refused_by_name() {
    let (_directory, path) = written(&replaced("small-cnn", b"\x22\x04Relu", b"\x22\x04Loop"));
    let error = read(&path).unwrap_err();
    assert!(error.to_string().contains("`Loop` in the network itself"), "{error}");
    assert!(error.hint().contains("control flow"), "{}", error.hint());
    let node = [field(1, b"x"), field(2, b"y"), field(4, b"Gelu"), field(7, b"com.microsoft")].concat();
    assert!(message(&model(&field(1, &node))).contains("`com.microsoft::Gelu` in the network"));
}

#[test]
fn samples_that_do_not_fit_are_refused_with_both_shapes() {
    let file = NetworkFile::open(golden("small-cnn")).unwrap();
    let error = file.network(&[vec![1, 28, 28]], false).unwrap_err();
    assert!(error.to_string().contains("samples of shape [1, 8, 8] as `x`, the data has [1, 28, 28]"), "{error}");
    let bert = NetworkFile::open(golden("hf-bert")).unwrap();
    let error = bert.network(&[vec![7]], false).unwrap_err();
    assert!(error.to_string().contains("has the inputs input_ids, attention_mask, the data has 1"), "{error}");
}

/// The network of digits, whose larger weights lie in a file beside it, with one file changed.
fn beside(change: impl Fn(&Path, &mut Vec<u8>, &mut Vec<u8>)) -> Result<Network, Error> {
    let from = goldens().join("digits");
    let mut graph = std::fs::read(from.join("small-batch.onnx")).unwrap();
    let mut data = std::fs::read(from.join("small-batch.onnx.data")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    change(directory.path(), &mut graph, &mut data);
    std::fs::write(directory.path().join("small-batch.onnx"), graph).unwrap();
    std::fs::write(directory.path().join("small-batch.onnx.data"), data).unwrap();
    read(&directory.path().join("small-batch.onnx"))
}

#[test]
fn weights_beside_the_graph_are_read_and_must_be_whole() {
    beside(|_, _, _| {}).unwrap();
    let error = beside(|_, _, data| data.truncate(2000)).unwrap_err().to_string();
    assert!(error.contains("`net.5.weight`") && error.contains("which has 2000"), "{error}");
    let name = b"small-batch.onnx.data";
    let renamed = |to: &'static [u8; 21]| {
        beside(move |_, graph, _| {
            let places: Vec<usize> = (0..graph.len() - 21).filter(|&i| &graph[i..i + 21] == name).collect();
            places.iter().for_each(|&place| graph[place..place + 21].copy_from_slice(to));
        })
    };
    let error = renamed(b"../../../etc/hostname").unwrap_err().to_string();
    assert!(error.contains("`../../../etc/hostname`, which is not beside the network"), "{error}");
    let error = renamed(b"/etc/hostname/onnx.da").unwrap_err().to_string();
    assert!(error.contains("which is not beside the network"), "{error}");
    let error = renamed(b"small-batch.onnx.DATA").unwrap_err().to_string();
    assert!(error.contains("which cannot be read"), "{error}");
}

#[test]
fn deep_nesting_is_refused() {
    let mut graph = Vec::new();
    for _ in 0..20_000 {
        graph = field(1, &field(5, &field(6, &graph)));
    }
    assert!(message(&model(&graph)).contains("recursion limit"));
}

#[test]
fn a_length_beyond_the_file_is_refused() {
    // As long as a length can be: what adds it to a place in the file overflows.
    let bytes = [vec![7 << 3 | 2], vec![0xff; 9], vec![1]].concat();
    assert!(message(&bytes).contains("is no whole ONNX file"));
}

#[test]
fn a_shape_that_no_memory_holds_is_refused() {
    let dims: Vec<u8> = [1_u64 << 62, 1 << 40].iter().flat_map(|&extent| varint(extent)).collect();
    let tensor = [field(1, &dims), vec![2 << 3, 1], field(8, b"weight")].concat();
    assert!(message(&model(&field(5, &tensor))).contains("`weight` with the shape"));
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

#[test]
fn a_graph_that_goes_round_is_refused() {
    let node = |x: &[u8], y: &[u8]| field(1, &[field(1, x), field(2, y), field(4, b"Relu")].concat());
    let graph = [node(b"b", b"a"), node(b"a", b"b"), field(12, &field(1, b"a"))].concat();
    assert!(message(&model(&graph)).contains("`b` is used before it is computed"));
}

#[test]
fn a_name_that_is_given_twice_is_refused() {
    let constant = field(5, &[field(1, b"value_int"), vec![3 << 3, 1]].concat());
    let node = field(1, &[field(2, b"a"), field(4, b"Constant"), constant].concat());
    assert!(message(&model(&[node.clone(), node].concat())).contains("gives the name `a` twice"));
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(vec![
            "mlp", "small-cnn", "shapes", "convolutions", "recurrent-older13", "recurrent-optimized", "arithmetic", "hf-bert",
            "activations", "tied-older-folded",
        ]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = std::fs::read(golden(name)).unwrap();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let (_directory, path) = written(&bytes);
        let _ = read(&path);
    }

    #[test]
    fn files_that_end_early_are_refused(
        name in prop::sample::select(vec!["mlp", "small-cnn", "recurrent-older13"]),
        end in any::<prop::sample::Index>(),
    ) {
        let bytes = std::fs::read(golden(name)).unwrap();
        let (_directory, path) = written(&bytes[..end.index(bytes.len() - 8)]);
        prop_assert!(read(&path).is_err());
    }
}
