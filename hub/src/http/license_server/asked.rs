//! A request of this API: its documented fields, who may still call, and whether it was done before.

use super::{LicenseServer, error::Refused};
use crate::http::{Parts, address, api::idempotency};
use crate::store::{self, KeyOwner, KeyedRequest};
use axum::{
    body::Bytes,
    extract::{FromRequest, Request, State},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use sitewarden_protocol::license_server::{self, Fields, MAX_BODY};
use std::sync::Arc;

/// A body of an address that has calls left.
pub(super) struct Asked {
    pub(super) fields: Fields,
    pub(super) server: Arc<LicenseServer>,
}

/// Does what is asked; under an `Idempotency-Key` once.
///
/// Whose such a key is, the licence's key in the body says, which only its holder knows: so nobody else can come across his
/// keys, or learn of them. For a licence that is not known nothing is kept.
pub(super) async fn answered<F, A>(
    State(parts): State<Parts>,
    request: Request,
    work: fn(Asked) -> F,
) -> Result<Response, Refused>
where
    F: Future<Output = Result<A, Refused>> + Send + 'static,
    A: IntoResponse,
{
    let server = Arc::clone(&parts.license_server);
    server.count(address::client(request.extensions()))?;
    let (key, path) = (idempotency::key(request.headers())?, request.uri().path().to_owned());
    let bytes = body(request, &parts).await?;
    let asked = Asked { fields: Fields::read(&bytes)?, server: Arc::clone(&server) };
    let Some(key) = key else { return Ok(work(asked).await.into_response()) };
    let owner = match server.store.license_by_key(asked.fields.key()).await {
        Ok(license) => KeyOwner::License(license.id),
        Err(store::Error::NotFound { .. }) => return Ok(work(asked).await.into_response()),
        Err(error) => return Err(error.into()),
    };
    let keyed = KeyedRequest { owner, key, request: idempotency::digest([path.as_bytes(), &bytes]) };
    let store = server.store.clone();
    Ok(idempotency::once(store, keyed, async move { work(asked).await.into_response() }).await?)
}

async fn body(request: Request, parts: &Parts) -> Result<Bytes, Refused> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !license_server::is_json(kind) {
        return Err(license_server::Refused::media_type().into());
    }
    Bytes::from_request(request, parts).await.map_err(|rejection| {
        let message = format!("body: at most {MAX_BODY} bytes are taken, and all that were announced");
        Refused(license_server::Refused::plain(rejection.status().as_u16(), &message))
    })
}
