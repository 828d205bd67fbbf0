//! The local HTTP API: all routes in one place.
//!
//! Two faces: for apps, over loopback TCP with Basic authentication or a licence's key; for the operator's command line, over a unix
//! socket that only the agent's own user can open, which is its authentication.

mod activation;
mod bundles;
mod control;
mod described;
mod error;
mod explain;
mod health;
mod license_server;
mod licenses;
mod listener;
mod monitors;
mod notification;
mod operator;
mod relief;
mod send_telemetry;
mod sessions;
mod show;
mod standing;
mod telemetry;
#[cfg(test)]
mod testing;
mod users;
mod well_known;
mod who;

pub use explain::{Told, ToldChange, ToldReason};
pub use listener::{Served, serve_socket, serve_tcp};
pub use operator::{
    ActivateRequest, JournalStatus, LicenseLine, MonitorRequest, Status, SyncStatus, WebhookSecretRequest,
};
pub use relief::{OverrideBegun, OverrideRequest};
pub use sessions::SessionRequest;
pub use standing::{ClockStatus, Concern, OverrideStatus};
pub use users::{AddUserRequest, PasswordRequest, RemoveUserRequest, UserLine, list_users};

use crate::anonymity::Anonymity;
use crate::bundle::Bundles;
use crate::clock::Clock;
use crate::enforcement::{Denials, Enforcement};
use crate::identity::Names;
use crate::journal::Journal;
use crate::logins::Logins;
use crate::machine::Machine;
use crate::metrics::Metrics;
use crate::proof::Prover;
use crate::sync::Line;
use crate::telemetry::Telemetry;
use crate::users::Users;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use sitewarden_openapi::shared::{measurement, plant};
use sitewarden_openapi::{Routes, Shape};
use std::sync::Arc;
use std::time::Duration;
use tower_http::timeout::TimeoutLayer;

/// The largest request body, bytes: a thousand events with all their attributes fit.
const MAX_BODY: usize = 4 << 20;
/// How long one request may take in all.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// What handlers work with.
#[derive(Clone)]
pub struct Api {
    /// What time it is for licences.
    pub clock: Clock,
    /// Decides and changes.
    pub enforcement: Enforcement,
    /// Notes what was denied.
    pub denials: Denials,
    /// Takes records.
    pub journal: Journal,
    /// Makes them anonymous, where that is switched on.
    pub anonymity: Arc<Anonymity>,
    /// Who may call.
    pub users: Arc<Users>,
    /// Who is logged in.
    pub logins: Arc<Logins>,
    /// What is set about telemetry, and what became of it.
    pub telemetry: Telemetry,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// The line to the hub.
    pub line: Line,
    /// Signs decisions.
    pub prover: Arc<Prover>,
    /// Who this agent is.
    pub names: Arc<Names>,
    /// Whether it is where it was enrolled.
    pub machine: Machine,
    /// What goes to the hub and comes back in files.
    pub bundles: Bundles,
}

/// For apps. Each route has its description, of which the agent's OpenAPI document consists.
pub fn app_routes(api: Api) -> Router {
    use described::{operations, telemetry as reported};
    let routes = Routes::new()
        .get("/_config/licenses/_verify", licenses::verify, plant::verify())
        .get("/_config/licenses/_explain", explain::for_technicians, plant::explain(Shape::of::<Told>()))
        .post("/_config/licenses/_activate", activation::activate, plant::activate())
        .get("/_config/licenses/{id}", show::show, plant::show())
        // The document says GET, and its own curl line has an empty `--data`, with which curl sends a POST.
        .get("/_config/licenses/_list", show::list, plant::list())
        .post("/_config/licenses/_list", show::list, plant::list())
        .get("/_config/licenses/_notification", notification::notification, plant::notification())
        .get("/_config/_notification/", notification::notification, plant::notification())
        .post("/_config/monitors/_bulk", monitors::bulk, plant::bulk())
        .get("/_config/monitors/_list", monitors::list, plant::monitors())
        .put("/_config/monitors/{monitor}", monitors::reserve, plant::reserve())
        .delete("/_config/monitors/{monitor}", monitors::release, plant::release())
        .post("/api/v1/telemetry/events", telemetry::events, reported::events())
        .on("/api/v1/send-telemetry-data", send_telemetry::route(), [("post", measurement::send())])
        .get("/.well-known/sitewarden", well_known::identity, operations::identity())
        .get("/healthz", health::healthz, operations::healthz())
        .get("/readyz", health::readyz, operations::readyz())
        .get("/metrics", health::metrics, operations::metrics())
        .merge(control::routes())
        .merge(license_server::routes());
    finish(sitewarden_openapi::described(routes, &described::head()), api)
}

/// For the operator at the machine.
pub fn operator_routes(api: Api) -> Router {
    let router = Router::new()
        .route("/agent/v1/status", get(operator::status))
        .route("/agent/v1/activate", post(operator::activate))
        .route("/agent/v1/explain", get(explain::for_operator))
        .route("/agent/v1/override", post(relief::begin))
        .route("/agent/v1/monitors", get(operator::monitors).post(operator::reserve).delete(operator::release))
        .route("/agent/v1/sessions", get(sessions::list).delete(sessions::release))
        .route("/agent/v1/activations", delete(sessions::forget))
        .route("/agent/v1/users", get(users::list).post(users::add).put(users::set_password).delete(users::remove))
        .route("/agent/v1/bundles/export", post(bundles::export))
        .route("/agent/v1/bundles/exported", post(bundles::exported))
        .route("/agent/v1/bundles/import", bundles::import())
        .route("/agent/v1/webhook-secret", post(operator::set_webhook_secret))
        .route("/metrics", get(health::metrics));
    finish(router, api)
}

fn finish(router: Router<Api>, api: Api) -> Router {
    router
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(axum::http::StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .with_state(api)
}
