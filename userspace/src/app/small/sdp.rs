//! SDP (RFC 4566 section 5): the description of a session, and of its media.

use dropgate_signatures::buffer::Buffer;
use serde_json::{Map, Value, json};

use crate::app::{facts::Facts, text};

/// Lines that are read.
const LINES_MAX: usize = 1024;

/// Reads a description into the buffers, and tells what it is.
pub fn read(said: &[u8], facts: &mut Facts) -> Map<String, Value> {
    let mut session = Map::new();
    let mut media: Vec<Map<String, Value>> = Vec::new();
    for line in said.split(|&byte| byte == b'\n').take(LINES_MAX) {
        let [kind, b'=', value @ ..] = line.strip_suffix(b"\r").unwrap_or(line) else { continue };
        if *kind == b'm' {
            media.push(Map::new());
        }
        let of_media = !media.is_empty();
        let Some((name, list, buffer)) = field(*kind, of_media) else { continue };
        if let Some(buffer) = buffer {
            facts.buffer(buffer, value);
        }
        let object = media.last_mut().unwrap_or(&mut session);
        match (kind, list) {
            (b't', _) => push(object, name, json!({"time": text(value)})),
            (b'r', _) => {
                let times = object.get_mut("time_descriptions").and_then(Value::as_array_mut);
                if let Some(last) = times.and_then(|times| times.last_mut()?.as_object_mut()) {
                    last.insert("repeat_time".to_owned(), text(value).into());
                }
            }
            (_, true) => push(object, name, text(value).into()),
            (_, false) => _ = object.insert(name.to_owned(), text(value).into()),
        }
    }
    if !media.is_empty() {
        session.insert("media_descriptions".to_owned(), json!(media));
    }
    session
}

fn push(object: &mut Map<String, Value>, name: &str, value: Value) {
    let list = object.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = list {
        list.push(value);
    }
}

/// What a line is called, whether there may be several, and the buffer that has it.
fn field(kind: u8, of_media: bool) -> Option<(&'static str, bool, Option<Buffer>)> {
    use Buffer::*;
    Some(match (kind, of_media) {
        (b'o', false) => ("origin", false, Some(SdpOrigin)),
        (b's', false) => ("session_name", false, Some(SdpSessionName)),
        (b'i', false) => ("session_info", false, Some(SdpSessionInfo)),
        (b'u', false) => ("uri", false, Some(SdpUri)),
        (b'e', false) => ("email", false, Some(SdpEmail)),
        (b'p', false) => ("phone_number", false, Some(SdpPhoneNumber)),
        (b'c', false) => ("connection_data", false, Some(SdpConnectionData)),
        (b'b', false) => ("bandwidths", true, Some(SdpBandwidth)),
        (b't', false) => ("time_descriptions", true, Some(SdpTime)),
        (b'r', false) => ("repeat_time", false, Some(SdpRepeatTime)),
        (b'z', false) => ("timezone", false, Some(SdpTimezone)),
        (b'k', false) => ("encryption_key", false, Some(SdpEncryptionKey)),
        (b'a', false) => ("attributes", true, Some(SdpAttribute)),
        (b'm', true) => ("media", false, Some(SdpMedia)),
        (b'i', true) => ("media_info", false, Some(SdpMediaInfo)),
        (b'c', true) => ("connection_data", false, Some(SdpMediaConnectionData)),
        (b'b', true) => ("bandwidths", true, None),
        (b'k', true) => ("encryption_key", false, Some(SdpMediaEncryptionKey)),
        (b'a', true) => ("attributes", true, None),
        _ => return None,
    })
}
