//! A short run of every target without a fuzzer: whole files with random changes. `BASIN_FUZZ_ROUNDS` makes it longer.

use std::fs;
use std::panic;

use basin_fuzz::{TARGETS, of};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn rounds() -> usize {
    std::env::var("BASIN_FUZZ_ROUNDS").map_or(300, |rounds| rounds.parse().expect("BASIN_FUZZ_ROUNDS is a number"))
}

/// Bytes that lengths, offsets and signs go wrong at.
const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], random: &mut ChaCha8Rng) {
    if bytes.is_empty() {
        bytes.push(random.random());
        return;
    }
    let at = random.random_range(0..bytes.len());
    let end = (at + random.random_range(1..=16)).min(bytes.len());
    match random.random_range(0..8) {
        0 => bytes[at] = random.random(),
        1 => bytes[at] ^= 1 << random.random_range(0..8),
        2 => bytes[at..end].fill(*EDGES.choose(random).expect("there are some")),
        3 => drop(bytes.drain(at..end)),
        4 => bytes.truncate(at),
        5 => {
            let copy = bytes[at..end].to_vec();
            let place = random.random_range(0..=bytes.len());
            bytes.splice(place..place, copy);
        }
        6 => {
            let number: u32 = *[0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX].choose(random).expect("there are some");
            let width = 4.min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
        }
        _ => {
            let other = others.choose(random).expect("there are some");
            let from = random.random_range(0..=other.len());
            bytes.truncate(at);
            bytes.extend(&other[from..]);
        }
    }
}

fn whole_files_are_read_and_changed_ones_never_panic(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of this name");
    let seeds = of(name);
    seeds.iter().for_each(|seed| (target.read)(seed));
    let mut random = ChaCha8Rng::seed_from_u64(0);
    for round in 0..rounds() {
        let mut bytes = seeds.choose(&mut random).expect("every target has seeds").clone();
        for _ in 0..random.random_range(1..=5) {
            change(&mut bytes, &seeds, &mut random);
        }
        if panic::catch_unwind(|| (target.read)(&bytes)).is_err() {
            let path = std::env::temp_dir().join(format!("basin-fuzz-{name}"));
            fs::write(&path, &bytes).expect("a file can be written");
            panic!("{name} panics in round {round} on the bytes in {}", path.display());
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            whole_files_are_read_and_changed_ones_never_panic(stringify!($name));
        })*

        #[test]
        fn every_target_has_a_test() {
            assert_eq!(TARGETS.map(|target| target.name), [$(stringify!($name)),*]);
        }
    };
}

targets! {
    exported_program exported_graph onnx pickle weights sharded_index npz npy idx cifar csv tokens parquet images records
}
