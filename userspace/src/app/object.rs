//! Objects of EVE events: their JSON text is written once, by whoever tells of something, and copied into every event that has it.

use std::{borrow::Cow, fmt, sync::Arc};

use dropgate_signatures::subject::Direction;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, value::RawValue};

/// Bytes that most objects have room in.
const USUAL: usize = 512;

/// An object in the making. Its fields stand in the order in which they are put, which by custom is that of their names.
#[derive(Debug)]
pub struct Object(Vec<u8>);

impl Default for Object {
    fn default() -> Self {
        let mut text = Vec::with_capacity(USUAL);
        text.push(b'{');
        Self(text)
    }
}

impl Object {
    /// One without fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing was put.
    pub const fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    /// Adds a field. `name` has nothing that must be escaped, and was not put before.
    pub fn put(&mut self, name: &str, value: impl Serialize) {
        let before = self.0.len();
        if !self.is_empty() {
            self.0.push(b',');
        }
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        // a vector takes everything, but a value may refuse: then there is no such field
        if serde_json::to_writer(&mut self.0, &value).is_err() {
            self.0.truncate(before);
        }
    }

    /// The same, if there is a value.
    pub fn put_some(&mut self, name: &str, value: Option<impl Serialize>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// It is all there is to tell.
    pub fn told(mut self) -> Told {
        self.0.push(b'}');
        Told::written(self.0)
    }

    /// The same, as a record of the client's words.
    pub fn record(self, event_type: &'static str) -> Record {
        Record { event_type, by: Direction::ToServer, object: self.told() }
    }
}

/// What an object of an event says, as JSON text.
#[derive(Clone)]
pub struct Told(Arc<RawValue>);

impl Told {
    /// What `serde_json` writes of an object.
    pub fn of(object: &Map<String, Value>) -> Self {
        Self::written(serde_json::to_vec(object).unwrap_or_else(|_| b"{}".to_vec()))
    }

    /// Several in a list.
    pub fn list(all: &[Self]) -> Self {
        let length = all.iter().map(|one| one.text().len() + 1).sum::<usize>() + 1;
        let mut text = Vec::with_capacity(length);
        for (at, one) in all.iter().enumerate() {
            text.push(if at == 0 { b'[' } else { b',' });
            text.extend_from_slice(one.text().as_bytes());
        }
        text.extend_from_slice(if all.is_empty() { b"[]" } else { b"]" });
        Self::written(text)
    }

    /// One JSON value without spaces around it, of this module's making.
    fn written(text: Vec<u8>) -> Self {
        let text = String::from_utf8(text).unwrap_or_else(|_| "{}".to_owned());
        // SAFETY: what `serde_json` has written, with the marks of objects and lists between, is one well-formed value.
        Self(unsafe { RawValue::from_string_unchecked(text) }.into())
    }

    /// The text.
    pub fn text(&self) -> &str {
        self.0.get()
    }
}

impl Serialize for Told {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}

/// An object of an EVE event.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// `http`, `dns`, `tls`, `fileinfo`, ...
    pub event_type: &'static str,
    /// Whose words it is about.
    pub by: Direction,
    pub object: Told,
}

impl Record {
    /// Of the client's words.
    pub fn of(event_type: &'static str, object: &Map<String, Value>) -> Self {
        Self { event_type, by: Direction::ToServer, object: Told::of(object) }
    }

    /// The same, of words that went that way.
    #[must_use]
    pub fn by(self, by: Direction) -> Self {
        Self { by, ..self }
    }

    /// To look into it.
    #[cfg(test)]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.object.text()).unwrap()
    }
}

/// Bytes as EVE shows them: UTF-8 as it is; anything else byte by byte, those that are not printable as `\\x` and two digits.
pub fn text(bytes: &[u8]) -> Cow<'_, str> {
    use std::fmt::Write as _;

    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.into();
    }
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b' '..=b'~' | b'\r' | b'\n' | b'\t' => text.push(char::from(byte)),
            // writing to a string cannot fail
            _ => _ = write!(text, "\\x{byte:02x}"),
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_written_as_they_are_put() {
        let mut object = Object::new();
        assert!(object.is_empty());
        object.put("b", text(b"\"\x01\xc3\xa4"));
        object.put_some("none", None::<u8>);
        object.put("a", json!([{"c": 1}]));
        let record = object.record("http");
        assert_eq!(record.object.text(), r#"{"b":"\"\u0001ä","a":[{"c":1}]}"#);
        assert_eq!(record.json(), json!({"b": "\"\u{1}ä", "a": [{"c": 1}]}));
        assert_eq!(Object::new().told().text(), "{}");
    }

    #[test]
    fn a_value_that_refuses_leaves_no_trace() {
        let mut object = Object::new();
        object.put("a", 1);
        // keys of JSON are text
        object.put("b", std::collections::HashMap::from([([1_u8], 2)]));
        object.put("c", 3);
        assert_eq!(object.told().text(), r#"{"a":1,"c":3}"#);
    }

    #[test]
    fn lists() {
        let one = Told::of(json!({"a": 1}).as_object().unwrap());
        assert_eq!(Told::list(&[]).text(), "[]");
        assert_eq!(Told::list(&[one.clone(), one.clone()]).text(), r#"[{"a":1},{"a":1}]"#);
        assert_eq!(serde_json::to_string(&[&one]).unwrap(), r#"[{"a":1}]"#);
        assert_eq!(serde_json::to_value(&one).unwrap(), json!({"a": 1}));
    }

    #[test]
    fn bytes_that_are_no_text() {
        assert_eq!(text(b"a\xc3\xa4"), "aä");
        assert_eq!(text(b"a\xff\0\n"), "a\\xff\\x00\n");
    }
}
