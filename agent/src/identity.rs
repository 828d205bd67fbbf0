//! Who this agent is: the names and keys from its enrolment.
//!
//! On disk: `identity/agent.json` (names, the hub's place, whom to trust), `tls.pem`, `certificate.der`, `signing.key`
//! (the 32 bytes of the Ed25519 seed). The folder appears whole or not at all.

use crate::folder::Folder;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::id::{AgentId, SiteId};
use sitewarden_protocol::signing::{PrivateKey, PublicKey};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The identity of an enrolled agent.
#[derive(Debug)]
pub struct Identity {
    /// Names, places and trust.
    pub names: Names,
    /// The TLS key, PEM.
    pub tls_key: Zeroizing<String>,
    /// The TLS certificate, DER.
    pub certificate: Vec<u8>,
    /// Signs batches and proofs.
    pub signing_key: Arc<PrivateKey>,
}

/// What is not secret of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// The agent's name at the hub.
    pub agent: AgentId,
    /// The site it looks after.
    pub site: SiteId,
    /// The hub's host name or address.
    pub hub_host: String,
    /// The hub's HTTPS address, such as `https://hub.example:8443`; empty in identities of before it was kept.
    #[serde(default)]
    pub hub_url: String,
    /// UDP port of the hub's sync listener.
    pub sync_port: u16,
    /// Certificates that a hub's certificate may come from; DER in base64.
    pub authorities: Vec<String>,
    /// Keys that sign receipts and snapshots.
    pub signing_keys: Vec<PublicKey>,
}

/// The identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing, or may be read by others.
    #[error(transparent)]
    File(#[from] secret_file::Error),
    /// A file does not hold what it should.
    #[error("{0} is damaged; enrol this agent again in an empty folder")]
    Damaged(&'static str),
    /// The file system refused something.
    #[error("the identity cannot be stored: {0}")]
    Io(#[from] std::io::Error),
}

impl Names {
    /// The hub's HTTPS address, without a slash at its end.
    pub fn hub_url(&self) -> String {
        match (self.hub_url.is_empty(), self.hub_host.contains(':')) {
            (false, _) => self.hub_url.clone(),
            (true, true) => format!("https://[{}]", self.hub_host),
            (true, false) => format!("https://{}", self.hub_host),
        }
    }
}

impl Identity {
    /// Reads the identity of an enrolled agent.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn load(folder: &Folder) -> Result<Self, Error> {
        let place = folder.identity();
        let names = secret_file::read(&place.join("agent.json"))?;
        let names = serde_json::from_slice(&names).map_err(|_| Error::Damaged("identity/agent.json"))?;
        let (tls_key, signing_key) = read_keys(&place)?;
        let certificate = secret_file::read(&place.join("certificate.der"))?.to_vec();
        Ok(Self { names, tls_key, certificate, signing_key: Arc::new(signing_key) })
    }

    /// The certificates that a hub's certificate may come from, DER.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub fn authorities(&self) -> Result<Vec<Vec<u8>>, Error> {
        use base64::Engine as _;
        let decode = |text: &String| base64::engine::general_purpose::STANDARD.decode(text);
        self.names
            .authorities
            .iter()
            .map(decode)
            .collect::<Result<_, _>>()
            .map_err(|_| Error::Damaged("identity/agent.json"))
    }
}

/// Turns the keys of a pending enrolment into the agent's identity, in one step.
///
/// # Errors
/// If the file system refuses; then nothing has changed.
pub fn complete(folder: &Folder, names: &Names, certificate: &[u8]) -> Result<(), Error> {
    let pending = folder.pending_identity();
    let json = serde_json::to_vec_pretty(names).map_err(|_| Error::Damaged("the hub's answer"))?;
    secret_file::write(&pending.join("agent.json"), &json)?;
    secret_file::write(&pending.join("certificate.der"), certificate)?;
    fs::rename(&pending, folder.identity())?;
    fs::File::open(folder.path())?.sync_all()?;
    Ok(())
}

/// Writes new keys for an enrolment that is about to be tried.
///
/// # Errors
/// If the file system refuses.
pub fn write_pending(folder: &Folder, tls_key: &str, seed: &[u8; 32]) -> Result<(), Error> {
    let pending = folder.pending_identity();
    secret_file::create_folder(&pending)?;
    secret_file::write(&pending.join("tls.pem"), tls_key.as_bytes())?;
    secret_file::write(&pending.join("signing.key"), seed)?;
    Ok(())
}

/// The keys of an enrolment that was tried before; `None` if there was none.
///
/// # Errors
/// If they cannot be read.
pub fn read_pending(folder: &Folder) -> Result<Option<(Zeroizing<String>, PrivateKey)>, Error> {
    let pending = folder.pending_identity();
    if pending.join("signing.key").exists() { read_keys(&pending).map(Some) } else { Ok(None) }
}

fn read_keys(place: &Path) -> Result<(Zeroizing<String>, PrivateKey), Error> {
    let tls_key = secret_file::read(&place.join("tls.pem"))?;
    let tls_key = str::from_utf8(&tls_key).map_err(|_| Error::Damaged("identity/tls.pem"))?.to_owned();
    let seed = secret_file::read(&place.join("signing.key"))?;
    let seed: Zeroizing<[u8; 32]> =
        Zeroizing::new(seed.as_slice().try_into().map_err(|_| Error::Damaged("identity/signing.key"))?);
    Ok((Zeroizing::new(tls_key), PrivateKey::from_seed(&seed)))
}
