//! Setters and checks for the options of drivers.

use crate::error::{Operation, Result, StoreError, StoreErrorKind};

/// Checks the options of a driver that opens. A rule is whether an option is valid, and the error's text if not.
///
/// # Errors
/// `Misconfigured` for the first rule that does not hold.
pub fn check_options(rules: &[(bool, &str)]) -> Result<()> {
    match rules.iter().find(|(holds, _)| !holds) {
        Some((_, wrong)) => {
            Err(StoreError::new(StoreErrorKind::Misconfigured, Operation::Open).with_detail(*wrong))
        }
        None => Ok(()),
    }
}

/// Writes a builder's setters: each takes `self` and one value, and returns the changed options.
///
/// An entry is the documentation, the field's name and the type of the argument, with a conversion if the field has
/// another type.
///
/// ```
/// #[derive(Default)]
/// struct MyConfig {
///     path: String,
///     max_bytes: Option<u64>,
/// }
///
/// impl MyConfig {
///     session_core::setters! {
///         /// The path of the store.
///         path: impl Into<String> => path.into(),
///         /// The largest size of the store, in bytes.
///         max_bytes: u64 => Some(max_bytes),
///     }
/// }
///
/// let config = MyConfig::default().path("sessions").max_bytes(1 << 20);
/// assert_eq!((config.path.as_str(), config.max_bytes), ("sessions", Some(1 << 20)));
/// ```
#[macro_export]
macro_rules! setters {
    ($($(#[$attribute:meta])* $name:ident: $type:ty $(=> $value:expr)?,)*) => { $(
        $(#[$attribute])*
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $crate::setters!(@value $name $($value)?);
            self
        }
    )* };
    (@value $name:ident) => { $name };
    (@value $name:ident $value:expr) => { $value };
}

/// Writes the conversions from a path for options that have `new(path)`, and with the crate's feature `serde` the
/// function `without_path`, whose values serde uses for missing options. A list of types names others to convert from.
#[macro_export]
macro_rules! from_path {
    ($config:ty) => {
        #[cfg(feature = "serde")]
        impl $config {
            fn without_path() -> Self {
                Self::new("")
            }
        }
        $crate::from_path!($config: &str, &::std::path::Path, ::std::path::PathBuf);
    };
    ($config:ty: $($path:ty),*) => { $(
        impl From<$path> for $config {
            fn from(path: $path) -> Self {
                Self::new(path)
            }
        }
    )* };
}
