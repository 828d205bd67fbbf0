//! Who is logged in at the agent's API: short-lived access tokens, and refresh tokens that are good once.
//!
//! On disk: `state/logins.json`, with digests of the refresh tokens only. Always true: an access token is good for
//! [`ACCESS_LIFE`], and only while its session is there; using a refresh token replaces it, and using an old one ends
//! the session, because two know it then; there are at most a hundred sessions, and the oldest go
//! first.

pub use sitewarden_protocol::login::token::ACCESS_LIFE;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::{
    login::token::{Claims, Signer},
    time::UnixMillis,
};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use zeroize::Zeroizing;

/// Logins at the same time.
const MAX_SESSIONS: usize = 100;
/// Logins of one user at the same time.
const MAX_OF_ONE: usize = 10;
/// How long a session lasts that nobody refreshes.
const IDLE: Duration = Duration::from_secs(7 * 86_400);

/// The tokens of a login or a refresh.
pub struct Tokens {
    /// For the `Authorization` header.
    pub access: String,
    /// For one refresh.
    pub refresh: Zeroizing<String>,
}

/// Who an access token is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The user.
    pub user: String,
    /// The session.
    pub session: String,
    /// Of the user's password when he logged in: it has to be the same still.
    pub stamp: [u8; 32],
}

/// Tokens cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The refresh token is unknown, used or too old.
    #[error("Invalid or expired refresh token")]
    Unknown,
    /// The state folder cannot be written.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// The stored sessions cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// It holds something else.
    #[error("state/logins.json is damaged ({0}); move it away, and everybody logs in again")]
    Damaged(#[from] serde_json::Error),
}

#[derive(Clone, Serialize, Deserialize)]
struct Session {
    id: String,
    user: String,
    /// Of the user's password when he logged in.
    stamp: [u8; 32],
    refresh: [u8; 32],
    used_at: UnixMillis,
}

/// The sessions, and their place on disk.
pub struct Logins {
    file: PathBuf,
    signer: Signer,
    /// Oldest first.
    sessions: Mutex<Vec<Session>>,
}

impl Logins {
    /// Reads the sessions; there need be none. `key` is secret and stays the same.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(file: PathBuf, key: &[u8; 32]) -> Result<Self, LoadError> {
        let sessions = if file.exists() { serde_json::from_slice(&secret_file::read(&file)?)? } else { Vec::new() };
        Ok(Self { file, signer: Signer::new(key), sessions: Mutex::new(sessions) })
    }

    /// A user has proved who he is. Waits for the disk, like all that changes sessions; not for an async thread.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn begin(&self, user: &str, stamp: [u8; 32], now: UnixMillis) -> Result<Tokens, Error> {
        let id = random::<16>()?;
        let (refresh, digest) = refresh_token(&id)?;
        let session = Session { id: id.clone(), user: user.to_owned(), stamp, refresh: digest, used_at: now };
        self.change(|sessions| {
            sessions.retain(|session| now.since(session.used_at) < IDLE);
            let surplus = |count: usize, most: usize| (count + 1).saturating_sub(most);
            let mut of_user = surplus(sessions.iter().filter(|session| session.user == user).count(), MAX_OF_ONE);
            sessions.retain(|session| {
                let goes = session.user == user && of_user > 0;
                of_user -= usize::from(goes);
                !goes
            });
            sessions.drain(..surplus(sessions.len(), MAX_SESSIONS));
            sessions.push(session);
        })?;
        Ok(Tokens { access: self.access(user, &id, now), refresh })
    }

    /// Gives new tokens for a refresh token, and whose they are. The token is not good any more.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn refresh(&self, token: &str, now: UnixMillis) -> Result<(String, Tokens), Error> {
        let id = token.split_once('.').ok_or(Error::Unknown)?.0.to_owned();
        let digest = blake3::hash(token.as_bytes());
        let (next, next_digest) = refresh_token(&id)?;
        let user = self.change(|sessions| {
            let index = sessions.iter().position(|session| session.id == id)?;
            // An old token of this session: somebody else has it too, and nobody can say who is the right one.
            let fits = blake3::Hash::from_bytes(sessions[index].refresh) == digest;
            let mut session = sessions.remove(index);
            if !fits || now.since(session.used_at) >= IDLE {
                return None;
            }
            (session.refresh, session.used_at) = (next_digest, now);
            let user = session.user.clone();
            sessions.push(session);
            Some(user)
        })?;
        let user = user.ok_or(Error::Unknown)?;
        let access = self.access(&user, &id, now);
        Ok((user, Tokens { access, refresh: next }))
    }

    /// Whose session it is, if the access token is good.
    pub fn whose(&self, access: &str, now: UnixMillis) -> Option<LoggedIn> {
        let claims = self.signer.verify(access, now.seconds())?;
        let sessions = self.lock();
        let session = sessions.iter().find(|session| session.id == claims.sid && session.user == claims.sub)?;
        Some(LoggedIn { user: claims.sub, session: claims.sid, stamp: session.stamp })
    }

    /// Ends a session.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn end(&self, id: &str) -> Result<(), Error> {
        self.change(|sessions| sessions.retain(|session| session.id != id))
    }

    fn access(&self, user: &str, session: &str, now: UnixMillis) -> String {
        let (iat, life) = (now.seconds(), i64::try_from(ACCESS_LIFE.as_secs()).unwrap_or_default());
        self.signer.sign(&Claims { sub: user.to_owned(), sid: session.to_owned(), iat, exp: iat + life })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Vec<Session>) -> T) -> Result<T, Error> {
        let mut sessions = self.lock();
        let mut changed = sessions.clone();
        let answer = change(&mut changed);
        // Texts and numbers always have a JSON form.
        secret_file::write(&self.file, &serde_json::to_vec(&changed).unwrap_or_default())?;
        *sessions = changed;
        Ok(answer)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session's id, a dot, and 256 random bits, with the digest of all that.
fn refresh_token(session: &str) -> Result<(Zeroizing<String>, [u8; 32]), Error> {
    let token = Zeroizing::new(format!("{session}.{}", random::<32>()?));
    let digest = *blake3::hash(token.as_bytes()).as_bytes();
    Ok((token, digest))
}

fn random<const LENGTH: usize>() -> Result<String, Error> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| Error::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes.as_slice()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
    const STAMP: [u8; 32] = [1; 32];

    fn logins(folder: &tempfile::TempDir) -> Logins {
        Logins::load(folder.path().join("logins.json"), &[7; 32]).unwrap()
    }

    #[test]
    fn an_access_token_is_good_for_its_life_and_while_its_session_is_there() {
        let folder = tempfile::TempDir::new().unwrap();
        let tokens = logins(&folder).begin("boss", STAMP, NOW).unwrap();
        let again = logins(&folder);
        let LoggedIn { user, session: id, stamp } = again.whose(&tokens.access, NOW).unwrap();
        assert_eq!((user.as_str(), stamp), ("boss", STAMP));
        assert!(again.whose(&tokens.access, NOW.after(ACCESS_LIFE - Duration::from_secs(1))).is_some());
        assert!(again.whose(&tokens.access, NOW.after(ACCESS_LIFE)).is_none());
        again.end(&id).unwrap();
        assert!(again.whose(&tokens.access, NOW).is_none());
        assert!(matches!(again.refresh(&tokens.refresh, NOW), Err(Error::Unknown)));
    }

    #[test]
    fn a_refresh_token_is_good_once_and_its_second_use_ends_the_session() {
        let folder = tempfile::TempDir::new().unwrap();
        let sessions = logins(&folder);
        let first = sessions.begin("boss", STAMP, NOW).unwrap();
        let (user, second) = sessions.refresh(&first.refresh, NOW).unwrap();
        assert_eq!(user, "boss");
        assert!(sessions.whose(&second.access, NOW).is_some());
        assert!(matches!(sessions.refresh(&first.refresh, NOW), Err(Error::Unknown)));
        assert!(sessions.whose(&second.access, NOW).is_none(), "a stolen token ends the session for both");
        assert!(matches!(sessions.refresh(&second.refresh, NOW), Err(Error::Unknown)));
    }

    #[test]
    fn sessions_lapse_are_bounded_and_no_refresh_token_is_on_disk() {
        let folder = tempfile::TempDir::new().unwrap();
        let sessions = logins(&folder);
        let first = sessions.begin("boss", STAMP, NOW).unwrap();
        assert!(!std::fs::read_to_string(&sessions.file).unwrap().contains(first.refresh.as_str()));
        for _ in 0..MAX_OF_ONE {
            sessions.begin("boss", STAMP, NOW).unwrap();
        }
        assert!(sessions.whose(&first.access, NOW).is_none(), "the oldest of his went");
        for user in 0..2 * MAX_SESSIONS {
            sessions.begin(&user.to_string(), STAMP, NOW).unwrap();
        }
        assert_eq!(sessions.lock().len(), MAX_SESSIONS);
        let last = sessions.begin("last", STAMP, NOW).unwrap();
        assert!(matches!(sessions.refresh(&last.refresh, NOW.after(IDLE)), Err(Error::Unknown)));
    }
}
