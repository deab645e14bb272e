//! `basin inspect`: what a file or a data spec holds.

mod exported;

use std::path::Path;

use basin_import::NetworkFile;
use basin_objective::data::{DataSpec, Dataset, Preprocessing, Split, Targets};
use basin_objective::models::{Model, ModelSpec};
use basin_objective::weights::Weights;
use basin_objective::{Error, Evaluation, LossSpec, Network, Objective};
use basin_records::Record;
use basin_training::CheckpointMetadata;
use candle_core::{DType, Tensor};

use crate::arguments::{Inspect, SplitArgument};
use crate::evaluation::Evaluated;
use crate::exit::Ended;
use crate::misfit;
use crate::output::print;
use crate::subject::{self, load_data};
use crate::table::{number, table};

pub(crate) fn run(arguments: &Inspect) -> anyhow::Result<Ended> {
    let path = Path::new(&arguments.subject);
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let text = match extension.as_deref() {
        Some("json") if !arguments.subject.ends_with(".index.json") => records(&[Record::read(path)?]),
        Some("jsonl") => records(&Record::read_lines(path)?),
        _ if is_data(&arguments.subject) => data(arguments)?,
        _ if NetworkFile::is_named_by(path) => exported::network(path)? + &checkpoint(path, arguments)?,
        // What a file holds its bytes say; a name behind `#` is that of a state_dict in it.
        Some("safetensors" | "json") => checkpoint(path, arguments)?,
        _ if path.exists() || arguments.subject.contains('#') => checkpoint(path, arguments)?,
        _ => data(arguments)?,
    };
    print(&text)?;
    Ok(Ended::Done)
}

fn is_data(subject: &str) -> bool {
    let name = subject.split(':').next().unwrap_or_default();
    DataSpec::NAMES.contains(&name) && (name != subject || subject.parse::<DataSpec>().is_ok())
}

fn records(records: &[Record]) -> String {
    let line = |record: &Record| {
        let provenance = &record.provenance;
        let data = provenance.data.as_ref().map_or("–".into(), |data| format!("{} ({})", data.spec, data.split));
        let checkpoint = provenance.checkpoint.as_ref().map_or("–", |checkpoint| &checkpoint.path);
        vec![
            record.outcome.kind().into(),
            provenance.created.clone(),
            checkpoint.into(),
            data,
            number(provenance.seconds),
        ]
    };
    table(&["kind", "created", "checkpoint", "data", "seconds"], records.iter().map(line).collect())
}

fn data(arguments: &Inspect) -> anyhow::Result<String> {
    let spec = arguments.inputs.spec(&arguments.subject)?;
    let inputs = arguments.inputs.over(Preprocessing::default())?;
    let mut lines = Vec::new();
    for split in [Split::Train, Split::Test] {
        let data = match Dataset::load_with(&spec, split, &inputs) {
            Ok(data) => data,
            Err(error) if split == Split::Train => return Err(error.into()),
            Err(error) => {
                lines.push(format!("test: none ({error})"));
                continue;
            }
        };
        let targets = match &data.targets {
            Targets::Classes { classes, .. } => format!("{classes} classes"),
            Targets::Real(targets) => format!("targets of shape {:?}", &targets.dims()[1..]),
        };
        let further = data.further_inputs.iter().map(|(name, rows)| format!(", `{name}` {:?}", rows.row_shape()));
        let weighted = if data.weights.is_some() { ", weights" } else { "" };
        lines.push(format!(
            "{split}: {} samples of shape {:?} ({:?}){}, {targets}{weighted}, blake3 {}",
            data.samples(),
            data.sample_shape(),
            data.inputs.dtype(),
            further.collect::<String>(),
            data.fingerprint()?
        ));
    }
    Ok(lines.join("\n"))
}

fn checkpoint(path: &Path, arguments: &Inspect) -> anyhow::Result<String> {
    let weights = Weights::read(path)?.renamed(&arguments.rename)?;
    let metadata = CheckpointMetadata::read(&weights);
    let rows = weights.tensors.iter().map(|(name, tensor)| {
        Ok(vec![
            name.clone(),
            format!("{:?}", tensor.dims()),
            format!("{:?}", tensor.dtype()),
            number(norm(tensor)?),
            not_finite(tensor)?.to_string(),
        ])
    });
    let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
    let total: usize = weights.tensors.values().map(Tensor::elem_count).sum();
    let mut text = table(&["tensor", "shape", "dtype", "norm", "not finite"], rows);
    text += &format!("\n{total} numbers in {} tensors, blake3 {}", weights.tensors.len(), weights.fingerprint);
    for note in &weights.notes {
        text += &format!("\nnote: {note}");
    }
    for (name, dtype) in &weights.skipped {
        text += &format!("\nset aside: {name} ({dtype})");
    }
    for (key, value) in &weights.metadata {
        text += &format!("\n{key}: {value}");
    }
    let model = arguments.model.as_ref().or(metadata.model.as_ref());
    let data = arguments.data.as_ref().or(metadata.data.as_ref());
    if arguments.expected.is_any() && (model.is_none() || data.is_none()) {
        let message = format!("`{}` does not say its model and data, so that nothing is evaluated", path.display());
        return Err(Error::input(message, "give `--model` and `--data` for what is expected of it").into());
    }
    if let (Some(model), Some(data)) = (model, data) {
        // What the file holds is told whether or not it fits.
        text += &match Fitted::new(&weights, &metadata, model, data, arguments) {
            Ok(fitted) => {
                let evaluated = fitted.evaluated(path, &metadata);
                evaluated.check(&arguments.expected)?;
                format!("\n{}{}", evaluated.line(), fitted.text)
            }
            Err(error) if arguments.expected.is_any() => return Err(error),
            Err(error) => not_analysed(&error),
        };
    }
    Ok(text)
}

fn not_analysed(error: &anyhow::Error) -> String {
    let hint = error.downcast_ref::<Error>().and_then(Error::hint);
    format!("\nnot analysed: {error}{}", hint.map(|hint| format!("\nhint: {hint}")).unwrap_or_default())
}

/// A checkpoint that fits a model, on data.
struct Fitted {
    data: Dataset,
    loss: LossSpec,
    found: Evaluation,
    first: Option<usize>,
    /// What it does on the data, and what analysing it takes.
    text: String,
}

impl Fitted {
    fn new(
        weights: &Weights,
        metadata: &CheckpointMetadata,
        model: &str,
        data: &str,
        arguments: &Inspect,
    ) -> anyhow::Result<Self> {
        let spec = model.parse::<ModelSpec>()?.sized(weights);
        let inputs = arguments.inputs.over(metadata.inputs.as_deref().unwrap_or_default().parse()?)?;
        let own = metadata.samples.filter(|_| arguments.data.is_none()).map(|samples| samples as usize);
        let data = load_data(&arguments.inputs.spec(data)?, SplitArgument::Train, own, &inputs, None)?;
        let loss = metadata.loss.as_deref().map(str::parse).transpose()?;
        let loss: LossSpec = loss.unwrap_or_else(|| LossSpec::default_for(&data));
        let model = Model::new(&spec, data.input_shapes(), loss.outputs(&data)?)?;
        let options = subject::options(&arguments.machine, None)?;
        let gathered = misfit::gather(&model, weights, &data, &loss, options.dtype)?;
        let network = Network::new(&model, &gathered.buffers, loss.clone(), &data, options)?;
        let theta = gathered.parameters.to_device(network.device())?;
        let found = network.evaluate(&theta)?;
        let (cost, memory) = (network.cost(&theta)?, network.memory());
        let mut text = format!(
            "\nfits {spec}: {} parameters\non {} samples, {} at a time: gradient about {} s, Hessian product about {} s\n\
             Hessian products take about {} MB beside program and data, of which {} MB are kept linearizations",
            model.parameters().len(),
            data.samples(),
            network.samples_at_a_time(),
            number(cost.gradient.as_secs_f64()),
            number(cost.product.as_secs_f64()),
            number(memory.peak() as f64 / 1e6),
            number(memory.kept as f64 / 1e6),
        );
        for note in gathered.notes.iter().filter(|note| !weights.notes.contains(note)) {
            text += &format!("\nnote: {note}");
        }
        drop(network);
        Ok(Self { data, loss, found, first: own, text })
    }

    fn evaluated<'a>(&'a self, path: &'a Path, metadata: &'a CheckpointMetadata) -> Evaluated<'a> {
        let Self { data, loss, found, first, .. } = self;
        Evaluated { path, metadata, data, loss, first: *first, batch_statistics: false, found: *found }
    }
}

fn norm(tensor: &Tensor) -> anyhow::Result<f64> {
    Ok(tensor.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar::<f64>()?.sqrt())
}

fn not_finite(tensor: &Tensor) -> anyhow::Result<usize> {
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    Ok(values.iter().filter(|value| !value.is_finite()).count())
}
