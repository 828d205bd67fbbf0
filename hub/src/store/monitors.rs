//! Monitors in use at the sites, as their agents' records say. Kept by `ingest`; nobody changes them here.

use super::{Scope, Store, counted, error::Error, licenses::check_place, page_size, sites};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Connection, params};
use sitewarden_protocol::{
    id::{AgentId, PlantId, SiteId},
    time::UnixMillis,
};
use std::{fmt, str::FromStr};

/// A monitor in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// The app that it belongs to.
    pub app: String,
    /// The app's own identifier.
    pub monitor: String,
    /// The agent that reserved it.
    pub agent: AgentId,
    /// Since when, by the site's clock.
    pub since: UnixMillis,
}

/// Some of a site's monitors, ordered by app and identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorPage {
    /// How many there are in all.
    pub in_use: u64,
    /// Those on this page.
    pub monitors: Vec<Monitor>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<MonitorCursor>,
}

/// A place in the list of a site's monitors. As text it is opaque.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorCursor {
    app: String,
    monitor: String,
}

/// A text is no place in a list of monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("after must be what the page before gave as next")]
pub struct NotACursor;

impl fmt::Display for MonitorCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = serde_json::json!([self.app, self.monitor]).to_string();
        f.write_str(&URL_SAFE_NO_PAD.encode(place))
    }
}

impl FromStr for MonitorCursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let place = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
        let (app, monitor) = serde_json::from_slice(&place).map_err(|_| NotACursor)?;
        Ok(Self { app, monitor })
    }
}

/// Which monitors are asked for.
#[derive(Debug, Clone)]
pub struct MonitorFilter {
    /// Of this site.
    pub site: SiteId,
    /// The plant that the site must be in, if given.
    pub plant: Option<PlantId>,
    /// Of this app only, if given.
    pub app: Option<String>,
}

impl Store {
    /// Monitors in use at a site that `scope` covers, from after a place on. Those of revoked agents do not count.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the site or the plant, also if it is not covered.
    pub async fn list_monitors(
        &self,
        scope: Scope,
        of: MonitorFilter,
        after: Option<MonitorCursor>,
        limit: usize,
    ) -> Result<MonitorPage, Error> {
        self.read(move |connection| {
            let plant = of.plant.map_or_else(|| sites::find(connection, of.site).map(|site| site.plant), Ok)?;
            check_place(connection, scope, plant, of.site)?;
            let in_use = count(connection, &of)?;
            let monitors = page(connection, &of, after, limit)?;
            let last = monitors.last().filter(|_| i64::try_from(monitors.len()) == Ok(page_size(limit)));
            let next = last.map(|last| MonitorCursor { app: last.app.clone(), monitor: last.monitor.clone() });
            Ok(MonitorPage { in_use, monitors, next })
        })
        .await
    }
}

fn count(connection: &Connection, of: &MonitorFilter) -> Result<u64, Error> {
    let mut query = connection.prepare_cached(
        "SELECT count(*) FROM monitors m JOIN agents a ON a.id = m.agent
         WHERE m.site = ?1 AND (?2 IS NULL OR m.app = ?2) AND a.status = 'active'",
    )?;
    Ok(query.query_row(params![of.site.as_bytes(), of.app], |row| counted(row, 0))?)
}

fn page(
    connection: &Connection,
    of: &MonitorFilter,
    after: Option<MonitorCursor>,
    limit: usize,
) -> Result<Vec<Monitor>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT m.app, m.monitor, a.uuid, m.since FROM monitors m JOIN agents a ON a.id = m.agent
         WHERE m.site = ?1 AND (?2 IS NULL OR m.app = ?2) AND a.status = 'active' AND (m.app, m.monitor) > (?3, ?4)
         ORDER BY m.app, m.monitor LIMIT ?5",
    )?;
    // Before all that an agent lets an app reserve: neither app nor identifier is empty.
    let (app, monitor) = after.map_or_else(Default::default, |after| (after.app, after.monitor));
    let rows = query.query_map(params![of.site.as_bytes(), of.app, app, monitor, page_size(limit)], |row| {
        Ok(Monitor {
            app: row.get(0)?,
            monitor: row.get(1)?,
            agent: AgentId::from_bytes(row.get(2)?),
            since: UnixMillis(row.get(3)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
