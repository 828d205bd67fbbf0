//! Where a hub is to be found over HTTPS.

use rustls_pki_types::{DnsName, ServerName};
use std::{fmt, net::IpAddr, str::FromStr};

/// A hub's HTTPS address: a host name or an IP address, and a port from 1 to 65535.
///
/// Shown as `host:port`, with an IPv6 address in brackets; at most 259 bytes (a DNS name of 253, a colon, five digits).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HubAddress {
    host: String,
    port: u16,
}

/// The text is not a host and a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a hub's address: write it as host:port, such as hub.example.com:8443")]
pub struct NotAHubAddress(String);

impl HubAddress {
    /// The host name in lower case, or the IP address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, never 0.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address with its scheme, such as `https://hub.example.com:8443`; no slash at the end.
    pub fn url(&self) -> String {
        format!("https://{self}")
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.strip_prefix("https://").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = text.rsplit_once(':')?;
        let port = port.bytes().all(|digit| digit.is_ascii_digit()).then(|| port.parse().ok()).flatten()?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.parse::<IpAddr>().ok().filter(IpAddr::is_ipv6)?.to_string(),
            // Without brackets the last group of an IPv6 address would be taken for the port.
            None if host.contains(':') => return None,
            None => host.to_ascii_lowercase(),
        };
        is_host(&host).then_some(Self { host, port }).filter(|address| address.port != 0)
    }
}

fn is_host(host: &str) -> bool {
    matches!(ServerName::try_from(host), Ok(ServerName::IpAddress(_))) || DnsName::try_from(host).is_ok()
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for HubAddress {
    type Err = NotAHubAddress;

    fn from_str(text: &str) -> Result<Self, NotAHubAddress> {
        Self::read(text).ok_or_else(|| NotAHubAddress(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_in_the_ways_people_write_it() {
        for (written, shown) in [
            ("hub.example.com:8443", "hub.example.com:8443"),
            ("https://Hub.Example.com:8443/", "hub.example.com:8443"),
            ("192.0.2.7:443", "192.0.2.7:443"),
            ("[2001:DB8::1]:443", "[2001:db8::1]:443"),
            ("localhost:1", "localhost:1"),
        ] {
            let address: HubAddress = written.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.url(), format!("https://{shown}"));
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn what_could_not_be_dialled_is_refused() {
        for wrong in [
            "",
            "hub",
            "hub:",
            ":8443",
            "hub:0",
            "hub:65536",
            "hub:+1",
            "http://hub:80",
            "hub:80/x",
            "a b:1",
            "[hub]:1",
            "[192.0.2.7]:1",
            "2001:db8::1:443",
            "user@hub:1",
        ] {
            assert!(wrong.parse::<HubAddress>().is_err(), "{wrong}");
        }
        assert!(format!("{}:1", "a.".repeat(200)).parse::<HubAddress>().is_err());
    }
}
