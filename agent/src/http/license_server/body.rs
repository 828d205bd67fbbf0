//! A request of this API: its documented fields, and how often who may call.

use super::Limits;
use super::error::Refused;
use crate::http::Api;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use sitewarden_protocol::license_server::{self, Fields, MAX_BODY};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// A body; the key in it is this site's, or the caller may still guess.
pub(super) struct Asked {
    pub(super) fields: Fields,
    pub(super) limits: Arc<Limits>,
}

impl FromRequest<Api> for Asked {
    type Rejection = Refused;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refused> {
        let (mut parts, body) = request.into_parts();
        let limits = Extension::<Arc<Limits>>::from_request_parts(&mut parts, api).await;
        let Extension(limits) = limits.map_err(|_| Refused::plain(StatusCode::SERVICE_UNAVAILABLE, "not ready"))?;
        let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !license_server::is_json(kind) {
            return Err(license_server::Refused::media_type().into());
        }
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let from = from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip().to_canonical());
        let bytes = Bytes::from_request(Request::from_parts(parts, body), api).await;
        let bytes = bytes.map_err(|rejection| {
            let message = format!("body: at most {MAX_BODY} bytes are taken, and all that were announced");
            Refused::plain(rejection.status(), &message)
        })?;
        let fields = Fields::read(&bytes)?;
        if api.enforcement.state().licensed(fields.key()).is_none() {
            limits.strangers.take(from, limits.now())?;
        }
        Ok(Self { fields, limits })
    }
}
