//! Whether something is within what a caller may see and change.
//!
//! Whom a thing belongs to never changes, so that what is asked here and what is done after it cannot fall apart. One who
//! is limited to a site reaches the site and what is there, and not the plant and the customer around it.

use super::{Scope, Store, error::Error};
use rusqlite::{Connection, OptionalExtension, Params, params};
use sitewarden_protocol::id::{AgentId, PlantId, SiteId};

/// Something that belongs to somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A customer.
    Customer(i64),
    /// A plant.
    Plant(PlantId),
    /// A site.
    Site(SiteId),
    /// An agent, which is its site's.
    Agent(AgentId),
    /// A red flag; one of no site is the vendor's.
    Flag(i64),
    /// An API key.
    ApiKey(i64),
    /// A user, by name; one who is limited to nothing is the vendor's.
    User(String),
}

/// Of which customer something is, and of which site.
type Place = (Option<i64>, Option<[u8; 16]>);

impl Thing {
    /// Its kind, for a message.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Customer(_) => "customer",
            Self::Plant(_) => "plant",
            Self::Site(_) => "site",
            Self::Agent(_) => "agent",
            Self::Flag(_) => "red flag",
            Self::ApiKey(_) => "API key",
            Self::User(_) => "user",
        }
    }
}

impl Store {
    /// Whether a caller of this scope may know of something. `false` also for what does not exist, unless he is limited
    /// to nothing: then only what is done with it tells.
    ///
    /// # Errors
    /// What the database says.
    pub async fn reaches(&self, scope: Scope, thing: Thing) -> Result<bool, Error> {
        if scope.is_unlimited() {
            return Ok(true);
        }
        self.read(move |connection| {
            let Some((customer, site)) = place(connection, &thing)? else { return Ok(false) };
            let only_site = scope.site.map(|id| *id.as_bytes());
            Ok((scope.customer.is_none() || scope.customer == customer) && (only_site.is_none() || only_site == site))
        })
        .await
    }
}

fn place(connection: &Connection, thing: &Thing) -> Result<Option<Place>, Error> {
    let of = |sql: &str, key: &dyn rusqlite::ToSql| one(connection, sql, params![key]);
    match thing {
        Thing::Customer(id) => Ok(Some((Some(*id), None))),
        Thing::Plant(id) => of("SELECT customer, NULL FROM plants WHERE id = ?", id.as_bytes()),
        Thing::Site(id) => {
            of("SELECT p.customer, s.id FROM sites s JOIN plants p ON p.id = s.plant WHERE s.id = ?", id.as_bytes())
        }
        Thing::Agent(id) => of(
            "SELECT p.customer, s.id FROM agents a JOIN sites s ON s.id = a.site JOIN plants p ON p.id = s.plant
             WHERE a.uuid = ?",
            id.as_bytes(),
        ),
        Thing::Flag(id) => of(
            "SELECT p.customer, s.id FROM red_flags f JOIN sites s ON s.id = f.site JOIN plants p ON p.id = s.plant
             WHERE f.id = ?",
            id,
        ),
        Thing::ApiKey(id) => of("SELECT customer, site FROM api_keys WHERE id = ?", id),
        Thing::User(name) => of(
            "SELECT coalesce(u.customer, p.customer), u.site FROM users u LEFT JOIN sites s ON s.id = u.site
             LEFT JOIN plants p ON p.id = s.plant WHERE u.name = ?",
            name,
        ),
    }
}

fn one(connection: &Connection, sql: &str, key: impl Params) -> Result<Option<Place>, Error> {
    let mut query = connection.prepare_cached(sql)?;
    Ok(query.query_row(key, |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}
