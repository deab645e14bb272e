//! A network while its file is read: what both formats have in common.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use basin_tape::{Program, Value};

use super::{Format, Input, Network, Numbers, Operators};
use crate::graph::{Array, Extent, Fault, Graph, Kind, Read, Size, shape_text};
use crate::{Error, Result};

/// An extent as a file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// A number.
    Number(i64),
    /// What a symbol stands for.
    Symbol(String),
    /// So often what a symbol stands for.
    Multiple(usize, String),
    /// Another expression, or none.
    Unknown(String),
}

impl Dimension {
    /// The number, where it is one.
    pub(crate) fn number(&self) -> Option<usize> {
        match self {
            Self::Number(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Symbol(text) | Self::Unknown(text) => f.write_str(text),
            Self::Multiple(times, symbol) => write!(f, "{times}*{symbol}"),
        }
    }
}

/// All operators that are not known are told at once. `control` says whether one is of control flow.
pub(crate) fn refuse_unknown(path: &Path, operators: &Operators, control: impl Fn(&str) -> bool) -> Result<()> {
    let Operators { known, unknown } = operators;
    if unknown.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = unknown.iter().map(|(name, _, place)| format!("`{name}` {place}")).collect();
    Err(Error::new(
        format!(
            "`{}` uses operators that are not known: {}; {} of its {} are",
            path.display(),
            named.join(", "),
            known.len(),
            known.len() + unknown.len()
        ),
        match unknown.iter().any(|(name, ..)| control(name)) {
            true => "control flow that depends on data cannot be differentiated twice: write the branch that is taken",
            false => "write these with other operators, or report them",
        },
    ))
}

/// A fault that no file can cause where it stands.
pub(crate) fn defect(Fault(reason): Fault) -> Error {
    Error::new(reason, "this is a defect of basin: report it with the file")
}

/// What of a network is there already.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    file: &'a dyn Format,
    pub(crate) graph: Graph,
    /// What the symbols of the file stand for.
    symbols: HashMap<String, Extent>,
    inputs: Vec<Value>,
    pub(crate) aliases: Vec<(String, String)>,
    pub(crate) unused: Vec<String>,
    pub(crate) notes: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(file: &'a dyn Format) -> Self {
        Self {
            file,
            graph: Graph::default(),
            symbols: HashMap::new(),
            inputs: Vec::new(),
            aliases: Vec::new(),
            unused: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The inputs as arrays for samples of some shapes. The first axis of every input is that of the samples; other symbols
    /// stand for what the samples have there.
    pub(crate) fn inputs(
        &mut self,
        inputs: &[Input],
        declared: &[Vec<Dimension>],
        samples: &[Vec<usize>],
    ) -> Result<Vec<Array>> {
        let path = self.file.path().display();
        if inputs.len() != samples.len() {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(Error::new(
                format!("`{path}` has the inputs {}, the data has {}", names.join(", "), samples.len()),
                "give the data as an npz or safetensors file with an array for each input: the first as `x`, others by name",
            ));
        }
        for ((input, dimensions), own) in inputs.iter().zip(declared).zip(samples) {
            self.bind_symbols(input, dimensions, own)?;
        }
        inputs.iter().zip(samples).map(|(input, shape)| self.input(input, shape)).collect()
    }

    fn bind_symbols(&mut self, input: &Input, dimensions: &[Dimension], own: &[usize]) -> Result<()> {
        let path = self.file.path().display();
        let misfit = || {
            let extent = |extent: &Option<usize>| extent.map_or("any".to_owned(), |extent| extent.to_string());
            let expected: Vec<String> = input.shape.iter().skip(1).map(extent).collect();
            Error::new(
                format!(
                    "`{path}` was exported for samples of shape [{}] as `{}`, the data has {own:?}",
                    expected.join(", "),
                    input.name
                ),
                "export it with an example of the data's shape, or give data of that shape (`--resize`, `--center-crop`)",
            )
        };
        let Some((first, rest)) = dimensions.split_first().filter(|(_, rest)| rest.len() == own.len()) else {
            return Err(misfit());
        };
        match first {
            Dimension::Number(number) => {
                let number = usize::try_from(*number).map_err(|_| misfit())?;
                if self.graph.traced_samples.is_some_and(|traced| traced != number) {
                    return Err(Error::new(
                        format!("`{path}` has inputs with different first axes, which is that of the samples"),
                        "export it with the samples on the first axis of every input",
                    ));
                }
                self.graph.traced_samples = Some(number);
            }
            Dimension::Symbol(symbol) => {
                self.symbols.insert(symbol.clone(), Extent::Samples(1));
            }
            Dimension::Multiple(..) | Dimension::Unknown(_) => {}
        }
        for (dimension, &own) in rest.iter().zip(own) {
            let fits = match dimension {
                Dimension::Number(number) => i64::try_from(own) == Ok(*number),
                Dimension::Symbol(symbol) => {
                    *self.symbols.entry(symbol.clone()).or_insert(Extent::Fixed(own)) == Extent::Fixed(own)
                }
                Dimension::Multiple(..) | Dimension::Unknown(_) => true,
            };
            if !fits {
                return Err(misfit());
            }
        }
        Ok(())
    }

    fn input(&mut self, input: &Input, shape: &[usize]) -> Result<Array> {
        let kind = match input.numbers {
            Numbers::Float => Kind::Float,
            Numbers::Integer => Kind::Integer,
            Numbers::Boolean => Kind::Boolean,
        };
        let array = self.graph.input(shape, kind);
        let value = self.graph.value(&array).map_err(defect)?;
        self.inputs.push(value);
        Ok(array)
    }

    /// What was found must be what the file declares.
    pub(crate) fn check(&self, array: &Array, declared: &[Dimension], kind: Kind) -> Read<()> {
        let agrees = |(own, dimension): (&Extent, &Dimension)| match (own, dimension) {
            (Extent::Fixed(own), Dimension::Number(number)) => i64::try_from(*own) == Ok(*number),
            (Extent::Samples(times), Dimension::Number(number)) => {
                let samples = self.graph.traced_samples.and_then(|n| n.checked_mul(*times));
                samples.and_then(|n| i64::try_from(n).ok()) == Some(*number)
            }
            (own, Dimension::Symbol(symbol)) => self.symbols.get(symbol).is_none_or(|expected| expected == own),
            (own, Dimension::Multiple(times, symbol)) => {
                let expected = self.symbols.get(symbol).and_then(|extent| Extent::Fixed(*times).times(*extent));
                expected.is_none_or(|expected| expected == *own)
            }
            (_, Dimension::Unknown(_)) => true,
        };
        if array.rank() == declared.len() && array.shape.iter().zip(declared).all(agrees) && array.kind == kind {
            return Ok(());
        }
        let sizes: Vec<String> = declared.iter().map(Dimension::to_string).collect();
        let own = shape_text(&array.shape);
        Err(format!("it gives {own} of {:?} where the file has [{}] of {kind:?}", array.kind, sizes.join(", ")).into())
    }

    /// A node that cannot be read: `node` is its name, with its operator and where it stands.
    pub(crate) fn refused(&self, node: &str, Fault(reason): Fault) -> Error {
        Error::new(
            format!("`{}`: {node} cannot be read: {reason}", self.file.path().display()),
            match self.graph.traced_samples {
                Some(_) => self.file.export_any(),
                None => "this is a limit of basin: report it with the node",
            },
        )
    }

    /// The network whose output was found, the first of `outputs` by some name; `trainable` says which tensors of the file
    /// are parameters that it should depend on.
    pub(crate) fn finish(
        mut self,
        inputs: Vec<Input>,
        (name, output): (&str, &Array),
        outputs: usize,
        trainable: impl Fn(&str) -> bool,
    ) -> Result<Network> {
        if outputs > 1 {
            self.notes.push(format!("the network has {outputs} outputs: the first, `{name}`, is measured"));
        }
        let output =
            self.output(output).map_err(|Fault(reason)| self.fault(&format!("its output `{name}` {reason}")))?;
        let shape: Vec<usize> = output.shape[1..].iter().map(|extent| extent.of_one_sample()).collect();
        let value = self.graph.value(&output).map_err(|Fault(reason)| self.fault(&reason))?;
        let tables = &self.graph.tables;
        let entries =
            |input: &Value| tables.iter().filter(|(value, _)| value == input).map(|(_, entries)| *entries).min();
        let vocabularies = self.inputs.iter().map(entries).collect();
        let builder = std::mem::take(&mut self.graph.builder);
        let (program, dropped): (Program, Vec<String>) =
            builder.finish_reached(value).map_err(|error| self.fault(&error.to_string()))?;
        let parameters: Vec<&String> = dropped.iter().filter(|name| trainable(name)).collect();
        if !parameters.is_empty() {
            self.notes.push(format!("the output does not depend on {}: they are left out", named(&parameters)));
        }
        self.unused.extend(dropped);
        let unused = &self.unused;
        let gone: Vec<String> =
            self.aliases.iter().filter(|(_, own)| unused.contains(own)).map(|(alias, _)| alias.clone()).collect();
        self.aliases.retain(|(alias, _)| !gone.contains(alias));
        self.unused.extend(gone);
        if program.parameters().is_empty() {
            return Err(self.fault("its output depends on no parameter"));
        }
        let Self { aliases, unused, notes, .. } = self;
        Ok(Network { program, inputs, output: shape, vocabularies, aliases, unused, notes })
    }

    /// What is wrong with the network as a whole.
    pub(crate) fn fault(&self, reason: &str) -> Error {
        let path = self.file.path().display();
        Error::new(format!("`{path}`: {reason}"), "export a network that gives one answer per sample")
    }

    /// The output with the samples on its first axis, and one axis at least beside it.
    fn output(&mut self, output: &Array) -> Read<Array> {
        if output.kind != Kind::Float {
            return Err("holds no floating point numbers".into());
        }
        let output = self.graph.whole(output)?;
        if output.shape.first() != Some(&Extent::Samples(1)) {
            return Err(format!(
                "has the shape {}: its first axis is not that of the samples",
                shape_text(&output.shape)
            )
            .into());
        }
        match output.rank() {
            1 => self.graph.reshape(&output, &[Size::Extent(Extent::Samples(1)), Size::Number(1)]),
            _ => Ok(output),
        }
    }
}

/// The first few of some names, and how many more there are.
pub(crate) fn named(names: &[impl fmt::Display]) -> String {
    let first: Vec<String> = names.iter().take(4).map(|name| format!("`{name}`")).collect();
    match names.len().saturating_sub(first.len()) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
