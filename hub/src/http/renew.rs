//! `POST /api/v1/renew`: an agent whose certificate is over, or whose authority is gone, gets the next one by proof of its
//! signing key.
//!
//! The body is a [`Request`]'s frame, the answer an [`Answer`]'s, with an HTTP status that says the same; both
//! `application/octet-stream`. The first try is answered with a challenge, the second names it.

use super::{
    address,
    error::Error,
    rate::{Rate, neighbourhood},
};
use crate::metrics::{Metrics, Reason};
use crate::renewal::Renewals;
use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{Extensions, HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use sitewarden_protocol::renewal::{Answer, Refused, Request};
use std::{sync::Arc, time::Instant};

const BINARY: &str = "application/octet-stream";

/// What renewing takes.
pub(crate) struct Renewal {
    pub(crate) renewals: Arc<Renewals>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) rate: Rate,
}

/// The handler.
pub(super) async fn renew(
    State(renewal): State<Arc<Renewal>>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Error> {
    let address = address::client(&extensions);
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != BINARY) {
        return Err(Error::MediaType);
    }
    let request = Request::from_frame(&body?).map_err(|error| {
        tracing::warn!(%address, %error, "a request for a certificate could not be read");
        renewal.metrics.refuse(Reason::BadRenewal);
        Error::NotARenewal
    })?;
    let answer = if renewal.rate.take(neighbourhood(address), Instant::now()) {
        renewal.renewals.answer_stranger(&request).await
    } else {
        renewal.metrics.refuse(Reason::RateLimit);
        Answer::Refused(Refused::Unavailable)
    };
    match &answer {
        Answer::Granted(_) => tracing::info!(%address, "renewed a certificate by proof of the signing key"),
        Answer::Challenge(_) => {}
        Answer::Refused(refused) => {
            renewal.metrics.refuse(Reason::BadRenewal);
            tracing::warn!(%address, %refused, "refused a renewal");
        }
    }
    Ok((status(&answer), [(header::CONTENT_TYPE, BINARY)], answer.to_frame()).into_response())
}

const fn status(answer: &Answer) -> StatusCode {
    match answer {
        Answer::Granted(_) => StatusCode::OK,
        Answer::Challenge(_) => StatusCode::CONFLICT,
        Answer::Refused(Refused::Unknown | Refused::Revoked) => StatusCode::FORBIDDEN,
        Answer::Refused(Refused::Invalid(_)) => StatusCode::UNPROCESSABLE_ENTITY,
        Answer::Refused(Refused::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
