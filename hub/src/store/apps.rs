//! The apps that licences are sold for.

use super::{Store, error::Error};
use rusqlite::OptionalExtension;

impl Store {
    /// Whether there is an app of this code. Licences issued on the command line make new ones known.
    ///
    /// # Errors
    /// What the database says.
    pub async fn knows_app(&self, code: &str) -> Result<bool, Error> {
        let code = code.to_owned();
        self.read(move |connection| {
            let mut query = connection.prepare_cached("SELECT 1 FROM apps WHERE code = ?")?;
            Ok(query.query_row([code], |_| Ok(())).optional()?.is_some())
        })
        .await
    }
}
