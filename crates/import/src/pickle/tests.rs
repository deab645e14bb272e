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
    let protocols = (0..=5).flat_map(|protocol| ["protocol", "legacy"].map(|name| format!("{name}{protocol}.pt")));
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

#[test]
fn pickles_of_numpy_arrays_in_every_protocol() {
    let protocols = (0..=5).map(|protocol| format!("numpy{protocol}.pkl"));
    for name in protocols.chain(["numpy-1.pkl", "numpy.pt"].map(str::to_owned)) {
        let bytes = golden(&name);
        assert!(is_zip(&bytes) || is_pickle(&bytes), "{name}");
        let pickled = read_golden(&name, None).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_layer(&pickled, "fc1", 0.0);
    }
}

#[test]
fn numpy_arrays_of_every_order_and_type() {
    let numbers: Vec<f64> = (0..6).map(f64::from).collect();
    let bytes = |numbers: &[f64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>();
    for protocol in [0, 2, 4, 5] {
        let pickled = read_golden(&format!("numpy-types{protocol}.pkl"), None).unwrap();
        let arrays: std::collections::BTreeMap<_, _> =
            pickled.arrays.iter().map(|(name, array)| (name.as_str(), array)).collect();
        for name in ["c", "fortran", "strided", "big fortran"] {
            assert_eq!(
                (arrays[name].element, arrays[name].shape.as_slice()),
                (ElementType::F64, &[2, 3][..]),
                "{name}"
            );
            assert_eq!(arrays[name].bytes, bytes(&numbers), "{name} in protocol {protocol}");
        }
        assert_eq!(floats(arrays["big"]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let halves: Vec<u8> = numbers.iter().flat_map(|&number| half::f16::from_f64(number).to_le_bytes()).collect();
        assert_eq!((arrays["half"].element, &arrays["half"].bytes), (ElementType::F16, &halves));
        assert_eq!((arrays["bool"].element, &arrays["bool"].bytes), (ElementType::Bool, &vec![0, 0, 0, 1, 1, 1]));
        assert_eq!((arrays["byte"].element, &arrays["byte"].bytes), (ElementType::I8, &vec![0, 1, 2, 3, 4, 5]));
        let long: Vec<u8> = (0..6_i64).flat_map(i64::to_le_bytes).collect();
        assert_eq!((arrays["long"].element, &arrays["long"].bytes), (ElementType::I64, &long));
        assert_eq!(arrays["unsigned"].element, ElementType::Other(4));
        assert_eq!((arrays["scalar"].shape.len(), &arrays["scalar"].bytes), (0, &bytes(&[1.5])));
        assert_eq!((arrays["empty"].shape.as_slice(), arrays["empty"].bytes.len()), (&[0, 3][..], 0));
        assert_eq!(floats(arrays["ünï\n\\u"]), [1.0]);
        assert!(!arrays.contains_key("words") && !arrays.contains_key("objects"));
        let metadata: Vec<_> = pickled.metadata.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(metadata, [("epoch", "3"), ("accuracy", "0.5")]);
    }
}

/// Python 2 wrote bytes as strings, printed in protocol 0.
#[test]
fn numpy_arrays_of_python_2() {
    let old = br"(dp0
S'b'
p1
cnumpy.core.multiarray
_reconstruct
(cnumpy
ndarray
(I0
tS'b'
tR(I1
(I2
tcnumpy
dtype
(S'f4'
I0
I1
tR(I3
S'<'
NNNI-1
I-1
I0
tbI00
S'\x00\x00\x80?\x00\x00\n\xc2'
tbs.";
    let pickled = read(old, Path::new("a"), None).unwrap();
    assert_eq!(pickled.arrays[0].0, "b");
    assert_eq!(floats(&pickled.arrays[0].1), [1.0, -34.5]);
}

#[test]
fn numpy_arrays_that_claim_other_lengths_are_refused() {
    let whole = golden("numpy2.pkl");
    let shape = whole.windows(4).position(|bytes| bytes == b"K\x02K\x03").unwrap();
    for (at, value) in [(1, 3), (3, 0xff), (3, 0)] {
        let mut bytes = whole.clone();
        bytes[shape + at] = value;
        let error = read(&bytes, Path::new("a"), None).unwrap_err();
        assert!(error.to_string().contains("and type f32 has 24 bytes"), "{error}");
    }
}

/// Protocols 0 to 2 write an array as a text that `_codecs.encode` makes bytes of; that is no attack, however large it is.
#[test]
fn large_numpy_arrays_of_protocol_2() {
    let length = 20_000_000_u32;
    let mut bytes =
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01J".to_vec();
    bytes.extend(length.to_le_bytes());
    bytes.extend(b"\x85cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R\x89c_codecs\nencode\nX");
    bytes.extend(length.to_le_bytes());
    bytes.resize(bytes.len() + length as usize, b'a');
    bytes.extend(b"U\x06latin1\x86Rtbs.");
    assert_eq!(read(&bytes, Path::new("a"), None).unwrap().arrays[0].1.bytes.len(), length as usize);
}

#[test]
fn tensors_written_by_pickle_dump_are_told_to_go_through_torch_save() {
    let error = read_golden("tensors.pkl", None).unwrap_err();
    assert!(error.to_string().contains("`tensors.pkl` was written by `pickle.dump`, not by `torch.save`"), "{error}");
    assert!(error.hint().contains("save the weights with `torch.save("), "{}", error.hint());
}

/// One element seen as very many, and views past their storage.
#[test]
fn views_that_claim_more_than_the_file_holds_are_refused() {
    let storages = Storages::from([("0".to_owned(), &[0_u8; 16][..])]);
    let storage = tensor::StorageId { element: ElementType::F32, key: "0".into(), elements: 4 };
    let view = |offset, shape: &[usize], strides: &[usize]| tensor::TensorView {
        source: tensor::Source::Storage(storage.clone()),
        element: ElementType::F32,
        big_endian: false,
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
        let error = view.read(&machine::Heap::of_file(&[]), &storages, &mut 1024).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

/// A dict that holds itself, as a cycle of the memo.
#[test]
fn cycles_end() {
    let error = read(b"\x80\x02}q\x00U\x01ah\x00s.", Path::new("a"), None).unwrap_err();
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
    for name in ["zip.pt", "legacy.pth", "legacy0.pt", "numpy0.pkl", "numpy5.pkl"] {
        let whole = golden(name);
        for length in 0..whole.len() {
            assert!(read(&whole[..length], Path::new(name), None).is_err(), "{name} cut to {length}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, kind in 0..4) {
        let start: &[u8] = match kind { 0 => b"\x80\x02", 1 => b"PK\x03\x04", 2 => b"(dp0\nV", _ => b"" };
        bytes.splice(0..0, start.iter().copied());
        let _ = read(&bytes, Path::new("a"), None);
    }

    #[test]
    fn damaged_files_never_panic(
        which in 0..8_usize,
        damage in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let goldens = [
            "views.pt", "legacy.pth", "trainer.ckpt", "legacy5.pt", "legacy0.pt", "numpy-types0.pkl", "numpy-types2.pkl",
            "numpy-types5.pkl",
        ];
        let mut bytes = golden(goldens[which]);
        let length = bytes.len();
        for (at, value) in damage {
            bytes[at % length] = value;
        }
        let _ = read(&bytes, Path::new("a"), None);
    }
}
