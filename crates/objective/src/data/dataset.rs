//! Inputs with their targets, checked once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{DType, Device, Tensor};
use rand::Rng as _;

use super::{DataSpec, Preprocessing, Rows, Samples, Split, read};
use crate::stored::bytes_of;
use crate::{Error, Result, random};

/// The label of samples (or positions) that a loss leaves out, as in PyTorch.
pub const IGNORED: i64 = -100;

/// What a model should answer.
#[derive(Debug, Clone)]
pub enum Targets {
    /// One class per sample, or per position of each sample.
    Classes {
        /// `I64`, of shape `(N,)` or `(N, T)`; each below `classes`, or [`IGNORED`].
        labels: Rows,
        /// How many classes there are, those of the other split included.
        classes: usize,
    },
    /// Numbers: `F32` or `F64`, of shape `(N, …)`.
    Real(Rows),
}

impl Targets {
    /// Classes, one per sample or per position of each sample.
    pub fn classes(labels: impl Into<Rows>, classes: usize) -> Self {
        Self::Classes { labels: labels.into(), classes }
    }

    pub(crate) fn rows(&self) -> &Rows {
        match self {
            Self::Classes { labels, .. } => labels,
            Self::Real(values) => values,
        }
    }

    fn with_rows(&self, rows: Rows) -> Self {
        match self {
            Self::Classes { classes, .. } => Self::Classes { labels: rows, classes: *classes },
            Self::Real(_) => Self::Real(rows),
        }
    }
}

/// Bytes of inputs that are held in memory where nothing else is said: more are read anew each time they are worked on.
pub const HELD: u64 = 4 << 30;

/// The shapes of a sample's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputShapes {
    /// Of `x`.
    pub first: Vec<usize>,
    /// Of further ones, by name.
    pub further: Vec<(String, Vec<usize>)>,
}

impl From<&[usize]> for InputShapes {
    fn from(first: &[usize]) -> Self {
        Self { first: first.to_vec(), further: Vec::new() }
    }
}

impl From<&Vec<usize>> for InputShapes {
    fn from(first: &Vec<usize>) -> Self {
        first.as_slice().into()
    }
}

impl<const RANK: usize> From<&[usize; RANK]> for InputShapes {
    fn from(first: &[usize; RANK]) -> Self {
        first.as_slice().into()
    }
}

/// One split of some data.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Where it comes from.
    pub spec: DataSpec,
    /// Which part of it.
    pub split: Split,
    /// What was done to the inputs.
    pub preprocessing: Preprocessing,
    /// `(N, …)`, on the CPU: `F32` for what ships with basin and for images, for arrays as stored (`F32`, `F64`, `U8`,
    /// `U32` or `I64`).
    pub inputs: Rows,
    /// Further inputs of networks that take several, by name.
    pub further_inputs: BTreeMap<String, Rows>,
    /// One target per sample.
    pub targets: Targets,
    /// How much each sample's loss counts, `F64` of shape `(N,)`; all alike where absent.
    pub weights: Option<Tensor>,
    /// The most bytes of inputs that are held.
    held: u64,
    fingerprint: Arc<OnceLock<String>>,
}

impl Dataset {
    /// Reads one split of the data that a spec names.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Split};
    ///
    /// let test = Dataset::load(&"digits".parse()?, Split::Test)?;
    /// assert_eq!(test.inputs.dims(), [360, 64]);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    pub fn load(spec: &DataSpec, split: Split) -> Result<Self> {
        Self::load_with(spec, split, &Preprocessing::default())
    }

    /// As [`load`](Self::load), with the inputs resized, cut and standardized.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Split};
    ///
    /// let data = Dataset::load_with(&"digits".parse()?, Split::Test, &"standardize=0.3:0.4".parse()?)?;
    /// assert_eq!(data.preprocessing.to_string(), "standardize=0.3:0.4");
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the data cannot be read, or these inputs cannot be treated so.
    pub fn load_with(spec: &DataSpec, split: Split, preprocessing: &Preprocessing) -> Result<Self> {
        Self::load_within(spec, split, preprocessing, None, HELD)
    }

    /// As [`load_with`](Self::load_with), the first `count` samples alone: of images the others are not decoded.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Preprocessing, Split};
    ///
    /// let data = Dataset::load_first(&"digits".parse()?, Split::Train, &Preprocessing::default(), 100)?;
    /// assert_eq!(data.samples(), 100);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`load_with`](Self::load_with), and when there are not as many samples.
    pub fn load_first(spec: &DataSpec, split: Split, preprocessing: &Preprocessing, count: usize) -> Result<Self> {
        Self::load_within(spec, split, preprocessing, Some(count), HELD)
    }

    /// As [`load_with`](Self::load_with) or [`load_first`](Self::load_first), with at most `held` bytes of inputs in memory. Inputs
    /// that take more stay in their files, where these can be read in parts: images, arrays of safetensors and npz files that are
    /// not compressed, and tokens. They are read, and images decoded, anew each time they are worked on; no figure depends on it.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Preprocessing, Split};
    ///
    /// let data = Dataset::load_within(&"digits".parse()?, Split::Test, &Preprocessing::default(), None, 1 << 20)?;
    /// assert!(data.inputs.are_held());
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// As of these two.
    pub fn load_within(
        spec: &DataSpec,
        split: Split,
        preprocessing: &Preprocessing,
        first: Option<usize>,
        held: u64,
    ) -> Result<Self> {
        let samples = read(spec, split, preprocessing, held)?;
        let data = Self::of_samples(spec.clone(), split, samples, held).checked_shapes()?;
        let data = match first {
            Some(count) => data.take(count)?,
            None => data,
        };
        // Images of files are resized and cut while they are decoded.
        let fitted = match spec {
            DataSpec::Images { .. } | DataSpec::Parquet { .. } => data.inputs.clone(),
            _ => preprocessing.fitted(data.inputs.clone())?,
        };
        let inputs = preprocessing.standardized(fitted)?.held_within(held)?;
        let targets = data.targets.with_rows(data.targets.rows().clone().held_within(held)?);
        Self { inputs, targets, preprocessing: preprocessing.clone(), ..data }.checked()
    }

    /// The other split of the same data, with its inputs treated alike, or `None` where there is none, such as of a file without
    /// `x_test`.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Split};
    ///
    /// let train = Dataset::load(&"digits".parse()?, Split::Train)?;
    /// assert_eq!(train.other_if_any(Split::Test)?.map(|test| test.samples()), Some(360));
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn other_if_any(&self, split: Split) -> Result<Option<Self>> {
        match Self::load_within(&self.spec, split, &self.preprocessing, None, self.held) {
            Err(Error::NoSplit { .. }) => Ok(None),
            loaded => loaded.map(Some),
        }
    }

    /// A dataset of tensors that a program made itself, under a name for its records.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Targets};
    /// use candle_core::{Device, Tensor};
    ///
    /// let inputs = Tensor::new(&[[0.0_f32, 1.0], [1.0, 0.0]], &Device::Cpu)?;
    /// let labels = Tensor::new(&[0_i64, 1], &Device::Cpu)?;
    /// let data = Dataset::from_tensors("two points", inputs, Targets::classes(labels, 2))?;
    /// assert_eq!(data.spec.to_string(), "memory:two points");
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    pub fn from_tensors(name: &str, inputs: Tensor, targets: Targets) -> Result<Self> {
        let samples = Samples::from((inputs.to_device(&Device::Cpu)?, targets));
        Self::of_samples(DataSpec::Memory(name.to_owned()), Split::Train, samples, HELD).checked()
    }

    /// The same data with a further input, for networks that take several.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Split};
    /// use candle_core::{DType, Device, Tensor};
    ///
    /// let data = Dataset::load(&"digits".parse()?, Split::Test)?;
    /// let data = data.with_input("mask", Tensor::ones((360, 64), DType::U8, &Device::Cpu)?)?;
    /// assert_eq!(data.input_shapes().further, [("mask".to_owned(), vec![64])]);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When it does not have a row for each sample, or numbers that are not finite.
    pub fn with_input(mut self, name: &str, rows: impl Into<Rows>) -> Result<Self> {
        self.further_inputs.insert(name.to_owned(), rows.into());
        self.changed().checked()
    }

    /// The same data with a weight for each sample that its loss is multiplied with, (N): L = Σᵢ sᵢ ℓᵢ / Σᵢ sᵢ.
    ///
    /// # Errors
    /// When there is not one for each sample, or one is negative or not finite.
    pub fn with_weights(mut self, weights: &Tensor) -> Result<Self> {
        self.weights = Some(weights.to_dtype(DType::F64)?);
        self.changed().checked()
    }

    fn of_samples(spec: DataSpec, split: Split, samples: Samples, held: u64) -> Self {
        let Samples { inputs, further_inputs, targets, weights } = samples;
        let preprocessing = Preprocessing::default();
        let fingerprint = Arc::default();
        Self { spec, split, preprocessing, inputs, further_inputs, targets, weights, held, fingerprint }
    }

    /// With another fingerprint.
    fn changed(self) -> Self {
        Self { fingerprint: Arc::default(), ..self }
    }

    fn checked(self) -> Result<Self> {
        let data = self.checked_shapes()?;
        data.check_numbers().map_err(|fault| data.at_fault(fault))?;
        Ok(data)
    }

    fn checked_shapes(self) -> Result<Self> {
        self.check_shapes().map_err(|fault| self.at_fault(fault))?;
        Ok(self)
    }

    fn at_fault(&self, (fault, hint): Fault) -> Error {
        Error::input(format!("data `{}`, {} split: {fault}", self.spec, self.split), hint)
    }

    fn check_shapes(&self) -> Result<(), Fault> {
        let samples = self.samples();
        if samples == 0 {
            return Err(("there are no samples".to_owned(), "give at least one sample"));
        }
        if self.inputs.dims().contains(&0) {
            return Err((
                format!("inputs of shape {:?} hold no numbers", self.inputs.dims()),
                "give every axis after the first axis an extent of at least 1",
            ));
        }
        let targets = self.targets.rows();
        if targets.dims().first() != Some(&samples) {
            let shape = targets.dims();
            return Err((
                format!("there are {samples} inputs, but the targets have shape {shape:?}"),
                "give one target per input, along the first axis",
            ));
        }
        for (name, rows) in &self.further_inputs {
            if rows.samples() != samples {
                let shape = rows.dims();
                return Err((
                    format!("there are {samples} inputs `x`, but `{name}` has shape {shape:?}"),
                    "give a row for each sample, or leave the array out",
                ));
            }
        }
        Ok(())
    }

    /// What is not held is checked when it is read.
    fn check_numbers(&self) -> Result<(), Fault> {
        let held = |rows: &Rows| rows.tensor().map_err(|error| (error.to_string(), "give arrays of numbers"));
        if self.inputs.are_held() {
            check_finite("inputs", &held(&self.inputs)?)?;
        }
        for (name, rows) in self.further_inputs.iter().filter(|(_, rows)| rows.are_held()) {
            check_finite(&format!("numbers of `{name}`"), &held(rows)?)?;
        }
        if let Some(weights) = &self.weights {
            check_weights(weights, self.samples())?;
        }
        match &self.targets {
            Targets::Classes { labels, classes } if labels.are_held() => check_labels(&held(labels)?, *classes),
            Targets::Classes { .. } => Ok(()),
            Targets::Real(values) => {
                if !matches!(values.dtype(), DType::F32 | DType::F64) {
                    return Err((
                        format!("the targets are of type {}, expected f32 or f64", values.dtype().as_str()),
                        "convert the targets to f32, or give them as classes",
                    ));
                }
                check_finite("targets", &held(values)?)
            }
        }
    }

    /// The number of samples, N.
    pub fn samples(&self) -> usize {
        self.inputs.dims().first().copied().unwrap_or(0)
    }

    /// The name of the first input.
    pub const FIRST_INPUT: &str = "x";

    /// The input of a name.
    pub fn input(&self, name: &str) -> Option<&Rows> {
        match name {
            Self::FIRST_INPUT => Some(&self.inputs),
            further => self.further_inputs.get(further),
        }
    }

    /// The shape of one input `x`.
    pub fn sample_shape(&self) -> &[usize] {
        self.inputs.row_shape()
    }

    /// The shapes of all inputs of a sample.
    pub fn input_shapes(&self) -> InputShapes {
        let further = self.further_inputs.iter().map(|(name, rows)| (name.clone(), rows.row_shape().to_vec()));
        InputShapes { first: self.sample_shape().to_vec(), further: further.collect() }
    }

    /// Whether all of it is in memory.
    pub fn is_held(&self) -> bool {
        let rows = [&self.inputs, self.targets.rows()].into_iter().chain(self.further_inputs.values());
        rows.into_iter().all(Rows::are_held)
    }

    /// The number of classes, where the targets are classes.
    pub fn classes(&self) -> Option<usize> {
        match self.targets {
            Targets::Classes { classes, .. } => Some(classes),
            Targets::Real(_) => None,
        }
    }

    /// The first `count` samples.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Split};
    ///
    /// let data = Dataset::load(&"digits".parse()?, Split::Train)?;
    /// assert_eq!(data.take(100)?.samples(), 100);
    /// assert!(data.take(5000).is_err());
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    pub fn take(&self, count: usize) -> Result<Self> {
        let samples = self.samples();
        if count == 0 || count > samples {
            return Err(Error::input(
                format!("cannot take {count} samples of `{}`: its {} split has {samples}", self.spec, self.split),
                format!("give a number from 1 to {samples}"),
            ));
        }
        self.part(0..count)
    }

    /// The samples of a range.
    pub(crate) fn part(&self, range: Range<usize>) -> Result<Self> {
        let weights = self.weights.as_ref().map(|weights| weights.narrow(0, range.start, range.len())).transpose()?;
        Ok(Self { weights, ..self.map(|rows| rows.part(range.clone()))? })
    }

    /// The samples at these positions, in this order; a position may occur more than once.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Split};
    ///
    /// let data = Dataset::load(&"synthetic:clusters:samples=8".parse()?, Split::Train)?;
    /// assert_eq!(data.select(&[7, 0, 7])?.samples(), 3);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    pub fn select(&self, positions: &[usize]) -> Result<Self> {
        let samples = self.samples();
        if positions.is_empty() {
            return Err(Error::input(format!("no samples of `{}` are selected", self.spec), "select at least one"));
        }
        if let Some(position) = positions.iter().find(|&&position| position >= samples) {
            return Err(Error::input(
                format!("there is no sample {position} in `{}`: its {} split has {samples}", self.spec, self.split),
                format!("give positions from 0 to {}", samples.saturating_sub(1)),
            ));
        }
        let weights =
            self.weights.clone().map(|weights| Rows::from(weights).select(positions)?.tensor()).transpose()?;
        Ok(Self { weights, ..self.map(|rows| rows.select(positions))? })
    }

    /// The same samples, of which each has its label replaced with the chance `share` by one of all classes, drawn evenly: a
    /// replaced label may be right by chance (Zhang and others, "Understanding deep learning requires rethinking generalization",
    /// 2017). Ignored labels stay.
    ///
    /// ```
    /// use basin_objective::data::{Dataset, Split};
    ///
    /// let data = Dataset::load(&"digits".parse()?, Split::Train)?;
    /// assert_eq!(data.with_label_noise(0.0, 1)?.fingerprint()?, data.fingerprint()?);
    /// assert_ne!(data.with_label_noise(0.5, 1)?.fingerprint()?, data.fingerprint()?);
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    ///
    /// # Errors
    /// When targets are numbers, or the share is not between 0 and 1.
    pub fn with_label_noise(&self, share: f64, seed: u64) -> Result<Self> {
        if !(0.0..=1.0).contains(&share) {
            let message = format!("the label noise is {share}, expected a share between 0 and 1");
            return Err(Error::input(message, "0.2 replaces a fifth of the labels"));
        }
        let Targets::Classes { labels, classes } = &self.targets else {
            return Err(Error::input("label noise replaces classes, and the targets are numbers", "leave it out"));
        };
        let mut rng = random::stream(seed, "label noise", "");
        let mut noisy = labels.tensor()?.flatten_all()?.to_vec1::<i64>()?;
        for label in noisy.iter_mut().filter(|label| **label != IGNORED) {
            // Both are drawn for each label, so that a larger share replaces the same labels and others.
            let (chance, class) = (rng.random::<f64>(), rng.random_range(0..*classes));
            if chance < share {
                *label = class as i64;
            }
        }
        let labels = Tensor::from_vec(noisy, labels.dims(), &Device::Cpu)?;
        Ok(Self { targets: Targets::classes(labels, *classes), ..self.clone() }.changed())
    }

    /// Other rows of all arrays but the weights.
    fn map(&self, change: impl Fn(&Rows) -> Result<Rows>) -> Result<Self> {
        let further = self.further_inputs.iter().map(|(name, rows)| Ok((name.clone(), change(rows)?)));
        Ok(Self {
            inputs: change(&self.inputs)?,
            further_inputs: further.collect::<Result<_>>()?,
            targets: self.targets.with_rows(change(self.targets.rows())?),
            ..self.clone()
        }
        .changed())
    }

    /// The blake3 hash, in hexadecimal, of the types, shapes and bytes of inputs and targets, and of further inputs and weights
    /// where there are any: equal exactly when the data are.
    ///
    /// # Errors
    /// When what is not held cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        if let Some(known) = self.fingerprint.get() {
            return Ok(known.clone());
        }
        let mut hasher = blake3::Hasher::new();
        hash(&mut hasher, &self.inputs)?;
        hash(&mut hasher, self.targets.rows())?;
        for (name, rows) in &self.further_inputs {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hash(&mut hasher, rows)?;
        }
        if let Some(weights) = &self.weights {
            hash(&mut hasher, &weights.clone().into())?;
        }
        Ok(self.fingerprint.get_or_init(|| hasher.finalize().to_hex().to_string()).clone())
    }
}

/// Adds rows to a hash. Fixed lengths, or lengths first, keep different data from giving the same bytes.
fn hash(hasher: &mut blake3::Hasher, rows: &Rows) -> Result<()> {
    let dtype = rows.dtype().as_str();
    hasher.update(&(dtype.len() as u64).to_le_bytes());
    hasher.update(dtype.as_bytes());
    hasher.update(&(rows.dims().len() as u64).to_le_bytes());
    for &extent in rows.dims() {
        hasher.update(&(extent as u64).to_le_bytes());
    }
    rows.each_part(|_, part| {
        hasher.update(&bytes_of(&part)?);
        Ok(())
    })
}

/// What is wrong, and what to do.
pub(super) type Fault = (String, &'static str);

fn unreadable(cause: candle_core::Error) -> Fault {
    (cause.to_string(), "give contiguous tensors of numbers")
}

fn check_weights(weights: &Tensor, samples: usize) -> Result<(), Fault> {
    if weights.dims() != [samples] {
        return Err((
            format!("there are {samples} samples, but the weights have shape {:?}", weights.dims()),
            "give one weight for each sample",
        ));
    }
    let weights: Vec<f64> = weights.to_vec1().map_err(unreadable)?;
    match weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0) {
        None => Ok(()),
        Some(position) => Err((
            format!("the weight of sample {position} is {}, expected a finite number from 0", weights[position]),
            "weights multiply the losses of their samples; one of 0 leaves a sample out",
        )),
    }
}

fn check_labels(labels: &Tensor, classes: usize) -> Result<(), Fault> {
    if labels.dtype() != DType::I64 || !matches!(labels.rank(), 1 | 2) {
        return Err((
            format!("the labels are {} of shape {:?}, expected i64", labels.dtype().as_str(), labels.dims()),
            "give one integer per sample, or one per position of each sample",
        ));
    }
    let labels = labels.flatten_all().and_then(|labels| labels.to_vec1::<i64>()).map_err(unreadable)?;
    if labels.iter().all(|&label| label == IGNORED) {
        return Err((format!("all labels are {IGNORED}, so that no sample counts"), "label at least one sample"));
    }
    let valid = |label: i64| label == IGNORED || usize::try_from(label).is_ok_and(|label| label < classes);
    match labels.iter().position(|&label| !valid(label)) {
        None => Ok(()),
        Some(position) => Err((
            format!(
                "label {} at position {position} is not one of the {classes} classes",
                labels.get(position).copied().unwrap_or_default()
            ),
            "number the classes from 0; -100 marks what the loss leaves out",
        )),
    }
}

pub(super) fn check_finite(what: &str, tensor: &Tensor) -> Result<(), Fault> {
    if !matches!(tensor.dtype(), DType::F32 | DType::F64) {
        return Ok(());
    }
    let flat = tensor.flatten_all().map_err(unreadable)?;
    let faulty: Vec<(usize, f64)> = match flat.dtype() {
        DType::F64 => not_finite(flat.to_vec1().map_err(unreadable)?),
        _ => not_finite(flat.to_vec1::<f32>().map_err(unreadable)?.into_iter().map(f64::from)),
    };
    match faulty.first() {
        None => Ok(()),
        Some(&(position, value)) => Err((
            format!(
                "{} of the {} {what} are not finite, the first is {value} at {:?}",
                faulty.len(),
                flat.elem_count(),
                index(position, tensor.dims())
            ),
            "clean the data: a loss of NaN has no landscape",
        )),
    }
}

fn not_finite(values: impl IntoIterator<Item = f64>) -> Vec<(usize, f64)> {
    values.into_iter().enumerate().filter(|(_, value)| !value.is_finite()).collect()
}

/// The index of the element at a position, row by row.
fn index(mut position: usize, shape: &[usize]) -> Vec<usize> {
    let mut index: Vec<usize> = shape
        .iter()
        .rev()
        .map(|&extent| {
            let coordinate = position % extent.max(1);
            position /= extent.max(1);
            coordinate
        })
        .collect();
    index.reverse();
    index
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn inputs(values: &[[f32; 2]]) -> Tensor {
        Tensor::from_vec(values.concat(), (values.len(), 2), &Device::Cpu).unwrap()
    }

    fn classes(labels: &[i64], classes: usize) -> Targets {
        Targets::classes(Tensor::new(labels, &Device::Cpu).unwrap(), classes)
    }

    fn points() -> Dataset {
        let inputs = inputs(&[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]);
        Dataset::from_tensors("points", inputs, classes(&[0, IGNORED, 1], 2)).unwrap()
    }

    fn fault(inputs: Tensor, targets: Targets) -> String {
        Dataset::from_tensors("points", inputs, targets).unwrap_err().to_string()
    }

    #[test]
    fn takes_and_selects() {
        let data = points();
        let first = data.take(2).unwrap();
        assert_eq!(first.inputs.tensor().unwrap().to_vec2::<f32>().unwrap(), [[0.0, 1.0], [2.0, 3.0]]);
        assert_eq!(first.targets.rows().tensor().unwrap().to_vec1::<i64>().unwrap(), [0, IGNORED]);
        let chosen = first.select(&[1, 0, 1]).unwrap();
        assert_eq!(chosen.inputs.tensor().unwrap().to_vec2::<f32>().unwrap(), [[2.0, 3.0], [0.0, 1.0], [2.0, 3.0]]);
        assert_eq!(chosen.targets.rows().tensor().unwrap().to_vec1::<i64>().unwrap(), [IGNORED, 0, IGNORED]);
        assert_eq!(chosen.classes(), Some(2));
        for error in [data.take(0), data.take(4), data.select(&[]), data.select(&[3])] {
            assert!(error.unwrap_err().is_bad_input());
        }
    }

    #[test]
    fn faults_are_named() {
        let two = || inputs(&[[0.0, 1.0], [2.0, 3.0]]);
        assert!(fault(two(), classes(&[0], 1)).contains("2 inputs, but the targets have shape [1]"));
        assert!(fault(two(), classes(&[0, -1], 1)).contains("label -1 at position 1"));
        assert!(fault(two(), classes(&[2, 0], 2)).contains("label 2 at position 0"));
        assert!(fault(two(), classes(&[IGNORED; 2], 2)).contains("all labels"));
        let holes = inputs(&[[0.0, 1.0], [f32::INFINITY, f32::NAN]]);
        let found = fault(holes, classes(&[0, 0], 1));
        assert!(found.contains("2 of the 4 inputs are not finite, the first is inf at [1, 0]"), "{found}");
        let none = Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap();
        assert!(fault(none, Targets::Real(two().into())).contains("no samples"));
        let real = Tensor::new(&[0.0, f64::NAN], &Device::Cpu).unwrap();
        assert!(fault(two(), Targets::Real(real.into())).contains("1 of the 2 targets"));
    }

    #[test]
    fn the_fingerprint_sees_values_types_shapes_and_targets() {
        let data = points();
        let same = points();
        assert_eq!(data.fingerprint().unwrap(), same.fingerprint().unwrap());
        let inputs = data.inputs.tensor().unwrap();
        let with = |inputs: Tensor| Dataset::from_tensors("points", inputs, data.targets.clone()).unwrap();
        let wide = with(inputs.to_dtype(DType::F64).unwrap());
        let flat = with(inputs.reshape((3, 2, 1)).unwrap());
        let moved = with((&inputs + 1.0).unwrap());
        let relabelled = Dataset::from_tensors("points", inputs.clone(), classes(&[1, IGNORED, 1], 2)).unwrap();
        let further = points().with_input("more", inputs).unwrap();
        let weighted = points().with_weights(&Tensor::new(&[1.0, 2.0, 1.0], &Device::Cpu).unwrap()).unwrap();
        for other in [wide, flat, moved, relabelled, further, weighted] {
            assert_ne!(data.fingerprint().unwrap(), other.fingerprint().unwrap());
        }
        // A part of a tensor counts by its own elements, not by the memory it shares.
        let copied = data.select(&[0, 1]).unwrap();
        assert_eq!(data.take(2).unwrap().fingerprint().unwrap(), copied.fingerprint().unwrap());
    }
}
