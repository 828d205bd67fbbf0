//! Red flags: signs of tampering or piracy. They are raised where the sign is seen, in the same transaction, and are put
//! aside by an administrator, with a note, and never removed.

mod evidence;

pub use evidence::{ForkEvidence, StoredHalf};

use super::{Act, Scope, Store, audit, error::Error, error::found, page_size, webhooks, writer::Tx};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;
use sitewarden_protocol::{
    chain::Position,
    id::{AgentId, SiteId},
    time::UnixMillis,
};

/// The most characters of a note.
const MAX_NOTE: usize = 1_000;

/// A sign of tampering or piracy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RedFlag {
    /// Which; later ones are greater.
    pub id: i64,
    /// When the hub saw it.
    pub at: UnixMillis,
    /// Of what kind, such as `fork` or `rollback`.
    pub kind: String,
    /// At which site.
    pub site: Option<SiteId>,
    /// Of which agent.
    pub agent: Option<AgentId>,
    /// The number of the licence that it is about.
    pub license: Option<i64>,
    /// What was seen; by kind.
    pub details: Value,
    /// When it was put aside; `None` while it is open.
    pub resolved_at: Option<UnixMillis>,
    /// By whom.
    pub resolved_by: Option<String>,
    /// Why.
    pub note: Option<String>,
}

impl RedFlag {
    /// Grows with every edit, of which there is one: 1 while it is open, then 2.
    pub const fn revision(&self) -> i64 {
        if self.resolved_at.is_some() { 2 } else { 1 }
    }
}

/// A flag that is to be raised.
pub(super) struct NewFlag<'a> {
    pub(super) kind: &'static str,
    pub(super) site: SiteId,
    /// The agent's row.
    pub(super) agent: i64,
    pub(super) license: Option<i64>,
    pub(super) details: &'a Value,
    /// With it, a flag of the same agent, kind and observation is raised once, whether it was put aside or not.
    pub(super) observation: Option<&'a str>,
}

/// Raises a flag, and answers whether it is new.
pub(super) fn raise(tx: &Tx<'_>, now: UnixMillis, flag: &NewFlag<'_>) -> Result<bool, Error> {
    let raised = tx
        .prepare_cached(
            "INSERT INTO red_flags (at, kind, site, agent, license, details, observation) VALUES (?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (agent, kind, observation) WHERE observation IS NOT NULL DO NOTHING",
        )?
        .execute(params![
            now.0,
            flag.kind,
            flag.site.as_bytes(),
            flag.agent,
            flag.license,
            flag.details.to_string(),
            flag.observation,
        ])?;
    if raised > 0 {
        webhooks::flag_raised(tx, now, tx.last_insert_rowid())?;
    }
    Ok(raised > 0)
}

impl Store {
    /// Raises the flag `missing`, once for each place: a site that hears nothing back has sent what comes after records that
    /// are not here. One that is not known is ignored.
    ///
    /// # Errors
    /// What the database says.
    pub async fn flag_missing(
        &self,
        now: UnixMillis,
        agent: AgentId,
        have: Position,
        first: Position,
    ) -> Result<(), Error> {
        self.write(move |tx| {
            let row: Option<(i64, [u8; 16])> = tx
                .prepare_cached("SELECT id, site FROM agents WHERE uuid = ?")?
                .query_row([agent.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((row, site)) = row else { return Ok(()) };
            let details = serde_json::json!({
                "epoch": first.epoch, "first": have.seq + 1, "last": first.seq - 1, "export_after": have.to_string(),
            });
            let observation = Some(have.to_string());
            let site = SiteId::from_bytes(site);
            let flag = NewFlag {
                kind: "missing",
                site,
                agent: row,
                license: None,
                details: &details,
                observation: observation.as_deref(),
            };
            raise(tx, now, &flag).map(drop)
        })
        .await
    }
}

/// The most flags of a kind that one API key raises in a day: who sends ever new wrong keys is known after a few.
const MAX_OF_KEY_A_DAY: i64 = 100;

/// A day, milliseconds.
const DAY: i64 = 86_400_000;

/// A flag about what came with an API key, through an agent or not.
pub(super) struct KeyFlag<'a> {
    pub(super) kind: &'static str,
    pub(super) site: Option<SiteId>,
    /// The agent's row.
    pub(super) agent: Option<i64>,
    /// The key's number, if the key is known.
    pub(super) api_key: Option<i64>,
    pub(super) license: Option<i64>,
    pub(super) details: &'a Value,
    /// The same one is raised once.
    pub(super) observation: &'a str,
}

/// Raises a flag about what came with an API key, and answers whether it is new.
pub(super) fn raise_for_key(tx: &Tx<'_>, now: UnixMillis, flag: &KeyFlag<'_>) -> Result<bool, Error> {
    // A null agent is like no other to a unique index, so each of the two has its own.
    let sql = if flag.agent.is_some() {
        "SELECT 1 FROM red_flags WHERE agent = ?1 AND kind = ?3 AND observation = ?4 AND ?2 IS ?2"
    } else {
        "SELECT 1 FROM red_flags WHERE agent IS ?1 AND api_key IS ?2 AND kind = ?3 AND observation = ?4"
    };
    let mut query = tx.prepare_cached(sql)?;
    let raised = query.query_row(params![flag.agent, flag.api_key, flag.kind, flag.observation], |_| Ok(()));
    if raised.optional()?.is_some() {
        return Ok(false);
    }
    let today: i64 = tx
        .prepare_cached("SELECT count(*) FROM red_flags WHERE kind = ? AND agent IS ? AND api_key IS ? AND at > ?")?
        .query_row(params![flag.kind, flag.agent, flag.api_key, now.0.saturating_sub(DAY)], |row| row.get(0))?;
    if today >= MAX_OF_KEY_A_DAY {
        return Ok(false);
    }
    tx.prepare_cached(
        "INSERT INTO red_flags (at, kind, site, agent, api_key, license, details, observation)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        now.0,
        flag.kind,
        flag.site.map(|id| *id.as_bytes()),
        flag.agent,
        flag.api_key,
        flag.license,
        flag.details.to_string(),
        flag.observation,
    ])?;
    webhooks::flag_raised(tx, now, tx.last_insert_rowid())?;
    Ok(true)
}

const COLUMNS: &str = "f.id, f.at, f.kind, f.site, a.uuid, f.license, f.details, f.resolved_at, f.resolved_by, f.note";

impl Store {
    /// Flags, the newest first, from before one of them on; only open ones, and only of one site, if asked for.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_flags(
        &self,
        scope: Scope,
        open: bool,
        site: Option<SiteId>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<RedFlag>, Error> {
        self.read(move |connection| {
            let sql = format!(
                "SELECT {COLUMNS} FROM red_flags f LEFT JOIN agents a ON a.id = f.agent
                 WHERE f.id < ?1 AND (?2 IS NULL OR f.site = ?2) AND (NOT ?3 OR f.resolved_at IS NULL)
                    AND (?4 IS NULL OR f.site = ?4)
            AND (?5 IS NULL OR f.site IN (SELECT s.id FROM sites s JOIN plants p ON p.id = s.plant WHERE p.customer = ?5))
                 ORDER BY f.id DESC LIMIT ?6"
            );
            let mut query = connection.prepare_cached(&sql)?;
            let (site, only) = (site.map(|id| *id.as_bytes()), scope.site.map(|id| *id.as_bytes()));
            let asked = params![before.unwrap_or(i64::MAX), site, open, only, scope.customer, page_size(limit)];
            let mut rows = query.query(asked)?;
            let mut flags = Vec::new();
            while let Some(row) = rows.next()? {
                flags.push(flag(row)?);
            }
            Ok(flags)
        })
        .await
    }

    /// One flag.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn show_flag(&self, id: i64) -> Result<RedFlag, Error> {
        self.read(move |connection| find(connection, id)).await
    }

    /// Puts a flag aside.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Changed`], [`Error::Conflict`] if it was put aside before, [`Error::Invalid`] for a note that says
    /// nothing or too much.
    pub async fn resolve_flag(&self, act: &Act, id: i64, note: &str) -> Result<RedFlag, Error> {
        let (act, note) = (act.clone(), checked_note(note)?);
        self.write(move |tx| {
            let before = find(tx, id)?;
            act.check_seen(before.revision())?;
            if before.resolved_at.is_some() {
                return Err(Error::Conflict { what: "resolution of this flag" });
            }
            tx.prepare_cached("UPDATE red_flags SET resolved_at = ?, resolved_by = ?, note = ? WHERE id = ?")?
                .execute(params![act.at.0, act.by, note, id])?;
            let after = find(tx, id)?;
            let (old, new) = (serde_json::json!(before), serde_json::json!(after));
            audit::write(tx, &act, "flag.resolve", &format!("flag {id}"), Some(&old), Some(&new))?;
            Ok(after)
        })
        .await
    }
}

fn find(connection: &Connection, id: i64) -> Result<RedFlag, Error> {
    let sql = format!("SELECT {COLUMNS} FROM red_flags f LEFT JOIN agents a ON a.id = f.agent WHERE f.id = ?");
    let mut query = connection.prepare_cached(&sql)?;
    found(query.query_row([id], |row| Ok(flag(row))).optional()?, "flag")?
}

fn flag(row: &Row<'_>) -> Result<RedFlag, Error> {
    let details = row.get_ref(6)?.as_str().ok().and_then(|text| serde_json::from_str(text).ok());
    Ok(RedFlag {
        id: row.get(0)?,
        at: UnixMillis(row.get(1)?),
        kind: row.get(2)?,
        site: row.get::<_, Option<[u8; 16]>>(3)?.map(SiteId::from_bytes),
        agent: row.get::<_, Option<[u8; 16]>>(4)?.map(AgentId::from_bytes),
        license: row.get(5)?,
        details: details.ok_or(Error::Damaged { what: "flag" })?,
        resolved_at: row.get::<_, Option<i64>>(7)?.map(UnixMillis),
        resolved_by: row.get(8)?,
        note: row.get(9)?,
    })
}

pub(super) fn checked_note(note: &str) -> Result<String, Error> {
    let note = note.trim();
    let fits = !note.is_empty() && note.chars().count() <= MAX_NOTE && !note.chars().any(char::is_control);
    let invalid = Error::Invalid { what: "note", allowed: "1 to 1000 characters, without control characters" };
    if fits { Ok(note.to_owned()) } else { Err(invalid) }
}
