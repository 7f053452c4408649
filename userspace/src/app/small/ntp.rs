//! NTP (RFC 5905 section 7.3).

use dropgate_signatures::{buffer::Buffer, subject::Direction};

use crate::app::{digits::colons, events::Events, facts::Facts};

/// Header without extensions.
const HEADER: usize = 48;

pub fn read(_: Direction, said: &[u8], events: &mut Events, _: &mut u32) -> Option<Facts> {
    let (&first, reference) = (said.first()?, said.get(12..16));
    let (version, mode) = (first >> 3 & 7, first & 7);
    // control and private messages have another form
    if !(1..=5).contains(&mode) {
        return None;
    }
    let Some(reference) = reference.filter(|_| said.len() >= HEADER) else {
        events.note("malformed_data");
        return None;
    };
    let mut facts = Facts::default();
    for (keyword, name, value) in
        [("ntp.version", "version", version), ("ntp.mode", "mode", mode), ("ntp.stratum", "stratum", said[1])]
    {
        facts.number(keyword, value);
        facts.tell(name, value);
    }
    facts.buffer(Buffer::NtpReferenceId, reference);
    facts.tell("reference_id", colons(reference));
    Some(facts)
}
