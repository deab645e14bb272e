#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| basin_fuzz::onnx(bytes));
