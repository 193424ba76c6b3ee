//! Errors of typed reads. They name types and paths, and hold no value: a session may be a secret.

use std::fmt::Display;

use serde::de::{Error as _, Expected, Unexpected};

use crate::Error;

/// Another type was expected.
pub(super) fn found(what: &str, expected: &dyn Expected) -> Error {
    Error::custom(format_args!("expected {expected}, found {what}"))
}

impl serde::de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self::typed(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        found(name(unexpected), expected)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match unexpected {
            Unexpected::Bytes(_) => found("bytes that are not text", expected),
            _ => Self::custom(format_args!(
                "expected {expected}, found {} that does not fit",
                name(unexpected)
            )),
        }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("expected one of {}, found another variant", expected.join(", ")))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(format_args!("expected one of {}, found another field", expected.join(", ")))
    }
}

fn name(unexpected: Unexpected<'_>) -> &'static str {
    match unexpected {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "an integer",
        Unexpected::Float(_) => "a float",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit | Unexpected::Option => "null",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a map",
        Unexpected::Enum
        | Unexpected::UnitVariant
        | Unexpected::NewtypeVariant
        | Unexpected::TupleVariant
        | Unexpected::StructVariant => "a variant",
        _ => "another type",
    }
}
