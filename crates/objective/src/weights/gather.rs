//! From named tensors to the flat vectors that an objective works with.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};

use super::Weights;
use crate::{Error, Result, suggestion};

/// What training wrappers put before the names of the model they wrap: DataParallel, torch.compile, DeepSpeed, Lightning.
const WRAPPERS: [&str; 8] =
    ["module.", "_orig_mod.", "_forward_module.", "_fsdp_wrapped_module.", "model.", "net.", "network.", "backbone."];

/// What the files of others may hold under names that are not a model's own.
#[derive(Clone, Debug, Default)]
pub struct ForeignNames {
    /// Second names of tensors, each with the model's own: of tied weights, or from another implementation.
    pub aliases: Vec<(String, String)>,
    /// Constants that the model makes itself, such as attention masks.
    pub constants: Vec<String>,
}

/// The weights of one model, in its order.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The parameters one after another, of shape `(P,)`, on the CPU.
    pub parameters: Tensor,
    /// The buffers (the statistics of batch norm) one after another, of shape `(B,)`, on the CPU.
    pub buffers: Tensor,
    /// What a reader of the results should know, such as prefixes that were left out.
    pub notes: Vec<String>,
}

impl Weights {
    /// The tensors that a model expects, by name and shape, as flat vectors of one type in the order given.
    ///
    /// Names may differ from the file's by the prefix of a training wrapper. Everything that is missing, unexpected, of
    /// another shape or not finite is reported in one error.
    pub fn gather(
        &self,
        parameters: &[(String, Vec<usize>)],
        buffers: &[(String, Vec<usize>)],
        dtype: DType,
    ) -> Result<Gathered> {
        self.gather_foreign(parameters, buffers, &ForeignNames::default(), dtype)
    }

    /// As [`gather`](Self::gather), where the file may use other names too. A tensor under both of its names must be the
    /// same twice.
    pub fn gather_foreign(
        &self,
        parameters: &[(String, Vec<usize>)],
        buffers: &[(String, Vec<usize>)],
        foreign: &ForeignNames,
        dtype: DType,
    ) -> Result<Gathered> {
        let (found, prefix) = self.found(parameters, buffers, foreign)?;
        let parameters = flat(parameters, &found)?;
        let buffers = flat(buffers, &found)?;
        self.check_finite(parameters.iter().chain(&buffers), dtype)?;
        let mut notes = self.notes.clone();
        if !prefix.is_empty() {
            notes.push(format!("left out `{prefix}`, the prefix of every name in `{}`", self.path.display()));
        }
        Ok(Gathered { parameters: joined(&parameters, dtype)?, buffers: joined(&buffers, dtype)?, notes })
    }

    /// Whether names and shapes are those that a model expects, whatever the values.
    pub(crate) fn fits(
        &self,
        parameters: &[(String, Vec<usize>)],
        buffers: &[(String, Vec<usize>)],
        foreign: &ForeignNames,
    ) -> bool {
        self.found(parameters, buffers, foreign).is_ok()
    }

    /// The tensors by the model's names, all of the right shape, and the prefix that was left out.
    fn found<'a>(
        &'a self,
        parameters: &'a [(String, Vec<usize>)],
        buffers: &'a [(String, Vec<usize>)],
        foreign: &'a ForeignNames,
    ) -> Result<(BTreeMap<&'a str, &'a Tensor>, String)> {
        let expected: BTreeSet<&str> = parameters.iter().chain(buffers).map(|(name, _)| name.as_str()).collect();
        let aliases: BTreeSet<&str> = foreign.aliases.iter().map(|(alias, _)| alias.as_str()).collect();
        let prefix = self.prefix(&expected.union(&aliases).copied().collect());
        let mut found: BTreeMap<&str, &Tensor> = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name.strip_prefix(prefix.as_str()).unwrap_or(name), tensor))
            .filter(|(name, _)| !name.ends_with("num_batches_tracked"))
            .filter(|(name, _)| !foreign.constants.iter().any(|constant| constant == name))
            .collect();
        for (alias, name) in &foreign.aliases {
            if let Some(tensor) = found.remove(alias.as_str()) {
                let own = *found.entry(name).or_insert(tensor);
                self.check_equal((alias, tensor), (name, own))?;
            }
        }
        self.check_names_and_shapes(parameters.iter().chain(buffers), &expected, &found)?;
        Ok((found, prefix))
    }

    /// Tied weights are one tensor: where a file holds both, they must not differ.
    fn check_equal(&self, (alias, a): (&str, &Tensor), (name, b): (&str, &Tensor)) -> Result<()> {
        let values = |x: &Tensor| x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let same = |(a, b): (&f64, &f64)| a == b || (a.is_nan() && b.is_nan());
        if a.dims() == b.dims() && values(a)?.iter().zip(&values(b)?).all(same) {
            return Ok(());
        }
        Err(Error::input(
            format!("`{alias}` and `{name}` in `{}` differ, but they are one tensor of the model", self.path.display()),
            "save a model that ties the two, or remove the tensor that it does not use",
        ))
    }

    /// The wrappers' prefix, shared by all names, without which the most names are expected ones.
    fn prefix(&self, expected: &BTreeSet<&str>) -> String {
        let names: Vec<&str> = self.tensors.keys().map(String::as_str).collect();
        let matches = |prefix: &str| {
            names.iter().filter(|name| name.strip_prefix(prefix).is_some_and(|name| expected.contains(name))).count()
        };
        let (mut best, mut most) = (String::new(), matches(""));
        let mut prefix = String::new();
        while let Some(wrapper) = shared_wrapper(&names, &prefix) {
            prefix.push_str(wrapper);
            let count = matches(&prefix);
            if count > most {
                (best, most) = (prefix.clone(), count);
            }
        }
        best
    }

    fn check_names_and_shapes<'a>(
        &self,
        wanted: impl Iterator<Item = &'a (String, Vec<usize>)>,
        expected: &BTreeSet<&str>,
        found: &BTreeMap<&str, &Tensor>,
    ) -> Result<()> {
        let unexpected: Vec<&str> = found.keys().copied().filter(|name| !expected.contains(name)).collect();
        let mut faults = Vec::new();
        for (name, shape) in wanted {
            match found.get(name.as_str()) {
                Some(tensor) if tensor.dims() == shape => {}
                Some(tensor) => {
                    faults.push(format!("`{name}` has shape {:?}, expected {shape:?}", tensor.dims()));
                }
                None => {
                    let near = suggestion::nearest(name, &unexpected);
                    let near = near.map(|near| format!(" (the file has `{near}`)")).unwrap_or_default();
                    faults.push(format!("`{name}` of shape {shape:?} is missing{near}"));
                }
            }
        }
        for name in unexpected {
            let shape = found.get(name).map(|tensor| tensor.dims()).unwrap_or_default();
            faults.push(format!("`{name}` of shape {shape:?} is not expected"));
        }
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::input(
            format!("the weights in `{}` do not fit the model:\n  {}", self.path.display(), faults.join("\n  ")),
            "check `--model` against the names and shapes in the file, which `basin inspect` lists",
        ))
    }

    fn check_finite<'a>(&self, values: impl Iterator<Item = &'a Values<'a>>, dtype: DType) -> Result<()> {
        let faults: Vec<String> = values
            .filter_map(|Values { name, values }| {
                let nan = values.iter().filter(|value| value.is_nan()).count();
                let infinite = values.iter().filter(|&&value| is_infinite(value, dtype)).count();
                (nan + infinite > 0).then(|| format!("`{name}`: {nan} NaN and {infinite} infinite of {}", values.len()))
            })
            .collect();
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::input(
            format!("not all weights in `{}` are finite:\n  {}", self.path.display(), faults.join("\n  ")),
            "the training has diverged: take an earlier checkpoint",
        ))
    }
}

/// The wrapper whose prefix all names have behind `prefix`.
fn shared_wrapper(names: &[&str], prefix: &str) -> Option<&'static str> {
    let shared = |wrapper: &str| {
        names.iter().all(|name| name.strip_prefix(prefix).is_some_and(|name| name.starts_with(wrapper)))
    };
    WRAPPERS.into_iter().find(|wrapper| !names.is_empty() && shared(wrapper))
}

/// The elements of one tensor.
struct Values<'a> {
    name: &'a str,
    values: Vec<f64>,
}

fn flat<'a>(wanted: &'a [(String, Vec<usize>)], found: &BTreeMap<&str, &Tensor>) -> Result<Vec<Values<'a>>> {
    wanted
        .iter()
        .filter_map(|(name, _)| found.get(name.as_str()).map(|tensor| (name, tensor)))
        .map(|(name, tensor)| {
            let values = tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?;
            Ok(Values { name, values })
        })
        .collect()
}

/// Whether a value is infinite, or becomes so in single precision where that is what will be computed in.
fn is_infinite(value: f64, dtype: DType) -> bool {
    match dtype {
        DType::F64 => value.is_infinite(),
        _ => (value as f32).is_infinite(),
    }
}

fn joined(tensors: &[Values<'_>], dtype: DType) -> Result<Tensor> {
    let values = tensors.iter().flat_map(|tensor| tensor.values.iter().copied());
    let joined = match dtype {
        DType::F64 => Tensor::new(values.collect::<Vec<f64>>(), &Device::Cpu)?,
        _ => Tensor::new(values.map(|value| value as f32).collect::<Vec<f32>>(), &Device::Cpu)?.to_dtype(dtype)?,
    };
    Ok(joined)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn weights(tensors: &[(&str, Tensor)]) -> Weights {
        Weights {
            tensors: tensors.iter().map(|(name, tensor)| ((*name).to_owned(), tensor.clone())).collect(),
            skipped: BTreeMap::new(),
            metadata: BTreeMap::new(),
            fingerprint: String::new(),
            path: "model.safetensors".into(),
            order: vec![],
            notes: vec![],
        }
    }

    fn matrix(values: &[[f64; 2]; 2]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn vector(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    fn shapes(shapes: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
        shapes.iter().map(|(name, shape)| ((*name).to_owned(), shape.to_vec())).collect()
    }

    fn layer() -> Vec<(String, Vec<usize>)> {
        shapes(&[("fc1.weight", &[2, 2]), ("fc1.bias", &[2])])
    }

    #[test]
    fn parameters_and_buffers_in_the_order_asked_for() {
        let weights = weights(&[
            ("bn.running_mean", vector(&[7.0])),
            ("bn.num_batches_tracked", vector(&[1.0])),
            ("fc1.bias", vector(&[5.0, 6.0])),
            ("fc1.weight", matrix(&[[1.0, 2.0], [3.0, 4.0]])),
        ]);
        for dtype in [DType::F32, DType::F64] {
            let gathered = weights.gather(&layer(), &shapes(&[("bn.running_mean", &[1])]), dtype).unwrap();
            let values = |tensor: &Tensor| {
                assert_eq!(tensor.dtype(), dtype);
                tensor.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap()
            };
            assert_eq!(values(&gathered.parameters), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            assert_eq!(values(&gathered.buffers), [7.0]);
            assert!(gathered.notes.is_empty());
        }
    }

    #[test]
    fn a_transposed_view_is_read_by_rows() {
        let transposed = matrix(&[[1.0, 3.0], [2.0, 4.0]]).t().unwrap();
        let weights = weights(&[("fc1.weight", transposed), ("fc1.bias", vector(&[5.0, 6.0]))]);
        let gathered = weights.gather(&layer(), &[], DType::F64).unwrap();
        assert_eq!(gathered.parameters.to_vec1::<f64>().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(gathered.buffers.dims(), [0]);
    }

    #[test]
    fn wrappers_are_looked_through_and_named() {
        for prefix in ["module.", "_orig_mod.", "model.", "_orig_mod.module.", "model._orig_mod."] {
            let (weight, bias) = (format!("{prefix}fc1.weight"), format!("{prefix}fc1.bias"));
            let weights = weights(&[(&weight, matrix(&[[1.0; 2]; 2])), (&bias, vector(&[5.0, 6.0]))]);
            let gathered = weights.gather(&layer(), &[], DType::F32).unwrap();
            assert_eq!(
                gathered.notes,
                [format!("left out `{prefix}`, the prefix of every name in `model.safetensors`")]
            );
        }
        // A prefix that belongs to the model stays.
        let weights = weights(&[("model.w", vector(&[1.0]))]);
        assert!(weights.gather(&shapes(&[("model.w", &[1])]), &[], DType::F32).unwrap().notes.is_empty());
    }

    #[test]
    fn all_that_does_not_fit_is_listed_at_once() {
        let weights =
            weights(&[("fc1.weight", vector(&[1.0])), ("fc1.biass", vector(&[1.0, 2.0])), ("head", vector(&[1.0]))]);
        let error = weights.gather(&layer(), &shapes(&[("mean", &[3])]), DType::F32).unwrap_err();
        let expected = "the weights in `model.safetensors` do not fit the model:
  `fc1.weight` has shape [1], expected [2, 2]
  `fc1.bias` of shape [2] is missing (the file has `fc1.biass`)
  `mean` of shape [3] is missing
  `fc1.biass` of shape [2] is not expected
  `head` of shape [1] is not expected";
        assert_eq!(error.to_string(), expected);
        assert!(error.is_bad_input());
    }

    #[test]
    fn tied_weights_are_found_under_either_name() {
        let foreign = ForeignNames {
            aliases: vec![("head.weight".to_owned(), "table.weight".to_owned())],
            constants: vec!["mask".to_owned()],
        };
        let gather = |tensors: &[(&str, Tensor)]| {
            let shapes = shapes(&[("table.weight", &[2])]);
            let gathered = weights(tensors).gather_foreign(&shapes, &[], &foreign, DType::F32);
            gathered.map(|gathered| gathered.parameters.to_vec1::<f32>().unwrap())
        };
        let (own, other) = (vector(&[1.0, 2.0]), vector(&[1.0, 3.0]));
        let mask = ("mask", vector(&[0.0; 4]));
        assert_eq!(gather(&[("table.weight", own.clone()), mask]).unwrap(), [1.0, 2.0]);
        assert_eq!(gather(&[("head.weight", own.clone())]).unwrap(), [1.0, 2.0]);
        assert_eq!(gather(&[("_orig_mod.head.weight", own.clone())]).unwrap(), [1.0, 2.0]);
        assert_eq!(gather(&[("head.weight", own.clone()), ("table.weight", own.clone())]).unwrap(), [1.0, 2.0]);
        let error = gather(&[("head.weight", own), ("table.weight", other)]).unwrap_err();
        assert!(
            error.to_string().contains("`head.weight` and `table.weight` in `model.safetensors` differ"),
            "{error}"
        );
        assert!(gather(&[]).unwrap_err().to_string().contains("`table.weight` of shape [2] is missing"));
    }

    #[test]
    fn weights_that_are_not_finite_are_counted() {
        let weights = weights(&[
            ("fc1.weight", matrix(&[[f64::NAN, 1.0], [f64::INFINITY, 1e300]])),
            ("fc1.bias", vector(&[f32::NEG_INFINITY, 0.0])),
        ]);
        let message = |dtype| weights.gather(&layer(), &[], dtype).unwrap_err().to_string();
        assert!(message(DType::F64).contains("`fc1.weight`: 1 NaN and 1 infinite of 4\n  `fc1.bias`: 0 NaN and 1"));
        // 1e300 does not fit single precision.
        assert!(message(DType::F32).contains("`fc1.weight`: 1 NaN and 2 infinite of 4"));
    }
}
