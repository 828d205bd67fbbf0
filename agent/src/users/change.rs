//! Users are listed, removed, and get other passwords. Who is removed or changed loses access at once.

use super::{Account, Role, Users, check_password, hash};
use argon2::password_hash;
use sitewarden_certs::secret_file;
use std::collections::BTreeMap;
use std::sync::PoisonError;

/// Why a user cannot be changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is none of this name.
    #[error("there is no user {0}; user list shows them all")]
    Unknown(String),
    /// The new password is too short or too long.
    #[error(transparent)]
    Password(#[from] super::PasswordError),
    /// The password cannot be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(password_hash::Error),
    /// The users cannot be stored.
    #[error(transparent)]
    File(#[from] secret_file::Error),
}

impl Users {
    /// All names with their roles, sorted by name.
    pub fn list(&self) -> Vec<(String, Role)> {
        self.accounts.load().iter().map(|(name, account)| (name.clone(), account.role)).collect()
    }

    /// Removes a user and stores it.
    ///
    /// # Errors
    /// [`ChangeError::Unknown`] or [`ChangeError::File`].
    pub fn remove(&self, name: &str) -> Result<(), ChangeError> {
        self.change(|accounts| accounts.remove(name).map(drop).ok_or_else(|| ChangeError::Unknown(name.to_owned())))
    }

    /// Gives a user another password and stores it. Computes a password hash; not for an async thread.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn set_password(&self, name: &str, password: &str) -> Result<(), ChangeError> {
        check_password(password)?;
        let hashed = hash(password).map_err(ChangeError::Hash)?;
        self.change(|accounts| {
            let account = accounts.get_mut(name).ok_or_else(|| ChangeError::Unknown(name.to_owned()))?;
            account.password = hashed;
            Ok(())
        })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Account>) -> Result<(), ChangeError>,
    ) -> Result<(), ChangeError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts = BTreeMap::clone(&self.accounts.load());
        change(&mut accounts)?;
        Ok(self.store(accounts)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HERE, role, users};
    use super::*;

    #[tokio::test]
    async fn who_is_removed_or_changed_loses_access_at_once_and_after_a_restart() {
        let folder = tempfile::TempDir::new().unwrap();
        let known = users(&folder);
        known.add("ems", Role::App, "correct horse").unwrap();
        known.add("boss", Role::Admin, "battery staple").unwrap();
        assert_eq!(role(&known, "ems:correct horse", HERE).await, Some(Role::App));
        assert_eq!(role(&known, "boss:battery staple", HERE).await, Some(Role::Admin));
        known.set_password("ems", "another horse").unwrap();
        known.remove("boss").unwrap();
        for known in [known, users(&folder)] {
            assert_eq!(role(&known, "ems:correct horse", HERE).await, None);
            assert_eq!(role(&known, "ems:another horse", HERE).await, Some(Role::App));
            assert_eq!(role(&known, "boss:battery staple", HERE).await, None);
            assert_eq!(known.list(), [("ems".to_owned(), Role::App)]);
        }
    }

    #[test]
    fn a_password_that_was_being_checked_while_it_was_changed_is_not_remembered() {
        let folder = tempfile::TempDir::new().unwrap();
        let users = users(&folder);
        users.add("ems", Role::App, "correct horse").unwrap();
        let checked = users.check("ems", "correct horse", &[]).unwrap();
        users.set_password("ems", "another horse").unwrap();
        users.remember([1; 32], &checked);
        assert!(users.recall(&[1; 32], &[]).is_none());
    }

    #[test]
    fn unknown_users_and_short_passwords_are_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let users = users(&folder);
        assert!(matches!(users.remove("ems"), Err(ChangeError::Unknown(_))));
        assert!(matches!(users.set_password("ems", "long enough"), Err(ChangeError::Unknown(_))));
        users.add("ems", Role::App, "long enough").unwrap();
        assert!(matches!(users.set_password("ems", "short"), Err(ChangeError::Password(_))));
    }
}
