//! The client's address, for sessions that are bound to one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;

use http::{Extensions, HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How the layer finds the client's address. Only sessions that are bound to an address need it.
///
/// # Security
/// Any client can send any header. Behind a proxy, use the header that the proxy sets or appends to, and block requests
/// that bypass the proxy: they could choose an address and pass the check with a stolen session id. Without a proxy, use
/// the connection's address and no header.
///
/// A request without an address never passes the check of a bound session.
#[derive(Clone)]
pub struct ClientAddress(Arc<Find>);

type Find = dyn Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync;

impl ClientAddress {
    /// The result of a function of the request's headers and extensions.
    pub fn new(find: impl Fn(&HeaderMap, &Extensions) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        // An IPv4 client has a mapped address on a dual-stack socket.
        Self(Arc::new(move |headers, extensions| {
            find(headers, extensions).map(|address| address.to_canonical())
        }))
    }

    /// The connection's address, which the server puts into the request's extensions as a `T`. With axum:
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use axum::extract::ConnectInfo;
    /// use session_tower::ClientAddress;
    ///
    /// // and serve `app.into_make_service_with_connect_info::<SocketAddr>()`
    /// let address = ClientAddress::extension(|peer: &ConnectInfo<SocketAddr>| peer.0.ip());
    /// ```
    pub fn extension<T: Send + Sync + 'static>(
        address: impl Fn(&T) -> IpAddr + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |_, extensions| extensions.get::<T>().map(&address))
    }

    /// The address in a header that a trusted proxy *sets*, replacing the client's, such as `X-Real-IP`. A repeated header
    /// was not set by such a proxy and is ignored.
    pub fn header(name: HeaderName) -> Self {
        Self::new(move |headers, _| {
            let mut values = headers.get_all(&name).iter();
            let value = values.next()?.to_str().ok()?;
            values.next().is_none().then(|| parse(value)).flatten()
        })
    }

    /// From `X-Forwarded-For`, to which each of `proxies` trusted proxies *appends* its caller's address. The entry of the
    /// outermost proxy is used, counted from the right. Entries to the left of it come from the client and are ignored.
    pub fn forwarded_for(proxies: NonZeroUsize) -> Self {
        Self::new(move |headers, _| {
            let lines = headers.get_all(FORWARDED_FOR).iter().rev();
            let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
            std::str::from_utf8(entries.nth(proxies.get() - 1)?).ok().and_then(parse)
        })
    }

    #[inline]
    pub(crate) fn find(&self, headers: &HeaderMap, extensions: &Extensions) -> Option<IpAddr> {
        (self.0)(headers, extensions)
    }
}

/// An address with or without a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim_ascii();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientAddress(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, values: &[&'static str]) -> HeaderMap {
        let name = HeaderName::from_static(name);
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn forwarded_for_uses_the_outermost_trusted_proxy() {
        let one = ClientAddress::forwarded_for(NonZeroUsize::MIN);
        let two = ClientAddress::forwarded_for(NonZeroUsize::new(2).unwrap());
        let sent = headers("x-forwarded-for", &["10.9.9.9, 192.0.2.7", "198.51.100.1"]);
        let none = Extensions::new();
        assert_eq!(one.find(&sent, &none), ip("198.51.100.1"));
        assert_eq!(two.find(&sent, &none), ip("192.0.2.7"));
        assert_eq!(two.find(&headers("x-forwarded-for", &["192.0.2.7"]), &none), None);
        assert_eq!(one.find(&headers("x-forwarded-for", &["192.0.2.7, unknown"]), &none), None);
        assert_eq!(one.find(&HeaderMap::new(), &none), None);
    }

    #[test]
    fn repeated_address_header_is_ignored() {
        let real = ClientAddress::header(HeaderName::from_static("x-real-ip"));
        let none = Extensions::new();
        assert_eq!(real.find(&headers("x-real-ip", &["192.0.2.7"]), &none), ip("192.0.2.7"));
        assert_eq!(real.find(&headers("x-real-ip", &["192.0.2.7", "192.0.2.8"]), &none), None);
    }

    #[test]
    fn address_parser_drops_ports_and_maps_ipv4() {
        for (text, expected) in [
            (" 192.0.2.1 ", ip("192.0.2.1")),
            ("192.0.2.1:80", ip("192.0.2.1")),
            ("2001:db8::1", ip("2001:db8::1")),
            ("[2001:db8::1]", ip("2001:db8::1")),
            ("[2001:db8::1]:80", ip("2001:db8::1")),
            ("example.org", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text:?}");
        }
        let mapped = ClientAddress::extension(|address: &IpAddr| *address);
        let mut extensions = Extensions::new();
        extensions.insert("::ffff:192.0.2.1".parse::<IpAddr>().unwrap());
        assert_eq!(mapped.find(&HeaderMap::new(), &extensions), ip("192.0.2.1"));
    }
}
