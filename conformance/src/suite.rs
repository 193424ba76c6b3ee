//! The line by which a driver's tests get one `#[test]` per clause.

/// Where a suite is, so that a failure can say how to run it again. `suite!` fills it in.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The package of the tests.
    pub package: &'static str,
    /// Its version, which is the driver's in the matrix.
    pub version: &'static str,
    /// The test target, the name of the file in `tests/`.
    pub target: &'static str,
    /// The module of `suite!`, beginning with the target.
    pub module: &'static str,
    /// Cargo's directory for the files of integration tests. The result files go next to it.
    pub scratch: &'static str,
}

/// One named `#[test]` per clause, for one driver. Use it in a file of `tests/`.
///
/// ```text
/// session_conformance::suite!(Memory, lacks: [IN_MEMORY]);
///
/// session_conformance::suite!(
///     Files::new(),
///     lacks: { Purge: "the engine cannot list by deadline" },
///     known: { B09: "https://example.org/issues/7" },
/// );
/// ```
///
/// `lacks` names each [`Requirement`](crate::Requirement) that the driver does not meet, with the reason that the test
/// runner shows for the ignored tests. Clause B01 compares the list with what the driver claims. Presets come first, in
/// square brackets:
///
/// | preset | requirements that it declares as lacked |
/// |---|---|
/// | `VOLATILE` | `Close`, `Kill`, `PowerLoss`, `Processes` |
/// | `IN_MEMORY` | those, and `Damage`, `Checksum`, `Index`, `Outage`, `Permission`, `Files` |
/// | `UNBOUNDED` | `ValueBound`, `Full` |
///
/// `known` names clauses that the driver is known to fail: their tests pass while they fail, and fail once they pass.
#[macro_export]
macro_rules! suite {
    (
        $harness:expr
        $(, lacks: $([$($preset:ident),* $(,)?])? $({ $($need:ident : $reason:literal),* $(,)? })?)?
        $(, known: { $($id:ident : $link:literal),* $(,)? })?
        $(,)?
    ) => {
        $crate::__lacks! {
            [$($($($preset)*)?)?] [$($($($need : $reason,)*)?)?] ($) [$harness] [$($($id : $link,)*)?]
        }
    };
}

// Replaces each preset by the requirements that it stands for.
#[doc(hidden)]
#[macro_export]
macro_rules! __lacks {
    ([VOLATILE $($preset:ident)*] [$($lack:tt)*] $($rest:tt)*) => {
        $crate::__lacks! {
            [$($preset)*]
            [
                $($lack)*
                Close: "the data goes with the process",
                Kill: "the data goes with the process",
                PowerLoss: "the data goes with the process",
                Processes: "the memory of a process is its own",
            ]
            $($rest)*
        }
    };
    ([IN_MEMORY $($preset:ident)*] [$($lack:tt)*] $($rest:tt)*) => {
        $crate::__lacks! {
            [VOLATILE $($preset)*]
            [
                $($lack)*
                Damage: "only the driver can reach its memory",
                Checksum: "only the driver can reach its memory",
                Index: "only the driver can reach its memory",
                Outage: "the memory of a process lives as long as the process",
                Permission: "a process cannot lose the right to its memory",
                Files: "the store has no files",
            ]
            $($rest)*
        }
    };
    ([UNBOUNDED $($preset:ident)*] [$($lack:tt)*] $($rest:tt)*) => {
        $crate::__lacks! {
            [$($preset)*]
            [
                $($lack)*
                ValueBound: "only memory bounds a value",
                Full: "only memory bounds the store",
            ]
            $($rest)*
        }
    };
    ([] [$($lack:tt)*] ($d:tt) $harness:tt $known:tt) => {
        $crate::__suite! { ($d) $harness [$($lack)*] $known }
    };
}

// The dollar sign is an argument, so that this macro can write a macro with variables of its own. That inner macro has
// one arm per requirement that is lacked, because `#[ignore]` needs its reason as a literal.
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
            ($d($d id:ident $d name:ident $d level:ident $d needs:tt $d mutants:tt;)*) => {
                $d(__conformance_test! { $d needs $d name })*
            };
        }
        $crate::__clauses! { __conformance_tests }
    };
}
