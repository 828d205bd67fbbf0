//! The address of a site's agent: it is called when what its site may do changed.
//!
//! What it is told is a hint (the agent fetches the signed snapshot, which alone counts), so it is made when it is sent.

use super::{LICENSE_UPDATE, Webhook, change::subject, event, read};
use crate::store::{
    Act, Scope, Store, audit,
    error::{Error, found},
    licenses, plants, secrets, sites,
    writer::Tx,
};
use crate::webhooks::WebhookUrl;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rusqlite::{Connection, params};
use serde_json::json;
use sitewarden_protocol::{
    id::SiteId,
    license::{self, Kind, License, Status},
    time::UnixMillis,
};
use std::{collections::BTreeSet, fmt, ops::RangeInclusive, sync::Arc};
use zeroize::Zeroizing;

/// Sites whose news are written in one transaction: others wait for it.
const AT_ONCE: usize = 200;

/// Bytes that agents take as a secret.
const SECRET: RangeInclusive<usize> = 32..=256;

/// Where a site's agent is called, and what that is signed with. The secret does not print.
#[derive(Clone)]
pub struct SiteAddress {
    /// Where to.
    pub url: WebhookUrl,
    /// 32 to 256 bytes; `None` keeps the one there is, and makes one if there is none.
    pub secret: Option<Zeroizing<String>>,
}

impl fmt::Debug for SiteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteAddress").field("url", &self.url).finish_non_exhaustive()
    }
}

/// How things stand at a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteNews {
    /// Whose site it is.
    pub customer: i64,
    /// `none`, `trial` if it has nothing else, or `custom`.
    pub tier: &'static str,
    /// When the last trial ends, if it has nothing else.
    pub trial_end: Option<UnixMillis>,
    /// `inactive`, `active` or `expired`.
    pub status: &'static str,
}

impl Store {
    /// Sets where a site's agent is called. A secret that was made is in the answer, this once.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the site, [`Error::Changed`], [`Error::Invalid`] for the secret.
    pub async fn set_site_address(
        &self,
        act: &Act,
        site: SiteId,
        address: SiteAddress,
    ) -> Result<(Webhook, Option<Zeroizing<String>>), Error> {
        if address.secret.as_ref().is_some_and(|secret| !SECRET.contains(&secret.len())) {
            return Err(Error::Invalid { what: "webhook secret", allowed: "32 to 256 bytes" });
        }
        let (act, secrets) = (act.clone(), Arc::clone(&self.0.secrets));
        self.write(move |tx| {
            let owner = plants::find(tx, sites::find(tx, site)?.plant)?.customer;
            let before = read::of_site(tx, site)?;
            // No address is at revision 0.
            act.check_seen(before.as_ref().map_or(0, |before| before.revision))?;
            tx.prepare_cached(
                "INSERT INTO webhooks (site, customer, url, events, secret_sealed, created_at) VALUES (?, ?, ?, '[]', x'', ?)
                 ON CONFLICT (site) DO UPDATE SET url = excluded.url, revision = revision + 1",
            )?
            .execute(params![site.as_bytes(), owner, address.url.as_str(), act.at.0])?;
            let after = found(read::of_site(tx, site)?, "address")?;
            let made = (before.is_none() && address.secret.is_none()).then(new_secret).transpose()?;
            if let Some(secret) = address.secret.as_ref().or(made.as_ref()) {
                let sealed = secrets.seal_webhook(after.id, secret)?;
                tx.prepare_cached("UPDATE webhooks SET secret_sealed = ? WHERE id = ?")?
                    .execute(params![sealed, after.id])?;
            }
            let (was, is) = (before.map(|before| json!(before)), json!(after));
            let action = if was.is_some() { "webhook.edit" } else { "webhook.add" };
            audit::write(tx, &act, action, &subject(after.id), was.as_ref(), Some(&is))?;
            tx.delivery_written();
            Ok((after, made))
        })
        .await
    }

    /// Where a site's agent is called, if it is.
    ///
    /// # Errors
    /// What the database says.
    pub async fn site_address(&self, site: SiteId) -> Result<Option<Webhook>, Error> {
        self.read(move |connection| read::of_site(connection, site)).await
    }

    /// Has a site's agent not called any more.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it is not, [`Error::Changed`].
    pub async fn remove_site_address(&self, act: &Act, site: SiteId) -> Result<Webhook, Error> {
        let address = found(self.site_address(site).await?, "address of this site's agent")?;
        self.remove_webhook(act, Scope::default(), address.id).await
    }

    /// Writes deliveries for the sites with news, but for those in `busy`, which are being called just now and might have
    /// been told how things stood before. Answers how many; at most so many as go into one transaction.
    ///
    /// # Errors
    /// What the database says.
    pub async fn write_site_news(&self, now: UnixMillis, busy: Vec<i64>) -> Result<usize, Error> {
        let due = self.read(move |connection| changed(connection, &busy)).await?;
        if due.is_empty() {
            return Ok(0);
        }
        self.write(move |tx| {
            for webhook in &due {
                write_news(tx, now, *webhook)?;
            }
            Ok(due.len())
        })
        .await
    }
}

/// A site got a new snapshot: its agent, if it has an address, is to be called.
pub(in crate::store) fn site_changed(tx: &Tx<'_>, site: SiteId) -> Result<(), Error> {
    let told = tx
        .prepare_cached("UPDATE webhooks SET changed = 1 WHERE site = ? AND changed = 0")?
        .execute([site.as_bytes()])?;
    if told > 0 {
        tx.delivery_written();
    }
    Ok(())
}

fn changed(connection: &Connection, busy: &[i64]) -> Result<Vec<i64>, Error> {
    let mut query =
        connection.prepare_cached("SELECT id FROM webhooks WHERE changed = 1 AND enabled = 1 ORDER BY id")?;
    let ids = query.query_map([], |row| row.get(0))?;
    let free = ids.filter(|id| id.as_ref().map_or(true, |id| !busy.contains(id)));
    Ok(free.take(AT_ONCE).collect::<Result<_, _>>()?)
}

/// One delivery waits for a site at a time: it tells how things stand when it is sent.
fn write_news(tx: &Tx<'_>, now: UnixMillis, webhook: i64) -> Result<(), Error> {
    tx.prepare_cached("UPDATE webhooks SET changed = 0 WHERE id = ?")?.execute([webhook])?;
    let waits = tx
        .prepare_cached("UPDATE webhook_deliveries SET since = ? WHERE webhook = ? AND status = 'waiting'")?
        .execute(params![now.0, webhook])?;
    if waits > 0 { Ok(()) } else { event::write(tx, now, webhook, LICENSE_UPDATE, "").map(drop) }
}

/// How things stand at a site.
pub(super) fn news(connection: &Connection, now: UnixMillis, site: SiteId) -> Result<SiteNews, Error> {
    let customer = plants::find(connection, sites::find(connection, site)?.plant)?.customer;
    let rows = licenses::of_site(connection, site)?;
    let licenses: Vec<License> = rows.into_iter().map(License::from).collect();
    let apps: BTreeSet<&str> = licenses.iter().map(|license| license.app.as_str()).collect();
    let in_force: Vec<&License> = apps.into_iter().filter_map(|app| license::in_force(&licenses, app)).collect();
    let runs = |license: &License| license.status == Status::Active && license.expires_at.is_none_or(|end| now < end);
    let is_trial = !in_force.is_empty() && in_force.iter().all(|license| license.kind == Kind::Trial);
    let ends: Option<Vec<UnixMillis>> = in_force.iter().map(|license| license.expires_at).collect();
    Ok(SiteNews {
        customer,
        tier: match (in_force.is_empty(), is_trial) {
            (true, _) => "none",
            (false, true) => "trial",
            (false, false) => "custom",
        },
        trial_end: ends.and_then(|ends| ends.into_iter().max()).filter(|_| is_trial),
        status: match (in_force.is_empty(), in_force.iter().any(|license| runs(license))) {
            (true, _) => "inactive",
            (false, true) => "active",
            (false, false) => "expired",
        },
    })
}

/// What an agent takes with `webhook-secret set`.
pub(super) fn new_secret() -> Result<Zeroizing<String>, Error> {
    let bytes = Zeroizing::new(secrets::random::<32>()?);
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}
