//! The figures, one file each: from records to the figure's data, from there to a drawing.

use crate::collection::Collection;
use crate::figure::Figure;

mod batch_densities;
mod batch_eigenvalues;
mod batch_learning_rates;
mod batch_size_axis;
mod by_swept_value;
mod connection;
mod curves_of_seeds;
mod densities_side_by_side;
mod density_curve;
mod eigenvalues;
mod loss_surface;
mod measures_of_minima;
mod merge_tree;
mod minima_by_batch_size;
mod minima_by_variant;
mod observed_along_training;
mod observed_by_batch_size;
mod observed_by_layer;
mod panels;
mod parametric_line;
mod places;
mod profile;
mod ratio_map;
mod sharpness_against_loss;
mod sharpness_along_training;
mod spectral_density;
mod spectrum;
mod training_curves;
mod trajectory;

pub(crate) use by_swept_value::findings as findings_by_swept_value;
pub(crate) use eigenvalues::title_of;
pub(crate) use observed_along_training::findings as findings_at_the_edge;
pub(crate) use observed_by_batch_size::findings as findings_by_batch_size;
pub(crate) use observed_by_layer::findings as findings_by_layer;

/// Every figure that the records suffice for.
pub(crate) fn all(collection: &Collection) -> Vec<Figure> {
    let mut figures = Vec::new();
    figures.extend(measures_of_minima::figures(collection));
    figures.extend(sharpness_against_loss::figures(collection));
    figures.extend(minima_by_variant::figure(collection));
    figures.extend(by_swept_value::figures(collection));
    figures.extend(training_curves::figure(collection));
    figures.extend(sharpness_along_training::figure(collection));
    figures.extend(minima_by_batch_size::figure(collection));
    figures.extend(observed_along_training::figures(collection));
    figures.extend(observed_by_batch_size::figures(collection));
    figures.extend(observed_by_layer::figures(collection));
    figures.extend(parametric_line::figures(collection));
    figures.extend(profile::figures(collection));
    figures.extend(connection::figures(collection));
    figures.extend(loss_surface::figures(collection));
    figures.extend(merge_tree::figures(collection));
    figures.extend(trajectory::figures(collection));
    figures.extend(ratio_map::figures(collection));
    figures.extend(eigenvalues::figures(collection));
    figures.extend(spectrum::figures(collection));
    figures.extend(densities_side_by_side::figures(collection));
    figures.extend(spectral_density::figures(collection));
    figures.extend(batch_eigenvalues::figures(collection));
    figures.extend(batch_learning_rates::figures(collection));
    figures.extend(batch_densities::figures(collection));
    figures
}
