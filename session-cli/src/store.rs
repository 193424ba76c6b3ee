//! Opening the store of an application without disturbing it.

use session_kit::session_core::Driver as _;
use session_kit::{DynDriver, OnCorrupt, Sessions, StoreUrl};

use crate::arguments::Place;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::password::{self, Variable};
use crate::stop::Stop;

/// The things that the verbs need besides their arguments.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) output: Output,
    pub(crate) stop: Stop,
    pub(crate) variable: Variable,
}

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) driver: DynDriver,
    pub(crate) scheme: &'static str,
    user_epochs: bool,
}

impl Store {
    /// Opens a store that exists, or with `create` also one that does not.
    pub(crate) async fn open(place: &Place, create: bool, context: &Context) -> Result<Self> {
        let (env, file) = (place.password_env.as_deref(), place.password_file.as_deref());
        let text = match password::read(env, file, context.variable)? {
            Some(password) => password::as_option(&place.store, "password", &password),
            None => place.store.clone(),
        };
        let url = if create { text.parse::<StoreUrl>()? } else { StoreUrl::existing(&text)? };
        let driver = context.stop.or(url.open()).await??;
        Ok(Self { driver, scheme: url.scheme(), user_epochs: place.user_epochs })
    }

    /// The sessions of the store, as its application sees them. A damaged index is an error, because an empty list would hide
    /// the user's sessions.
    pub(crate) fn sessions(&self) -> Result<Sessions> {
        let builder = Sessions::builder(self.driver.clone());
        Ok(builder.user_epochs(self.user_epochs).on_corrupt(OnCorrupt::Fail).build()?)
    }

    /// Ends the use of the store: changes are as durable as its options promise.
    pub(crate) async fn close(self) -> Result {
        Ok(self.driver.close().await?)
    }
}

/// Refuses an empty name before a store is opened.
pub(crate) fn check_user(user: &str) -> Result<&str> {
    if user.is_empty() { Err(Failure::usage("USER is empty")) } else { Ok(user) }
}
