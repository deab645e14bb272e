//! The samples themselves. Each part is drawn from a stream of its own: what both splits share, and each split.

use candle_core::{Device, Tensor};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::Synthetic;
use crate::Result;
use crate::data::{Samples, Split, Targets};
use crate::random::stream;

impl Synthetic {
    /// Draws one split.
    pub(in crate::data) fn draw(&self, split: Split) -> Result<Samples> {
        self.check_size()?;
        let count = |samples, test| match split {
            Split::Train => samples,
            Split::Test => test,
        };
        match *self {
            Self::Clusters { samples, test, features, classes, spread, seed } => {
                let centres = normals(classes * features, &mut self.stream(seed, "centres"));
                clusters(&centres, count(samples, test), features, classes, spread, &mut self.samples(seed, split))
            }
            Self::Spirals { samples, test, classes, turns, noise, seed } => {
                spirals(count(samples, test), classes, turns, noise, &mut self.samples(seed, split))
            }
            Self::Teacher { samples, test, features, hidden, outputs, noise, seed } => {
                let teacher = Teacher {
                    hidden_weights: normals(hidden * features, &mut self.stream(seed, "hidden weights")),
                    output_weights: normals(outputs * hidden, &mut self.stream(seed, "output weights")),
                    features,
                    hidden,
                };
                teacher.samples(count(samples, test), outputs, noise, &mut self.samples(seed, split))
            }
            Self::Images { samples, test, channels, size, classes, spread, seed } => {
                let features = channels * size * size;
                let centres = normals(classes * features, &mut self.stream(seed, "centres"));
                let samples = count(samples, test);
                let rng = &mut self.samples(seed, split);
                let Samples { inputs, targets, .. } = clusters(&centres, samples, features, classes, spread, rng)?;
                Ok((inputs.tensor()?.reshape((samples, channels, size, size))?, targets).into())
            }
            Self::Tokens { samples, test, length, vocabulary, noise, seed } => {
                let mut successors: Vec<u32> = (0..vocabulary as u32).collect();
                successors.shuffle(&mut self.stream(seed, "successors"));
                tokens(&successors, count(samples, test), length, noise, &mut self.samples(seed, split))
            }
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Clusters { .. } => "clusters",
            Self::Spirals { .. } => "spirals",
            Self::Teacher { .. } => "teacher",
            Self::Images { .. } => "images",
            Self::Tokens { .. } => "tokens",
        }
    }

    fn stream(&self, seed: u64, name: &str) -> ChaCha8Rng {
        stream(seed, self.kind(), name)
    }

    fn samples(&self, seed: u64, split: Split) -> ChaCha8Rng {
        self.stream(seed, &format!("{split} samples"))
    }
}

fn clusters(
    centres: &[f64],
    samples: usize,
    features: usize,
    classes: usize,
    spread: f64,
    rng: &mut ChaCha8Rng,
) -> Result<Samples> {
    let mut inputs = Vec::with_capacity(samples * features);
    for centre in centres.chunks_exact(features).cycle().take(samples) {
        inputs.extend(centre.iter().map(|centre| (centre + spread * normal(rng)) as f32));
    }
    classified(inputs, samples, features, classes)
}

fn spirals(samples: usize, classes: usize, turns: f64, noise: f64, rng: &mut ChaCha8Rng) -> Result<Samples> {
    let mut inputs = Vec::with_capacity(samples * 2);
    for sample in 0..samples {
        // Evenly along the arm, which would crowd its inner end if it were drawn by the angle.
        let along: f64 = rng.random::<f64>().sqrt();
        let arm = (sample % classes) as f64 / classes as f64;
        let angle = std::f64::consts::TAU * (arm + turns * along);
        inputs.push((along * angle.cos() + noise * normal(rng)) as f32);
        inputs.push((along * angle.sin() + noise * normal(rng)) as f32);
    }
    classified(inputs, samples, 2, classes)
}

/// Sequences that follow the table of successors, and for each token the next one.
fn tokens(successors: &[u32], samples: usize, length: usize, noise: f64, rng: &mut ChaCha8Rng) -> Result<Samples> {
    let (mut inputs, mut labels) = (Vec::with_capacity(samples * length), Vec::with_capacity(samples * length));
    let any = |rng: &mut ChaCha8Rng| rng.random_range(0..successors.len() as u32);
    for _ in 0..samples {
        let mut token = any(rng);
        for _ in 0..length {
            inputs.push(token);
            token = if rng.random::<f64>() < noise { any(rng) } else { successors[token as usize] };
            labels.push(i64::from(token));
        }
    }
    let inputs = Tensor::from_vec(inputs, (samples, length), &Device::Cpu)?;
    let labels = Tensor::from_vec(labels, (samples, length), &Device::Cpu)?;
    Ok((inputs, Targets::classes(labels, successors.len())).into())
}

/// Inputs whose classes take turns, so that every class has its share in any beginning of the data.
fn classified(inputs: Vec<f32>, samples: usize, features: usize, classes: usize) -> Result<Samples> {
    let labels: Vec<i64> = (0..samples).map(|sample| (sample % classes) as i64).collect();
    let inputs = Tensor::from_vec(inputs, (samples, features), &Device::Cpu)?;
    let labels = Tensor::new(labels, &Device::Cpu)?;
    Ok((inputs, Targets::classes(labels, classes)).into())
}

/// y = V tanh(W x / √features) / √hidden, with standard normal V and W.
struct Teacher {
    hidden_weights: Vec<f64>,
    output_weights: Vec<f64>,
    features: usize,
    hidden: usize,
}

impl Teacher {
    fn samples(&self, samples: usize, outputs: usize, noise: f64, rng: &mut ChaCha8Rng) -> Result<Samples> {
        let mut inputs = Vec::with_capacity(samples * self.features);
        let mut targets = Vec::with_capacity(samples * outputs);
        for _ in 0..samples {
            let input = normals(self.features, rng);
            targets.extend(self.answer(&input).into_iter().map(|answer| (answer + noise * normal(rng)) as f32));
            inputs.extend(input.into_iter().map(|value| value as f32));
        }
        let inputs = Tensor::from_vec(inputs, (samples, self.features), &Device::Cpu)?;
        Ok((inputs, Targets::Real(Tensor::from_vec(targets, (samples, outputs), &Device::Cpu)?.into())).into())
    }

    fn answer(&self, input: &[f64]) -> Vec<f64> {
        let hidden: Vec<f64> = self
            .hidden_weights
            .chunks_exact(self.features)
            .map(|weights| (dot(weights, input) / (self.features as f64).sqrt()).tanh())
            .collect();
        self.output_weights
            .chunks_exact(self.hidden)
            .map(|weights| dot(weights, &hidden) / (self.hidden as f64).sqrt())
            .collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    StandardNormal.sample(rng)
}

fn normals(count: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    (0..count).map(|_| normal(rng)).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::data::Dataset;

    fn load(text: &str, split: Split) -> Dataset {
        Dataset::load(&text.parse().unwrap(), split).unwrap()
    }

    fn points(data: &Dataset) -> Vec<Vec<f32>> {
        data.inputs.tensor().unwrap().to_vec2().unwrap()
    }

    fn distance(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn clusters_have_their_spread_around_centres_that_both_splits_share() {
        let spec = "synthetic:clusters:samples=4000,test=4000,features=3,classes=2,spread=0.1";
        let (train, test) = (points(&load(spec, Split::Train)), points(&load(spec, Split::Test)));
        let centre = |points: &[Vec<f32>]| -> Vec<f32> {
            (0..3).map(|axis| points.iter().step_by(2).map(|point| point[axis]).sum::<f32>() / 2000.0).collect()
        };
        let first = centre(&train);
        assert!(distance(&first, &centre(&test)) < 0.02);
        let variance =
            train.iter().step_by(2).map(|point| distance(point, &first).powi(2)).sum::<f64>() / (3.0 * 2000.0);
        assert!((variance.sqrt() - 0.1).abs() < 0.005, "{variance}");
    }

    #[test]
    fn spirals_without_noise_lie_on_their_arms() {
        let data = load("synthetic:spirals:samples=300,classes=3,turns=1,noise=0", Split::Train);
        for (sample, point) in points(&data).iter().enumerate() {
            let radius = f64::from(point[0]).hypot(f64::from(point[1]));
            assert!(radius <= 1.0 + 1e-6);
            let angle = std::f64::consts::TAU * ((sample % 3) as f64 / 3.0 + radius);
            let expected = [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32];
            assert!(distance(point, &expected) < 1e-5, "sample {sample}");
        }
    }

    #[test]
    fn the_teacher_answers_by_its_formula() {
        let teacher = Teacher { hidden_weights: vec![1.0, 2.0], output_weights: vec![3.0], features: 2, hidden: 1 };
        let expected = 3.0 * ((0.5 - 2.0) / 2.0_f64.sqrt()).tanh();
        assert!((teacher.answer(&[0.5, -1.0])[0] - expected).abs() < 1e-15);
        let data = load("synthetic:teacher:samples=40,features=5,outputs=2", Split::Train);
        let Targets::Real(targets) = &data.targets else { unreachable!("the teacher answers with numbers") };
        assert_eq!((data.inputs.dims(), targets.dims()), (&[40, 5][..], &[40, 2][..]));
    }

    #[test]
    fn tokens_follow_each_other() {
        let data = load("synthetic:tokens:samples=20,length=7,vocabulary=5,noise=0", Split::Train);
        let Targets::Classes { labels, classes: 5 } = &data.targets else { unreachable!("tokens are classes") };
        let (x, y) = (
            data.inputs.tensor().unwrap().to_vec2::<u32>().unwrap(),
            labels.tensor().unwrap().to_vec2::<i64>().unwrap(),
        );
        let mut successors = std::collections::BTreeMap::new();
        for (x, y) in x.iter().zip(&y) {
            assert!(x[1..].iter().zip(y).all(|(&next, &target)| i64::from(next) == target));
            assert!(x.iter().zip(y).all(|(&token, &next)| *successors.entry(token).or_insert(next) == next));
        }
        assert_eq!((data.sample_shape(), successors.len()), (&[7][..], 5));
    }

    #[test]
    fn images_have_their_axes() {
        let data = load("synthetic:images:samples=6,size=4,classes=2", Split::Test);
        assert_eq!((data.inputs.dims(), data.classes()), (&[1, 3, 4, 4][..], Some(2)));
    }
}
