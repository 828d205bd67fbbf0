//! Basic authentication (RFC 7617).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The most bytes of an encoded credential: a name of 200 characters and a password of 1,024 bytes fit.
const MAX_ENCODED: usize = 3_072;

/// What a caller says of himself.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// Who he says he is.
    pub name: String,
    /// What is to prove it.
    pub password: Zeroizing<String>,
}

/// Reads the value of an `Authorization` header, which is `Basic` and the base64 of name, colon and password. `None` if
/// it is anything else.
pub fn parse(header: &[u8]) -> Option<Credential> {
    let (scheme, encoded) = str::from_utf8(header).ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_ENCODED {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (name, password) = str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(Credential { name: name.to_owned(), password: Zeroizing::new(password.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &[u8]) -> Option<(String, String)> {
        parse(header).map(|credential| (credential.name, credential.password.to_string()))
    }

    #[test]
    fn a_credential_is_read_as_the_standard_says() {
        assert_eq!(read(b"Basic YWRtaW46YTpi"), Some(("admin".into(), "a:b".into())));
        assert_eq!(read(b"bAsIc YTo="), Some(("a".into(), String::new())));
        for wrong in [&b"Bearer YWRtaW46YTpi"[..], b"Basic", b"Basic ", b"Basic YWRtaW4=", b"Basic !", b"\xff \xff"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_longest_name_and_password_fit_and_no_more_is_decoded() {
        let header = |name: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
        let (name, password) = ("é".repeat(200), "x".repeat(1_024));
        assert_eq!(read(header(&name, &password).as_bytes()), Some((name, password)));
        assert_eq!(read(header("a", &"x".repeat(MAX_ENCODED)).as_bytes()), None);
    }
}
