//! Who may call the local API: names, roles and passwords.
//!
//! Always true: passwords are kept as argon2id hashes only; a credential that was checked once is remembered for a
//! while as a keyed digest in memory, so that no password hash is on the hot path; any change of users forgets them all.

use arc_swap::ArcSwap;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// How long a checked credential is remembered.
const REMEMBERED: Duration = Duration::from_secs(300);
/// Credentials that are remembered at the same time; the memory of them is dropped whole when it is full.
const REMEMBERED_MAX: usize = 1_024;
/// Password hashes computed at the same time: each takes 46 MiB and some 30 ms of a core.
const HASHING: usize = 1;
/// The shortest password, characters.
pub const MIN_PASSWORD: usize = 8;
/// The longest password, bytes.
const MAX_PASSWORD: usize = 1_024;
/// Memory of one hash, KiB; with one pass, one of the settings that OWASP recommends. Above 32 MiB for a reason of ours:
/// freeing a smaller block teaches glibc to keep that much free memory, and the agent is to stay small.
const HASH_MEMORY: u32 = 46 << 10;
/// A hash of no password, so that an unknown name costs what a known one does.
const NOBODY: &str =
    "$argon2id$v=19$m=47104,t=1,p=1$c2l0ZXdhcmRlbi1ub2JvZHk$3yhIJYbnXnTGGvGo2xEnTuVlWzCiytQLFOIOMUL1oYg";

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An application: may verify, reserve monitors and report events.
    App,
    /// A technician: may also activate licences and see everything.
    Operator,
    /// May also change settings and users.
    Admin,
}

/// A user who proved who he is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What he may do.
    pub role: Role,
}

/// Why a user cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// There is one of this name.
    #[error("there is a user {0} already")]
    Exists(String),
    /// The name cannot be used in Basic authentication.
    #[error("a user's name has 1 to 64 characters, without colon and control characters")]
    Name,
    /// The password is too short or too long.
    #[error("a password has {MIN_PASSWORD} characters at least, and {MAX_PASSWORD} bytes at most")]
    Password,
    /// The password cannot be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::password_hash::Error),
    /// The users cannot be stored.
    #[error(transparent)]
    File(#[from] secret_file::Error),
}

/// The stored users cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// It is no list of users.
    #[error("state/users.json is damaged ({0}); move it away and add the users again")]
    Damaged(#[from] serde_json::Error),
}

#[derive(Clone, Serialize, Deserialize)]
struct Account {
    role: Role,
    password: String,
}

/// Whom a credential's keyed digest proved, and when.
type Remembered = HashMap<[u8; 32], (Arc<User>, Instant)>;

/// The users of one agent.
pub struct Users {
    file: PathBuf,
    accounts: ArcSwap<BTreeMap<String, Account>>,
    remembered: ArcSwap<Remembered>,
    /// Held by whoever changes either.
    changing: Mutex<()>,
    digest_key: Zeroizing<[u8; 32]>,
    hashing: Semaphore,
}

impl Users {
    /// Reads the users from `file`; there need be none. `digest_key` is secret and random for each process.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(file: PathBuf, digest_key: Zeroizing<[u8; 32]>) -> Result<Self, LoadError> {
        let accounts =
            if file.exists() { serde_json::from_slice(&secret_file::read(&file)?)? } else { BTreeMap::new() };
        Ok(Self {
            file,
            accounts: ArcSwap::from_pointee(accounts),
            remembered: ArcSwap::default(),
            changing: Mutex::new(()),
            digest_key,
            hashing: Semaphore::new(HASHING),
        })
    }

    /// Adds a user and stores it. Computes a password hash; not for an async thread.
    ///
    /// # Errors
    /// See [`AddError`].
    pub fn add(&self, name: &str, role: Role, password: &str) -> Result<(), AddError> {
        if name.is_empty() || name.chars().count() > 64 || name.chars().any(|c| c == ':' || c.is_control()) {
            return Err(AddError::Name);
        }
        if password.chars().count() < MIN_PASSWORD || password.len() > MAX_PASSWORD {
            return Err(AddError::Password);
        }
        let password = argon2().hash_password(password.as_bytes()).map_err(AddError::Hash)?.to_string();
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts = BTreeMap::clone(&self.accounts.load());
        if accounts.contains_key(name) {
            return Err(AddError::Exists(name.to_owned()));
        }
        accounts.insert(name.to_owned(), Account { role, password });
        // A map of strings always has a JSON form.
        secret_file::write(&self.file, &serde_json::to_vec_pretty(&accounts).unwrap_or_default())?;
        self.accounts.store(Arc::new(accounts));
        self.remembered.store(Arc::default());
        Ok(())
    }

    /// The user that an `Authorization` header's value (Basic) proves; `None` if it proves nobody. Answers from memory
    /// if the same value was checked within the last five minutes.
    pub async fn authenticate(self: &Arc<Self>, header: &[u8]) -> Option<Arc<User>> {
        let digest = *blake3::keyed_hash(&self.digest_key, header).as_bytes();
        if let Some(user) = self.recall(&digest) {
            return Some(user);
        }
        let (name, password) = parse_basic(header)?;
        let _turn = self.hashing.acquire().await.ok()?;
        if let Some(user) = self.recall(&digest) {
            return Some(user); // Somebody before in the queue proved the same.
        }
        let users = Arc::clone(self);
        let checked = tokio::task::spawn_blocking(move || users.check(&name, &password)).await.ok()??;
        let user = Arc::new(checked);
        self.remember(digest, &user);
        Some(user)
    }

    fn recall(&self, digest: &[u8; 32]) -> Option<Arc<User>> {
        let remembered = self.remembered.load();
        let (user, since) = remembered.get(digest)?;
        (since.elapsed() < REMEMBERED).then(|| Arc::clone(user))
    }

    fn check(&self, name: &str, password: &str) -> Option<User> {
        let accounts = self.accounts.load();
        let account = accounts.get(name);
        let hash = PasswordHash::new(account.map_or(NOBODY, |account| &account.password)).ok()?;
        let matches = argon2().verify_password(password.as_bytes(), &hash).is_ok();
        account.filter(|_| matches).map(|account| User { name: name.to_owned(), role: account.role })
    }

    fn remember(&self, digest: [u8; 32], user: &Arc<User>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.accounts.load().contains_key(&user.name) {
            return;
        }
        let mut remembered = HashMap::clone(&self.remembered.load());
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(digest, (Arc::clone(user), Instant::now()));
        self.remembered.store(Arc::new(remembered));
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(HASH_MEMORY, 1, 1, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Name and password of `Basic <base64>` (RFC 7617).
fn parse_basic(header: &[u8]) -> Option<(String, Zeroizing<String>)> {
    let text = str::from_utf8(header).ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > 2 * MAX_PASSWORD {
        return None;
    }
    let decoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?);
    let (name, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((name.to_owned(), Zeroizing::new(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(folder: &tempfile::TempDir) -> Arc<Users> {
        Arc::new(Users::load(folder.path().join("users.json"), Zeroizing::new([7; 32])).unwrap())
    }

    fn basic(text: &str) -> Vec<u8> {
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text)).into_bytes()
    }

    #[tokio::test]
    async fn a_user_is_known_by_the_right_password_only_also_after_a_restart() {
        let folder = tempfile::TempDir::new().unwrap();
        users(&folder).add("ems", Role::App, "correct horse").unwrap();
        let users = users(&folder);
        for _ in 0..2 {
            assert_eq!(users.authenticate(&basic("ems:correct horse")).await.unwrap().role, Role::App);
        }
        for wrong in ["ems:wrong", "nobody:correct horse", "ems", ":"] {
            assert!(users.authenticate(&basic(wrong)).await.is_none(), "{wrong}");
        }
        assert!(users.authenticate(b"Bearer x").await.is_none());
    }

    #[test]
    fn bad_names_short_passwords_and_second_users_are_refused() {
        let folder = tempfile::TempDir::new().unwrap();
        let users = users(&folder);
        assert!(matches!(users.add("a:b", Role::App, "long enough"), Err(AddError::Name)));
        assert!(matches!(users.add("ems", Role::App, "short"), Err(AddError::Password)));
        users.add("ems", Role::App, "long enough").unwrap();
        assert!(matches!(users.add("ems", Role::Admin, "long enough"), Err(AddError::Exists(_))));
    }

    #[test]
    fn the_hash_of_nobody_costs_what_real_ones_do() {
        let real = argon2().hash_password(b"x").unwrap().to_string();
        assert_eq!(real.split('$').take(4).collect::<Vec<_>>(), NOBODY.split('$').take(4).collect::<Vec<_>>());
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}
