//! Inputs with their targets, checked once.

use candle_core::{DType, Device, Tensor};
use rand::Rng as _;

use super::{DataSpec, Preprocessing, Split, read};
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
        labels: Tensor,
        /// How many classes there are, those of the other split included.
        classes: usize,
    },
    /// Numbers: `F32` or `F64`, of shape `(N, …)`.
    Real(Tensor),
}

impl Targets {
    fn tensor(&self) -> &Tensor {
        match self {
            Self::Classes { labels, .. } => labels,
            Self::Real(values) => values,
        }
    }

    fn with_tensor(&self, tensor: Tensor) -> Self {
        match self {
            Self::Classes { classes, .. } => Self::Classes { labels: tensor, classes: *classes },
            Self::Real(_) => Self::Real(tensor),
        }
    }
}

/// One split of some data, in memory.
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
    pub inputs: Tensor,
    /// One target per sample.
    pub targets: Targets,
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
        let (inputs, targets) = read(spec, split, preprocessing, None)?;
        Self::new(spec.clone(), split, preprocessing.clone(), inputs, targets)
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
        // At least one is read, so that a count of 0 is refused as any other.
        let (inputs, targets) = read(spec, split, preprocessing, Some(count.max(1)))?;
        Self::new(spec.clone(), split, preprocessing.clone(), inputs, targets)?.take(count)
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
        match Self::load_with(&self.spec, split, &self.preprocessing) {
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
    /// let data = Dataset::from_tensors("two points", inputs, Targets::Classes { labels, classes: 2 })?;
    /// assert_eq!(data.spec.to_string(), "memory:two points");
    /// # Ok::<(), basin_objective::Error>(())
    /// ```
    pub fn from_tensors(name: &str, inputs: Tensor, targets: Targets) -> Result<Self> {
        let spec = DataSpec::Memory(name.to_owned());
        Self::new(spec, Split::Train, Preprocessing::default(), inputs, targets)
    }

    fn new(
        spec: DataSpec,
        split: Split,
        preprocessing: Preprocessing,
        inputs: Tensor,
        targets: Targets,
    ) -> Result<Self> {
        let inputs = inputs.to_device(&Device::Cpu)?;
        let targets = targets.with_tensor(targets.tensor().to_device(&Device::Cpu)?);
        let data = Self { spec, split, preprocessing, inputs, targets };
        data.check().map_err(|(fault, hint)| {
            Error::input(format!("data `{}`, {} split: {fault}", data.spec, data.split), hint)
        })?;
        Ok(data)
    }

    fn check(&self) -> Result<(), Fault> {
        let samples = self.samples();
        if samples == 0 {
            return Err(("there are no samples".to_owned(), "give at least one sample"));
        }
        if self.inputs.elem_count() == 0 {
            return Err((
                format!("inputs of shape {:?} hold no numbers", self.inputs.dims()),
                "give every axis after the first axis an extent of at least 1",
            ));
        }
        let targets = self.targets.tensor();
        if targets.dims().first() != Some(&samples) {
            let shape = targets.dims();
            return Err((
                format!("there are {samples} inputs, but the targets have shape {shape:?}"),
                "give one target per input, along the first axis",
            ));
        }
        check_finite("inputs", &self.inputs)?;
        match &self.targets {
            Targets::Classes { labels, classes } => check_labels(labels, *classes),
            Targets::Real(values) => {
                if !matches!(values.dtype(), DType::F32 | DType::F64) {
                    return Err((
                        format!("the targets are of type {}, expected f32 or f64", values.dtype().as_str()),
                        "convert the targets to f32, or give them as classes",
                    ));
                }
                check_finite("targets", values)
            }
        }
    }

    /// The number of samples, N.
    pub fn samples(&self) -> usize {
        self.inputs.dims().first().copied().unwrap_or(0)
    }

    /// The shape of one input.
    pub fn sample_shape(&self) -> &[usize] {
        self.inputs.dims().get(1..).unwrap_or_default()
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
        self.map(|tensor| Ok(tensor.narrow(0, 0, count)?))
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
        let positions: Vec<i64> = positions.iter().map(|&position| position as i64).collect();
        let positions = Tensor::new(positions, &Device::Cpu)?;
        self.map(|tensor| Ok(tensor.contiguous()?.index_select(&positions, 0)?))
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
        let mut noisy = labels.flatten_all()?.to_vec1::<i64>()?;
        for label in noisy.iter_mut().filter(|label| **label != IGNORED) {
            // Both are drawn for each label, so that a larger share replaces the same labels and others.
            let (chance, class) = (rng.random::<f64>(), rng.random_range(0..*classes));
            if chance < share {
                *label = class as i64;
            }
        }
        let labels = Tensor::from_vec(noisy, labels.shape(), &Device::Cpu)?;
        Ok(Self { targets: Targets::Classes { labels, classes: *classes }, ..self.clone() })
    }

    fn map(&self, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self {
            spec: self.spec.clone(),
            split: self.split,
            preprocessing: self.preprocessing.clone(),
            inputs: change(&self.inputs)?,
            targets: self.targets.with_tensor(change(self.targets.tensor())?),
        })
    }

    /// The blake3 hash, in hexadecimal, of the types, shapes and bytes of inputs and targets: equal exactly when the data
    /// are.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        for tensor in [&self.inputs, self.targets.tensor()] {
            // Fixed lengths, or lengths first, keep different data from giving the same bytes.
            let dtype = tensor.dtype().as_str();
            hasher.update(&(dtype.len() as u64).to_le_bytes());
            hasher.update(dtype.as_bytes());
            hasher.update(&(tensor.rank() as u64).to_le_bytes());
            for &extent in tensor.dims() {
                hasher.update(&(extent as u64).to_le_bytes());
            }
            hasher.update(&bytes_of(tensor)?);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// What is wrong, and what to do.
type Fault = (String, &'static str);

fn unreadable(cause: candle_core::Error) -> Fault {
    (cause.to_string(), "give contiguous tensors of numbers")
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

fn check_finite(what: &str, tensor: &Tensor) -> Result<(), Fault> {
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
        Targets::Classes { labels: Tensor::new(labels, &Device::Cpu).unwrap(), classes }
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
        assert_eq!(first.inputs.to_vec2::<f32>().unwrap(), [[0.0, 1.0], [2.0, 3.0]]);
        assert_eq!(first.targets.tensor().to_vec1::<i64>().unwrap(), [0, IGNORED]);
        let chosen = first.select(&[1, 0, 1]).unwrap();
        assert_eq!(chosen.inputs.to_vec2::<f32>().unwrap(), [[2.0, 3.0], [0.0, 1.0], [2.0, 3.0]]);
        assert_eq!(chosen.targets.tensor().to_vec1::<i64>().unwrap(), [IGNORED, 0, IGNORED]);
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
        assert!(fault(none, Targets::Real(two())).contains("no samples"));
        let real = Tensor::new(&[0.0, f64::NAN], &Device::Cpu).unwrap();
        assert!(fault(two(), Targets::Real(real)).contains("1 of the 2 targets"));
    }

    #[test]
    fn the_fingerprint_sees_values_types_shapes_and_targets() {
        let data = points();
        let same = points();
        assert_eq!(data.fingerprint().unwrap(), same.fingerprint().unwrap());
        let wide = Dataset { inputs: data.inputs.to_dtype(DType::F64).unwrap(), ..data.clone() };
        let flat = Dataset { inputs: data.inputs.reshape((3, 2, 1)).unwrap(), ..data.clone() };
        let moved = Dataset { inputs: (&data.inputs + 1.0).unwrap(), ..data.clone() };
        let relabelled = Dataset { targets: classes(&[1, IGNORED, 1], 2), ..data.clone() };
        for other in [wide, flat, moved, relabelled] {
            assert_ne!(data.fingerprint().unwrap(), other.fingerprint().unwrap());
        }
        // A part of a tensor counts by its own elements, not by the memory it shares.
        let copied = data.select(&[0, 1]).unwrap();
        assert_eq!(data.take(2).unwrap().fingerprint().unwrap(), copied.fingerprint().unwrap());
    }
}
