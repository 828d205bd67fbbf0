//! A way out through an HTTP proxy: a tunnel that it is asked for with CONNECT. What goes through the tunnel is TLS with
//! the hub itself.

use super::https::{authority, connect};
use base64::Engine as _;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use sitewarden_certs::secret_file;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Where a proxy listens: `http://host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    host: String,
    port: u16,
}

/// The text is no address of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a proxy is given as http://HOST:PORT, without user and path; its user stands in sync.proxy_credentials_file")]
pub struct NotAProxy;

impl FromStr for Address {
    type Err = NotAProxy;

    fn from_str(text: &str) -> Result<Self, NotAProxy> {
        let uri: Uri = text.parse().map_err(|_| NotAProxy)?;
        let bare = uri.scheme_str() == Some("http") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        let named = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        match (uri.host(), uri.port_u16()) {
            (Some(host), Some(port)) if bare && named && port != 0 && !host.is_empty() => {
                Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port })
            }
            _ => Err(NotAProxy),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = NotAProxy;

    fn try_from(text: String) -> Result<Self, NotAProxy> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", authority(&self.host, self.port))
    }
}

/// A proxy that this agent goes through.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Where it listens.
    pub address: Address,
    /// The file with `USER:PASSWORD`, if it asks for them; read anew for each tunnel.
    pub credentials: Option<PathBuf>,
}

/// Why a proxy makes no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be reached.
    #[error("the proxy {place} cannot be reached: {source}")]
    Unreachable {
        /// Where.
        place: Address,
        /// Why.
        source: io::Error,
    },
    /// The file with the credentials cannot be used.
    #[error("the proxy's credentials: {0}")]
    File(#[from] secret_file::Error),
    /// There is no user and password in the file.
    #[error("{0} must hold USER:PASSWORD in one line")]
    Credentials(PathBuf),
    /// It wants other credentials, or any.
    #[error("the proxy {0} wants a user and a password (407); set sync.proxy_credentials_file, or mend what is in it")]
    Unauthorised(Address),
    /// It says no.
    #[error("the proxy {place} makes no tunnel to {target}: it answers {status}")]
    Refused {
        /// The proxy.
        place: Address,
        /// Where to.
        target: String,
        /// What it answers.
        status: StatusCode,
    },
    /// It speaks no HTTP.
    #[error("the proxy {place} speaks no HTTP: {source}")]
    Http {
        /// The proxy.
        place: Address,
        /// What happened.
        source: hyper::Error,
    },
}

impl Proxy {
    /// A tunnel to this place.
    pub(super) async fn tunnel(&self, host: &str, port: u16) -> Result<TokioIo<Upgraded>, Error> {
        let place = || self.address.clone();
        let authorization = self.authorization().await?;
        let wire = connect(&self.address.host, self.address.port).await;
        let wire = wire.map_err(|source| Error::Unreachable { place: place(), source })?;
        let http = |source| Error::Http { place: place(), source };
        let (mut sender, connection) = http1::handshake(TokioIo::new(wire)).await.map_err(http)?;
        // Ends with the tunnel, or when the sender is dropped.
        tokio::spawn(connection.with_upgrades());
        let target = authority(host, port);
        let mut request = Request::new(String::new());
        *request.method_mut() = Method::CONNECT;
        let refused = |status| Error::Refused { place: place(), target: target.clone(), status };
        *request.uri_mut() = target.parse().map_err(|_| refused(StatusCode::BAD_REQUEST))?;
        let host = HeaderValue::from_str(&target).map_err(|_| refused(StatusCode::BAD_REQUEST))?;
        request.headers_mut().insert(HOST, host);
        if let Some(authorization) = authorization {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        let response = sender.send_request(request).await.map_err(http)?;
        match response.status() {
            StatusCode::OK => Ok(TokioIo::new(hyper::upgrade::on(response).await.map_err(http)?)),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => Err(Error::Unauthorised(place())),
            status => Err(refused(status)),
        }
    }

    pub(super) async fn authorization(&self) -> Result<Option<HeaderValue>, Error> {
        let Some(path) = self.credentials.clone() else { return Ok(None) };
        let bad = || Error::Credentials(path.clone());
        let file = path.clone();
        let read = tokio::task::spawn_blocking(move || secret_file::read(&file)).await;
        let bytes = read.map_err(|_| bad())??;
        let line = bytes.trim_ascii();
        if !line.contains(&b':') || line.iter().any(u8::is_ascii_control) {
            return Err(bad());
        }
        let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(line));
        let mut value = HeaderValue::from_str(&format!("Basic {}", *encoded)).map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown() {
        for good in ["http://proxy.plant.example:3128", "http://10.1.2.3:8080", "http://[2001:db8::1]:3128"] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
    }

    #[test]
    fn what_is_no_proxys_address_is_refused() {
        for bad in [
            "",
            "proxy:3128",
            "https://proxy:3128",
            "socks5://proxy:1080",
            "http://proxy",
            "http://proxy:0",
            "http://proxy:99999",
            "http://user:word@proxy:3128",
            "http://proxy:3128/path",
            "http://proxy:3128/?q",
            "http://:3128",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(NotAProxy), "{bad}");
        }
    }
}
