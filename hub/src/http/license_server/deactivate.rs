//! `POST /api/v1/deactivate`: a machine gives its activation back, with its users. The licence stays in force.

use super::{asked::Asked, error::Refused};
use axum::Json;
use serde_json::Value;
use sitewarden_protocol::license_server::answer;

pub(super) async fn deactivate(asked: Asked) -> Result<Json<Value>, Refused> {
    let Asked { fields, server } = asked;
    let (activation, reason) = (fields.activation()?, fields.reason()?);
    server.store.knows_machine(fields.key(), Some(activation)).await??;
    server.store.deactivate_machine(crate::wall_clock(), fields.key(), activation, reason).await??;
    Ok(Json(answer::deactivated()))
}
