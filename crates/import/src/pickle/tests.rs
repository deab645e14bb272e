#![expect(clippy::unwrap_used, reason = "a failed test should say where")]

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/pickles")
}

fn golden(name: &str) -> Vec<u8> {
    std::fs::read(goldens().join(name)).unwrap()
}

fn read_golden(name: &str, choice: Option<&str>) -> Result<Pickled> {
    read(&golden(name), Path::new(name), choice)
}

fn floats(array: &Array) -> Vec<f32> {
    assert_eq!(array.element, ElementType::F32);
    array.bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn assert_layer(pickled: &Pickled, name: &str, offset: f32) {
    let names: Vec<&str> = pickled.arrays.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["weight", "bias"].map(|tensor| format!("{name}.{tensor}")));
    assert_eq!(pickled.arrays[0].1.shape, [2, 3]);
    assert_eq!(floats(&pickled.arrays[0].1), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0].map(|x| x + offset));
    assert_eq!(floats(&pickled.arrays[1].1), [0.5, -0.5].map(|x| x + offset));
}

#[test]
fn both_formats_and_every_protocol() {
    let protocols = (2..=5).flat_map(|protocol| ["protocol", "legacy"].map(|name| format!("{name}{protocol}.pt")));
    for name in ["zip.pt", "legacy.pth", "parameter.pt"].map(str::to_owned).into_iter().chain(protocols) {
        let pickled = read_golden(&name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_layer(&pickled, "fc1", 0.0);
        assert!(pickled.notes.is_empty(), "{name}: {:?}", pickled.notes);
    }
}

#[test]
fn views_are_read_row_by_row() {
    let pickled = read_golden("views.pt", None).unwrap();
    let expected: [(&str, &[usize], &[f32]); 7] = [
        ("transposed", &[4, 3], &[0.0, 4.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0, 10.0, 3.0, 7.0, 11.0]),
        ("shared", &[3], &[2.0, 3.0, 4.0]),
        ("strided", &[4], &[1.0, 4.0, 7.0, 10.0]),
        ("expanded", &[2, 3], &[3.0; 6]),
        ("scalar", &[], &[7.0]),
        ("empty", &[0, 3], &[]),
        ("permuted", &[2, 2, 3], &[0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 1.0, 3.0, 5.0, 7.0, 9.0, 11.0]),
    ];
    assert_eq!(pickled.arrays.len(), expected.len());
    for ((name, array), (expected, shape, values)) in pickled.arrays.iter().zip(expected) {
        assert_eq!((name.as_str(), array.shape.as_slice()), (expected, shape));
        assert_eq!(floats(array), values, "{name}");
    }
    let tied = read_golden("tied.pt", None).unwrap();
    assert_eq!(tied.arrays[0].1, tied.arrays[1].1);
}

#[test]
fn every_type_keeps_its_bytes() {
    let pickled = read_golden("types.pt", None).unwrap();
    let types: Vec<_> = pickled.arrays.iter().map(|(name, array)| (name.as_str(), array.element)).collect();
    let expected = [
        ("half", ElementType::F16),
        ("brain", ElementType::BF16),
        ("double", ElementType::F64),
        ("long", ElementType::I64),
        ("bool", ElementType::Bool),
        ("complex", ElementType::Other(8)),
        ("short", ElementType::Other(2)),
    ];
    assert_eq!(types, expected);
    assert_eq!(pickled.arrays[0].1.bytes, half::f16::from_f32(0.5).to_le_bytes());
    assert_eq!(pickled.arrays[1].1.bytes, half::bf16::from_f32(0.25).to_le_bytes());
    assert_eq!(pickled.arrays[2].1.bytes, 0.1_f64.to_le_bytes());
    assert_eq!(pickled.arrays[3].1.bytes, (-3_i64).to_le_bytes());
}

#[test]
fn weights_are_found_among_what_trainers_keep() {
    let trainer = read_golden("trainer.ckpt", None).unwrap();
    assert_layer(&trainer, "fc1", 0.0);
    let metadata: Vec<_> = trainer.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(metadata, [("epoch", "3"), ("best_prec1", "91.5"), ("arch", "linear")]);
    assert!(trainer.notes.is_empty(), "{:?}", trainer.notes);
    assert_layer(&read_golden("lightning.ckpt", None).unwrap(), "model.fc1", 0.0);
}

#[test]
fn of_several_state_dicts_the_usual_one_or_the_one_named() {
    let usual = read_golden("ema.pt", None).unwrap();
    assert_layer(&usual, "fc1", 0.0);
    assert_eq!(usual.notes, ["took the state_dict `state_dict`; the file also has `ema.pt#state_dict_ema`"]);
    assert_layer(&read_golden("ema.pt", Some("state_dict_ema")).unwrap(), "fc1", 10.0);
    let error = read_golden("ema.pt", Some("emma")).unwrap_err();
    assert!(error.hint().contains("`ema.pt#state_dict_ema`"), "{}", error.hint());
    let error = read_golden("unclear.pt", None).unwrap_err();
    assert!(error.to_string().contains("`unclear.pt#encoder`, `unclear.pt#decoder`"), "{error}");
    assert_layer(&read_golden("unclear.pt", Some("decoder")).unwrap(), "fc1", 0.0);
}

#[test]
fn programs_are_refused_by_name() {
    for name in ["module.pt", "module_legacy.pt"] {
        let error = read_golden(name, None).unwrap_err();
        assert!(error.to_string().contains("`torch.nn.modules.linear.Linear`"), "{error}");
        assert!(error.hint().contains("state_dict()"), "{}", error.hint());
    }
    for name in ["malicious.pt", "malicious.pkl"] {
        let error = read_golden(name, None).unwrap_err();
        assert!(error.to_string().contains("names `posix.system`"), "{error}");
    }
    for refused in ["builtins\neval", "torch\nload", "torch.storage\n_load_from_bytes", "builtins\ngetattr"] {
        let error = read(format!("c{refused}\n.").as_bytes(), Path::new("a"), None);
        assert!(error.unwrap_err().to_string().contains(&refused.replace('\n', ".")));
    }
}

/// One element seen as very many, and views past their storage.
#[test]
fn views_that_claim_more_than_the_file_holds_are_refused() {
    let storages = Storages::from([("0".to_owned(), &[0_u8; 16][..])]);
    let storage = tensor::StorageId { element: ElementType::F32, key: "0".into(), elements: 4 };
    let view = |offset, shape: &[usize], strides: &[usize]| tensor::TensorView {
        storage: storage.clone(),
        element: ElementType::F32,
        offset,
        shape: shape.to_vec(),
        strides: strides.to_vec(),
    };
    for (view, expected) in [
        (view(0, &[1 << 40], &[0]), "more than the file can hold"),
        (view(0, &[usize::MAX, 2], &[0, 0]), "more than the file can hold"),
        (view(0, &[5], &[1]), "reaches past"),
        (view(4, &[1], &[1]), "reaches past"),
        (view(0, &[2], &[usize::MAX]), "reaches past"),
        (view(usize::MAX, &[1], &[1]), "reaches past"),
        (view(0, &[2], &[]), "sizes"),
    ] {
        let error = view.read(&storages, &mut 1024).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

/// A dict that holds itself, as a cycle of the memo.
#[test]
fn cycles_end() {
    let error = read(b"\x80\x02}q\x00U\x01ah\x00s.", Path::new("a"), None).unwrap_err();
    assert!(error.to_string().contains("not one that `torch.save` wrote"), "{error}");
    let mut heap = machine::Heap::default();
    let (root, _) = machine::run(b"\x80\x02}q\x00U\x01ah\x00s.", &mut heap, "a").unwrap();
    let error = state_dict::read(&heap, root, &Storages::new(), "a", None).unwrap_err();
    assert!(error.to_string().contains("holds no state_dict"), "{error}");
}

/// A long tuple that is recalled again and again as what a list is made of.
#[test]
fn copies_without_end_are_refused() {
    let items = [&b"\x80\x02("[..], &b"N".repeat(10_000), b"tq\x000ctorch\nSize\nq\x010"].concat();
    let bytes = [&items[..], &b"h\x01h\x00\x85R0".repeat(10_000), b"N."].concat();
    let error = read(&bytes, Path::new("a"), None).unwrap_err();
    assert!(error.to_string().contains("more than a state_dict needs"), "{error}");
}

#[test]
fn cut_files_are_refused() {
    for name in ["zip.pt", "legacy.pth"] {
        let whole = golden(name);
        for length in 0..whole.len() {
            assert!(read(&whole[..length], Path::new(name), None).is_err(), "{name} cut to {length}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, kind in 0..3) {
        let start: &[u8] = match kind { 0 => b"\x80\x02", 1 => b"PK\x03\x04", _ => b"" };
        bytes.splice(0..0, start.iter().copied());
        let _ = read(&bytes, Path::new("a"), None);
    }

    #[test]
    fn damaged_files_never_panic(
        which in 0..4_usize,
        damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = golden(["views.pt", "legacy.pth", "trainer.ckpt", "legacy5.pt"][which]);
        let length = bytes.len();
        for (at, value) in damage {
            bytes[at % length] = value;
        }
        let _ = read(&bytes, Path::new("a"), None);
    }
}
