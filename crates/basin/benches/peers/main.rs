//! Our side of the comparison with other tools: it computes what `peers.py` beside it asks for, so that both sides take
//! turns on the same tensors. `reports/bench/README.md` says how to run it.
//!
//! One command a line on stdin, one JSON object a line on stdout; between commands it sleeps.
//!
//! | command | answer |
//! |---|---|
//! | `load FILE NETWORK` | shapes of `parameters` and `buffers`; the file holds `x`, `y`, `theta`, `buffers` and `v` |
//! | `time WORK [FILE]` | `seconds` of one execution; the result is written to the file as `result` |
//! | `memory WORK` | `bytes` by which the first two executions raise the peak of resident memory |
//! | `lanczos TOLERANCE SEED FILE` | `value`, `products` and `seconds` of the largest eigenvalue; vector as `result` |
//!
//! NETWORK is `cnn` or a model of the zoo, WORK is `loss`, `losses`, `gradient`, `hessian`, `hessian-anew` or `ggn`. What
//! cannot be done is answered by an object with the field `error`.

#[path = "../../src/allocator.rs"]
mod allocator;
mod cnn;

use std::collections::HashMap;
use std::io::{self, BufRead, Lines, StdinLock};
use std::path::Path;
use std::time::Instant;

use basin_landscape::evaluate;
use basin_objective::data::{Dataset, Targets};
use basin_objective::models::Model;
use basin_objective::{Linearized, LossSpec, Network, NetworkOptions, Objective};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{Curvature, CurvatureMatrix};
use basin_tape::Layout;
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// A model with the tensors that `load` reads.
struct Problem {
    model: Model,
    buffers: Tensor,
    data: Dataset,
    theta: Tensor,
    v: Tensor,
}

/// What is measured.
#[derive(Clone, Copy)]
enum Work {
    Loss,
    /// The losses at [`PLACES`] points of a line.
    Losses,
    Gradient,
    /// The Hessian's product on a kept linearization.
    Hessian,
    /// The same with a linearization made for it alone.
    HessianAnew,
    /// The Gauss-Newton product on a kept linearization.
    Ggn,
}

impl Work {
    fn named(name: &str) -> Result<Self> {
        Ok(match name {
            "loss" => Self::Loss,
            "losses" => Self::Losses,
            "gradient" => Self::Gradient,
            "hessian" => Self::Hessian,
            "hessian-anew" => Self::HessianAnew,
            "ggn" => Self::Ggn,
            _ => return Err(format!("unknown work `{name}`").into()),
        })
    }
}

fn shapes(layout: &Layout) -> Vec<&[usize]> {
    layout.entries().iter().map(|entry| entry.shape.as_slice()).collect()
}

impl Problem {
    fn load(file: &Path, name: &str) -> Result<Self> {
        let mut tensors = candle_core::safetensors::load(file, &Device::Cpu)?;
        let mut take = |name: &str| tensors.remove(name).ok_or_else(|| format!("`{}`: no `{name}`", file.display()));
        let (x, labels) = (take("x")?, take("y")?);
        let classes = usize::try_from(labels.to_dtype(DType::I64)?.flatten_all()?.max(0)?.to_scalar::<i64>()? + 1)?;
        let data = Dataset::from_tensors("peers", x, Targets::classes(labels, classes))?;
        let model = match name {
            "cnn" => Model::from_program(name, cnn::program()?, &[10]),
            spec => Model::new(&spec.parse()?, data.sample_shape(), LossSpec::cross_entropy().outputs(&data)?)?,
        };
        Ok(Self { model, buffers: take("buffers")?, data, theta: take("theta")?, v: take("v")? })
    }

    fn network(&self) -> Result<Network<'_>> {
        Ok(Network::new(&self.model, &self.buffers, LossSpec::cross_entropy(), &self.data, NetworkOptions::default())?)
    }
}

/// Points of a line, from θ − 2⁻¹² v to θ + 2⁻¹² v.
const PLACES: usize = 8;

/// The losses at points of a line, as `basin landscape` evaluates a grid.
fn losses(network: &Network, theta: &Tensor, v: &Tensor) -> Result<Tensor> {
    let place = |i: usize| (2.0 * i as f64 / (PLACES - 1) as f64 - 1.0) / 4096.0;
    let places: Vec<f64> = (0..PLACES).map(place).collect();
    let loss = |&t: &f64| Ok(network.evaluate(&(theta + (v * t)?)?)?.loss);
    let mut losses = Vec::with_capacity(PLACES);
    evaluate(network, &places, loss, |_, found| {
        losses.extend(found);
        Ok(())
    })?;
    Ok(Tensor::new(losses, &Device::Cpu)?)
}

/// A network with its linearization once something has needed it.
struct Session<'n> {
    problem: &'n Problem,
    network: &'n Network<'n>,
    kept: Option<Box<dyn Linearized + 'n>>,
}

impl<'n> Session<'n> {
    fn kept(&mut self) -> Result<&dyn Linearized> {
        if self.kept.is_none() {
            self.kept = Some(self.network.linearize(&self.problem.theta)?);
        }
        self.kept.as_deref().map(|at| at as &dyn Linearized).ok_or_else(|| "there is no linearization".into())
    }

    fn execute(&mut self, work: Work) -> Result<Tensor> {
        let (problem, network) = (self.problem, self.network);
        Ok(match work {
            Work::Loss => Tensor::new(network.evaluate(&problem.theta)?.loss, &Device::Cpu)?,
            Work::Losses => losses(network, &problem.theta, &problem.v)?,
            Work::Gradient => network.gradient(&problem.theta)?.1,
            Work::Hessian => self.kept()?.hessian(&problem.v)?,
            Work::HessianAnew => network.linearize(&problem.theta)?.hessian(&problem.v)?,
            Work::Ggn => self.kept()?.gauss_newton(&problem.v)?,
        })
    }

    fn answer(&mut self, words: &[&str]) -> Result<Value> {
        match words {
            ["time", work, file @ ..] => {
                let work = Work::named(work)?;
                let start = Instant::now();
                let result = self.execute(work)?;
                let seconds = start.elapsed().as_secs_f64();
                if let [file] = file {
                    write(result, file)?;
                }
                Ok(json!({ "seconds": seconds }))
            }
            ["memory", work] => {
                let work = Work::named(work)?;
                reset_peak_memory()?;
                let before = memory("VmRSS")?;
                self.execute(work)?;
                self.execute(work)?;
                Ok(json!({ "bytes": memory("VmHWM")?.saturating_sub(before) }))
            }
            ["lanczos", tolerance, seed, file] => {
                let settings =
                    Lanczos { bottom: 0, tolerance: tolerance.parse()?, seed: seed.parse()?, ..Lanczos::default() };
                let start = Instant::now();
                let hessian = Curvature::new(self.network, &self.problem.theta, CurvatureMatrix::Hessian)?;
                let found = settings.extremes(&hessian, |_| Ok(()))?;
                let seconds = start.elapsed().as_secs_f64();
                let top = found.eigenvalues.first().ok_or("there is no eigenvalue")?;
                write(found.eigenvectors.get(0)?, file)?;
                Ok(json!({ "value": top.value, "products": found.products, "seconds": seconds }))
            }
            _ => Err(format!("unknown command `{}`", words.join(" ")).into()),
        }
    }
}

fn write(result: Tensor, file: &str) -> candle_core::Result<()> {
    candle_core::safetensors::save(&HashMap::from([("result", result)]), file)
}

/// Lets the kernel forget the peak of resident memory so far.
fn reset_peak_memory() -> io::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5")
}

/// A field of `/proc/self/status` in bytes.
fn memory(field: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("the kernel tells no memory")?;
    Ok(kibibytes.parse::<u64>()? * 1024)
}

fn say(answer: Result<Value>) {
    println!("{}", answer.unwrap_or_else(|error| json!({ "error": error.to_string() })));
}

/// Answers commands on one network until another is to be loaded, whose command it returns.
fn serve(problem: &Problem, lines: &mut Lines<StdinLock>) -> io::Result<Option<String>> {
    let network = match problem.network() {
        Ok(network) => network,
        Err(error) => {
            say(Err(error));
            return lines.next().transpose();
        }
    };
    let model = &problem.model;
    say(Ok(json!({ "parameters": shapes(model.parameters()), "buffers": shapes(model.buffers()) })));
    let mut session = Session { problem, network: &network, kept: None };
    for line in lines {
        let line = line?;
        if line.starts_with("load ") {
            return Ok(Some(line));
        }
        say(session.answer(&line.split_whitespace().collect::<Vec<_>>()));
    }
    Ok(None)
}

fn main() -> io::Result<()> {
    // A bare `cargo bench` comes by with a terminal on stdin, which would wait for ever.
    if std::env::args().nth(1).as_deref() != Some("serve") {
        eprintln!("this is one side of `just bench-peers`; see reports/bench/README.md");
        return Ok(());
    }
    let mut lines = io::stdin().lock().lines();
    let mut next = lines.next().transpose()?;
    while let Some(line) = next {
        let loaded = match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["load", file, name] => Problem::load(Path::new(file), name),
            _ => Err(format!("expected `load FILE NETWORK`, found `{line}`").into()),
        };
        next = match loaded {
            Ok(problem) => serve(&problem, &mut lines)?,
            Err(error) => {
                say(Err(error));
                lines.next().transpose()?
            }
        };
    }
    Ok(())
}
