//! The outbox, as the worker sees it: what is due, and what became of it.
//!
//! Always true: that a delivery is on its way is in the worker's memory only, so a hub that is killed sends again what it
//! was sending; a delivery that waits is counted at its webhook in the same transaction.

use super::{DeliveryId, SiteNews, site};
use crate::store::{Store, counted, error::Error, page_size, secrets::StoreSecrets, writer::Tx};
use rusqlite::{Connection, OptionalExtension, params};
use sitewarden_protocol::{id::SiteId, time::UnixMillis};
use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::Arc,
};
use zeroize::Zeroizing;

/// Deliveries that are removed in one transaction: others wait for it.
const AT_ONCE: usize = 1_000;

/// The most characters of an error that are kept.
const MAX_ERROR: usize = 300;

/// For how much there is room.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// Deliveries in all.
    pub total: usize,
    /// Deliveries of one webhook.
    pub each: usize,
    /// Deliveries of these webhooks, if fewer.
    pub of: HashMap<i64, usize>,
    /// Deliveries that are on their way.
    pub on_their_way: HashSet<DeliveryId>,
    /// The webhook that was looked at last: the next one is first this time, so that all get their turn.
    pub after: i64,
}

/// What is to be done.
#[derive(Debug, Default)]
pub struct Outbox {
    /// What is to be sent now.
    pub due: Vec<DueDelivery>,
    /// When the next one is due that is not yet.
    pub next: Option<UnixMillis>,
    /// The webhook that was looked at last.
    pub last: i64,
}

/// A delivery that is to be sent. Its secrets do not print.
pub struct DueDelivery {
    /// Its name.
    pub id: DeliveryId,
    /// To whom.
    pub webhook: i64,
    /// Where to.
    pub url: String,
    /// What.
    pub message: Message,
    /// What it is signed with.
    pub secret: Zeroizing<String>,
    /// What it is signed with too.
    pub previous: Option<Zeroizing<String>>,
    /// How often it was sent.
    pub attempts: u32,
    /// When it began to wait.
    pub since: UnixMillis,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// An event, as its body.
    Event(String),
    /// To a site's agent: how things stand.
    Site(SiteNews),
}

impl fmt::Debug for DueDelivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, webhook, message, attempts, .. } = self;
        f.debug_struct("DueDelivery")
            .field("id", id)
            .field("webhook", webhook)
            .field("message", message)
            .field("attempts", attempts)
            .finish_non_exhaustive()
    }
}

/// How an attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// It was answered with success.
    Delivered {
        /// What HTTP answered.
        status: u16,
    },
    /// It was not.
    Failed {
        /// What HTTP answered, if it did.
        status: Option<u16>,
        /// Why it is no success, in words.
        error: String,
        /// When it is sent again; `None` if it is given up.
        again: Option<UnixMillis>,
    },
}

/// How the outbox stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxStanding {
    /// Deliveries that wait.
    pub waiting: u64,
    /// Since when the oldest of them does.
    pub oldest: Option<UnixMillis>,
    /// Webhooks whose last attempt failed.
    pub failing: u64,
}

impl Store {
    /// What is due and fits, each webhook in its turn.
    ///
    /// # Errors
    /// What the database says. A delivery whose secret cannot be opened fails the same way: the store's key is another.
    pub async fn outbox(&self, now: UnixMillis, room: Room) -> Result<Outbox, Error> {
        let secrets = Arc::clone(&self.0.secrets);
        self.read(move |connection| read(connection, now, &room, &secrets)).await
    }

    /// Keeps what became of an attempt. A delivery that was removed meanwhile, or does not wait any more, stays so.
    ///
    /// # Errors
    /// What the database says; then it is sent again.
    pub async fn settle_delivery(&self, now: UnixMillis, id: DeliveryId, attempt: Attempt) -> Result<(), Error> {
        self.write(move |tx| settle(tx, now, id, &attempt)).await
    }

    /// Gives up what has waited since before a moment and was tried, or is for an endpoint that has failed for as long.
    /// Answers how many; at most so many as go into one transaction. When there are none, nothing is written.
    ///
    /// # Errors
    /// What the database says.
    pub async fn give_up_deliveries(&self, now: UnixMillis, before: UnixMillis) -> Result<usize, Error> {
        if self.read(move |connection| Ok(hopeless(connection, before, 1)?.is_empty())).await? {
            return Ok(0);
        }
        self.write(move |tx| give_up(tx, now, before)).await
    }

    /// How the outbox stands.
    ///
    /// # Errors
    /// What the database says.
    pub async fn outbox_standing(&self) -> Result<OutboxStanding, Error> {
        self.read(|connection| {
            let mut sums =
                connection.prepare_cached("SELECT coalesce(sum(waiting), 0) FROM webhooks WHERE waiting > 0")?;
            let waiting = sums.query_row([], |row| counted(row, 0))?;
            let mut failing =
                connection.prepare_cached("SELECT count(*) FROM webhooks WHERE failing_since IS NOT NULL")?;
            let failing = failing.query_row([], |row| counted(row, 0))?;
            let mut oldest =
                connection.prepare_cached("SELECT min(since) FROM webhook_deliveries WHERE status = 'waiting'")?;
            let oldest = oldest.query_row([], |row| row.get::<_, Option<i64>>(0))?.map(UnixMillis);
            Ok(OutboxStanding { waiting, oldest, failing })
        })
        .await
    }

    /// Removes deliveries that were finished before a moment, and answers how many.
    ///
    /// # Errors
    /// What the database says; what was removed before stays so.
    pub async fn remove_old_deliveries(&self, before: UnixMillis) -> Result<usize, Error> {
        let mut removed = 0;
        loop {
            let some = self.write(move |tx| remove_some(tx, before)).await?;
            removed += some;
            if some < AT_ONCE {
                return Ok(removed);
            }
        }
    }
}

fn read(connection: &Connection, now: UnixMillis, room: &Room, secrets: &StoreSecrets) -> Result<Outbox, Error> {
    let mut outbox = Outbox { last: room.after, ..Outbox::default() };
    for webhook in in_turn(connection, room.after)? {
        let left = room.total.saturating_sub(outbox.due.len());
        if left == 0 {
            break;
        }
        outbox.last = webhook;
        let of_it = room.of.get(&webhook).copied().unwrap_or(room.each).min(left);
        if of_it > 0 {
            outbox.due.extend(due(connection, now, webhook, of_it, room, secrets)?);
        }
    }
    let mut next = connection.prepare_cached(
        "SELECT min(next_attempt) FROM webhook_deliveries WHERE status = 'waiting' AND next_attempt > ?",
    )?;
    outbox.next = next.query_row([now.0], |row| row.get::<_, Option<i64>>(0))?.map(UnixMillis);
    Ok(outbox)
}

/// The webhooks that something waits for, from behind one of them on, and round again.
fn in_turn(connection: &Connection, after: i64) -> Result<Vec<i64>, Error> {
    let mut query =
        connection.prepare_cached("SELECT id FROM webhooks WHERE waiting > 0 AND enabled = 1 ORDER BY id <= ?, id")?;
    let ids = query.query_map([after], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

fn due(
    connection: &Connection,
    now: UnixMillis,
    webhook: i64,
    most: usize,
    room: &Room,
    secrets: &StoreSecrets,
) -> Result<Vec<DueDelivery>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT d.id, d.body, d.attempts, d.since, w.url, w.site, w.secret_sealed,
            CASE WHEN w.previous_until > ?2 THEN w.previous_sealed END
         FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook
         WHERE d.webhook = ?1 AND d.status = 'waiting' AND d.next_attempt <= ?2 ORDER BY d.next_attempt LIMIT ?3",
    )?;
    // Those on their way are due too, and are left out.
    let mut rows = query.query(params![webhook, now.0, page_size(most.saturating_add(room.on_their_way.len()))])?;
    let mut due = Vec::new();
    while let Some(row) = rows.next()? {
        let id = DeliveryId(row.get(0)?);
        if due.len() == most || room.on_their_way.contains(&id) {
            continue;
        }
        let site: Option<[u8; 16]> = row.get(5)?;
        let message = match site.map(SiteId::from_bytes) {
            Some(site) => Message::Site(site::news(connection, now, site)?),
            None => Message::Event(row.get(1)?),
        };
        let previous: Option<Vec<u8>> = row.get(7)?;
        due.push(DueDelivery {
            id,
            webhook,
            url: row.get(4)?,
            message,
            secret: secrets.open_webhook(webhook, &row.get::<_, Vec<u8>>(6)?)?,
            previous: previous.map(|sealed| secrets.open_webhook(webhook, &sealed)).transpose()?,
            attempts: row.get(2)?,
            since: UnixMillis(row.get(3)?),
        });
    }
    Ok(due)
}

fn settle(tx: &Tx<'_>, now: UnixMillis, id: DeliveryId, attempt: &Attempt) -> Result<(), Error> {
    let (status, again, http, error) = match attempt {
        Attempt::Delivered { status } => ("delivered", None, Some(*status), None),
        Attempt::Failed { status, error, again: Some(again) } => ("waiting", Some(again.0), *status, Some(error)),
        Attempt::Failed { status, error, again: None } => ("failed", None, *status, Some(error)),
    };
    let error = error.map(|error| error.chars().take(MAX_ERROR).collect::<String>());
    let finished = again.is_none().then_some(now.0);
    let webhook: Option<i64> = tx
        .prepare_cached(
            "UPDATE webhook_deliveries SET status = ?2, attempts = attempts + 1, next_attempt = ?3, last_attempt = ?4,
                last_status = ?5, last_error = ?6, finished_at = ?7 WHERE id = ?1 AND status = 'waiting'
             RETURNING webhook",
        )?
        .query_row(params![id.0, status, again, now.0, http, error, finished], |row| row.get(0))
        .optional()?;
    let Some(webhook) = webhook else { return Ok(()) };
    let delivered = matches!(attempt, Attempt::Delivered { .. });
    tx.prepare_cached(
        "UPDATE webhooks SET waiting = waiting - ?2, last_error = ?4,
            failing_since = CASE WHEN ?5 THEN NULL ELSE coalesce(failing_since, ?3) END,
            last_success = CASE WHEN ?5 THEN ?3 ELSE last_success END,
            last_failure = CASE WHEN ?5 THEN last_failure ELSE ?3 END
         WHERE id = ?1",
    )?
    .execute(params![webhook, finished.is_some(), now.0, error, delivered])?;
    Ok(())
}

fn hopeless(connection: &Connection, before: UnixMillis, limit: usize) -> Result<Vec<([u8; 16], i64)>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT d.id, d.webhook FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook
         WHERE d.status = 'waiting' AND d.since < ?1 AND (d.attempts > 0 OR w.failing_since < ?1)
         ORDER BY d.since LIMIT ?2",
    )?;
    let rows = query.query_map(params![before.0, page_size(limit)], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn give_up(tx: &Tx<'_>, now: UnixMillis, before: UnixMillis) -> Result<usize, Error> {
    let hopeless = hopeless(tx, before, AT_ONCE)?;
    for (id, webhook) in &hopeless {
        tx.prepare_cached(
            "UPDATE webhook_deliveries SET status = 'failed', next_attempt = NULL, finished_at = ? WHERE id = ?",
        )?
        .execute(params![now.0, id])?;
        tx.prepare_cached("UPDATE webhooks SET waiting = waiting - 1 WHERE id = ?")?.execute([webhook])?;
    }
    Ok(hopeless.len())
}

fn remove_some(tx: &Tx<'_>, before: UnixMillis) -> Result<usize, Error> {
    let removed = tx
        .prepare_cached(
            "DELETE FROM webhook_deliveries WHERE id IN
                (SELECT id FROM webhook_deliveries WHERE finished_at IS NOT NULL AND finished_at < ? LIMIT ?)",
        )?
        .execute(params![before.0, page_size(AT_ONCE)])?;
    Ok(removed)
}
