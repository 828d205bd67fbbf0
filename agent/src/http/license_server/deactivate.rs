//! `POST /api/v1/deactivate`: a machine gives its activation back, with its users. The licence stays in force at the site.

use super::body::Fields;
use super::error::Refused;
use crate::http::Api;
use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

/// The longest reason, bytes.
const MAX_REASON: usize = 512;

pub(super) async fn deactivate(State(api): State<Api>, fields: Fields) -> Result<Json<Value>, Refused> {
    let activation = fields.activation()?;
    let reason = fields.text("reason", MAX_REASON)?.unwrap_or_default().to_owned();
    api.enforcement.deactivate_machine(Some(fields.key), activation, reason).await?;
    Ok(Json(json!({"success": true, "message": "License deactivated successfully"})))
}
