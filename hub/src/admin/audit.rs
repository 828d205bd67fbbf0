//! The audit log: who did what, when, from where, and how it was before and after.

use super::{
    AdminState,
    error::Error,
    extract::Parameters,
    page::{Limit, Page},
    time,
};
use crate::http::api::file::{Writer, file};
use crate::store::{Actor, AuditEntry, AuditFilter, Store};
use axum::{
    Json,
    extract::State,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Rows of an export that are read at once.
const ROWS: usize = 500;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    /// Kind of actor.
    actor: Option<String>,
    by: Option<String>,
    action: Option<String>,
    subject: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    order: Order,
    after: Option<i64>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Newest,
    Oldest,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    id: i64,
    at: String,
    /// `local`, `user`, `api_key`, `agent` or `hub`; null in rows of before this was kept.
    actor: Option<String>,
    by: String,
    address: Option<String>,
    action: String,
    subject: String,
    before: Option<Value>,
    after: Option<Value>,
    hash: String,
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let (limit, after, oldest) = (query.limit, query.after, query.order == Order::Oldest);
    let entries = state.store.list_audit(query.filter()?, oldest, after, limit.rows()).await?;
    Ok(Json(Page::of(entries, limit, |entry| entry.id.to_string(), View::from)))
}

/// All that the filter lets through as JSON lines, the oldest first.
pub(super) async fn export(
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Response, Error> {
    if query.after.is_some() {
        return Err(Error::invalid("after", "an export is whole: it takes neither after nor limit"));
    }
    let filter = query.filter()?;
    let (writer, body) = file();
    tokio::spawn(write(state.store, filter, writer));
    let headers = [(CONTENT_TYPE, "application/jsonl"), (CONTENT_DISPOSITION, "attachment; filename=audit.jsonl")];
    Ok((headers, body).into_response())
}

async fn write(store: Store, filter: AuditFilter, writer: Writer) {
    let mut after = None;
    loop {
        let entries = match store.list_audit(filter.clone(), true, after, ROWS).await {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "an export of the audit log broke off");
                return;
            }
        };
        let Some(last) = entries.last() else { return writer.end().await };
        after = Some(last.id);
        let lines: String = entries.into_iter().map(|entry| format!("{}\n", json!(View::from(entry)))).collect();
        if !writer.part(lines).await {
            return;
        }
    }
}

/// Whether each row follows from the one before it.
pub(super) async fn verify(State(state): State<AdminState>) -> Result<Json<Value>, Error> {
    let check = state.store.check_audit().await?;
    Ok(Json(json!({ "rows": check.rows, "broken": check.broken, "head": hexadecimal(&check.head) })))
}

impl Query {
    fn filter(&self) -> Result<AuditFilter, Error> {
        let moment = |field, text: &Option<String>| text.as_deref().map(|text| time::parse(field, text)).transpose();
        let kinds = Actor::ALL.map(|(_, name)| name);
        if self.actor.as_deref().is_some_and(|actor| !kinds.contains(&actor)) {
            return Err(Error::invalid("actor", format!("actor must be one of {}", kinds.join(", "))));
        }
        Ok(AuditFilter {
            actor: self.actor.clone(),
            by: self.by.clone(),
            action: self.action.clone(),
            subject: self.subject.clone(),
            from: moment("from", &self.from)?,
            to: moment("to", &self.to)?,
        })
    }
}

impl From<AuditEntry> for View {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: time::text(entry.at),
            actor: entry.actor,
            by: entry.by,
            address: entry.address,
            action: entry.action,
            subject: entry.subject,
            before: entry.before,
            after: entry.after,
            hash: hexadecimal(&entry.hash),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
