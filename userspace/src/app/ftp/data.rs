//! A data connection: one file.

use dropgate_signatures::{
    buffer::Buffer,
    protocol::App,
    subject::{self, Direction, Field, File, Transaction},
};

use super::Transfer;
use crate::app::{Exchange, Limits, Object, Parser, Record, files::Tracked, text};

/// What is transferred over one connection.
#[derive(Debug)]
pub struct Data(Option<Content>);

/// The transfer, as rules ask about it and events tell of it.
#[derive(Debug)]
struct Content {
    transfer: Transfer,
    /// By whom it is sent, once that shows.
    file: Option<(Direction, Tracked)>,
    limits: Limits,
    revision: u32,
    ended: [bool; 2],
}

impl Data {
    /// A connection that was announced for this transfer.
    pub fn new(transfer: Transfer, limits: &Limits) -> Self {
        Self(Some(Content { transfer, file: None, limits: *limits, revision: 1, ended: [false; 2] }))
    }

    fn file(&mut self, direction: Direction) -> Option<&mut Tracked> {
        let content = self.0.as_mut()?;
        content.revision = content.revision.wrapping_add(1);
        let keep = content.limits.body[direction as usize];
        let begin = || (direction, Tracked::new(&content.transfer.name, keep));
        let (sender, file) = content.file.get_or_insert_with(begin);
        (*sender == direction).then_some(file)
    }
}

impl Parser for Data {
    fn hear(&mut self, direction: Direction, said: &[u8]) {
        if let Some(file) = self.file(direction) {
            file.push(said);
        }
    }

    fn lost(&mut self, direction: Direction, bytes: u64) {
        if let Some(file) = self.file(direction) {
            file.lost(bytes);
        }
    }

    fn end(&mut self, direction: Direction) {
        let Some(content) = &mut self.0 else { return };
        content.ended[direction as usize] = true;
        content.revision = content.revision.wrapping_add(1);
        if let Some((_, file)) = content.file.as_mut().filter(|(sender, _)| *sender == direction) {
            file.close();
        }
    }

    fn transactions(&self) -> Vec<&dyn Exchange> {
        self.0.iter().map(|content| content as &dyn Exchange).collect()
    }

    fn forget(&mut self, _id: u64) {
        self.0 = None;
    }

    fn is_opaque(&self) -> bool {
        self.0.is_none()
    }

    fn footprint(&self) -> usize {
        let file = self.0.as_ref().and_then(|content| content.file.as_ref());
        size_of::<Self>() + file.map_or(0, |(_, file)| file.footprint())
    }
}

impl Content {
    fn sent(&self, direction: Direction) -> Option<&Tracked> {
        self.file.as_ref().filter(|(sender, _)| *sender == direction).map(|(_, file)| file)
    }

    fn told(&self) -> Record {
        let mut object = Object::new();
        object.put("command", text(&self.transfer.command));
        if !self.transfer.name.is_empty() {
            object.put("filename", text(&self.transfer.name));
        }
        object.record("ftp_data")
    }
}

impl Transaction for Content {
    fn id(&self) -> u64 {
        0
    }

    fn app(&self) -> App {
        App::FtpData
    }

    fn revision(&self, _direction: Direction) -> u32 {
        self.revision
    }

    fn is_complete(&self, direction: Direction) -> bool {
        self.ended[direction as usize]
    }

    fn buffer(&self, buffer: Buffer, direction: Direction, instance: usize) -> Field<'_> {
        match (buffer, self.sent(direction)) {
            _ if instance > 0 => Field::Absent,
            (Buffer::FileData | Buffer::FileName, None) if !self.is_complete(direction) => Field::Pending,
            (Buffer::FileName, Some(file)) => Field::whole(file.name()),
            (Buffer::FileData, Some(file)) if file.is_over() => Field::whole(file.contents()),
            (Buffer::FileData, Some(file)) => Field::Part(subject::Data { bytes: file.contents().into() }),
            _ => Field::Absent,
        }
    }

    fn test(&self, keyword: &str, argument: &str, _direction: Direction) -> Option<bool> {
        let command = argument.trim().as_bytes();
        Some(keyword == "ftpdata_command" && self.transfer.command.eq_ignore_ascii_case(command))
    }

    fn events(&self) -> &[&'static str] {
        &[]
    }

    fn file(&self, direction: Direction, instance: usize) -> Option<File<'_>> {
        self.sent(direction).filter(|_| instance == 0).map(Tracked::file)
    }
}

impl Exchange for Content {
    fn records(&self) -> Vec<Record> {
        let file = self.file.as_ref().map(|(sender, file)| file.record(0).by(*sender));
        std::iter::once(self.told()).chain(file).collect()
    }

    fn beside(&self, record: &Record, all: &[Record]) -> Vec<Record> {
        let of_file = record.event_type == "fileinfo";
        all.iter().filter(|other| of_file && other.event_type == "ftp_data").cloned().collect()
    }
}
