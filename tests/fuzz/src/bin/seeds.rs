//! Writes the seeds of every target to `corpus/TARGET`, where `cargo fuzz` begins.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    for target in &basin_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
        fs::create_dir_all(&folder)?;
        for (number, seed) in basin_fuzz::of(target.name).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
