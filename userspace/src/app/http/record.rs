//! EVE's `http` object.

use serde_json::{Map, Value};

use super::pair::Pair;
use crate::app::{Record, text};

/// What is told of a request and its response.
pub fn http(pair: &Pair) -> Record {
    let mut object = Map::new();
    let mut put = |key: &str, bytes: Option<&[u8]>| {
        if let Some(bytes) = bytes {
            object.insert(key.to_owned(), text(bytes));
        }
    };
    let (request, response) = (&pair.request.headers, &pair.response.headers);
    put("hostname", pair.host.as_deref());
    put("url", pair.request_line.target.as_deref());
    put("http_user_agent", request.get("user-agent"));
    put("xff", request.get("x-forwarded-for"));
    let kind = response.get("content-type").map(|value| value.split(|byte| *byte == b';').next().unwrap_or_default());
    put("http_content_type", kind);
    put("http_refer", request.get("referer"));
    put("http_method", Some(&pair.request_line.method[..]).filter(|method| !method.is_empty()));
    put("protocol", pair.request_line.protocol.as_deref());
    if pair.response_line.code == 0 {
        put("status_string", pair.response_line.status.as_deref());
    }
    put("redirect", response.get("location"));
    if let Some(port) = pair.port {
        object.insert("http_port".to_owned(), port.into());
    }
    if let Some(range) = response.get("content-range") {
        object.insert("content_range".to_owned(), content_range(range));
    }
    if pair.response_line.code > 0 {
        object.insert("status".to_owned(), pair.response_line.code.into());
    }
    object.insert("length".to_owned(), pair.response.length.into());
    Record { event_type: "http", object }
}

/// `Content-Range` (RFC 9110 section 14.4).
pub fn content_range(value: &[u8]) -> Value {
    let mut object = Map::new();
    object.insert("raw".to_owned(), text(value));
    let range = range(value).unwrap_or_default();
    for (key, number) in [("start", range.start), ("end", range.end), ("size", range.size)] {
        if let Some(number) = number {
            object.insert(key.to_owned(), number.into());
        }
    }
    object.into()
}

/// First and last byte of a part whose place in the whole is told.
pub fn part(value: &[u8]) -> Option<(u64, u64)> {
    let Range { start, end, size } = range(value)?;
    let (first, last) = start.zip(end)?;
    (first <= last && size.is_some_and(|size| last < size)).then_some((first, last))
}

/// First and last byte, and the size, as far as they are told.
#[derive(Default)]
struct Range {
    start: Option<u64>,
    end: Option<u64>,
    size: Option<u64>,
}

fn range(value: &[u8]) -> Option<Range> {
    let value = std::str::from_utf8(value).ok()?.trim().strip_prefix("bytes")?.trim();
    let (range, size) = value.split_once('/')?;
    let size = if size == "*" { None } else { Some(size.parse().ok()?) };
    if range == "*" {
        return Some(Range { size, ..Range::default() });
    }
    let (start, end) = range.split_once('-')?;
    Some(Range { start: Some(start.parse().ok()?), end: Some(end.parse().ok()?), size })
}
