//! Bundle files that were imported or made: a part is one row, however often it comes.

use super::{Act, Store, audit, counted, error::Error, page_size};
use rusqlite::params;
use serde::Serialize;
use serde_json::{Value, json};
use sitewarden_protocol::{id::AgentId, time::UnixMillis};

/// Whether a bundle came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From an agent.
    In,
    /// To one.
    Out,
}

/// What is noted of a part.
#[derive(Debug, Clone)]
pub struct BundleRow {
    /// The bundle's own number.
    pub bundle: [u8; 16],
    /// Which part of it.
    pub part: u32,
    /// Whether it came or went.
    pub direction: Direction,
    /// Whose, or for whom; `None` for an enrolment that was refused.
    pub agent: Option<AgentId>,
    /// What it is, in words.
    pub content: String,
    /// BLAKE3 of the file, as far as it was read.
    pub digest: [u8; 32],
    /// What became of it.
    pub outcome: Value,
}

/// A part that came or went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KnownBundle {
    /// Later ones are greater.
    pub id: i64,
    /// `in` or `out`.
    pub direction: String,
    /// The bundle's own number, hexadecimal.
    pub bundle: String,
    /// Which part of it.
    pub part: u64,
    /// Whose, or for whom.
    pub agent: Option<AgentId>,
    /// What it is, in words.
    pub content: String,
    /// BLAKE3 of the file, hexadecimal.
    pub digest: String,
    /// When it came first.
    pub first_at: UnixMillis,
    /// When it came last.
    pub last_at: UnixMillis,
    /// How often.
    pub times: u64,
    /// Who imported or made it last.
    pub by: String,
    /// What became of it the last time.
    pub outcome: Value,
}

impl Store {
    /// Notes that a part came or went, and answers how often it has.
    ///
    /// # Errors
    /// What the database says.
    pub async fn note_bundle(&self, act: &Act, row: BundleRow) -> Result<u64, Error> {
        let act = act.clone();
        self.write(move |tx| {
            let agent = row.agent.map(|agent| *agent.as_bytes());
            let times = tx
                .prepare_cached(
                    "INSERT INTO bundles (direction, bundle, part, agent, content, digest, first_at, last_at, by, outcome)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)
                     ON CONFLICT (direction, bundle, part) DO UPDATE SET digest = excluded.digest,
                        last_at = max(last_at, excluded.last_at), times = times + 1, by = excluded.by,
                        agent = excluded.agent, outcome = excluded.outcome
                     RETURNING times",
                )?
                .query_row(
                    params![
                        row.direction.name(),
                        row.bundle,
                        row.part,
                        agent,
                        row.content,
                        row.digest,
                        act.at.0,
                        act.by,
                        row.outcome.to_string()
                    ],
                    |row| counted(row, 0),
                )?;
            let action = match row.direction {
                Direction::In => "bundle.import",
                Direction::Out => "bundle.export",
            };
            let subject = format!("bundle {} part {}", hex(&row.bundle), row.part);
            let after = json!({ "agent": row.agent, "content": row.content, "digest": hex(&row.digest), "times": times });
            audit::write(tx, &act, action, &subject, None, Some(&after))?;
            Ok(times)
        })
        .await
    }

    /// Parts that came or went, the newest first, before one of them; of one agent, if given.
    ///
    /// # Errors
    /// What the database says.
    pub async fn list_bundles(
        &self,
        agent: Option<AgentId>,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<KnownBundle>, Error> {
        self.read(move |connection| {
            let mut query = connection.prepare_cached(
                "SELECT id, direction, bundle, part, agent, content, digest, first_at, last_at, times, by, outcome
                 FROM bundles WHERE id < ?1 AND (?2 IS NULL OR agent = ?2) ORDER BY id DESC LIMIT ?3",
            )?;
            let agent = agent.map(|agent| *agent.as_bytes());
            let rows = query.query_map(params![before.unwrap_or(i64::MAX), agent, page_size(limit)], |row| {
                let outcome: String = row.get(11)?;
                Ok(KnownBundle {
                    id: row.get(0)?,
                    direction: row.get(1)?,
                    bundle: hex(&row.get::<_, [u8; 16]>(2)?),
                    part: counted(row, 3)?,
                    agent: row.get::<_, Option<[u8; 16]>>(4)?.map(AgentId::from_bytes),
                    content: row.get(5)?,
                    digest: hex(&row.get::<_, [u8; 32]>(6)?),
                    first_at: UnixMillis(row.get(7)?),
                    last_at: UnixMillis(row.get(8)?),
                    times: counted(row, 9)?,
                    by: row.get(10)?,
                    outcome: serde_json::from_str(&outcome).unwrap_or_default(),
                })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
