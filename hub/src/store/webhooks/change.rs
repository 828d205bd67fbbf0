//! Webhooks are made, changed, removed; their secrets are replaced; deliveries are asked for.

use super::{
    Delivery, DeliveryId, DeliveryStatus, LICENSE_UPDATE, MAX_DESCRIPTION, MAX_WEBHOOKS, Webhook, WebhookEvent, event,
    read::{find, find_delivery},
    site,
};
use crate::store::{Act, Scope, Store, audit, customers, error::Error, page_size, secrets, writer::Tx};
use crate::webhooks::WebhookUrl;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rusqlite::params;
use serde_json::json;
use std::{fmt, sync::Arc, time::Duration};
use zeroize::Zeroizing;

/// Deliveries that are removed in one transaction: others wait for it.
const AT_ONCE: usize = 1_000;

/// A webhook to be made.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Where to.
    pub url: WebhookUrl,
    /// Whose events it hears; `None` for everybody's.
    pub customer: Option<i64>,
    /// In the administrator's words, at most 200 characters.
    pub description: String,
    /// What it hears of; not nothing.
    pub events: Vec<WebhookEvent>,
}

/// What is to be changed; `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct WebhookEdit {
    /// Where to.
    pub url: Option<WebhookUrl>,
    /// In the administrator's words, at most 200 characters.
    pub description: Option<String>,
    /// What it hears of; not nothing.
    pub events: Option<Vec<WebhookEvent>>,
    /// Whether it is called. What waits, waits on meanwhile.
    pub enabled: Option<bool>,
}

/// A webhook with a new secret. The secret does not print.
pub struct RotatedWebhook {
    /// The webhook.
    pub webhook: Webhook,
    /// Shown this once.
    pub secret: Zeroizing<String>,
}

impl fmt::Debug for RotatedWebhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotatedWebhook").field("webhook", &self.webhook).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes a webhook with a secret, which is shown this once. Somebody who is limited to a customer makes them for this
    /// customer, and somebody who is limited to a site none.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a customer that `scope` does not cover or that is not there, [`Error::Invalid`] for a value or one webhook too many.
    pub async fn add_webhook(&self, act: &Act, scope: Scope, new: NewWebhook) -> Result<RotatedWebhook, Error> {
        let (act, secrets) = (act.clone(), Arc::clone(&self.0.secrets));
        let (description, events) = (checked_description(&new.description)?, checked_events(new.events)?);
        let secret = new_secret()?;
        let customer = new.customer.or(scope.customer);
        if scope.site.is_some() || scope.customer.is_some_and(|own| customer != Some(own)) {
            return Err(Error::NotFound { what: "customer" });
        }
        self.write(move |tx| {
            if let Some(customer) = customer {
                customers::find(tx, customer)?;
            }
            check_room(tx)?;
            tx.prepare_cached(
                "INSERT INTO webhooks (customer, url, description, events, secret_sealed, created_at)
                 VALUES (?, ?, ?, ?, x'', ?)",
            )?
            .execute(params![customer, new.url.as_str(), description, event_names(&events), act.at.0])?;
            let id = tx.last_insert_rowid();
            let sealed = secrets.seal_webhook(id, &secret)?;
            tx.prepare_cached("UPDATE webhooks SET secret_sealed = ? WHERE id = ?")?.execute(params![sealed, id])?;
            let webhook = find(tx, scope, id)?;
            audit::write(tx, &act, "webhook.add", &subject(id), None, Some(&json!(webhook)))?;
            Ok(RotatedWebhook { webhook, secret })
        })
        .await
    }

    /// Changes a webhook.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Changed`]; [`Error::Invalid`] for a value, or for events of a site's agent.
    pub async fn edit_webhook(&self, act: &Act, scope: Scope, id: i64, edit: WebhookEdit) -> Result<Webhook, Error> {
        let act = act.clone();
        let description = edit.description.as_deref().map(checked_description).transpose()?;
        let events = edit.events.map(checked_events).transpose()?;
        self.write(move |tx| {
            let before = find(tx, scope, id)?;
            act.check_seen(before.revision)?;
            if before.site.is_some() && events.is_some() {
                return Err(Error::Invalid {
                    what: "events",
                    allowed: "left out: a site's agent hears of its licences",
                });
            }
            let mut after = Webhook {
                url: edit.url.map_or_else(|| before.url.clone(), |url| url.as_str().to_owned()),
                description: description.unwrap_or_else(|| before.description.clone()),
                events: events.unwrap_or_else(|| before.events.clone()),
                enabled: edit.enabled.unwrap_or(before.enabled),
                ..before.clone()
            };
            if after == before {
                return Ok(before);
            }
            after.revision += 1;
            let events = event_names(&after.events);
            tx.prepare_cached(
                "UPDATE webhooks SET url = ?, description = ?, events = ?, enabled = ?, revision = ? WHERE id = ?",
            )?
            .execute(params![after.url, after.description, events, after.enabled, after.revision, id])?;
            audit::write(tx, &act, "webhook.edit", &subject(id), Some(&json!(before)), Some(&json!(after)))?;
            // It may have been switched on, or mended: what waits is looked at.
            tx.delivery_written();
            Ok(after)
        })
        .await
    }

    /// Removes a webhook and its deliveries.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that `scope` does not cover.
    pub async fn remove_webhook(&self, act: &Act, scope: Scope, id: i64) -> Result<Webhook, Error> {
        self.edit_webhook(act, scope, id, WebhookEdit { enabled: Some(false), ..WebhookEdit::default() }).await?;
        // There may be very many, and everybody else would wait.
        while self.write(move |tx| forget_some(tx, id)).await? == AT_ONCE {}
        let act = act.clone();
        self.write(move |tx| {
            let before = find(tx, scope, id)?;
            tx.prepare_cached("DELETE FROM webhooks WHERE id = ?")?.execute([id])?;
            audit::write(tx, &act, "webhook.remove", &subject(id), Some(&json!(before)), None)?;
            Ok(before)
        })
        .await
    }

    /// Makes a new secret, which is shown this once; for as long as `overlap` what is sent is signed with the one before
    /// too. What goes to a site's agent has room for one signature: there the new one counts at once.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that `scope` does not cover.
    pub async fn rotate_webhook(
        &self,
        act: &Act,
        scope: Scope,
        id: i64,
        overlap: Duration,
    ) -> Result<RotatedWebhook, Error> {
        let (act, secrets) = (act.clone(), Arc::clone(&self.0.secrets));
        let secret = new_secret()?;
        self.write(move |tx| {
            let before = find(tx, scope, id)?;
            act.check_seen(before.revision)?;
            let secret = if before.site.is_some() { site::new_secret()? } else { secret };
            let sealed = secrets.seal_webhook(id, &secret)?;
            let until = (before.site.is_none() && !overlap.is_zero()).then(|| act.at.after(overlap).0);
            tx.prepare_cached(
                "UPDATE webhooks SET previous_sealed = CASE WHEN ?2 IS NULL THEN NULL ELSE secret_sealed END,
                    previous_until = ?2, secret_sealed = ?3, revision = revision + 1 WHERE id = ?1",
            )?
            .execute(params![id, until, sealed])?;
            let webhook = find(tx, scope, id)?;
            audit::write(tx, &act, "webhook.rotate", &subject(id), Some(&json!(before)), Some(&json!(webhook)))?;
            Ok(RotatedWebhook { webhook, secret })
        })
        .await
    }

    /// Writes a test for a webhook; a site's agent is told how things stand.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] if it is switched off; [`Error::Invalid`] if too many wait.
    pub async fn test_webhook(&self, act: &Act, scope: Scope, id: i64) -> Result<Delivery, Error> {
        let act = act.clone();
        self.write(move |tx| {
            let webhook = find(tx, scope, id)?;
            if !webhook.enabled {
                return Err(Error::Conflict { what: "switch that turned this webhook off" });
            }
            let written = match webhook.site {
                Some(_) => event::write(tx, act.at, id, LICENSE_UPDATE, "")?,
                None => event::tell_test(tx, act.at, id, &json!({ "webhook_id": id }))?,
            };
            let full = Error::Invalid { what: "number of waiting deliveries", allowed: "at most 10000" };
            let delivery = find_delivery(tx, scope, written.ok_or(full)?)?;
            audit::write(tx, &act, "webhook.test", &subject(id), None, Some(&json!({ "delivery": delivery.id })))?;
            Ok(delivery)
        })
        .await
    }

    /// Has a delivery sent again, under the same id; one that waits is sent at once.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for one that `scope` does not cover.
    pub async fn resend_delivery(&self, act: &Act, scope: Scope, id: DeliveryId) -> Result<Delivery, Error> {
        let act = act.clone();
        self.write(move |tx| {
            let before = find_delivery(tx, scope, id)?;
            if before.status != DeliveryStatus::Waiting {
                tx.prepare_cached("UPDATE webhooks SET waiting = waiting + 1 WHERE id = ?")?
                    .execute([before.webhook])?;
            }
            tx.prepare_cached(
                "UPDATE webhook_deliveries SET status = 'waiting', attempts = 0, since = ?2, next_attempt = ?2,
                    finished_at = NULL WHERE id = ?1",
            )?
            .execute(params![id.0, act.at.0])?;
            audit::write(tx, &act, "webhook.resend", &subject(before.webhook), None, Some(&json!({ "delivery": id })))?;
            tx.delivery_written();
            find_delivery(tx, scope, id)
        })
        .await
    }
}

pub(super) fn subject(id: i64) -> String {
    format!("webhook {id}")
}

/// `whsec_` and 32 random bytes in base64, as Standard Webhooks has it.
fn new_secret() -> Result<Zeroizing<String>, Error> {
    let bytes = Zeroizing::new(secrets::random::<32>()?);
    let text = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
    Ok(Zeroizing::new(format!("whsec_{}", text.as_str())))
}

fn forget_some(tx: &Tx<'_>, webhook: i64) -> Result<usize, Error> {
    let removed = tx
        .prepare_cached(
            "DELETE FROM webhook_deliveries WHERE id IN (SELECT id FROM webhook_deliveries WHERE webhook = ? LIMIT ?)",
        )?
        .execute(params![webhook, page_size(AT_ONCE)])?;
    Ok(removed)
}

fn check_room(tx: &Tx<'_>) -> Result<(), Error> {
    let mut query = tx.prepare_cached("SELECT count(*) FROM webhooks WHERE site IS NULL")?;
    let webhooks: i64 = query.query_row([], |row| row.get(0))?;
    let full = Error::Invalid { what: "number of webhooks", allowed: "at most 500" };
    if webhooks < MAX_WEBHOOKS { Ok(()) } else { Err(full) }
}

fn checked_description(text: &str) -> Result<String, Error> {
    let text = text.trim();
    let fits = text.chars().count() <= MAX_DESCRIPTION && !text.chars().any(char::is_control);
    let invalid = Error::Invalid { what: "description", allowed: "at most 200 characters, without control characters" };
    if fits { Ok(text.to_owned()) } else { Err(invalid) }
}

fn checked_events(mut events: Vec<WebhookEvent>) -> Result<Vec<WebhookEvent>, Error> {
    events.sort_unstable();
    events.dedup();
    if events.is_empty() { Err(Error::Invalid { what: "events", allowed: "at least one" }) } else { Ok(events) }
}

fn event_names(events: &[WebhookEvent]) -> String {
    json!(events).to_string()
}
