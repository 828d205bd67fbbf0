//! Where a webhook goes.

use reqwest::Url;
use std::{fmt, net::IpAddr, str::FromStr};

/// The most bytes of an address.
const MAX_URL: usize = 2_000;

/// Where a webhook goes: an absolute `https` or `http` address with a host, without a user, a password or a fragment.
/// Does not print: it may hold what proves its caller.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// The text is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("url must be an https or http address of at most 2000 bytes, without a user, a password or a fragment")]
pub struct NotAWebhookUrl;

impl WebhookUrl {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The address as the HTTP client has it.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it goes without TLS.
    pub(super) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The host, if it is an address and not a name. Nobody resolves those.
    pub(super) fn literal(&self) -> Option<IpAddr> {
        let host = self.0.host_str()?;
        host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }
}

impl FromStr for WebhookUrl {
    type Err = NotAWebhookUrl;

    fn from_str(text: &str) -> Result<Self, NotAWebhookUrl> {
        let url = Url::parse(text).map_err(|_| NotAWebhookUrl)?;
        let fits = text.len() <= MAX_URL
            && matches!(url.scheme(), "https" | "http")
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        if fits { Ok(Self(url)) } else { Err(NotAWebhookUrl) }
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookUrl(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_be_called_are_refused() {
        for good in ["https://example.com/hook?key=1", "http://10.0.0.1:7070/x", "https://[2001:db8::1]/"] {
            assert!(good.parse::<WebhookUrl>().is_ok(), "{good}");
        }
        let long = format!("https://example.com/{}", "a".repeat(MAX_URL));
        for bad in
            ["", "example.com", "ftp://example.com", "https://", "https://a:b@example.com/", "https://a/#b", &long]
        {
            assert_eq!(bad.parse::<WebhookUrl>(), Err(NotAWebhookUrl), "{bad}");
        }
    }

    #[test]
    fn an_address_in_whatever_dress_is_seen() {
        for (url, address) in [
            ("http://127.0.0.1/", "127.0.0.1"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://0x7f.1/", "127.0.0.1"),
            ("http://[::ffff:10.0.0.1]/", "::ffff:10.0.0.1"),
        ] {
            assert_eq!(url.parse::<WebhookUrl>().unwrap().literal(), address.parse().ok(), "{url}");
        }
        assert_eq!("http://localhost/".parse::<WebhookUrl>().unwrap().literal(), None);
    }
}
