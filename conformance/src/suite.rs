//! The line by which a driver's tests get one `#[test]` per clause.

/// Where a suite stands, so that a failure can say how to run it again. `suite!` fills it in.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The package whose tests these are.
    pub package: &'static str,
    /// Its version, which is the driver's in the matrix.
    pub version: &'static str,
    /// The test target, the name of the file in `tests/`.
    pub target: &'static str,
    /// The module in which `suite!` stands, beginning with the target.
    pub module: &'static str,
    /// Cargo's directory for the files of integration tests; the result files go next to it.
    pub scratch: &'static str,
}

/// One named `#[test]` per clause, for one driver. It stands in a file of `tests/`.
///
/// ```text
/// session_conformance::suite!(Memory);
///
/// session_conformance::suite!(
///     Files::new(),
///     lacks: { Purge: "the engine cannot list by deadline" },
///     known: { B09: "https://example.org/issues/7" },
/// );
/// ```
///
/// `lacks` names each [`Requirement`](crate::Requirement) that the driver does not meet, with the reason that the test runner shows
/// for the ignored tests; clause B01 compares the list with what the driver claims. `known` names clauses that the
/// driver is known not to keep: their tests pass while they fail, and fail once they pass.
#[macro_export]
macro_rules! suite {
    (
        $harness:expr
        $(, lacks: { $($need:ident : $reason:literal),* $(,)? })?
        $(, known: { $($id:ident : $link:literal),* $(,)? })?
        $(,)?
    ) => {
        $crate::__suite! { ($) [$harness] [$($($need : $reason,)*)?] [$($($id : $link,)*)?] }
    };
}

// The second step has the dollar sign as an argument, so that it can write a macro with variables of its own: that
// one has an arm per declared lack, and so picks the reason of an ignored test as a literal, which `#[ignore]` needs.
#[doc(hidden)]
#[macro_export]
macro_rules! __suite {
    (($d:tt) [$harness:expr] [$($need:ident : $reason:literal,)*] [$($id:ident : $link:literal,)*]) => {
        fn conformance_suite() -> $crate::Suite {
            $crate::Suite::new(
                $harness,
                $crate::Place {
                    package: env!("CARGO_PKG_NAME"),
                    version: env!("CARGO_PKG_VERSION"),
                    target: env!("CARGO_CRATE_NAME"),
                    module: module_path!(),
                    scratch: env!("CARGO_TARGET_TMPDIR"),
                },
                &[$(($crate::Requirement::$need, $reason)),*],
                &[$((stringify!($id), $link)),*],
            )
        }

        macro_rules! __conformance_test {
            $(
                ([$need $d($d rest:tt)*] $d name:ident) => {
                    #[test]
                    #[ignore = $reason]
                    fn $d name() {
                        conformance_suite().run_ignored(stringify!($d name));
                    }
                };
            )*
            ([$d other:tt $d($d rest:tt)*] $d name:ident) => {
                __conformance_test! { [$d($d rest)*] $d name }
            };
            ([] $d name:ident) => {
                #[test]
                fn $d name() {
                    conformance_suite().run(stringify!($d name));
                }
            };
        }
        macro_rules! __conformance_tests {
            ($d($d id:ident $d name:ident $d level:ident $d must:ident $d needs:tt $d mutants:tt $d text:literal;)*) => {
                $d(__conformance_test! { $d needs $d name })*
            };
        }
        $crate::__clauses! { __conformance_tests }
    };
}
