//! The page: one HTML file that needs nothing but itself.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::background::{self, Entry, Source};
use crate::chart::drawing::WIDTH;
use crate::collection::Collection;
use crate::error::{Error, Result};
use crate::figure::{Cell, Figure, Numbers, Table};
use crate::findings::{self, Findings};
use crate::{comparison, number};

static TEMPLATE: &str = include_str!("../assets/page.html");
static STYLE: &str = include_str!("../assets/page.css");
/// What every page does: its look, its tables, the values in its figures.
static SCRIPTS: [&str; 3] =
    [include_str!("../assets/look.js"), include_str!("../assets/sort.js"), include_str!("../assets/readings.js")];
/// Turns surfaces; in pages that have one.
static SURFACES: &str = include_str!("../assets/surface.js");

/// Everything that the template shows.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
    style: &'a str,
    scripts: Vec<&'a str>,
    /// What is shown, where that is not told by batch sizes.
    lead: Option<String>,
    runs: usize,
    batch_sizes: Vec<u64>,
    swept: Option<&'a str>,
    /// How many there are.
    ways: usize,
    findings: Vec<Findings>,
    published: &'a [String],
    cautions: Vec<String>,
    held_equal: Vec<Entry>,
    variants: Vec<Entry>,
    provenance: Vec<Entry>,
    sources: Vec<Source>,
    figures: Vec<Drawn<'a>>,
    tables: Vec<Tabled<'a>>,
}

/// A figure as the template sees it.
#[derive(Serialize)]
struct Drawn<'a> {
    stem: &'a str,
    title: &'a str,
    caption: &'a str,
    /// Our own drawing; words from records in it were escaped when it was painted.
    svg: String,
    /// The same as values, in JSON.
    readings: String,
    records: Vec<Link>,
    /// Whether it is the first of several of its kind, which stand side by side from a new row on.
    is_first: bool,
}

#[derive(Serialize)]
struct Tabled<'a> {
    stem: &'a str,
    title: &'a str,
    caption: &'a str,
    records: Vec<Link>,
    header: &'a [String],
    rows: &'a [Vec<Cell>],
}

/// A record beside the page.
#[derive(Serialize)]
struct Link {
    address: String,
    words: String,
}

/// Puts the page together; every figure comes with its SVG.
pub(crate) fn html(collection: &Collection, figures: &[(Figure, String)], tables: &[Table]) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("page", TEMPLATE)?;
    let study = collection.study().map(|(_, study)| study);
    let drawn = figures.iter().map(|(figure, svg)| drawn(figure, svg)).collect::<Result<Vec<_>>>()?;
    let turning = figures.iter().any(|(figure, _)| figure.drawing.marks.turns()).then_some(SURFACES);
    let tabled: Vec<Tabled<'_>> = tables
        .iter()
        .map(|table| Tabled {
            stem: &table.stem,
            title: &table.title,
            caption: &table.caption,
            records: links(&table.numbers),
            header: &table.header,
            rows: &table.rows,
        })
        .collect();
    let compared = comparison::shown(collection);
    let title = if compared.is_empty() { "Sharpness of minima" } else { "Minima side by side" };
    let lead = (!compared.is_empty()).then(|| {
        let names: Vec<String> = compared.iter().flat_map(|compared| compared.names.clone()).collect();
        format!("{} minima: {}.", names.len(), number::enumerate(&names))
    });
    let page = Page {
        title: study.and_then(|study| study.title.as_deref()).unwrap_or(title),
        style: STYLE,
        scripts: SCRIPTS.into_iter().chain(turning).collect(),
        lead,
        runs: study.map_or(0, |study| study.runs.len()),
        batch_sizes: collection.groups.batch_sizes(),
        swept: collection.groups.swept(),
        ways: collection.groups.variants().len(),
        findings: findings::all(collection),
        published: study.map(|study| study.published.as_slice()).unwrap_or_default(),
        cautions: background::cautions(collection),
        held_equal: background::held_equal(collection),
        variants: background::variants(collection),
        provenance: background::provenance(collection),
        sources: background::sources(collection),
        figures: drawn,
        tables: tabled,
    };
    Ok(environment.get_template("page")?.render(Serde(&page))?)
}

fn drawn<'a>(figure: &'a Figure, svg: &str) -> Result<Drawn<'a>> {
    let stem = &figure.stem;
    let named = format!("<svg role=\"img\" aria-labelledby=\"{stem}-title\" aria-describedby=\"{stem}-caption\"");
    let readings = figure.drawing.marks.readings(WIDTH, figure.drawing.height);
    let readings = serde_json::to_string(&readings).map_err(|error| Error::figure(stem, error))?;
    Ok(Drawn {
        stem,
        title: &figure.title,
        caption: &figure.caption,
        records: links(&figure.numbers),
        is_first: stem.ends_with("-1") || stem.contains("-1-"),
        svg: svg.replacen("<svg", &named, 1),
        // Words from records must not end the script that this stands in.
        readings: readings.replace('<', "\\u003c"),
    })
}

/// The records of a figure, or all where it does not say which.
fn links(numbers: &Numbers) -> Vec<Link> {
    match numbers.records() {
        [] => vec![Link { address: "#records".into(), words: "records".into() }],
        files => files.iter().map(|file| Link { address: background::address(file), words: file.clone() }).collect(),
    }
}
