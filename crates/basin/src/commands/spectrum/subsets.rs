//! The same figures on parts of the data, which show how many samples are enough.

use basin_objective::Objective;
use basin_records::spectrum::{Spread, Subsets};
use basin_sharpness::lanczos::Lanczos;
use basin_sharpness::{Curvature, disjoint_subsets, trace};

use super::request::Request;
use crate::arguments::Common;
use crate::interruption;
use crate::progress::Progress;
use crate::subject::Subject;

/// λ_max, and the trace where it is asked for, on `count` disjoint random subsets.
pub(super) fn measure(subject: &Subject, common: &Common, request: &Request, count: usize) -> anyhow::Result<Subsets> {
    let subsets = disjoint_subsets(subject.data.samples(), count, common.seed)?;
    let samples = subsets.first().map_or(0, Vec::len) as u64;
    let lanczos = Lanczos { top: 1, bottom: 0, ..request.lanczos.clone().unwrap_or_default() };
    let mut progress = Progress::new(format!("subsets {}", subject.path.display()), count as u64, common.machine.quiet);
    let (mut largest, mut traces, mut converged) = (Vec::new(), Vec::new(), true);
    for (index, positions) in subsets.iter().enumerate() {
        let data = subject.data.select(positions)?;
        let network = subject.network_on(&data)?;
        let curvature = Curvature::new(&network as &dyn Objective, &subject.theta, request.matrix)?;
        request.with_operator(&curvature, |operator| {
            let found = lanczos.extremes(operator, |_| interruption::check())?;
            converged &= found.eigenvalues.iter().all(|eigenvalue| eigenvalue.converged);
            largest.extend(found.eigenvalues.iter().map(|eigenvalue| eigenvalue.value));
            if let Some(method) = request.trace {
                let found = trace(operator, method, request.precision, |_| interruption::check())?;
                converged &= found.stop.converged();
                traces.push(found.value);
            }
            Ok(())
        })?;
        progress.set(index as u64 + 1, format!("{} of {count}", index + 1));
    }
    let trace = request.trace.map(|_| Spread::of(traces));
    Ok(Subsets { samples, lambda_max: Spread::of(largest), trace, converged })
}
