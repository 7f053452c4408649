//! The transaction of a connection: what it opens with.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{Direction, Field, Transaction},
};
use md5::{Digest, Md5};
use serde_json::json;

use super::reader::Said;
use crate::{
    app::{Exchange, Object, Record, digits::hex, events::Events, text},
    protocol::wire::Bytes,
};

/// What one side says.
#[derive(Debug, Default)]
struct Side {
    /// Protocol and software version.
    banner: Option<(Vec<u8>, Vec<u8>)>,
    /// What HASSH is made of, and its MD5.
    hassh: Option<(String, String)>,
    closed: bool,
    revision: u32,
}

/// The opening of a connection.
#[derive(Debug, Default)]
pub struct Opening {
    sides: [Side; 2],
    events: Events,
}

impl Opening {
    /// Nothing more is said by this direction.
    pub fn close(&mut self, direction: Direction) {
        let side = &mut self.sides[direction as usize];
        if !side.closed {
            side.closed = true;
            side.revision += 1;
        }
    }

    /// Takes in what was said.
    pub fn hear(&mut self, direction: Direction, said: Said<'_>) {
        let side = &mut self.sides[direction as usize];
        side.revision += 1;
        match said {
            Said::Banner(line) => {
                side.banner = banner(line);
                if side.banner.is_none() {
                    self.events.note("invalid_banner");
                }
            }
            Said::Proposals(message) if side.hassh.is_none() => match hassh(direction, message) {
                Some(text) => {
                    let hash = hex(&Md5::digest(&text));
                    side.hassh = Some((text, hash));
                }
                None => _ = self.events.note("invalid_record"),
            },
            Said::Proposals(_) => {}
            Said::Wrong(event) => _ = self.events.note(event),
            Said::Over => self.close(direction),
        }
    }

    pub fn footprint(&self) -> usize {
        let side = |side: &Side| {
            let banner = side.banner.as_ref().map_or(0, |(version, software)| version.capacity() + software.capacity());
            banner + side.hassh.as_ref().map_or(0, |(text, hash)| text.capacity() + hash.capacity())
        };
        self.sides.iter().map(side).sum()
    }
}

/// `SSH-protocol-software comments`
fn banner(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let rest = line.strip_prefix(b"SSH-")?;
    let dash = rest.iter().position(|&byte| byte == b'-')?;
    let software = rest[dash + 1..].split(|&byte| byte == b' ' || byte == b'\r').next().unwrap_or_default();
    (dash > 0).then(|| (rest[..dash].to_vec(), software.to_vec()))
}

/// The algorithms for key exchange, and those for encryption, integrity and compression that a side wants to send with.
fn hassh(direction: Direction, message: &[u8]) -> Option<String> {
    let mut bytes = Bytes::new(message);
    let _cookie = bytes.take(16)?;
    let mut lists = [&[][..]; 8];
    for list in &mut lists {
        let length = usize::try_from(bytes.u32()?).ok()?;
        *list = bytes.take(length)?;
    }
    let [exchange, _host_key, encrypt_up, encrypt_down, mac_up, mac_down, pack_up, pack_down] = lists;
    let lists = match direction {
        Direction::ToServer => [exchange, encrypt_up, mac_up, pack_up],
        Direction::ToClient => [exchange, encrypt_down, mac_down, pack_down],
    };
    Some(lists.map(String::from_utf8_lossy).join(";"))
}

impl Transaction for Opening {
    fn id(&self) -> u64 {
        0
    }

    fn app(&self) -> App {
        App::Ssh
    }

    fn revision(&self, direction: Direction) -> u32 {
        self.sides[direction as usize].revision
    }

    fn is_complete(&self, direction: Direction) -> bool {
        self.sides[direction as usize].closed
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        let side = &self.sides[direction as usize];
        let banner = side.banner.as_ref();
        let hassh = side.hassh.as_ref().map(|(text, hash)| (text.as_bytes(), hash.as_bytes()));
        let field = match (buffer, direction) {
            (Buffer::SshProto, _) => banner.map(|(version, _)| &version[..]),
            (Buffer::SshSoftware, _) => banner.map(|(_, software)| &software[..]),
            (Buffer::SshHassh, Direction::ToServer) | (Buffer::SshHasshServer, Direction::ToClient) => {
                hassh.map(|(_, hash)| hash)
            }
            (Buffer::SshHasshString, Direction::ToServer) | (Buffer::SshHasshServerString, Direction::ToClient) => {
                hassh.map(|(text, _)| text)
            }
            _ => return Field::Absent,
        };
        match field {
            _ if instance > 0 => Field::Absent,
            None if !side.closed => Field::Pending,
            field => Field::optional(field),
        }
    }

    fn test(&self, keyword: &str, argument: &str, direction: Direction) -> Option<bool> {
        let side = &self.sides[direction as usize];
        let Some((version, software)) = &side.banner else { return side.closed.then_some(false) };
        let argument = argument.trim_matches('"').as_bytes();
        Some(match keyword {
            // servers that say 1.99 speak version 2 as well (RFC 4253 section 5.1)
            "ssh.protoversion" if argument == b"2_compat" => version == b"2.0" || version == b"2" || version == b"1.99",
            "ssh.protoversion" => version == argument,
            "ssh.softwareversion" => {
                argument.is_empty() || software.windows(argument.len()).any(|part| part == argument)
            }
            _ => false,
        })
    }

    fn events(&self) -> &[&'static str] {
        self.events.names()
    }
}

impl Exchange for Opening {
    fn records(&self) -> Vec<Record> {
        let mut object = Object::new();
        for (name, side) in ["client", "server"].into_iter().zip(&self.sides) {
            let mut said = Object::new();
            let hassh = side.hassh.as_ref();
            said.put_some("hassh", hassh.map(|(text, hash)| json!({"hash": hash, "string": text})));
            if let Some((version, software)) = &side.banner {
                said.put("proto_version", text(version));
                said.put("software_version", text(software));
            }
            if !said.is_empty() {
                object.put(name, said.told());
            }
        }
        if object.is_empty() { Vec::new() } else { vec![object.record("ssh")] }
    }
}
