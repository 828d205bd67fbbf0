//! The administration API: JSON over HTTPS for users and programs, and over the socket that only the hub's owner can open,
//! which is what the command line talks to. The same handlers for both; `crate::http::api` says who calls.
//!
//! Always true: every list is bounded; a field that is not known is refused by its name; what went wrong inside is in the
//! log, never in an answer.
//!
//! One resource a file. A handler extracts, makes one call to the store, and maps the result.

mod activations;
mod agents;
mod analytics;
mod api_keys;
mod apps;
mod audit;
mod batches;
mod bundles;
mod customers;
mod described;
mod evidence;
mod flags;
mod invite;
mod keys;
mod leads;
mod licenses;
mod monitors;
mod plants;
mod records;
mod settings;
mod sites;
mod users;
mod webhooks;

#[cfg(test)]
mod tests;

pub(crate) use described::described;

use crate::bundle::Bundles;
use crate::http::api::{
    Access, Caller, Listed, LocalAdministrator, Needs, Routes, auth, edition, error, extract, page, time,
};
use crate::keys::{Authorities, SealingKeys, SigningKeys};
use crate::settings::Settings;
use crate::store::Store;
use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, FromRef},
};
use sitewarden_certs::hub_address::HubAddress;
use std::sync::Arc;

/// The most bytes of a request's body. The largest is a licence with its features.
const MAX_BODY: usize = 64 << 10;

/// What the handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct AdminState {
    /// Who calls.
    pub(crate) access: Arc<Access>,
    /// The store.
    pub(crate) store: Store,
    /// What goes into enrolment tokens.
    pub(crate) invite: InviteSettings,
    /// The hub's settings.
    pub(crate) settings: Arc<Settings>,
    /// What agents seal batches to.
    pub(crate) sealing: Arc<SealingKeys>,
    /// What the hub signs with.
    pub(crate) signing: Arc<SigningKeys>,
    /// What goes to agents and comes from them in files.
    pub(crate) bundles: Bundles,
}

/// What goes into enrolment tokens.
#[derive(Debug, Clone)]
pub(crate) struct InviteSettings {
    /// Where agents find the hub over HTTPS, unless the administrator says otherwise.
    pub(crate) hub_host_port: HubAddress,
    /// The oldest of them is the one that the hub's certificate is from.
    pub(crate) authorities: Arc<Authorities>,
}

/// All routes of the API for administrators and integrators, with what each needs.
///
/// What is of no single customer, and what is not limited to the caller's scope, needs the whole hub.
pub(crate) fn routes(access: &Arc<Access>) -> Routes<AdminState> {
    use Needs as N;
    let (look, change, hub) = (N::LOOK, N::ADMINISTER, N::WHOLE_HUB);
    let admin = Routes::new(access)
        .get("/customers", look, customers::list)
        .post("/customers", hub, customers::add)
        .get("/customers/{id}", look, customers::show)
        .patch("/customers/{id}", hub, customers::edit)
        .get("/customers/{id}/retention", look, customers::retention)
        .post("/customers/{id}/retention", hub, customers::keep)
        .get("/audit", hub, audit::list)
        .get("/audit/export", hub, audit::export)
        .get("/audit/verify", hub, audit::verify)
        .get("/apps", look, apps::list)
        .post("/apps/{code}/versions", hub, apps::add_version)
        .get("/plants", look, plants::list)
        .post("/plants", change, plants::add)
        .get("/plants/{id}", look, plants::show)
        .patch("/plants/{id}", change, plants::edit)
        .get("/sites", look, sites::list)
        .post("/sites", change, sites::add)
        .get("/sites/{id}", look, sites::show)
        .patch("/sites/{id}", change, sites::edit)
        .get("/licenses", look, licenses::list)
        .post("/licenses", hub, licenses::issue)
        .get("/licenses/explain", look, licenses::explain)
        .get("/licenses/{id}", look, licenses::show)
        .put("/licenses/{id}", hub, licenses::edit)
        .delete("/licenses/{id}", hub, licenses::revoke)
        .get("/licenses/{id}/history", look, licenses::history)
        .get("/activations", look, activations::list)
        .get("/statistics", look, analytics::statistics)
        .get("/agents", look, agents::list)
        .post("/agents/invite", change, invite::invite)
        .get("/agents/{id}", look, agents::show)
        .patch("/agents/{id}", change, agents::edit)
        .post("/agents/{id}/revoke", change, agents::revoke)
        .post("/agents/{id}/clear", hub, agents::clear)
        .get("/batches", N::SURVEY, batches::list)
        .get("/batches/{id}", N::SURVEY, batches::show)
        .post("/batches/{id}/replay", hub, batches::replay)
        .get("/bundles", N::SURVEY, bundles::list)
        .post_file("/bundles/import", hub, bundles::import)
        .get("/bundles/export", hub, bundles::export)
        .get("/records", look, records::list)
        .get("/flags", look, flags::list)
        .get("/flags/{id}", look, flags::show)
        .post("/flags/{id}/resolve", N::TEND, flags::resolve)
        .get("/flags/{id}/evidence", look, evidence::show)
        .get("/keys/sealing", N::SURVEY, keys::list)
        .post("/keys/sealing/rotate", hub, keys::rotate)
        .get("/keys/trusted", N::SURVEY, keys::list_trusted)
        .post("/keys/authority/rotate", hub, keys::rotate_authority)
        .post("/keys/authority/retire", hub, keys::retire_authority)
        .post("/keys/signing/rotate", hub, keys::rotate_signing)
        .post("/keys/signing/retire", hub, keys::retire_signing)
        .get("/monitors", look, monitors::list);
    let analytics =
        Routes::new(access).get("/usage", look, analytics::usage).get("/features", look, analytics::features);
    Routes::new(access)
        .nest("/api/v1/auth", auth::routes(access))
        .nest("/api/v1/admin", webhooks::routes(settings::routes(people(admin))))
        .nest("/api/v1/analytics", analytics)
        .nest("/api/institutions", leads::routes(access))
}

/// Adds who may do what: users and API keys.
fn people(table: Routes<AdminState>) -> Routes<AdminState> {
    let change = Needs::ADMINISTER;
    table
        .get("/api-keys", change, api_keys::list)
        .post("/api-keys", change, api_keys::add)
        .get("/api-keys/{id}", change, api_keys::show)
        .post("/api-keys/{id}/rotate", change, api_keys::rotate)
        .post("/api-keys/{id}/revoke", change, api_keys::revoke)
        .get("/users", change, users::list)
        .post("/users", change, users::add)
        .get("/users/{name}", change, users::show)
        .patch("/users/{name}", change, users::edit)
        .delete("/users/{name}", change, users::remove)
}

/// The API, and the list of its routes.
pub(crate) struct Administration {
    /// To be served over HTTPS beside other paths, and on the socket.
    pub(crate) router: Router,
    /// What is in the OpenAPI document.
    pub(crate) listed: Vec<Listed>,
}

/// All of the API.
pub(crate) fn administration(state: AdminState) -> Administration {
    let (routes, listed) = routes(&state.access).into_parts();
    let router = routes.method_not_allowed_fallback(error::no_such_method).layer(DefaultBodyLimit::max(MAX_BODY));
    Administration { router: router.with_state(state), listed }
}

/// The API, to be served on the socket that only the owner of the data folder can open.
pub(crate) fn local(router: Router) -> Router {
    router.fallback(error::no_such_path).layer(Extension(LocalAdministrator))
}

impl FromRef<AdminState> for Arc<Access> {
    fn from_ref(state: &AdminState) -> Self {
        Self::clone(&state.access)
    }
}

impl FromRef<AdminState> for Store {
    fn from_ref(state: &AdminState) -> Self {
        state.store.clone()
    }
}
