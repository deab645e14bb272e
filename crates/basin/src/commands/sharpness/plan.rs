//! Which measures with which radii, and what they are expected to cost.

use std::fmt;

use basin_objective::{Error, Result};
use basin_records::sharpness::Norm;
use basin_sharpness::neighbourhood::{Ball, FORWARD, WorstCase};
use basin_sharpness::{Fisher, Noise};

use crate::arguments::{BallSettings, MeasureArgument, NormArgument, Sharpness};

/// More draws are a slip of the hand.
const MOST_DRAWS: usize = 1_000_000;
/// Noise scales that a search for σ tries, steps that a search for η tries, and products that one for λ_max and an estimate
/// of a trace take, roughly: for the remaining time alone.
const NOISE_SCALES: f64 = 14.0;
const CRITICAL_STEPS: f64 = 25.0;
const LANCZOS_PRODUCTS: f64 = 60.0;
const ESTIMATE_PRODUCTS: f64 = 200.0;
/// What a product costs in gradients on a kept linearization.
const PRODUCT: f64 = 2.0;

/// What is measured, and how.
pub(crate) struct Plan {
    measures: Vec<MeasureArgument>,
    /// What is measured elsewhere.
    left_out: Option<MeasureArgument>,
    /// Empty for each measure's own.
    radii: Vec<f64>,
    norms: Vec<Norm>,
    pub(super) search: WorstCase,
    pub(super) draws: usize,
    pub(super) seed: u64,
}

/// One measure with its setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    Worst(Ball),
    Average(Ball),
    Sam(f64),
    Asam(f64),
    GradientNorm,
    FisherRao(Fisher),
    RelativeFlatness,
    PacBayes(Noise),
    Critical,
    CriticalUpdate,
    LambdaMax,
    Trace,
    Frobenius,
}

impl Plan {
    /// What was typed, checked.
    pub(super) fn of(arguments: &Sharpness) -> Result<Self> {
        let search =
            WorstCase { iterations: arguments.iterations, starts: arguments.starts, seed: arguments.common.seed };
        Self::new(&arguments.measure, &arguments.ball, search, arguments.draws)
    }

    /// Measures with radii; random starts and draws are seeded as the search.
    pub(crate) fn new(
        measures: &[MeasureArgument],
        ball: &BallSettings,
        search: WorstCase,
        draws: usize,
    ) -> Result<Self> {
        search.check()?;
        if !(2..=MOST_DRAWS).contains(&draws) {
            let hint = format!("give 2 to {MOST_DRAWS}: a single one has no standard error");
            return Err(Error::input(format!("the number of draws is {draws}"), hint));
        }
        let norms = ball.norm.iter().map(|&norm| norm.into()).collect();
        let radii = ball.rho.clone().unwrap_or_default();
        radii.iter().try_for_each(|&rho| Ball { norm: Norm::L2, adaptive: false, rho }.check())?;
        Ok(Self { measures: measures.to_vec(), left_out: None, radii, norms, search, draws, seed: search.seed })
    }

    /// The same without a measure that is had elsewhere.
    pub(crate) fn without(self, measure: MeasureArgument) -> Self {
        Self { left_out: Some(measure), ..self }
    }

    /// The units in the order in which measures were named; of `all` those that need an accuracy only where there is one.
    pub(super) fn units(&self, accuracy: bool, update: bool) -> Result<Vec<Unit>> {
        if !accuracy && self.measures.iter().any(|measure| measure.needs_accuracy()) {
            let hint = "leave `pac-bayes` and `adaptive-pac-bayes` out, or use classes";
            return Err(Error::input("the objective has no accuracy to drop", hint));
        }
        let named = self.measures.iter().flat_map(|measure| match measure {
            MeasureArgument::All => {
                let every = MeasureArgument::EVERY.iter().copied();
                every.filter(|measure| accuracy || !measure.needs_accuracy()).collect()
            }
            measure => vec![*measure],
        });
        let mut units = Vec::new();
        let wanted = named.filter(|measure| Some(*measure) != self.left_out);
        for unit in wanted.flat_map(|measure| self.units_of(measure, update)) {
            if !units.contains(&unit) {
                units.push(unit);
            }
        }
        Ok(units)
    }

    fn units_of(&self, measure: MeasureArgument, update: bool) -> Vec<Unit> {
        match measure {
            MeasureArgument::All => Vec::new(),
            MeasureArgument::Worst => self.balls(false, [0.05, 1e-3]).map(Unit::Worst).collect(),
            MeasureArgument::AdaptiveWorst => self.balls(true, [0.5, 2e-3]).map(Unit::Worst).collect(),
            MeasureArgument::Average => self.balls(false, [0.01, 0.01]).map(Unit::Average).collect(),
            MeasureArgument::AdaptiveAverage => self.balls(true, [0.1, 0.1]).map(Unit::Average).collect(),
            MeasureArgument::Sam => self.radii(0.05).into_iter().map(Unit::Sam).collect(),
            MeasureArgument::Asam => self.radii(0.5).into_iter().map(Unit::Asam).collect(),
            MeasureArgument::GradientNorm => vec![Unit::GradientNorm],
            MeasureArgument::FisherRao => vec![Unit::FisherRao(Fisher::Predictions)],
            MeasureArgument::EmpiricalFisherRao => vec![Unit::FisherRao(Fisher::Empirical)],
            MeasureArgument::RelativeFlatness => vec![Unit::RelativeFlatness],
            MeasureArgument::PacBayes => vec![Unit::PacBayes(Noise::Equal)],
            MeasureArgument::AdaptivePacBayes => vec![Unit::PacBayes(Noise::Magnitude)],
            MeasureArgument::Critical if update => vec![Unit::Critical, Unit::CriticalUpdate],
            MeasureArgument::Critical => vec![Unit::Critical],
            MeasureArgument::LambdaMax => vec![Unit::LambdaMax],
            MeasureArgument::Trace => vec![Unit::Trace],
            MeasureArgument::Frobenius => vec![Unit::Frobenius],
        }
    }

    /// Balls of every norm and radius; `usual` are the radii in ℓ₂ and in ℓ∞ when none is given.
    fn balls(&self, adaptive: bool, usual: [f64; 2]) -> impl Iterator<Item = Ball> {
        self.norms.iter().flat_map(move |&norm| {
            let usual = match norm {
                Norm::L2 => usual[0],
                Norm::Linf => usual[1],
            };
            self.radii(usual).into_iter().map(move |rho| Ball { norm, adaptive, rho })
        })
    }

    fn radii(&self, usual: f64) -> Vec<f64> {
        if self.radii.is_empty() { vec![usual] } else { self.radii.clone() }
    }

    /// What a unit is expected to cost in gradients.
    pub(super) fn gradients(&self, unit: &Unit) -> f64 {
        let draws = self.draws as f64;
        match unit {
            Unit::Worst(_) => (self.search.starts * (self.search.iterations + 1)) as f64,
            Unit::Average(_) => 2.0 * draws * FORWARD,
            Unit::Sam(_) | Unit::Asam(_) => FORWARD,
            Unit::GradientNorm => 0.0,
            // Linearizing costs a gradient.
            Unit::FisherRao(_) => 1.0 + 4.0 / 3.0,
            Unit::RelativeFlatness => 1.0 + PRODUCT * draws,
            Unit::PacBayes(_) => NOISE_SCALES * draws * FORWARD,
            Unit::Critical | Unit::CriticalUpdate => CRITICAL_STEPS * FORWARD,
            Unit::LambdaMax => 1.0 + PRODUCT * LANCZOS_PRODUCTS,
            Unit::Trace | Unit::Frobenius => 1.0 + PRODUCT * ESTIMATE_PRODUCTS,
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worst(_) => "worst case",
            Self::Average(_) => "average case",
            Self::Sam(_) => "SAM",
            Self::Asam(_) => "ASAM",
            Self::GradientNorm => "gradient norm",
            Self::FisherRao(_) => "Fisher-Rao norm",
            Self::RelativeFlatness => "relative flatness",
            Self::PacBayes(_) => "PAC-Bayesian noise",
            Self::Critical | Self::CriticalUpdate => "critical sharpness",
            Self::LambdaMax => "largest eigenvalue",
            Self::Trace => "trace",
            Self::Frobenius => "Frobenius norm",
        })
    }
}

impl From<NormArgument> for Norm {
    fn from(norm: NormArgument) -> Self {
        match norm {
            NormArgument::L2 => Self::L2,
            NormArgument::Linf => Self::Linf,
        }
    }
}
