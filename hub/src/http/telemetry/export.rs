//! `GET export?format=csv|jsonl` and what `records` takes: all of it, as a file.
//!
//! A page of rows is read when the one before has been taken.

use super::{
    Error,
    parameters::{Asked, Parameters},
    view::{HEAD, View},
    who::Caller,
};
use crate::http::api::file::{Writer, file};
use crate::store::{Store, TelemetryFilter};
use axum::{
    extract::State,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
};

/// Rows that are read at once.
const ROWS: usize = 500;

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
    let (writer, body) = file();
    tokio::spawn(write(store, filter, format, writer));
    Ok(([(CONTENT_TYPE, content_type), (CONTENT_DISPOSITION, name)], body).into_response())
}

async fn write(store: Store, filter: TelemetryFilter, format: Format, writer: Writer) {
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
        if !writer.part(std::mem::take(&mut text)).await {
            return;
        }
        after = page.next;
        if after.is_none() {
            return writer.end().await;
        }
    }
}
