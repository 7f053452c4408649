//! The target of a proxy request: an address or a name, and a port.
//!
//! What two readers could read in two ways is not read at all: the proxy may not take it as we do.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Longest name (RFC 1035 section 2.3.4).
const NAME_MAX: usize = 253;

/// Whom a proxy is to reach.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// IPv4 addresses in IPv6 form are IPv4 addresses.
    Address(IpAddr),
    /// In lower case, without a final dot.
    Name(String),
}

/// Where a proxy is to connect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub host: Host,
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Address(address) => write!(f, "{address}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl Host {
    /// An address as it was sent.
    pub const fn address(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }

    /// A name, or an address in any of the forms that a resolver reads (`inet_aton`): `10.1`, `0x7f.1`, `167772165`.
    pub fn named(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.is_empty() || text.len() > NAME_MAX || !text.iter().all(allowed) {
            return None;
        }
        let name = String::from_utf8(text.to_ascii_lowercase()).ok()?;
        if name.split('.').any(str::is_empty) {
            return None;
        }
        if name == "localhost" || name.ends_with(".localhost") {
            return Some(Self::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if number(last).is_some() || last.bytes().all(|byte| byte.is_ascii_digit()) {
            return numbers(&name).map(|address| Self::Address(IpAddr::V4(address)));
        }
        Some(Self::Name(name))
    }

    /// Whether only the proxy itself, or nobody, is there: no packet with that destination is ever forwarded.
    pub const fn is_nowhere(&self) -> bool {
        match self {
            Self::Address(IpAddr::V4(address)) => {
                address.is_loopback() || address.octets()[0] == 0 || address.is_multicast() || address.is_broadcast()
            }
            Self::Address(IpAddr::V6(address)) => {
                address.is_loopback() || address.is_unspecified() || address.is_multicast()
            }
            Self::Name(_) => false,
        }
    }
}

/// A number as `inet_aton` reads it: decimal, octal behind a zero, hexadecimal behind `0x`.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (if digits.is_empty() { "0" } else { digits }, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    digits.chars().all(|digit| digit.is_digit(radix)).then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// One to four numbers, the last of which fills what is left of the address.
fn numbers(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last()?;
    if first.len() > 3 || first.iter().any(|part| *part > 255) || *last >= 1 << (8 * (4 - first.len())) {
        return None;
    }
    let address = first.iter().zip([24, 16, 8]).fold(*last, |address, (part, shift)| address | part << shift);
    u32::try_from(address).ok().map(Ipv4Addr::from)
}

/// `host:port`; without `:port` it is the default one, if there is one. An IPv6 address stands in brackets.
pub fn authority(text: &[u8], default_port: Option<u16>) -> Option<Target> {
    let (host, port) = match text.strip_prefix(b"[") {
        Some(rest) => {
            let end = rest.iter().position(|byte| *byte == b']')?;
            let address: Ipv6Addr = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
            (Host::address(IpAddr::V6(address)), &rest[end + 1..])
        }
        None => {
            let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
            (Host::named(&text[..end])?, &text[end..])
        }
    };
    let port = match port {
        [] | [b':'] => default_port?,
        [b':', digits @ ..] => decimal(digits)?,
        _ => return None,
    };
    Some(Target { host, port })
}

/// The authority of a whole URI. Whom its user is, is of no interest; that there is more than one `@` is.
pub fn uri(text: &[u8]) -> Option<Target> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = text.split_at(colon);
    let rest = rest.strip_prefix(b"://")?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let mut host = &rest[..end];
    if let Some(at) = host.iter().position(|byte| *byte == b'@') {
        // RFC 3986 section 3.2.1
        let user = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:".contains(byte);
        if !host[..at].iter().all(user) {
            return None;
        }
        host = &host[at + 1..];
    }
    let default_port = match scheme.to_ascii_lowercase().as_slice() {
        b"http" | b"ws" => Some(80),
        b"https" | b"wss" => Some(443),
        b"ftp" => Some(21),
        _ => None,
    };
    authority(host, default_port)
}

/// A port, not zero.
fn decimal(digits: &[u8]) -> Option<u16> {
    if !(1..=5).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let port = digits.iter().fold(0u32, |port, digit| port * 10 + u32::from(digit - b'0'));
    u16::try_from(port).ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, default: Option<u16>) -> String {
        authority(text.as_bytes(), default).map_or("none".to_owned(), |target| target.to_string())
    }

    #[test]
    fn authorities() {
        for (text, expected) in [
            ("www.example:443", "www.example:443"),
            ("WWW.Example.:443", "www.example:443"),
            ("10.0.0.1:22", "10.0.0.1:22"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("[::ffff:10.0.0.1]:22", "10.0.0.1:22"),
            // what a resolver takes for an address
            ("167772161:22", "10.0.0.1:22"),
            ("0x0a000001:22", "10.0.0.1:22"),
            ("012.0.0.1:22", "10.0.0.1:22"),
            ("10.1:22", "10.0.0.1:22"),
            ("0xa.0x1:22", "10.0.0.1:22"),
            ("10.0.0.1.:22", "10.0.0.1:22"),
            ("localhost:22", "127.0.0.1:22"),
            ("a.LOCALHOST.:22", "127.0.0.1:22"),
            // not to be read, or in two ways
            ("", "none"),
            (":22", "none"),
            ("www.example", "none"),
            ("www.example:", "none"),
            ("www.example:0", "none"),
            ("www.example:65536", "none"),
            ("www.example:+443", "none"),
            ("www.example:443:22", "none"),
            ("www.example:000443", "none"),
            ("user@www.example:443", "none"),
            ("www..example:443", "none"),
            (".:443", "none"),
            ("..:443", "none"),
            ("www%2eexample:443", "none"),
            ("www.ex\u{e4}mple:443", "none"),
            ("www.example\\:443", "none"),
            ("1.2.3.4.5:443", "none"),
            ("256.1.1.1:443", "none"),
            ("10.0.0.09:443", "none"),
            ("a.b.1:443", "none"),
            ("2001:db8::1:443", "none"),
            ("[2001:db8::1%eth0]:443", "none"),
            ("[2001:db8::1", "none"),
            ("[]:443", "none"),
            ("[10.0.0.1]:443", "none"),
        ] {
            assert_eq!(shown(text, None), expected, "{text}");
        }
        assert_eq!(shown("www.example", Some(80)), "www.example:80");
        assert_eq!(shown("[2001:db8::1]", Some(80)), "[2001:db8::1]:80");
        assert_eq!(shown("www.example:", Some(80)), "www.example:80");
    }

    #[test]
    fn uris() {
        for (text, expected) in [
            ("http://www.example/", "www.example:80"),
            ("HTTP://www.example:8080/a?b", "www.example:8080"),
            ("https://www.example", "www.example:443"),
            ("ws://www.example?x", "www.example:80"),
            ("http://user:secret@10.0.0.1/", "10.0.0.1:80"),
            ("http://[2001:db8::1]:81/", "[2001:db8::1]:81"),
            ("gopher://www.example:70/", "www.example:70"),
            ("gopher://www.example/", "none"),
            ("http://a@b@www.example/", "none"),
            ("http://www.example\\@evil.example/", "none"),
            ("http:/www.example/", "none"),
            ("http:///", "none"),
            ("http://www.example#@evil.example/", "www.example:80"),
        ] {
            let found = uri(text.as_bytes()).map_or("none".to_owned(), |target| target.to_string());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn nowhere() {
        for text in ["127.0.0.1", "0", "224.0.0.1", "255.255.255.255", "0x7f000001", "localhost"] {
            assert!(Host::named(text.as_bytes()).unwrap().is_nowhere(), "{text}");
        }
        for (text, nowhere) in [("::1", true), ("::ffff:127.0.0.1", true), ("ff02::1", true), ("2001:db8::1", false)] {
            assert_eq!(Host::address(text.parse().unwrap()).is_nowhere(), nowhere, "{text}");
        }
    }
}
