//! The networks of a plane, with the statistics of batch norm as they belong to each of its points.

use std::time::{Duration, Instant};

use basin_objective::data::Dataset;
use basin_objective::models::BatchNorm;
use basin_objective::{Error, Evaluation, Network, Objective as _, Result};
use basin_records::float;
use basin_sharpness::CurvatureMatrix;
use candle_core::Tensor;
use indicatif::HumanDuration;
use serde::{Deserialize, Serialize};

use crate::arguments::StatisticsArgument;
use crate::commands::line::STATISTICS;
use crate::subject::Subject;

/// One checkpoint's model on the training split, and on the test split where there is one.
pub(crate) struct Networks<'a> {
    pub(crate) train: Network<'a>,
    test: Option<Network<'a>>,
    subject: &'a Subject,
    /// Where the model has batch norm: how its statistics are had.
    statistics: Option<StatisticsArgument>,
}

/// What is found at a point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) train: Measured,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) test: Option<Measured>,
}

/// What is found on one split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    #[serde(with = "float")]
    pub(crate) loss: f64,
    #[serde(default, with = "float::optional", skip_serializing_if = "Option::is_none")]
    pub(crate) accuracy: Option<f64>,
}

impl From<Evaluation> for Measured {
    fn from(Evaluation { loss, accuracy }: Evaluation) -> Self {
        Self { loss, accuracy }
    }
}

impl<'a> Networks<'a> {
    /// The networks at a checkpoint. Where statistics are recomputed, derivatives are taken with those of the checkpoint's
    /// own weights.
    pub(crate) fn new(subject: &'a Subject, test: Option<&Dataset>, asked: Option<StatisticsArgument>) -> Result<Self> {
        let has_batch_norm = !subject.model.program(BatchNorm::Batch).batch_statistics().is_empty();
        if let (Some(_), false) = (asked, has_batch_norm) {
            let message = format!("`--batch-norm-statistics`: a {} has no batch norm", subject.model.name());
            return Err(Error::input(message, "leave the option out"));
        }
        let statistics = has_batch_norm.then_some(asked.unwrap_or(StatisticsArgument::Recomputed));
        let mut train = subject.network()?;
        if statistics == Some(StatisticsArgument::Recomputed) {
            train.set_buffers(&train.recomputed_statistics(&subject.theta)?)?;
        }
        let test = test.map(|test| subject.network_on(test)).transpose()?;
        Ok(Self { train, test, subject, statistics })
    }

    /// How batch norm's statistics are had, in a record.
    pub(crate) fn batch_norm(&self) -> Option<&'static str> {
        self.statistics.map(|statistics| match statistics {
            StatisticsArgument::Stored => "stored in the checkpoint",
            StatisticsArgument::Recomputed => STATISTICS,
        })
    }

    /// The work of products with the Hessian and of so many points, in gradients of the training loss.
    pub(crate) fn gradient_equivalents(&self, products: usize, points: usize) -> f64 {
        let memory = self.train.memory();
        let product = CurvatureMatrix::Hessian.gradient_equivalents(memory.kept as f64 / memory.all as f64);
        // A forward sweep is a third of a gradient; the statistics of batch norm take another.
        let sweeps = points * if self.recompute() { 2 } else { 1 };
        1.0 + product * products as f64 + sweeps as f64 / 3.0
    }

    /// The network on the training split with the statistics that belong to θ.
    pub(crate) fn train_at(&self, theta: &Tensor) -> Result<Network<'a>> {
        let mut train = self.subject.network()?;
        if self.recompute() {
            train.set_buffers(&train.recomputed_statistics(theta)?)?;
        }
        Ok(train)
    }

    /// A line on what so many points may cost, from one at θ.
    pub(crate) fn cost(&self, theta: &Tensor, points: usize) -> Result<String> {
        // A first evaluation finds caches, threads and memory cold.
        self.evaluate(theta)?;
        let started = Instant::now();
        self.evaluate(theta)?;
        let point = started.elapsed().as_secs_f64();
        let seconds = Duration::try_from_secs_f64(point * points as f64).unwrap_or(Duration::MAX);
        Ok(format!("cost: a point takes about {:.1} ms; {points} points about {}", 1e3 * point, HumanDuration(seconds)))
    }

    /// Whether statistics are computed anew at each point.
    fn recompute(&self) -> bool {
        self.statistics == Some(StatisticsArgument::Recomputed)
    }

    /// Loss and accuracy on both splits at θ.
    pub(crate) fn evaluate(&self, theta: &Tensor) -> Result<Point> {
        if !self.recompute() {
            let test = self.test.as_ref().map(|test| test.evaluate(theta)).transpose()?;
            return Ok(Point { train: self.train.evaluate(theta)?.into(), test: test.map(Measured::from) });
        }
        let buffers = self.train.recomputed_statistics(theta)?;
        let test = self.test.as_ref().map(|test| test.evaluate_with(theta, &buffers)).transpose()?;
        Ok(Point { train: self.train.evaluate_with(theta, &buffers)?.into(), test: test.map(Measured::from) })
    }
}
