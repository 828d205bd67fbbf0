//! The plant licence API: `/_config/licenses/…`, to the letter of its document; and in its manner the fleet's view of
//! monitors.
//!
//! Always true: who calls is settled before anything else of a request is looked at, unknown paths and wrong methods
//! included; a body is read by one set of rules (`body`), every refusal is in `error`. A user who is limited to a customer
//! or a site gets the answers that he would get if nothing else existed. One operation a file.

mod activate;
mod body;
mod error;
mod explain;
mod generate;
mod monitors;
mod notification;
mod show;
mod update;
mod verify;
mod who;

use super::{
    Parts,
    basic::Basic,
    described::{
        plant::{self as described, at_hub},
        tagged,
    },
};
use crate::settings::Live;
use crate::store::{Act, Store};
use axum::{
    extract::{DefaultBodyLimit, Path, Request, State, rejection::PathRejection},
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use error::Error;
use sitewarden_openapi::{Routes, shared::plant};
use sitewarden_protocol::id::LicenseId;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use who::Caller;

/// How long a request may take: less than any request to the hub, so that the answer is in this dialect.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(25);
/// The most bytes of a request's body. The largest is a licence with its description.
const MAX_BODY: usize = 16 << 10;

/// What the operations have.
pub(crate) struct Plant {
    pub(crate) store: Store,
    pub(crate) basic: Arc<Basic>,
    /// How long before its end a licence is about to expire, and how long a snapshot may be relied on.
    pub(crate) settings: Live,
}

/// All routes below `/_config`.
pub(super) fn routes() -> Routes<Parts> {
    Routes::new()
        .post("/licenses", generate::generate, described::generate())
        .get("/licenses/{id}", show::show, tagged(at_hub(plant::show()), 200))
        .put("/licenses/{id}", update::update, described::update())
        // The document says GET, and its own curl line has an empty `--data`, with which curl sends a POST.
        .get("/licenses/_list", show::list, at_hub(plant::list()))
        .post("/licenses/_list", show::list, at_hub(plant::list()))
        .post("/licenses/_activate", activate::activate, at_hub(plant::activate()))
        .get("/licenses/_notification", notification::notification, at_hub(plant::notification()))
        .get("/licenses/_verify", verify::verify, at_hub(plant::verify()))
        .get("/licenses/_explain", explain::explain, described::explain())
        .get("/monitors/_list", monitors::list, described::monitors())
        .get("/_notification", notification::notification, at_hub(plant::notification()))
        .get("/_notification/", notification::notification, at_hub(plant::notification()))
        .around(|router| {
            router
                // No endpoint: whoever may call learns that it is the agents' alone.
                .route("/monitors/{id}", any(monitors::elsewhere))
                .fallback(async |_: Caller| Error::not_found())
                .method_not_allowed_fallback(async |_: Caller| Error::method())
                .layer(DefaultBodyLimit::max(MAX_BODY))
                .layer(middleware::from_fn(in_time))
        })
}

/// What is at none of the hub's paths. One of the document's samples has its parameters where the path should be,
/// `/site_id=…&plant_id=…&app=CBM`; it is taken for what it means.
pub(super) async fn elsewhere(State(parts): State<Parts>, request: Request) -> Result<Response, super::Error> {
    let asked = request.uri().path().strip_prefix('/').filter(|path| path.starts_with("site_id=")).map(str::to_owned);
    let Some(asked) = asked else { return Err(super::Error::NotFound) };
    if request.method() != Method::GET {
        return Err(super::Error::Method);
    }
    Ok(notification::misprinted(&parts, request, &asked).await.into_response())
}

async fn in_time(request: Request, next: Next) -> Response {
    let late = |_| Error::new(StatusCode::REQUEST_TIMEOUT, "The request took too long").into_response();
    timeout(REQUEST_TIMEOUT, next.run(request)).await.unwrap_or_else(late)
}

/// What is done now, by whom.
fn act(caller: &Caller) -> Act {
    Act { address: Some(caller.1), ..Act::user(&caller.0.name, crate::wall_clock()) }
}

/// The licence in a path; `None` for what is no id, which no licence has.
fn license_id(path: Result<Path<String>, PathRejection>) -> Option<LicenseId> {
    path.ok().and_then(|Path(text)| text.parse().ok())
}
