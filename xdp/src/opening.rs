//! In stage 10: how a TCP connection begins is noted, so that its first segments need not be held; and so is what its receiver
//! acknowledges while one direction alone is held, so that the flow leaves inspection without its packets being held for that.
//!
//! What passes here says nothing but that a connection begins: a SYN, the SYN and ACK for it, and the ACK for that, without data. The
//! first of each is noted word for word, as far as reassembly uses it, and goes with whatever is held of the flow. One that says
//! anything else than the one noted is held, and so are those that rules may match.

use dropgate_abi::{
    control::{Control, mode},
    flow::place,
    hold::SETTLED,
    opening::{Opened, said, seen},
    policy::{Settings, setting},
    walk::{Walk, found, parsed},
};

use crate::{
    anomaly::tcp,
    atomic,
    content::{self, Subject},
    cursor::Frame,
    datagram, first,
    hidden::Hidden,
    maps::{FLOWS, SCRATCH, copy},
    parse::protocol,
    step::{Step, pass},
    table,
};

const SYN: u8 = tcp::SYN;
const SYN_ACK: u8 = tcp::SYN | tcp::ACK;
const ACK: u8 = tcp::ACK;

/// Bytes of a TCP header without options.
const HEADER: usize = 20;
/// Options that a segment may have; one with more is held.
const OPTIONS: u32 = 12;

/// Passes a segment that does nothing but begin a connection of which nothing was held yet; goes on with any other.
#[inline(never)]
pub fn opening<F: Frame>(frame: &F, walk: &Walk, subject: &Subject, control: &Control, settings: &Settings) -> Step {
    let flags = walk.tcp_flags & tcp::ALL;
    if settings.flags & setting::OPENINGS == 0
        || control.mode & (mode::BENCH | mode::OPENINGS) == mode::BENCH
        || walk.protocol != protocol::TCP
        || !matches!(flags, SYN | SYN_ACK | ACK)
        || walk.parsed & parsed::FRAGMENT != 0
        || first::payload(frame, walk).is_some()
        || datagram::may_match_opening(walk, settings)
    {
        return Ok(());
    }
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return Ok(()) };
    // SAFETY: this CPU's own, for the time of this packet.
    let new = unsafe { &mut (*scratch).opening };
    // it is not to be taken for the note of a flow that begins
    new.flow = 0;
    let (first, _, tag) = place(subject.hash, control.flow_mask);
    let Some(bucket) = FLOWS.get_ptr_mut(first) else { return Ok(()) };
    let Some(words) = frame.read::<[u32; 4]>(walk.l4 as usize) else { return Ok(()) };
    let (seq, ack, rest) = (u32::from_be(words[1]), u32::from_be(words[2]), u32::from_be(words[3]));
    let begins = walk.found == found::MISS || walk.found == found::REUSED;
    // SAFETY: a field of a map value; only packets of its flow change it.
    let known = unsafe { &mut (*bucket).opening };
    let fits = if begins {
        flags == SYN && table::may_open(bucket, first, control.flow_mask)
    } else {
        known.flow == walk.flow_id
    };
    if !fits {
        return Ok(());
    }
    // once for both sides: what reads options is much for the verifier to walk
    let side = if begins { 0 } else { (walk.direction & 1) as usize };
    if flags != ACK && !read(frame, walk, (seq, rest), &mut new.sides[side]) {
        return Ok(());
    }
    if begins {
        // one that could not be held does not pass either
        content::could_hold(frame, walk, control, settings)?;
        (new.flow, new.tag, new.said, new.settles_if) = (walk.flow_id, tag, 0, 0);
        new.sides[1].seen = 0;
        return pass(subject.reason);
    }
    let [client, server] = &mut known.sides;
    let passes = match (flags, walk.direction) {
        (SYN, 0) => says_again(client, &new.sides[0]),
        (SYN_ACK, 1) => ack == client.seq.wrapping_add(1) && noted(server, &new.sides[1]),
        (ACK, 0) => server.seen != 0 && seq == client.seq.wrapping_add(1) && ack == server.seq.wrapping_add(1),
        _ => false,
    };
    if passes { pass(subject.reason) } else { Ok(()) }
}

/// Notes what was not noted yet; whether it is as noted.
#[inline(always)]
fn noted(known: &mut Opened, new: &Opened) -> bool {
    if known.seen == 0 {
        *known = *new;
        return true;
    }
    says_again(known, new)
}

/// Whether a segment says what an earlier one said. Its timestamp goes on, and the earlier one is the safe one to know (RFC 7323, 5.3).
#[inline(always)]
fn says_again(known: &Opened, new: &Opened) -> bool {
    known.seq == new.seq && known.scale == new.scale && known.seen == new.seen && known.window == new.window
}

/// Reads the first segment of a side: its number, and the last word of its header without options. Whether it can be noted.
#[inline(always)]
fn read<F: Frame>(frame: &F, walk: &Walk, (seq, rest): (u32, u32), side: &mut Opened) -> bool {
    *side = Opened { seq, timestamp: 0, window: rest as u16, scale: 0, seen: seen::SEGMENT };
    let l4 = walk.l4 as usize;
    options(frame, l4 + HEADER, l4 + (rest >> 28) as usize * 4, side)
}

/// Reads options up to the first one that makes no sense, as reassembly does. Whether there were not too many of them.
#[inline(never)]
fn options<F: Frame>(frame: &F, at: usize, end: usize, side: &mut Opened) -> bool {
    let Some(hidden) = Hidden::new() else { return false };
    let mut at = at as u32;
    let mut left = OPTIONS;
    while left > 0 {
        at = hidden.hide(at);
        left -= 1;
        let offset = at as usize;
        if offset >= end {
            return true;
        }
        let Some(kind) = frame.read::<u8>(offset) else { return false };
        if kind == 1 {
            at += 1;
            continue;
        }
        if kind == 0 || offset + 1 >= end {
            return true;
        }
        let Some(length) = frame.read::<u8>(offset + 1) else { return false };
        if length < 2 || offset + length as usize > end {
            return true;
        }
        if kind == 3 && length == 3 {
            let Some(scale) = frame.read::<u8>(offset + 2) else { return false };
            side.scale = scale;
            side.seen |= seen::SCALE;
        }
        if kind == 8 && length == 10 {
            let Some(timestamp) = frame.read::<u32>(offset + 2) else { return false };
            side.timestamp = u32::from_be(timestamp);
            side.seen |= seen::TIMESTAMP;
        }
        at += length as u32;
    }
    at as usize >= end
}

/// In the direction that passes while the other one is held: takes down what it acknowledges, and settles the flow if that was
/// asked for. Nothing of it may have been held since: what is with the inspector would be overtaken.
#[inline(never)]
pub fn watch<F: Frame>(frame: &F, walk: &Walk, subject: &Subject, control: &Control) {
    if walk.protocol != protocol::TCP || walk.tcp_flags & (tcp::ACK | tcp::RST) != tcp::ACK {
        return;
    }
    let Some(words) = frame.read::<[u32; 4]>(walk.l4 as usize) else { return };
    let (ack, window) = (u32::from_be(words[2]), u32::from_be(words[3]) as u16);
    let (first, ..) = place(subject.hash, control.flow_mask);
    let Some(bucket) = FLOWS.get_ptr_mut(first) else { return };
    // SAFETY: aligned words of a map value, which `dropgate_settle` changes one by one.
    unsafe {
        let opening = &raw mut (*bucket).opening;
        if (*opening).flow != walk.flow_id {
            return;
        }
        (&raw mut (*opening).said).write_volatile(said(ack, window));
        let word = (&raw const (*opening).settles_if).read_volatile();
        let number = (&raw const (*opening).settles_at).read_volatile();
        if word != 0 && ack == number && atomic::exchange_if(subject.hold(), word, word | SETTLED) {
            (&raw mut (*opening).flow).write_volatile(0);
        }
    }
}

/// What goes with a held packet: how its connection began, if that was noted.
#[inline(always)]
pub fn of_flow(flow: u64, hash: u64, control: &Control, to: &mut [Opened; 2]) {
    let (first, ..) = place(hash, control.flow_mask);
    match FLOWS.get_ptr_mut(first) {
        // SAFETY: a field of a map value.
        Some(bucket) if unsafe { (*bucket).opening.flow } == flow => copy(unsafe { &(*bucket).opening.sides }, to),
        _ => copy(&[Opened::default(); 2], to),
    }
}
