//! Floats in JSON, where NaN and the infinities are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`.
//!
//! Use as `#[serde(with = "basin_records::float")]` on an `f64`, and the modules below on what holds several.
//!
//! ```
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Point {
//!     #[serde(with = "basin_records::float")]
//!     loss: f64,
//! }
//! let text = serde_json::to_string(&Point { loss: f64::NAN })?;
//! assert_eq!(text, r#"{"loss":"NaN"}"#);
//! assert!(serde_json::from_str::<Point>(&text)?.loss.is_nan());
//! # Ok::<(), serde_json::Error>(())
//! ```

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NAN: &str = "NaN";
const INFINITY: &str = "Infinity";
const NEGATIVE_INFINITY: &str = "-Infinity";

/// Writes a number, or its name where JSON has no number for it.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_nan() {
        serializer.serialize_str(NAN)
    } else if value.is_infinite() {
        serializer.serialize_str(if *value > 0.0 { INFINITY } else { NEGATIVE_INFINITY })
    } else {
        serializer.serialize_f64(*value)
    }
}

/// Reads what [`serialize`] writes.
///
/// # Errors
/// When the value is neither a number nor one of the three names.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(FloatVisitor)
}

struct FloatVisitor;

impl Visitor<'_> for FloatVisitor {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number, \"{NAN}\", \"{INFINITY}\" or \"{NEGATIVE_INFINITY}\"")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
        match text {
            NAN => Ok(f64::NAN),
            INFINITY => Ok(f64::INFINITY),
            NEGATIVE_INFINITY => Ok(f64::NEG_INFINITY),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }
}

/// One float as an element of something larger.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Float(#[serde(with = "self")] f64);

/// For `Option<f64>`; pair it with `#[serde(default)]`.
pub mod optional {
    use super::{Deserialize, Deserializer, Float, Serialize, Serializer};

    /// Writes `null` for none, else as [`super::serialize`].
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Float).serialize(serializer)
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// When the value is no float.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<Float>::deserialize(deserializer)?.map(|float| float.0))
    }
}

/// For `Vec<f64>`.
pub mod list {
    use super::{Deserialize, Deserializer, Float, Serializer};

    /// Writes every element as [`super::serialize`] does.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|&value| Float(value)))
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// When an element is no float.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        Ok(Vec::<Float>::deserialize(deserializer)?.into_iter().map(|float| float.0).collect())
    }
}

/// For `Vec<Vec<f64>>`.
pub mod rows {
    use super::{Deserialize, Deserializer, Float, Serializer};

    /// Writes every element as [`super::serialize`] does.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(rows: &[Vec<f64>], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(rows.iter().map(|row| row.iter().map(|&value| Float(value)).collect::<Vec<_>>()))
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// When an element is no float.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<f64>>, D::Error> {
        let rows = Vec::<Vec<Float>>::deserialize(deserializer)?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(|float| float.0).collect()).collect())
    }
}

/// For `BTreeMap<String, f64>`.
pub mod map {
    use std::collections::BTreeMap;

    use super::{Deserialize, Deserializer, Float, Serializer};

    /// Writes every value as [`super::serialize`] does.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(values: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(values.iter().map(|(name, &value)| (name, Float(value))))
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// When a value is no float.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
        let values = BTreeMap::<String, Float>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|(name, float)| (name, float.0)).collect())
    }
}
