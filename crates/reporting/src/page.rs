//! The page: one HTML file that needs nothing but itself.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use crate::background::{self, Entry};
use crate::collection::Collection;
use crate::error::Result;
use crate::figure::{Figure, Table};
use crate::findings::{self, Findings};

static TEMPLATE: &str = include_str!("../assets/page.html");

/// Everything that the template shows.
#[derive(Serialize)]
struct Page<'a> {
    title: &'a str,
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
    sources: Vec<[String; 4]>,
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
    svg: &'a str,
}

#[derive(Serialize)]
struct Tabled<'a> {
    stem: &'a str,
    title: &'a str,
    caption: &'a str,
    header: &'a [String],
    rows: &'a [Vec<String>],
}

/// Puts the page together; every figure comes with its SVG.
pub(crate) fn html(collection: &Collection, figures: &[(Figure, String)], tables: &[Table]) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("page", TEMPLATE)?;
    let study = collection.study().map(|(_, study)| study);
    let drawn: Vec<Drawn<'_>> = figures
        .iter()
        .map(|(figure, svg)| Drawn { stem: &figure.stem, title: &figure.title, caption: &figure.caption, svg })
        .collect();
    let tabled: Vec<Tabled<'_>> = tables
        .iter()
        .map(|table| Tabled {
            stem: &table.stem,
            title: &table.title,
            caption: &table.caption,
            header: &table.header,
            rows: &table.rows,
        })
        .collect();
    let page = Page {
        title: study.and_then(|study| study.title.as_deref()).unwrap_or("Sharpness of minima"),
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
