//! What the numbers say of the smallest against the largest batch size, of variants, of what was observed and of mini-batches, and
//! no more than they say.

use serde::Serialize;

use crate::batch_hessian;
use crate::collection::Collection;
use crate::figures::{findings_at_the_edge, findings_by_batch_size, findings_by_layer, findings_by_swept_value};
use crate::minima::Minima;
use crate::{batch_sizes, comparison, variants};

/// Sentences, and what has to be known to read them.
#[derive(Serialize)]
pub(crate) struct Findings {
    pub(crate) sentences: Vec<String>,
    pub(crate) rule: String,
}

/// Everything that the records suffice to say.
pub(crate) fn all(collection: &Collection) -> Vec<Findings> {
    let groups = &collection.groups;
    let minima = Minima::of(collection);
    let way = minima.first_way().filter(|_| !groups.variants().is_empty());
    let of_one_way = way.map_or_else(String::new, |way| {
        format!(
            " Of sharpness, where it is positive, the logarithms are compared. It is φ, {}; the tables have the other ways to \
             measure it.",
            way.words()
        )
    });
    let of_batch_sizes = Findings {
        sentences: batch_sizes::smallest_against_largest(&minima, groups),
        rule: "A difference is told where the intervals mean ± one standard deviation over seeds do not meet; a few seeds \
               make that weak evidence."
            .into(),
    };
    let of_variants = Findings {
        sentences: variants::against_first(&minima, groups),
        rule: format!(
            "In brackets are 95 % confidence intervals of the difference of the means by Welch, over seeds. A difference is told where its \
             interval leaves out 0, or a factor its 1; of many such intervals one in twenty does so by chance.{of_one_way}"
        ),
    };
    let of_values = Findings {
        sentences: [variants::along_values(&minima, groups), findings_by_swept_value(collection)].concat(),
        rule: format!(
            "Slopes are those of straight lines by least squares over all runs, ± their standard error; a slope is told \
             where it is more than two of them from 0. The curvature of a loss such as cross-entropy fades with it: part of a trend in \
             sharpness is one in loss where that has one.{of_one_way}"
        ),
    };
    let of_observables = Findings {
        sentences: findings_by_batch_size(collection),
        rule:
            "Exponents are fitted by least squares to the logarithms of the means over seeds, ± the standard error of \
               the fit."
                .into(),
    };
    let of_edges = Findings {
        sentences: findings_at_the_edge(collection),
        rule:
            "Means over these epochs of all seeds, ± their standard deviation; at 1 plain descent loses its stability."
                .into(),
    };
    let of_layers = Findings {
        sentences: findings_by_layer(collection),
        rule: "The layers with the smallest and the largest mean over seeds, ± standard deviation.".into(),
    };
    let of_mini_batches = Findings {
        sentences: batch_hessian::findings(&collection.batch_hessians()),
        rule:
            "Standard errors of mini-batches are over the batches drawn at the same weights; they say nothing of other \
               weights."
                .into(),
    };
    let of_runs = [of_variants, of_values, of_batch_sizes, of_observables, of_edges, of_layers, of_mini_batches];
    comparison::findings(collection)
        .into_iter()
        .chain(of_runs)
        .filter(|findings| !findings.sentences.is_empty())
        .collect()
}
