//! Who is logged in at the API.
//!
//! Always true: a session is a user's, and gone with him, with his password and when he is disabled; its refresh token is
//! here as its digest only, is good once, and is replaced by its use; using an old one ends the session, because two know
//! it then. A user has at most [`MAX_OF_ONE`] sessions, and the oldest go first.

use super::{Act, Store, User, audit, error::Error, secrets, users, writer::Tx};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{OptionalExtension, params};
use sitewarden_protocol::time::UnixMillis;
use std::{fmt, str::FromStr, time::Duration};
use zeroize::Zeroizing;

/// Sessions of one user at the same time.
const MAX_OF_ONE: i64 = 20;
/// How long a session lasts that nobody refreshes.
const IDLE: Duration = Duration::from_secs(7 * 86_400);
/// How long one lasts at most, however much it is used.
const LONGEST: Duration = Duration::from_secs(30 * 86_400);

/// Which session.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

/// The text is no session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a session's id")]
pub struct NotASession;

/// A session that has begun, or goes on.
pub struct Begun {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub user: User,
    /// What it is refreshed with, once.
    pub refresh: Zeroizing<String>,
}

/// What became of a refresh.
#[derive(Debug)]
pub enum Refresh {
    /// The session goes on, with another token.
    Done(Begun),
    /// The token is unknown or over, or its user is not there any more.
    Unknown,
    /// An old token of a session, which has ended for that.
    Reused,
}

impl Store {
    /// Begins a session of a user whose password was right. `None` if he was changed since `user` was read.
    ///
    /// # Errors
    /// What the database says.
    pub async fn begin_session(&self, user: User, now: UnixMillis) -> Result<Option<Begun>, Error> {
        let id = SessionId(secrets::random()?);
        let (refresh, digest) = refresh_token(id)?;
        self.write(move |tx| {
            if users::enabled(tx, &user.name)?.as_ref() != Some(&user) {
                return Ok(None);
            }
            make_room(tx, &user.name, now)?;
            tx.prepare_cached(
                "INSERT INTO sessions (id, user, digest, created_at, expires_at)
                 SELECT ?1, id, ?2, ?3, ?4 FROM users WHERE name = ?5",
            )?
            .execute(params![id.0, digest, now.0, now.after(IDLE).0, user.name])?;
            Ok(Some(Begun { id, user, refresh }))
        })
        .await
    }

    /// Takes a refresh token for a new one.
    ///
    /// # Errors
    /// What the database says.
    pub async fn refresh_session(&self, token: &str, now: UnixMillis) -> Result<Refresh, Error> {
        let Some(id) = token.split_once('.').and_then(|(id, _)| id.parse().ok()) else { return Ok(Refresh::Unknown) };
        let digest = digest(token);
        let (next, next_digest) = refresh_token(id)?;
        self.write(move |tx| {
            let mut query = tx.prepare_cached("SELECT digest, created_at FROM sessions WHERE id = ?")?;
            let found = query.query_row([id.0], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get(1)?))).optional()?;
            let Some((known, began)) = found else { return Ok(Refresh::Unknown) };
            if blake3::Hash::from_bytes(known) != blake3::Hash::from_bytes(digest) {
                // Somebody else has it too, and nobody can say who is the right one.
                end(tx, id)?;
                audit::write(tx, &Act::hub(now), "session.reused", &format!("session {id}"), None, None)?;
                return Ok(Refresh::Reused);
            }
            let Some(user) = users::of_session(tx, id.0, now)? else { return Ok(Refresh::Unknown) };
            let end = now.after(IDLE).0.min(UnixMillis(began).after(LONGEST).0);
            tx.prepare_cached("UPDATE sessions SET digest = ?, expires_at = ? WHERE id = ?")?.execute(params![
                next_digest,
                end,
                id.0
            ])?;
            Ok(Refresh::Done(Begun { id, user, refresh: next }))
        })
        .await
    }

    /// Whose session it is, as he is now; `None` if it has ended or he may not log in any more.
    ///
    /// # Errors
    /// What the database says.
    pub async fn user_of_session(&self, id: SessionId, now: UnixMillis) -> Result<Option<User>, Error> {
        self.read(move |connection| users::of_session(connection, id.0, now)).await
    }

    /// Ends a session. A repeat changes nothing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_session(&self, id: SessionId) -> Result<(), Error> {
        self.write(move |tx| end(tx, id)).await
    }
}

fn end(tx: &Tx<'_>, id: SessionId) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM sessions WHERE id = ?")?.execute([id.0])?;
    Ok(())
}

/// Ends all sessions of a user.
pub(super) fn end_all(tx: &Tx<'_>, user: &str) -> Result<(), Error> {
    tx.prepare_cached("DELETE FROM sessions WHERE user = (SELECT id FROM users WHERE name = ?)")?.execute([user])?;
    Ok(())
}

/// Removes sessions that are over, and the oldest of this user so that one more fits.
fn make_room(tx: &Tx<'_>, user: &str, now: UnixMillis) -> Result<(), Error> {
    tx.prepare_cached(
        "DELETE FROM sessions WHERE user = (SELECT id FROM users WHERE name = ?1) AND (expires_at <= ?2 OR id NOT IN (
            SELECT id FROM sessions WHERE user = (SELECT id FROM users WHERE name = ?1)
            ORDER BY created_at DESC, id DESC LIMIT ?3))",
    )?
    .execute(params![user, now.0, MAX_OF_ONE - 1])?;
    Ok(())
}

/// The session's id, a dot, and 256 random bits, with the digest of all that.
fn refresh_token(session: SessionId) -> Result<(Zeroizing<String>, [u8; 32]), Error> {
    let random = Zeroizing::new(secrets::random::<32>()?);
    let token = Zeroizing::new(format!("{session}.{}", URL_SAFE_NO_PAD.encode(random.as_slice())));
    let digest = digest(&token);
    Ok((token, digest))
}

fn digest(token: &str) -> [u8; 32] {
    blake3::derive_key("sitewarden hub refresh token 1", token.as_bytes())
}

impl SessionId {
    /// What stands for a session of a user who came with a token that names none, under `--dev`. It was never begun.
    pub(crate) fn never_begun(user: &str) -> Self {
        let digest = blake3::derive_key("sitewarden hub session never begun 1", user.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = NotASession;

    fn from_str(text: &str) -> Result<Self, NotASession> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotASession)?;
        bytes.try_into().map(Self).map_err(|_| NotASession)
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").field("id", &self.id).field("user", &self.user).finish_non_exhaustive()
    }
}
