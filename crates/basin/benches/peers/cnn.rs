//! The convolutional network of the benchmarks, which has no name in the zoo.

use basin_tape::ops::{Conv2d, Pool2d, Relu, Reshape};
use basin_tape::{Program, ProgramBuilder, Result};

/// Two convolutions 5×5 of 64 channels, each with relu and a 2×2 max pool, then 4096-384-192-10; for images 3×32×32.
pub(crate) fn program() -> Result<Program> {
    let same = Conv2d { padding: (2, 2), ..Conv2d::default() };
    let mut b = ProgramBuilder::default();
    let mut x = b.input();
    for (i, channels) in [3, 64].into_iter().enumerate() {
        let weight = b.parameter(format!("conv{}.weight", i + 1), &[64, channels, 5, 5]);
        let bias = b.parameter(format!("conv{}.bias", i + 1), &[64]);
        x = b.conv2d(same, x, weight, Some(bias));
        x = b.elementwise(Relu, x);
        x = b.max_pool2d(Pool2d::square(2), x);
    }
    x = b.linear_map(Reshape { keep: 1, tail: vec![4096] }, x);
    for (i, (inputs, outputs)) in [(4096, 384), (384, 192), (192, 10)].into_iter().enumerate() {
        if i > 0 {
            x = b.elementwise(Relu, x);
        }
        let weight = b.parameter(format!("fc{}.weight", i + 1), &[outputs, inputs]);
        let bias = b.parameter(format!("fc{}.bias", i + 1), &[outputs]);
        x = b.linear(x, weight, Some(bias));
    }
    b.finish(x)
}
