//! Users: who may administer or look.

use super::{Act, LicenseRow, Store, audit, customers::checked_name, error::Error, writer::Tx};
use rusqlite::{Row, params};
use serde::Serialize;
use sitewarden_protocol::id::SiteId;
use std::fmt;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
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
        self.customer.is_none_or(|only| only == license.customer) && self.site.is_none_or(|only| only == license.site)
    }
}

impl Role {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Admin, "admin"), (Self::Operator, "operator"), (Self::Viewer, "viewer")];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).map_or("viewer", |(_, name)| name)
    }

    fn by_name(name: &str) -> Option<Self> {
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
            insert(tx, &act, &user)
        })
        .await
    }

    /// Adds a user.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name, [`Error::Invalid`] for a name that Basic authentication cannot
    /// carry.
    pub async fn add_user(&self, act: &Act, user: User) -> Result<(), Error> {
        let act = act.clone();
        self.write(move |tx| insert(tx, &act, &user)).await
    }

    /// An enabled user; `None` if there is none of this name.
    ///
    /// # Errors
    /// What the database says.
    pub async fn user(&self, name: &str) -> Result<Option<User>, Error> {
        let name = name.to_owned();
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT name, role, customer, site, password_hash FROM users WHERE name = ? AND enabled = 1",
            )?;
            let mut rows = query.query([name])?;
            rows.next()?.map(read).transpose()
        })
        .await
    }
}

fn insert(tx: &Tx<'_>, act: &Act, user: &User) -> Result<(), Error> {
    let name = checked_name(&user.name)?;
    if name.contains(':') {
        return Err(Error::Invalid { what: "name", allowed: "without a colon" });
    }
    let site = user.scope.site.map(|id| *id.as_bytes());
    tx.prepare_cached(
        "INSERT INTO users (name, role, password_hash, customer, site, created_at) VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![name, user.role.name(), user.password_hash, user.scope.customer, site, act.at.0])
    .map_err(|error| Error::or_conflict(error, "user"))?;
    let after = serde_json::json!({
        "name": name, "role": user.role, "customer": user.scope.customer, "site": user.scope.site,
    });
    audit::write(tx, act, "user.add", &format!("user {name}"), None, Some(&after))
}

fn read(row: &Row<'_>) -> Result<User, Error> {
    let role = Role::by_name(&row.get::<_, String>(1)?).ok_or(Error::Damaged { what: "user" })?;
    let site = row.get::<_, Option<[u8; 16]>>(3)?.map(SiteId::from_bytes);
    Ok(User { name: row.get(0)?, role, scope: Scope { customer: row.get(2)?, site }, password_hash: row.get(4)? })
}
