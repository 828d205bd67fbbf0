//! Licences. The key is in the answers to issue and show, for the owner of the hub only.

pub(super) mod edit;
pub(super) mod explain;

pub(super) use edit::{edit, history, revoke};
pub(super) use explain::explain;

use super::{
    AdminState, Caller,
    error::Error,
    extract::{Body, CREATED, Id, Parameters},
    page::{Limit, Page},
    time,
};
use crate::store::{Holder, Issued, LicenseRow, LicenseSelector, NewLicense, PolicyEdit};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::{
    id::{LicenseId, SiteId},
    license::{Kind, Limits, Policy, Term, Validity},
    time::UnixMillis,
};
use std::str::FromStr;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    #[schemars(with = "String")]
    site: SiteId,
    app: String,
    name: String,
    /// If not given: perpetual without an end, else subscription.
    #[schemars(with = "Option<String>")]
    kind: Option<Kind>,
    #[schemars(with = "Option<String>")]
    validity: Option<Validity>,
    /// RFC 3339; with `until`, in place of `validity`.
    from: Option<String>,
    until: Option<String>,
    /// Monitors at the same time; without limit if not given. So too the next two.
    quota: Option<u32>,
    users: Option<u32>,
    activations: Option<u32>,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    policy: PolicyEdit,
    #[serde(default)]
    thresholds: Vec<u16>,
    #[serde(default)]
    description: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    after: Option<i64>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    id: i64,
    #[schemars(with = "String")]
    uuid: LicenseId,
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    customer: i64,
    app: String,
    name: String,
    description: String,
    #[schemars(with = "String")]
    kind: Kind,
    status: &'static str,
    #[schemars(with = "Option<String>")]
    validity: Option<Validity>,
    from: Option<String>,
    until: Option<String>,
    quota: Option<u32>,
    users: Option<u32>,
    activations: Option<u32>,
    features: Vec<String>,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    policy: Policy,
    thresholds: Vec<u16>,
    activated_at: Option<String>,
    expires_at: Option<String>,
    revision: u32,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// A number or a UUID.
pub(super) struct Selector(LicenseSelector);

pub(super) async fn issue(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<View>), Error> {
    let act = caller.act();
    let issued = state.store.issue_license(&act, new.read()?).await?;
    Ok((CREATED, Json(View::with_key(issued, act.at))))
}

pub(super) async fn list(
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let now = crate::wall_clock();
    let licenses = state.store.list_licenses(query.site, query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(licenses, query.limit, |license| license.id.to_string(), |license| View::of(license, now))))
}

pub(super) async fn show(State(state): State<AdminState>, Id(which): Id<Selector>) -> Result<Json<View>, Error> {
    Ok(Json(View::with_key(state.store.reveal_license(which.0).await?, crate::wall_clock())))
}

impl New {
    fn read(self) -> Result<NewLicense, Error> {
        let term = term(self.validity, self.from.as_deref(), self.until.as_deref())?.unwrap_or(Term::Endless);
        let kind = self.kind.unwrap_or(if term == Term::Endless { Kind::Perpetual } else { Kind::Subscription });
        Ok(NewLicense {
            holder: Holder::Site(self.site),
            app: self.app,
            name: self.name,
            kind,
            term,
            limits: Limits { monitors: self.quota, users: self.users, activations: self.activations },
            features: self.features,
            policy: self.policy.of(Policy::default()),
            thresholds: self.thresholds,
            description: self.description,
        })
    }
}

/// `None` if none is given.
fn term(validity: Option<Validity>, from: Option<&str>, until: Option<&str>) -> Result<Option<Term>, Error> {
    match (validity, from, until) {
        (Some(validity), None, None) => Ok(Some(Term::Validity(validity))),
        (None, Some(from), Some(until)) => {
            Ok(Some(Term::Dates { from: time::parse("from", from)?, until: time::parse("until", until)? }))
        }
        (None, None, None) => Ok(None),
        _ => Err(Error::invalid("validity", "give either validity, or from and until, or neither")),
    }
}

impl View {
    fn with_key(issued: Issued, now: UnixMillis) -> Self {
        Self { key: Some(issued.key), ..Self::of(issued.license, now) }
    }

    fn of(license: LicenseRow, now: UnixMillis) -> Self {
        let (validity, from, until) = match license.term {
            Term::Validity(validity) => (Some(validity), None, None),
            Term::Dates { from, until } => (None, Some(time::text(from)), Some(time::text(until))),
            Term::Endless => (None, None, None),
        };
        let status = license.status_at(now).name();
        Self {
            id: license.id,
            uuid: license.uuid,
            site: license.site,
            customer: license.customer,
            app: license.app,
            name: license.name,
            description: license.description,
            kind: license.kind,
            status,
            validity,
            from,
            until,
            quota: license.limits.monitors,
            users: license.limits.users,
            activations: license.limits.activations,
            features: license.features,
            policy: license.policy,
            thresholds: license.thresholds,
            activated_at: license.activated_at.map(time::text),
            expires_at: license.expires_at.map(time::text),
            revision: license.revision,
            created_at: time::text(license.created_at),
            key: None,
        }
    }
}

impl FromStr for Selector {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = text.parse().map(LicenseSelector::Number);
        number.or_else(|_| text.parse().map(LicenseSelector::Uuid)).map(Self).map_err(|_| ())
    }
}
