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
//! NETWORK is `cnn` or a model of the zoo, WORK is `forward`, `gradient`, `hessian`, `hessian-anew` or `ggn`. What
//! cannot be done is answered by an object with the field `error`.

#[path = "../../src/allocator.rs"]
mod allocator;
mod cnn;

use std::collections::HashMap;
use std::io::{self, BufRead, Lines, StdinLock};
use std::path::Path;
use std::time::Instant;

use basin_objective::Outputs;
use basin_objective::models::{BatchNorm, Model};
use basin_sharpness::SymmetricOperator;
use basin_sharpness::lanczos::Lanczos;
use basin_tape::losses::CrossEntropy;
use basin_tape::{Layout, Linearization, Point, Program};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Where the program of a network comes from.
enum Source {
    Zoo(Box<Model>),
    Written(Program),
}

impl Source {
    fn program(&self) -> &Program {
        match self {
            Self::Zoo(model) => model.program(BatchNorm::Stored),
            Self::Written(program) => program,
        }
    }
}

/// A network at fixed weights with the mean cross-entropy of one batch, and the vector that its matrices multiply.
struct Network {
    source: Source,
    loss: CrossEntropy,
    point: Point,
    x: Tensor,
    y: Tensor,
    v: Tensor,
}

/// What is measured.
#[derive(Clone, Copy)]
enum Work {
    Forward,
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
            "forward" => Self::Forward,
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

impl Network {
    fn load(file: &Path, name: &str) -> Result<Self> {
        let mut tensors = candle_core::safetensors::load(file, &Device::Cpu)?;
        let mut take = |name: &str| tensors.remove(name).ok_or_else(|| format!("`{}`: no `{name}`", file.display()));
        let (x, y) = (take("x")?, take("y")?);
        let source = match name {
            "cnn" => Source::Written(cnn::program()?),
            spec => {
                let classes = y.to_dtype(DType::I64)?.flatten_all()?.max(0)?.to_scalar::<i64>()? + 1;
                let outputs = Outputs::AtLeast(usize::try_from(classes)?);
                Source::Zoo(Box::new(Model::new(&spec.parse()?, &x.dims()[1..], outputs)?))
            }
        };
        let point = source.program().at(&take("theta")?, &take("buffers")?)?;
        Ok(Self { source, loss: CrossEntropy::default(), point, x, y, v: take("v")? })
    }

    fn program(&self) -> &Program {
        self.source.program()
    }

    fn linearize(&self) -> Result<Linearization<'_>, basin_tape::Error> {
        Linearization::new(self.program(), &self.loss, &self.point, &[&self.x], &self.y)
    }

    /// The mean over all targets of what the engine gives as a sum.
    fn mean(&self, sum: Tensor) -> Result<Tensor, basin_tape::Error> {
        Ok((sum / self.y.elem_count() as f64)?)
    }
}

/// A network with its linearization once something has needed it.
struct Session<'n> {
    network: &'n Network,
    kept: Option<Linearization<'n>>,
}

impl<'n> Session<'n> {
    fn kept(&mut self) -> Result<&Linearization<'n>> {
        if self.kept.is_none() {
            self.kept = Some(self.network.linearize()?);
        }
        self.kept.as_ref().ok_or_else(|| "there is no linearization".into())
    }

    fn execute(&mut self, work: Work) -> Result<Tensor> {
        let network = self.network;
        let sum = match work {
            Work::Forward => return Ok(network.program().evaluate(&network.point, &[&network.x])?),
            Work::Gradient => network.linearize()?.gradient()?,
            Work::Hessian => self.kept()?.hessian(&network.v)?,
            Work::HessianAnew => network.linearize()?.hessian(&network.v)?,
            Work::Ggn => self.kept()?.gauss_newton(&network.v)?,
        };
        Ok(network.mean(sum)?)
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
                let hessian = Hessian { network: self.network, at: self.network.linearize()? };
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

/// The Hessian of the mean loss on the batch.
struct Hessian<'n> {
    network: &'n Network,
    at: Linearization<'n>,
}

impl SymmetricOperator for Hessian<'_> {
    fn dimension(&self) -> usize {
        self.network.program().parameters().len()
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn dtype(&self) -> DType {
        DType::F32
    }

    fn apply(&self, v: &Tensor) -> basin_objective::Result<Tensor> {
        Ok(self.network.mean(self.at.hessian(v)?)?)
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
fn serve(network: &Network, lines: &mut Lines<StdinLock>) -> io::Result<Option<String>> {
    let program = network.program();
    say(Ok(json!({ "parameters": shapes(program.parameters()), "buffers": shapes(program.buffers()) })));
    let mut session = Session { network, kept: None };
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
            ["load", file, name] => Network::load(Path::new(file), name),
            _ => Err(format!("expected `load FILE NETWORK`, found `{line}`").into()),
        };
        next = match loaded {
            Ok(network) => serve(&network, &mut lines)?,
            Err(error) => {
                say(Err(error));
                lines.next().transpose()?
            }
        };
    }
    Ok(())
}
