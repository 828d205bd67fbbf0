//! `POST /api/v1/validate`: may this machine go on, and with so many users? Where their number has not changed nothing is
//! written.

use super::{asked::Asked, error::Refused};
use crate::store::MachineRefusal;
use axum::Json;
use serde_json::Value;
use sitewarden_protocol::license_server::answer;

pub(super) async fn validate(asked: Asked) -> Result<Json<Value>, Refused> {
    let Asked { fields, server } = asked;
    let (activation, hardware, users) = (fields.activation(), fields.hardware()?, fields.users()?);
    fields.app_version()?;
    let (moment, key) = (server.moment(), fields.key());
    let examined = server.store.examine_machine(moment, key, activation, hardware, users).await?;
    let examined = examined.ok_or(MachineRefusal::UnknownKey)??;
    let decided = match examined.claim {
        Ok(None) => Ok(()),
        Ok(Some((activation, users))) => {
            server.claims.take(activation, server.elapsed())?;
            match server.store.claim_users(moment, key, activation, users, None).await? {
                Err(MachineRefusal::Refused(refusal)) => Err(refusal),
                decided => Ok(decided?),
            }
        }
        Err(refusal) => Err(refusal),
    };
    Ok(Json(answer::validated(decided, examined.features, examined.max_users)?))
}
