//! First lines: of requests (RFC 9112 section 3) and of responses (section 4).

use super::header::{is_space, trim};

/// Versions as far as they matter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Version {
    #[default]
    Unknown,
    V09,
    V10,
    V11,
}

impl Version {
    /// `HTTP/1.1`, with white space around its parts and zeros before the number allowed.
    pub fn read(protocol: &[u8]) -> Self {
        let number = || {
            let rest = trim(protocol).split_at_checked(4).filter(|(name, _)| name.eq_ignore_ascii_case(b"http"))?.1;
            let rest = trim(trim(rest).strip_prefix(b"/")?);
            let zeros = rest.iter().take_while(|byte| **byte == b'0' || is_space(**byte)).count();
            Some(&rest[zeros..])
        };
        match number() {
            Some(b".9") => Self::V09,
            Some(b"1.0") => Self::V10,
            Some(b"1.1") => Self::V11,
            _ => Self::Unknown,
        }
    }
}

/// The first line of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestLine {
    pub line: Vec<u8>,
    pub method: Vec<u8>,
    pub target: Option<Vec<u8>>,
    /// `None`: HTTP/0.9, or what looks like it.
    pub protocol: Option<Vec<u8>>,
    pub version: Version,
    pub events: Vec<&'static str>,
}

/// What libhtp knows as methods.
pub fn is_method(method: &[u8]) -> bool {
    const METHODS: &[&str] = &[
        "GET",
        "PUT",
        "POST",
        "DELETE",
        "CONNECT",
        "OPTIONS",
        "TRACE",
        "PATCH",
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "VERSION-CONTROL",
        "CHECKOUT",
        "UNCHECKOUT",
        "CHECKIN",
        "UPDATE",
        "LABEL",
        "REPORT",
        "MKWORKSPACE",
        "MKACTIVITY",
        "BASELINE-CONTROL",
        "MERGE",
        "INVALID",
        "HEAD",
    ];
    METHODS.iter().any(|known| known.as_bytes() == method)
}

impl RequestLine {
    /// A line without its end.
    pub fn read(line: &[u8]) -> Self {
        let mut read = Self { line: line.to_vec(), version: Version::V09, ..Self::default() };
        let start = line.iter().position(|byte| !is_space(*byte)).unwrap_or(line.len());
        if start > 0 {
            read.events.push("request_line_leading_whitespace");
        }
        let (method, rest) = split(&line[start..], is_space);
        read.method = method.to_vec();
        let gap = rest.iter().take_while(|byte| is_space(**byte)).count();
        if rest[..gap].iter().any(|byte| *byte != b' ') {
            read.events.push("method_delim_non_compliant");
        }
        let rest = trim(rest);
        if rest.is_empty() {
            return read;
        }
        // targets may hold blanks: what stands behind the last one is the protocol
        let (mut target, mut protocol) = rsplit(rest, |byte| byte == b' ');
        if target.iter().any(|byte| is_space(*byte) && *byte != b' ') {
            read.events.push("uri_delim_non_compliant");
            if protocol.is_empty() {
                (target, protocol) = rsplit(rest, is_space);
            }
        }
        read.target = Some(target.to_vec());
        if !protocol.is_empty() {
            read.version = Version::read(protocol);
            read.protocol = Some(protocol.to_vec());
        }
        if !is_method(&read.method) && read.version == Version::Unknown {
            read.events.push("request_line_invalid");
        }
        read
    }
}

/// The first line of a response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseLine {
    pub line: Vec<u8>,
    pub protocol: Option<Vec<u8>>,
    pub version: Version,
    pub status: Option<Vec<u8>>,
    /// 0: it is no number of three digits.
    pub code: u16,
    pub message: Option<Vec<u8>>,
    pub events: Vec<&'static str>,
}

impl ResponseLine {
    /// A line without its end.
    pub fn read(line: &[u8]) -> Self {
        let mut read = Self { line: line.to_vec(), ..Self::default() };
        let start = line.iter().position(|byte| !is_space(*byte) && *byte != 0).unwrap_or(line.len());
        let (protocol, rest) = split(&line[start..], is_space);
        read.protocol = (!protocol.is_empty()).then(|| protocol.to_vec());
        read.version = Version::read(protocol);
        let (status, rest) = split(trim(rest), is_space);
        if !status.is_empty() {
            read.status = Some(status.to_vec());
            let number = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
            read.code = number.filter(|number| (100..=999).contains(number)).unwrap_or(0);
        }
        // white space alone is a message of nothing
        if !rest.is_empty() {
            read.message = Some(trim(rest).to_vec());
        }
        if read.version == Version::Unknown {
            read.events.push("response_invalid_protocol");
        }
        if read.code == 0 {
            read.events.push("response_invalid_status");
        }
        read
    }
}

/// Whether a line of a server may begin a response; browsers ask for no more than this.
pub fn is_response(line: &[u8]) -> bool {
    let start = line.iter().position(|byte| !is_space(*byte) && *byte != 0).unwrap_or(line.len());
    line[start..].get(..4).is_some_and(|name| name.eq_ignore_ascii_case(b"http"))
}

fn split(bytes: &[u8], at: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|byte| at(*byte)).unwrap_or(bytes.len()))
}

fn rsplit(bytes: &[u8], at: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    match bytes.iter().rposition(|byte| at(*byte)) {
        Some(last) => (trim(&bytes[..last]), trim(&bytes[last..])),
        None => (bytes, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &str) -> (String, Option<String>, Option<String>, Vec<&'static str>) {
        let read = RequestLine::read(line.as_bytes());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(read.method), read.target.map(text), read.protocol.map(text), read.events)
    }

    #[test]
    fn lines_of_requests() {
        type Case<'a> = (&'a str, &'a str, Option<&'a str>, Option<&'a str>, &'a [&'static str]);
        let cases: &[Case<'_>] = &[
            ("GET / HTTP/1.1", "GET", Some("/"), Some("HTTP/1.1"), &[]),
            ("GET /a b c HTTP/1.1", "GET", Some("/a b c"), Some("HTTP/1.1"), &[]),
            ("GET /a", "GET", Some("/a"), None, &[]),
            ("GET", "GET", None, None, &[]),
            (" GET /a HTTP/1.0", "GET", Some("/a"), Some("HTTP/1.0"), &["request_line_leading_whitespace"]),
            ("GET\t/a HTTP/1.0", "GET", Some("/a"), Some("HTTP/1.0"), &["method_delim_non_compliant"]),
            ("GET /a\tHTTP/1.0", "GET", Some("/a"), Some("HTTP/1.0"), &["uri_delim_non_compliant"]),
            ("GET   /a   HTTP/1.0 ", "GET", Some("/a"), Some("HTTP/1.0"), &[]),
            ("FOO /a BAR", "FOO", Some("/a"), Some("BAR"), &["request_line_invalid"]),
        ];
        for (line, method, target, protocol, events) in cases {
            let expected =
                ((*method).to_owned(), target.map(str::to_owned), protocol.map(str::to_owned), events.to_vec());
            assert_eq!(request(line), expected, "{line:?}");
        }
    }

    #[test]
    fn lines_of_responses() {
        let read = |line: &str| {
            let read = ResponseLine::read(line.as_bytes());
            let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
            (text(read.status), read.code, text(read.message), read.version)
        };
        let found = |status: &str, code, message: Option<&str>, version| {
            (Some(status.to_owned()), code, message.map(str::to_owned), version)
        };
        assert_eq!(read("HTTP/1.1 200 OK"), found("200", 200, Some("OK"), Version::V11));
        assert_eq!(read("HTTP/1.0 404 Not  Found"), found("404", 404, Some("Not  Found"), Version::V10));
        assert_eq!(read("HTTP/1.1 200"), found("200", 200, None, Version::V11));
        assert_eq!(read("HTTP/1.1 20x no"), found("20x", 0, Some("no"), Version::V11));
        assert_eq!(read("http / 01.1 200 OK").3, Version::Unknown);
        assert_eq!(read("HTTP/1.1"), (None, 0, None, Version::V11));
        assert!(is_response(b" \0hTTpx") && !is_response(b"SIP/2.0 200 OK") && !is_response(b"htt"));
    }
}
