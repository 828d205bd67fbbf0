//! `POST /api/v1/deactivate`: a machine gives its activation back, with its users. The licence stays in force at the site.

use super::body::Asked;
use super::error::Refused;
use crate::http::Api;
use axum::Json;
use axum::extract::State;
use serde_json::Value;
use sitewarden_protocol::license_server::answer;

pub(super) async fn deactivate(State(api): State<Api>, asked: Asked) -> Result<Json<Value>, Refused> {
    let (activation, reason) = (asked.fields.activation()?, asked.fields.reason()?);
    api.enforcement.deactivate_machine(Some(asked.fields.key().to_owned()), activation, reason).await?;
    Ok(Json(answer::deactivated()))
}
