//! A request of this API: its documented fields, and who may still call.

use super::{LicenseServer, error::Refused};
use crate::http::{Parts, address, rate::neighbourhood};
use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
    http::header::CONTENT_TYPE,
};
use sitewarden_protocol::license_server::{self, Fields, MAX_BODY};
use std::sync::Arc;

/// A body of an address that has calls left.
pub(super) struct Asked {
    pub(super) fields: Fields,
    pub(super) server: Arc<LicenseServer>,
}

impl FromRequest<Parts> for Asked {
    type Rejection = Refused;

    async fn from_request(request: Request, parts: &Parts) -> Result<Self, Refused> {
        let server = Arc::clone(&parts.license_server);
        server.addresses.take(neighbourhood(address::client(request.extensions())), server.elapsed())?;
        let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !license_server::is_json(kind) {
            return Err(license_server::Refused::media_type().into());
        }
        let bytes = Bytes::from_request(request, parts).await.map_err(|rejection| {
            let message = format!("body: at most {MAX_BODY} bytes are taken, and all that were announced");
            Refused(license_server::Refused::plain(rejection.status().as_u16(), &message))
        })?;
        Ok(Self { fields: Fields::read(&bytes)?, server })
    }
}
