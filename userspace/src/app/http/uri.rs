//! Targets of requests, taken apart and normalised as libhtp does it with the settings that Suricata gives it: percent escapes
//! and `%u` decoded once, backslashes made slashes, several slashes one, dot segments removed (RFC 3986 section 5.2.4), UTF-8 in
//! paths made one byte a character; escapes that are none stay as they are, and so does the case of letters.

/// A target, in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uri {
    /// Lower case, without a dot at its end.
    pub host: Option<Vec<u8>>,
    /// As it was said.
    pub host_raw: Option<Vec<u8>>,
    pub port: Option<Vec<u8>>,
    /// Normalised.
    pub path: Option<Vec<u8>>,
    /// Path, query and fragment, normalised.
    pub normal: Option<Vec<u8>>,
}

impl Uri {
    /// The target of a request, but of CONNECT.
    pub fn read(target: &[u8]) -> Self {
        let mut uri = Self::default();
        let mut rest = target;
        if !target.starts_with(b"/")
            && let Some(colon) = position(target, b":")
        {
            rest = uri.authority(&target[colon + 1..]);
        }
        let path_end = position(rest, b"?#").unwrap_or(rest.len());
        let (path, rest) = rest.split_at(path_end);
        let (query, fragment) = match rest.first() {
            Some(b'?') => {
                let end = position(rest, b"#").unwrap_or(rest.len());
                (Some(&rest[1..end]), rest.get(end + 1..))
            }
            Some(_) => (None, Some(&rest[1..])),
            None => (None, None),
        };
        uri.path = (!path.is_empty()).then(|| without_dots(&one_byte(decode(path, Part::Path))));
        let mut normal = uri.path.clone().unwrap_or_default();
        for (mark, part) in [(b'?', query), (b'#', fragment)] {
            if let Some(part) = part {
                normal.push(mark);
                normal.extend_from_slice(&decode(part, Part::Other));
            }
        }
        uri.normal = (!normal.is_empty()).then_some(normal);
        uri
    }

    /// The target of CONNECT.
    pub fn connect(target: &[u8]) -> Self {
        let (host, port) = host_and_port(target);
        let host = Some(host).filter(|host| !host.is_empty() && !host.starts_with(b"/"));
        Self {
            host: host.map(<[u8]>::to_ascii_lowercase),
            host_raw: host.map(<[u8]>::to_vec),
            port: port.map(<[u8]>::to_vec),
            ..Self::default()
        }
    }

    /// What stands behind a scheme; gives what follows the host and port.
    fn authority<'a>(&mut self, target: &'a [u8]) -> &'a [u8] {
        let Some(rest) = target.strip_prefix(b"//") else { return target };
        if rest.starts_with(b"/") {
            return target;
        }
        let end = position(rest, b"/?#").unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let user = authority.iter().position(|byte| *byte == b'@').map_or(0, |at| at + 1);
        let (host, port) = host_and_port(&authority[user..]);
        if !host.is_empty() {
            let mut lower = decode(host, Part::Other).to_ascii_lowercase();
            while lower.last() == Some(&b'.') {
                lower.pop();
            }
            self.host = Some(lower);
            self.host_raw = Some(host.to_vec());
        }
        self.port = port.map(<[u8]>::to_vec);
        rest
    }

    /// Whether there is a port that is none.
    pub fn is_bad_port(&self) -> bool {
        self.port.as_deref().is_some_and(|digits| port(digits).is_none())
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        [&self.host, &self.host_raw, &self.port, &self.path, &self.normal]
            .into_iter()
            .flatten()
            .map(Vec::capacity)
            .sum()
    }
}

/// A port that exists.
pub fn port(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|port| *port != 0)
}

/// The parts of `host:port`, white space around them removed; of IPv6 addresses the brackets belong to the host.
pub fn host_and_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let authority = super::header::trim(authority);
    let start = match authority.first() {
        Some(b'[') => position(authority, b"]").unwrap_or(0),
        _ => 0,
    };
    match position(&authority[start..], b":") {
        Some(colon) => {
            let (host, port) = authority.split_at(start + colon);
            let port = super::header::trim(&port[1..]);
            (super::header::trim(host), (!port.is_empty()).then_some(port))
        }
        None => (authority, None),
    }
}

/// Whether a host's name could be one.
pub fn is_host(host: &[u8]) -> bool {
    if host.is_empty() || host.len() > 255 {
        return false;
    }
    if let Some(address) = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]")) {
        return std::str::from_utf8(address).is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let label = |label: &[u8]| {
        label.len() <= 63 && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    let host = host.strip_suffix(b".").unwrap_or(host);
    !host.starts_with(b".") && host.split(|byte| *byte == b'.').all(|part| !part.is_empty() && label(part))
}

fn position(bytes: &[u8], any: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| any.contains(byte))
}

/// Which part of a target is decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Slashes are made one, too.
    Path,
    Other,
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
}

/// What an escape that these bytes begin with stands for, and its length.
fn escape(bytes: &[u8]) -> Option<(u8, usize)> {
    match bytes {
        [b'%', b'u' | b'U', digits @ ..] => {
            let code = hex(digits.get(..4)?)?;
            Some((best_fit(code), 6))
        }
        [b'%', digits @ ..] => Some((hex(digits.get(..2)?)? as u8, 3)),
        _ => None,
    }
}

/// The byte that servers with a one-byte character set read for a character.
const fn best_fit(code: u32) -> u8 {
    match code {
        0..=0xff => code as u8,
        // the full-width forms of ASCII
        0xff01..=0xff5e => (code - 0xfee0) as u8,
        _ => b'?',
    }
}

fn decode(bytes: &[u8], part: Part) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        let (mut byte, length) = escape(rest).unwrap_or((*first, 1));
        rest = &rest[length..];
        if part == Part::Path {
            if byte == b'\\' {
                byte = b'/';
            }
            if byte == b'/' && decoded.last() == Some(&b'/') {
                continue;
            }
        }
        decoded.push(byte);
    }
    decoded
}

/// UTF-8 as bytes of such a character set; what is none is `?`.
fn one_byte(path: Vec<u8>) -> Vec<u8> {
    if path.is_ascii() {
        return path;
    }
    let mut bytes = Vec::with_capacity(path.len());
    for chunk in path.utf8_chunks() {
        bytes.extend(chunk.valid().chars().map(|letter| best_fit(letter.into())));
        if !chunk.invalid().is_empty() {
            bytes.push(b'?');
        }
    }
    bytes
}

/// Removes `.` and `..` segments (RFC 3986 section 5.2.4).
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    let mut segments = path.split(|byte| *byte == b'/').peekable();
    let mut first = true;
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let kept = match segment {
            b"." => None,
            b".." => {
                out.truncate(out.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                None
            }
            segment => Some(segment),
        };
        match kept {
            Some(segment) => {
                if !first && (!out.is_empty() || path.starts_with(b"/")) {
                    out.push(b'/');
                }
                out.extend_from_slice(segment);
            }
            // a path that ends with a dot segment names a folder
            None if last && !first => out.push(b'/'),
            None => {}
        }
        first = false;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_normalised() {
        let cases: &[(&str, &str)] = &[
            ("/", "/"),
            ("/index.html", "/index.html"),
            ("/a%20b", "/a b"),
            ("/%41%2f%2E%2e/c", "/c"),
            ("/A%2fB", "/A/B"),
            ("/a//b///c", "/a/b/c"),
            ("/a\\b%5cc", "/a/b/c"),
            ("/a/./b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/a/b/../../../../c", "/c"),
            ("../a", "a"),
            ("/a...b/...", "/a...b/..."),
            ("/%u0041%u00e4", "/A?"),
            ("/%c3%a4%E4%BD%A0%ff", "/\u{e4}??"),
            ("/a?%e4", "/a?\u{e4}"),
            ("/%uff0e%uff0e/x", "/x"),
            ("/100%", "/100%"),
            ("/%zz%4", "/%zz%4"),
            ("/%u12", "/%u12"),
            ("/%2541", "/%41"),
            ("/a+b?c+d", "/a+b?c+d"),
            ("/a?b=%63//d/../\\e", "/a?b=c//d/../\\e"),
            ("/a?b?c#d%65", "/a?b?c#de"),
            ("/a#b?c", "/a#b?c"),
            ("?x", "?x"),
            ("*", "*"),
            ("index.html", "index.html"),
            ("http://www.example.com/a/../b", "/b"),
            ("http://www.example.com?x", "?x"),
            ("http:///a", "/a"),
        ];
        for (target, normal) in cases {
            // what is not ASCII is one byte here
            let expected: Vec<u8> = normal.chars().map(|letter| letter as u8).collect();
            assert_eq!(Uri::read(target.as_bytes()).normal, Some(expected), "{target}");
        }
        assert_eq!(Uri::read(b"http://example.com").normal, None);
    }

    #[test]
    fn hosts_are_found() {
        let host = |target: &str| {
            let uri = Uri::read(target.as_bytes());
            let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
            (text(uri.host), text(uri.port))
        };
        let found = |host: &str, port: Option<&str>| (Some(host.to_owned()), port.map(str::to_owned));
        assert_eq!(host("http://www.Example.com./"), found("www.example.com", None));
        assert_eq!(host("http://u:p@www.example.com:8080/x"), found("www.example.com", Some("8080")));
        assert_eq!(host("http://[::1]:80?x"), found("[::1]", Some("80")));
        assert_eq!(host("/http://x/"), (None, None));
        let connect = Uri::connect(b"Example.com:443");
        assert_eq!((connect.host.as_deref(), connect.port.as_deref()), (Some(&b"example.com"[..]), Some(&b"443"[..])));
        assert!(Uri::connect(b"x:70000").is_bad_port());
    }

    #[test]
    fn names_of_hosts() {
        for host in ["example.com", "a_b.c-d", "10.0.0.1", "[::1]", "localhost", "example.com."] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in ["", "..", "a..b", ".a", "a b", "[x]", "a/b"] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        assert!(!is_host(&[b'a'; 64]));
    }
}
