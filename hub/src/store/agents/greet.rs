//! What an agent says when it comes, held against what the hub knows of it: the first contact after a machine was rolled
//! back or copied shows it.
//!
//! An agent in order never raises a flag. It says what is on its own disk, and a hub learns of nothing before that is
//! there; so it is level or ahead, also of a hub that was restored from a backup, and also when receipts were lost. When
//! damage cuts the end of an epoch the agent goes on in a new one, and only the newest counts here. Its snapshot only
//! grows. A machine that starts anew has a start that was never seen.

use crate::store::{
    Store, counted,
    error::Error,
    flags::{self, NewFlag},
    webhooks, whole,
    writer::Tx,
};
use rusqlite::{OptionalExtension, params};
use serde_json::json;
use sitewarden_protocol::{
    chain::{Chain, Cursor, Position},
    id::{AgentId, SiteId},
    message::{Hello, MAX_EPOCHS},
    snapshot::Version,
    time::UnixMillis,
};
use std::{net::IpAddr, time::Duration};

/// The most characters of a program's version that are kept.
const MAX_PROGRAM: usize = 64;
/// How long the start of a machine is remembered: the hub may be told of two that take turns within this.
const BOOTS_REMEMBERED: Duration = Duration::from_secs(24 * 60 * 60);
/// Starts that are remembered of one agent, the last ones. Two machines that take turns are among them.
const MAX_BOOTS: i64 = 16;
/// How long what a machine said before it went down may be on its way, after its next start was seen.
const LAST_WORDS: Duration = Duration::from_secs(60);
/// What a machine says that does not tell its starts apart.
const UNKNOWN_BOOT: [u8; 16] = [0; 16];

/// The agent, as the greeting needs it.
struct Guest {
    row: i64,
    site: SiteId,
    had: Version,
}

impl Store {
    /// Keeps what an agent says when it comes, and raises the red flags `rollback` and `clone` where that does not go
    /// with what the hub knows: each observation once. Answers the kinds that are new. One that is not known is ignored.
    ///
    /// # Errors
    /// What the database says.
    pub async fn greet_agent(
        &self,
        now: UnixMillis,
        hello: &Hello,
        address: IpAddr,
    ) -> Result<Vec<&'static str>, Error> {
        let hello = hello.clone();
        self.write(move |tx| {
            let Some(guest) = guest(tx, hello.agent)? else { return Ok(Vec::new()) };
            let mut raised = Vec::new();
            if check_journal(tx, now, &guest, &hello)? | check_snapshot(tx, now, &guest, hello.snapshot)? {
                raised.push("rollback");
            }
            if check_boot(tx, now, &guest, hello.boot_id, address)? {
                raised.push("clone");
            }
            keep(tx, now, &guest, &hello, address)?;
            Ok(raised)
        })
        .await
    }
}

fn guest(tx: &Tx<'_>, id: AgentId) -> Result<Option<Guest>, Error> {
    let mut query = tx.prepare_cached("SELECT id, site, had_revision, had_issued_at FROM agents WHERE uuid = ?")?;
    let row = query.query_row([id.as_bytes()], |row| {
        let had = Version { revision: counted(row, 2)?, issued_at: UnixMillis(row.get(3)?) };
        Ok(Guest { row: row.get(0)?, site: SiteId::from_bytes(row.get(1)?), had })
    });
    Ok(row.optional()?)
}

fn keep(tx: &Tx<'_>, now: UnixMillis, guest: &Guest, hello: &Hello, address: IpAddr) -> Result<(), Error> {
    let program: String = hello.program.chars().take(MAX_PROGRAM).collect();
    let epoch = hello.epochs.iter().map(|extent| extent.head.position.epoch).max().unwrap_or(0);
    tx.prepare_cached(
        "UPDATE agents SET last_seen = max(coalesce(last_seen, ?2), ?2), address = ?3, program = ?4, boot_id = ?5,
            boot_since = CASE WHEN boot_id IS ?5 THEN boot_since ELSE ?2 END, said_epoch = max(said_epoch, ?6)
         WHERE id = ?1",
    )?
    .execute(params![guest.row, now.0, address.to_string(), program, hello.boot_id, whole(epoch)])?;
    webhooks::agent_seen(tx, now, hello.agent)?;
    had(tx, hello.agent, hello.snapshot)
}

/// Remembers the newest snapshot that an agent said it has.
pub(super) fn had(tx: &Tx<'_>, agent: AgentId, version: Version) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE agents SET had_revision = ?2, had_issued_at = ?3
         WHERE uuid = ?1 AND (had_revision, had_issued_at) < (?2, ?3)",
    )?
    .execute(params![agent.as_bytes(), whole(version.revision), version.issued_at.0])?;
    Ok(())
}

/// A machine that stays connected for days is not forgotten meanwhile. Which one came last stays as it is: what was on
/// the way when a machine went down may be stored after its next start was seen.
pub(super) fn still_here(tx: &Tx<'_>, agent: AgentId, boot: [u8; 16], now: UnixMillis) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE agent_boots SET at = max(at, ?3) WHERE boot_id = ?2 AND agent = (SELECT id FROM agents WHERE uuid = ?1)",
    )?
    .execute(params![agent.as_bytes(), boot, now.0])?;
    Ok(())
}

/// Whether a start of the machine still speaks long after a later one came: two machines are this agent side by side.
pub(super) fn check_side_by_side(tx: &Tx<'_>, id: AgentId, boot: [u8; 16], now: UnixMillis) -> Result<bool, Error> {
    let mut query = tx.prepare_cached(
        "SELECT boot_id, boot_since FROM agents WHERE uuid = ?1 AND boot_id <> ?2 AND boot_since < ?3",
    )?;
    let long_ago = now.before(LAST_WORDS).0;
    let row = query.query_row(params![id.as_bytes(), boot, long_ago], |row| Ok((row.get(0)?, row.get(1)?)));
    let later: Option<([u8; 16], i64)> = row.optional()?;
    let Some((other, since)) = later.filter(|_| boot != UNKNOWN_BOOT) else { return Ok(false) };
    let Some(guest) = guest(tx, id)? else { return Ok(false) };
    let details = json!({ "boot": hex(&boot), "other_boot": hex(&other), "seen_now": now, "other_since": since });
    raise(tx, now, &guest, "clone", &details, &pair(&boot, &other))
}

/// Whether the agent's journal ends before what the hub has of it, or elsewhere at the same number.
fn check_journal(tx: &Tx<'_>, now: UnixMillis, guest: &Guest, hello: &Hello) -> Result<bool, Error> {
    let heads = hello.epochs.iter().map(|extent| extent.head);
    let Some(claimed) = heads.max_by_key(|head| head.position) else { return Ok(false) };
    // A hello that is full may leave the newest epochs out; then there is only the epoch itself to compare.
    let of = if hello.epochs.len() < MAX_EPOCHS { i64::MAX } else { whole(claimed.position.epoch) };
    let mut query = tx.prepare_cached(
        "SELECT epoch, through, chain FROM agent_epochs WHERE agent = ? AND epoch <= ? ORDER BY epoch DESC LIMIT 1",
    )?;
    let row = query.query_row(params![guest.row, of], |row| {
        let position = Position { epoch: counted(row, 0)?, seq: counted(row, 1)? };
        Ok(Cursor { position, chain: Chain::from_bytes(row.get(2)?) })
    });
    let Some(known) = row.optional()? else { return Ok(false) };
    let level = claimed.position == known.position && claimed.chain == known.chain;
    if level || claimed.position > known.position {
        return Ok(false);
    }
    let shown = |cursor: &Cursor| {
        let Position { epoch, seq } = cursor.position;
        json!({ "epoch": epoch, "seq": seq, "chain": cursor.chain.to_string() })
    };
    let details = json!({ "of": "journal", "claimed": shown(&claimed), "known": shown(&known) });
    // A machine that was rolled back goes on from there, and says something else each time it comes.
    let observation = format!("journal {}", known.position);
    raise(tx, now, guest, "rollback", &details, &observation)
}

/// Whether the agent has an older snapshot than it had.
fn check_snapshot(tx: &Tx<'_>, now: UnixMillis, guest: &Guest, claimed: Version) -> Result<bool, Error> {
    // An agent that has a snapshot and not the certificate that goes with it has both sent anew by saying this. That is
    // no older snapshot than it had.
    let anew = claimed.issued_at == UnixMillis::default();
    if claimed >= guest.had || (anew && claimed.revision >= guest.had.revision) {
        return Ok(false);
    }
    let shown = |version: Version| json!({ "revision": version.revision, "issued_at": version.issued_at });
    let details = json!({ "of": "snapshot", "claimed": shown(claimed), "known": shown(guest.had) });
    let observation = format!("snapshot {} of {}", guest.had.revision, guest.had.issued_at.0);
    raise(tx, now, guest, "rollback", &details, &observation)
}

/// Whether a start of the machine comes back after another one was seen: two machines are this agent.
fn check_boot(tx: &Tx<'_>, now: UnixMillis, guest: &Guest, boot: [u8; 16], address: IpAddr) -> Result<bool, Error> {
    if boot == UNKNOWN_BOOT {
        return Ok(false);
    }
    tx.prepare_cached(
        "DELETE FROM agent_boots WHERE agent = ?1 AND (at < ?2 OR id NOT IN
            (SELECT id FROM agent_boots WHERE agent = ?1 ORDER BY id DESC LIMIT ?3))",
    )?
    .execute(params![
        guest.row,
        now.0 - i64::try_from(BOOTS_REMEMBERED.as_millis()).unwrap_or(0),
        MAX_BOOTS - 1
    ])?;
    let mut query = tx.prepare_cached(
        "SELECT other.boot_id, other.at, same.at FROM agent_boots same
         JOIN agent_boots other ON other.agent = same.agent AND other.id > same.id
         WHERE same.agent = ? AND same.boot_id = ? ORDER BY other.id DESC LIMIT 1",
    )?;
    let between = query.query_row(params![guest.row, boot], |row| {
        Ok((row.get::<_, [u8; 16]>(0)?, UnixMillis(row.get(1)?), UnixMillis(row.get(2)?)))
    });
    let between = between.optional()?;
    // Takes the place of its own row, and becomes the last one.
    tx.prepare_cached("INSERT OR REPLACE INTO agent_boots (agent, boot_id, at) VALUES (?, ?, ?)")?
        .execute(params![guest.row, boot, now.0])?;
    let Some((other, other_at, before)) = between else { return Ok(false) };
    let details = json!({
        "boot": hex(&boot), "other_boot": hex(&other), "seen_before": before, "other_seen": other_at,
        "address": address.to_string(),
    });
    raise(tx, now, guest, "clone", &details, &pair(&boot, &other))
}

/// The same two machines are one observation, whichever of them is seen.
fn pair(one: &[u8; 16], other: &[u8; 16]) -> String {
    format!("{} {}", hex(one.min(other)), hex(one.max(other)))
}

fn raise(
    tx: &Tx<'_>,
    now: UnixMillis,
    guest: &Guest,
    kind: &'static str,
    details: &serde_json::Value,
    observation: &str,
) -> Result<bool, Error> {
    let (site, agent, observation) = (guest.site, guest.row, Some(observation));
    flags::raise(tx, now, &NewFlag { kind, site, agent, license: None, details, observation })
}

fn hex(bytes: &[u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
