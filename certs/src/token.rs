//! The one-time token that brings an agent to its hub.
//!
//! On paper it is `swt1.` and base64url without padding of: authority's fingerprint (32 bytes), token id (16), secret
//! (32), site (16), expiry (8, milliseconds, big-endian), hub's address (UTF-8), and last the first 8 bytes of SHA-256
//! over a domain string and all of that. The checksum only tells a mistyped token from a refused one: what is trusted
//! is the secret, which the hub knows by its digest.
//!
//! Format 2 (`swt2.`) has the id of an agent (16 bytes) behind the expiry, and another domain string: that agent is to be
//! enrolled again. Agents that know nothing of this refuse it before they ask anybody.

use crate::{digest, fingerprint::Fingerprint, hub_address::HubAddress};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};
use sitewarden_protocol::{
    id::{AgentId, SiteId},
    time::UnixMillis,
};
use std::fmt;
use zeroize::Zeroizing;

/// The most bytes of text that are looked at. A token has at most 531.
pub const MAX_TEXT: usize = 4096;

/// The format of a token that makes a new agent.
const FORMAT: u32 = 1;
/// The format of a token for one agent.
const FORMAT_AGAIN: u32 = 2;
const CHECKSUM: usize = 8;
const CHECKSUM_DOMAIN: &[u8] = b"sitewarden/enrolment-token/1\0";
const CHECKSUM_DOMAIN_AGAIN: &[u8] = b"sitewarden/enrolment-token/2\0";
const SECRET_DOMAIN: &[u8] = b"sitewarden/enrolment-secret/1\0";

/// Why a text is not a token that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not begin like one, or is longer than [`MAX_TEXT`].
    #[error("not an enrolment token: one begins with \"swt1.\" or \"swt2.\"")]
    NotAToken,
    /// Characters are missing or wrong.
    #[error("the enrolment token is damaged (mistyped or cut): copy it again, whole")]
    Damaged,
    /// Made by a hub that is newer than this program. The number is the token's format.
    #[error(
        "the enrolment token has format {0}, and this version reads formats up to {FORMAT_AGAIN}: install a newer version"
    )]
    TooNew(u32),
    /// Too late.
    #[error("the enrolment token expired on {0}: ask for a new one")]
    Expired(UnixMillis),
    /// The system's randomness failed.
    #[error("no random secret could be made")]
    Random,
}

/// What an agent needs to find its hub, believe it, and be believed, once.
///
/// `Debug` does not show the secret, and its memory is wiped when dropped.
#[derive(Clone)]
pub struct EnrolmentToken {
    /// Where the hub serves HTTPS.
    pub hub: HubAddress,
    /// The authority that the hub's certificate must be from.
    pub ca: Fingerprint,
    /// The token's public name, by which the hub finds it.
    pub id: [u8; 16],
    /// What shows that the agent was invited.
    pub secret: Zeroizing<[u8; 32]>,
    /// The site that the agent will look after.
    pub site: SiteId,
    /// From this moment on it is of no use.
    pub expires: UnixMillis,
    /// The agent that is to be enrolled again; `None` if the token makes a new one.
    pub agent: Option<AgentId>,
}

impl EnrolmentToken {
    /// A new token with a random id and secret, that makes a new agent.
    ///
    /// # Errors
    /// [`Error::Random`] if the system gives no randomness.
    pub fn generate(hub: HubAddress, ca: Fingerprint, site: SiteId, expires: UnixMillis) -> Result<Self, Error> {
        let (mut id, mut secret) = ([0; 16], Zeroizing::new([0; 32]));
        let random = SystemRandom::new();
        random.fill(&mut id).and_then(|()| random.fill(secret.as_mut_slice())).map_err(|_| Error::Random)?;
        Ok(Self { hub, ca, id, secret, site, expires, agent: None })
    }

    /// The token as text, one line without spaces, at most 531 bytes. The text is a secret.
    pub fn encode(&self) -> String {
        let mut payload = Zeroizing::new(Vec::with_capacity(512));
        payload.extend_from_slice(self.ca.as_bytes());
        payload.extend_from_slice(&self.id);
        payload.extend_from_slice(self.secret.as_slice());
        payload.extend_from_slice(self.site.as_bytes());
        payload.extend_from_slice(&self.expires.0.to_be_bytes());
        payload.extend_from_slice(self.agent.as_ref().map_or(&[], |agent| agent.as_bytes()));
        payload.extend_from_slice(self.hub.to_string().as_bytes());
        let format = if self.agent.is_some() { FORMAT_AGAIN } else { FORMAT };
        let checksum = checksum(format, &payload);
        payload.extend_from_slice(&checksum);
        format!("swt{format}.{}", URL_SAFE_NO_PAD.encode(payload.as_slice()))
    }

    /// Reads a token. Spaces and line breaks, around it or within, are ignored: mail programs make them.
    ///
    /// Expiry is not looked at, so that it can be told from the rest: see [`Self::check_expiry`].
    ///
    /// # Errors
    /// [`Error::NotAToken`], [`Error::Damaged`] or [`Error::TooNew`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_TEXT {
            return Err(Error::NotAToken);
        }
        // Room for all of it at once: a string that grows leaves copies of the secret behind.
        let mut packed = Zeroizing::new(String::with_capacity(text.len()));
        packed.extend(text.chars().filter(|character| !character.is_whitespace()));
        let (format, payload) =
            packed.strip_prefix("swt").and_then(|rest| rest.split_once('.')).ok_or(Error::NotAToken)?;
        let format = match format.parse() {
            Ok(known @ (FORMAT | FORMAT_AGAIN)) if format.len() == 1 => known,
            Ok(newer) if newer > FORMAT_AGAIN => return Err(Error::TooNew(newer)),
            _ => return Err(Error::NotAToken),
        };
        let payload = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).map_err(|_| Error::Damaged)?);
        let (payload, sum) = payload.split_last_chunk::<CHECKSUM>().ok_or(Error::Damaged)?;
        if checksum(format, payload) != *sum {
            return Err(Error::Damaged);
        }
        Self::read(format, payload).ok_or(Error::Damaged)
    }

    /// Whether the token can still be used at `now`.
    ///
    /// # Errors
    /// [`Error::Expired`] from the moment of expiry on.
    pub fn check_expiry(&self, now: UnixMillis) -> Result<(), Error> {
        if now < self.expires { Ok(()) } else { Err(Error::Expired(self.expires)) }
    }

    fn read(format: u32, payload: &[u8]) -> Option<Self> {
        let (ca, payload) = payload.split_first_chunk()?;
        let (id, payload) = payload.split_first_chunk()?;
        let (secret, payload) = payload.split_first_chunk()?;
        let (site, payload) = payload.split_first_chunk()?;
        let (expires, mut hub) = payload.split_first_chunk()?;
        let mut agent = None;
        if format == FORMAT_AGAIN {
            let (id, rest) = hub.split_first_chunk()?;
            (agent, hub) = (Some(AgentId::from_bytes(*id)), rest);
        }
        Some(Self {
            hub: std::str::from_utf8(hub).ok()?.parse().ok()?,
            ca: Fingerprint::from_bytes(*ca),
            id: *id,
            secret: Zeroizing::new(*secret),
            site: SiteId::from_bytes(*site),
            expires: UnixMillis(i64::from_be_bytes(*expires)),
            agent,
        })
    }
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentToken")
            .field("hub", &self.hub)
            .field("ca", &self.ca)
            .field("site", &self.site)
            .field("expires", &self.expires)
            .field("agent", &self.agent)
            .finish_non_exhaustive()
    }
}

/// What the hub keeps of a token's secret.
///
/// A plain hash is enough: the secret is 256 random bits, which nobody can guess.
pub fn secret_digest(secret: &[u8; 32]) -> [u8; 32] {
    digest::sha256(&[SECRET_DOMAIN, secret])
}

/// Whether `secret` is the one whose digest was kept, in constant time.
pub fn secret_matches(secret: &[u8; 32], kept: &[u8; 32]) -> bool {
    digest::equal(&secret_digest(secret), kept)
}

fn checksum(format: u32, payload: &[u8]) -> [u8; CHECKSUM] {
    let domain = if format == FORMAT_AGAIN { CHECKSUM_DOMAIN_AGAIN } else { CHECKSUM_DOMAIN };
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&digest::sha256(&[domain, payload])[..CHECKSUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPIRES: UnixMillis = UnixMillis(1_769_846_400_000);

    fn token() -> EnrolmentToken {
        let hub = "hub.example.com:8443".parse().unwrap();
        EnrolmentToken::generate(hub, Fingerprint::of(b"ca"), SiteId::from_bytes([3; 16]), EXPIRES).unwrap()
    }

    #[test]
    fn a_token_comes_back_from_its_text() {
        let token = token();
        let again = EnrolmentToken::parse(&token.encode()).unwrap();
        assert_eq!((&again.hub, again.ca, again.id, again.site), (&token.hub, token.ca, token.id, token.site));
        assert_eq!(again.expires, EXPIRES);
        assert!(secret_matches(&again.secret, &secret_digest(&token.secret)));
    }

    #[test]
    fn the_format_does_not_drift() {
        let token = EnrolmentToken {
            hub: "h:1".parse().unwrap(),
            ca: Fingerprint::from_bytes([1; 32]),
            id: [2; 16],
            secret: Zeroizing::new([3; 32]),
            site: SiteId::from_bytes([4; 16]),
            expires: UnixMillis(5),
            agent: None,
        };
        assert_eq!(token.encode(), GOLDEN);
        assert!(EnrolmentToken::parse(GOLDEN).is_ok());
        let again = EnrolmentToken { agent: Some(AgentId::from_bytes([6; 16])), ..token };
        assert_eq!(again.encode(), GOLDEN_AGAIN);
        assert_eq!(EnrolmentToken::parse(GOLDEN_AGAIN).unwrap().agent, again.agent);
    }

    /// Made apart from this code, in Python, from the description at the top of this file.
    const GOLDEN: &str = concat!(
        "swt1.AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgIC",
        "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMEBAQEBAQEBAQEBAQEBAQE",
        "AAAAAAAAAAVoOjGBEu62rRA2NQ",
    );

    /// Made likewise.
    const GOLDEN_AGAIN: &str = concat!(
        "swt2.AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQECAgICAgICAgICAgICAgIC",
        "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMEBAQEBAQEBAQEBAQEBAQEAAAAA",
        "AAAAAUGBgYGBgYGBgYGBgYGBgYGaDoxSpupo0zBUW8",
    );

    #[test]
    fn a_token_of_one_format_is_not_read_as_the_other() {
        for (text, other) in [(GOLDEN, "swt2."), (GOLDEN_AGAIN, "swt1.")] {
            let altered = format!("{other}{}", &text[5..]);
            assert_eq!(EnrolmentToken::parse(&altered).unwrap_err(), Error::Damaged);
        }
    }

    #[test]
    fn a_mail_program_may_break_it_into_lines() {
        let text = token().encode();
        let broken: Vec<String> = text.as_bytes().chunks(20).map(|line| String::from_utf8_lossy(line).into()).collect();
        let parsed = EnrolmentToken::parse(&format!("\n  {}  \r\n", broken.join("\r\n  "))).unwrap();
        assert_eq!(parsed.encode(), text);
    }

    #[test]
    fn no_single_altered_character_goes_unnoticed() {
        let text = token().encode();
        for at in 0..text.len() {
            for other in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_. =é".chars() {
                let altered = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                if altered == text {
                    continue;
                }
                let error = EnrolmentToken::parse(&altered).unwrap_err();
                let expected = if at < 5 {
                    error != Error::Damaged || at == 4 || (at == 3 && other == '2')
                } else {
                    error == Error::Damaged
                };
                assert!(expected, "{other:?} at {at}: {error}");
            }
        }
    }

    #[test]
    fn a_cut_token_is_told_from_a_refused_one() {
        let text = token().encode();
        for length in "swt1.".len()..text.len() {
            assert_eq!(EnrolmentToken::parse(&text[..length]).unwrap_err(), Error::Damaged, "{length}");
        }
    }

    #[test]
    fn something_else_is_called_so() {
        for other in
            ["", "hello", "swt", "swt1", "swt0.AAAA", "swt01.AAAA", "swt+1.AAAA", "swt02.AAAA", "eyJhbGciOi.eyJzdWIi"]
        {
            assert_eq!(EnrolmentToken::parse(other).unwrap_err(), Error::NotAToken, "{other}");
        }
        assert_eq!(EnrolmentToken::parse(&"A".repeat(MAX_TEXT + 1)).unwrap_err(), Error::NotAToken);
        assert_eq!(EnrolmentToken::parse("swt3.whatever-comes").unwrap_err(), Error::TooNew(3));
    }

    #[test]
    fn a_token_is_of_no_use_from_its_expiry_on() {
        let token = token();
        assert_eq!(token.check_expiry(UnixMillis(EXPIRES.0 - 1)), Ok(()));
        assert_eq!(token.check_expiry(EXPIRES), Err(Error::Expired(EXPIRES)));
    }

    #[test]
    fn another_secret_does_not_match_and_none_is_shown() {
        let (one, other) = (token(), token());
        assert!(!secret_matches(&other.secret, &secret_digest(&one.secret)));
        assert_ne!(secret_digest(&one.secret), *one.secret);
        assert!(!format!("{one:?}").contains("secret"));
    }

    #[test]
    fn the_longest_address_still_makes_a_token_that_is_read() {
        let longest = format!("{}:65535", ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join("."));
        let agent = Some(AgentId::from_bytes([6; 16]));
        let token = EnrolmentToken { hub: longest.parse().unwrap(), agent, ..token() };
        let text = token.encode();
        assert!(text.len() <= 531, "{}", text.len());
        assert_eq!(EnrolmentToken::parse(&text).unwrap().hub, token.hub);
    }
}
