//! What products cost in terms of each other: one interleaved run, medians, as a table on stdout.
//!
//! `cargo bench -p basin --bench products`

#[path = "../src/allocator.rs"]
mod allocator;
#[path = "peers/cnn.rs"]
mod cnn;

use std::time::{Duration, Instant};

use anyhow::Result;
use basin_objective::data::{Dataset, Targets};
use basin_objective::models::Model;
use basin_objective::{LossSpec, Network, NetworkOptions, Objective};
use basin_tape::ProgramBuilder;
use basin_tape::ops::Conv2d;
use candle_core::{DType, Device, Tensor};

/// Interleaved repetitions of everything.
const ROUNDS: usize = 7;
/// Vectors that are multiplied at once.
const VECTORS: usize = 4;

/// A model with its batch and what it costs.
struct Case {
    name: &'static str,
    model: Model,
    parameters: Tensor,
    batch: Vec<usize>,
    /// Multiply-adds of one sample in matrix products, in a forward sweep, and those of the first layer.
    multiply_adds: (f64, f64),
}

const MLP_WIDTHS: [usize; 7] = [784, 512, 512, 512, 512, 512, 10];
const CNN_WIDTHS: [usize; 4] = [4096, 384, 192, 10];

fn products_of(widths: &[usize]) -> f64 {
    widths.windows(2).map(|pair| (pair[0] * pair[1]) as f64).sum()
}

fn random(shape: &[usize], scale: f64) -> Result<Tensor> {
    Ok((Tensor::randn(0_f32, 1.0, shape, &Device::Cpu)? * scale)?)
}

fn timed<R, E: Into<anyhow::Error>>(times: &mut Vec<Duration>, f: impl FnOnce() -> Result<R, E>) -> Result<R> {
    let start = Instant::now();
    let result = f().map_err(Into::into)?;
    times.push(start.elapsed());
    Ok(result)
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn measure(case: &Case) -> Result<()> {
    let labels = Tensor::zeros(case.batch[0], DType::I64, &Device::Cpu)?;
    let targets = Targets::classes(labels, 10);
    let data = Dataset::from_tensors(case.name, random(&case.batch, 1.0)?, targets)?;
    let buffers = case.model.initial_buffers(DType::F32)?;
    let network = |memory| {
        let options = NetworkOptions { memory, ..NetworkOptions::default() };
        Network::new(&case.model, &buffers, LossSpec::cross_entropy(), &data, options)
    };
    let (theta, v) = (&case.parameters, random(case.parameters.dims(), 1.0)?);
    let several = random(&[VECTORS, v.elem_count()], 1.0)?;
    // A sweep over as many samples as fit leaves no room to keep any.
    let network_anew = network(Some(network(None)?.memory().all / 2))?;
    let network = network(None)?;
    let kept = network.linearize(theta)?;
    kept.hessian(&v)?;

    let anew = network_anew.linearize(theta)?;
    let mut times: [Vec<Duration>; 8] = Default::default();
    for _ in 0..ROUNDS {
        timed(&mut times[0], || network.evaluate(theta))?;
        timed(&mut times[1], || network.gradient(theta))?;
        timed(&mut times[2], || kept.hessian(&v))?;
        timed(&mut times[3], || kept.gauss_newton(&v))?;
        timed(&mut times[4], || kept.empirical_fisher(&v))?;
        timed(&mut times[5], || kept.hessian(&several))?;
        timed(&mut times[6], || anew.hessian(&v))?;
        timed(&mut times[7], || anew.hessian(&several))?;
    }
    let [forward, gradient, hessian, gauss_newton, fisher, hessians, hessian_anew, hessians_anew] =
        times.each_mut().map(|times| median(times));
    let each = |seconds: f64| seconds / VECTORS as f64;
    let (all, first) = case.multiply_adds;
    let samples = case.batch[0] as f64;
    let floor = |sweeps: f64, first_sweeps: f64| 2.0 * samples * (sweeps * (all - first) + first_sweeps * first) / 1e9;
    println!("{}", case.name);
    println!("  {:<18} {:>9} {:>9} {:>9} {:>9}", "", "ms", "GFLOP", "GFLOP/s", "÷ gradient");
    for (name, seconds, gflop) in [
        ("forward", forward, floor(1.0, 1.0)),
        ("gradient", gradient, floor(3.0, 2.0)),
        ("Hessian v", hessian, floor(6.0, 2.0)),
        ("  of 4 at once", each(hessians), floor(6.0, 2.0)),
        ("Hessian v, anew", hessian_anew, floor(9.0, 4.0)),
        ("  of 4 at once", each(hessians_anew), floor(6.0 + 3.0 / VECTORS as f64, 2.0 + 2.0 / VECTORS as f64)),
        ("Gauss-Newton v", gauss_newton, floor(4.0, 2.0)),
        ("empirical Fisher v", fisher, floor(4.0, 2.0)),
    ] {
        println!(
            "  {name:<18} {:>9.1} {gflop:>9.1} {:>9.0} {:>9.2}",
            seconds * 1e3,
            gflop / seconds,
            seconds / gradient
        );
    }
    println!("  gradient ÷ forward {:.2}, Hessian v ÷ gradient {:.2}", gradient / forward, hessian / gradient);
    Ok(())
}

/// One convolution alone: what its adjoint rules cost in forwards.
fn measure_convolution() -> Result<()> {
    let same = Conv2d { padding: (1, 1), ..Conv2d::default() };
    println!("Convolutions 3×3, one layer: gradient of input and weight ÷ forward");
    for (batch, channels, size) in [(64, 16, 32), (64, 64, 32), (64, 128, 16), (64, 256, 8), (64, 512, 4)] {
        let mut b = ProgramBuilder::default();
        let x = b.parameter("x", &[batch, channels, size, size]);
        let w = b.parameter("w", &[channels, channels, 3, 3]);
        let y = b.conv2d(same, x, w, None);
        let program = b.finish(y)?;
        let theta = random(&[program.parameters().len()], 1.0)?;
        let point = program.at(&theta, &Tensor::zeros(0, DType::F32, &Device::Cpu)?)?;
        let tape = program.record(&point, &[])?;
        let y_bar = random(&[batch, channels, size, size], 1.0)?;
        let mut times: [Vec<Duration>; 2] = Default::default();
        for _ in 0..ROUNDS {
            timed(&mut times[0], || program.evaluate(&point, &[]))?;
            timed(&mut times[1], || tape.pull_back(&y_bar))?;
        }
        let [forward, adjoint] = times.each_mut().map(|times| median(times));
        let gflop = 2.0 * (batch * channels * channels * 9 * size * size) as f64 / 1e9;
        println!(
            "  B {batch}, {channels} channels, {size}×{size}: forward {:.2} ms ({:.0} GFLOP/s), adjoints {:.2} ms ({:.0}), ratio {:.2}",
            forward * 1e3,
            gflop / forward,
            adjoint * 1e3,
            2.0 * gflop / adjoint,
            adjoint / forward
        );
    }
    Ok(())
}

fn main() -> Result<()> {
    let model = Model::new(&"mlp:784-512-512-512-512-512-10:relu".parse()?, &[784], 10)?;
    measure(&Case {
        name: "MLP 784-512×5-10, B 1024",
        parameters: random(&[model.parameters().len()], 0.03)?,
        model,
        batch: vec![1024, 784],
        multiply_adds: (products_of(&MLP_WIDTHS), (784 * 512) as f64),
    })?;

    let model = Model::from_program("cnn", cnn::program()?, &[10]);
    let first = (64 * 75 * 1024) as f64;
    measure(&Case {
        name: "CNN 5×5 64-64, 4096-384-192-10, B 256",
        parameters: random(&[model.parameters().len()], 0.03)?,
        model,
        batch: vec![256, 3, 32, 32],
        multiply_adds: (first + (64 * 1600 * 256) as f64 + products_of(&CNN_WIDTHS), first),
    })?;

    let model = Model::new(&"resnet20".parse()?, &[3, 32, 32], 10)?;
    // Three stages of six convolutions that cost alike; the second and third begin with half of the channels.
    let (first, layer) = ((16 * 27 * 1024) as f64, (16 * 144 * 1024) as f64);
    measure(&Case {
        name: "ResNet-20, B 128",
        parameters: model.initial_parameters(0, DType::F32)?,
        model,
        batch: vec![128, 3, 32, 32],
        multiply_adds: (first + 17.0 * layer + 640.0, first),
    })?;
    measure_convolution()
}
