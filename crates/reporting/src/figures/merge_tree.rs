//! The minima of a sampled surface and how high one has to climb from each to a lower one.

use basin_records::Surface;

use super::loss_surface::grid;
use crate::chart::axes::{Axes, Axis};
use crate::chart::drawing::Drawing;
use crate::chart::legend::{self, Key};
use crate::chart::palette::{INK, Marker};
use crate::chart::scale::{Scale, Tick};
use crate::chart::series;
use crate::checkpoints::short_words;
use crate::collection::{Collection, Measured};
use crate::figure::{Figure, Numbers, numbered, settings};
use crate::landscape::Grid;
use crate::number;
use crate::topology::{MergeTree, Minimum};

/// Branches that are drawn at most, the most persistent ones.
const DRAWN: usize = 12;

/// A tree of each surface that has more than one minimum.
pub(crate) fn figures(collection: &Collection) -> Vec<Figure> {
    let surfaces = collection.surfaces();
    let of = |(index, measured): (usize, &Measured<'_, Surface>)| {
        figure(&format!("{}-minima", numbered("surface", index, surfaces.len())), measured)
    };
    surfaces.iter().enumerate().filter_map(of).collect()
}

fn figure(stem: &str, measured: &Measured<'_, Surface>) -> Option<Figure> {
    let surface = measured.result;
    let grid = grid(surface, &surface.train_loss, 1)?;
    let tree = MergeTree::of(&grid);
    if tree.minima.len() < 2 {
        return None;
    }
    let drawn = &tree.minima[..tree.minima.len().min(DRAWN)];
    let left_out = match tree.minima.len() - drawn.len() {
        0 => String::new(),
        1 => " One that lasts less is not drawn.".into(),
        more => format!(" {more} that last less are not drawn."),
    };
    let missing = match tree.missing {
        0 => String::new(),
        missing => format!(" {} without a finite loss are no part of it.", number::plural(missing, "point")),
    };
    let places: Vec<String> = drawn.iter().enumerate().map(|(i, minimum)| described(i, minimum, &grid)).collect();
    let named = |axis: &basin_records::surface::Axis| short_words(&axis.name);
    Some(Figure {
        stem: stem.to_owned(),
        title: "The minima of the loss over a plane and the barriers between them".into(),
        caption: format!(
            "Merge tree of the training loss on the plane along {} and {}, on {} × {} points joined with their eight \
             neighbours: each minimum rises to the saddle where it meets a lower one. Nothing is smoothed. Minima at (x, y): \
             {}.{left_out}{missing}{}",
            named(&surface.x),
            named(&surface.y),
            grid.x().len(),
            grid.y().len(),
            number::enumerate(&places),
            settings([measured.provenance]),
        ),
        drawing: draw(drawn, measured.provenance.loss.as_deref()),
        numbers: numbers(&tree, &grid).of_records([measured.file]),
    })
}

fn described(index: usize, minimum: &Minimum, grid: &Grid) -> String {
    let (column, row) = minimum.at;
    let [x, y] = [grid.x()[column], grid.y()[row]].map(number::significant);
    format!("{} at ({x}, {y})", index + 1)
}

/// The branches from left to right: each right of the one that it joins, those that join it lower nearer to it.
fn order(minima: &[Minimum]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(minima.len());
    for (index, minimum) in minima.iter().enumerate() {
        let into = minimum.saddle.and_then(|saddle| minima.iter().position(|other| other.at == saddle.into));
        let after = into.and_then(|into| order.iter().position(|&placed| placed == into));
        order.insert(after.map_or(order.len(), |after| after + 1), index);
    }
    order
}

fn draw(minima: &[Minimum], loss: Option<&str>) -> Drawing {
    let key = |words: &str, marker| Key { words: words.into(), color: INK, line: None, marker: Some(marker) };
    let mut drawing = Drawing::default();
    let keys = [key("minimum", (Marker::Circle, true)), key("saddle", (Marker::Diamond, false))];
    let region = legend::draw(&mut drawing, &keys);
    let order = order(minima);
    let across = |index: usize| order.iter().position(|&placed| placed == index).unwrap_or_default() as f64;
    let ticks = order
        .iter()
        .enumerate()
        .map(|(place, index)| Tick { value: place as f64, label: Some((index + 1).to_string()) });
    let x = Axis::new("minimum", Scale::between(-0.5, minima.len() as f64 - 0.5)).with_ticks(ticks.collect());
    let heights = minima.iter().flat_map(|minimum| [Some(minimum.value), minimum.saddle.map(|saddle| saddle.value)]);
    let y = Axis::new(format!("training {}", loss.unwrap_or("loss")), Scale::fitting(heights.flatten()));
    let axes = Axes::draw(&mut drawing, region, &x, &y, None);
    for (index, minimum) in minima.iter().enumerate() {
        let here = across(index);
        let Some(bottom) = axes.point(here, minimum.value) else { continue };
        if let Some(saddle) = minimum.saddle {
            let into = minima.iter().position(|other| other.at == saddle.into).map_or(here, across);
            if let (Some(top), Some(joined)) = (axes.point(here, saddle.value), axes.point(into, saddle.value)) {
                drawing.path(vec![bottom, top, joined], INK, 4);
                series::marker(&mut drawing, joined, Marker::Diamond, INK, false);
            }
        } else {
            // What never ends goes on to the top of the plot.
            drawing.path(vec![bottom, (bottom.0, axes.inside.top)], INK, 4);
        }
    }
    for (index, minimum) in minima.iter().enumerate() {
        if let Some(point) = axes.point(across(index), minimum.value) {
            series::marker(&mut drawing, point, Marker::Circle, INK, true);
        }
    }
    drawing
}

fn numbers(tree: &MergeTree, grid: &Grid) -> Numbers {
    let header =
        ["minimum", "x", "y", "loss", "persistence", "saddle_x", "saddle_y", "saddle_loss", "into_x", "into_y"];
    let mut numbers = Numbers::new(&header);
    for (index, minimum) in tree.minima.iter().enumerate() {
        let place = |(column, row): (usize, usize)| [grid.x()[column], grid.y()[row]].map(|at| at.to_string());
        let nowhere = || [String::new(), String::new()];
        let mut row = vec![(index + 1).to_string()];
        row.extend(place(minimum.at));
        row.extend([minimum.value.to_string(), minimum.persistence().to_string()]);
        row.extend(minimum.saddle.map_or_else(nowhere, |saddle| place(saddle.at)));
        row.push(minimum.saddle.map_or_else(String::new, |saddle| saddle.value.to_string()));
        row.extend(minimum.saddle.map_or_else(nowhere, |saddle| place(saddle.into)));
        numbers.push(row);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::order;
    use crate::landscape::Grid;
    use crate::topology::MergeTree;

    #[test]
    fn branches_stand_beside_the_one_that_they_join() {
        // Along a valley: 0, over 9 to 1, over 3 to 2; the last joins the second, which joins the first.
        let row = [0.0, 9.0, 1.0, 3.0, 2.0];
        let values = row.iter().chain(&[99.0; 5]).copied().collect();
        let grid = Grid::new((0..5).map(f64::from).collect(), vec![0.0, 1.0], values).expect("a grid");
        let tree = MergeTree::of(&grid);
        let columns: Vec<usize> = order(&tree.minima).into_iter().map(|index| tree.minima[index].at.0).collect();
        assert_eq!(columns, [0, 2, 4]);
    }
}
