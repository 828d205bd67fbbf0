//! Enrolments: one-time tokens, and the agents that they bring.

use super::{Act, Store, agents::fingerprint, audit, error::Error, error::found, sites, writer::Tx};
use rusqlite::{OptionalExtension, params};
use sitewarden_certs::token::secret_matches;
use sitewarden_protocol::{
    enrolment::OfflineRequest,
    id::{AgentId, SiteId},
    signing::PublicKey,
    time::UnixMillis,
};
use std::fmt;
use zeroize::Zeroizing;

/// A token that is made.
#[derive(Debug, Clone)]
pub struct NewEnrolment {
    /// The token's public name.
    pub token: [u8; 16],
    /// `certs::token::secret_digest` of its secret.
    pub secret_digest: [u8; 32],
    /// The site that the agent will look after.
    pub site: SiteId,
    /// From this moment on it is of no use.
    pub expires: UnixMillis,
}

/// What an agent comes with. Its proof and its certificate request were checked already.
#[derive(Clone)]
pub struct Redemption {
    /// The token's public name.
    pub token: [u8; 16],
    /// That it was invited.
    pub shown: Shown,
    /// The agent's id if it becomes a new one.
    pub agent: AgentId,
    /// The key that will sign its batches.
    pub signing_key: PublicKey,
    /// SHA-256 of its TLS key's SubjectPublicKeyInfo.
    pub tls_key: [u8; 32],
    /// The machine's name.
    pub hostname: String,
    /// The agent program's version.
    pub program: String,
    /// The machine's parts.
    pub fingerprint: Vec<(String, [u8; 32])>,
}

/// What shows that an agent was invited.
#[derive(Clone)]
pub enum Shown {
    /// The token's secret, over a connection that the token pins.
    Secret(Zeroizing<[u8; 32]>),
    /// A request in a file, which only one who knows the secret could make.
    Offline(Box<OfflineRequest>),
}

impl Shown {
    fn matches(&self, kept: &[u8; 32]) -> bool {
        match self {
            Self::Secret(secret) => secret_matches(secret, kept),
            Self::Offline(request) => request.knows(kept),
        }
    }
}

impl fmt::Debug for Redemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redemption")
            .field("agent", &self.agent)
            .field("hostname", &self.hostname)
            .finish_non_exhaustive()
    }
}

/// What became of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// The agent is known from now on, or was by the same request before.
    Enrolled {
        /// Its id: the one given, or the one from before.
        agent: AgentId,
        /// Its site.
        site: SiteId,
        /// Its TLS certificate, DER.
        certificate: Vec<u8>,
    },
    /// No such token, or another secret.
    Unknown,
    /// Another key used it, or the key belongs to another enrolment.
    Used,
    /// Too late.
    Expired(UnixMillis),
}

struct Token {
    site: SiteId,
    expires: UnixMillis,
    agent: Option<i64>,
}

impl Store {
    /// Makes a token known.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the site, [`Error::Conflict`] if there is such a token.
    pub async fn add_enrolment(&self, act: &Act, new: NewEnrolment) -> Result<(), Error> {
        let act = act.clone();
        self.write(move |tx| {
            sites::find(tx, new.site)?;
            tx.prepare_cached(
                "INSERT INTO enrolments (token, secret, site, created_at, created_by, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![new.token, new.secret_digest, new.site.as_bytes(), act.at.0, act.by, new.expires.0])
            .map_err(|error| Error::or_conflict(error, "token"))?;
            let after = serde_json::json!({ "site": new.site, "expires": new.expires });
            audit::write(tx, &act, "agent.invite", &format!("site {}", new.site), None, Some(&after))
        })
        .await
    }

    /// Takes an agent in for a token, once. The same signing key gets the same agent again until the token expires,
    /// because an answer can be lost on the way.
    ///
    /// `issue` makes the certificate for an agent id, and is called only for a token that is good.
    ///
    /// # Errors
    /// [`Error::Certificate`] with what `issue` says.
    pub async fn redeem(
        &self,
        now: UnixMillis,
        redemption: Redemption,
        issue: impl FnOnce(AgentId) -> Result<Vec<u8>, String> + Send + 'static,
    ) -> Result<Redeemed, Error> {
        self.write(move |tx| redeem(tx, now, &redemption, issue)).await
    }
}

fn redeem(
    tx: &Tx<'_>,
    now: UnixMillis,
    redemption: &Redemption,
    issue: impl FnOnce(AgentId) -> Result<Vec<u8>, String>,
) -> Result<Redeemed, Error> {
    let Some(token) = find(tx, redemption)? else { return Ok(Redeemed::Unknown) };
    if now >= token.expires {
        return Ok(Redeemed::Expired(token.expires));
    }
    match token.agent {
        Some(agent) => again(tx, agent, token.site, redemption, issue),
        None => enrol(tx, now, token.site, redemption, issue),
    }
}

/// The token, if the secret is its own.
fn find(tx: &Tx<'_>, redemption: &Redemption) -> Result<Option<Token>, Error> {
    let mut query = tx.prepare_cached("SELECT secret, site, expires_at, agent FROM enrolments WHERE token = ?")?;
    let row = query.query_row([redemption.token], |row| {
        let token =
            Token { site: SiteId::from_bytes(row.get(1)?), expires: UnixMillis(row.get(2)?), agent: row.get(3)? };
        Ok((row.get::<_, [u8; 32]>(0)?, token))
    });
    Ok(row.optional()?.and_then(|(kept, token)| redemption.shown.matches(&kept).then_some(token)))
}

fn again(
    tx: &Tx<'_>,
    agent: i64,
    site: SiteId,
    redemption: &Redemption,
    issue: impl FnOnce(AgentId) -> Result<Vec<u8>, String>,
) -> Result<Redeemed, Error> {
    let (id, tls_key, certificate) = {
        let mut query = tx.prepare_cached(
            "SELECT uuid, tls_key, certificate FROM agents WHERE id = ? AND signing_key = ? AND status = 'active'",
        )?;
        let row = query.query_row(params![agent, redemption.signing_key.as_bytes()], |row| {
            Ok((AgentId::from_bytes(row.get(0)?), row.get::<_, [u8; 32]>(1)?, row.get::<_, Vec<u8>>(2)?))
        });
        let Some(row) = row.optional()? else { return Ok(Redeemed::Used) };
        row
    };
    if tls_key == redemption.tls_key {
        return Ok(Redeemed::Enrolled { agent: id, site, certificate });
    }
    // The same agent, which made itself another TLS key before it asked again.
    let certificate = issue(id).map_err(Error::Certificate)?;
    tx.prepare_cached("UPDATE agents SET tls_key = ?, certificate = ? WHERE id = ?")?.execute(params![
        redemption.tls_key,
        certificate,
        agent
    ])?;
    Ok(Redeemed::Enrolled { agent: id, site, certificate })
}

fn enrol(
    tx: &Tx<'_>,
    now: UnixMillis,
    site: SiteId,
    redemption: &Redemption,
    issue: impl FnOnce(AgentId) -> Result<Vec<u8>, String>,
) -> Result<Redeemed, Error> {
    let known: Option<i64> = tx
        .prepare_cached("SELECT id FROM agents WHERE signing_key = ?")?
        .query_row([redemption.signing_key.as_bytes()], |row| row.get(0))
        .optional()?;
    if known.is_some() {
        return Ok(Redeemed::Used);
    }
    let certificate = issue(redemption.agent).map_err(Error::Certificate)?;
    insert(tx, now, site, redemption, &certificate)?;
    let changed = tx
        .prepare_cached("UPDATE enrolments SET used_at = ?, agent = ? WHERE token = ? AND agent IS NULL")?
        .execute(params![now.0, tx.last_insert_rowid(), redemption.token])?;
    found((changed == 1).then_some(()), "token")?;
    let act = Act::agent(redemption.agent, now);
    let after =
        serde_json::json!({ "site": site, "hostname": redemption.hostname, "signing_key": redemption.signing_key });
    audit::write(tx, &act, "agent.enrol", &format!("agent {}", redemption.agent), None, Some(&after))?;
    Ok(Redeemed::Enrolled { agent: redemption.agent, site, certificate })
}

fn insert(
    tx: &Tx<'_>,
    now: UnixMillis,
    site: SiteId,
    redemption: &Redemption,
    certificate: &[u8],
) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT INTO agents (uuid, site, status, signing_key, tls_key, certificate, hostname, program, fingerprint,
            enrolled_at)
         VALUES (?, ?, 'active', ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        redemption.agent.as_bytes(),
        site.as_bytes(),
        redemption.signing_key.as_bytes(),
        redemption.tls_key,
        certificate,
        redemption.hostname,
        redemption.program,
        fingerprint::to_json(&redemption.fingerprint).to_string(),
        now.0,
    ])?;
    Ok(())
}
