//! `serve --dev`: the test credentials of the licence server's document, for those who develop against it.
//!
//! Always true: they count in a process that was started with `--dev` and in no other. API key and token secret are known to
//! such a process alone, and the licence's key opens nothing in the database once a start without the flag has been. A hub
//! with `--dev` serves on loopback addresses only, because everybody knows these credentials.

use crate::store::{Act, Error, Store};

/// The licence key.
pub(crate) const LICENSE_KEY: &str = "TEST-TEST-TEST-TEST";
/// An API key that may do everything.
pub(crate) const API_KEY: &str = "test_api_key_123";
/// What access tokens are signed with.
pub(crate) const JWT_SECRET: &str = "test_jwt_secret";

/// Lets the test licence's key count, or sees to it that it does not, before anything is served.
pub(crate) async fn prepare(store: &Store, dev: bool) -> Result<(), Error> {
    if dev {
        store.permit_test_key(&Act::hub(crate::wall_clock()), LICENSE_KEY).await
    } else {
        if store.forbid_test_key().await? {
            tracing::warn!("this hub was once run with --dev; its test credentials are not accepted now");
        }
        Ok(())
    }
}

/// Says it so that nobody can miss it, however little is logged.
pub(crate) fn warn() {
    tracing::error!(
        "THIS HUB RUNS WITH --dev: everybody who can reach it is its administrator, with the test credentials of the \
         document (licence key {LICENSE_KEY}, API key {API_KEY}, JWT secret {JWT_SECRET}). Never put it behind a proxy, \
         and never keep real data in it."
    );
}
