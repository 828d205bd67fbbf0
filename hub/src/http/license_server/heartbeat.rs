//! `POST /api/v1/heartbeat`: a machine is alive, and has so many users.

use super::{
    asked::Asked,
    error::{Refused, headers},
};
use crate::store::MachineRefusal;
use axum::{Json, http::HeaderMap, response::IntoResponse};
use sitewarden_protocol::{license::seats::Refusal, license_server::answer};

pub(super) async fn heartbeat(asked: Asked) -> Result<impl IntoResponse, Refused> {
    let Asked { fields, server } = asked;
    let (activation, users, features) = (fields.activation()?, fields.required_users()?, fields.features()?);
    // Only activations that there are have a place among those whose calls are counted.
    server.store.knows_machine(fields.key(), Some(activation)).await??;
    let left = server.count_heartbeat(activation)?;
    let moment = server.moment();
    match server.store.claim_users(moment, fields.key(), activation, users, Some(features)).await {
        Ok(Ok(())) => {
            let told: HeaderMap = headers(&left.headers()).collect();
            Ok((told, Json(answer::alive(moment.now))))
        }
        Ok(Err(refusal)) => {
            // Whoever was released may claim at once.
            if matches!(refusal, MachineRefusal::Refused(Refusal::Released { .. })) {
                server.heartbeats.give_back(&activation);
            }
            let Refused(said) = refusal.into();
            Err(said.headed(left.headers()).into())
        }
        Err(error) => {
            // What could not be stored may come again at once.
            server.heartbeats.give_back(&activation);
            Err(error.into())
        }
    }
}
