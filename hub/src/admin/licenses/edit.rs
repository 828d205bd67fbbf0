//! Changes of a licence, and who made them.

use super::{Selector, View, term};
use crate::admin::{
    AdminState, Caller,
    error::Error,
    extract::{Body, Id, given},
    time,
};
use crate::store::{LicenseChange, LicenseEdit, LicenseRevision, LicenseSelector, PolicyEdit};
use axum::{Json, extract::State};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sitewarden_protocol::license::{Kind, Status, Validity};
use sitewarden_protocol::time::UnixMillis;

/// What is to be changed; what is not given stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct Edit {
    name: Option<String>,
    description: Option<String>,
    #[schemars(with = "Option<String>")]
    kind: Option<Kind>,
    #[schemars(with = "Option<String>")]
    validity: Option<Validity>,
    /// RFC 3339; with `until`, in place of `validity`.
    from: Option<String>,
    until: Option<String>,
    /// Null is without limit. So too the next two.
    #[serde(default, deserialize_with = "given")]
    quota: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    users: Option<Option<u32>>,
    #[serde(default, deserialize_with = "given")]
    activations: Option<Option<u32>>,
    features: Option<Vec<String>>,
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, Value>")]
    policy: PolicyEdit,
    /// Per cent.
    thresholds: Option<Vec<u16>>,
    /// Inactive, Active, Expired, Deactivated or Invalid.
    status: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct Revision {
    revision: u32,
    at: String,
    by: String,
    #[schemars(with = "Vec<Value>")]
    changes: Vec<LicenseChange>,
}

pub(in crate::admin) async fn edit(
    caller: Caller,
    State(state): State<AdminState>,
    Id(which): Id<Selector>,
    Body(edit): Body<Edit>,
) -> Result<Json<View>, Error> {
    change(&caller, &state, which.0, edit.read()?).await
}

pub(in crate::admin) async fn revoke(
    caller: Caller,
    State(state): State<AdminState>,
    Id(which): Id<Selector>,
) -> Result<Json<View>, Error> {
    change(&caller, &state, which.0, LicenseEdit { status: Some(Status::Invalid), ..LicenseEdit::default() }).await
}

pub(in crate::admin) async fn history(
    State(state): State<AdminState>,
    Id(which): Id<Selector>,
) -> Result<Json<Vec<Revision>>, Error> {
    Ok(Json(state.store.license_history(which.0).await?.into_iter().map(Revision::from).collect()))
}

async fn change(
    caller: &Caller,
    state: &AdminState,
    which: LicenseSelector,
    edit: LicenseEdit,
) -> Result<Json<View>, Error> {
    let act = caller.act();
    Ok(Json(View::of(state.store.edit_license(&act, which, edit).await??, act.at)))
}

impl Edit {
    fn read(self) -> Result<LicenseEdit, Error> {
        let status = |name: &String| {
            let allowed = "status must be Inactive, Active, Expired, Deactivated or Invalid";
            Status::by_name(name).ok_or_else(|| Error::invalid("status", allowed))
        };
        Ok(LicenseEdit {
            term: term(self.validity, self.from.as_deref(), self.until.as_deref())?,
            name: self.name,
            description: self.description,
            kind: self.kind,
            monitors: self.quota,
            users: self.users,
            activations: self.activations,
            features: self.features,
            policy: self.policy,
            thresholds: self.thresholds,
            status: self.status.as_ref().map(status).transpose()?,
            ..LicenseEdit::default()
        })
    }
}

/// Moments are stored as numbers, and read as text.
fn readable(change: LicenseChange) -> LicenseChange {
    let moment = |value: Value| value.as_i64().map_or(value, |at| time::text(UnixMillis(at)).into());
    if change.field.ends_with("_at") {
        LicenseChange { before: moment(change.before), after: moment(change.after), ..change }
    } else {
        change
    }
}

impl From<LicenseRevision> for Revision {
    fn from(stored: LicenseRevision) -> Self {
        let changes = stored.changes.into_iter().map(readable).collect();
        Self { revision: stored.revision, at: time::text(stored.at), by: stored.by, changes }
    }
}
