//! Where a request comes from.

use axum::{extract::ConnectInfo, http::Extensions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The client's address; unspecified for one that has none, such as on a socket.
pub(crate) fn client(extensions: &Extensions) -> IpAddr {
    let address = extensions.get::<ConnectInfo<SocketAddr>>();
    address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip().to_canonical())
}
