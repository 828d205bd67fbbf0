//! Which addresses may be called.
//!
//! Without more said these are the public ones: a webhook must not be a way to reach, through the hub, what is behind its
//! firewall. The setting `webhooks.allowed_networks` adds others. What is not known to be public is refused.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// A network, such as `10.0.0.0/8` or `fd00::/8`; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a network such as 10.0.0.0/8")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| NotANetwork)?;
        let network = Self { address, bits };
        // Bits behind the mask are a mistake: what was meant cannot be known.
        if bits <= most && network.contains(address) && network.is_clean() { Ok(network) } else { Err(NotANetwork) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Network {
    fn contains(self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32_u32.saturating_sub(self.bits.into())).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.bits.into())).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            _ => false,
        }
    }

    fn is_clean(self) -> bool {
        match self.address {
            IpAddr::V4(address) => address.to_bits().checked_shl(self.bits.into()).unwrap_or(0) == 0,
            IpAddr::V6(address) => address.to_bits().checked_shl(self.bits.into()).unwrap_or(0) == 0,
        }
    }
}

/// Networks that are allowed beside the public ones.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// With these.
    pub const fn new(allowed: Vec<Network>) -> Self {
        Self(allowed)
    }

    /// Whether an address may be called; without TLS only if its network was allowed.
    pub(super) fn allow(&self, address: IpAddr, plain: bool) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address)) || (!plain && is_public(address))
    }
}

/// Whether an address is of the public internet, by the registries of special addresses of IANA.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    const SPECIAL: [(Ipv4Addr, u32); 15] = [
        (Ipv4Addr::new(0, 0, 0, 0), 8),
        (Ipv4Addr::new(10, 0, 0, 0), 8),
        (Ipv4Addr::new(100, 64, 0, 0), 10),
        (Ipv4Addr::new(127, 0, 0, 0), 8),
        (Ipv4Addr::new(169, 254, 0, 0), 16),
        (Ipv4Addr::new(172, 16, 0, 0), 12),
        (Ipv4Addr::new(192, 0, 0, 0), 24),
        (Ipv4Addr::new(192, 0, 2, 0), 24),
        (Ipv4Addr::new(192, 88, 99, 0), 24),
        (Ipv4Addr::new(192, 168, 0, 0), 16),
        (Ipv4Addr::new(198, 18, 0, 0), 15),
        (Ipv4Addr::new(198, 51, 100, 0), 24),
        (Ipv4Addr::new(203, 0, 113, 0), 24),
        (Ipv4Addr::new(224, 0, 0, 0), 4),
        (Ipv4Addr::new(240, 0, 0, 0), 4),
    ];
    let within = |(network, bits): &(Ipv4Addr, u32)| (network.to_bits() ^ address.to_bits()) >> (32 - bits) == 0;
    !SPECIAL.iter().any(within)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let within = |network: u128, bits: u32| (network ^ address.to_bits()) >> (128 - bits) == 0;
    let lowest_32 = address.to_bits() & u128::from(u32::MAX);
    // NAT64: what counts is the address behind it.
    if within(0x0064_ff9b << 96, 96) {
        return u32::try_from(lowest_32).is_ok_and(|bits| is_public_v4(Ipv4Addr::from_bits(bits)));
    }
    within(0x2000 << 112, 3)
        && !within(0x2001 << 112, 23) // Teredo, benchmarks, ORCHID
        && !within(0x2001_0db8 << 96, 32) // documentation
        && !within(0x2002 << 112, 16) // 6to4: any IPv4 address may be in it
        && !within(0x3fff << 112, 20) // documentation
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(networks: &[&str], address: &str, plain: bool) -> bool {
        let networks = Networks::new(networks.iter().map(|text| text.parse().unwrap()).collect());
        networks.allow(address.parse().unwrap(), plain)
    }

    #[test]
    fn without_more_said_public_addresses_alone_may_be_called() {
        for public in ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"] {
            assert!(allows(&[], public, false), "{public}");
            assert!(!allows(&[], public, true), "{public} without TLS");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "2001::1",
            "2001:db8::1",
            "fec0::1",
        ] {
            assert!(!allows(&[], private, false), "{private}");
        }
    }

    #[test]
    fn an_allowed_network_may_be_called_without_tls_too_and_no_other() {
        let allowed = ["127.0.0.0/8", "10.1.0.0/16", "fd00::/8", "192.168.7.9"];
        for (address, may) in [
            ("127.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("10.1.255.1", true),
            ("10.2.0.1", false),
            ("fd00::1", true),
            ("fe80::1", false),
            ("192.168.7.9", true),
            ("192.168.7.8", false),
            ("169.254.169.254", false),
        ] {
            assert_eq!(allows(&allowed, address, true), may, "{address}");
        }
        assert!(allows(&["0.0.0.0/0"], "10.0.0.1", true) && allows(&["::/0"], "::1", true));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for wrong in
            ["", "10.0.0.0/33", "10.0.0.1/8", "fd00::/129", "fd00::1/8", "localhost", "10.0.0.0/", "10.0.0.0/x"]
        {
            assert_eq!(wrong.parse::<Network>(), Err(NotANetwork), "{wrong}");
        }
    }
}
