//! EVE's `http` object.

use std::borrow::Cow;

use serde::Serialize;

use super::pair::Pair;
use crate::app::{Object, Record, text};

/// What is told of a request and its response.
pub fn http(pair: &Pair) -> Record {
    let (request, response) = (&pair.request.headers, &pair.response.headers);
    let (line, status) = (&pair.request_line, &pair.response_line);
    let kind = response.get("content-type").map(|value| value.split(|byte| *byte == b';').next().unwrap_or_default());
    let mut object = Object::new();
    object.put_some("content_range", response.get("content-range").map(content_range));
    object.put_some("hostname", pair.host.as_deref().map(text));
    object.put_some("http_content_type", kind.map(text));
    if !line.method.is_empty() {
        object.put("http_method", text(&line.method));
    }
    object.put_some("http_port", pair.port);
    object.put_some("http_refer", request.get("referer").map(text));
    object.put_some("http_user_agent", request.get("user-agent").map(text));
    object.put("length", pair.response.length);
    object.put_some("protocol", line.protocol.as_deref().map(text));
    object.put_some("redirect", response.get("location").map(text));
    if status.code > 0 {
        object.put("status", status.code);
    } else {
        object.put_some("status_string", status.status.as_deref().map(text));
    }
    object.put_some("url", line.target.as_deref().map(text));
    object.put_some("xff", request.get("x-forwarded-for").map(text));
    object.record("http")
}

/// `Content-Range` (RFC 9110 section 14.4).
pub fn content_range(value: &[u8]) -> impl Serialize {
    let Range { start, end, size } = range(value).unwrap_or_default();
    ContentRange { end, raw: text(value), size, start }
}

#[derive(Serialize)]
struct ContentRange<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<u64>,
    raw: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<u64>,
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
