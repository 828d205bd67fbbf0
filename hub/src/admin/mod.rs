//! The administration API: JSON over the socket that only the hub's owner can open. What the command line talks to.
//!
//! Always true: whoever gets here is the owner of the data folder, so nobody is asked for a password; every list is
//! bounded; a field that is not known is refused by its name; what went wrong inside is in the log, never in an answer.
//!
//! One resource a file. A handler extracts, makes one call to the store, and maps the result.

mod agents;
mod api_keys;
mod apps;
mod customers;
mod error;
mod extract;
mod flags;
mod invite;
mod keys;
mod licenses;
mod monitors;
mod page;
mod plants;
mod records;
mod sites;
mod time;
mod users;

#[cfg(test)]
mod tests;

use crate::keys::SealingKeys;
use crate::store::{Act, Store};
use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, patch, post},
};
use sitewarden_certs::{fingerprint::Fingerprint, hub_address::HubAddress};
use std::sync::Arc;

/// The most bytes of a request's body. The largest is a licence with its features.
const MAX_BODY: usize = 64 << 10;

/// Who is named in the audit log: the socket tells no more.
const ADMINISTRATOR: &str = "local administrator";

/// What the handlers work with.
#[derive(Debug, Clone)]
pub struct AdminState {
    /// The store.
    pub store: Store,
    /// What goes into enrolment tokens.
    pub invite: InviteSettings,
    /// How long a snapshot may be relied on, days.
    pub fresh_days: u16,
    /// What agents seal batches to.
    pub sealing: Arc<SealingKeys>,
}

/// What goes into enrolment tokens.
#[derive(Debug, Clone)]
pub struct InviteSettings {
    /// Where agents find the hub over HTTPS, unless the administrator says otherwise.
    pub hub_host_port: HubAddress,
    /// The authority that the hub's certificate is from.
    pub ca: Fingerprint,
}

/// All routes of the administration API.
pub fn router(state: AdminState) -> Router {
    let api = Router::new()
        .route("/customers", get(customers::list).post(customers::add))
        .route("/customers/{id}", get(customers::show))
        .route("/customers/{id}/retention", get(customers::retention).post(customers::keep))
        .route("/api-keys", get(api_keys::list).post(api_keys::add))
        .route("/api-keys/{id}/rotate", post(api_keys::rotate))
        .route("/api-keys/{id}/revoke", post(api_keys::revoke))
        .route("/apps", get(apps::list))
        .route("/apps/{code}/versions", post(apps::add_version))
        .route("/plants", get(plants::list).post(plants::add))
        .route("/plants/{id}", get(plants::show))
        .route("/sites", get(sites::list).post(sites::add))
        .route("/sites/{id}", get(sites::show).patch(sites::edit))
        .route("/licenses", get(licenses::list).post(licenses::issue))
        .route("/licenses/explain", get(licenses::explain))
        .route("/licenses/{id}", get(licenses::show).patch(licenses::edit))
        .route("/licenses/{id}/revoke", post(licenses::revoke))
        .route("/licenses/{id}/history", get(licenses::history))
        .route("/agents", get(agents::list))
        .route("/agents/invite", post(invite::invite))
        .route("/agents/{id}", get(agents::show))
        .route("/agents/{id}/revoke", post(agents::revoke))
        .route("/records", get(records::list))
        .route("/flags", get(flags::list))
        .route("/flags/{id}", get(flags::show))
        .route("/flags/{id}/resolve", post(flags::resolve))
        .route("/keys/sealing", get(keys::list))
        .route("/keys/sealing/rotate", post(keys::rotate))
        .route("/monitors", get(monitors::list))
        .route("/users", get(users::list).post(users::add))
        .route("/users/{name}", patch(users::edit).delete(users::remove));
    Router::new()
        .nest("/api/v1/admin", api)
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(state)
}

/// What is done now, by whom.
fn act() -> Act {
    Act { by: ADMINISTRATOR.to_owned(), at: crate::wall_clock() }
}
