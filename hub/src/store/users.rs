//! Users: who may administer or look.
//!
//! Always true: an enabled administrator who is limited to nothing remains, so that a hub cannot be locked out of; only
//! administrators are on site; a password's hash leaves the store only to be compared, or with the snapshots of the sites
//! that its user is on.

mod change;
mod on_site;
mod read;

pub use change::{Refusal as UserRefusal, UserEdit};
pub use on_site::MAX_ON_SITE;
pub(super) use on_site::administrators as on_site;
pub(super) use read::{enabled, of_session};

use super::{Act, LicenseRow, Store, error::Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sitewarden_protocol::{id::SiteId, time::UnixMillis};
use std::fmt;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Admin,
    /// Looks, and activates.
    Operator,
    /// Looks.
    Viewer,
}

/// What a user may see: everything, or what is of one customer, or of one site.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scope {
    /// Nothing of any other customer.
    pub customer: Option<i64>,
    /// Nothing of any other site.
    pub site: Option<SiteId>,
}

/// A user who may log in. The password's hash does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// What he may see.
    pub scope: Scope,
    /// argon2id, in PHC form.
    pub password_hash: String,
}

/// A user as administrators see him: everything but what proves him.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Account {
    /// The name, unique.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// The customer that he is limited to.
    pub customer: Option<i64>,
    /// The site that he is limited to.
    pub site: Option<SiteId>,
    /// Whether he may log in.
    pub enabled: bool,
    /// Whether the agents of the sites in his scope know him.
    pub on_site: bool,
    /// Since when.
    pub created_at: UnixMillis,
    /// Grows with every edit.
    pub revision: i64,
}

impl Account {
    const fn scope(&self) -> Scope {
        Scope { customer: self.customer, site: self.site }
    }

    /// Whether agents are told of him.
    const fn is_told(&self) -> bool {
        self.enabled && self.on_site
    }

    /// Whether he keeps the hub from being locked.
    fn holds_the_hub(&self) -> bool {
        self.enabled && self.role == Role::Admin && self.scope().is_unlimited()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("User");
        shown.field("name", &self.name).field("role", &self.role).field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Scope {
    /// Whether nothing is hidden.
    pub const fn is_unlimited(&self) -> bool {
        self.customer.is_none() && self.site.is_none()
    }

    /// Whether a licence may be seen.
    pub fn covers(&self, license: &LicenseRow) -> bool {
        self.customer.is_none_or(|only| only == license.customer)
            && self.site.is_none_or(|only| license.site == Some(only))
    }
}

impl Role {
    /// Whether it permits all that another one does.
    pub const fn covers(self, other: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => !matches!(other, Self::Admin),
            Self::Viewer => matches!(other, Self::Viewer),
        }
    }

    const ALL: [(Self, &'static str); 3] =
        [(Self::Admin, "admin"), (Self::Operator, "operator"), (Self::Viewer, "viewer")];

    /// The name, as it is stored and shown.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).map_or("viewer", |(_, name)| name)
    }

    pub(super) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(_, known)| *known == name).map(|(role, _)| role)
    }
}

impl Store {
    /// Adds the administrator whom `init` makes.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is any user already.
    pub async fn add_first_administrator(&self, act: &Act, name: &str, password_hash: &str) -> Result<(), Error> {
        let (name, password_hash) = (name.to_owned(), password_hash.to_owned());
        let user = User { name, role: Role::Admin, scope: Scope::default(), password_hash };
        let act = act.clone();
        self.write(move |tx| {
            let users: i64 = tx.prepare_cached("SELECT count(*) FROM users")?.query_row([], |row| row.get(0))?;
            if users > 0 {
                return Err(Error::Conflict { what: "first administrator" });
            }
            change::insert(tx, &act, &user, false).map(drop)
        })
        .await
    }

    /// An enabled user; `None` if there is none of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn user(&self, name: &str) -> Result<Option<User>, Error> {
        let name = name.to_owned();
        self.read(move |connection| enabled(connection, &name)).await
    }

    /// A user, who may be disabled.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn account(&self, name: &str) -> Result<Account, Error> {
        let name = name.to_owned();
        self.read(move |connection| read::find(connection, &name)).await
    }

    /// Users whose whole scope `scope` covers in the order of their names, after one of them.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_users(&self, scope: Scope, after: Option<String>, limit: usize) -> Result<Vec<Account>, Error> {
        self.read(move |connection| read::list(connection, scope, after.as_deref(), limit)).await
    }
}
