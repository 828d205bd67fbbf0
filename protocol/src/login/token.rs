//! Access tokens: JSON Web Tokens (RFC 7519) with HMAC-SHA256 (`HS256`).
//!
//! Written here, in few lines, because a token has one maker and one reader, which are the same hub or the same agent: the
//! header is a constant that is compared to the byte, so no token can choose its algorithm.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// How long an access token is good.
pub const ACCESS_LIFE: Duration = Duration::from_secs(15 * 60);
/// `{"alg":"HS256","typ":"JWT"}`.
const HEADER: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9";
/// The longest token that is looked at, bytes.
const MAX_TOKEN: usize = 2_048;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// The session. Empty if a token names none, which no session is called.
    #[serde(default)]
    pub sid: String,
    /// When it was made, Unix seconds; 0 if it does not say.
    #[serde(default)]
    pub iat: i64,
    /// From when on it is not good any more, Unix seconds.
    pub exp: i64,
}

/// Makes and reads tokens. Does not print.
#[derive(Clone)]
pub struct Signer(hmac::Key);

impl Signer {
    /// With a secret key, of 32 random bytes in any but a development system.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The token that says so.
    pub fn sign(&self, claims: &Claims) -> String {
        // Texts and numbers always have a JSON form.
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).unwrap_or_default());
        let signed = format!("{HEADER}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// What the token says, if it is ours and good at `now`, Unix seconds.
    pub fn verify(&self, token: &str, now: i64) -> Option<Claims> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let claims = signed.strip_prefix(HEADER)?.strip_prefix('.')?;
        hmac::verify(&self.0, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        (now < claims.exp).then_some(claims)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims { sub: "boss".into(), sid: "1".into(), iat: 1_000, exp: 2_000 }
    }

    #[test]
    fn the_token_is_what_other_libraries_make_of_it() {
        // By Python: hmac.new(b"\x07" * 32, …, "sha256") over the two parts.
        let token = Signer::new(&[7; 32]).sign(&claims());
        assert_eq!(
            token,
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJib3NzIiwic2lkIjoiMSIsImlhdCI6MTAwMCwiZXhwIjoyMDAwfQ.k9ktHjmbynIguDGOrh1YTgFM3MGSX6YeN34xkE1Y5Wc"
        );
        assert_eq!(URL_SAFE_NO_PAD.decode(HEADER).unwrap(), br#"{"alg":"HS256","typ":"JWT"}"#);
    }

    #[test]
    fn another_key_a_changed_claim_another_algorithm_and_an_old_token_are_refused() {
        let signer = Signer::new(&[7; 32]);
        let token = signer.sign(&claims());
        assert_eq!(signer.verify(&token, 1_999), Some(claims()));
        assert_eq!(signer.verify(&token, 2_000), None);
        assert_eq!(Signer::new(&[8; 32]).verify(&token, 1_000), None);
        let parts: Vec<&str> = token.split('.').collect();
        let other = URL_SAFE_NO_PAD.encode(br#"{"sub":"root","sid":"1","iat":1000,"exp":2000}"#);
        let none = URL_SAFE_NO_PAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
        for forged in [
            format!("{}.{other}.{}", parts[0], parts[2]),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            parts[1].to_owned(),
            String::new(),
            "x".repeat(MAX_TOKEN + 1),
        ] {
            assert_eq!(signer.verify(&forged, 1_000), None, "{forged}");
        }
    }
}
