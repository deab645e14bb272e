# What people run. None of it is needed: each recipe is a few commands that work without `just`.

# List the recipes.
default:
    @just --list

# The main job on the digits: train, measure, report.
study *arguments:
    cargo run --release -- study {{arguments}}

# All tests.
test:
    cargo test --workspace

# Pages in a real browser: needs Chromium, by the name in CHROMIUM or one of its usual names.
test-browser:
    cargo test --workspace --test browser -- --ignored

# Networks of torchvision, timm and Hugging Face, exported on the spot, against PyTorch in f64; needs Python 3.11 and
# downloads several gigabytes into target/torch.
test-torch *names:
    python3 -m venv target/torch
    target/torch/bin/pip install --quiet --requirement tests/torch/requirements.txt
    target/torch/bin/python tests/torch/export.py target/torch/networks {{names}}
    target/torch/bin/python tests/torch/export_onnx.py target/torch/networks/onnx {{names}}
    BASIN_TORCH_NETWORKS="$PWD/target/torch/networks" cargo test --release -p basin-import --test torch -- --ignored --nocapture

# Readers of foreign files, given changed ones: a short run of every target without a fuzzer.
fuzz-smoke:
    cargo test --manifest-path tests/fuzz/Cargo.toml --target-dir target

# One of them with a fuzzer, as in `just fuzz pickle 600`; needs cargo-fuzz (`cargo install cargo-fuzz`) and a C++ compiler.
fuzz target seconds="300":
    cargo run --manifest-path tests/fuzz/Cargo.toml --target-dir target --bin seeds
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir tests/fuzz --features fuzzer {{target}} -- -max_total_time={{seconds}} -rss_limit_mb=3000 -malloc_limit_mb=2000

# What continuous integration runs.
ci:
    bash .ci/run

# Types and lints of the CUDA code, on a machine without CUDA.
cuda-check:
    bash .ci/cuda-check

# What products cost in terms of each other.
bench:
    cargo bench -p basin --bench products

# An automatic learning rate against a grid of fixed ones.
bench-learning-rates:
    cargo bench -p basin --bench automatic_learning_rate

# The same products by PyTorch and the tools built on it, taking turns; needs Python 3.11 and downloads into target/peers.
bench-peers *arguments:
    python3 -m venv target/peers
    target/peers/bin/pip install --quiet --requirement crates/basin/benches/peers/requirements.txt
    target/peers/bin/python crates/basin/benches/peers/peers.py {{arguments}}

# Make the golden files again; needs Python with torch, numpy, scipy, safetensors and contourpy.
goldens:
    python tests/goldens/pytorch.py
    python tests/goldens/lbfgsb.py
    python crates/reporting/tests/goldens/contours.py
    python tests/torch/export.py tests/goldens/exported small mlp-of-one small-cnn-of-one
    python tests/torch/real_networks.py tests/goldens/exported/real
    python tests/torch/export_onnx.py --goldens
    python tests/torch/digits.py tests/goldens/digits
    python tests/torch/from_scratch.py tests/goldens/from-scratch

# Draw the committed sample reports again from their records.
sample-reports:
    cargo run --release -- report reports/digits
    cargo run --release -- report reports/batch-hessian
    cargo run --release -- report reports/keskar-remedies
    cargo run --release -- report reports/landscape
    cargo run --release -- report reports/comparison
