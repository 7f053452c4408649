//! In stage 10, of a flow that is to be inspected: can what its client says first be what its service expects?
//!
//! One byte decides. What fits goes on to the inspector, who knows better; what does not is dropped here, that packet alone.
//! A segment may have overtaken the first one, so that nothing is said about the flow: its sender sends it again.

use dropgate_abi::{
    event::SAID,
    flow::flag,
    hold::{BEGUN, RELATED},
    policy::{FirstKey, NO_SERVICE, Settings, setting},
    reason::Reason,
    walk::{Walk, parsed},
};

use crate::{
    atomic,
    content::Subject,
    cursor::Frame,
    maps::{FIRST_BYTES, SCRATCH},
    parse::protocol,
    step::{Step, drop},
};

/// Bytes of a UDP header.
const UDP_HEADER: usize = 8;

/// Drops what cannot be the beginning of anything that is expected.
#[inline(always)]
pub fn first(frame: &impl Frame, walk: &Walk, subject: &Subject, settings: &Settings) -> Step {
    // what was taken in mid-stream has its beginning behind it
    if walk.direction != 0 || subject.flags() & (flag::ADOPTED | flag::LOOSE) != 0 {
        return Ok(());
    }
    // SAFETY: a word of a map value.
    let seen = unsafe { subject.hold().read_volatile() };
    // nor does the service say what is spoken on a flow that was announced
    if seen & (BEGUN | RELATED) != 0 {
        return Ok(());
    }
    let Some(at) = payload(frame, walk) else { return Ok(()) };
    if settings.flags & setting::FIRST_BYTES != 0 && !possible(frame, walk, at) {
        return drop(Reason::first_byte_impossible);
    }
    // when another packet of the flow is held at this moment, the next one is looked at too
    atomic::exchange_if(subject.hold(), seen, seen | BEGUN);
    Ok(())
}

/// Where the payload begins, if there is any.
#[inline(always)]
pub fn payload(frame: &impl Frame, walk: &Walk) -> Option<usize> {
    let l4 = walk.l4 as usize;
    let header = match walk.protocol {
        protocol::TCP => (frame.read::<u8>(l4 + 12)? >> 4) as usize * 4,
        _ => UDP_HEADER,
    };
    // of merged packets the IP header does not say the length; there is no padding behind them
    let end = if walk.parsed & parsed::MERGED != 0 { frame.len() } else { walk.l3 as u32 + walk.ip_len as u32 };
    (((l4 + header) as u32) < end).then_some(l4 + header)
}

/// Whether the client can begin with the payload at `at`. If not, how it begins is kept for whoever tells of it.
#[inline(never)]
fn possible<F: Frame>(frame: &F, walk: &Walk, at: usize) -> bool {
    let Some(byte) = frame.read::<u8>(at) else { return true };
    let own = FirstKey { service: walk.service, port: 0, protocol: walk.protocol, _pad: 0 };
    let registered = FirstKey { service: NO_SERVICE, port: walk.dport, ..own };
    let found = FIRST_BYTES.get_value_ptr_mut(walk.slot, &own);
    let Some(set) = found.or_else(|| FIRST_BYTES.get_value_ptr_mut(walk.slot, &registered)) else { return true };
    // SAFETY: an entry of the inner map, which is not written while its slot is in force.
    if unsafe { &*set }.has(byte) {
        return true;
    }
    keep(frame, at);
    false
}

/// Keeps the first bytes of a payload.
#[inline(always)]
fn keep(frame: &impl Frame, at: usize) {
    let Some(scratch) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own, for the time of this packet.
    let (said, length) = unsafe { (&mut (*scratch).said, &mut (*scratch).said_len) };
    *length = 0;
    let mut kept = 0;
    while kept < SAID {
        let Some(byte) = frame.read::<u8>(at + kept) else { break };
        said[kept] = byte;
        kept += 1;
    }
    *length = kept as u32;
}
