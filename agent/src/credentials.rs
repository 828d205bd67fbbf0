//! What changes of an agent's identity while it runs: its certificate, and whom it believes.
//!
//! On disk it is part of `identity/`; each change is written whole before it counts. Always true: a signing key of the hub
//! that was announced, or is named in a snapshot in force, is added; keys are dropped only for a snapshot in force that no
//! longer names them, and never the key that signed that snapshot: the next start has to believe what lies on the disk.

use crate::folder::Folder;
use crate::identity::{self, Identity, Names};
use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sitewarden_certs::secret_file;
use sitewarden_protocol::announcement::MAX_TRUSTED;
use sitewarden_protocol::signing::PublicKey;
use sitewarden_protocol::snapshot::Trust;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What holds now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Certificates (DER) that a hub's certificate may come from, the newest first.
    pub authorities: Vec<Vec<u8>>,
    /// Keys that sign receipts and snapshots, the newest first.
    pub signing_keys: Vec<PublicKey>,
    /// The agent's TLS certificate, DER.
    pub certificate: Vec<u8>,
}

/// The credentials of an agent that runs.
#[derive(Debug)]
pub struct Credentials {
    now: ArcSwap<Held>,
    /// Where they lie, and the rest of that file; held while they change. `None` keeps them in memory only.
    kept: Mutex<Option<(PathBuf, Names)>>,
}

impl Credentials {
    /// Those of an enrolled agent.
    ///
    /// # Errors
    /// If the identity is damaged.
    pub fn of(folder: &Folder, identity: &Identity) -> Result<Arc<Self>, identity::Error> {
        let held = Held {
            authorities: identity.authorities()?,
            signing_keys: identity.names.signing_keys.clone(),
            certificate: identity.certificate.clone(),
        };
        let kept = Some((folder.identity(), identity.names.clone()));
        Ok(Arc::new(Self { now: ArcSwap::from_pointee(held), kept: Mutex::new(kept) }))
    }

    /// Those of an agent without a line, that believes these keys: for tests of what is behind it.
    pub fn believing(signing_keys: Vec<PublicKey>) -> Arc<Self> {
        let held = Held { signing_keys, ..Held::default() };
        Arc::new(Self { now: ArcSwap::from_pointee(held), kept: Mutex::new(None) })
    }

    /// The folder where they lie; `None` if they are in memory only.
    pub fn place(&self) -> Option<PathBuf> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(place, _)| place.clone())
    }

    /// What holds now.
    pub fn held(&self) -> Arc<Held> {
        self.now.load_full()
    }

    /// Believes these signing keys from now on, the newest first. Waits for the disk.
    ///
    /// # Errors
    /// If it cannot be written; then nothing has changed.
    pub fn believe(&self, signing_keys: Vec<PublicKey>) -> Result<(), identity::Error> {
        self.change(|held| held.signing_keys = signing_keys)
    }

    /// Takes over what a snapshot in force says, which `signer` signed. Waits for the disk.
    ///
    /// # Errors
    /// If it cannot be written; then nothing has changed.
    pub fn take_over(&self, trust: &Trust, signer: Option<PublicKey>) -> Result<(), identity::Error> {
        self.change(|held| {
            if !trust.authorities.is_empty() {
                held.authorities.clone_from(&trust.authorities);
            }
            let mut keys = trust.signing_keys.clone();
            keys.extend(signer.filter(|signer| !trust.signing_keys.contains(signer)));
            keys.truncate(MAX_TRUSTED);
            held.signing_keys = keys;
        })
    }

    /// Has another certificate, and believes the authorities and keys that came with it beside its own. Waits for the disk.
    ///
    /// # Errors
    /// If it cannot be written; then nothing has changed.
    pub fn renew(&self, certificate: Vec<u8>, trust: &Trust) -> Result<(), identity::Error> {
        self.change(|held| {
            held.certificate = certificate;
            let (authorities, keys) = (trust.authorities.clone(), trust.signing_keys.clone());
            if !authorities.is_empty() {
                held.authorities = authorities;
            }
            let older: Vec<_> = held.signing_keys.iter().copied().filter(|key| !keys.contains(key)).collect();
            held.signing_keys = [keys, older].concat();
            held.signing_keys.truncate(MAX_TRUSTED);
        })
    }

    fn change(&self, change: impl FnOnce(&mut Held)) -> Result<(), identity::Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, mut after) = (self.held(), Held::clone(&self.held()));
        change(&mut after);
        if *before == after {
            return Ok(());
        }
        if let Some((place, names)) = kept.as_mut() {
            names.authorities = after.authorities.iter().map(|der| STANDARD.encode(der)).collect();
            names.signing_keys.clone_from(&after.signing_keys);
            let json = serde_json::to_vec_pretty(names).map_err(|_| identity::Error::Damaged("the hub's answer"))?;
            secret_file::write(&place.join("agent.json"), &json)?;
            if before.certificate != after.certificate {
                secret_file::write(&place.join("certificate.der"), &after.certificate)?;
            }
        }
        self.now.store(Arc::new(after));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitewarden_protocol::signing::PrivateKey;

    fn key(seed: u8) -> PublicKey {
        PrivateKey::from_seed(&[seed; 32]).public()
    }

    fn trust(authority: u8, keys: &[u8]) -> Trust {
        Trust { authorities: vec![vec![authority]], signing_keys: keys.iter().map(|seed| key(*seed)).collect() }
    }

    #[test]
    fn a_snapshot_adds_and_drops_keys_but_never_the_one_that_signed_it() {
        let credentials = Credentials::believing(vec![key(1)]);
        credentials.take_over(&trust(1, &[2, 1]), Some(key(1))).unwrap();
        assert_eq!(credentials.held().signing_keys, [key(2), key(1)]);
        credentials.take_over(&trust(2, &[2]), Some(key(1))).unwrap();
        assert_eq!(credentials.held().signing_keys, [key(2), key(1)]);
        credentials.take_over(&trust(2, &[2]), Some(key(2))).unwrap();
        assert_eq!(
            *credentials.held(),
            Held { authorities: vec![vec![2]], signing_keys: vec![key(2)], certificate: vec![] }
        );
    }

    #[test]
    fn a_renewal_only_adds_keys() {
        let credentials = Credentials::believing(vec![key(1)]);
        credentials.renew(vec![9], &trust(2, &[3, 2])).unwrap();
        let held = credentials.held();
        assert_eq!((held.certificate.as_slice(), held.authorities.as_slice()), ([9].as_slice(), [vec![2]].as_slice()));
        assert_eq!(held.signing_keys, [key(3), key(2), key(1)]);
    }
}
