//! Webhooks and deliveries as they are stored.

use super::{Delivery, DeliveryId, DeliveryStatus, Standing, Webhook};
use crate::store::{Scope, Store, counted, error::Error, error::found, page_size};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sitewarden_protocol::{id::SiteId, time::UnixMillis};

const DAMAGED: Error = Error::Damaged { what: "webhook" };

const COLUMNS: &str = "id, site, customer, url, description, events, enabled, created_at, previous_until, waiting, dropped, \
     failing_since, last_success, last_failure, last_error, revision";

const DELIVERY: &str = "id, webhook, event, body, status, attempts, next_attempt, last_attempt, last_status, last_error, \
     created_at, finished_at";

impl Store {
    /// Webhooks that `scope` covers in the order of their numbers, after one of them; those that hear of one customer only,
    /// if given.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_webhooks(
        &self,
        scope: Scope,
        customer: Option<i64>,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Webhook>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM webhooks WHERE id > ?1 AND (?2 IS NULL OR customer = ?2)
                    AND (?3 IS NULL OR customer = ?3) AND (?4 IS NULL OR site = ?4) ORDER BY id LIMIT ?5"
            );
            let site = scope.site.map(|id| *id.as_bytes());
            let mut query = connection.prepare_cached(&sql)?;
            let mut rows =
                query.query(params![after.unwrap_or(0), customer, scope.customer, site, page_size(limit)])?;
            let mut webhooks = Vec::new();
            while let Some(row) = rows.next()? {
                webhooks.push(webhook(row)?);
            }
            Ok(webhooks)
        })
        .await
    }

    /// One webhook, if `scope` covers it.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_webhook(&self, scope: Scope, id: i64) -> Result<Webhook, Error> {
        self.read(move |connection| find(connection, scope, id)).await
    }

    /// Deliveries of a webhook that `scope` covers, the newest first, from before one of them on; of one status, if given.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the webhook.
    pub async fn list_deliveries(
        &self,
        scope: Scope,
        of: i64,
        status: Option<DeliveryStatus>,
        before: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<Delivery>, Error> {
        self.read(move |connection| {
            find(connection, scope, of)?;
            let sql = format!(
                "SELECT {DELIVERY} FROM webhook_deliveries
                 WHERE webhook = ?1 AND id < ?2 AND (?3 IS NULL OR status = ?3) ORDER BY id DESC LIMIT ?4"
            );
            let mut query = connection.prepare_cached(&sql)?;
            let before = before.map_or([u8::MAX; 16], |id| id.0);
            let mut rows = query.query(params![of, before, status.map(DeliveryStatus::name), page_size(limit)])?;
            let mut deliveries = Vec::new();
            while let Some(row) = rows.next()? {
                deliveries.push(delivery(row)?);
            }
            Ok(deliveries)
        })
        .await
    }

    /// One delivery, if `scope` covers its webhook.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_delivery(&self, scope: Scope, id: DeliveryId) -> Result<Delivery, Error> {
        self.read(move |connection| find_delivery(connection, scope, id)).await
    }
}

pub(super) fn find(connection: &Connection, scope: Scope, id: i64) -> Result<Webhook, Error> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE id = ?");
    let mut query = connection.prepare_cached(&sql)?;
    let webhook = query.query_row([id], |row| Ok(webhook(row))).optional()?.transpose()?;
    found(webhook.filter(|webhook| webhook.is_within(scope)), "webhook")
}

/// The address of a site's agent.
pub(super) fn of_site(connection: &Connection, site: SiteId) -> Result<Option<Webhook>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM webhooks WHERE site = ?");
    let mut query = connection.prepare_cached(&sql)?;
    query.query_row([site.as_bytes()], |row| Ok(webhook(row))).optional()?.transpose()
}

pub(super) fn find_delivery(connection: &Connection, scope: Scope, id: DeliveryId) -> Result<Delivery, Error> {
    let sql = format!("SELECT {DELIVERY} FROM webhook_deliveries WHERE id = ?");
    let mut query = connection.prepare_cached(&sql)?;
    let delivery = found(query.query_row([id.0], |row| Ok(delivery(row))).optional()?.transpose()?, "delivery")?;
    // Whoever may not see the webhook learns nothing of its deliveries.
    find(connection, scope, delivery.webhook).map_err(|_| Error::NotFound { what: "delivery" })?;
    Ok(delivery)
}

fn webhook(row: &Row<'_>) -> Result<Webhook, Error> {
    let events = row.get_ref(5)?.as_str().map_err(|_| DAMAGED)?;
    let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(UnixMillis));
    Ok(Webhook {
        id: row.get(0)?,
        site: row.get::<_, Option<[u8; 16]>>(1)?.map(SiteId::from_bytes),
        customer: row.get(2)?,
        url: row.get(3)?,
        description: row.get(4)?,
        events: serde_json::from_str(events).map_err(|_| DAMAGED)?,
        enabled: row.get(6)?,
        created_at: UnixMillis(row.get(7)?),
        previous_until: time(8)?,
        revision: row.get(15)?,
        standing: Standing {
            waiting: counted(row, 9)?,
            dropped: counted(row, 10)?,
            failing_since: time(11)?,
            last_success: time(12)?,
            last_failure: time(13)?,
            last_error: row.get(14)?,
        },
    })
}

fn delivery(row: &Row<'_>) -> Result<Delivery, Error> {
    let time = |column| row.get::<_, Option<i64>>(column).map(|at| at.map(UnixMillis));
    let status = row.get_ref(4)?.as_str().ok().and_then(DeliveryStatus::by_name);
    Ok(Delivery {
        id: DeliveryId(row.get(0)?),
        webhook: row.get(1)?,
        event: row.get(2)?,
        body: row.get(3)?,
        status: status.ok_or(Error::Damaged { what: "delivery" })?,
        attempts: row.get(5)?,
        next_attempt: time(6)?,
        last_attempt: time(7)?,
        last_status: row.get(8)?,
        last_error: row.get(9)?,
        created_at: UnixMillis(row.get(10)?),
        finished_at: time(11)?,
    })
}
