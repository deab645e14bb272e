//! An architecture of one's own, written down as a program and measured: a network with a gate, the two largest eigenvalues of
//! its Hessian on the digits, and Keskar's sharpness.
//!
//!     cargo run --release -p basin-sharpness --example own_program

use basin_objective::data::{DataSpec, Dataset, Split};
use basin_objective::models::Model;
use basin_objective::{LossSpec, Network, NetworkOptions, Objective};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{Curvature, CurvatureMatrix, KeskarOptions, keskar};
use basin_tape::ProgramBuilder;
use basin_tape::ops::{Sigmoid, Tanh};
use candle_core::DType;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // y = W₃ (tanh(W₁ x) ∘ σ(W₂ x)): names and shapes are those that a checkpoint would have.
    let mut b = ProgramBuilder::default();
    let x = b.input();
    let [value, gate] = ["value.weight", "gate.weight"].map(|name| b.parameter(name, &[16, 64]));
    let out = b.parameter("out.weight", &[10, 16]);
    let (value, gate) = (b.linear(x, value, None), b.linear(x, gate, None));
    let (value, gate) = (b.elementwise(Tanh, value), b.elementwise(Sigmoid, gate));
    let hidden = b.mul(value, gate);
    let y = b.linear(hidden, out, None);
    let model = Model::from_program("gated", b.finish(y)?, &[10]);

    // The loss on the data, as a function of the vector of all weights.
    let data = Dataset::load(&DataSpec::Digits, Split::Train)?;
    let buffers = model.initial_buffers(DType::F64)?;
    let options = NetworkOptions { dtype: DType::F64, ..NetworkOptions::default() };
    let network = Network::new(&model, &buffers, LossSpec::cross_entropy(), &data, options)?;
    let theta = model.initial_parameters(0, DType::F64)?;
    let evaluation = network.evaluate(&theta)?;
    println!("loss {:.4} with {} weights on {} samples", evaluation.loss, network.dimension(), network.samples());

    let hessian = Curvature::new(&network, &theta, CurvatureMatrix::Hessian)?;
    let found = Lanczos { top: 2, bottom: 0, ..Lanczos::default() }.extremes(&hessian, |_| Ok(()))?;
    for eigenvalue in found.eigenvalues {
        println!("eigenvalue {:.4} with residual {:.0e}", eigenvalue.value, eigenvalue.residual);
    }
    let options = KeskarOptions { draws: 2, ..KeskarOptions::default() };
    for summary in keskar(&network, &theta, &options, &mut |_| Ok(()))?.summary {
        println!(
            "Keskar's sharpness at ε = {} in the {:?} space: {:.4}",
            summary.epsilon, summary.subspace, summary.mean
        );
    }
    Ok(())
}
