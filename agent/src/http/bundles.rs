//! Bundles over the operator's socket: an export as a stream, an import as a body.

use super::Api;
use super::error::Plant;
use super::operator::accept;
use crate::bundle::{Chunk, Error, ExportRequest, MAX_FILE, Outcome, PartDone};
use axum::Json;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use hyper::body::Frame;
use serde_json::{Value, json};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

pub(super) async fn export(
    State(api): State<Api>,
    body: Result<Json<ExportRequest>, JsonRejection>,
) -> Result<Response, Plant> {
    let chunks = api.bundles.export(accept(body)?)?;
    let body = Body::new(Pieces { chunks, ended: false });
    Ok(([(CONTENT_TYPE, "application/octet-stream")], body).into_response())
}

pub(super) async fn exported(
    State(api): State<Api>,
    body: Result<Json<PartDone>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let part = accept(body)?;
    api.bundles.exported(&part).await?;
    api.telemetry.exported(part).await;
    // Where nothing comes back it counts as delivered by now.
    api.telemetry.settle().await;
    Ok(Json(json!({})))
}

pub(super) fn import() -> MethodRouter<Api> {
    post(take).layer(DefaultBodyLimit::max(MAX_FILE))
}

async fn take(State(api): State<Api>, body: Result<Bytes, BytesRejection>) -> Result<Json<Outcome>, Plant> {
    let file = body.map_err(|rejection| Plant::message(rejection.status(), rejection.body_text()))?;
    let outcome = api.bundles.import(&file).await?;
    api.telemetry.settle().await;
    Ok(Json(outcome))
}

impl From<Error> for Plant {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Busy => StatusCode::CONFLICT,
            Error::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Error::Read(_) | Error::NotForHere(_) | Error::TooManyParts(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Journal(_) | Error::File(_) | Error::Write(_) | Error::Random | Error::Abandoned => {
                tracing::error!(error = &error as &dyn std::error::Error, "a bundle");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::message(status, error.to_string())
    }
}

/// A body that is written elsewhere; one that stops without its last chunk breaks the connection.
struct Pieces {
    chunks: mpsc::Receiver<Chunk>,
    ended: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.chunks.poll_recv(context).map(|chunk| match chunk {
            Some(chunk) => {
                self.ended = matches!(chunk, Chunk::Done(_) | Chunk::Failed(_));
                Some(Ok(Frame::data(chunk.encode().into())))
            }
            None => Some(Err(io::Error::other("the export broke off"))),
        })
    }
}
