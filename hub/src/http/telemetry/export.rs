//! `GET export?format=csv|jsonl` and what `records` takes: all of it, as a file.
//!
//! The next page is read when the one before has been taken by the client's connection: a slow client costs one page of
//! memory, and nothing of the database's.

use super::{
    Error,
    parameters::{Asked, Parameters},
    view::{HEAD, View},
    who::Caller,
};
use crate::store::{Store, TelemetryFilter};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use hyper::body::Frame;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};

/// Rows that are read at once.
const ROWS: usize = 500;
/// How long a client may take for one page before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy)]
enum Format {
    Csv,
    JsonLines,
}

pub(super) async fn export(
    Caller(scope): Caller,
    State(store): State<Store>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Error> {
    let (format, content_type, name) = match asked.format.as_deref() {
        Some("csv") => (Format::Csv, "text/csv; charset=utf-8; header=present", "attachment; filename=telemetry.csv"),
        Some("jsonl") => (Format::JsonLines, "application/jsonl", "attachment; filename=telemetry.jsonl"),
        _ => return Err(Error::invalid("format", "format must be csv or jsonl")),
    };
    if asked.cursor.is_some() || asked.limit.is_some() {
        return Err(Error::invalid("cursor", "an export is whole: it takes neither cursor nor limit"));
    }
    let filter = asked.filter(scope)?;
    let (pages, taken) = mpsc::channel(1);
    tokio::spawn(write(store, filter, format, pages));
    Ok(([(CONTENT_TYPE, content_type), (CONTENT_DISPOSITION, name)], Body::new(Pages(taken))).into_response())
}

/// A part of the file, or its end: a file that stops without its end is cut, and its connection breaks.
enum Piece {
    Part(Bytes),
    End,
}

async fn write(store: Store, filter: TelemetryFilter, format: Format, pages: mpsc::Sender<Piece>) {
    let mut after = None;
    let mut text = match format {
        Format::Csv => HEAD.to_owned(),
        Format::JsonLines => String::new(),
    };
    loop {
        let page = match store.list_telemetry(filter.clone(), after, ROWS).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an export broke off");
                return;
            }
        };
        page.rows.into_iter().map(View::from).for_each(|row| match format {
            Format::Csv => text.push_str(&row.csv()),
            Format::JsonLines => text.push_str(&row.json_line()),
        });
        let part = Piece::Part(Bytes::from(std::mem::take(&mut text)));
        // One who has left needs no more, one who is too slow gets no more.
        if !matches!(timeout(PATIENCE, pages.send(part)).await, Ok(Ok(()))) {
            return;
        }
        after = page.next;
        if after.is_none() {
            let _ = timeout(PATIENCE, pages.send(Piece::End)).await;
            return;
        }
    }
}

/// A body that is written elsewhere.
struct Pages(mpsc::Receiver<Piece>);

impl axum::body::HttpBody for Pages {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|piece| match piece {
            Some(Piece::Part(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End) => None,
            None => Some(Err(io::Error::other("the export broke off"))),
        })
    }
}
