//! Requests that came with an `Idempotency-Key`, so that one that is sent again is not done again.
//!
//! Always true: a request is on record before it is done, and its answer after that, in another transaction. So a crash
//! between the two leaves a request that has begun and that nobody has seen the end of; it is not done a second time
//! under this key, and whoever asks again is told. After [`KEPT`] a key may be used anew.

use super::{Store, error::Error, writer::Tx};
use rusqlite::{OptionalExtension, params};
use sitewarden_protocol::time::UnixMillis;
use std::{sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// How long a key is remembered.
const KEPT: Duration = Duration::from_secs(86_400);
/// Keys of one caller that are remembered.
const MAX_OF_ONE: i64 = 10_000;
/// Old ones that are removed for each new one.
const SWEEP: i64 = 100;

/// A request under a key.
#[derive(Debug, Clone)]
pub struct KeyedRequest {
    /// Who asks: keys of one are not another's.
    pub caller: String,
    /// Digest of the key.
    pub key: [u8; 32],
    /// Digest of what is asked.
    pub request: [u8; 32],
}

/// What is to become of a request under a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Repeat {
    /// It is new, and on record now.
    First,
    /// It was done; status and body of its answer.
    Done(u16, Zeroizing<String>),
    /// It has begun, and nobody has seen its end.
    Begun,
    /// The key was used for something else.
    Another,
    /// The caller has used too many keys.
    TooMany,
}

impl Store {
    /// Puts a request on record, unless one with this key is there.
    ///
    /// # Errors
    /// What the database says.
    pub async fn begin_keyed(&self, asked: KeyedRequest, now: UnixMillis) -> Result<Repeat, Error> {
        let secrets = Arc::clone(&self.0.secrets);
        self.write(move |tx| {
            sweep(tx, now)?;
            let mut query =
                tx.prepare_cached("SELECT request, status, answer FROM idempotency WHERE caller = ? AND key = ?")?;
            let known = query
                .query_row(params![asked.caller, asked.key], |row| {
                    Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, Option<u16>>(1)?, row.get::<_, Option<Vec<u8>>>(2)?))
                })
                .optional()?;
            match known {
                Some((request, ..)) if request != asked.request => Ok(Repeat::Another),
                Some((_, Some(status), Some(sealed))) => {
                    Ok(Repeat::Done(status, secrets.open_answer(&asked.key, &sealed)?))
                }
                Some(_) => Ok(Repeat::Begun),
                None => insert(tx, &asked, now),
            }
        })
        .await
    }

    /// Puts the answer on record; `None` takes the request off it: it was not done.
    ///
    /// # Errors
    /// What the database says.
    pub async fn end_keyed(&self, asked: KeyedRequest, answer: Option<(u16, Zeroizing<String>)>) -> Result<(), Error> {
        let sealed =
            answer.map(|(status, body)| Ok::<_, Error>((status, self.0.secrets.seal_answer(&asked.key, &body)?)));
        let sealed = sealed.transpose()?;
        self.write(move |tx| {
            match sealed {
                Some((status, answer)) => tx
                    .prepare_cached("UPDATE idempotency SET status = ?, answer = ? WHERE caller = ? AND key = ?")?
                    .execute(params![status, answer, asked.caller, asked.key])?,
                None => tx
                    .prepare_cached("DELETE FROM idempotency WHERE caller = ? AND key = ?")?
                    .execute(params![asked.caller, asked.key])?,
            };
            Ok(())
        })
        .await
    }
}

fn insert(tx: &Tx<'_>, asked: &KeyedRequest, now: UnixMillis) -> Result<Repeat, Error> {
    let mut count = tx.prepare_cached("SELECT count(*) FROM (SELECT 1 FROM idempotency WHERE caller = ? LIMIT ?)")?;
    if count.query_row(params![asked.caller, MAX_OF_ONE], |row| row.get::<_, i64>(0))? >= MAX_OF_ONE {
        return Ok(Repeat::TooMany);
    }
    tx.prepare_cached("INSERT INTO idempotency (caller, key, request, at) VALUES (?, ?, ?, ?)")?.execute(params![
        asked.caller,
        asked.key,
        asked.request,
        now.0
    ])?;
    Ok(Repeat::First)
}

fn sweep(tx: &Tx<'_>, now: UnixMillis) -> Result<(), Error> {
    tx.prepare_cached(
        "DELETE FROM idempotency WHERE (caller, key) IN (SELECT caller, key FROM idempotency WHERE at < ? LIMIT ?)",
    )?
    .execute(params![now.before(KEPT).0, SWEEP])?;
    Ok(())
}
