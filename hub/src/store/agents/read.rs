//! Reading agents.

use super::{Agent, AgentStatus, EpochState};
use crate::store::{MAX_PAGE, Scope, counted, error::Error, page_size};
use rusqlite::{Connection, Row, params, types::ValueRef};
use sitewarden_protocol::{
    chain::Position,
    codec,
    id::{AgentId, SiteId},
    signing::PublicKey,
    time::UnixMillis,
};

const COLUMNS: &str = "uuid, site, status, hostname, program, signing_key, enrolled_at, revoked_at, last_seen, address, \
     records_received, records_lost, live_status, records_dropped, revoke_reason, revoked_from_epoch, revoked_from_seq, \
     revision, enrolled_again_at";

const DAMAGED: Error = Error::Damaged { what: "agent" };

pub(super) fn agent(connection: &Connection, id: AgentId) -> Result<Option<Agent>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM agents WHERE uuid = ?");
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query([id.as_bytes()])?;
    rows.next()?.map(agent_row).transpose()
}

pub(super) fn list(
    connection: &Connection,
    scope: Scope,
    site: Option<SiteId>,
    after: Option<AgentId>,
    limit: usize,
) -> Result<Vec<Agent>, Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM agents WHERE uuid > ?1 AND (?2 IS NULL OR site = ?2) AND (?3 IS NULL OR site = ?3)
            AND (?4 IS NULL OR site IN (SELECT s.id FROM sites s JOIN plants p ON p.id = s.plant WHERE p.customer = ?4)) ORDER BY uuid LIMIT ?5"
    );
    let after = after.map_or([0; 16], |id| *id.as_bytes());
    let mut query = connection.prepare_cached(&sql)?;
    let (site, only) = (site.map(|id| *id.as_bytes()), scope.site.map(|id| *id.as_bytes()));
    let mut rows = query.query(params![after, site, only, scope.customer, page_size(limit)])?;
    let mut agents = Vec::new();
    while let Some(row) = rows.next()? {
        agents.push(agent_row(row)?);
    }
    Ok(agents)
}

pub(super) fn epochs(connection: &Connection, id: AgentId) -> Result<Vec<EpochState>, Error> {
    let mut query = connection.prepare_cached(
        "SELECT e.epoch, e.through, e.records, e.lost, e.moved FROM agent_epochs e JOIN agents a ON a.id = e.agent
         WHERE a.uuid = ? ORDER BY e.epoch DESC LIMIT ?",
    )?;
    let rows = query.query_map(params![id.as_bytes(), page_size(MAX_PAGE)], |row| {
        Ok(EpochState {
            epoch: counted(row, 0)?,
            through: counted(row, 1)?,
            records: counted(row, 2)?,
            lost: counted(row, 3)?,
            moved: UnixMillis(row.get(4)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn status_by_name(name: ValueRef<'_>) -> Result<AgentStatus, Error> {
    match name.as_str() {
        Ok("active") => Ok(AgentStatus::Active),
        Ok("revoked") => Ok(AgentStatus::Revoked),
        _ => Err(DAMAGED),
    }
}

fn agent_row(row: &Row<'_>) -> Result<Agent, Error> {
    let live: Option<Vec<u8>> = row.get(12)?;
    Ok(Agent {
        id: AgentId::from_bytes(row.get(0)?),
        site: SiteId::from_bytes(row.get(1)?),
        status: status_by_name(row.get_ref(2)?)?,
        hostname: row.get(3)?,
        program: row.get(4)?,
        signing_key: PublicKey::from_bytes(row.get(5)?).map_err(|_| DAMAGED)?,
        enrolled_at: UnixMillis(row.get(6)?),
        enrolled_again_at: row.get::<_, Option<i64>>(18)?.map(UnixMillis),
        revoked_at: row.get::<_, Option<i64>>(7)?.map(UnixMillis),
        revoke_reason: row.get(14)?,
        revoked_from: match row.get::<_, Option<i64>>(15)? {
            Some(_) => Some(Position { epoch: counted(row, 15)?, seq: counted(row, 16)? }.to_string()),
            None => None,
        },
        last_seen: row.get::<_, Option<i64>>(8)?.map(UnixMillis),
        address: row.get(9)?,
        records_received: counted(row, 10)?,
        records_lost: counted(row, 11)?,
        records_dropped: counted(row, 13)?,
        revision: row.get(17)?,
        // A status of a newer version says nothing here; the next one replaces it.
        live: live.and_then(|bytes| codec::decode(&bytes).ok()),
    })
}
