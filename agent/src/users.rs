//! Who may call the local API: names, roles and passwords.
//!
//! Always true: passwords are kept as argon2id hashes only; a credential that was checked once is remembered for a
//! while as a keyed digest in memory, so that no password hash is on the hot path; any change of users forgets them all.
//! Whoever goes on using it is remembered on, so that somebody else's wrong guesses do not make a running app wait.
//! The vendor's own people come in the snapshot (`vendor`) and are looked up before the site's users.
//! Wrong passwords make the same user at the same address wait, doubling, but never one whose credential is remembered.

mod change;
#[cfg(test)]
mod tests;
mod vendor;

pub use change::ChangeError;

use arc_swap::ArcSwap;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::login::basic::{self, Credential};
use sitewarden_protocol::login::hash::{LANES, MEMORY, NOBODY, PASSES};
use sitewarden_protocol::login::patience::Patience;
use sitewarden_protocol::snapshot::Administrator;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// How long a checked credential is remembered when it is not used.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// How long it is remembered at most, however much it is used.
const REMEMBERED_LONGEST: Duration = Duration::from_secs(12 * 3_600);
/// How old the note of its last use may get, seconds: so seldom is anything written that requests share.
const USE_NOTED: u64 = 60;
/// Credentials that are remembered at the same time; the memory of them is dropped whole when it is full.
const REMEMBERED_MAX: usize = 1_024;
/// Password hashes computed at the same time: each takes 46 MiB and some 30 ms of a core.
const HASHING: usize = 1;
/// How long a request waits for its turn to have its password hashed.
const TURN_TIMEOUT: Duration = Duration::from_secs(3);
/// After how long whoever got no turn may try again.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// The shortest password, characters.
pub const MIN_PASSWORD: usize = 8;
/// The longest password, bytes.
const MAX_PASSWORD: usize = 1_024;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An application: may verify, reserve monitors, report events, and ask what ends soon.
    App,
    /// A technician: may also activate licences and see everything.
    Operator,
    /// May also change settings and users.
    Admin,
}

impl Role {
    /// Its name on the command line and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A user who proved who he is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// What he may do.
    pub role: Role,
    /// Whether he is one of the vendor's own people; a user of the site never is.
    pub vendor: bool,
}

/// Whom a credential proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// This user.
    Known(Arc<User>),
    /// Nobody.
    Unknown,
    /// It was not looked at: there were too many wrong ones before, or too many are being looked at. How long is still to
    /// be waited.
    Wait(Duration),
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
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The password cannot be hashed.
    #[error("the password cannot be hashed: {0}")]
    Hash(argon2::password_hash::Error),
    /// The users cannot be stored.
    #[error(transparent)]
    File(#[from] secret_file::Error),
}

/// A password is too short or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a password has {MIN_PASSWORD} characters at least, and {MAX_PASSWORD} bytes at most")]
pub struct PasswordError;

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

/// Whom a credential's keyed digest proved.
type Remembered = HashMap<[u8; 32], Arc<Memory>>;

/// One credential that was checked. Times are since the start of [`Users`].
struct Memory {
    checked: Checked,
    since: Duration,
    /// Its last use, seconds; at most [`USE_NOTED`] behind.
    used: AtomicU64,
}

/// A user, and the stored hash that proved him.
#[derive(Clone)]
struct Checked {
    user: Arc<User>,
    by: Arc<str>,
}

/// The users of one agent.
pub struct Users {
    file: PathBuf,
    accounts: ArcSwap<BTreeMap<String, Account>>,
    remembered: ArcSwap<Remembered>,
    /// Held by whoever changes either.
    changing: Mutex<()>,
    digest_key: Zeroizing<[u8; 32]>,
    hashing: Arc<Semaphore>,
    patience: Patience,
    /// The moment that patience and memory count from.
    began: Instant,
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
            hashing: Arc::new(Semaphore::new(HASHING)),
            patience: Patience::default(),
            began: Instant::now(),
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
        check_password(password)?;
        let password = hash(password).map_err(AddError::Hash)?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts = BTreeMap::clone(&self.accounts.load());
        if accounts.contains_key(name) {
            return Err(AddError::Exists(name.to_owned()));
        }
        accounts.insert(name.to_owned(), Account { role, password });
        Ok(self.store(accounts)?)
    }

    /// A user's role as it is now, and a stamp that is another one after a change of the password; `None` if there is no
    /// such user. `administrators` are those of the snapshot in force.
    pub fn standing(&self, name: &str, administrators: &[Administrator]) -> Option<(Role, [u8; 32])> {
        let stamp = |hash: &str| *blake3::hash(hash.as_bytes()).as_bytes();
        match vendor::named(administrators, name) {
            Some(one) => Some((Role::Operator, stamp(&one.password))),
            None => self.accounts.load().get(name).map(|account| (account.role, stamp(&account.password))),
        }
    }

    /// Whom an `Authorization` header's value (Basic) proves by memory alone, without a lock: the same value was checked
    /// within the last hours and used within the last one, and nothing has changed for that user. `administrators` are
    /// those of the snapshot in force.
    pub fn remembered(&self, header: &[u8], administrators: &[Administrator]) -> Option<Arc<User>> {
        self.recall(blake3::keyed_hash(&self.digest_key, header).as_bytes(), administrators)
    }

    /// Whom an `Authorization` header's value (Basic) proves, for a caller at the address `from`.
    pub async fn authenticate(
        self: &Arc<Self>,
        header: &[u8],
        from: IpAddr,
        administrators: Vec<Administrator>,
    ) -> Proof {
        let digest = *blake3::keyed_hash(&self.digest_key, header).as_bytes();
        if let Some(user) = self.recall(&digest, &administrators) {
            return Proof::Known(user);
        }
        let Some(credential) = basic::parse(header) else { return Proof::Unknown };
        if let Err(wait) = self.patience.check(&credential.name, from, self.began.elapsed()) {
            return Proof::Wait(wait);
        }
        let Ok(Ok(turn)) = timeout(TURN_TIMEOUT, Arc::clone(&self.hashing).acquire_owned()).await else {
            return Proof::Wait(TRY_AGAIN);
        };
        let users = Arc::clone(self);
        // The turn is over when the hash is computed, and a wrong password counts, even if nobody waits any more.
        let settled = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            users.settle(digest, &credential, from, &administrators)
        });
        settled.await.unwrap_or(Proof::Unknown)
    }

    /// Computes a password hash, unless somebody before in the queue has settled it.
    fn settle(
        &self,
        digest: [u8; 32],
        credential: &Credential,
        from: IpAddr,
        administrators: &[Administrator],
    ) -> Proof {
        if let Some(user) = self.recall(&digest, administrators) {
            return Proof::Known(user);
        }
        let name = &credential.name;
        if let Err(wait) = self.patience.check(name, from, self.began.elapsed()) {
            return Proof::Wait(wait);
        }
        let Some(checked) = self.check(name, &credential.password, administrators) else {
            self.patience.failed(name, from, self.began.elapsed());
            tracing::warn!(%from, "refused a wrong password");
            return Proof::Unknown;
        };
        self.patience.forget(name, from);
        self.remember(digest, &checked);
        Proof::Known(checked.user)
    }

    fn recall(&self, digest: &[u8; 32], administrators: &[Administrator]) -> Option<Arc<User>> {
        self.recall_at(self.began.elapsed(), digest, administrators)
    }

    fn recall_at(&self, now: Duration, digest: &[u8; 32], administrators: &[Administrator]) -> Option<Arc<User>> {
        let remembered = self.remembered.load();
        let memory = remembered.get(digest)?;
        let Checked { user, by } = &memory.checked;
        if !memory.counts(now) || !vendor::stands(administrators, user, by) {
            return None;
        }
        memory.note_use(now);
        Some(Arc::clone(user))
    }

    fn check(&self, name: &str, password: &str, administrators: &[Administrator]) -> Option<Checked> {
        let accounts = self.accounts.load();
        let known = match (vendor::named(administrators, name), accounts.get(name)) {
            (Some(one), _) => vendor::hash(one).map(|hash| (hash, &one.password, Role::Operator, true)),
            (None, Some(one)) => {
                PasswordHash::new(&one.password).ok().map(|hash| (hash, &one.password, one.role, false))
            }
            (None, None) => None,
        };
        let nobody = PasswordHash::new(NOBODY).ok()?;
        let hash = known.as_ref().map_or(&nobody, |(hash, ..)| hash);
        let matches = argon2().verify_password(password.as_bytes(), hash).is_ok();
        let (_, by, role, vendor) = known.filter(|_| matches)?;
        let user = Arc::new(User { name: name.to_owned(), role, vendor });
        Some(Checked { user, by: by.as_str().into() })
    }

    fn remember(&self, digest: [u8; 32], checked: &Checked) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // The user may have been changed while his password was being checked.
        let accounts = self.accounts.load();
        let own = accounts.get(&checked.user.name).is_some_and(|account| *account.password == *checked.by);
        if !own && !checked.user.vendor {
            return;
        }
        let mut remembered = HashMap::clone(&self.remembered.load());
        let now = self.began.elapsed();
        if remembered.len() >= REMEMBERED_MAX {
            remembered.retain(|_, memory| memory.counts(now));
        }
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        let memory = Memory { checked: checked.clone(), since: now, used: AtomicU64::new(now.as_secs()) };
        remembered.insert(digest, Arc::new(memory));
        self.remembered.store(Arc::new(remembered));
    }

    /// Writes the users down, then lets them count and forgets every credential. Only for who holds `changing`.
    fn store(&self, accounts: BTreeMap<String, Account>) -> Result<(), secret_file::Error> {
        // A map of strings always has a JSON form.
        secret_file::write(&self.file, &serde_json::to_vec_pretty(&accounts).unwrap_or_default())?;
        self.accounts.store(Arc::new(accounts));
        self.remembered.store(Arc::default());
        Ok(())
    }
}

impl Memory {
    fn counts(&self, now: Duration) -> bool {
        let unused = now.saturating_sub(Duration::from_secs(self.used.load(Ordering::Relaxed)));
        now.saturating_sub(self.since) < REMEMBERED_LONGEST && unused < REMEMBERED
    }

    fn note_use(&self, now: Duration) {
        let now = now.as_secs();
        if now.saturating_sub(self.used.load(Ordering::Relaxed)) >= USE_NOTED {
            self.used.store(now, Ordering::Relaxed);
        }
    }
}

pub(crate) fn check_password(password: &str) -> Result<(), PasswordError> {
    let fits = password.chars().count() >= MIN_PASSWORD && password.len() <= MAX_PASSWORD;
    if fits { Ok(()) } else { Err(PasswordError) }
}

fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(argon2().hash_password(password.as_bytes())?.to_string())
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY, PASSES, LANES, None).unwrap_or_default();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}
