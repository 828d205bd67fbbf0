//! Enrolment: how an agent with a one-time token becomes known to its hub.
//!
//! The request travels once over HTTPS whose authority the token pins, or in a file; the answer comes back the same
//! way. Both are the bodies of [`crate::frame`]s. A repeat of the same request gets the same answer until the token
//! expires, because an answer can be lost on the way.

use crate::codec::{self, Decode, Encode};
use crate::fingerprint::Parts;
use crate::id::{AgentId, SiteId};
use crate::message::Unreadable;
use crate::signing::{PrivateKey, PublicKey, Purpose, Signature};
use crate::time::UnixMillis;
use crate::{clearance, frame, snapshot};
use std::fmt;

/// What an agent asks with.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Request {
    /// The token's public name.
    pub token: [u8; 16],
    /// The token's secret.
    pub secret: [u8; 32],
    /// PKCS #10 request for the agent's TLS certificate, DER; self-signed as proof of the TLS key.
    pub csr: Vec<u8>,
    /// The key that will sign the agent's batches.
    pub signing_key: PublicKey,
    /// Made with that key over token and request, as proof that the agent holds it.
    pub proof: Signature,
    /// The agent program's version.
    pub program: String,
    /// The machine's name, to be recognised by people.
    pub hostname: String,
    /// The machine's parts.
    pub fingerprint: Parts,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("hostname", &self.hostname)
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// The proof in a request is not by the key that it names, or the key is a weak one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request does not prove that the agent holds a usable signing key")]
pub struct BadProof;

impl Request {
    /// The proof for a token and a certificate request.
    pub fn prove(token: &[u8; 16], csr: &[u8], key: &PrivateKey) -> Signature {
        key.sign(Purpose::Enrolment, &proven(token, csr))
    }

    /// Checks the proof, and that the key is none that accepts forged signatures.
    ///
    /// # Errors
    /// [`BadProof`].
    pub fn check_proof(&self) -> Result<(), BadProof> {
        let key = PublicKey::from_bytes(*self.signing_key.as_bytes()).map_err(|_| BadProof)?;
        key.verify(Purpose::Enrolment, &proven(&self.token, &self.csr), &self.proof).map_err(|_| BadProof)
    }
}

fn proven(token: &[u8; 16], csr: &[u8]) -> Vec<u8> {
    [token.as_slice(), csr].concat()
}

/// The same request for a file, which passes through more hands than a connection does: in place of the token's secret it has
/// what only one who knows the secret can make, over this request and no other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OfflineRequest {
    /// The request, with a secret of zeros.
    pub request: Request,
    /// Shows that whoever made it knows the secret.
    pub shown: [u8; 32],
}

impl OfflineRequest {
    /// Takes the secret out of a request. `secret_digest` is what the hub keeps of the secret.
    pub fn new(request: Request, secret_digest: &[u8; 32]) -> Self {
        let request = Request { secret: [0; 32], ..request };
        let shown = *shown(&request, secret_digest).as_bytes();
        Self { request, shown }
    }

    /// Whether its maker knew the secret; compared in constant time.
    pub fn knows(&self, secret_digest: &[u8; 32]) -> bool {
        self.request.secret == [0; 32] && shown(&self.request, secret_digest) == self.shown
    }
}

fn shown(request: &Request, secret_digest: &[u8; 32]) -> blake3::Hash {
    let key = blake3::derive_key("sitewarden offline enrolment 1", secret_digest);
    blake3::keyed_hash(&key, &codec::encode(request))
}

/// A hub's answer in a file, and why it is to be believed: there is no connection that the token pins.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Admission {
    /// The certificate (DER) of the authority that the token names.
    pub authority: Vec<u8>,
    /// That authority's certificate (DER) for the key that the hub signs with.
    pub certificate: Vec<u8>,
    /// What the hub answers.
    pub answer: Answer,
}

/// What the hub answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// The agent is known from now on.
    Enrolled(Box<Enrolled>),
    /// It is not; nothing was changed.
    Refused(Refused),
    /// An agent that was known has another key from now on. Only tokens bring this that agents of before it cannot read.
    Again(Box<Again>),
}

/// What an agent needs that was enrolled again.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Again {
    /// As for a new one, with the name that it had.
    pub enrolled: Enrolled,
    /// The epoch from which on its new key counts, and places in the history that the hub has of it.
    pub cleared: clearance::Signed,
}

/// What an enrolled agent needs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Enrolled {
    /// Its name from now on.
    pub agent: AgentId,
    /// Its site.
    pub site: SiteId,
    /// Its TLS certificate, DER.
    pub certificate: Vec<u8>,
    /// UDP port of the hub's sync listener, at the host that the token names.
    pub sync_port: u16,
    /// What the site may do, and whom to trust.
    pub snapshot: snapshot::Signed,
}

/// Why an agent is not enrolled.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refused {
    /// No such token, or another secret.
    #[error("the hub does not know this token; ask for a new one")]
    UnknownToken,
    /// Another machine used it.
    #[error("the token was used already; ask for a new one")]
    Used,
    /// Too late.
    #[error("the token expired on {0}; ask for a new one")]
    Expired(UnixMillis),
    /// The request's proofs do not hold.
    #[error("the hub refused the request: {0}")]
    Invalid(String),
    /// Nothing is wrong with the request; later it may work.
    #[error("the hub cannot enrol agents at the moment; try again")]
    Unavailable,
}

macro_rules! framed {
    ($($name:ident),+) => {$(
        impl $name {
            /// The whole frame, ready to send.
            pub fn to_frame(&self) -> Vec<u8> {
                frame::encode(&codec::encode(self))
            }

            /// Reads a frame.
            ///
            /// # Errors
            /// [`BadFrame`].
            pub fn from_frame(bytes: &[u8]) -> Result<Self, BadFrame> {
                let (head, body) = bytes.split_first_chunk().ok_or(frame::Error::Truncated)?;
                frame::Header::parse(head)?.check(body)?;
                Ok(codec::decode(body).map_err(Unreadable::from)?)
            }
        }
    )+};
}

framed!(Request, Answer);

macro_rules! carried {
    ($($name:ident),+) => {$(
        impl $name {
            /// The body of a bundle's message.
            pub fn to_body(&self) -> Vec<u8> {
                codec::encode(self)
            }

            /// Reads one.
            ///
            /// # Errors
            /// [`Unreadable`].
            pub fn from_body(body: &[u8]) -> Result<Self, Unreadable> {
                Ok(codec::decode(body)?)
            }
        }
    )+};
}

carried!(OfflineRequest, Admission);

/// The bytes are no such frame.
#[derive(Debug, thiserror::Error)]
pub enum BadFrame {
    /// Not a whole, undamaged frame.
    #[error(transparent)]
    Frame(#[from] frame::Error),
    /// Not the message that was expected inside.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: &PrivateKey) -> Request {
        Request {
            token: [1; 16],
            secret: [2; 32],
            csr: vec![3; 40],
            signing_key: key.public(),
            proof: Request::prove(&[1; 16], &[3; 40], key),
            program: "0.1.0".into(),
            hostname: "plant-vm".into(),
            fingerprint: vec![("machine_id".into(), [4; 32])],
        }
    }

    #[test]
    fn a_request_proves_its_key_for_its_token_and_certificate_request() {
        let request = request(&PrivateKey::from_seed(&[9; 32]));
        assert_eq!(Request::from_frame(&request.to_frame()).unwrap(), request);
        assert_eq!(request.check_proof(), Ok(()));
        assert_eq!(Request { csr: vec![0; 40], ..request.clone() }.check_proof(), Err(BadProof));
        assert_eq!(Request { token: [0; 16], ..request }.check_proof(), Err(BadProof));
    }

    #[test]
    fn a_request_does_not_print_its_secret() {
        let printed = format!("{:?}", request(&PrivateKey::from_seed(&[9; 32])));
        assert!(!printed.contains("2, 2, 2"), "{printed}");
    }
}
