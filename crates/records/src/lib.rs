//! The results basin writes and reads: one JSON [`Record`] per result, with the provenance that makes it worth keeping.
//!
//! A record says what was measured ([`Outcome`], one type per kind) and on what, with what and when ([`Provenance`]).
//! Its JSON is flat, versioned by [`SCHEMA`], and survives a round trip bit for bit, NaN and infinities included
//! (JSON has neither, so they are written as strings, see [`float`]).
//!
//! ```
//! use basin_records::{Data, Outcome, Provenance, Record};
//! use basin_records::spectrum::{Eigenvalue, End, Matrix, Spectrum};
//!
//! let largest = Eigenvalue { value: 12.5, residual: 1e-4, converged: true, end: End::Top };
//! let record = Record::new(
//!     Provenance {
//!         data: Some(Data { spec: "digits".into(), split: "train".into(), samples: 1437, blake3: None }),
//!         seed: Some(0),
//!         ..Provenance::now()
//!     },
//!     Outcome::Spectrum(Spectrum::new(Matrix::Hessian, vec![largest])),
//! );
//! let directory = tempfile::tempdir()?;
//! let path = directory.path().join("spectrum.json");
//! record.write(&path)?;
//! assert_eq!(Record::read(&path)?, record);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alignment;
pub mod batch_hessian;
pub mod comparison;
pub mod connection;
mod error;
pub mod file;
pub mod float;
pub mod keskar;
pub mod line;
pub mod lines;
pub mod profile;
mod provenance;
pub mod ratio_map;
mod record;
pub mod sharpness;
pub mod spectrum;
pub mod study;
pub mod surface;
pub mod timestamp;
pub mod training;
pub mod trajectory;

pub use alignment::Alignment;
pub use batch_hessian::BatchHessian;
pub use comparison::Comparison;
pub use connection::Connection;
pub use error::{Error, Place, Problem, Result};
pub use keskar::Keskar;
pub use line::Line;
pub use profile::Profile;
pub use provenance::{Checkpoint, Data, Evaluation, Inputs, Provenance};
pub use ratio_map::RatioMap;
pub use record::{Outcome, Record, SCHEMA};
pub use sharpness::Sharpness;
pub use spectrum::Spectrum;
pub use study::Study;
pub use surface::Surface;
pub use training::Training;
pub use trajectory::Trajectory;
