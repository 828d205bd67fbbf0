//! Who this agent is: the names and keys from its enrolment.
//!
//! On disk: `identity/agent.json` (names, the hub's place, whom to trust), `tls.pem`, `certificate.der`, `signing.key`
//! (the 32 bytes of the Ed25519 seed). The folder appears whole or not at all. One that takes the place of another is
//! made in `identity.pending/`, and is whole from the moment on that its certificate is there: whoever finds it so finishes
//! what was begun.

use crate::folder::Folder;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use sitewarden_protocol::id::{AgentId, SiteId};
use sitewarden_protocol::signing::{PrivateKey, PublicKey};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Where an identity lies until the one after it is in its place.
const BEFORE: &str = "identity.before";

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
    #[error(
        "{0} is damaged; have the hub's administrator run: sitewarden-hub agent invite --agent ID, and run with that token: sitewarden-agent enroll --again"
    )]
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

/// Turns the keys of a pending enrolment into the agent's identity, in place of the one before if there is one.
///
/// # Errors
/// If the file system refuses; then the identity is as before, or the next start finishes it.
pub fn complete(folder: &Folder, names: &Names, certificate: &[u8]) -> Result<(), Error> {
    let pending = folder.pending_identity();
    let json = serde_json::to_vec_pretty(names).map_err(|_| Error::Damaged("the hub's answer"))?;
    secret_file::write(&pending.join("agent.json"), &json)?;
    secret_file::write(&pending.join("certificate.der"), certificate)?;
    finish(folder)
}

/// Finishes what an enrolment was interrupted in after the hub's answer was on disk; does nothing as a rule. For whoever
/// holds the folder's lock.
///
/// # Errors
/// If the file system refuses.
pub fn finish(folder: &Folder) -> Result<(), Error> {
    let before = folder.path().join(BEFORE);
    if folder.has_answer() {
        if folder.identity().exists() {
            fs::rename(folder.identity(), &before)?;
        }
        fs::rename(folder.pending_identity(), folder.identity())?;
        fs::File::open(folder.path())?.sync_all()?;
    }
    if before.exists() && folder.identity().exists() {
        // Keys that count no more. What cannot be removed is tried again at the next start.
        drop(fs::remove_dir_all(&before));
    }
    Ok(())
}

/// The names in an identity, if they can be read, whatever became of its keys.
pub fn names(folder: &Folder) -> Option<Names> {
    serde_json::from_slice(&secret_file::read(&folder.identity().join("agent.json")).ok()?).ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(port: u16) -> Names {
        Names {
            agent: AgentId::from_bytes([1; 16]),
            site: SiteId::from_bytes([2; 16]),
            hub_host: "hub".to_owned(),
            hub_url: "https://hub".to_owned(),
            sync_port: port,
            authorities: vec![],
            signing_keys: vec![],
        }
    }

    /// A folder with an identity, and the whole answer of an enrolment that gives other keys.
    fn answered() -> (tempfile::TempDir, Folder) {
        let place = tempfile::TempDir::new().unwrap();
        let folder = Folder::at(&place.path().join("agent"));
        secret_file::create_folder(folder.path()).unwrap();
        write_pending(&folder, "first", &[1; 32]).unwrap();
        complete(&folder, &names(1), b"first").unwrap();
        write_pending(&folder, "second", &[2; 32]).unwrap();
        let pending = folder.pending_identity();
        secret_file::write(&pending.join("agent.json"), &serde_json::to_vec(&names(2)).unwrap()).unwrap();
        (place, folder)
    }

    fn in_place(folder: &Folder) -> (u16, Vec<u8>) {
        let identity = Identity::load(folder).unwrap();
        (identity.names.sync_port, identity.certificate)
    }

    #[test]
    fn an_identity_takes_anothers_place_whole_or_not_at_all() {
        let (_place, folder) = answered();
        // Killed before the certificate was there: the one before is in place, and the keys are kept.
        finish(&folder).unwrap();
        assert_eq!(in_place(&folder), (1, b"first".to_vec()));
        assert!(read_pending(&folder).unwrap().is_some());
        // Killed after that.
        secret_file::write(&folder.pending_identity().join("certificate.der"), b"second").unwrap();
        finish(&folder).unwrap();
        assert_eq!(in_place(&folder), (2, b"second".to_vec()));
        assert!(!folder.pending_identity().exists() && !folder.path().join(BEFORE).exists());
        finish(&folder).unwrap();
        assert_eq!(in_place(&folder), (2, b"second".to_vec()));
    }

    #[test]
    fn one_that_was_killed_between_the_two_is_enrolled_and_finishes() {
        let (_place, folder) = answered();
        secret_file::write(&folder.pending_identity().join("certificate.der"), b"second").unwrap();
        fs::rename(folder.identity(), folder.path().join(BEFORE)).unwrap();
        folder.check_enrolled().unwrap();
        finish(&folder).unwrap();
        assert_eq!(in_place(&folder), (2, b"second".to_vec()));
        assert!(!folder.path().join(BEFORE).exists());
    }
}
