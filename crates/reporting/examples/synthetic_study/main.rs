//! Makes a study directory from invented but plausible records and draws it, to look at the figures without training.
//!
//! `cargo run -p basin-reporting --example synthetic_study -- DIR`

use std::error::Error;
use std::path::PathBuf;

mod records;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which directory?")?;
    records::write_records(&directory)?;
    for path in basin_reporting::draw(&directory)? {
        println!("{}", path.display());
    }
    Ok(())
}
