//! Renewal: how an agent gets the next certificate for its TLS key.
//!
//! Always true: the agent asks with its signing key, the hub answers with its own, and both signatures name the random
//! numbers of the other side. So it does not matter what carries them: a session, a bundle, or HTTPS with a hub whose
//! certificate this agent can no longer verify, because the authorities changed while it was offline. Nothing in it is
//! secret. The key stays the same: a lost answer changes nothing, and copies of a machine do not push each other out.

use crate::announcement;
use crate::codec::{self, Decode, Encode};
use crate::id::AgentId;
use crate::message::Unreadable;
use crate::signing::{BadSignature, PrivateKey, PublicKey, Purpose, Signature};
use crate::snapshot::Trust;
use crate::{enrolment::BadFrame, frame};

/// What the agent makes up for one request; the hub's answer repeats it.
pub type Nonce = [u8; 16];

/// What the hub made up for one request over HTTPS, where no connection says that the agent asks now. Zeros elsewhere,
/// and at the first try.
pub type Challenge = [u8; 24];

/// What an agent asks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Asked {
    /// Who.
    pub agent: AgentId,
    /// PKCS #10 request for its TLS key, DER; self-signed as proof of that key.
    pub csr: Vec<u8>,
    /// What it made up.
    pub nonce: Nonce,
    /// What the hub made up.
    pub challenge: Challenge,
}

/// A request as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Request {
    /// The encoded [`Asked`].
    pub bytes: Vec<u8>,
    /// By the agent's signing key.
    pub signature: Signature,
}

impl Request {
    /// Signs a request.
    pub fn make(asked: &Asked, key: &PrivateKey) -> Self {
        let bytes = codec::encode(asked);
        let signature = key.sign(Purpose::Renewal, &bytes);
        Self { bytes, signature }
    }

    /// What is asked, whoever signed it: to look up with which key it is to be verified.
    ///
    /// # Errors
    /// If the bytes are no request.
    pub fn peek(&self) -> Result<Asked, Unreadable> {
        Ok(codec::decode(&self.bytes)?)
    }

    /// Checks that `key` signed it.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), BadSignature> {
        key.verify(Purpose::Renewal, &self.bytes, &self.signature)
    }
}

/// What the hub answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    /// A certificate.
    Granted(Granted),
    /// Ask again with this: the request does not show that it was made just now.
    Challenge(Challenge),
    /// None.
    Refused(Refused),
}

/// A certificate, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Granted {
    /// How the hub's signing keys follow each other, for an agent that knows only an older one.
    pub keys: Vec<announcement::Signed>,
    /// The encoded [`Renewed`].
    pub bytes: Vec<u8>,
    /// By the hub's newest signing key.
    pub signature: Signature,
}

/// What the agent has from now on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Renewed {
    /// For whom.
    pub agent: AgentId,
    /// What it made up.
    pub nonce: Nonce,
    /// Its TLS certificate, DER.
    pub certificate: Vec<u8>,
    /// Whom to believe.
    pub trust: Trust,
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum Refused {
    /// Another key signed it, or there is no such agent; which of the two is not told.
    #[error("the hub does not know this agent by this signing key; enrol it again")]
    Unknown,
    /// The agent's standing was withdrawn.
    #[error("this agent was revoked")]
    Revoked,
    /// The request's own proof does not hold, or is of another TLS key than the one the hub has.
    #[error("the hub refused the request: {0}")]
    Invalid(String),
    /// Nothing is wrong with the request; later it may work.
    #[error("the hub cannot renew certificates at the moment")]
    Unavailable,
}

/// The answer is not this hub's to this question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is not signed by this hub for this request")]
pub struct NotAnAnswer;

impl Granted {
    /// Signs an answer.
    pub fn make(renewed: &Renewed, keys: Vec<announcement::Signed>, key: &PrivateKey) -> Self {
        let bytes = codec::encode(renewed);
        let signature = key.sign(Purpose::Renewed, &bytes);
        Self { keys, bytes, signature }
    }

    /// What is granted, if a key that `trusted` leads to signed it for this agent and question.
    ///
    /// # Errors
    /// [`NotAnAnswer`].
    pub fn verify(&self, trusted: &[PublicKey], agent: AgentId, nonce: &Nonce) -> Result<Renewed, NotAnAnswer> {
        let mut known = trusted.to_vec();
        announcement::follow(&mut known, &self.keys);
        if !known.iter().any(|key| key.verify(Purpose::Renewed, &self.bytes, &self.signature).is_ok()) {
            return Err(NotAnAnswer);
        }
        let renewed: Renewed = codec::decode(&self.bytes).map_err(|_| NotAnAnswer)?;
        if renewed.agent == agent && renewed.nonce == *nonce { Ok(renewed) } else { Err(NotAnAnswer) }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    const AGENT: AgentId = AgentId::from_bytes([7; 16]);

    fn hub(number: u8) -> PrivateKey {
        PrivateKey::from_seed(&[number; 32])
    }

    fn renewed() -> Renewed {
        let trust = Trust { authorities: vec![vec![1]], signing_keys: vec![hub(2).public()] };
        Renewed { agent: AGENT, nonce: [1; 16], certificate: vec![2; 40], trust }
    }

    #[test]
    fn a_request_counts_for_the_key_that_made_it_and_as_it_was_made() {
        let key = PrivateKey::from_seed(&[9; 32]);
        let asked = Asked { agent: AGENT, csr: vec![3; 40], nonce: [1; 16], challenge: [0; 24] };
        let request = Request::from_frame(&Request::make(&asked, &key).to_frame()).unwrap();
        assert_eq!(request.peek().unwrap(), asked);
        assert_eq!(request.verify(&key.public()), Ok(()));
        assert_eq!(request.verify(&hub(1).public()), Err(BadSignature));
        let other = Request { bytes: codec::encode(&Asked { challenge: [1; 24], ..asked }), ..request };
        assert_eq!(other.verify(&key.public()), Err(BadSignature));
    }

    #[test]
    fn an_answer_counts_for_its_agent_and_question_and_from_this_hub_only() {
        let granted = Granted::make(&renewed(), vec![], &hub(1));
        let trusted = [hub(1).public()];
        assert_eq!(granted.verify(&trusted, AGENT, &[1; 16]), Ok(renewed()));
        assert_eq!(granted.verify(&trusted, AGENT, &[2; 16]), Err(NotAnAnswer));
        assert_eq!(granted.verify(&trusted, AgentId::from_bytes([8; 16]), &[1; 16]), Err(NotAnAnswer));
        assert_eq!(granted.verify(&[hub(3).public()], AGENT, &[1; 16]), Err(NotAnAnswer));
    }

    #[test]
    fn an_answer_by_a_newer_key_is_believed_if_the_chain_leads_there() {
        let keys = vec![announcement::Signed::make(2, hub(2).public(), UnixMillis(5), &hub(1))];
        let trusted = [hub(1).public()];
        let granted = Granted::make(&renewed(), keys, &hub(2));
        assert_eq!(granted.verify(&trusted, AGENT, &[1; 16]), Ok(renewed()));
        assert_eq!(Granted { keys: vec![], ..granted }.verify(&trusted, AGENT, &[1; 16]), Err(NotAnAnswer));
    }
}
