//! Dancer and Dancer2: the files of their sessions.

use super::yaml;
use crate::{Bounds, Error, Value, json};

/// How the session is serialized (`session` in the configuration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Serializer {
    /// `YAML`: files `ID.yml`.
    #[default]
    Yaml,
    /// `JSON`, of Dancer::Session::JSON and Dancer2::Session::JSON: files `ID.json`.
    Json,
}

/// Reads a file. Dancer stores its session object, whose class arrives with the fields.
///
/// # Errors
/// A kind and the offset of the damage; `TooDeep`, `TooMany`, `TooLarge` beyond the bounds.
pub fn read(file: &[u8], serializer: Serializer, bounds: &Bounds) -> Result<Value, Error> {
    match serializer {
        Serializer::Yaml => yaml::read(file, bounds),
        Serializer::Json => json::read(file, bounds),
    }
}
