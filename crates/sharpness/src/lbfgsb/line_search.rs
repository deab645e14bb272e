//! The line search of Moré and Thuente (ACM TOMS 20, 1994): a step that satisfies
//! f(α) ≤ f(0) + μ α f'(0) and |f'(α)| ≤ η |f'(0)|.

/// μ, the share of the predicted decrease that is asked for. All constants are those of L-BFGS-B 3.0.
const SUFFICIENT_DECREASE: f64 = 1e-3;
/// η, the share of the slope that may be left.
const CURVATURE: f64 = 0.9;
/// Relative width at which the interval of the minimiser is given up.
const INTERVAL: f64 = 0.1;
/// How far beyond the last step the next may reach while no minimiser is enclosed, in multiples of the last change.
const EXTRAPOLATION: (f64, f64) = (1.1, 4.0);
/// The interval shall shrink to this share in two steps; else it is bisected.
const SHRINKAGE: f64 = 0.66;

/// A step with the function and its slope there.
#[derive(Clone, Copy, Debug)]
struct Trial {
    step: f64,
    value: f64,
    slope: f64,
}

impl Trial {
    /// The trial on ψ(α) = f(α) − μ f'(0) α instead of f.
    fn tilted(self, slope: f64) -> Self {
        Self { step: self.step, value: self.value - slope * self.step, slope: self.slope - slope }
    }
}

/// What to do after a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Next {
    /// Evaluate at this step.
    Try(f64),
    /// The last step is the one.
    Accept,
    /// The prediction is no number.
    GiveUp,
}

/// A search in progress.
#[derive(Debug)]
pub(super) struct LineSearch {
    start: Trial,
    /// The step with the least value.
    best: Trial,
    /// The other end of the interval.
    other: Trial,
    enclosed: bool,
    /// In the first stage, ψ predicts the step until ψ ≤ 0 with f' ≥ 0 has been seen.
    first_stage: bool,
    /// Where the next step may lie.
    interval: (f64, f64),
    /// Widths of the interval, now and a step ago.
    widths: (f64, f64),
    largest: f64,
    step: f64,
}

impl LineSearch {
    /// A search from f(0) and f'(0) < 0 whose first trial is at `step`, with no step larger than `largest`.
    pub(super) fn new(value: f64, slope: f64, step: f64, largest: f64) -> Self {
        let start = Trial { step: 0.0, value, slope };
        Self {
            start,
            best: start,
            other: start,
            enclosed: false,
            first_stage: true,
            interval: (0.0, step + EXTRAPOLATION.1 * step),
            widths: (largest, 2.0 * largest),
            largest,
            step,
        }
    }

    /// Takes in what was found at the last step.
    pub(super) fn advance(&mut self, value: f64, slope: f64) -> Next {
        if !(value.is_finite() && slope.is_finite()) {
            return self.back_off();
        }
        let trial = Trial { step: self.step, value, slope };
        let tilt = SUFFICIENT_DECREASE * self.start.slope;
        let decreased = value <= self.start.value + trial.step * tilt;
        if self.first_stage && decreased && slope >= 0.0 {
            self.first_stage = false;
        }
        if self.is_exhausted(trial.step)
            || trial.step == self.largest && decreased && slope <= tilt
            || trial.step == 0.0 && (!decreased || slope >= tilt)
            || decreased && slope.abs() <= -CURVATURE * self.start.slope
        {
            return Next::Accept;
        }
        let predicted = if self.first_stage && value <= self.best.value && !decreased {
            let tilted = [self.best, self.other, trial].map(|trial| trial.tilted(tilt));
            self.predict(tilted, trial)
        } else {
            self.predict([self.best, self.other, trial], trial)
        };
        self.bound_next(predicted)
    }

    /// A value that is no number ends the range of steps before it.
    fn back_off(&mut self) -> Next {
        let middle = self.best.step + (self.step - self.best.step) / 2.0;
        if self.step > self.best.step {
            self.largest = middle;
            self.interval.1 = self.interval.1.min(middle);
        }
        self.step = middle;
        Next::Try(middle)
    }

    /// Whether the interval leaves no room for a better step.
    fn is_exhausted(&self, step: f64) -> bool {
        let (low, high) = self.interval;
        self.enclosed && (step <= low || step >= high || high - low <= INTERVAL * high)
    }

    /// Predicts the next step from trials of f or ψ, and moves the ends of the interval.
    fn predict(&mut self, [best, other, trial]: [Trial; 3], untilted: Trial) -> f64 {
        let Predicted { step, encloses } = predict(best, other, trial, self.enclosed, self.interval);
        if trial.value > best.value {
            self.other = untilted;
        } else {
            if trial.slope * best.slope.signum() < 0.0 {
                self.other = self.best;
            }
            self.best = untilted;
        }
        self.enclosed |= encloses;
        step
    }

    fn bound_next(&mut self, predicted: f64) -> Next {
        let mut step = predicted;
        let (best, other) = (self.best.step, self.other.step);
        if self.enclosed {
            let width = (other - best).abs();
            if width >= SHRINKAGE * self.widths.1 {
                step = best + (other - best) / 2.0;
            }
            self.widths = (width, self.widths.0);
            self.interval = (best.min(other), best.max(other));
        } else {
            // `best` is the step just tried, `step` the predicted one beyond it.
            self.interval = (step + EXTRAPOLATION.0 * (step - best), step + EXTRAPOLATION.1 * (step - best));
        }
        step = step.clamp(0.0, self.largest);
        if self.is_exhausted(step) {
            step = best;
        }
        self.step = step;
        if step.is_finite() { Next::Try(step) } else { Next::GiveUp }
    }
}

struct Predicted {
    step: f64,
    /// Whether the trials enclose a minimiser.
    encloses: bool,
}

/// The four cases of Moré and Thuente, section 4.
fn predict(best: Trial, other: Trial, trial: Trial, enclosed: bool, interval: (f64, f64)) -> Predicted {
    let limit = if trial.step > best.step { interval.1 } else { interval.0 };
    let nearer = |from: f64, a: f64, b: f64| if (a - from).abs() < (b - from).abs() { a } else { b };
    let farther = |from: f64, a: f64, b: f64| if (a - from).abs() > (b - from).abs() { a } else { b };
    if trial.value > best.value {
        // A higher value.
        let cubic = cubic_minimum(best, trial);
        let quadratic = quadratic_minimum(best, trial);
        let mean = cubic + (quadratic - cubic) / 2.0;
        let step = if (cubic - best.step).abs() < (quadratic - best.step).abs() { cubic } else { mean };
        return Predicted { step, encloses: true };
    }
    if trial.slope * best.slope.signum() < 0.0 {
        // A lower value and a slope of the other sign.
        let step = farther(trial.step, cubic_minimum(trial, best), secant_zero(best, trial));
        return Predicted { step, encloses: true };
    }
    let step = if trial.slope.abs() < best.slope.abs() {
        // A lower value and a smaller slope of the same sign.
        let (cubic, secant) = (cubic_beyond(best, trial).unwrap_or(limit), secant_zero(best, trial));
        if enclosed {
            let step = nearer(trial.step, cubic, secant);
            let most = trial.step + SHRINKAGE * (other.step - trial.step);
            if trial.step > best.step { step.min(most) } else { step.max(most) }
        } else {
            farther(trial.step, cubic, secant).min(interval.1).max(interval.0)
        }
    } else if enclosed {
        // A lower value and a slope that does not decrease.
        cubic_minimum(trial, other)
    } else {
        limit
    };
    Predicted { step, encloses: false }
}

/// θ and γ of the cubic through the values and slopes at `from` and `to`, γ with the sign of the way.
fn cubic_terms(from: Trial, to: Trial) -> (f64, f64) {
    let theta = 3.0 * (from.value - to.value) / (to.step - from.step) + from.slope + to.slope;
    let scale = theta.abs().max(from.slope.abs()).max(to.slope.abs());
    let root = ((theta / scale).powi(2) - (from.slope / scale) * (to.slope / scale)).max(0.0).sqrt() * scale;
    (theta, if to.step < from.step { -root } else { root })
}

/// The minimiser of the cubic through the values and slopes at two steps.
fn cubic_minimum(from: Trial, to: Trial) -> f64 {
    let (theta, gamma) = cubic_terms(from, to);
    let ratio = ((gamma - from.slope) + theta) / (((gamma - from.slope) + gamma) + to.slope);
    from.step + ratio * (to.step - from.step)
}

/// The minimiser of the cubic where it lies beyond `trial`, seen from `best`.
fn cubic_beyond(best: Trial, trial: Trial) -> Option<f64> {
    let (theta, gamma) = cubic_terms(trial, best);
    let ratio = ((gamma - trial.slope) + theta) / ((gamma + (best.slope - trial.slope)) + gamma);
    (ratio < 0.0 && gamma != 0.0).then_some(trial.step + ratio * (best.step - trial.step))
}

/// The minimiser of the parabola through the values at two steps and the slope at the first.
fn quadratic_minimum(from: Trial, to: Trial) -> f64 {
    let secant = (from.value - to.value) / (to.step - from.step);
    from.step + from.slope / (secant + from.slope) / 2.0 * (to.step - from.step)
}

/// Where the slope is zero by linear interpolation.
fn secant_zero(best: Trial, trial: Trial) -> f64 {
    trial.step + trial.slope / (trial.slope - best.slope) * (best.step - trial.step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(f: impl Fn(f64) -> (f64, f64), largest: f64) -> (f64, usize) {
        let (value, slope) = f(0.0);
        let mut line_search = LineSearch::new(value, slope, 1.0, largest);
        let mut step = 1.0;
        for evaluations in 1..=20 {
            let (value, slope) = f(step);
            match line_search.advance(value, slope) {
                Next::Accept => return (step, evaluations),
                Next::Try(next) => step = next,
                Next::GiveUp => break,
            }
        }
        panic!("not found")
    }

    #[test]
    fn strong_wolfe_conditions_hold_at_the_step() {
        for scale in [1e-3, 0.1, 1.0, 10.0, 1e3] {
            let f = |a: f64| {
                ((a / scale - 1.0).powi(4) + 0.1 * (a / scale), (4.0 * (a / scale - 1.0).powi(3) + 0.1) / scale)
            };
            let (step, _) = search(f, 1e10);
            let ((v0, s0), (v, s)) = (f(0.0), f(step));
            assert!(v <= v0 + SUFFICIENT_DECREASE * step * s0 && s.abs() <= CURVATURE * s0.abs(), "{scale}: {step}");
        }
    }

    #[test]
    fn a_function_that_falls_faster_and_faster_ends_at_the_largest_step() {
        assert_eq!(search(|a| (-a - a * a, -1.0 - 2.0 * a), 37.0).0, 37.0);
    }

    #[test]
    fn values_that_are_no_numbers_are_backed_off_from() {
        let f = |a: f64| if a > 0.3 { (f64::NAN, f64::NAN) } else { (-a, -1.0) };
        let (step, _) = search(f, 1e10);
        assert!(step <= 0.3 && step > 0.1, "{step}");
    }
}
