//! What `--dev` makes of the settings: there is no key for it in the file or the environment, so that nobody leaves it there.

use super::{Config, Error, Written};
use figment::Figment;
use std::net::{Ipv4Addr, SocketAddr};

/// The document's own development endpoint.
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// Defaults that fit; what was written stays.
pub(super) fn defaults(written: &mut Written, sources: &Figment) {
    written.http.get_or_insert(HTTP);
    if !sources.contains("sync.address") {
        written.sync.address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
}

/// Refuses what others than this machine could reach.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    let addresses = [("https", Some(config.https)), ("http", config.http), ("sync", Some(config.sync))];
    let open =
        addresses.into_iter().find_map(|(name, address)| Some((name, address.filter(|it| !it.ip().is_loopback())?)));
    open.map_or(Ok(()), |(name, address)| {
        let problem = format!(
            "--dev serves on loopback addresses only, and {name} is {address}; give --{name} 127.0.0.1:PORT, or leave \
             --dev away"
        );
        Err(Error { place: "command line".to_owned(), problem })
    })
}
