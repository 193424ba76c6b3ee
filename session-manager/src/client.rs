//! Binding a session to its client.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

/// Whether a session is bound to the address of the client that created it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressCheck {
    /// Not bound: addresses change when people move between networks.
    #[default]
    Off,
    /// Bound to the exact address.
    Exact,
    /// Bound to the network: this many leading bits must be equal.
    Network {
        /// For IPv4, 0 to 32.
        v4: u8,
        /// For IPv6, 0 to 128.
        v6: u8,
    },
}

impl AddressCheck {
    pub(crate) fn record(self, address: Option<IpAddr>) -> Option<Network> {
        let address = address?.to_canonical();
        let bits = match (self, address) {
            (Self::Off, _) => return None,
            (Self::Exact, IpAddr::V4(_)) => 32,
            (Self::Exact, IpAddr::V6(_)) => 128,
            (Self::Network { v4, .. }, IpAddr::V4(_)) => v4.min(32),
            (Self::Network { v6, .. }, IpAddr::V6(_)) => v6.min(128),
        };
        Some(Network::new(address, bits))
    }
}

/// The leading bits of an address; the others are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    address: [u8; 16],
    len: u8,
    bits: u8,
}

impl Network {
    fn new(address: IpAddr, bits: u8) -> Self {
        let mut network = Self { address: [0; 16], len: 0, bits };
        match address {
            IpAddr::V4(v4) => {
                network.address[..4].copy_from_slice(&v4.octets());
                network.len = 4;
            }
            IpAddr::V6(v6) => {
                network.address = v6.octets();
                network.len = 16;
            }
        }
        for (at, byte) in network.address.iter_mut().enumerate() {
            let kept = usize::from(bits).saturating_sub(at * 8).min(8);
            *byte &= (0xff00_u16 >> kept) as u8;
        }
        network
    }

    /// Whether a client at `address` is in this network. A client without an address is not.
    pub(crate) fn contains(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| Self::new(address.to_canonical(), self.bits) == *self)
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&bits, octets) = bytes.split_first()?;
        let (len, most) = match octets.len() {
            4 => (4, 32),
            16 => (16, 128),
            _ => return None,
        };
        let mut address = [0; 16];
        address[..octets.len()].copy_from_slice(octets);
        (bits <= most).then_some(Self { address, len, bits })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[self.len + 1, self.bits]);
        out.extend_from_slice(&self.address[..usize::from(self.len)]);
    }
}

/// A hash of a User-Agent header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agent([u8; 16]);

impl Agent {
    pub(crate) fn of(header: &[u8]) -> Self {
        let hash = Sha256::digest(header);
        Self(*hash.first_chunk().expect("SHA-256 has 32 bytes"))
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().map(Self).ok()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(16);
        out.extend_from_slice(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_compares_leading_bits_only() {
        let check = AddressCheck::Network { v4: 20, v6: 64 };
        let network = check.record(Some("10.1.18.7".parse().unwrap())).unwrap();
        assert!(network.contains(Some("10.1.31.255".parse().unwrap())));
        assert!(network.contains(Some("::ffff:10.1.16.0".parse().unwrap())));
        assert!(!network.contains(Some("10.1.32.0".parse().unwrap())));
        assert!(!network.contains(None));
        let six = check.record(Some("2001:db8:0:1::1".parse().unwrap())).unwrap();
        assert!(six.contains(Some("2001:db8:0:1:ffff::".parse().unwrap())));
        assert!(!six.contains(Some("2001:db8:0:2::1".parse().unwrap())));
        assert!(
            AddressCheck::Exact.record(None).is_none()
                && AddressCheck::Off.record(Some([1, 1, 1, 1].into())).is_none()
        );
    }
}
