//! An agent's next certificate.

use crate::store::{Act, Store, audit, error::Error};
use rusqlite::{OptionalExtension, params};
use serde_json::json;
use sitewarden_certs::authority::IssuedAgent;
use sitewarden_protocol::{id::AgentId, time::UnixMillis};

/// How an agent showed that it may have a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewedBy {
    /// In a session, which the certificate before opened.
    Session,
    /// By its signing key alone, because the certificate before is over or of no use any more.
    SigningKey,
}

impl RenewedBy {
    const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::SigningKey => "signing key",
        }
    }
}

impl Store {
    /// Keeps an agent's next certificate and answers it; or the one that it has, if `keeps` says that this is as good.
    /// `None` if the agent's standing, or its TLS key, is not what the certificate was made for.
    ///
    /// # Errors
    /// What the database says.
    pub async fn renew_agent(
        &self,
        now: UnixMillis,
        id: AgentId,
        issued: IssuedAgent,
        by: RenewedBy,
        keeps: impl FnOnce(&[u8]) -> bool + Send + 'static,
    ) -> Result<Option<Vec<u8>>, Error> {
        self.write(move |tx| {
            let mut query = tx.prepare_cached(
                "SELECT certificate FROM agents WHERE uuid = ? AND status = 'active' AND tls_key = ?",
            )?;
            let held = query.query_row(params![id.as_bytes(), issued.key_digest], |row| row.get::<_, Vec<u8>>(0));
            let Some(held) = held.optional()? else { return Ok(None) };
            if keeps(&held) {
                return Ok(Some(held));
            }
            tx.prepare_cached("UPDATE agents SET certificate = ? WHERE uuid = ?")?
                .execute(params![issued.cert_der, id.as_bytes()])?;
            let after = json!({ "not_after": issued.not_after, "by": by.name() });
            audit::write(tx, &Act::agent(id, now), "agent.renew", &format!("agent {id}"), None, Some(&after))?;
            Ok(Some(issued.cert_der))
        })
        .await
    }
}
