//! Users: who may administer or look.

use super::{Act, Store, audit, customers::checked_name, error::Error};
use rusqlite::params;

impl Store {
    /// Adds the administrator whom `init` makes.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is any user already.
    pub async fn add_first_administrator(&self, act: &Act, name: &str, password_hash: &str) -> Result<(), Error> {
        let (act, name, password_hash) = (act.clone(), checked_name(name)?, password_hash.to_owned());
        self.write(move |tx| {
            let users: i64 = tx.prepare_cached("SELECT count(*) FROM users")?.query_row([], |row| row.get(0))?;
            if users > 0 {
                return Err(Error::Conflict { what: "first administrator" });
            }
            tx.prepare_cached("INSERT INTO users (name, role, password_hash, created_at) VALUES (?, 'admin', ?, ?)")?
                .execute(params![name, password_hash, act.at.0])?;
            let after = serde_json::json!({ "name": name, "role": "admin" });
            audit::write(tx, &act, "user.add", &format!("user {name}"), None, Some(&after))
        })
        .await
    }

    /// The password hash of an enabled user, in PHC form; `None` if there is no such user.
    ///
    /// # Errors
    /// What the database says.
    pub async fn password_hash(&self, name: &str) -> Result<Option<String>, Error> {
        use rusqlite::OptionalExtension;
        let name = name.to_owned();
        self.read(move |connection| {
            let mut query =
                connection.prepare_cached("SELECT password_hash FROM users WHERE name = ? AND enabled = 1")?;
            Ok(query.query_row([name], |row| row.get(0)).optional()?)
        })
        .await
    }
}
