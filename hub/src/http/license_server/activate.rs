//! `POST /api/v1/activate`: a machine comes under a licence. The first one puts the licence in force.

use super::{asked::Asked, error::Refused};
use crate::store::NewMachine;
use axum::Json;
use serde_json::Value;
use sitewarden_protocol::license_server::{Refused as Said, answer};

pub(super) async fn activate(asked: Asked) -> Result<Json<Value>, Refused> {
    let Asked { fields, server } = asked;
    let (hardware, name) = (fields.hardware()?, fields.machine_name()?);
    let machine = NewMachine { hardware, name, app_version: fields.app_version()? };
    server.store.knows_machine(fields.key(), None).await??;
    let mut random = [0; 10];
    getrandom::fill(&mut random).map_err(|_| Refused(Said::plain(503, "the system gives no random bytes")))?;
    let (activation, license) = server.store.activate_machine(server.moment(), fields.key(), machine, random).await??;
    Ok(Json(answer::activated(activation, &license)))
}
