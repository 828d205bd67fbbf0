//! What the command line asks about users, over the unix socket.

use super::Api;
use super::error::Plant;
use super::operator::accept;
use crate::users::{AddError, ChangeError, Role, Users};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// `user add`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddUserRequest {
    /// The user's name.
    pub name: String,
    /// The user's role.
    pub role: Role,
    /// The user's password.
    pub password: String,
}

impl fmt::Debug for AddUserRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddUserRequest({}, {:?})", self.name, self.role)
    }
}

/// `user passwd`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordRequest {
    /// The user's name.
    pub name: String,
    /// The new password.
    pub password: String,
}

impl fmt::Debug for PasswordRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordRequest({})", self.name)
    }
}

/// `user remove`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveUserRequest {
    /// The user's name.
    pub name: String,
}

/// One line of `user list`: a user of the site, or one of the vendor's own people.
#[derive(Debug, Serialize, Deserialize)]
pub struct UserLine {
    /// The name.
    pub name: String,
    /// `app`, `operator`, `admin`, or `vendor` for who came in the snapshot.
    pub role: String,
}

/// Who may log in: the site's users, then the vendor's people of this snapshot.
pub fn list_users(users: &Users, snapshot: &sitewarden_protocol::snapshot::Snapshot) -> Vec<UserLine> {
    let own = users.list().into_iter().map(|(name, role)| UserLine { name, role: role.name().to_owned() });
    let vendor = snapshot.administrators.iter();
    own.chain(vendor.map(|one| UserLine { name: one.name.clone(), role: "vendor".to_owned() })).collect()
}

pub(super) async fn list(State(api): State<Api>) -> Json<Vec<UserLine>> {
    Json(list_users(&api.users, &api.enforcement.state().snapshot))
}

pub(super) async fn add(
    State(api): State<Api>,
    body: Result<Json<AddUserRequest>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let AddUserRequest { name, role, password } = accept(body)?;
    let answer = json!({"name": name, "role": role});
    change(api.users, move |users| users.add(&name, role, &password)).await?;
    Ok(Json(answer))
}

pub(super) async fn set_password(
    State(api): State<Api>,
    body: Result<Json<PasswordRequest>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let PasswordRequest { name, password } = accept(body)?;
    let answer = json!({"name": name, "changed": true});
    change(api.users, move |users| users.set_password(&name, &password)).await?;
    Ok(Json(answer))
}

pub(super) async fn remove(
    State(api): State<Api>,
    body: Result<Json<RemoveUserRequest>, JsonRejection>,
) -> Result<Json<Value>, Plant> {
    let RemoveUserRequest { name } = accept(body)?;
    let answer = json!({"name": name, "removed": true});
    change(api.users, move |users| users.remove(&name)).await?;
    Ok(Json(answer))
}

/// Hashing and writing are not for an async thread.
async fn change<E: Into<Plant> + Send + 'static>(
    users: Arc<Users>,
    change: impl FnOnce(&Users) -> Result<(), E> + Send + 'static,
) -> Result<(), Plant> {
    match tokio::task::spawn_blocking(move || change(&users)).await {
        Ok(changed) => changed.map_err(Into::into),
        Err(_) => Err(Plant::message(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping")),
    }
}

impl From<AddError> for Plant {
    fn from(error: AddError) -> Self {
        match error {
            AddError::Exists(_) => Self::message(StatusCode::CONFLICT, error.to_string()),
            AddError::Name | AddError::Password(_) => Self::bad_request(error.to_string()),
            AddError::Hash(_) | AddError::File(_) => not_stored(&error),
        }
    }
}

impl From<ChangeError> for Plant {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Unknown(_) => Self::message(StatusCode::NOT_FOUND, error.to_string()),
            ChangeError::Password(_) => Self::bad_request(error.to_string()),
            ChangeError::Hash(_) | ChangeError::File(_) => not_stored(&error),
        }
    }
}

fn not_stored(error: &(dyn std::error::Error + 'static)) -> Plant {
    tracing::error!(error, "a user could not be stored");
    Plant::message(StatusCode::INTERNAL_SERVER_ERROR, "the user could not be stored; see the agent's log")
}
