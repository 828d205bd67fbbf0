//! Bundles: files from agents without a line, and what goes back.
//!
//! An import is answered with one JSON value a line, as it goes on: `{"progress": {"messages"}}`, then
//! `{"file": …}` or `{"failed": {"message"}}` for each file, and last `{"done": {"reply": base64 or null}}`.

use super::{
    AdminState, Caller,
    error::Error,
    extract::Parameters,
    page::{Limit, Page},
    time,
};
use crate::bundle::{self, Bundles, Upload};
use crate::store::{Act, KnownBundle};
use axum::{
    Json,
    body::{Body, Bytes, HttpBody},
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::body::Frame;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sitewarden_protocol::id::{AgentId, SiteId};
use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// Lines that wait for the client.
const LINES: usize = 16;
/// Files of one import.
const MAX_FILES: usize = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Import {
    /// Whether a reply is wanted.
    #[serde(default)]
    reply: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Export {
    #[schemars(with = "String")]
    site: SiteId,
    #[schemars(with = "Option<String>")]
    agent: Option<AgentId>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Exported {
    /// The file's bytes, base64.
    file: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[schemars(with = "Option<String>")]
    agent: Option<AgentId>,
    /// The list goes from the newest to the oldest.
    after: Option<i64>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    id: i64,
    direction: String,
    bundle: String,
    part: u64,
    #[schemars(with = "Option<String>")]
    agent: Option<AgentId>,
    content: String,
    digest: String,
    first_at: String,
    last_at: String,
    times: u64,
    by: String,
    outcome: Value,
}

/// Files have no limit of their own: they are taken in piece by piece.
pub(super) async fn import(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(import): Parameters<Import>,
    body: Body,
) -> Response {
    let (lines, waiting) = mpsc::channel(LINES);
    tokio::spawn(run(state.bundles, caller.act(), Upload::new(body), import.reply, lines));
    ([(CONTENT_TYPE, "application/jsonl")], Body::new(Lines(waiting))).into_response()
}

/// Whoever reads the lines may have gone; what was taken in stays.
async fn run(bundles: Bundles, act: Act, mut upload: Upload, wants_reply: bool, lines: mpsc::Sender<Value>) {
    let failed = |error: &bundle::Error| json!({ "failed": { "message": error.to_string() } });
    let _place = match bundles.admit() {
        Ok(place) => place,
        Err(error) => return drop(lines.send(failed(&error)).await),
    };
    let (progress, mut told) = mpsc::channel(1);
    let telling = lines.clone();
    tokio::spawn(async move {
        while let Some(messages) = told.recv().await {
            if telling.send(json!({ "progress": { "messages": messages } })).await.is_err() {
                return;
            }
        }
    });
    let mut taken = Vec::new();
    for _ in 0..MAX_FILES {
        match upload.next_file().await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return drop(lines.send(failed(&error)).await),
        }
        let line = match bundles.import(&act, &mut upload, &progress).await {
            Ok(one) => {
                let line = json!({ "file": one.imported });
                taken.push(one);
                line
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a bundle was not taken in");
                failed(&error)
            }
        };
        let _ = lines.send(line).await;
    }
    let reply = match wants_reply && !taken.is_empty() {
        true => match bundles.reply(&act, taken).await {
            Ok(reply) => Some(STANDARD.encode(reply)),
            Err(error) => return drop(lines.send(failed(&error)).await),
        },
        false => None,
    };
    let _ = lines.send(json!({ "done": { "reply": reply } })).await;
}

pub(super) async fn export(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(export): Parameters<Export>,
) -> Result<Json<Exported>, Error> {
    let file = state.bundles.export(&caller.act(), export.site, export.agent).await?;
    Ok(Json(Exported { file: STANDARD.encode(file) }))
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let known = state.store.list_bundles(query.agent, query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(known, query.limit, |known| known.id.to_string(), View::from)))
}

impl From<KnownBundle> for View {
    fn from(known: KnownBundle) -> Self {
        Self {
            id: known.id,
            direction: known.direction,
            bundle: known.bundle,
            part: known.part,
            agent: known.agent,
            content: known.content,
            digest: known.digest,
            first_at: time::text(known.first_at),
            last_at: time::text(known.last_at),
            times: known.times,
            by: known.by,
            outcome: known.outcome,
        }
    }
}

impl From<bundle::Error> for Error {
    fn from(error: bundle::Error) -> Self {
        match error {
            bundle::Error::Store(error) => error.into(),
            bundle::Error::UnknownAgent(_)
            | bundle::Error::Agents { .. }
            | bundle::Error::NotForHere(_)
            | bundle::Error::OtherKey(_) => Self::new(StatusCode::CONFLICT, "CONFLICT", error.to_string()),
            error => Self::internal(&error),
        }
    }
}

/// One JSON value a line, as it comes.
struct Lines(mpsc::Receiver<Value>);

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(format!("{line}\n").into()))))
    }
}
