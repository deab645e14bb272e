//! A path as a table.

use basin_records::connection::{Connection, Profile};
use basin_records::{Outcome, Record};

use crate::commands::line;
use crate::table::{number, percent, table};

pub(super) fn text(record: &Record) -> String {
    let Outcome::Connection(connection) = &record.outcome else { return String::new() };
    let Connection { curve, line, .. } = connection.as_ref();
    let at = |values: &[f64], i: usize| values.get(i).copied();
    let rows = connection.t.iter().enumerate().map(|(i, t)| {
        let along = [curve, line].map(|profile| {
            [
                number(at(&profile.train_loss, i)),
                percent(at(&profile.train_accuracy, i)),
                number(at(&profile.test_loss, i)),
                percent(at(&profile.test_accuracy, i)),
            ]
        });
        [vec![format!("{t:.3}"), number(at(&connection.arclength, i))], along.concat()].concat()
    });
    let head = [
        "t",
        "arclength",
        "curve: train loss",
        "train accuracy",
        "test loss",
        "test accuracy",
        "line: train loss",
        "train accuracy",
        "test loss",
        "test accuracy",
    ];
    let bends = match connection.bends {
        1 => "1 bend".to_owned(),
        bends => format!("{bends} bends"),
    };
    format!(
        "from {} (t = 0) to {} (t = 1), {} apart, {} on the {} of {bends}{}\n{}{}{}",
        connection.from.checkpoint.path,
        connection.to.checkpoint.path,
        number(connection.distance),
        number(connection.arclength.last().copied()),
        connection.shape,
        connection.alignment.as_ref().map_or_else(String::new, line::aligned),
        table(&head, rows.collect()),
        barriers("curve", curve),
        barriers("straight line", line),
    )
}

/// A line of text on each barrier of a profile.
fn barriers(path: &str, profile: &Profile) -> String {
    profile.barriers.iter().map(|barrier| format!("\n{path}: {}", line::barrier(barrier, 't'))).collect()
}
