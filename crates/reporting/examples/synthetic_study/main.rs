//! Makes study directories from invented but plausible records and draws them, to look at the figures without training: `DIR`
//! with two batch sizes, `DIR/variants` and `DIR/warm-starts` with runs that differ in more.
//!
//! `cargo run -p basin-reporting --example synthetic_study -- DIR`

use std::error::Error;
use std::path::PathBuf;

mod records;
mod variants;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which directory?")?;
    let [of_variants, of_warm_starts] = ["variants", "warm-starts"].map(|name| directory.join(name));
    records::write_records(&directory)?;
    variants::write_variants(&of_variants)?;
    variants::write_warm_starts(&of_warm_starts)?;
    for path in [directory, of_variants, of_warm_starts] {
        for written in basin_reporting::draw(&path)? {
            println!("{}", written.display());
        }
    }
    Ok(())
}
