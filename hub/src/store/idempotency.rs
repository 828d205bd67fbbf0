//! Requests that came with an `Idempotency-Key`, so that one that is sent again is not done again.
//!
//! Always true: a request is on record before it is done. The transaction in which it first changes anything says so on that
//! record; the writer sees to it for everything that is awaited within [`Turn::doing`], so that no operation can forget it.
//! The answer follows in a transaction of its own. So of each it is known after a crash what became of it: nothing, and it
//! is done anew; or it was done, and its answer is lost. What no transaction reaches (the hub's keys are files) is said to be
//! in doubt before it is changed. Within a process a request is done by one at a time. After [`KEPT`] a key may be used anew.

use super::{Store, error::Error, writer::Tx};
use rusqlite::{OptionalExtension, params};
use sitewarden_protocol::time::UnixMillis;
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use zeroize::Zeroizing;

/// How long a key is remembered.
const KEPT: Duration = Duration::from_secs(86_400);
/// Keys of one owner that are remembered.
const MAX_OF_ONE: i64 = 10_000;
/// How many of the oldest are forgotten at once where there is no room: counting them each time would cost more.
const FORGOTTEN: i64 = 1_000;
/// Old ones that are removed for each new one.
const SWEEP: i64 = 100;
/// Old ones that are removed in one transaction when nobody waits.
const AT_ONCE: i64 = 1_000;

tokio::task_local! {
    /// What the writes of this task are done for.
    static DOING: Arc<KeyedRequest>;
}

/// Whose a key is: those of one are not another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOwner {
    /// A caller of the API, by a name that no other has. Of more than 10,000 keys in a day he is refused.
    Caller(String),
    /// Whoever holds the key of this licence. Beyond 10,000 the oldest are forgotten: an app is not to fail for them.
    License(i64),
}

/// A request under a key.
#[derive(Debug, Clone)]
pub struct KeyedRequest {
    /// Who asks.
    pub owner: KeyOwner,
    /// Digest of the key.
    pub key: [u8; 32],
    /// Digest of what is asked.
    pub request: [u8; 32],
}

/// What is to become of a request under a key.
#[derive(Debug)]
pub enum Repeat {
    /// It is to be done now.
    First(Turn),
    /// It was done; status and body of its answer.
    Done(u16, Zeroizing<String>),
    /// It was done, and its answer is lost.
    Lost,
    /// It is being done, or nobody knows whether it was.
    InDoubt,
    /// The key was used for something else.
    Another,
    /// The caller has used too many keys.
    TooMany,
}

/// The right to do a request: nobody else does it while this is there.
#[derive(Debug)]
pub struct Turn {
    asked: Arc<KeyedRequest>,
    running: Arc<Running>,
}

/// The requests that are being done in this process, by owner and key.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<HashSet<(String, [u8; 32])>>);

impl KeyOwner {
    fn name(&self) -> String {
        match self {
            Self::Caller(name) => name.clone(),
            Self::License(id) => format!("license {id}"),
        }
    }
}

impl Turn {
    fn take(asked: Arc<KeyedRequest>, running: &Arc<Running>) -> Option<Self> {
        let name = (asked.owner.name(), asked.key);
        let taken = running.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        taken.then(|| Self { asked, running: Arc::clone(running) })
    }

    /// Does the request. What this changes in the store is on the request's record in the same transaction; a task that it
    /// spawns is not part of it.
    pub async fn doing<F: Future>(&self, work: F) -> F::Output {
        DOING.scope(Arc::clone(&self.asked), work).await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let name = (self.asked.owner.name(), self.asked.key);
        self.running.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
    }
}

/// The request that this task is doing, if it has a key.
pub(super) fn doing() -> Option<Arc<KeyedRequest>> {
    DOING.try_with(Arc::clone).ok()
}

/// Does a piece of work on the store for a request; if it changes anything, the request's record says so.
pub(super) fn noted<T>(
    tx: &Tx<'_>,
    asked: Option<&KeyedRequest>,
    work: impl FnOnce(&Tx<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let before = tx.total_changes();
    let done = work(tx)?;
    match asked {
        Some(asked) if tx.total_changes() > before => progress(tx, asked, "done").map(|()| done),
        _ => Ok(done),
    }
}

impl Store {
    /// Puts a request on record, unless one with this key is there that was done, or is being done.
    ///
    /// # Errors
    /// What the database says.
    pub async fn begin_keyed(&self, asked: KeyedRequest, now: UnixMillis) -> Result<Repeat, Error> {
        let (secrets, running) = (Arc::clone(&self.0.secrets), Arc::clone(&self.0.running));
        let asked = Arc::new(asked);
        let work = move |tx: &Tx<'_>| {
            remove_old(tx, now, SWEEP)?;
            let known = known(tx, &asked, now)?;
            if known.as_ref().is_some_and(|known| known.request != asked.request) {
                return Ok(Repeat::Another);
            }
            if let Some(Known { answer: Some((status, sealed)), .. }) = &known {
                return Ok(Repeat::Done(*status, secrets.open_answer(&asked.key, sealed)?));
            }
            let Some(turn) = Turn::take(Arc::clone(&asked), &running) else { return Ok(Repeat::InDoubt) };
            match known.as_ref().map(|known| known.progress.as_str()) {
                Some("done") => Ok(Repeat::Lost),
                Some("beyond") => Ok(Repeat::InDoubt),
                known => {
                    let room = known.is_some() || make_room(tx, &asked.owner)?;
                    if !room {
                        return Ok(Repeat::TooMany);
                    }
                    insert(tx, &asked, now)?;
                    Ok(Repeat::First(turn))
                }
            }
        };
        self.0.writer.write(1, None, work).await
    }

    /// Puts the answer on record. `None`: there is none to be given again. Then a request that has changed nothing is taken
    /// off the record.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_keyed(&self, turn: Turn, answer: Option<(u16, Zeroizing<String>)>) -> Result<(), Error> {
        let seal = |(status, body): (u16, Zeroizing<String>)| {
            Ok::<_, Error>((status, self.0.secrets.seal_answer(&turn.asked.key, &body)?))
        };
        let (sealed, asked) = (answer.map(seal).transpose()?, Arc::clone(&turn.asked));
        let work = move |tx: &Tx<'_>| {
            let owner = asked.owner.name();
            match sealed {
                Some((status, answer)) => tx
                    .prepare_cached("UPDATE idempotency SET status = ?, answer = ? WHERE caller = ? AND key = ?")?
                    .execute(params![status, answer, owner, asked.key])?,
                None => tx
                    .prepare_cached("DELETE FROM idempotency WHERE caller = ? AND key = ? AND progress = 'begun'")?
                    .execute(params![owner, asked.key])?,
            };
            Ok(())
        };
        // The turn lasts until then.
        let ended = self.0.writer.write(1, None, work).await;
        drop(turn);
        ended
    }

    /// Says on the record of the request that is being done, if it has a key, that it is about to change what no transaction
    /// of the store reaches.
    ///
    /// # Errors
    /// What the database says.
    pub async fn reaching_beyond(&self) -> Result<(), Error> {
        let Some(asked) = doing() else { return Ok(()) };
        self.0.writer.write(1, None, move |tx| progress(tx, &asked, "beyond")).await
    }

    /// Forgets keys that are older than a day; answers how many. New ones do so too, a few at a time.
    ///
    /// # Errors
    /// What the database says; what was forgotten before stays so.
    pub async fn forget_old_keys(&self, now: UnixMillis) -> Result<usize, Error> {
        let mut gone = 0;
        loop {
            let step = self.0.writer.write(1, None, move |tx| remove_old(tx, now, AT_ONCE)).await?;
            gone += step;
            if i64::try_from(step).unwrap_or(i64::MAX) < AT_ONCE {
                return Ok(gone);
            }
        }
    }
}

/// What is on record.
struct Known {
    request: [u8; 32],
    progress: String,
    answer: Option<(u16, Vec<u8>)>,
}

fn known(tx: &Tx<'_>, asked: &KeyedRequest, now: UnixMillis) -> Result<Option<Known>, Error> {
    let mut query = tx.prepare_cached(
        "SELECT request, progress, status, answer FROM idempotency WHERE caller = ? AND key = ? AND at >= ?",
    )?;
    let row = query.query_row(params![asked.owner.name(), asked.key, now.before(KEPT).0], |row| {
        let answer = row.get::<_, Option<u16>>(2)?.zip(row.get::<_, Option<Vec<u8>>>(3)?);
        Ok(Known { request: row.get(0)?, progress: row.get(1)?, answer })
    });
    Ok(row.optional()?)
}

/// Whether there is room for one more.
fn make_room(tx: &Tx<'_>, owner: &KeyOwner) -> Result<bool, Error> {
    let name = owner.name();
    let mut count = tx.prepare_cached("SELECT count(*) FROM (SELECT 1 FROM idempotency WHERE caller = ? LIMIT ?)")?;
    if count.query_row(params![name, MAX_OF_ONE], |row| row.get::<_, i64>(0))? < MAX_OF_ONE {
        return Ok(true);
    }
    if matches!(owner, KeyOwner::Caller(_)) {
        return Ok(false);
    }
    tx.prepare_cached(
        "DELETE FROM idempotency WHERE caller = ?1 AND key IN
            (SELECT key FROM idempotency WHERE caller = ?1 ORDER BY at LIMIT ?2)",
    )?
    .execute(params![name, FORGOTTEN])?;
    Ok(true)
}

/// In place of one that is too old, or has changed nothing.
fn insert(tx: &Tx<'_>, asked: &KeyedRequest, now: UnixMillis) -> Result<(), Error> {
    tx.prepare_cached("INSERT OR REPLACE INTO idempotency (caller, key, request, at) VALUES (?, ?, ?, ?)")?
        .execute(params![asked.owner.name(), asked.key, asked.request, now.0])?;
    Ok(())
}

fn progress(tx: &Tx<'_>, asked: &KeyedRequest, progress: &str) -> Result<(), Error> {
    let noted = tx
        .prepare_cached("UPDATE idempotency SET progress = ? WHERE caller = ? AND key = ?")?
        .execute(params![progress, asked.owner.name(), asked.key])?;
    // Without its record it could be done twice, so it is not done.
    if noted == 1 { Ok(()) } else { Err(Error::Damaged { what: "record of an idempotent request" }) }
}

fn remove_old(tx: &Tx<'_>, now: UnixMillis, most: i64) -> Result<usize, Error> {
    let removed = tx
        .prepare_cached(
            "DELETE FROM idempotency WHERE (caller, key) IN (SELECT caller, key FROM idempotency WHERE at < ? LIMIT ?)",
        )?
        .execute(params![now.before(KEPT).0, most])?;
    Ok(removed)
}
