//! Who calls, what he may do, and what a route needs.

use super::{Access, Error};
use crate::store::{Act, Actor, Role, Scope, SessionId, Store, Thing};
use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};
use std::{net::IpAddr, sync::Arc};

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(super) who: Who,
    pub(super) role: Role,
    pub(super) scope: Scope,
    /// `None` on the administration socket.
    pub(super) address: Option<IpAddr>,
    /// Which state he saw of what he is about to change.
    pub(super) seen: Option<i64>,
}

/// What kind of caller it is.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// The owner of the data folder.
    Local,
    /// A user who logged in.
    User { name: String, session: SessionId },
    /// A program with an API key.
    Key { id: i64, name: String },
}

/// What a route needs of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    role: Role,
    /// Whether he must be limited to no customer or site.
    whole_hub: bool,
}

impl Needs {
    /// Looks at what is in his scope.
    pub(crate) const LOOK: Self = Self { role: Role::Viewer, whole_hub: false };
    /// Does what plants need every day: activates, puts flags aside.
    pub(crate) const OPERATE: Self = Self { role: Role::Operator, whole_hub: false };
    /// Changes what is in his scope.
    pub(crate) const ADMINISTER: Self = Self { role: Role::Admin, whole_hub: false };
    /// Tends what is of no single customer.
    pub(crate) const TEND: Self = Self { role: Role::Operator, whole_hub: true };
    /// Looks at what is of no single customer.
    pub(crate) const SURVEY: Self = Self { role: Role::Viewer, whole_hub: true };
    /// Changes what is of no single customer.
    pub(crate) const WHOLE_HUB: Self = Self { role: Role::Admin, whole_hub: true };

    /// Refuses a caller who has not got it.
    pub(crate) fn check(self, caller: &Caller) -> Result<(), Error> {
        if !caller.role.covers(self.role) {
            return Err(Error::role(caller.role, self.role));
        }
        if self.whole_hub && !caller.scope.is_unlimited() { Err(Error::limited()) } else { Ok(()) }
    }

    /// The same in words, for the document.
    pub(crate) fn told(self) -> String {
        let role = match self.role {
            Role::Viewer => "For every role",
            Role::Operator => "For the roles operator and admin",
            Role::Admin => "For the role admin",
        };
        let whole = if self.whole_hub { ", and for nobody who is limited to one customer or site" } else { "" };
        format!("{role}{whole}.")
    }

    /// Whether a caller of this role and scope has it.
    #[cfg(test)]
    pub(crate) fn met_by(self, role: Role, unlimited: bool) -> bool {
        role.covers(self.role) && (unlimited || !self.whole_hub)
    }
}

impl Caller {
    /// The owner of the data folder, who may do everything.
    pub(super) fn local() -> Self {
        Self { who: Who::Local, role: Role::Admin, scope: Scope::default(), address: None, seen: None }
    }

    pub(crate) const fn who(&self) -> &Who {
        &self.who
    }

    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// What he may see and change; everything else does not exist for him.
    pub(crate) const fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether licence keys and the like are shown to him.
    pub(crate) fn sees_keys(&self) -> bool {
        self.role.covers(Role::Operator)
    }

    /// Refuses what is not in his scope, as if it did not exist.
    pub(crate) async fn reach(&self, store: &Store, thing: Thing) -> Result<(), Error> {
        let kind = thing.kind();
        if store.reaches(self.scope, thing).await? { Ok(()) } else { Err(Error::not_found(kind)) }
    }

    /// Something is done now, by him, to what he saw.
    pub(crate) fn act(&self) -> Act {
        let at = crate::wall_clock();
        let (actor, by) = match &self.who {
            Who::Local => return Act { seen: self.seen, ..Act::local(at) },
            Who::User { name, .. } => (Actor::User, name.clone()),
            Who::Key { id, name } => (Actor::ApiKey, format!("api key {id} ({name})")),
        };
        Act { actor, by, at, address: self.address, seen: self.seen }
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Arc<Access>: FromRef<S>,
{
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        // The table of routes has asked already.
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        Arc::<Access>::from_ref(state).caller(&parts.headers, &parts.extensions).await
    }
}
