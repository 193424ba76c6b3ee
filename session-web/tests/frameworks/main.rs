//! The same programs on axum and on actix-web, over TCP: one description of handlers, two servers, one set of tests.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "tests")]

mod app;
mod browser;
mod on_actix;
mod on_axum;
mod scene;

mod bodies;
mod carried;
mod failures;
mod guards;
mod headers;
mod identity;
mod late;
mod refusals;
mod renewal;
mod values;

/// Runs each function on both frameworks.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod axum {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::scene::Framework::Axum).await;
            })*
        }
        mod actix {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test($crate::scene::Framework::Actix).await;
            })*
        }
    };
}
pub(crate) use on_both;
