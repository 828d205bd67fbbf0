//! Who calls: Basic authentication against the hub's users.
//!
//! Always true: a password is only ever compared by argon2id; one that was right is remembered for a while as a keyed
//! digest over the header *and the stored hash*, so that a changed password, role or a disabled user counts at once
//! (the user's row is read for each request) and no password hash is computed on the hot path. Wrong passwords make
//! the same user at the same address wait, doubling; nobody can lock out a user at another address.

use super::rate::{Rate, neighbourhood};
use crate::store::{self, Store, User};
use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use sitewarden_protocol::login::{
    basic::{self, Credential},
    hash::NOBODY,
    patience::Patience,
};
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use zeroize::Zeroizing;

/// How long a checked credential is remembered when it is not used.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// How long it is remembered at most, however much it is used.
const REMEMBERED_LONGEST: Duration = Duration::from_secs(12 * 3_600);
/// Credentials that are remembered; the memory of them is dropped whole when it is full.
const MAX_REMEMBERED: usize = 1_024;
/// Password hashes computed at the same time: each takes 46 MiB and some 30 ms of a core.
const HASHING: usize = 2;
/// How long a request waits for its turn to have its password hashed.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a caller is nobody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// No credential, a wrong one, or a disabled user.
    #[error("the credential proves nobody")]
    Wrong,
    /// Too many wrong ones before.
    #[error("too many wrong passwords")]
    Wait(Duration),
    /// Others are being checked.
    #[error("too many passwords are being checked")]
    Busy,
    /// The users cannot be read.
    #[error("the users cannot be read")]
    Store(#[from] store::Error),
}

/// Proves who calls.
pub(crate) struct Basic {
    store: Store,
    digest_key: Zeroizing<[u8; 32]>,
    remembered: Mutex<HashMap<[u8; 32], Memory>>,
    patience: Patience,
    /// The moment that patience counts from.
    began: Instant,
    /// Passwords tried by one address, of whatever user.
    rate: Rate,
    hashing: Arc<Semaphore>,
}

/// When a credential was checked, and used last.
struct Memory {
    since: Instant,
    used: Instant,
}

impl Memory {
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < REMEMBERED_LONGEST
            && now.saturating_duration_since(self.used) < REMEMBERED
    }
}

impl Basic {
    /// With a digest key of this process alone.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub(crate) fn new(store: Store) -> Result<Self, getrandom::Error> {
        let mut digest_key = Zeroizing::new([0; 32]);
        getrandom::fill(digest_key.as_mut_slice())?;
        Ok(Self {
            store,
            digest_key,
            remembered: Mutex::default(),
            patience: Patience::default(),
            began: Instant::now(),
            rate: Rate::default(),
            hashing: Arc::new(Semaphore::new(HASHING)),
        })
    }

    /// The user that an `Authorization` header's value proves.
    pub(crate) async fn authenticate(&self, header: &[u8], address: IpAddr) -> Result<User, Refused> {
        let credential = basic::parse(header).ok_or(Refused::Wrong)?;
        let user = self.store.user(&credential.name).await?;
        let digest = self.digest(header, user.as_ref());
        if let Some(user) = user.as_ref().filter(|_| self.remembers(&digest)) {
            return Ok(user.clone());
        }
        let user = self.prove(credential, user, address, Some(&digest)).await?;
        self.remember(digest);
        Ok(user)
    }

    /// The user whose password it is; nothing of it is remembered, because a login gives him tokens.
    pub(crate) async fn log_in(
        &self,
        name: String,
        password: Zeroizing<String>,
        address: IpAddr,
    ) -> Result<User, Refused> {
        let user = self.store.user(&name).await?;
        self.prove(Credential { name, password }, user, address, None).await
    }

    /// Compares the password in its turn. `digest` may settle it while others are waited for.
    async fn prove(
        &self,
        Credential { name, password }: Credential,
        user: Option<User>,
        address: IpAddr,
        digest: Option<&[u8; 32]>,
    ) -> Result<User, Refused> {
        self.patience.check(&name, address, self.began.elapsed()).map_err(Refused::Wait)?;
        if !self.rate.take(neighbourhood(address), Instant::now()) {
            return Err(Refused::Wait(Duration::from_secs(1)));
        }
        let turn = timeout(TURN_TIMEOUT, Arc::clone(&self.hashing).acquire_owned()).await;
        let turn = turn.map_err(|_| Refused::Busy)?.map_err(|_| Refused::Busy)?;
        // Again: of many requests that waited side by side, the first has settled it for the others.
        if let Some(user) = user.as_ref().filter(|_| digest.is_some_and(|digest| self.remembers(digest))) {
            return Ok(user.clone());
        }
        self.patience.check(&name, address, self.began.elapsed()).map_err(Refused::Wait)?;
        let hash = user.as_ref().map_or(NOBODY, |user| &user.password_hash).to_owned();
        let right = verify(password, hash, turn).await?;
        match user.filter(|_| right) {
            Some(user) => {
                self.patience.forget(&name, address);
                Ok(user)
            }
            None => {
                self.patience.failed(&name, address, self.began.elapsed());
                tracing::warn!(%address, "refused a wrong password");
                Err(Refused::Wrong)
            }
        }
    }

    fn digest(&self, header: &[u8], user: Option<&User>) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.digest_key);
        let length = u64::try_from(header.len()).unwrap_or(u64::MAX);
        hasher.update(&length.to_le_bytes()).update(header);
        hasher.update(user.map_or(NOBODY, |user| &user.password_hash).as_bytes());
        *hasher.finalize().as_bytes()
    }

    fn remembers(&self, digest: &[u8; 32]) -> bool {
        let (now, mut remembered) = (Instant::now(), self.remembered.lock().unwrap_or_else(PoisonError::into_inner));
        let memory = remembered.get_mut(digest).filter(|memory| memory.counts(now));
        // Whoever goes on is remembered on: somebody else's wrong guesses do not make a running program wait.
        memory.map(|memory| memory.used = now).is_some()
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, memory| memory.counts(now));
        }
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(digest, Memory { since: now, used: now });
    }
}

impl std::fmt::Debug for Basic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Basic")
    }
}

/// Computes the hash on a thread for blocking work; the turn is over when it is done, even if nobody waits any more.
async fn verify(password: Zeroizing<String>, hash: String, turn: OwnedSemaphorePermit) -> Result<bool, Refused> {
    let checked = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        PasswordHash::new(&hash).is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    });
    checked.await.map_err(|_| Refused::Busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_counts_while_it_is_used_and_for_twelve_hours_at_most() {
        let since = Instant::now();
        let counts = |used: u64, now: u64| {
            let at = |minutes: u64| since + Duration::from_secs(60 * minutes);
            Memory { since, used: at(used) }.counts(at(now))
        };
        assert!(counts(0, 59) && counts(59, 118) && counts(719, 719));
        assert!(!counts(0, 60) && !counts(719, 720));
    }

    #[test]
    fn the_hash_of_nobody_costs_what_real_ones_do() {
        let real = crate::password::hash(b"x").unwrap();
        assert_eq!(real.split('$').take(4).collect::<Vec<_>>(), NOBODY.split('$').take(4).collect::<Vec<_>>());
        assert!(PasswordHash::new(NOBODY).is_ok());
    }
}
