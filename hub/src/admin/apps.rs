//! Apps, their numbers, and the versions that were released of them.

use super::{
    AdminState, Caller,
    error::Error,
    extract::{Body, CREATED, Id},
};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewVersion {
    version: String,
}

pub(super) async fn list(State(state): State<AdminState>) -> Result<Json<Value>, Error> {
    let apps = state.store.list_apps().await?;
    let items = (1..).zip(apps).map(|(number, (code, versions))| {
        let number: u32 = number;
        json!({ "number": number, "code": code, "versions": versions })
    });
    Ok(Json(json!({ "items": items.collect::<Vec<_>>(), "next": null })))
}

pub(super) async fn add_version(
    caller: Caller,
    State(state): State<AdminState>,
    Id(code): Id<String>,
    Body(new): Body<NewVersion>,
) -> Result<(StatusCode, Json<Value>), Error> {
    state.store.add_app_version(&caller.act(), &code, &new.version).await?;
    Ok((CREATED, Json(json!({ "app": code, "version": new.version.trim() }))))
}
