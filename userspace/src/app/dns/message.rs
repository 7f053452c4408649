//! A message (RFC 1035 section 4), read as far as it goes: what is wrong in one section does not hide those before it.

use super::names::{A, AAAA, CNAME, MX, NS, NULL, OPT, PTR, SOA, SRV, SSHFP, TXT};
use crate::{
    app::events::Events,
    protocol::wire::{Bytes, must},
};

/// Bytes of names and texts that are kept of a message: pointers let a short one name much.
const KEPT_MAX: usize = 1 << 17;
/// Longest name that is kept.
const NAME_MAX: usize = 1025;
/// Labels and pointers of one name.
const LABELS_MAX: usize = 255;

/// A domain name: its labels as they were said, with dots between.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Name {
    pub text: Vec<u8>,
    /// More of it was said.
    pub truncated: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    pub name: Name,
    pub kind: u16,
    pub class: u16,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub name: Name,
    pub kind: u16,
    pub class: u16,
    pub ttl: u32,
    pub data: Data,
}

/// What a record says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// `A` and `AAAA`.
    Address(Vec<u8>),
    /// `CNAME`, `NS`, `PTR`, `MX`.
    Name(Name),
    /// `NULL`
    Bytes(Vec<u8>),
    Texts(Vec<Vec<u8>>),
    Authority {
        primary: Name,
        mailbox: Name,
        /// Serial, refresh, retry, expire, minimum.
        numbers: [u32; 5],
    },
    Service {
        priority: u16,
        weight: u16,
        port: u16,
        target: Name,
    },
    Fingerprint {
        algorithm: u8,
        kind: u8,
        bytes: Vec<u8>,
    },
    /// Code and value.
    Options(Vec<(u16, Vec<u8>)>),
    Other,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Message {
    pub id: u16,
    pub flags: u16,
    pub queries: Vec<Query>,
    pub answers: Vec<Answer>,
    pub authorities: Vec<Answer>,
    pub additionals: Vec<Answer>,
}

impl Message {
    pub const RESPONSE: u16 = 0x8000;
    const RESERVED: u16 = 0x0040;

    /// Reads one; what is not well formed is noted. `None`: not even its header is all there.
    pub fn read(bytes: &[u8], events: &mut Events) -> Option<Self> {
        let mut reader = Reader { whole: bytes, bytes: Bytes::new(bytes), kept: 0, events };
        let mut message = Self { id: reader.bytes.u16()?, flags: reader.bytes.u16()?, ..Self::default() };
        let [queries, answers, authorities, additionals] =
            [reader.bytes.u16()?, reader.bytes.u16()?, reader.bytes.u16()?, reader.bytes.u16()?];
        if message.flags & Self::RESERVED != 0 {
            reader.events.note("z_flag_set");
        }
        if message.opcode() >= 7 {
            reader.events.note("invalid_opcode");
        }
        if reader.queries(queries, &mut message.queries).is_none()
            || reader.answers(answers, &mut message.answers).is_none()
        {
            reader.events.note("malformed_data");
        } else if reader.answers(authorities, &mut message.authorities).is_none() {
            reader.events.note("invalid_authorities");
        } else if reader.answers(additionals, &mut message.additionals).is_none() {
            reader.events.note("invalid_additionals");
        }
        Some(message)
    }

    pub const fn is_response(&self) -> bool {
        self.flags & Self::RESPONSE != 0
    }

    pub const fn opcode(&self) -> u8 {
        (self.flags >> 11 & 15) as u8
    }

    /// Without what EDNS may add.
    pub const fn code(&self) -> u16 {
        self.flags & 15
    }

    /// All records, section by section.
    pub fn records(&self) -> impl Iterator<Item = &Answer> {
        self.answers.iter().chain(&self.authorities).chain(&self.additionals)
    }

    /// Bytes of memory that it takes, about.
    pub fn footprint(&self) -> usize {
        let queries: usize = self.queries.iter().map(|query| size_of::<Query>() + query.name.text.capacity()).sum();
        let records: usize =
            self.records().map(|one| size_of::<Answer>() + one.name.text.capacity() + one.data.footprint()).sum();
        queries + records
    }
}

impl Data {
    /// A name in it, of those types whose data is one.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Self::Name(name) | Self::Authority { primary: name, .. } => Some(name),
            _ => None,
        }
    }

    fn footprint(&self) -> usize {
        match self {
            Self::Address(bytes) | Self::Bytes(bytes) | Self::Fingerprint { bytes, .. } => bytes.capacity(),
            Self::Name(name) | Self::Service { target: name, .. } => name.text.capacity(),
            Self::Texts(texts) => texts.iter().map(|text| size_of::<Vec<u8>>() + text.capacity()).sum(),
            Self::Authority { primary, mailbox, .. } => primary.text.capacity() + mailbox.text.capacity(),
            Self::Options(all) => all.iter().map(|(_, value)| size_of::<(u16, Vec<u8>)>() + value.capacity()).sum(),
            Self::Other => 0,
        }
    }
}

struct Reader<'a, 'e> {
    whole: &'a [u8],
    bytes: Bytes<'a>,
    kept: usize,
    events: &'e mut Events,
}

impl<'a> Reader<'a, '_> {
    fn queries(&mut self, count: u16, into: &mut Vec<Query>) -> Option<()> {
        for _ in 0..count {
            let mut bytes = self.bytes;
            let name = self.name(&mut bytes)?;
            into.push(Query { name, kind: bytes.u16()?, class: bytes.u16()? });
            self.bytes = bytes;
        }
        Some(())
    }

    fn answers(&mut self, count: u16, into: &mut Vec<Answer>) -> Option<()> {
        for _ in 0..count {
            let mut bytes = self.bytes;
            let name = self.name(&mut bytes)?;
            let (kind, class, ttl) = (bytes.u16()?, bytes.u16()?, bytes.u32()?);
            let said = bytes.vector()?;
            self.bytes = bytes;
            let data = self.data(kind, said, name.text.len())?;
            into.push(Answer { name, kind, class, ttl, data });
        }
        Some(())
    }

    /// `owner`: length of the record's name, which every text is told with.
    fn data(&mut self, kind: u16, said: &'a [u8], owner: usize) -> Option<Data> {
        let mut bytes = Bytes::new(said);
        Some(match kind {
            A | AAAA => Data::Address(said.to_vec()),
            NULL => Data::Bytes(said.to_vec()),
            CNAME | NS | PTR => Data::Name(self.name(&mut bytes)?),
            MX => {
                let _preference = bytes.u16()?;
                Data::Name(self.name(&mut bytes)?)
            }
            TXT => {
                let mut texts = Vec::new();
                while let Some(text) = bytes.short_vector() {
                    if !self.keep(owner + text.len()) {
                        break;
                    }
                    texts.push(text.to_vec());
                }
                must(!texts.is_empty())?;
                Data::Texts(texts)
            }
            SOA => {
                let (primary, mailbox) = (self.name(&mut bytes)?, self.name(&mut bytes)?);
                let mut numbers = [0; 5];
                for number in &mut numbers {
                    *number = bytes.u32()?;
                }
                Data::Authority { primary, mailbox, numbers }
            }
            SRV => {
                let (priority, weight, port) = (bytes.u16()?, bytes.u16()?, bytes.u16()?);
                Data::Service { priority, weight, port, target: self.name(&mut bytes)? }
            }
            SSHFP => Data::Fingerprint { algorithm: bytes.u8()?, kind: bytes.u8()?, bytes: bytes.rest.to_vec() },
            OPT => {
                let mut options = Vec::new();
                while !bytes.is_empty() {
                    options.push((bytes.u16()?, bytes.vector()?.to_vec()));
                }
                Data::Options(options)
            }
            _ => Data::Other,
        })
    }

    /// Whether so many bytes more are kept.
    fn keep(&mut self, bytes: usize) -> bool {
        self.kept += bytes;
        self.kept <= KEPT_MAX
    }

    /// A name, with pointers followed. Where it ends is known with its first pointer, so that one that leads nowhere costs only
    /// the name.
    fn name(&mut self, bytes: &mut Bytes<'a>) -> Option<Name> {
        let mut name = Name::default();
        let mut at = *bytes;
        let mut followed = false;
        for labels in 0.. {
            if labels > LABELS_MAX {
                self.events.note("too_many_labels");
                name.truncated = true;
                must(followed)?;
                break;
            }
            // a name that is cut off by the end of the message ends there
            let Some(&size) = at.rest.first() else { break };
            match size >> 6 {
                0 => {
                    let label = at.short_vector()?;
                    if label.is_empty() {
                        break;
                    }
                    self.label(&mut name, label);
                }
                3 => {
                    let here = at.rest;
                    let to = usize::from(at.u16()? & 0x3fff);
                    if !followed {
                        *bytes = at;
                        followed = true;
                    }
                    at = Bytes::new(self.whole.get(to..)?);
                    if at.rest.len() == here.len() {
                        self.events.note("infinite_loop");
                        break;
                    }
                }
                _ => return None,
            }
        }
        if !followed {
            *bytes = at;
        }
        if name.truncated {
            self.events.note("name_too_long");
        }
        Some(name)
    }

    fn label(&mut self, name: &mut Name, label: &[u8]) {
        if name.truncated {
            return;
        }
        let dot = usize::from(!name.text.is_empty());
        let room = NAME_MAX.saturating_sub(name.text.len() + dot);
        if label.len() > room || !self.keep(dot + label.len()) {
            name.truncated = true;
            return;
        }
        name.text.extend_from_slice(&b"."[..dot]);
        name.text.extend_from_slice(label);
    }
}
