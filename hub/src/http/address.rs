//! Where a request comes from.
//!
//! Always true: a header names the client only if a setting names the header, and only in a request from one of the
//! proxies that the settings trust; from anybody else it is a claim, and not looked at.

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{Extensions, HeaderMap, HeaderName},
    middleware::Next,
    response::Response,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

/// The address of the client behind a proxy.
#[derive(Debug, Clone, Copy)]
struct Behind(IpAddr);

/// Who may say for whom a request comes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    /// Where they say it; `None` if nobody may.
    pub(crate) header: Option<HeaderName>,
    /// Their addresses.
    pub(crate) trusted: Vec<IpAddr>,
}

/// The client's address; unspecified for one that has none, such as on a socket.
pub(crate) fn client(extensions: &Extensions) -> IpAddr {
    match extensions.get::<Behind>() {
        Some(Behind(address)) => *address,
        None => peer(extensions).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
    }
}

/// Looks for the client behind a proxy.
pub(crate) async fn look(State(proxies): State<Arc<Proxies>>, mut request: Request, next: Next) -> Response {
    if let Some(address) = proxies.client(peer(request.extensions()), request.headers()) {
        request.extensions_mut().insert(Behind(address));
    }
    next.run(request).await
}

fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_canonical())
}

impl Proxies {
    fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let header = self.header.as_ref()?;
        if !self.trusted.contains(&peer?) {
            return None;
        }
        // The last one is what the proxy itself has put there; those before came with the request.
        let value = headers.get_all(header).iter().next_back()?.to_str().ok()?;
        let last = value.rsplit(',').next()?.trim();
        let address = last.parse().or_else(|_| last.parse::<SocketAddr>().map(|address| address.ip()));
        address.ok().map(|address: IpAddr| address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_counts_only_if_a_trusted_proxy_says_it() {
        let proxy: IpAddr = "127.0.0.1".parse().unwrap();
        let header = HeaderName::from_static("x-forwarded-for");
        let proxies = Proxies { header: Some(header.clone()), trusted: vec![proxy] };
        let mut headers = HeaderMap::new();
        headers.insert(header, "198.51.100.7, 203.0.113.9".parse().unwrap());
        let told = "203.0.113.9".parse().ok();
        assert_eq!(proxies.client(Some(proxy), &headers), told, "the last one, which the proxy has put there");
        assert_eq!(proxies.client("192.0.2.1".parse().ok(), &headers), None);
        assert_eq!(proxies.client(None, &headers), None);
        assert_eq!(Proxies::default().client(Some(proxy), &headers), None, "no setting names it");
        headers.insert("x-forwarded-for", "unknown".parse().unwrap());
        assert_eq!(proxies.client(Some(proxy), &headers), None);
        headers.insert("x-forwarded-for", "[2001:db8::1]:4711".parse().unwrap());
        assert_eq!(proxies.client(Some(proxy), &headers), "2001:db8::1".parse().ok());
    }
}
