//! `/api/v1/telemetry/…`: what plants and programs sent, for those who may see it.
//!
//! Always true: who calls is settled before anything else; a user who is limited to a customer or a site gets the answers
//! that he would get if nothing else existed; a page costs the same however much there is; an export holds one page.

mod export;
mod parameters;
mod records;
mod series;
mod transmissions;
mod view;
mod who;

use super::{
    Parts,
    api::{Error, error},
};
use axum::{Router, routing::get};
use who::Caller;

/// All routes below `/api/v1/telemetry`.
pub(super) fn routes() -> Router<Parts> {
    Router::new()
        .route("/records", get(records::records))
        .route("/series", get(series::series))
        .route("/export", get(export::export))
        .route("/transmissions", get(transmissions::transmissions))
        .fallback(async |_: Caller| error::no_such_path().await)
        .method_not_allowed_fallback(async |_: Caller| error::no_such_method().await)
}
