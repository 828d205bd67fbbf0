//! Enrolments: one-time tokens, and the agents that they bring.

use super::{
    Act, Store,
    agents::{self, NewKeys, fingerprint},
    audit,
    error::{Error, found},
    sites,
    writer::Tx,
};
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
    /// The agent of that site that is to have another key; `None` for a new agent.
    pub agent: Option<AgentId>,
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
        /// Whether it was known, and has another key now, which counts from a fresh epoch on.
        again: bool,
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
    /// Whom it is for.
    again: Option<AgentId>,
}

impl Store {
    /// Makes a token known.
    ///
    /// # Errors
    /// [`Error::NotFound`] for the site, or for an agent that is not of it; [`Error::Conflict`] if there is such a token.
    pub async fn add_enrolment(&self, act: &Act, new: NewEnrolment) -> Result<(), Error> {
        let act = act.clone();
        self.write(move |tx| {
            sites::find(tx, new.site)?;
            let again = new.agent.map(|agent| row_of(tx, agent, new.site)).transpose()?;
            tx.prepare_cached(
                "INSERT INTO enrolments (token, secret, site, created_at, created_by, expires_at, again)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![new.token, new.secret_digest, new.site.as_bytes(), act.at.0, act.by, new.expires.0, again])
            .map_err(|error| Error::or_conflict(error, "token"))?;
            let after = serde_json::json!({ "site": new.site, "expires": new.expires });
            let of = new.agent.map_or_else(|| format!("site {}", new.site), |agent| format!("agent {agent}"));
            audit::write(tx, &act, "agent.invite", &of, None, Some(&after))
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
    match (token.agent, token.again) {
        (Some(agent), _) => repeated(tx, agent, &token, redemption, issue),
        (None, None) => enrol(tx, now, token.site, redemption, issue),
        (None, Some(agent)) => enrol_again(tx, now, (agent, token), redemption, issue),
    }
}

/// The agent's row, if it is of this site.
fn row_of(tx: &Tx<'_>, agent: AgentId, site: SiteId) -> Result<i64, Error> {
    let mut query = tx.prepare_cached("SELECT id FROM agents WHERE uuid = ? AND site = ?")?;
    found(query.query_row([agent.as_bytes(), site.as_bytes()], |row| row.get(0)).optional()?, "agent")
}

/// The token, if the secret is its own.
fn find(tx: &Tx<'_>, redemption: &Redemption) -> Result<Option<Token>, Error> {
    let mut query = tx.prepare_cached(
        "SELECT e.secret, e.site, e.expires_at, e.agent, a.uuid FROM enrolments e LEFT JOIN agents a ON a.id = e.again
         WHERE e.token = ?",
    )?;
    let row = query.query_row([redemption.token], |row| {
        let token = Token {
            site: SiteId::from_bytes(row.get(1)?),
            expires: UnixMillis(row.get(2)?),
            agent: row.get(3)?,
            again: row.get::<_, Option<[u8; 16]>>(4)?.map(AgentId::from_bytes),
        };
        Ok((row.get::<_, [u8; 32]>(0)?, token))
    });
    Ok(row.optional()?.and_then(|(kept, token)| redemption.shown.matches(&kept).then_some(token)))
}

fn repeated(
    tx: &Tx<'_>,
    agent: i64,
    token: &Token,
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
    let (site, again) = (token.site, token.again.is_some());
    if tls_key == redemption.tls_key {
        return Ok(Redeemed::Enrolled { agent: id, site, certificate, again });
    }
    // The same agent, which made itself another TLS key before it asked again.
    let certificate = issue(id).map_err(Error::Certificate)?;
    tx.prepare_cached("UPDATE agents SET tls_key = ?, certificate = ? WHERE id = ?")?.execute(params![
        redemption.tls_key,
        certificate,
        agent
    ])?;
    Ok(Redeemed::Enrolled { agent: id, site, certificate, again })
}

/// The token is for an agent that is known: it has these keys from now on, or has had them since an answer that was lost.
fn enrol_again(
    tx: &Tx<'_>,
    now: UnixMillis,
    (agent, token): (AgentId, Token),
    redemption: &Redemption,
    issue: impl FnOnce(AgentId) -> Result<Vec<u8>, String>,
) -> Result<Redeemed, Error> {
    if let Some(row) = agents::has_again(tx, agent, &redemption.signing_key)? {
        use_up(tx, now, redemption)?;
        return repeated(tx, row, &Token { agent: Some(row), ..token }, redemption, issue);
    }
    if agents::has_had(tx, &redemption.signing_key)? {
        return Ok(Redeemed::Used);
    }
    let certificate = issue(agent).map_err(Error::Certificate)?;
    let keys = NewKeys {
        signing_key: redemption.signing_key,
        tls_key: redemption.tls_key,
        certificate: &certificate,
        program: &redemption.program,
        fingerprint: fingerprint::to_json(&redemption.fingerprint).to_string(),
    };
    agents::enrol_again(tx, now, agent, &keys)?;
    use_up(tx, now, redemption)?;
    Ok(Redeemed::Enrolled { agent, site: token.site, certificate, again: true })
}

/// A token for an agent that is known has served.
fn use_up(tx: &Tx<'_>, now: UnixMillis, redemption: &Redemption) -> Result<(), Error> {
    let changed = tx
        .prepare_cached("UPDATE enrolments SET used_at = ?, agent = again WHERE token = ? AND agent IS NULL")?
        .execute(params![now.0, redemption.token])?;
    found((changed == 1).then_some(()), "token")
}

fn enrol(
    tx: &Tx<'_>,
    now: UnixMillis,
    site: SiteId,
    redemption: &Redemption,
    issue: impl FnOnce(AgentId) -> Result<Vec<u8>, String>,
) -> Result<Redeemed, Error> {
    if agents::has_had(tx, &redemption.signing_key)? {
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
    Ok(Redeemed::Enrolled { agent: redemption.agent, site, certificate, again: false })
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
