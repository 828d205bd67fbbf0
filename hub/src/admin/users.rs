//! Users. A password comes as its hash: it stays in the command that was given it.

use super::{
    AdminState, Caller,
    edition::Tagged,
    error::Error,
    extract::{Body, CREATED, Id, Parameters},
    page::{Limit, Page},
    time,
};
use crate::password;
use crate::store::{Account, Role, Scope, Thing, User, UserEdit};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::id::SiteId;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    name: String,
    role: Role,
    password_hash: String,
    customer: Option<i64>,
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    #[serde(default)]
    on_site: bool,
}

/// What is to be changed; what is not given stays as it is.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Edit {
    role: Option<Role>,
    password_hash: Option<String>,
    enabled: Option<bool>,
    on_site: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Query {
    after: Option<String>,
    #[serde(default)]
    limit: Limit,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct View {
    name: String,
    role: Role,
    customer: Option<i64>,
    #[schemars(with = "Option<String>")]
    site: Option<SiteId>,
    enabled: bool,
    on_site: bool,
    created_at: String,
    /// Grows with every edit, a new password too.
    revision: i64,
}

pub(super) async fn add(
    caller: Caller,
    State(state): State<AdminState>,
    Body(new): Body<New>,
) -> Result<(StatusCode, Tagged<View>), Error> {
    if new.customer.is_some() && new.site.is_some() {
        return Err(Error::invalid("site", "give either customer or site"));
    }
    within(&caller, &state, new.customer, new.site).await?;
    if new.on_site && !caller.scope().is_unlimited() {
        return Err(Error::limited());
    }
    let scope = Scope { customer: new.customer, site: new.site };
    let password_hash = checked(new.password_hash)?;
    let user = User { name: new.name, role: new.role, scope, password_hash };
    Ok((CREATED, View::tagged(state.store.add_user(&caller.act(), user, new.on_site).await??)))
}

pub(super) async fn list(
    caller: Caller,
    State(state): State<AdminState>,
    Parameters(query): Parameters<Query>,
) -> Result<Json<Page<View>>, Error> {
    let users = state.store.list_users(caller.scope(), query.after, query.limit.rows()).await?;
    Ok(Json(Page::of(users, query.limit, |user| user.name.clone(), View::from)))
}

pub(super) async fn show(
    caller: Caller,
    State(state): State<AdminState>,
    Id(name): Id<String>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::User(name.clone())).await?;
    Ok(View::tagged(state.store.account(&name).await?))
}

pub(super) async fn edit(
    caller: Caller,
    State(state): State<AdminState>,
    Id(name): Id<String>,
    Body(edit): Body<Edit>,
) -> Result<Tagged<View>, Error> {
    caller.reach(&state.store, Thing::User(name.clone())).await?;
    check_on_site(&caller, &state, &name, edit.on_site).await?;
    let password_hash = edit.password_hash.map(checked).transpose()?;
    let edit = UserEdit { role: edit.role, password_hash, enabled: edit.enabled, on_site: edit.on_site };
    Ok(View::tagged(state.store.edit_user(&caller.act(), &name, edit).await??))
}

pub(super) async fn remove(
    caller: Caller,
    State(state): State<AdminState>,
    Id(name): Id<String>,
) -> Result<Json<View>, Error> {
    caller.reach(&state.store, Thing::User(name.clone())).await?;
    check_on_site(&caller, &state, &name, None).await?;
    Ok(Json(state.store.remove_user(&caller.act(), &name).await??.into()))
}

/// What somebody is given is within what the giver has himself. One who is limited must say to what.
pub(super) async fn within(
    caller: &Caller,
    state: &AdminState,
    customer: Option<i64>,
    site: Option<SiteId>,
) -> Result<(), Error> {
    match (site, customer) {
        (Some(site), _) => caller.reach(&state.store, Thing::Site(site)).await,
        (None, Some(customer)) => caller.reach(&state.store, Thing::Customer(customer)).await,
        (None, None) if caller.scope().is_unlimited() => Ok(()),
        (None, None) => Err(Error::limited()),
    }
}

/// Whom agents take for one of the vendor's is for those who are limited to nothing: a site's own administrator must not
/// become one.
async fn check_on_site(caller: &Caller, state: &AdminState, name: &str, wanted: Option<bool>) -> Result<(), Error> {
    if caller.scope().is_unlimited() {
        return Ok(());
    }
    let is_on_site = state.store.account(name).await?.on_site;
    if is_on_site || wanted == Some(true) { Err(Error::limited()) } else { Ok(()) }
}

fn checked(hash: String) -> Result<String, Error> {
    let wrong = || Error::invalid("password_hash", "password_hash must be an argon2id hash in PHC form");
    if password::is_hash(&hash) { Ok(hash) } else { Err(wrong()) }
}

impl View {
    fn tagged(account: Account) -> Tagged<Self> {
        Tagged(account.revision, account.into())
    }
}

impl From<Account> for View {
    fn from(account: Account) -> Self {
        Self {
            name: account.name,
            role: account.role,
            customer: account.customer,
            site: account.site,
            enabled: account.enabled,
            on_site: account.on_site,
            created_at: time::text(account.created_at),
            revision: account.revision,
        }
    }
}
