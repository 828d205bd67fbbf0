//! The hub's HTTP face. All routes are in `router`.

mod address;
pub(crate) mod api;
mod basic;
mod capped;
mod described;
mod enroll;
mod error;
mod health;
mod license_server;
mod plant;
mod rate;
mod renew;
mod send_telemetry;
mod serve;
mod shown;
mod sync;
mod telemetry;
mod well_known;

pub(crate) use address::Proxies;
pub(crate) use basic::Basic;
pub(crate) use described::{if_match, plant::explanation, repeatable, tagged};
pub(crate) use enroll::Enrolment;
pub(crate) use license_server::LicenseServer;
pub(crate) use plant::Plant;
pub(crate) use rate::Rate;
pub(crate) use renew::Renewal;
pub(crate) use send_telemetry::SendTelemetry;
pub(crate) use serve::{Server, serve_https, serve_plain, serve_socket};

use crate::admin::Administration;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::sync::Https;
use api::Access;
use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRef, Request},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use described::operations;
use error::Error;
use sitewarden_openapi::{Routes, shared::measurement};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// How long a request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a request's body: an enrolment has under 2 KiB.
const MAX_BODY: usize = 64 << 10;

/// What the handlers have; each takes its own part.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) access: Arc<Access>,
    pub(crate) enrolment: Arc<Enrolment>,
    pub(crate) renewal: Arc<Renewal>,
    pub(crate) license_server: Arc<LicenseServer>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) plant: Arc<Plant>,
    pub(crate) send_telemetry: Arc<SendTelemetry>,
    pub(crate) store: Store,
    pub(crate) sync: Arc<Https>,
    /// Whether the hub serves, and is not stopping.
    pub(crate) serving: watch::Receiver<bool>,
}

/// All routes; those of the administration are made elsewhere, and described like all others.
/// Clients may be behind proxies.
pub(crate) fn router(parts: Parts, administration: Administration, proxies: Proxies) -> Router {
    let routes = Routes::new()
        .get("/healthz", health::healthz, operations::healthz())
        .get("/readyz", health::readyz, operations::readyz())
        .get("/metrics", health::metrics, operations::metrics())
        .post("/api/v1/enroll", enroll::enroll, operations::enroll())
        .post("/api/v1/renew", renew::renew, operations::renew())
        .post("/api/v1/send-telemetry-data", send_telemetry::send, measurement::send())
        .get("/sync/v1", sync::sync, operations::sync())
        .get("/.well-known/sitewarden", well_known::sitewarden, operations::identity())
        .nest("/api/v1/telemetry", telemetry::routes())
        .nest("/_config", plant::routes())
        .merge(license_server::routes());
    let guarded = administration.listed.iter();
    let routes = guarded.fold(routes, |routes, route| {
        routes.beside(&route.method.as_str().to_ascii_lowercase(), &route.path, crate::admin::described(route))
    });
    let router = sitewarden_openapi::described(routes, &described::head())
        .fallback(plant::elsewhere)
        .method_not_allowed_fallback(async || Error::Method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(parts)
        .merge(administration.router);
    timed(router.layer(middleware::from_fn_with_state(Arc::new(proxies), address::look)))
}

/// The same routes, each request within its time.
fn timed(router: Router) -> Router {
    router.layer(middleware::from_fn(in_time))
}

async fn in_time(request: Request, next: Next) -> Response {
    timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| Error::Slow.into_response())
}

macro_rules! part {
    ($($field:ident: $type:ty),+) => {$(
        impl FromRef<Parts> for $type {
            fn from_ref(parts: &Parts) -> Self {
                parts.$field.clone()
            }
        }
    )+};
}

part!(
    access: Arc<Access>,
    enrolment: Arc<Enrolment>,
    renewal: Arc<Renewal>,
    metrics: Arc<Metrics>,
    plant: Arc<Plant>,
    send_telemetry: Arc<SendTelemetry>,
    store: Store,
    sync: Arc<Https>
);
